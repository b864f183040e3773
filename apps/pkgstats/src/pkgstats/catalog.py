"""The one door to packages for pages, API and live parts.

async with open_catalog(settings) as catalog:              # serve: the real sources
async with open_catalog(settings, demo=True) as catalog:   # recorded and simulated
    page = await catalog.package("@azure/web-pubsub-client")
"""

from __future__ import annotations

import asyncio
import logging
import random
import tempfile
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

from pkgstats import grammar
from pkgstats.assemble import Assembler
from pkgstats.figures import BadgeFact, Figures
from pkgstats.listing import PAGE_SIZE, Listing
from pkgstats.lookup import Lookup
from pkgstats.models import (
    NOT_AVAILABLE,
    Badge,
    By,
    Comparison,
    Downloads,
    FeedItem,
    Home,
    NotFound,
    OutboxRow,
    PackageData,
    PackageList,
    ResultCard,
    SearchResult,
    Series,
    Suggestion,
    WatchedPackage,
)
from pkgstats.refresh import Refresher
from pkgstats.settings import Settings
from pkgstats.sources.base import Failing, NoData, NotOffered, NotSet, Refusal, Source
from pkgstats.sources.choose import ABILITIES, Chosen, choose_source
from pkgstats.sources.state import AbilityState, SourceState
from pkgstats.sources.world import WorldSource
from pkgstats.store import outbox, packages, people
from pkgstats.store import search as index
from pkgstats.store.states import Ended
from pkgstats.store.store import Store

__all__ = ["PAGE_SIZE", "Catalog", "open_catalog"]

log = logging.getLogger(__name__)

NEAR_NAMES = 5
MAX_RANGE_DAYS = 548
RESEND_PAUSE_S = 2.0
"""Also how long the commits of another process (a refresher of its own) stay unseen."""
VISITS_SAVED_S = 10.0
SITEMAP_NAMES = 5000
STALE_AFTER = timedelta(days=1)


