"""One package: from the database at once, from the source when it must be, with what it lacks."""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from pkgstats import grammar
from pkgstats.abilities import WITHDRAWN
from pkgstats.assemble import LOADING_WORDS, NO_ANSWER_WORDS, Assembler, pause_words
from pkgstats.counting import VERSION_COUNTS
from pkgstats.models import (
    NOT_AVAILABLE,
    Block,
    NotFound,
    NotFoundReason,
    Origin,
    OriginState,
    PackageData,
)
from pkgstats.refresh import Refresher
from pkgstats.sources.base import Failing, Limited, NoData, NotOffered, NotSet, Refusal, Release
from pkgstats.store import packages, people, states
from pkgstats.store.packages import StoredPackage
from pkgstats.store.states import BlockState, Ended
from pkgstats.store.store import Store

FIRST_VISIT_S = 3.0
"""How long the very first visit of a name waits for the sources."""
SHOWN_FOR = timedelta(days=30)
"""A copy that nobody has confirmed for longer is not shown."""
KEPT_PAGES = 256
KEPT_FOR = timedelta(minutes=1)
"""What other packages change in a page, as its dependents, is there after this time."""


@dataclass(frozen=True, slots=True)
class _Needs:
    """What decides whether something about a page has to be asked for."""

    stored: StoredPackage
    release: Release
    has_contents: bool
    is_rendered: bool
    tarball: BlockState | None
    counted: BlockState | None
    versions_counted: BlockState | None


@dataclass(frozen=True, slots=True)
class _Kept:
    generation: tuple[int, int]
    at: datetime
    needs: _Needs
    page: PackageData


