"""The catalog over scripted, recorded and simulated sources: what a page says in which case."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from pkgstats import catalog as catalog_module
from pkgstats import lookup, refresh
from pkgstats.catalog import Catalog, open_catalog
from pkgstats.models import (
    DATE_NOT_KNOWN,
    NOT_AVAILABLE,
    Block,
    DayCount,
    NotFound,
    NotFoundReason,
    OriginState,
    OutboxRow,
    PackageData,
    PublishedSource,
)
from pkgstats.settings import Settings
from pkgstats.sources.base import (
    Answer,
    Change,
    Changes,
    Contents,
    Failing,
    Found,
    FoundPage,
    Limited,
    NoData,
    NotOffered,
    NotSet,
    Packument,
    Refusal,
    Release,
    Unchanged,
    Validators,
)
from pkgstats.sources.choose import ABILITIES, Chosen, Place, choose_source
from pkgstats.sources.recorded import MODEL, RecordedSource
from pkgstats.sources.state import AbilityState

START = datetime(2026, 7, 1, 6, 0, tzinfo=UTC)


def packument(
    name: str, *versions: str, source: PublishedSource = PublishedSource.REGISTRY
) -> Packument:
    releases = tuple(
        Release(v, description=f"{name} does things", published_at=START, license="MIT")
        for v in reversed(versions)
    )
    return Packument(name, versions[-1], (("latest", versions[-1]),), releases, source)


def month(count: int) -> tuple[DayCount, ...]:
    return tuple(DayCount(date(2026, 6, 1) + timedelta(days=i), count) for i in range(30))


@dataclass
class Scripted:
    """A source that answers as the test says, and remembers what it was asked."""

    packuments: dict[str, object] = field(default_factory=dict)
    tarball: object = field(default_factory=lambda: NotOffered("no tarball"))
    counts: object = field(default_factory=lambda: NotSet("set PKGSTATS_DOWNLOADS"))
    found: object = field(default_factory=lambda: NotOffered("no search"))
    scope: object = field(default_factory=lambda: NotOffered("no organisations"))
    per_version: object = field(default_factory=lambda: NotSet("set PKGSTATS_DOWNLOADS"))
    changed: list[object] = field(default_factory=list)
    time: datetime = START
    gate: asyncio.Event | None = None
    asked: list[str] = field(default_factory=list)
    simulated: bool = False

    def now(self) -> datetime:
        return self.time

    def _answer(self, value: object) -> object:
        refusals = NoData | NotOffered | NotSet | Limited | Failing | Unchanged
        return value if isinstance(value, refusals) else Answer(value, self.time)

    async def packument(
        self, name: str, validators: Validators | None = None
    ) -> Answer[Packument] | Unchanged | Refusal:
        self.asked.append(f"packument {name}")
        if self.gate is not None:
            await self.gate.wait()
        return self._answer(self.packuments.get(name, NoData()))  # type: ignore[return-value]

    async def latest(self, name: str) -> Answer[str] | Refusal:
        self.asked.append(f"latest {name}")
        value = self.packuments.get(name, NoData())
        return self._answer(value.latest if isinstance(value, Packument) else value)  # type: ignore[return-value]

    async def contents(self, name: str, release: Release) -> Answer[Contents] | Refusal:
        self.asked.append(f"contents {name}@{release.version}")
        return self._answer(self.tarball)  # type: ignore[return-value]

    async def downloads(
        self, names: Sequence[str], start: date, end: date
    ) -> dict[str, Answer[tuple[DayCount, ...]] | Refusal]:
        self.asked.append(f"downloads {','.join(names)}")
        return dict.fromkeys(names, self._answer(self.counts))  # type: ignore[arg-type]

    async def version_downloads(self, name: str) -> Answer[dict[str, int]] | Refusal:
        self.asked.append(f"versions {name}")
        return self._answer(self.per_version)  # type: ignore[return-value]

    async def changes(self, since: str | None) -> Answer[Changes] | Refusal:
        self.asked.append(f"changes {since}")
        return self._answer(self.changed.pop(0) if self.changed else NotSet("x"))  # type: ignore[return-value]

    async def search(self, text: str, size: int, offset: int) -> Answer[FoundPage] | Refusal:
        self.asked.append(f"search {text} {offset}")
        return self._answer(self.found)  # type: ignore[return-value]

    async def scope_packages(self, scope: str) -> Answer[tuple[str, ...]] | Refusal:
        self.asked.append(f"scope {scope}")
        return self._answer(self.scope)  # type: ignore[return-value]

    async def close(self) -> None:
        return None


OpenCatalog = Callable[[Scripted], AbstractAsyncContextManager[Catalog]]


@pytest.fixture
def opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> OpenCatalog:
    """Open a catalog over a scripted source; the database stays from one to the next."""

    @asynccontextmanager
    async def opening(source: Scripted) -> AsyncIterator[Catalog]:
        async def choose(settings: Settings, *, demo: bool) -> Chosen:
            places = dict.fromkeys(ABILITIES, Place("https://r.example", "PKGSTATS_REGISTRY"))
            places["downloads"] = Place(None, "PKGSTATS_DOWNLOADS")
            return Chosen(source, places, "", lambda name: not name.startswith("@private/"))

        monkeypatch.setattr(catalog_module, "choose_source", choose)
        monkeypatch.setattr(catalog_module, "wall_clock", source.now)
        settings = Settings(db=str(tmp_path / "test.db"), starter=())
        async with open_catalog(settings) as catalog:
            yield catalog

    return opening


@pytest.fixture
async def demo() -> AsyncIterator[Catalog]:
    async with open_catalog(Settings(world_day_s=0), demo=True) as catalog:
        yield catalog


async def page(catalog: Catalog, name: str, version: str | None = None) -> PackageData:
    found = await catalog.package(name, version)
    assert isinstance(found, PackageData), found
    return found


async def missing(catalog: Catalog, name: str, version: str | None = None) -> NotFound:
    found = await catalog.package(name, version)
    assert isinstance(found, NotFound), found
    return found


def told(found: PackageData, block: Block) -> tuple[OriginState, str]:
    origin = found.origin(block)
    assert origin is not None
    return origin.state, origin.words


# The demonstration


async def test_s08_s10_s11_s13_model_page_of_the_demonstration(demo: Catalog) -> None:
    for found in (await page(demo, MODEL), await page(demo, MODEL, "1.0.4")):
        assert (found.version, found.description) == ("1.0.4", "Azure Web PubSub Client")
        assert found.downloads is not None
        assert found.downloads.total == 134_113
        assert found.readme is not None
        assert len(found.readme.headings) == 31
        assert (len(found.files), found.unpacked_size) == (264, 935_414)
        assert found.published_at is None
        assert told(found, Block.DATE) == (OriginState.NOT_AVAILABLE, DATE_NOT_KNOWN)
        assert found.simulated
        assert all(origin.as_of for origin in found.origins)


async def test_s24_a_release_in_the_world_reaches_page_stars_and_messages(demo: Catalog) -> None:
    await demo.star("visitor", MODEL)
    await demo.mark_sent([row.id for row in await demo.pending(1000)])
    await demo.release_now()
    await demo.release_now()  # once only
    rows = await demo.pending()
    assert [(row.target, row.t) for row in rows] == [
        (f"pkg:{MODEL}", "release"),
        ("feed.newest", "newest"),
        ("visitor", "release"),
    ]
    assert all(row.envelope()["simulated"] for row in rows)
    found = await page(demo, MODEL)
    assert found.version == "1.1.0"
    assert found.last_outbox_id >= rows[-1].id
    assert (await demo.stars("visitor"))[0].changes == ("1.0.4 → 1.1.0",)


async def test_a_day_of_the_world_moves_every_figure_it_should(demo: Catalog) -> None:
    before = await page(demo, MODEL)
    assert before.downloads is not None
    await demo.pass_day()
    after = await page(demo, MODEL)
    assert after.downloads is not None
    assert after.downloads.end == date(2026, 7, 1)
    assert after.downloads.total != before.downloads.total
    assert after.data_version != before.data_version
    kinds = {row.t for row in await demo.pending(1000)}
    assert {"downloads", "release", "newest"} <= kinds


async def totals(catalog: Catalog) -> list[tuple[str, str | None, int]]:
    home = await catalog.home()
    cards = [item.card for item in (*home.popular, *home.newest)]
    return [(card.name, card.version, card.downloads.total) for card in cards if card.downloads]


async def test_same_seed_is_the_same_world(demo: Catalog) -> None:
    async with open_catalog(Settings(world_day_s=0), demo=True) as other:
        for catalog in (demo, other):
            await catalog.pass_day()
        assert await totals(demo) == await totals(other)


async def test_r02_home_lists_popular_newest_and_random(demo: Catalog) -> None:
    home = await demo.home()
    assert (len(home.popular), len(home.newest), len(home.random)) == (10, 10, 10)
    assert home.popular[0].card.name == "ws"
    assert home.known_packages == 60
    assert home.simulated


async def test_a03_what_the_recorded_files_lack_is_not_available(demo: Catalog) -> None:
    found = await page(demo, "express")
    assert found.readme is None
    assert told(found, Block.README) == (OriginState.NOT_AVAILABLE, NOT_AVAILABLE)
    result = await demo.search("web framework")
    assert result.cards[0].name == "express"
    assert (result.origins[0].state, result.origins[0].words) == (
        OriginState.NOT_AVAILABLE,
        NOT_AVAILABLE,
    )


async def test_a05_under_demo_every_source_is_simulated(demo: Catalog) -> None:
    states = await demo.sources()
    assert [state.ability for state in states] == list(ABILITIES)
    assert {state.state for state in states} == {AbilityState.SIMULATED}


# One package and its source


async def test_a03_page_without_counts_and_tarball_is_whole_otherwise(opened: OpenCatalog) -> None:
    source = Scripted({"demo-a": packument("demo-a", "1.0.0")})
    async with opened(source) as catalog:
        found = await page(catalog, "demo-a")
    assert (found.version, found.published_at, found.license) == ("1.0.0", START, "MIT")
    assert found.downloads is None
    assert told(found, Block.DOWNLOADS) == (OriginState.NOT_AVAILABLE, NOT_AVAILABLE)
    assert told(found, Block.README) == (OriginState.NOT_AVAILABLE, NOT_AVAILABLE)
    assert told(found, Block.REGISTRY) == (OriginState.KNOWN, "")
    assert not found.simulated


async def test_s12_counts_that_this_package_does_not_have_are_not_mentioned(
    opened: OpenCatalog,
) -> None:
    source = Scripted({"demo-a": packument("demo-a", "1.0.0")}, counts=NoData())
    async with opened(source) as catalog:
        found = await page(catalog, "demo-a")
    assert found.downloads is None
    assert told(found, Block.DOWNLOADS) == (OriginState.NO_DATA, "")


async def test_f03_a_mirrors_date_is_never_shown_as_published(opened: OpenCatalog) -> None:
    lean = packument("demo-a", "1.0.0", source=PublishedSource.MIRROR)
    async with opened(Scripted({"demo-a": lean})) as catalog:
        found = await page(catalog, "demo-a")
        card = (await catalog.cards(["demo-a"]))[0]
    assert found.published_at is None
    assert found.versions[0].published_at is None
    assert card.published_at is None
    assert told(found, Block.DATE)[1] == DATE_NOT_KNOWN


async def test_f06_when_the_registry_fails_the_last_copy_is_shown_as_stale(
    opened: OpenCatalog,
) -> None:
    source = Scripted({"demo-a": packument("demo-a", "1.0.0")})
    async with opened(source) as catalog:
        await page(catalog, "demo-a")
        source.packuments["demo-a"] = Failing("no connection")
        source.time += timedelta(hours=2)
        await page(catalog, "demo-a")
        await settled(catalog)
        found = await page(catalog, "demo-a")
    assert found.version == "1.0.0"
    assert told(found, Block.REGISTRY) == (
        OriginState.STALE,
        "no answer from this source (no connection)",
    )
    origin = found.origin(Block.REGISTRY)
    assert origin is not None
    assert origin.as_of == START


async def settled(catalog: Catalog) -> None:
    """Wait until nothing is being asked any more."""
    while catalog._refresher._flights:
        await asyncio.wait(list(catalog._refresher._flights.values()))


@pytest.mark.parametrize(
    ("answer", "reason", "state"),
    [
        (NoData(), NotFoundReason.NO_PACKAGE, None),
        (
            Packument("demo-a", None, (), (), PublishedSource.REGISTRY),
            NotFoundReason.WITHDRAWN,
            None,
        ),
        (Failing("no connection"), NotFoundReason.NO_ANSWER, OriginState.FAILING),
        (NotSet("set it"), NotFoundReason.NO_ANSWER, OriginState.NOT_AVAILABLE),
        (Limited(START + timedelta(minutes=5)), NotFoundReason.NO_ANSWER, OriginState.FAILING),
    ],
)
async def test_f07_refusals_of_a_new_name_are_remembered_for_their_time(
    opened: OpenCatalog, answer: object, reason: NotFoundReason, state: OriginState | None
) -> None:
    source = Scripted({"demo-a": answer})
    async with opened(source) as catalog:
        for _ in range(2):
            found = await missing(catalog, "demo-a")
            assert found.reason is reason
            assert [origin.state for origin in found.origins] == ([state] if state else [])
        assert source.asked.count("packument demo-a") == 1
        source.packuments["demo-a"] = packument("demo-a", "1.0.0")
        source.time += timedelta(minutes=11)
        assert (await page(catalog, "demo-a")).version == "1.0.0"


async def test_a_slow_registry_is_waited_for_only_so_long(
    opened: OpenCatalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lookup, "FIRST_VISIT_S", 0.01)
    source = Scripted({"demo-a": packument("demo-a", "1.0.0")}, gate=asyncio.Event())
    async with opened(source) as catalog:
        found = await missing(catalog, "demo-a")
        assert found.reason is NotFoundReason.NO_ANSWER
        assert found.origins[0].state is OriginState.LOADING
        assert source.gate is not None
        source.gate.set()
        await settled(catalog)
        assert (await page(catalog, "demo-a")).version == "1.0.0"
        rows = await catalog.pending()
        assert ("pkg:demo-a", "package") in [(row.target, row.t) for row in rows]


async def test_many_first_visits_at_once_are_one_request(opened: OpenCatalog) -> None:
    source = Scripted({"demo-a": packument("demo-a", "1.0.0")}, gate=asyncio.Event())
    async with opened(source) as catalog:
        visits = [asyncio.create_task(catalog.package("demo-a")) for _ in range(20)]
        await asyncio.sleep(0)
        assert source.gate is not None
        source.gate.set()
        assert all(isinstance(found, PackageData) for found in await asyncio.gather(*visits))
    assert source.asked.count("packument demo-a") == 1


async def test_r12_a_fresh_copy_is_not_asked_for_again_until_its_hour_is_over(
    opened: OpenCatalog,
) -> None:
    source = Scripted({"demo-a": packument("demo-a", "1.0.0")})
    async with opened(source) as catalog:
        for _ in range(3):
            await page(catalog, "demo-a")
        assert source.asked.count("packument demo-a") == 1
        source.time += timedelta(minutes=61)
        await page(catalog, "demo-a")
        await settled(catalog)
        assert source.asked.count("packument demo-a") == 2
        catalog.watching({"demo-a": 1})
        source.time += timedelta(minutes=6)
        await page(catalog, "demo-a")
        await settled(catalog)
    assert source.asked.count("packument demo-a") == 3


async def test_r12_the_copy_outlives_the_program(opened: OpenCatalog) -> None:
    async with opened(Scripted({"demo-a": packument("demo-a", "1.0.0")})) as catalog:
        await page(catalog, "demo-a")
    source = Scripted({"demo-a": Failing("no connection")})
    async with opened(source) as catalog:
        assert (await page(catalog, "demo-a")).version == "1.0.0"
    assert source.asked == []


async def test_a_withdrawn_package_disappears_after_its_time(opened: OpenCatalog) -> None:
    source = Scripted({"demo-a": packument("demo-a", "1.0.0")})
    async with opened(source) as catalog:
        await page(catalog, "demo-a")
        source.packuments["demo-a"] = replace(
            packument("demo-a", "1.0.0"), latest=None, releases=()
        )
        source.time += timedelta(hours=2)
        await page(catalog, "demo-a")
        await settled(catalog)
        assert (await missing(catalog, "demo-a")).reason is NotFoundReason.WITHDRAWN


async def test_readme_and_files_come_from_the_tarball_once_per_release(opened: OpenCatalog) -> None:
    contents = Contents("# Hi\n\n[x](#hi)", False, (), 10, 20, "sha512-x")
    source = Scripted({"demo-a": packument("demo-a", "1.0.0", "1.1.0")}, tarball=contents)
    async with opened(source) as catalog:
        found = await page(catalog, "demo-a")
        assert found.readme is not None
        assert found.readme.headings[0].text == "Hi"
        assert (found.packed_size, found.unpacked_size) == (10, 20)
        source.time += timedelta(days=9)
        await page(catalog, "demo-a")
        await page(catalog, "demo-a", "1.0.0")
        await settled(catalog)
        assert (await page(catalog, "demo-a", "1.0.0")).readme is not None
    asked = [what for what in source.asked if what.startswith("contents")]
    assert asked == ["contents demo-a@1.1.0", "contents demo-a@1.0.0"]


async def test_a_readme_that_takes_too_long_is_shown_as_text(
    opened: OpenCatalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on = threading.Event()
    monkeypatch.setattr(refresh, "RENDER_LIMIT_S", 0.01)
    monkeypatch.setattr(refresh, "render", lambda *args, **kwargs: go_on.wait(30))
    contents = Contents("# <Hi>", False, (), 10, 20, "sha512-x")
    source = Scripted({"demo-a": packument("demo-a", "1.0.0")}, tarball=contents)
    async with opened(source) as catalog:
        found = await page(catalog, "demo-a")
        go_on.set()
    assert found.readme is not None
    assert "# &lt;Hi&gt;" in found.readme.html
    assert found.readme.headings == ()


async def test_r07_without_a_source_for_them_there_are_no_vulnerabilities(
    opened: OpenCatalog,
) -> None:
    async with opened(Scripted({"demo-a": packument("demo-a", "1.0.0")})) as catalog:
        assert (await page(catalog, "demo-a")).vulnerabilities == ()


async def test_a06_serve_never_chooses_a_simulated_source() -> None:
    for via in ("http", "npm"):
        settings = Settings(registry="https://r.example", via=via)
        chosen = await choose_source(settings, demo=False)
        assert not chosen.source.simulated
        assert not isinstance(chosen.source, RecordedSource)
        assert chosen.places["packument"].setting in ("PKGSTATS_REGISTRY", "PKGSTATS_VIA=npm")
        await chosen.source.close()


async def test_a13_an_empty_store_has_an_empty_home_and_no_error(opened: OpenCatalog) -> None:
    async with opened(Scripted()) as catalog:
        home = await catalog.home()
        result = await catalog.search("anything")
        assert await catalog.pick("random") is None
    assert (home.popular, home.newest, home.random, home.known_packages) == ((), (), (), 0)
    assert (result.cards, result.total, result.pages) == ((), 0, 1)


async def test_starter_list_is_loaded_in_the_background_once(opened: OpenCatalog) -> None:
    names = ["demo-a", "demo-b"]
    source = Scripted({name: packument(name, "1.0.0") for name in names})
    async with opened(source) as catalog:
        for _ in range(2):
            await catalog._refresher.load_new([*names, "demo-none"])
        assert [name for name, _at in await catalog.known_names()] == names
    assert source.asked.count("packument demo-a") == 1


async def test_budget_of_a_minute_is_kept_and_not_remembered_as_a_refusal(
    opened: OpenCatalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(refresh.PER_MINUTE, "packument", 2)
    source = Scripted({f"demo-{n}": packument(f"demo-{n}", "1.0.0") for n in "abc"})
    async with opened(source) as catalog:
        found = [await catalog.package(f"demo-{n}") for n in "abc"]
    assert [type(one) for one in found] == [PackageData, PackageData, NotFound]
    assert found[-1].origins[0].words == "asked often enough for now, again from 06:01 UTC"
    assert len([what for what in source.asked if what.startswith("packument")]) == 2


async def test_f07_a_registry_that_asks_for_a_pause_is_left_alone_by_all_names(
    opened: OpenCatalog,
) -> None:
    source = Scripted(dict.fromkeys(("demo-a", "demo-b"), Limited(START + timedelta(minutes=5))))
    source.packuments["@private/x"] = packument("@private/x", "1.0.0")
    async with opened(source) as catalog:
        for name in ("demo-a", "demo-b", "demo-c"):
            found = await missing(catalog, name)
            assert found.reason is NotFoundReason.NO_ANSWER
            assert found.origins[0].words == "this source asks for a pause until 06:05 UTC"
        assert source.asked == ["packument demo-a"]
        await page(catalog, "@private/x")  # another registry, which has asked for nothing
        source.time += timedelta(minutes=6)
        assert (await missing(catalog, "demo-c")).reason is NotFoundReason.NO_PACKAGE


async def test_absences_do_not_pile_up(opened: OpenCatalog) -> None:
    source = Scripted()
    async with opened(source) as catalog:
        for n in range(5):
            await missing(catalog, f"demo-{n}")
            source.time += timedelta(minutes=11)
        rows = await catalog._store.read(
            lambda db: db.execute("SELECT name FROM block_state").fetchall()
        )
    assert len(rows) == 1


async def test_versions_that_do_not_exist_and_names_that_are_none(opened: OpenCatalog) -> None:
    async with opened(Scripted({"demo-a": packument("demo-a", "1.0.0")})) as catalog:
        assert (await missing(catalog, "demo-a", "9.9.9")).reason is NotFoundReason.NO_VERSION
        assert (await missing(catalog, "..")).reason is NotFoundReason.NOT_A_NAME
        assert (await page(catalog, "demo-a", "latest")).version == "1.0.0"
        near = await missing(catalog, "demo")
        assert [suggestion.text for suggestion in near.suggestions] == ["demo-a"]


async def test_a_name_spelt_nearly_right_leads_to_the_one_that_was_meant(
    opened: OpenCatalog,
) -> None:
    names = ("express", "@demo/widget", "left-pad")
    async with opened(Scripted({name: packument(name, "1.0.0") for name in names})) as catalog:
        for name in names:
            await page(catalog, name)
        for text, meant in (
            ("expresss", "express"),
            ("@demo/wigdet", "@demo/widget"),
            ("leftpad", "left-pad"),
        ):
            assert [s.text for s in (await missing(catalog, text)).suggestions] == [meant]
        assert (await missing(catalog, "preset")).suggestions == ()


async def test_s11_counts_of_a_private_scope_are_never_asked_for(opened: OpenCatalog) -> None:
    source = Scripted({"@private/a": packument("@private/a", "1.0.0")}, counts=month(5))
    async with opened(source) as catalog:
        found = await page(catalog, "@private/a")
    assert found.downloads is None
    assert not any(what.startswith("downloads") for what in source.asked)
    assert told(found, Block.DOWNLOADS) == (OriginState.NOT_AVAILABLE, NOT_AVAILABLE)


# Lists


async def test_a04_without_upstream_search_the_own_index_answers(opened: OpenCatalog) -> None:
    source = Scripted({"demo-a": packument("demo-a", "1.0.0")})
    async with opened(source) as catalog:
        await page(catalog, "demo-a")
        for _ in range(3):
            result = await catalog.search("things")
    assert [card.name for card in result.cards] == ["demo-a"]
    assert (result.known_packages, result.upstream) == (1, False)
    assert [what for what in source.asked if what.startswith("search")] == ["search things 0"]


async def test_s03_upstream_results_are_merged_with_the_own_ones(opened: OpenCatalog) -> None:
    found = FoundPage(
        tuple(
            Found(f"demo-{n}", "2.0.0", "from afar", "demo-team", START, "MIT", (), (), 9)
            for n in "xy"
        ),
        120,
    )
    source = Scripted({"demo-a": packument("demo-a", "1.0.0")}, found=found)
    async with opened(source) as catalog:
        await page(catalog, "demo-a")
        result = await catalog.search("demo-a things")
        assert [card.name for card in result.cards] == ["demo-x", "demo-y", "demo-a"]
        result = await catalog.search("demo-a")
    assert [(card.name, card.is_exact) for card in result.cards] == [
        ("demo-a", True),
        ("demo-x", False),
        ("demo-y", False),
    ]
    assert (result.total, result.pages, result.upstream) == (120, 3, True)
    assert result.cards[1].publisher == "demo-team"


async def test_a05_limited_search_says_until_when(opened: OpenCatalog) -> None:
    until = START + timedelta(minutes=5)
    source = Scripted(found=Limited(until))
    async with opened(source) as catalog:
        for text in ("some words", "other words"):
            result = await catalog.search(text)
            assert result.origins[0].state is OriginState.FAILING
        state = {state.ability: state for state in await catalog.sources()}["search"]
        assert (state.state, state.until) == (AbilityState.LIMITED, until)
        assert len(source.asked) == 1
        source.time = until
        await catalog.search("some words")
        assert len(source.asked) == 2
        places = {state.ability: state for state in await catalog.sources()}
    assert places["downloads"].state is AbilityState.NOT_SET
    assert places["packument"].state is AbilityState.NOT_ASKED


@pytest.mark.parametrize(("scope", "complete"), [(("@demo/x", "@demo/y"), True), (None, False)])
async def test_scope_page_says_whether_the_list_is_complete(
    opened: OpenCatalog, scope: tuple[str, ...] | None, complete: bool
) -> None:
    source = Scripted({"@demo/x": packument("@demo/x", "1.0.0")})
    if scope:
        source.scope = scope
    async with opened(source) as catalog:
        await page(catalog, "@demo/x")
        listed = await catalog.scope("demo")
    assert listed.complete is complete
    assert [card.name for card in listed.cards] == list(scope or ("@demo/x",))


async def test_a12_user_page_lists_by_user_name_only(opened: OpenCatalog) -> None:
    own = replace(packument("demo-a", "1.0.0"), maintainers=("demo-team",))
    async with opened(Scripted({"demo-a": own})) as catalog:
        await page(catalog, "demo-a")
        listed = await catalog.user("demo-team")
    assert [card.name for card in listed.cards] == ["demo-a"]
    assert not listed.complete


async def test_r05_suggestions_never_ask_a_source(opened: OpenCatalog) -> None:
    source = Scripted({MODEL: packument(MODEL, "1.0.4")})
    async with opened(source) as catalog:
        await page(catalog, MODEL)
        asked = list(source.asked)
        for text in ("web", "@azure", f"pkg:{MODEL}", "pubsub", "w"):
            found = await catalog.suggest(text)
            if text != "w":
                assert MODEL in [suggestion.text for suggestion in found], text
        assert await catalog.suggest("") == []
        assert (await catalog.suggest("~demo-team"))[0].href == "/@demo-team"
    assert source.asked == asked


# Live


async def test_changes_come_as_they_are_committed_and_again_until_they_are_marked(
    opened: OpenCatalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalog_module, "RESEND_PAUSE_S", 0.01)
    source = Scripted({"demo-a": packument("demo-a", "1.0.0")})
    got: list[list[OutboxRow]] = []
    async with opened(source) as catalog:

        async def publish() -> None:
            async for rows in catalog.changes():
                got.append(rows)
                if len(got) > 1:
                    await catalog.mark_sent(row.id for row in rows)

        publisher = asyncio.create_task(publish())
        await page(catalog, "demo-a")
        await settled(catalog)
        async with asyncio.timeout(5):
            while await catalog.pending() or len(got) < 2:
                await asyncio.sleep(0.01)
    await asyncio.wait_for(publisher, 5)
    assert got[0][0].t == "package"
    assert got[1][0].id == got[0][0].id


async def test_a_watched_release_is_seen_by_the_cheap_check(opened: OpenCatalog) -> None:
    source = Scripted({"demo-a": packument("demo-a", "1.0.0")})
    async with opened(source) as catalog:
        await page(catalog, "demo-a")
        source.packuments["demo-a"] = packument("demo-a", "1.0.0", "1.1.0")
        source.time += timedelta(minutes=3)
        await catalog._refresher._look_after_watched()
        assert "latest demo-a" not in source.asked
        catalog.watching({"demo-a": 2, "demo-unknown": 1})
        await catalog._refresher._look_after_watched()
        assert "latest demo-a" in source.asked
        assert [row.t for row in await catalog.pending()][-2:] == ["release", "newest"]


async def test_picks_do_not_repeat_within_a_month(opened: OpenCatalog) -> None:
    names = ["demo-a", "demo-b"]
    source = Scripted({name: packument(name, "1.0.0") for name in names})
    async with opened(source) as catalog:
        for name in names:
            await page(catalog, name)
        picked = [await catalog.pick("random") for _ in range(3)]
        assert sorted(pick.name for pick in picked if pick) == names
        assert picked[2] is None
        assert [item.kind for item in await catalog.feed("random")] == ["random", "random"]
        assert await catalog.feed("popular") == []
        source.time += timedelta(days=31)
        assert await catalog.pick("newest") is not None


async def test_f06_what_nobody_confirms_is_shown_for_a_while_and_no_longer(
    opened: OpenCatalog,
) -> None:
    """Counts for 7 days, a package for 30; the time told is that of the last answer with data."""
    source = Scripted({"demo": packument("demo", "1.0.0")}, counts=month(10))
    async with opened(source) as catalog:
        await page(catalog, "demo")
        source.packuments["demo"] = source.counts = Failing("no connection")
        for days, counted in ((6, True), (8, False)):
            source.time = START + timedelta(days=days)
            await page(catalog, "demo")
            for wait in (
                catalog._refresher.packument("demo"),
                catalog._refresher.downloads(["demo"]),
            ):
                await asyncio.wait([wait])
            found = await page(catalog, "demo")
            assert (found.downloads is not None) is counted
            assert (await catalog.series("demo") is not None) is counted
            assert ((await catalog.cards(["demo"]))[0].downloads is not None) is counted
            assert told(found, Block.REGISTRY)[0] is OriginState.STALE
            if found.downloads is not None:
                assert found.downloads.as_of == START
                assert told(found, Block.DOWNLOADS)[0] is OriginState.STALE
            else:
                assert told(found, Block.DOWNLOADS) == (
                    OriginState.FAILING,
                    "no answer from this source (no connection)",
                )
        source.time = START + timedelta(days=31)
        assert (await missing(catalog, "demo")).reason is NotFoundReason.NO_ANSWER
        source.packuments["demo"] = packument("demo", "1.1.0")
        source.time += timedelta(minutes=5)
        assert (await page(catalog, "demo")).version == "1.1.0"


async def test_a05_every_state_of_a_source_has_its_word(opened: OpenCatalog) -> None:
    source = Scripted({"demo": packument("demo", "1.0.0")})
    source.found = Limited(START + timedelta(minutes=5))
    source.scope = Failing("no connection")
    async with opened(source) as catalog:
        await page(catalog, "demo")
        await catalog.search("demo")
        await catalog.scope("demo")
        found = {row.ability: row for row in await catalog.sources()}
        assert {name: row.state.value for name, row in found.items()} == {
            "packument": "on",
            "latest": "not asked yet",
            "readme": "not asked yet",  # one missing tarball says nothing of the others
            "search": "limited",
            "organisation": "failing",
            "downloads": "not set",
            "changes": "not asked yet",
        }
        assert found["search"].until == START + timedelta(minutes=5)
        assert found["packument"].last_contact == START
        source.found = NotOffered("the registry has no search")
        source.time += timedelta(days=2)
        await catalog.search("other")
        again = {row.ability: row.state.value for row in await catalog.sources()}
        assert (again["search"], again["packument"]) == ("not offered", "stale")


async def test_a_flood_of_names_is_not_taken_on(
    opened: OpenCatalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hundreds of unknown names while the registry hangs: a bounded number waits."""
    monkeypatch.setattr(refresh, "MAX_WAITING", 20)
    monkeypatch.setattr(lookup, "FIRST_VISIT_S", 0.05)
    source = Scripted({}, gate=asyncio.Event())
    async with opened(source) as catalog:
        answers = await asyncio.gather(*(missing(catalog, f"demo-{i}") for i in range(500)))
        assert {answer.reason for answer in answers} == {NotFoundReason.NO_ANSWER}
        assert len(catalog._refresher._flights) == 20
        assert len(source.asked) <= refresh.MAX_RUNNING
        source.gate = None