class Catalog:
    """Packages as known here, refreshed from the sources while somebody looks."""

    def __init__(
        self,
        store: Store,
        source: Source,
        refresher: Refresher,
        chosen: Chosen,
        now: Callable[[], datetime],
    ) -> None:
        self.simulated = source.simulated
        """True under demo: the label "simulated data" stands on everything."""
        self.now = now
        """The time that the catalog's dates are to be compared with (demo: the world's)."""
        self._store = store
        self._source = source
        self._refresher = refresher
        self._chosen = chosen
        self._closed = asyncio.Event()
        self._draw = random.Random(0 if source.simulated else None)
        self._pages = Assembler(simulated=source.simulated, npm_site=chosen.npm_site, now=now)
        self._lookup = Lookup(store, refresher, self._pages, now, waits_always=source.simulated)
        self._figures = Figures(store, self._pages, self.package, simulated=source.simulated)
        self._listing = Listing(
            store, refresher, self._pages, now, self._draw, simulated=source.simulated
        )

    # Pages

    async def package(self, name: str, version: str | None = None) -> PackageData | NotFound:
        """The page of a version or dist-tag (None: latest).

        Answers from the store at once when there is any copy and refreshes it in the background;
        a name never seen here waits at most 3 s for the registry. Raises nothing for a bad name.
        """
        found = await self._lookup.package(name, version)
        if isinstance(found, NotFound):
            near = await self.near(name, NEAR_NAMES)
            return replace(found, suggestions=tuple(near))
        return found

    async def downloads(self, name: str, days: int) -> Downloads | None:
        """The last `days` days of counts (1 … 548), None when there are none."""
        length = min(max(days, 1), MAX_RANGE_DAYS)
        return await self._store.read(lambda db: self._pages.counts(db, name, length))

    async def series(self, name: str, range_: str = "30d", by: By | None = None) -> Series | None:
        """Counts for a chart; `range_` is a key of `series.RANGES`. From the store alone.

        None: there are none, or the package is not known here. `by` None: what suits the range.
        """
        return await self._figures.series(name, range_, by)

    async def compare(
        self, names: Sequence[str], range_: str = "30d", by: By | None = None
    ) -> Comparison:
        """Up to six packages side by side; a name never seen here waits as its page would."""
        return await self._figures.compare(names, range_, by)

    async def badge(self, name: str, show: BadgeFact = "downloads") -> Badge | None:
        """A fact for a badge; None: no such package, or it has no such fact."""
        return await self._figures.badge(name, show)

    async def cards(self, names: Sequence[str]) -> list[ResultCard]:
        """Cards for known names, in the order asked; names not known here are left out."""
        return await self._store.read(lambda db: self._pages.cards(db, list(names)))

    async def suggest(self, text: str, limit: int = 8) -> list[Suggestion]:
        """Suggestions for a text being typed, from the own index only; never waits upstream."""
        return await self._listing.suggest(text, limit)

    async def near(self, text: str, limit: int) -> list[Suggestion]:
        """Packages known here that may have been meant by a text that leads nowhere."""
        return await self._listing.near(text, limit)

    async def search(self, text: str, page: int = 1) -> SearchResult:
        """A page of 50 results: own index, merged with the registry's search where offered."""
        return await self._listing.search(text, page)

    async def user(self, name: str, page: int = 1) -> PackageList:
        """Packages with this maintainer, 50 a page."""
        return await self._listing.user(name, page)

    async def scope(self, name: str, page: int = 1) -> PackageList:
        """Packages in the scope (`name` without the @), 50 a page."""
        return await self._listing.scope(name, page)

    async def home(self) -> Home:
        """Popular, newest and random, ten each at most."""
        return await self._listing.home()

    async def sources(self) -> list[SourceState]:
        """State of every ability of every source."""
        known = self._refresher.abilities()
        rows = []
        for ability in ABILITIES:
            where = self._chosen.places[ability]
            seen = known.get(ability)
            state = AbilityState.NOT_ASKED
            if self.simulated:
                state = AbilityState.SIMULATED
            elif where.address is None:
                state = AbilityState.NOT_SET
            elif seen is not None:
                state = _ABILITY_STATES[seen.ended]
                if state is AbilityState.ON and _is_old(seen.last_contact, self.now()):
                    state = AbilityState.STALE
            rows.append(
                SourceState(
                    ability=ability,
                    state=state,
                    setting=where.setting,
                    address=where.address,
                    since=seen.since if seen else None,
                    until=seen.until if seen else None,
                    last_contact=seen.last_contact if seen else None,
                    detail=seen.detail if seen else "",
                )
            )
        return rows

    async def known_names(self) -> list[tuple[str, datetime]]:
        """Seen packages and when they changed, for the sitemap."""

        def read(db: packages.Database) -> list[tuple[str, datetime]]:
            rows = db.execute(
                "SELECT name, changed_at FROM package WHERE level = 'seen' ORDER BY name LIMIT ?",
                (SITEMAP_NAMES,),
            )
            return [(row["name"], datetime.fromisoformat(row["changed_at"])) for row in rows]

        return await self._store.read(read)

    # Stars: `visitor` is the anonymous id of the cookie

    async def star(self, visitor: str, name: str) -> bool:
        """Star a package; False when it is no package name, or at the limit of 500 stars."""
        if not grammar.is_package_name(name):
            return False
        return await self._store.write(
            lambda db: people.star(db, visitor, name, self.now()), about=()
        )

    async def unstar(self, visitor: str, name: str) -> None:
        """Take a star back; nothing happens when there is none."""
        await self._store.write(lambda db: people.unstar(db, visitor, name), about=())

    async def has_star(self, visitor: str, name: str) -> bool:
        """Whether the visitor has starred this package."""
        return await self._store.read(lambda db: people.has_star(db, visitor, name))

    async def stars(self, visitor: str) -> list[WatchedPackage]:
        """The visitor's stars, newest change first."""

        def read(db: packages.Database) -> list[WatchedPackage]:
            watched = []
            for row in people.stars(db, visitor):
                card = self._pages.card(db, row["name"]) or _unknown_card(row["name"])
                changes = []
                if row["latest"] and row["version"] and row["latest"] != row["version"]:
                    changes.append(f"{row['version']} → {row['latest']}")
                if row["deprecated"]:
                    changes.append("deprecated")
                since = datetime.fromisoformat(row["since"])
                watched.append(WatchedPackage(card, since, tuple(changes)))
            return watched

        return await self._store.read(read)

    # Feed

    async def feed(
        self, kind: Literal["popular", "newest", "random", "all"], limit: int = 50
    ) -> list[FeedItem]:
        """Picks, newest first."""
        return await self._store.read(lambda db: people.feed(db, kind, limit))

    async def pick(self, kind: people.PickKind) -> FeedItem | None:
        """Make the next pick of that kind, with its messages; None when nothing fits."""

        def write(db: packages.Database) -> FeedItem | None:
            now = self.now()
            taken = people.picked_lately(db, now)
            if kind == "random":
                # So many more than were taken that one of them is left, if there is any.
                names = people.draw(db, self._draw, len(taken) + 1)
                options = [(name, "drawn from all known here") for name in names]
            elif kind == "popular":
                options = people.popular(db, index.MAX_CANDIDATES)[0]
            else:
                options = people.newest(db, index.MAX_CANDIDATES)
            for name, reason in options:
                if name not in taken:
                    return people.add_pick(
                        db, kind, name, reason, now=now, simulated=self.simulated
                    )
            return None

        return await self._store.write(write, about=())

    # Live

    async def pending(self, limit: int = 100) -> list[OutboxRow]:
        """Messages not yet marked as sent, in the order of their ids."""
        return await self._store.read(lambda db: outbox.pending(db, limit))

    async def mark_sent(self, ids: Iterable[int]) -> None:
        """Mark messages as sent; call it after the service accepted them."""
        sent = list(ids)
        await self._store.write(lambda db: outbox.mark_sent(db, sent, self.now()), about=())

    async def changes(self) -> AsyncIterator[list[OutboxRow]]:
        """Unsent messages as they are committed; ends when the catalog closes.

        One publisher iterates; a batch that was not marked as sent comes again after a pause.
        """
        last: list[int] = []
        while not self._closed.is_set():
            self._store.committed.clear()
            rows = await self.pending()
            ids = [row.id for row in rows]
            if rows and ids != last:
                yield rows
                last = ids
                continue
            last = []
            await self._wait_for_commit(RESEND_PAUSE_S)

    def watching(self, watched: Mapping[str, int]) -> None:
        """Tell which packages are looked at right now: they are kept fresher."""
        self._refresher.watched = dict(watched)

    # Simulated world (demo only)

    async def release_now(self) -> None:
        """Let the simulated world publish 1.1.0 of the model package at once; no-op when done."""
        if isinstance(self._source, WorldSource):
            await self._refresher.load_all(self._source.release_next())

    async def pass_day(self) -> None:
        """Let a day of the simulated world pass: new counts and releases."""
        if not isinstance(self._source, WorldSource):
            return
        await self._refresher.load_all(self._source.advance())
        names = await self._store.read(packages.seen_names)
        await asyncio.wait([self._refresher.downloads(names)])

    # From the command line

    async def add(self, names: Sequence[str]) -> AsyncIterator[tuple[str, str]]:
        """Load packages within the budgets, however long it takes; each name with what came of it.

        Names that are known already are not asked for again.
        """
        seen = set(await self._store.read(packages.seen_names))
        wanted = [name for name in names if name not in seen]
        for name in names:
            if name in seen:
                yield name, "known already"
        async for name, refusal in self._refresher.load_patiently(wanted):
            yield name, "loaded" if refusal is None else _refusal_words(refusal)

    async def refresh(self) -> AsyncIterator[tuple[str, str]]:
        """Ask again for everything that is due, once; each name with what came of it."""
        await self._refresher.follow_changes()
        due = await self._refresher.due()
        async for name, refusal in self._refresher.load_patiently(due):
            yield name, "refreshed" if refusal is None else _refusal_words(refusal)

    # Inside

    async def save_visits(self) -> None:
        """Write down the visits counted since the last time."""
        await self._lookup.save_visits()

    async def close(self) -> None:
        """End `changes()`; the rest is closed by `open_catalog`."""
        await self.save_visits()
        self._closed.set()
        self._store.committed.set()

    async def _wait_for_commit(self, timeout_s: float) -> None:
        try:
            async with asyncio.timeout(timeout_s):
                await self._store.committed.wait()
        except TimeoutError:
            return