class Lookup:
    """Finds package pages; keeps the last ones as long as nothing was written about them."""

    def __init__(
        self,
        store: Store,
        refresher: Refresher,
        pages: Assembler,
        now: Callable[[], datetime],
        *,
        waits_always: bool,
    ) -> None:
        self._store = store
        self._refresher = refresher
        self._pages = pages
        self._now = now
        self._waits_always = waits_always
        self._visits: Counter[str] = Counter()
        self._kept: OrderedDict[tuple[str, str | None], _Kept]
        self._kept = OrderedDict()

    async def package(self, name: str, version: str | None) -> PackageData | NotFound:
        """The page, or why there is none. `suggestions` are left to the caller."""
        if not grammar.is_package_name(name):
            return self._not_found(name, version, NotFoundReason.NOT_A_NAME)
        kept = self._kept.get((name, version))
        if kept is not None and self._is_right(kept):
            self._ask_for_missing(kept.needs)
            self._visits[name] += 1
            return kept.page
        return await self._look_up(name, version)

    async def save_visits(self) -> None:
        """Write down the visits counted since the last time."""
        visits, self._visits = self._visits, Counter()
        if visits:
            day = self._now().date()
            await self._store.write(lambda db: people.add_visits(db, visits, day), about=())

    async def _look_up(self, name: str, version: str | None) -> PackageData | NotFound:
        deadline = asyncio.get_running_loop().time() + FIRST_VISIT_S
        needs = self._shown(await self._needs(name, version))
        is_first = needs is None
        if needs is None:
            refusal = await self._first_load(name, deadline)
            needs = self._shown(await self._needs(name, version))
            if needs is None:
                reason = NotFoundReason.NO_ANSWER
                if isinstance(refusal, NoData):
                    gone = refusal.was_withdrawn
                    reason = NotFoundReason.WITHDRAWN if gone else NotFoundReason.NO_PACKAGE
                return self._not_found(name, version, reason, refusal)
        if isinstance(needs, StoredPackage):
            if not self._refresher.is_fresh(needs, visited=True):
                self._refresher.packument(name)
            return self._not_found(name, version, NotFoundReason.NO_VERSION)
        asked = self._ask_for_missing(needs)
        if asked and (is_first or self._waits_always):
            await asyncio.wait(asked, timeout=_left(deadline))
        self._visits[name] += 1
        return await self._page(name, version, needs)

    async def _page(self, name: str, version: str | None, needs: _Needs) -> PackageData:
        generation = self._store.generation(name)
        stored, release = needs.stored, needs.release
        page = await self._store.read(
            lambda db: self._pages.page(db, packages.find(db, name) or stored, release)
        )
        fresh = await self._needs(name, version)
        if isinstance(fresh, _Needs) and generation == self._store.generation(name):
            self._kept[(name, version)] = _Kept(generation, self._now(), fresh, page)
            self._kept.move_to_end((name, version))
            while len(self._kept) > KEPT_PAGES:
                self._kept.popitem(last=False)
        return page

    def _shown(self, needs: _Needs | StoredPackage | None) -> _Needs | StoredPackage | None:
        """None for a copy that is too old to be shown: it is asked for as if never seen."""
        stored = needs.stored if isinstance(needs, _Needs) else needs
        is_old = stored is not None and self._now() - stored.fetched_at > SHOWN_FOR
        return None if is_old else needs

    def _is_right(self, kept: _Kept) -> bool:
        age = self._now() - kept.at
        return kept.generation == self._store.generation(kept.page.name) and age < KEPT_FOR

    async def _needs(self, name: str, version: str | None) -> _Needs | StoredPackage | None:
        """None: never seen. Only the package: it has no such version."""

        def read(db: packages.Database) -> _Needs | StoredPackage | None:
            stored = packages.find(db, name)
            if stored is None:
                return None
            release = packages.release(db, name, version or stored.latest or "")
            if release is None:
                return stored
            renderer = packages.renderer(db, name, release.version)
            return _Needs(
                stored=stored,
                release=release,
                has_contents=renderer is not None,
                is_rendered=renderer in (None, "", self._refresher.renderer_version),
                tarball=states.block(db, name, Block.README, release.version),
                counted=states.block(db, name, Block.DOWNLOADS),
                versions_counted=states.block(db, name, VERSION_COUNTS),
            )

        return await self._store.read(read)

    def _ask_for_missing(self, needs: _Needs) -> list[asyncio.Task[Refusal | None]]:
        """Start what is due; gives back what a first visit waits for."""
        name = needs.stored.name
        if not self._refresher.is_fresh(needs.stored, visited=True):
            self._refresher.packument(name)
        if not needs.is_rendered:
            self._refresher.rerender(name, needs.release)
        asked = []
        if not needs.has_contents and self._refresher.is_due(needs.tarball):
            asked.append(self._refresher.contents(name, needs.release))
        if self._refresher.is_due(needs.counted):
            asked.append(self._refresher.downloads([name]))
        elif needs.counted and needs.counted.ended is Ended.OK:
            # The picture of single versions may come later than the page's own figure.
            if self._refresher.is_due(needs.versions_counted):
                self._refresher.version_downloads(name)
        return asked

    async def _first_load(self, name: str, deadline: float) -> Refusal | None:
        """Ask for a name never seen, unless it was refused a moment ago."""
        state = await self._store.read(lambda db: states.block(db, name, Block.REGISTRY))
        if state is not None and not self._refresher.is_due(state):
            return _remembered(state)
        task = self._refresher.packument(name)
        await asyncio.wait([task], timeout=_left(deadline))
        return task.result() if task.done() and not task.cancelled() else None

    def _not_found(
        self,
        name: str,
        version: str | None,
        reason: NotFoundReason,
        refusal: Refusal | None = None,
    ) -> NotFound:
        words = {
            NotFoundReason.NOT_A_NAME: f"No package found for: {name}",
            NotFoundReason.NO_PACKAGE: f"No package found for: {name}",
            NotFoundReason.WITHDRAWN: f"Every version was withdrawn of: {name}",
            NotFoundReason.NO_VERSION: f"No version {version} found of: {name}",
            NotFoundReason.NO_ANSWER: f"No answer yet for: {name}",
        }[reason]
        origins: tuple[Origin, ...] = ()
        if reason is NotFoundReason.NO_ANSWER:
            told = Origin(Block.REGISTRY, OriginState.FAILING, self._now(), NO_ANSWER_WORDS)
            if refusal is None:
                told = Origin(Block.REGISTRY, OriginState.LOADING, self._now(), LOADING_WORDS)
            elif isinstance(refusal, Limited):
                words = pause_words(refusal.until, is_ours=refusal.is_ours)
                told = Origin(Block.REGISTRY, OriginState.FAILING, self._now(), words)
            elif isinstance(refusal, NotSet | NotOffered):
                told = Origin(Block.REGISTRY, OriginState.NOT_AVAILABLE, self._now(), NOT_AVAILABLE)
            origins = (told,)
        return NotFound(name, version, reason, words, (), origins)


def _remembered(state: BlockState) -> Refusal:
    match state.ended:
        case Ended.NO_DATA:
            return NoData(was_withdrawn=state.detail == WITHDRAWN)
        case Ended.NOT_SET:
            return NotSet(state.detail)
        case Ended.NOT_OFFERED:
            return NotOffered(state.detail)
        case Ended.LIMITED:
            return Limited(state.until)
    return Failing(state.detail)


def _left(deadline: float) -> float:
    return max(0.0, deadline - asyncio.get_running_loop().time())
