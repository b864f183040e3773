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
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Literal

from pkgstats import grammar, series, urls
from pkgstats.assemble import LOADING_WORDS, NO_ANSWER_WORDS, Assembler
from pkgstats.models import (
    NOT_AVAILABLE,
    AbilityState,
    Block,
    Downloads,
    FeedItem,
    Home,
    HomeItem,
    NotFound,
    NotFoundReason,
    Origin,
    OriginState,
    OutboxRow,
    PackageData,
    PackageList,
    ResultCard,
    SearchResult,
    SourceState,
    Suggestion,
    WatchedPackage,
)
from pkgstats.refresh import Refresher
from pkgstats.settings import Settings
from pkgstats.sources.base import (
    Failing,
    FoundPage,
    NoData,
    NotOffered,
    NotSet,
    Refusal,
    Release,
    Source,
)
from pkgstats.sources.choose import ABILITIES, Chosen, choose_source
from pkgstats.sources.world import WorldSource
from pkgstats.store import counts, outbox, packages, people, states
from pkgstats.store import search as index
from pkgstats.store.packages import StoredPackage
from pkgstats.store.states import Ended
from pkgstats.store.store import Store

log = logging.getLogger(__name__)

PAGE_SIZE = 50
HOME_ITEMS = 10
FIRST_VISIT_S = 3.0
"""How long the very first visit of a name waits for the sources."""
MAX_UPSTREAM_PAGES = 5
MAX_RANGE_DAYS = 548
RESEND_PAUSE_S = 2.0
VISITS_SAVED_S = 10.0
SITEMAP_NAMES = 5000


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
        self._pages = Assembler(simulated=source.simulated, npm_site=chosen.npm_site)
        self._random = random.Random(0 if source.simulated else None)
        self._closed = asyncio.Event()
        self._visits: Counter[str] = Counter()

    # Pages

    async def package(self, name: str, version: str | None = None) -> PackageData | NotFound:
        """The page of a version or dist-tag (None: latest).

        Answers from the store at once when there is any copy and refreshes it in the background;
        a name never seen here waits at most 3 s for the registry. Raises nothing for a bad name.
        """
        if not grammar.is_package_name(name):
            return await self._not_found(name, version, NotFoundReason.NOT_A_NAME)
        deadline = asyncio.get_running_loop().time() + FIRST_VISIT_S
        stored = await self._stored(name)
        is_first = stored is None
        if stored is None:
            refusal = await self._first_load(name, deadline)
            stored = await self._stored(name)
            if stored is None:
                missing = isinstance(refusal, NoData)
                reason = NotFoundReason.NO_PACKAGE if missing else NotFoundReason.NO_ANSWER
                return await self._not_found(name, version, reason, refusal)
        elif not self._refresher.is_fresh(stored, visited=True):
            self._refresher.packument(name)
        wanted = version or stored.latest or ""
        release = await self._store.read(lambda db: packages.release(db, name, wanted))
        if release is None:
            return await self._not_found(name, version, NotFoundReason.NO_VERSION)
        await self._fill_in(stored, release, deadline if is_first or self.simulated else None)
        self._visits[name] += 1
        shown = stored
        return await self._store.read(
            lambda db: self._pages.page(db, packages.find(db, name) or shown, release)
        )

    async def downloads(self, name: str, days: int) -> Downloads | None:
        """The last `days` days of counts (1 … 548), None when there are none."""
        length = min(max(days, 1), MAX_RANGE_DAYS)
        return await self._store.read(
            lambda db: counts.load(db, name, length, simulated=self.simulated)
        )

    async def cards(self, names: Sequence[str]) -> list[ResultCard]:
        """Cards for known names, in the order asked; names not known here are left out."""
        return await self._store.read(lambda db: self._pages.cards(db, list(names)))

    async def suggest(self, text: str, limit: int = 8) -> list[Suggestion]:
        """Suggestions for a text being typed, from the own index only; never waits upstream."""
        query = grammar.parse(text)
        needle = grammar.clean(text)
        match query:
            case grammar.HomeQuery():
                return []
            case grammar.UserQuery(name):
                return [Suggestion("user", f"@{name}", urls.user_path(name), "packages of a user")]
            case grammar.PackageQuery(name):
                needle = name
            case grammar.SearchQuery(found):
                needle = found
        limit = min(max(limit, 1), 20)
        names = await self._store.read(partial(_suggested, text=needle, limit=limit))
        cards = await self.cards(names)
        found_packages = [
            Suggestion(
                "package", card.name, urls.package_path(card.name), card.description, card.version
            )
            for card in cards
        ]
        if isinstance(query, grammar.NameQuery | grammar.ScopeQuery):
            href = urls.address(query)
            first = Suggestion("scope", f"@{query.name}", href, "user or scope")
            return [first, *found_packages][:limit]
        return found_packages

    async def search(self, text: str, page: int = 1) -> SearchResult:
        """A page of 50 results: own index, merged with the registry's search where offered."""
        query = grammar.parse(text)
        note = query.note if isinstance(query, grammar.SearchQuery) else ""
        text = query.text if isinstance(query, grammar.SearchQuery) else grammar.clean(text)
        page = min(max(page, 1), 100)
        upstream, origin = await self._upstream(text, page)
        own = await self._store.read(partial(index.search, text=text))
        exact = text if text in own or text in upstream.names else ""
        names = list(
            dict.fromkeys([exact, *upstream.names, *own] if exact else [*upstream.names, *own])
        )
        total = max(len(names), upstream.total)
        shown = names[(page - 1) * PAGE_SIZE : page * PAGE_SIZE]
        cards = await self._store.read(lambda db: self._pages.cards(db, shown, exact))
        return SearchResult(
            text=text,
            note=note,
            cards=tuple(cards),
            total=total,
            page=page,
            pages=max(1, -(-total // PAGE_SIZE)),
            known_packages=await self._store.read(index.count_seen),
            upstream=upstream.answered,
            origins=(origin,),
            simulated=self.simulated,
        )

    async def user(self, name: str) -> PackageList:
        """Packages with this maintainer."""
        own = await self._store.read(partial(index.names_of_maintainer, username=name))
        answer = await self._refresher.search(f"maintainer:{name}", PAGE_SIZE, 0)
        if isinstance(answer, FoundPage):
            await self._remember(answer)
            own = list(dict.fromkeys([*own, *(found.name for found in answer.found)]))
        complete = isinstance(answer, FoundPage) and answer.total <= len(answer.found)
        origin = self._list_origin(Block.USER_PACKAGES, answer)
        return await self._package_list("user", name, own, complete, origin)

    async def scope(self, name: str) -> PackageList:
        """Packages in the scope (`name` without the @)."""
        own = await self._store.read(partial(index.names_in_scope, scope=name))
        answer = await self._refresher.scope_packages(name)
        complete = isinstance(answer, tuple)
        if isinstance(answer, tuple):
            listed = answer
            await self._store.write(lambda db: packages.save_names(db, listed, self.now()))
            own = list(dict.fromkeys([*own, *listed]))
        origin = self._list_origin(Block.ORG_PACKAGES, answer)
        return await self._package_list("scope", name, own, complete, origin)

    async def home(self) -> Home:
        """Popular, newest and random, ten each at most."""

        def read(db: packages.Database) -> Home:
            popular, basis = people.popular(db, HOME_ITEMS)
            names = people.describable(db)
            chosen = self._random.sample(names, min(HOME_ITEMS, len(names)))
            return Home(
                popular=self._items(db, popular),
                newest=self._items(db, people.newest(db, HOME_ITEMS, self.now())),
                random=self._items(db, [(name, "drawn from all known here") for name in chosen]),
                popular_basis=basis,
                newest_basis="newest releases among the packages known here",
                known_packages=index.count_seen(db),
                last_outbox_id=outbox.last_id(db),
                simulated=self.simulated,
            )

        return await self._store.read(read)

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
        return await self._store.write(lambda db: people.star(db, visitor, name, self.now()))

    async def unstar(self, visitor: str, name: str) -> None:
        """Take a star back; nothing happens when there is none."""
        await self._store.write(lambda db: people.unstar(db, visitor, name))

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
                names = [name for name in people.describable(db) if name not in taken]
                options = [(name, "drawn from all known here") for name in names]
                options = [self._random.choice(options)] if options else []
            elif kind == "popular":
                options = people.popular(db, index.MAX_CANDIDATES)[0]
            else:
                options = people.newest(db, index.MAX_CANDIDATES, now)
            for name, reason in options:
                if name not in taken:
                    return people.add_pick(
                        db, kind, name, reason, now=now, simulated=self.simulated
                    )
            return None

        return await self._store.write(write)

    # Live

    async def pending(self, limit: int = 100) -> list[OutboxRow]:
        """Messages not yet marked as sent, in the order of their ids."""
        return await self._store.read(lambda db: outbox.pending(db, limit))

    async def mark_sent(self, ids: Iterable[int]) -> None:
        """Mark messages as sent; call it after the service accepted them."""
        sent = list(ids)
        await self._store.write(lambda db: outbox.mark_sent(db, sent, self.now()))

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
            await self._wait_for_commit(RESEND_PAUSE_S if rows else None)

    def watching(self, watched: Mapping[str, int]) -> None:
        """Tell which packages are looked at right now: they are kept fresher."""
        self._refresher.watched = dict(watched)

    # Simulated world (demo only)

    async def release_now(self) -> None:
        """Let the simulated world publish 1.1.0 of the model package at once; no-op when done."""
        if isinstance(self._source, WorldSource):
            await self._refresher.load_all(self._source.release_next())

    async def pass_day(self) -> None:
        """Let a day of the simulated world pass: new counts, releases, a pick."""
        if not isinstance(self._source, WorldSource):
            return
        await self._refresher.load_all(self._source.advance())
        names = await self._store.read(packages.seen_names)
        await asyncio.wait([self._refresher.downloads(names)])
        await self.pick("random")

    # Inside

    async def save_visits(self) -> None:
        """Write down the visits counted since the last time."""
        visits, self._visits = self._visits, Counter()
        if visits:
            await self._store.write(lambda db: people.add_visits(db, visits, self.now().date()))

    async def close(self) -> None:
        """End `changes()`; the rest is closed by `open_catalog`."""
        await self.save_visits()
        self._closed.set()
        self._store.committed.set()

    async def _wait_for_commit(self, timeout_s: float | None) -> None:
        try:
            async with asyncio.timeout(timeout_s):
                await self._store.committed.wait()
        except TimeoutError:
            return

    async def _stored(self, name: str) -> StoredPackage | None:
        return await self._store.read(partial(packages.find, name=name))

    async def _first_load(self, name: str, deadline: float) -> Refusal | None:
        """Ask for a name never seen, unless it was refused a moment ago."""
        state = await self._store.read(lambda db: states.block(db, name, Block.REGISTRY))
        if state is not None and not self._refresher.is_due(state):
            return _remembered(state)
        task = self._refresher.packument(name)
        await asyncio.wait([task], timeout=_left(deadline))
        return task.result() if task.done() and not task.cancelled() else None

    async def _fill_in(
        self, stored: StoredPackage, release: Release, deadline: float | None
    ) -> None:
        """Load what a page lacks: in the background, or until the deadline of a first visit."""
        name, version = stored.name, release.version

        contents = await self._store.read(lambda db: packages.contents(db, name, version))
        tarball, counted = await self._store.read(
            lambda db: (
                states.block(db, name, Block.README, version),
                states.block(db, name, Block.DOWNLOADS),
            )
        )
        tasks: list[asyncio.Task[Refusal | None] | asyncio.Task[None]] = []
        if contents is None:
            if self._refresher.is_due(tarball):
                tasks.append(self._refresher.contents(name, release))
        elif contents.renderer != self._refresher.renderer_version and contents.has_markdown:
            self._refresher.rerender(name, release)
        if self._refresher.is_due(counted):
            tasks.append(self._refresher.downloads([name]))
        if tasks and deadline is not None:
            await asyncio.wait(tasks, timeout=_left(deadline))

    async def _not_found(
        self,
        name: str,
        version: str | None,
        reason: NotFoundReason,
        refusal: Refusal | None = None,
    ) -> NotFound:
        words = {
            NotFoundReason.NOT_A_NAME: f"No package found for: {name}",
            NotFoundReason.NO_PACKAGE: f"No package found for: {name}",
            NotFoundReason.NO_VERSION: f"No version {version} found of: {name}",
            NotFoundReason.NO_ANSWER: f"No answer yet for: {name}",
        }[reason]
        origins: tuple[Origin, ...] = ()
        if reason is NotFoundReason.NO_ANSWER:
            told = Origin(Block.REGISTRY, OriginState.FAILING, self.now(), NO_ANSWER_WORDS)
            if refusal is None:
                told = Origin(Block.REGISTRY, OriginState.LOADING, self.now(), LOADING_WORDS)
            elif isinstance(refusal, NotSet | NotOffered):
                told = Origin(Block.REGISTRY, OriginState.NOT_AVAILABLE, self.now(), NOT_AVAILABLE)
            origins = (told,)
        near = await self.suggest(name.partition("/")[2] or name, 5)
        return NotFound(name, version, reason, words, tuple(near), origins)

    async def _upstream(self, text: str, page: int) -> tuple[_Upstream, Origin]:
        """The registry's results for all pages up to this one (five at most)."""
        names: list[str] = []
        total = 0
        answer: FoundPage | Refusal = NoData()
        for number in range(min(page, MAX_UPSTREAM_PAGES)):
            answer = await self._refresher.search(text, PAGE_SIZE, number * PAGE_SIZE)
            if not isinstance(answer, FoundPage):
                break
            await self._remember(answer)
            names += [found.name for found in answer.found]
            total = min(answer.total, MAX_UPSTREAM_PAGES * PAGE_SIZE)
            if not answer.found:
                break
        origin = self._list_origin(Block.SEARCH, answer)
        return _Upstream(names, total, isinstance(answer, FoundPage)), origin

    async def _remember(self, page: FoundPage) -> None:
        if page.found:
            await self._store.write(lambda db: packages.save_found(db, page.found, self.now()))

    def _list_origin(self, block: Block, answer: object) -> Origin:
        now = self.now()
        if isinstance(answer, FoundPage | tuple):
            known = OriginState.SIMULATED if self.simulated else OriginState.KNOWN
            return Origin(block, known, now)
        if isinstance(answer, NoData):
            return Origin(block, OriginState.NO_DATA, now)
        if isinstance(answer, NotOffered | NotSet):
            return Origin(block, OriginState.NOT_AVAILABLE, now, NOT_AVAILABLE)
        return Origin(block, OriginState.FAILING, now, NO_ANSWER_WORDS)

    async def _package_list(
        self,
        kind: Literal["user", "scope"],
        name: str,
        names: list[str],
        complete: bool,
        origin: Origin,
    ) -> PackageList:
        cards = await self._store.read(lambda db: self._pages.cards(db, names[:500]))
        total = series.added([card.downloads for card in cards if card.downloads])
        return PackageList(kind, name, tuple(cards), complete, total, (origin,), self.simulated)

    def _items(
        self, db: packages.Database, pairs: Iterable[tuple[str, str]]
    ) -> tuple[HomeItem, ...]:
        cards = ((self._pages.card(db, name), reason) for name, reason in pairs)
        return tuple(HomeItem(card, reason) for card, reason in cards if card is not None)


class _Upstream:
    """What the registry's search contributed."""

    def __init__(self, names: list[str], total: int, answered: bool) -> None:
        self.names = names
        self.total = total
        self.answered = answered


_ABILITY_STATES = {
    Ended.OK: AbilityState.ON,
    Ended.NO_DATA: AbilityState.ON,
    Ended.NOT_OFFERED: AbilityState.NOT_OFFERED,
    Ended.NOT_SET: AbilityState.NOT_SET,
    Ended.LIMITED: AbilityState.LIMITED,
    Ended.FAILING: AbilityState.FAILING,
}


def _remembered(state: states.BlockState) -> Refusal:
    match state.ended:
        case Ended.NO_DATA:
            return NoData()
        case Ended.NOT_SET:
            return NotSet(state.detail)
        case Ended.NOT_OFFERED:
            return NotOffered(state.detail)
    return Failing(state.detail)


def _left(deadline: float) -> float:
    return max(0.0, deadline - asyncio.get_running_loop().time())


def _suggested(db: packages.Database, text: str, limit: int) -> list[str]:
    """Names that begin so; when there are too few, whatever the search finds."""
    names = index.by_prefix(db, text, limit)
    if len(names) < limit and len(text) >= 3:
        names += index.search(db, text)
    return list(dict.fromkeys(names))[:limit]


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
    now = source.now if isinstance(source, WorldSource) else wall_clock
    store = Store(path, durable=not demo)
    await store.open()
    refresher = Refresher(
        store,
        source,
        now,
        images="off" if demo else settings.images,
        is_public=chosen.is_public,
    )
    catalog = Catalog(store, source, refresher, chosen, now)
    jobs = [asyncio.create_task(_count_visits(catalog))]
    try:
        await refresher.start()
        if isinstance(source, WorldSource):
            await refresher.load_all(source.names())
            if settings.world_day_s > 0:
                jobs.append(asyncio.create_task(_days_pass(catalog, settings.world_day_s)))
        else:
            jobs.append(asyncio.create_task(refresher.load_new(settings.starter)))
            jobs.append(asyncio.create_task(refresher.run_jobs()))
        yield catalog
    finally:
        for job in jobs:
            job.cancel()
        for result in await asyncio.gather(*jobs, return_exceptions=True):
            if isinstance(result, Exception):
                log.error("a job of the catalog failed", exc_info=result)
        await catalog.close()
        await refresher.close()
        await source.close()
        await store.close()


async def _count_visits(catalog: Catalog) -> None:
    while True:
        await asyncio.sleep(VISITS_SAVED_S)
        await catalog.save_visits()


async def _days_pass(catalog: Catalog, day_s: float) -> None:
    while True:
        await asyncio.sleep(day_s)
        await catalog.pass_day()