_ABILITY_STATES = {
    Ended.OK: AbilityState.ON,
    Ended.NO_DATA: AbilityState.ON,
    Ended.NOT_OFFERED: AbilityState.NOT_OFFERED,
    Ended.NOT_SET: AbilityState.NOT_SET,
    Ended.LIMITED: AbilityState.LIMITED,
    Ended.FAILING: AbilityState.FAILING,
}


def _is_old(contact: datetime | None, now: datetime) -> bool:
    """It answered when it was last asked, but that is long ago."""
    return contact is not None and now - contact > STALE_AFTER


def _refusal_words(refusal: Refusal) -> str:
    match refusal:
        case NoData():
            return "no such package"
        case NotOffered() | NotSet():
            return NOT_AVAILABLE
        case Failing(reason):
            return f"no answer ({reason})"
    return "asked to wait"


def _unknown_card(name: str) -> ResultCard:
    return ResultCard(name, None, "", None, None, None, (), None, None, (), ())


def wall_clock() -> datetime:
    """The time of `serve`."""
    return datetime.now(UTC)


@asynccontextmanager
async def open_catalog(settings: Settings, *, demo: bool = False) -> AsyncIterator[Catalog]:
    """A running catalog: store open, jobs started; closed again at the end.

    Under demo the database is a temporary one unless `settings.db` names a file.
    """
    with tempfile.TemporaryDirectory(prefix="pkgstats-") as folder:
        path = settings.database()
        if demo and not settings.db:
            path = Path(folder) / "demo.sqlite3"
        async with _running(settings, path, demo=demo) as catalog:
            yield catalog


