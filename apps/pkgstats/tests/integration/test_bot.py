"""The bot and the simulated world over a real hubbub: by the world's clock, nothing waits for ours."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
import pytest_asyncio

from pkgstats.catalog import Catalog, open_catalog
from pkgstats.live import bot as bot_module
from pkgstats.live.bot import Bot
from pkgstats.models import FeedItem
from pkgstats.settings import Settings
from pkgstats.site import Site, pass_demo_day

pytestmark = pytest.mark.asyncio(loop_scope="module")

MODEL = "@azure/web-pubsub-client"


@pytest_asyncio.fixture(loop_scope="module")
async def world() -> AsyncIterator[Catalog]:
    async with open_catalog(Settings(world_day_s=0), demo=True) as catalog:
        yield catalog


@pytest_asyncio.fixture(loop_scope="module")
async def demo(start_site: Any, world: Catalog) -> AsyncIterator[Site]:
    async with start_site(world) as site:
        yield site


class Noted:
    """A poster that remembers."""

    def __init__(self) -> None:
        self.items: list[FeedItem] = []

    async def post(self, item: FeedItem) -> None:
        self.items.append(item)


async def test_s20_bot_picks_each_kind_in_turn_and_no_name_twice(world: Catalog) -> None:
    noted = Noted()
    bot = Bot(world, [noted])
    picks = [await bot.pick_next() for _ in range(9)]
    assert noted.items == picks
    assert [pick.kind for pick in picks if pick] == ["popular", "newest", "random"] * 3
    assert len({pick.name for pick in picks if pick}) == 9
    again = Bot(world)  # a restart goes on with the next kind
    assert (pick := await again.pick_next()) is not None
    assert pick.kind == "popular"


async def test_s20_same_seed_picks_the_same(world: Catalog) -> None:
    async with open_catalog(Settings(world_day_s=0), demo=True) as other:
        names = []
        for catalog in (world, other):
            bot = Bot(catalog)
            picks = [await bot.pick_next() for _ in range(6)]
            names.append([pick.name for pick in picks if pick])
    assert names[0] == names[1]


async def test_s20_pick_is_due_four_hours_after_the_last_one(
    world: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    bot = Bot(world)
    assert await bot.pick_if_due() is not None
    assert await bot.pick_if_due() is None
    monkeypatch.setattr(bot_module, "EVERY", timedelta(0))
    assert await bot.pick_if_due() is not None


async def test_s20_l05_pick_goes_to_groups_atom_and_json_feed(
    demo: Site, world: Catalog, person_of: Any
) -> None:
    async with person_of(demo) as person:
        home = await person.open("/")
        pick = await Bot(world).pick_next()
        assert pick is not None
        found = [await home.message(lambda m: m.data["t"] == "pick") for _ in range(2)]
        assert {message.group for message in found} == {"feed.bot", f"feed.{pick.kind}"}
        assert {message.data["data"]["name"] for message in found} == {pick.name}
        assert pick.name in (await person.http.get("/feed/all.atom")).text
        assert pick.name in (await person.http.get("/feed.json")).text


async def test_a01_a06_a_day_of_the_world_moves_home_and_package_page(
    demo: Site, world: Catalog, person_of: Any
) -> None:
    async with person_of(demo) as person:
        home, page = await person.open("/"), await person.open(f"/pkg:{MODEL}")
        await pass_demo_day(world, Bot(world))
        # The figures of the world's beginning come first, as from any outbox.
        figure = await page.envelope(
            lambda m: m.data["t"] == "downloads" and m.data["data"]["total"] != 134_113
        )
        newest = await home.envelope(lambda m: m.data["t"] == "newest")
        pick = await home.envelope(lambda m: m.data["t"] == "pick")
        assert figure["simulated"] is newest["simulated"] is pick["simulated"] is True
        await pass_demo_day(world, Bot(world))
        release = await page.envelope(lambda m: m.data["t"] == "release")
        assert release["data"]["version"] == "1.1.0"


async def test_s24_l07_release_of_a_starred_package_is_told_to_the_visitor(
    demo: Site, world: Catalog, person_of: Any
) -> None:
    async with person_of(demo) as person, person_of(demo) as other:
        tabs = [await person.open("/about"), await person.open("/")]
        stranger = await other.open("/")
        form = {"name": MODEL, "do": "star", "back": "/watch"}
        assert (await person.http.post("/watch", data=form)).status_code == 303
        await world.release_now()
        for tab in tabs:
            message = await tab.message(lambda m: type(m).__name__ == "ServerMessageEvent")
            assert (message.data["t"], message.data["data"]["name"]) == ("release", MODEL)
        seen = await stranger.message(lambda m: m.data["t"] in ("release", "newest"))
        assert (seen.group, seen.data["t"]) == ("feed.newest", "newest")
        assert "→ 1.1.0" in (await person.http.get("/watch")).text
