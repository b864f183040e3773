"""A small catalog with one package of each kind, and a site around it that tests can push."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from pkgstats import site as site_module
from pkgstats.catalog import Catalog
from pkgstats.figures import BadgeFact
from pkgstats.models import (
    Badge,
    Block,
    By,
    Comparison,
    DayCount,
    Dependency,
    DistTag,
    Downloads,
    Engine,
    FeedItem,
    FileRow,
    Heading,
    Home,
    HomeItem,
    Link,
    ModuleKind,
    NotFound,
    NotFoundReason,
    Origin,
    OriginState,
    OutboxRow,
    PackageData,
    PackageList,
    PublishedSource,
    Readme,
    ResultCard,
    SearchResult,
    Series,
    Suggestion,
    VersionRow,
    WatchedPackage,
    package_group,
)
from pkgstats.series import binned, default_by
from pkgstats.settings import Settings
from pkgstats.site import Site, running_site
from pkgstats.sources.state import AbilityState, SourceState
from pkgstats.urls import package_path

NOW = datetime(2026, 7, 1, 10, 0, tzinfo=UTC)
NAME = "@azure/web-pubsub-client"
COUNTS: tuple[int | None, ...] = (5000, 5000, 5000, 5000, 5000, 1900, 1800) * 4 + (5313, None)
TOTAL = 28_700 * 4 + 5313


def downloads(counts: tuple[int | None, ...] = COUNTS) -> Downloads:
    days = tuple(DayCount(date(2026, 6, 1) + timedelta(days=i), c) for i, c in enumerate(counts))
    known = [c for c in counts if c is not None]
    return Downloads(days, sum(known), len(counts) - len(known), NOW, simulated=True)


def package(name: str, version: str, **changes: Any) -> PackageData:
    readme = Readme(
        '<h2 id="user-content-top">Top</h2><h3 id="user-content-use">Use</h3>'
        '<p>See <a href="#user-content-use">use</a>.</p>',
        (Heading(1, "Top", "user-content-top"), Heading(2, "Use", "user-content-use")),
    )
    versions = tuple(
        VersionRow(v, None, "MIT", 1, None, None, None, ("latest",) if v == "1.0.4" else ())
        for v in ("1.0.4", "1.0.2")
    )
    data = PackageData(
        name=name,
        version=version,
        latest="1.0.4",
        description="A client for <b>tests</b> & more",
        published_at=None,
        published_source=PublishedSource.MIRROR,
        license="MIT",
        keywords=("web pubsub",),
        deprecated=None,
        homepage=None,
        repo_url="https://code.example/azure/sdk",
        repo_dir=None,
        links=(Link("repository", "https://code.example/azure/sdk"),),
        engines=(Engine("node", ">=20.0.0"),),
        module=ModuleKind.BOTH,
        has_types=True,
        dist_tags=(DistTag("latest", "1.0.4"),),
        versions=versions,
        dependencies=(Dependency("dependencies", "ws", "^8.18.0"),),
        maintainers=(),
        install=f"npm install {name}",
        readme=readme,
        files=(FileRow("dist/index.js", 3000), FileRow("README.md", 1000)),
        unpacked_size=4000,
        packed_size=None,
        file_count=2,
        downloads=downloads(),
        origins=(
            Origin(Block.REGISTRY, OriginState.KNOWN, NOW),
            Origin(Block.DOWNLOADS, OriginState.SIMULATED, NOW),
            Origin(Block.SEARCH, OriginState.NOT_AVAILABLE),
        ),
        data_version="1",
        last_outbox_id=10,
        simulated=True,
    )
    return replace(data, **changes)


def card(name: str, version: str | None = "1.0.4") -> ResultCard:
    return ResultCard(
        name=name,
        version=version,
        description="A client for <b>tests</b> & more",
        publisher="demo-team",
        published_at=None,
        license="MIT",
        keywords=(),
        deprecated="",
        downloads=downloads() if version else None,
        spark=tuple(range(100, 130)) if version else (),
        links=(),
    )


class SampleCatalog(Catalog):
    """Answers from memory; what a test puts into `outbox` goes the way of live messages."""

    simulated = True

    def __init__(self) -> None:
        self.now = lambda: NOW
        self.packages = {
            NAME: package(NAME, "1.0.4"),
            "ws": package("ws", "1.0.4"),
            "react": package("react", "1.0.4"),
            "left-pad": package(
                "left-pad",
                "1.0.4",
                downloads=None,
                readme=None,
                files=(),
                deprecated="use <b>padStart</b>",
                origins=(
                    Origin(Block.REGISTRY, OriginState.STALE, NOW),
                    Origin(Block.DOWNLOADS, OriginState.NOT_AVAILABLE),
                ),
            ),
        }
        self.outbox: asyncio.Queue[list[OutboxRow]] = asyncio.Queue()
        self.sent: list[int] = []
        self.watched: dict[str, int] = {}
        self.asked: list[str] = []
        self._last_id = 10

    async def package(self, name: str, version: str | None = None) -> PackageData | NotFound:
        if name == "fault":
            raise RuntimeError("a fault for the test")
        if name == "down":
            return NotFound(name, version, NotFoundReason.NO_ANSWER, "The registry is silent.")
        if name == "withdrawn":
            return NotFound(name, version, NotFoundReason.WITHDRAWN, "All of it was withdrawn.")
        if name not in self.packages:
            near = (Suggestion("package", "react", package_path("react")),)
            return NotFound(name, version, NotFoundReason.NO_PACKAGE, "None of this name.", near)
        data = self.packages[name]
        if version in (None, data.version, "latest"):
            return data
        if version in {row.version for row in data.versions}:
            return replace(data, version=version)
        return NotFound(name, version, NotFoundReason.NO_VERSION, "No such version.")

    async def series(self, name: str, range_: str = "30d", by: By | None = None) -> Series | None:
        data = self.packages.get(name)
        if data is None or data.downloads is None:
            return None
        return binned(name, data.downloads, range_, by or default_by(range_))

    async def compare(
        self, names: Sequence[str], range_: str = "30d", by: By | None = None
    ) -> Comparison:
        found = tuple(self.packages[name] for name in names if name in self.packages)
        by = by or default_by(range_)
        return Comparison(
            names=tuple(names),
            cards=tuple(card(data.name, data.version) for data in found),
            packages=found,
            series=tuple([await self.series(data.name, range_, by) for data in found]),
            missing=(),
            range=range_,
            by=by,
            origins=(),
            last_outbox_id=self._last_id,
            simulated=True,
        )

    async def badge(self, name: str, show: BadgeFact = "downloads") -> Badge | None:
        return Badge("downloads", "120,113", True)

    async def user(self, name: str, page: int = 1) -> PackageList:
        own = (card(NAME),) if name == "demo-team" else ()
        return PackageList("user", name, own, False, None, (), True, listed=len(own))

    async def scope(self, name: str, page: int = 1) -> PackageList:
        known = [card(one) for one in self.packages if one.startswith(f"@{name}/")]
        return PackageList("scope", name, tuple(known), False, None, (), True, listed=len(known))

    async def has_star(self, visitor: str, name: str) -> bool:
        return False

    async def stars(self, visitor: str) -> list[WatchedPackage]:
        return []

    async def feed(self, kind: str, limit: int = 50) -> list[FeedItem]:
        return []

    async def suggest(self, text: str, limit: int = 8) -> list[Suggestion]:
        self.asked.append(text)
        names = [name for name in self.packages if text in name][:limit]
        return [Suggestion("package", n, package_path(n), "", "1.0.4") for n in names]

    async def near(self, text: str, limit: int) -> list[Suggestion]:
        return await self.suggest(text, limit)

    async def search(self, text: str, page: int = 1) -> SearchResult:
        cards = () if text == "nothing" else (card(NAME), card("ws", None))
        origin = Origin(Block.SEARCH, OriginState.NOT_AVAILABLE)
        return SearchResult(text, "", cards, len(cards), page, 2, 4, False, (origin,), True)

    async def home(self) -> Home:
        items = (HomeItem(card(NAME), "why not"),)
        return Home(items, items, items, "by downloads", "by date", 4, 10, True)

    async def sources(self) -> list[SourceState]:
        return [
            SourceState("packument", AbilityState.ON, "PKGSTATS_REGISTRY", "https://r.example"),
            SourceState("search", AbilityState.NOT_OFFERED, "PKGSTATS_REGISTRY", None),
        ]

    async def changes(self) -> AsyncIterator[list[OutboxRow]]:  # type: ignore[override]
        while True:
            yield await self.outbox.get()

    async def mark_sent(self, ids: Iterable[int]) -> None:
        self.sent += ids

    async def pass_day(self) -> None:
        pass

    def watching(self, counts: Mapping[str, int]) -> None:
        self.watched = dict(counts)

    def commit(self, t: str, data: dict[str, Any], name: str = NAME) -> int:
        """A change is committed: its message waits to be sent, pages show its id from now on."""
        id = self.commit_to(package_group(name), t, data)
        self.packages[name] = replace(self.packages[name], last_outbox_id=id)
        return id

    def commit_to(self, target: str, t: str, data: dict[str, Any], kind: Any = "group") -> int:
        """The same for a group that is no package's, or for a visitor."""
        self._last_id += 1
        row = OutboxRow(self._last_id, kind, target, t, NOW, data, simulated=True)
        self.outbox.put_nowait([row])
        return row.id


