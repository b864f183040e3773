"""Which source answers, and which setting chose it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pkgstats.settings import Settings
from pkgstats.sources.base import Source
from pkgstats.sources.world import WorldSource

ABILITIES = (
    "packument",
    "latest",
    "readme",
    "search",
    "organisation",
    "downloads",
    "changes",
)


@dataclass(frozen=True, slots=True)
class Place:
    """Where an ability is asked for (None: nowhere), and the setting that says so."""

    address: str | None
    setting: str


@dataclass(frozen=True, slots=True)
class Chosen:
    source: Source
    places: Mapping[str, Place]
    npm_site: str
    is_public: Callable[[str], bool]
    """False for names of a scope with a registry of its own: never told to anybody else."""


async def choose_source(settings: Settings, *, demo: bool) -> Chosen:
    """The source that the settings and the npm configuration ask for."""
    if demo:
        place = Place("recorded files and a simulated world", "pkgstats demo")
        return Chosen(WorldSource(), dict.fromkeys(ABILITIES, place), "", lambda name: True)
    raise NotImplementedError
