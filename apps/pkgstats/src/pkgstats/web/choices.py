"""The choices of a chart: which range, added up by what. All of it stands in the address."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import urlencode

from pkgstats.models import By
from pkgstats.series import DEFAULT_RANGE, RANGES, default_by

_LABELS = {
    "30d": "30 days",
    "90d": "90 days",
    "6m": "6 months",
    "12m": "12 months",
    "18m": "18 months",
}
BY_WORDS = {By.DAY: "days", By.WEEK: "weeks", By.MONTH: "months"}


class Choice(NamedTuple):
    """A link of a picker."""

    label: str
    href: str
    is_chosen: bool


class Chosen(NamedTuple):
    """A range of `series.RANGES` and the unit of its points."""

    range: str
    by: By


class Picker(NamedTuple):
    """The addresses of one page with charts."""

    path: str
    anchor: str
    """Id of the block with the chart: the reader comes back to it."""
    usual: str = DEFAULT_RANGE
    """The range of the page's plain address."""

    def read(self, query: Mapping[str, str]) -> Chosen:
        """What a query chooses; anything unknown is the usual."""
        asked = query.get("range", "")
        range_ = asked if asked in RANGES else self.usual
        by = next((unit for unit in By if unit == query.get("by")), default_by(range_))
        return Chosen(range_, by)

    def href(self, chosen: Chosen, scale: str = "") -> str:
        """Names only what is not the usual."""
        fields = {}
        if chosen.range != self.usual:
            fields["range"] = chosen.range
        if chosen.by is not default_by(chosen.range):
            fields["by"] = chosen.by.value
        if scale:
            fields["scale"] = scale
        return self.path + (f"?{urlencode(fields)}" if fields else "") + f"#{self.anchor}"

    def ranges(self, chosen: Chosen, scale: str = "") -> list[Choice]:
        """Links to the ranges; each comes with the unit that suits it."""
        return [
            Choice(label, self.href(Chosen(key, default_by(key)), scale), key == chosen.range)
            for key, label in _LABELS.items()
        ]

    def units(self, chosen: Chosen) -> list[Choice]:
        """Links to days, weeks and months of the chosen range."""
        return [
            Choice(words, self.href(Chosen(chosen.range, unit)), unit is chosen.by)
            for unit, words in BY_WORDS.items()
        ]