@pytest.fixture(scope="session")
def sample_catalog() -> type[SampleCatalog]:
    return SampleCatalog


StartSite = Callable[..., AbstractAsyncContextManager[Site]]


@pytest.fixture(scope="session")
def start_site(tmp_path_factory: pytest.TempPathFactory) -> StartSite:
    """`async with start_site(catalog) as site`: the site around a catalog, on free ports."""
    state_home = str(tmp_path_factory.mktemp("state"))

    @asynccontextmanager
    async def start(
        catalog: Catalog, port: int = 0, hubbub: str = "", **others: Any
    ) -> AsyncIterator[Site]:
        @asynccontextmanager
        async def open_catalog(settings: Settings, *, demo: bool) -> AsyncIterator[Catalog]:
            yield catalog

        async with AsyncExitStack() as stack:
            # Only while it starts: another site may start later with a catalog of its own.
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(site_module, "open_catalog", open_catalog)
                patch.setenv("XDG_STATE_HOME", state_home)
                settings = Settings(hubbub=hubbub, world_day_s=86_400, **others)
                running = running_site(settings, demo=True, port=port, hubbub_port=0)
                site = await stack.enter_async_context(running)
            yield site

    return start


@pytest.fixture(scope="module")
def catalog() -> SampleCatalog:
    return SampleCatalog()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(start_site: StartSite, catalog: SampleCatalog) -> AsyncIterator[Site]:
    async with start_site(catalog) as site:
        yield site


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def demo_site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    """The whole demonstration, in which no day passes: one for all tests that only read."""
    async with AsyncExitStack() as stack:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
            settings = Settings(world_day_s=86_400)
            running = running_site(settings, demo=True, port=0, hubbub_port=0)
            site = await stack.enter_async_context(running)
        for kind in ("random", "popular", "newest"):
            await site.catalog.pick(kind)
        yield site


CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
BROWSER_TESTS = {Path(__file__).parent / name for name in ("browser", "quality")}
WITHOUT_CHROMIUM = "Chromium was not found: the browser and quality tests of pkgstats did not run."


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if BROWSER_TESTS.isdisjoint(item.path.parents):
            continue
        item.add_marker(pytest.mark.browser)
        if CHROMIUM is None:
            item.add_marker(pytest.mark.skip(reason=WITHOUT_CHROMIUM))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if CHROMIUM is None:
        terminalreporter.write_line(WITHOUT_CHROMIUM, yellow=True)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Any]:
    """One Chromium for all tests; each opens contexts of its own."""
    from playwright.async_api import async_playwright

    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        await browser.close()
