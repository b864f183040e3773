"""What pages with several packages show: lists of a user or scope, comparisons."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from markupsafe import Markup

from pkgstats.charts import lines, svg
from pkgstats.models import By, Comparison, PackageData, PackageList, Point, ResultCard, Series
from pkgstats.web import words
from pkgstats.web.choices import Choice, Chosen, Picker

COUNT_WORDS = ("no", "one", "two", "three", "four", "five", "six")
MAX_TABLE_ROWS = 60


class Part(NamedTuple):
    """One meaning of `@name`."""

    list: PackageList
    chart: Markup


class Row(NamedTuple):
    """A line of the table of facts: one cell for each package."""

    label: str
    cells: list[str]
    is_figure: bool = False


@dataclass(frozen=True, slots=True)
class ComparisonPage:
    found: Comparison
    path: str
    title: str
    packages: str
    """The names as the form shows them."""
    charts: Markup
    ranges: list[Choice]
    scales: list[Choice]
    rows: list[Row]
    table: list[tuple[str, list[str]]]
    """The numbers of the chart; empty when there are too many for a page."""


def part(found: PackageList) -> Part:
    """A list with the chart of its sum over the last days."""
    chart = Markup()
    if found.total is not None and len(found.total.days) > 1:
        points = [Point(d.day, d.day, d.count, int(d.count is None)) for d in found.total.days]
        what = f"packages of user {found.name}" if found.kind == "user" else f"scope @{found.name}"
        chart = Markup("").join(
            Markup(
                svg.column_chart(
                    what,
                    points,
                    By.DAY,
                    simulated=found.total.simulated,
                    size=size,
                    key=found.kind,
                )
            )
            for size in svg.FRAMES
        )
    return Part(found, chart)


def comparison(found: Comparison, chosen: Chosen, picker: Picker, as_index: bool) -> ComparisonPage:
    """One chart and one table; a package without counts is in the table alone."""
    drawn = [one for one in found.series if one is not None]
    simulated = found.simulated
    charts = Markup("").join(
        Markup(line_chart)
        for size in lines.SIZES
        if (
            line_chart := lines.line_chart(
                _with_holes(found, drawn),
                found.by,
                as_index=as_index,
                simulated=simulated,
                size=size,
            )
        )
    )
    count = len(found.names)
    scale = "index" if as_index else ""
    return ComparisonPage(
        found=found,
        path=picker.path,
        title=f"Compare {COUNT_WORDS[count]} package{'' if count == 1 else 's'}",
        packages=", ".join(found.names),
        charts=charts,
        ranges=picker.ranges(chosen, scale),
        scales=[
            Choice("counts", picker.href(chosen), not as_index),
            Choice(f"first {found.by} = 100", picker.href(chosen, "index"), as_index),
        ],
        rows=_rows(found),
        table=_table(found),
    )


def _with_holes(found: Comparison, drawn: Sequence[Series]) -> list[Series]:
    """All packages in their places, so that colours and dashes fit the table."""
    if not drawn:
        return []
    empty = tuple(Point(p.start, p.end, None) for p in drawn[0].points)
    return [
        _cut(one or Series(card.name, found.range, found.by, empty, 0, 0))
        for card, one in zip(found.cards, found.series, strict=True)
    ]


def _cut(one: Series) -> Series:
    return Series(one.name, one.range, one.by, tuple(svg.drawn(one.points)), one.total, one.holes)


def _rows(found: Comparison) -> list[Row]:
    rows = [
        Row("30 days", [_month(card) for card in found.cards], True),
        Row("Last 7 days", [_week(card, 0) for card in found.cards], True),
        Row("Against the 7 days before", [_change(card) for card in found.cards], True),
        Row("Version", [card.version or "not loaded" for card in found.cards]),
        Row(
            "Published",
            [
                words.day(card.published_at) if card.published_at else "not known"
                for card in found.cards
            ],
        ),
        Row("Licence", [card.license or "not said" for card in found.cards]),
        Row("Publisher", [card.publisher or "not known" for card in found.cards]),
        Row("Modules", [_modules(data) for data in found.packages]),
        Row("Types", ["included" if data.has_types else "none" for data in found.packages]),
        Row("Node", [_node(data) for data in found.packages]),
        Row("Unpacked", [_unpacked(data) for data in found.packages]),
        Row("Dependencies", [str(_needs(data)) for data in found.packages]),
        Row("Deprecated", ["yes" if data.deprecated else "no" for data in found.packages]),
    ]
    return [row for row in rows if not row.is_figure or any(row.cells)]


def _modules(data: PackageData) -> str:
    return data.module.value.replace("+", " + ") if data.module else "not said"


def _node(data: PackageData) -> str:
    wanted = next((engine.range for engine in data.engines if engine.name == "node"), None)
    return words.version_range(wanted) if wanted else "not said"


def _unpacked(data: PackageData) -> str:
    return "not known" if data.unpacked_size is None else words.size(data.unpacked_size)


def _needs(data: PackageData) -> int:
    return sum(item.kind == "dependencies" for item in data.dependencies)


def _month(card: ResultCard) -> str:
    if card.downloads is None:
        return ""
    return f"{'≥ ' if card.downloads.is_at_least else ''}{card.downloads.total:,}"


def _sum_of(card: ResultCard, weeks_ago: int) -> int | None:
    if card.downloads is None:
        return None
    days = card.downloads.days
    end = len(days) - 7 * weeks_ago
    known = [day.count for day in days[max(0, end - 7) : end] if day.count is not None]
    return sum(known) if len(known) == 7 else None


def _week(card: ResultCard, weeks_ago: int) -> str:
    found = _sum_of(card, weeks_ago)
    return "" if found is None else f"{found:,}"


def _change(card: ResultCard) -> str:
    last, before = _sum_of(card, 0), _sum_of(card, 1)
    return svg.signed((last - before) / before) if last is not None and before else ""


def _table(found: Comparison) -> list[tuple[str, list[str]]]:
    known = [one for one in found.series if one is not None]
    if not known or len(known[0].points) > MAX_TABLE_ROWS:
        return []
    return [
        (
            svg.period_words(point, found.by),
            [
                "" if one is None or one.points[i].count is None else f"{one.points[i].count:,}"
                for one in found.series
            ],
        )
        for i, point in enumerate(known[0].points)
    ]
