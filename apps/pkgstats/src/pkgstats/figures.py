"""Numbers of packages for charts, comparisons, tables and badges: from the store alone."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import date
from typing import Literal

from pkgstats import grammar, series
from pkgstats.assemble import Assembler
from pkgstats.models import (
    Badge,
    Block,
    By,
    Comparison,
    Downloads,
    NotFound,
    Origin,
    OriginState,
    PackageData,
    Point,
    Series,
)
from pkgstats.store import counts, outbox, packages
from pkgstats.store.store import Store

BadgeFact = Literal["downloads", "version", "license", "module", "types"]
BADGE_FACTS: tuple[BadgeFact, ...] = ("downloads", "version", "license", "module", "types")

FindPage = Callable[[str], Awaitable[PackageData | NotFound]]


class Figures:
    """Counts by range and bin, side by side where several packages are asked for."""

    def __init__(self, store: Store, pages: Assembler, find: FindPage, *, simulated: bool) -> None:
        self._store = store
        self._pages = pages
        self._find = find
        self._simulated = simulated

    async def series(self, name: str, range_: str, by: By | None = None) -> Series | None:
        """Counts of a range of `series.RANGES` (else KeyError); None: there are none."""
        wanted = by or series.default_by(range_)
        return await self._store.read(lambda db: self._series(db, name, range_, wanted))

    async def compare(self, names: Sequence[str], range_: str, by: By | None = None) -> Comparison:
        """Up to six packages; a name never seen here is asked for as a page of its own would."""
        asked = tuple(dict.fromkeys(names))[: grammar.MAX_COMPARED]
        wanted = by or series.default_by(range_)
        found = await asyncio.gather(*(self._find(name) for name in asked))
        there = [page for page in found if isinstance(page, PackageData)]
        known = [page.name for page in there]

        def read(db: packages.Database) -> Comparison:
            last = counts.newest_day(db, known)
            return Comparison(
                names=asked,
                cards=tuple(self._pages.cards(db, known)),
                packages=tuple(there),
                series=_aligned([self._series(db, name, range_, wanted, last) for name in known]),
                missing=tuple(page for page in found if isinstance(page, NotFound)),
                range=range_,
                by=wanted,
                origins=_worst(there),
                last_outbox_id=outbox.last_id(db),
                simulated=self._simulated,
            )

        return await self._store.read(read)

    async def badge(self, name: str, show: BadgeFact) -> Badge | None:
        """One fact of a package; None: no such package, or it has no such fact."""
        page = await self._find(name)
        if isinstance(page, NotFound):
            return None
        value = _badge_value(page, show)
        return None if value is None else Badge(_BADGE_LABELS[show], value, self._simulated)

    def _series(
        self, db: packages.Database, name: str, range_: str, by: By, last: date | None = None
    ) -> Series | None:
        length = series.RANGES[range_]
        found = self._pages.counts(db, name, length, last)
        return None if found is None else series.binned(name, found, range_, by)


_BADGE_LABELS = {
    "downloads": "downloads",
    "version": "npm",
    "license": "licence",
    "module": "module",
    "types": "types",
}


def _badge_value(page: PackageData, show: BadgeFact) -> str | None:
    match show:
        case "downloads":
            return None if page.downloads is None else _month(page.downloads)
        case "version":
            return f"v{page.version}"
        case "license":
            return page.license
        case "module":
            return page.module and page.module.value.replace("+", " + ")
        case "types":
            return "included" if page.has_types else "not included"


def _month(downloads: Downloads) -> str:
    least = "≥ " if downloads.is_at_least else ""
    return f"{least}{downloads.total:,} in {len(downloads.days)} days"


def _aligned(many: Sequence[Series | None]) -> tuple[Series | None, ...]:
    """The shorter ones lack points at their beginning: all get those of the longest."""
    longest = max((one.points for one in many if one), key=len, default=())
    return tuple(one and replace(one, points=_filled(one, longest)) for one in many)


def _filled(one: Series, longest: tuple[Point, ...]) -> tuple[Point, ...]:
    own = {point.end: point for point in one.points}
    return tuple(
        replace(own[point.end], start=point.start)
        if point.end in own
        else replace(point, count=None, missing=0)
        for point in longest
    )


def _worst(pages: Sequence[PackageData]) -> tuple[Origin, ...]:
    """One line a block: that of the package which is worst off."""
    lines = []
    for block in (Block.REGISTRY, Block.DOWNLOADS):
        found = [origin for page in pages if (origin := page.origin(block)) is not None]
        if found:
            lines.append(max(found, key=lambda origin: _BADNESS.index(origin.state)))
    return tuple(lines)


_BADNESS = [
    OriginState.KNOWN,
    OriginState.SIMULATED,
    OriginState.NO_DATA,
    OriginState.LOADING,
    OriginState.STALE,
    OriginState.NOT_AVAILABLE,
    OriginState.FAILING,
]
