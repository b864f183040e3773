"""Which source answers, and which setting chose it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pkgstats.settings import Settings
from pkgstats.sources.base import Source
from pkgstats.sources.http import NOT_SET_REGISTRY, HttpSource
from pkgstats.sources.npm_cli import NpmCliSource
from pkgstats.sources.npmrc import NpmConfig, find_config
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
    config = await find_config(settings.registry)
    http = HttpSource(config, settings.downloads, settings.replicate)
    source: Source = NpmCliSource(http) if settings.via == "npm" else http
    return Chosen(source, _places(config, settings), settings.npm_site, config.is_public)


def _places(config: NpmConfig, settings: Settings) -> dict[str, Place]:
    found = config.registry
    if settings.via == "npm":
        registry = Place("the npm client", "PKGSTATS_VIA=npm")
    elif found is None:
        registry = Place(None, NOT_SET_REGISTRY)
    else:
        registry = Place(found.value, found.where)
    counts = Place(settings.downloads or None, "PKGSTATS_DOWNLOADS")
    changes = Place(settings.replicate or None, "PKGSTATS_REPLICATE")
    return {
        **dict.fromkeys(ABILITIES, registry),
        "downloads": counts,
        "changes": changes,
    }