# Counts of versions, and the changes feed


async def test_a07_counts_of_versions_come_after_those_of_the_package(opened: OpenCatalog) -> None:
    source = Scripted({"demo": packument("demo", "1.0.0", "1.1.0")}, counts=month(10))
    source.per_version = {"1.1.0": 60, "1.0.0": 10, "9.9.9": 5}
    async with opened(source) as catalog:
        await page(catalog, "demo")
        await page(catalog, "demo")
        await asyncio.wait([catalog._refresher.version_downloads("demo")])
        assert [row.weekly for row in (await page(catalog, "demo")).versions] == [60, 10]
        assert source.asked.count("versions demo") == 1


async def test_changes_make_what_is_known_outdated_and_name_what_is_new(
    opened: OpenCatalog,
) -> None:
    source = Scripted(
        {"demo": packument("demo", "1.0.0"), "newborn": packument("newborn", "0.1.0")}
    )
    async with opened(source) as catalog:
        await page(catalog, "demo")
        source.changed = [
            Changes((), "10"),
            Changes(
                (Change("demo"), Change("heard-of"), Change("@private/x")), "11", has_more=True
            ),
            Changes((Change("newborn", is_first=True), Change("gone", is_deleted=True)), "12"),
        ]
        await catalog._refresher.follow_changes()
        assert "packument newborn" not in source.asked
        await catalog._refresher.follow_changes()
        assert [text for text in source.asked if text.startswith("changes")] == [
            "changes None",
            "changes 10",
            "changes 11",
        ]
        assert "packument newborn" in source.asked
        assert "packument heard-of" not in source.asked
        assert [line.text for line in await catalog.suggest("heard")] == ["heard-of"]
        assert await catalog.suggest("@private/x") == []
        assert await catalog.suggest("gone") == []
        source.packuments["demo"] = packument("demo", "1.0.0", "1.1.0")
        await page(catalog, "demo")  # outdated: asked again at once, though it is minutes old
        await asyncio.gather(*catalog._refresher._flights.values())
        assert (await page(catalog, "demo")).version == "1.1.0"
    async with opened(source) as catalog:
        source.changed = [Failing("the answer is cut short"), Changes((), None, is_reset=True)]
        source.changed += [Changes((), "3")]
        source.asked.clear()
        for _ in range(3):
            await catalog._refresher.follow_changes()
            source.time += timedelta(minutes=5)
        # Nothing moves the cursor but an answer; a refused one begins anew from now.
        assert source.asked == ["changes 12", "changes 12", "changes None"]


async def test_a_page_is_kept_while_other_packages_are_written(opened: OpenCatalog) -> None:
    source = Scripted({name: packument(name, "1.0.0") for name in ("demo", "other")})
    async with opened(source) as catalog:
        await page(catalog, "demo")
        first = await page(catalog, "demo")
        await page(catalog, "other")
        await catalog.star("visitor", "demo")
        await catalog.save_visits()
        assert await page(catalog, "demo") is first
        source.packuments["demo"] = packument("demo", "1.0.0", "1.0.1")
        await asyncio.wait([catalog._refresher.packument("demo")])
        assert (await page(catalog, "demo")).version == "1.0.1"
