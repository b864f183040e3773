"""Keeping packages fresh: who asks a source for what, how often, and what is done with the answer.

One request per thing at a time (single flight), within a budget per minute, and never again
before it makes sense: absences and refusals are remembered too.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from pkgstats.abilities import FAILED_FOR, Abilities
from pkgstats.counting import VERSION_COUNTS, Counting
from pkgstats.follow import ChangesFollower
from pkgstats.models import Block, Readme
from pkgstats.readme.render import RENDERER, Images, as_text, render
from pkgstats.sources.base import (
    Answer,
    Contents,
    FoundPage,
    Limited,
    NoData,
    NotOffered,
    Refusal,
    Release,
    Source,
    Unchanged,
    Validators,
)
from pkgstats.store import packages, saving, states, trimming
from pkgstats.store.states import Ability, BlockState
from pkgstats.store.store import Store

log = logging.getLogger(__name__)

WATCHED_FOR = timedelta(minutes=5)
VISITED_FOR = timedelta(hours=1)
IDLE_FOR = timedelta(hours=24)
LATEST_CHECK = timedelta(minutes=2)
SEARCH_FOR = timedelta(seconds=60)

PER_MINUTE = {
    "packument": 60,
    "latest": 60,
    "readme": 20,
    "downloads": 20,
    "search": 8,
    "changes": 12,
}
RENDERERS = 2
RENDER_LIMIT_S = 10.0
"""A usual readme takes 30 ms; the worst that fits into the limits of size took 20 s."""
JOB_INTERVAL_S = 20.0
TRIM_EVERY = timedelta(hours=1)
MAX_RUNNING = 8
MAX_WAITING = 300
"""Whoever asks for more at once is told to come back: nobody waits minutes for a page."""


class Budget:
    """At most so many requests in any minute."""

    def __init__(self, per_minute: int, clock: Callable[[], float]) -> None:
        self._per_minute = per_minute
        self._clock = clock
        self._spent: deque[float] = deque()

    def take(self) -> bool:
        """Spend one; False: not now."""
        now = self._clock()
        while self._spent and self._spent[0] <= now - 60:
            self._spent.popleft()
        if len(self._spent) >= self._per_minute:
            return False
        self._spent.append(now)
        return True


class Refresher:
    """Asks the source and stores what it says. `start` and `close` belong to the catalog."""

    def __init__(
        self,
        store: Store,
        source: Source,
        now: Callable[[], datetime],
        *,
        images: Images,
        is_public: Callable[[str], bool],
    ) -> None:
        self._store = store
        self._source = source
        self._now = now
        self._images = images
        self._is_public = is_public
        self._flights: dict[tuple[str, ...], asyncio.Task[Any]] = {}
        self._renderer = ThreadPoolExecutor(RENDERERS, "pkgstats-readme")
        self._gate = asyncio.Semaphore(MAX_RUNNING)
        loop = asyncio.get_running_loop()
        self._budgets = {name: Budget(limit, loop.time) for name, limit in PER_MINUTE.items()}
        self._abilities = Abilities(store, now)
        self._follower = ChangesFollower(
            store, source, self._abilities, self._budgets["changes"], now=now, is_public=is_public
        )
        self._counting = Counting(
            store, source, self._abilities, self._budgets["downloads"], now=now, is_public=is_public
        )
        self._searches: dict[tuple[str, int], tuple[datetime, FoundPage]] = {}
        self.watched: Mapping[str, int] = {}
        """Who is looked at right now, by name."""

    @property
    def renderer_version(self) -> str:
        return f"{RENDERER}-{self._images}"

    async def start(self) -> None:
        await self._abilities.load()

    async def close(self) -> None:
        """End running requests and wait for them."""
        for task in list(self._flights.values()):
            task.cancel()
        await asyncio.gather(*self._flights.values(), return_exceptions=True)
        self._renderer.shutdown(wait=False, cancel_futures=True)

    def abilities(self) -> Mapping[str, Ability]:
        """How the abilities of the sources are doing."""
        return self._abilities.all()

    # What to refresh

    def packument(self, name: str) -> asyncio.Task[Refusal | None]:
        """Load a package; the task's result is None when it is stored now."""
        return self._fly(("packument", name), lambda: self._load_packument(name))

    def contents(self, name: str, release: Release) -> asyncio.Task[Refusal | None]:
        """Load readme and files of a release."""
        key = ("readme", name, release.version)
        return self._fly(key, lambda: self._load_contents(name, release))

    def rerender(self, name: str, release: Release) -> asyncio.Task[Refusal | None]:
        """Render a stored readme again with the renderer of today."""
        key = ("render", name, release.version)
        return self._fly(key, lambda: self._rerender(name, release))

    def downloads(self, names: Sequence[str]) -> asyncio.Task[Refusal | None]:
        """Load counts of packages."""
        return self._fly(("downloads", *names), lambda: self._counting.load(names))

    def version_downloads(self, name: str) -> asyncio.Task[None]:
        """Load the counts of each version of a package."""
        return self._fly((VERSION_COUNTS, name), lambda: self._counting.load_versions(name))

    async def search(self, text: str, size: int, offset: int) -> FoundPage | Refusal:
        """The source's own search; answers are kept for a minute."""
        kept = self._searches.get((text, offset))
        if kept and self._now() - kept[0] < SEARCH_FOR:
            return kept[1]
        if len(text) < 2 or (refusal := self._abilities.refused("search")):
            return NoData() if len(text) < 2 else refusal or NoData()
        if not self._budgets["search"].take():
            return Limited(self._now() + timedelta(minutes=1), is_ours=True)
        answer = await self._source.search(text, size, offset)
        await self._abilities.note("search", answer)
        if not isinstance(answer, Answer):
            return answer
        if len(self._searches) >= 200:
            self._searches.pop(next(iter(self._searches)))
        self._searches[(text, offset)] = (self._now(), answer.value)
        return answer.value

    async def scope_packages(self, scope: str) -> tuple[str, ...] | Refusal:
        """Names of an organisation's packages."""
        if refusal := self._abilities.refused("organisation"):
            return refusal
        if not self._budgets["search"].take():
            return Limited(self._now() + timedelta(minutes=1), is_ours=True)
        answer = await self._source.scope_packages(scope)
        await self._abilities.note("organisation", answer)
        return answer.value if isinstance(answer, Answer) else answer

    # When to refresh

    def is_fresh(self, stored: packages.StoredPackage, *, visited: bool) -> bool:
        """Whether a stored packument is good enough not to ask again."""
        now = self._now()
        if stored.last_error_at is not None and now - stored.last_error_at < FAILED_FOR:
            return True
        if stored.is_outdated:
            return False
        if self.watched.get(stored.name):
            fresh_for = WATCHED_FOR
        else:
            fresh_for = VISITED_FOR if visited else IDLE_FOR
        return now - stored.fetched_at < fresh_for

    def is_due(self, state: BlockState | None) -> bool:
        """Whether it is worth asking for a block again."""
        return state is None or self._now() >= state.until

    async def run_jobs(self) -> None:
        """Look after what is watched, for ever."""
        next_trim = self._now()
        while True:
            await asyncio.sleep(JOB_INTERVAL_S)
            await self._look_after_watched()
            await self.follow_changes()
            if self._now() >= next_trim:
                next_trim = self._now() + TRIM_EVERY
                await self.trim()

    async def trim(self) -> None:
        """Keep the database within its bounds."""
        has_more = True
        while has_more:
            has_more = await self._store.write(lambda db: trimming.trim(db, self._now()))

    async def follow_changes(self) -> None:
        """Take in what the changes feed tells; packages new in the registry are loaded."""
        for name in await self._follower.catch_up():
            await asyncio.wait([self.packument(name)])

    async def load_all(self, names: Sequence[str]) -> None:
        """Load packages one after the other, with their counts."""
        for name in names:
            await asyncio.wait([self.packument(name)])
        if names:
            await asyncio.wait([self.downloads(names)])

    async def load_patiently(
        self, names: Sequence[str]
    ) -> AsyncIterator[tuple[str, Refusal | None]]:
        """Load packages one after the other and wait where a budget or the source says so.

        Gives each name with None when it is stored now, else why not.
        """
        for name in names:
            refusal = await self.packument(name)
            while isinstance(refusal, Limited):
                await asyncio.sleep(max(1.0, (refusal.until - self._now()).total_seconds()))
                refusal = await self.packument(name)
            yield name, refusal
        if names:
            await asyncio.wait([self.downloads(names)])

    async def due(self) -> list[str]:
        """Packages that are known here and not fresh, though nobody looks at them now."""
        names = await self._store.read(packages.seen_names)
        found = [await self._store.read(partial(packages.find, name=name)) for name in names]
        return [
            one.name for one in found if one is not None and not self.is_fresh(one, visited=False)
        ]

    async def load_new(self, names: Sequence[str]) -> None:
        """Load those packages that were never loaded (the starter list)."""
        seen = set(await self._store.read(packages.seen_names))
        await self.load_all([name for name in names if name not in seen])

    async def _look_after_watched(self) -> None:
        for name in [name for name, count in self.watched.items() if count > 0]:
            stored = await self._store.read(partial(packages.find, name=name))
            if stored is None:
                continue
            if not stored.is_outdated and self._now() - stored.fetched_at < LATEST_CHECK:
                continue
            if self._abilities.refused("latest") or not self._budgets["latest"].take():
                return
            answer = await self._source.latest(name)
            await self._note("latest", name, answer)
            moved = isinstance(answer, Answer) and answer.value != stored.latest
            if moved or not self.is_fresh(stored, visited=True):
                await asyncio.wait([self.packument(name)])
            state = await self._store.read(
                partial(states.block, name=name, block_name=Block.DOWNLOADS)
            )
            if self.is_due(state):
                await asyncio.wait([self.downloads([name])])

    # How

    def _fly(
        self, key: tuple[str, ...], work: Callable[[], Coroutine[Any, Any, Any]]
    ) -> asyncio.Task[Any]:
        """One task per thing: whoever asks meanwhile gets the same one."""
        if (running := self._flights.get(key)) is not None:
            return running
        if len(self._flights) >= MAX_WAITING:
            return asyncio.create_task(self._too_many())
        task = asyncio.create_task(self._gated(work), name=":".join(key)[:80])
        self._flights[key] = task
        task.add_done_callback(lambda done: self._landed(key, done))
        return task

    async def _too_many(self) -> Limited:
        return Limited(self._now() + timedelta(seconds=10), is_ours=True)

    async def _gated(self, work: Callable[[], Awaitable[Any]]) -> Any:
        async with self._gate:
            return await work()

    def _landed(self, key: tuple[str, ...], task: asyncio.Task[Any]) -> None:
        self._flights.pop(key, None)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("refresh of %s failed", key[:2], exc_info=error)

    def _pause(self, ability: str, name: str) -> Limited | None:
        """The pause that the registry has asked for; a scope's own registry has asked for none."""
        refusal = self._abilities.refused(ability) if self._is_public(name) else None
        return refusal if isinstance(refusal, Limited) else None

    async def _note(self, ability: str, name: str, answer: object) -> None:
        if self._is_public(name):
            await self._abilities.note(ability, answer)

    async def _load_packument(self, name: str) -> Refusal | None:
        if (pause := self._pause("packument", name)) is not None:
            return pause
        if not self._budgets["packument"].take() and not self._source.simulated:
            return Limited(self._now() + timedelta(minutes=1), is_ours=True)
        stored = await self._store.read(partial(packages.find, name=name))
        held = Validators(stored.etag, stored.last_modified) if stored and stored.etag else None
        answer = await self._source.packument(name, held)
        await self._note("packument", name, answer)
        if isinstance(answer, Answer) and not answer.value.releases:
            answer = NoData(was_withdrawn=True)
        now, simulated = self._now(), self._source.simulated
        if isinstance(answer, Answer):
            await self._store.write(
                lambda db: saving.save_packument(db, answer.value, now=now, simulated=simulated),
                about=(name,),
            )
            return None
        if isinstance(answer, Unchanged):
            etag, modified = (held.etag, held.last_modified) if held else (None, None)
            await self._store.write(
                lambda db: saving.touch(db, name, now, etag, modified), about=(name,)
            )
            return None
        state = self._abilities.block_state(answer)
        await self._store.write(
            lambda db: _save_refusal(db, name, answer, state, now), about=(name,)
        )
        return answer

    async def _load_contents(self, name: str, release: Release) -> Refusal | None:
        if (pause := self._pause("readme", name)) is not None:
            return pause
        if not self._budgets["readme"].take() and not self._source.simulated:
            return Limited(self._now() + timedelta(minutes=1), is_ours=True)
        answer = await self._source.contents(name, release)
        if not isinstance(answer, NotOffered):  # one missing tarball says nothing of the others
            await self._note("readme", name, answer)
        state = self._abilities.block_state(answer)
        if not isinstance(answer, Answer):
            await self._store.write(
                lambda db: states.save_block(db, name, Block.README, state, release.version),
                about=(name,),
            )
            return answer
        contents: Contents = answer.value
        readme = await self._render(contents.readme, release, truncated=contents.readme_truncated)
        now, simulated = self._now(), self._source.simulated

        def save(db: Any) -> None:
            saving.save_contents(
                db,
                name,
                release.version,
                contents,
                readme,
                self.renderer_version,
                now=now,
                simulated=simulated,
            )
            states.save_block(db, name, Block.README, state, release.version)

        await self._store.write(save, about=(name,))
        return None

    async def _rerender(self, name: str, release: Release) -> None:
        version = release.version
        markdown = await self._store.read(lambda db: packages.markdown(db, name, version))
        readme = await self._render(markdown, release, truncated=False)
        if readme is not None:
            renderer = self.renderer_version
            await self._store.write(
                lambda db: saving.save_rendered(db, name, version, readme, renderer),
                about=(name,),
            )

    async def _render(
        self, markdown: str | None, release: Release, *, truncated: bool
    ) -> Readme | None:
        if markdown is None or not markdown.strip():
            return None
        work = partial(
            render,
            markdown,
            images=self._images,
            repo_url=release.repo_url,
            repo_dir=release.repo_dir,
            truncated=truncated,
        )
        rendering = asyncio.get_running_loop().run_in_executor(self._renderer, work)
        try:
            async with asyncio.timeout(RENDER_LIMIT_S):
                return await asyncio.shield(rendering)
        except TimeoutError:
            log.warning("a readme took too long to render and is shown as plain text")
            return as_text(markdown, truncated=truncated)


def _save_refusal(db: Any, name: str, answer: Refusal, state: BlockState, now: datetime) -> None:
    """A 404 takes the package away; anything else leaves the copy and says why it is old."""
    states.forget_absences(db, now)
    states.save_block(db, name, Block.REGISTRY, state)
    if isinstance(answer, NoData):
        saving.forget_withdrawn(db, name)
    else:
        saving.save_error(db, name, state.detail or state.ended.value, now)