@asynccontextmanager
async def _running(settings: Settings, path: Path, *, demo: bool) -> AsyncIterator[Catalog]:
    chosen = await choose_source(settings, demo=demo)
    source = chosen.source
    async with AsyncExitStack() as stack:
        stack.push_async_callback(source.close)
        now = source.now if isinstance(source, WorldSource) else wall_clock
        store = Store(path, durable=not demo)
        stack.push_async_callback(store.close)
        await store.open()
        images = "off" if demo else settings.images
        refresher = Refresher(store, source, now, images=images, is_public=chosen.is_public)
        stack.push_async_callback(refresher.close)
        await refresher.start()
        catalog = Catalog(store, source, refresher, chosen, now)
        stack.push_async_callback(catalog.close)
        jobs = [_count_visits(catalog)]
        if not isinstance(source, WorldSource):
            jobs += [refresher.load_new(settings.starter), refresher.run_jobs()]
        else:
            await refresher.load_all(source.names())
            if settings.world_day_s > 0:
                jobs.append(_days_pass(catalog, settings.world_day_s))
        for job in jobs:
            stack.push_async_callback(_stop, _start(job))
        yield catalog


def _start(job: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    task = asyncio.create_task(job)
    task.add_done_callback(_log_end)
    return task


def _log_end(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("a job of the catalog ended", exc_info=error)


async def _stop(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])


async def _count_visits(catalog: Catalog) -> None:
    while True:
        await asyncio.sleep(VISITS_SAVED_S)
        await catalog.save_visits()


async def _days_pass(catalog: Catalog, day_s: float) -> None:
    while True:
        await asyncio.sleep(day_s)
        await catalog.pass_day()
