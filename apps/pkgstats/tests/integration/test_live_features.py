"""What the live parts promise, row by row, against a real hubbub: lists, feeds, notices, closing."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
import pytest_asyncio

from hubbub import SendMessageError
from hubbub.testing import Hub, eventually
from pkgstats.live import negotiate, notices
from pkgstats.live.groups import MAX_NAMES_PER_CONNECTION
from pkgstats.live.publisher import publish_notice
from pkgstats.site import Site
from pkgstats.sources.state import AbilityState, SourceState

pytestmark = pytest.mark.asyncio(loop_scope="module")

NAME = "@azure/web-pubsub-client"
CURATOR_KEY = "key of the curators"
NEWEST = {"name": "ws", "version": "9.0.0", "href": "/pkg:ws"}


@pytest_asyncio.fixture(loop_scope="module")
async def person(site: Site, person_of: Any) -> AsyncIterator[Any]:
    async with person_of(site) as person:
        yield person


@pytest_asyncio.fixture(loop_scope="module")
async def other(site: Site, person_of: Any) -> AsyncIterator[Any]:
    async with person_of(site) as person:
        yield person


# --- many packages on a page --------------------------------------------------------------------


async def test_l04_the_site_joins_a_list_to_the_groups_of_its_packages(
    person: Any, catalog: Any
) -> None:
    tab = await person.open("/?search=web")
    with pytest.raises(SendMessageError, match="Forbidden"):
        await tab.client.join_group("pkg:ws")
    await tab.client.send_event("watch", {"names": ["ws", NAME, "ws"]}, "json")
    catalog.commit("downloads", {"total": 1}, name="ws")
    catalog.commit("downloads", {"total": 2}, name=NAME)
    assert [(await tab.message()).group for _ in range(2)] == ["pkg:ws", f"pkg:{NAME}"]
    await eventually(lambda: catalog.watched == {"ws": 1, NAME: 1})
    await tab.client.send_event("unwatch", {"names": ["ws"]}, "json")
    catalog.commit("downloads", {"total": 3}, name="ws")
    catalog.commit("downloads", {"total": 4}, name=NAME)
    assert (await tab.envelope())["data"] == {"total": 4}


async def test_l04_list_is_followed_up_to_50_packages(person: Any, catalog: Any) -> None:
    tab = await person.open("/?search=web")
    names = [f"p{i}" for i in range(MAX_NAMES_PER_CONNECTION)]
    await tab.client.send_event("watch", {"names": names}, "json")
    with pytest.raises(SendMessageError):
        await tab.client.send_event("watch", {"names": ["one-more"]}, "json")
    await tab.client.send_event("unwatch", {"names": names[:1]}, "json")
    await tab.client.send_event("watch", {"names": ["ws"]}, "json")
    catalog.commit("downloads", {"total": 5}, name="ws")
    assert (await tab.message()).group == "pkg:ws"


@pytest.mark.parametrize("names", [[], "ws", ["../x"], [7], ["x"] * 51, None])
async def test_l04_list_of_what_is_no_package_is_refused(person: Any, names: Any) -> None:
    tab = await person.open("/?search=web")
    for event in ("watch", "unwatch"):
        with pytest.raises(SendMessageError):
            await tab.client.send_event(event, {"names": names}, "json")


async def test_l08_card_in_a_list_makes_nobody_a_watcher(
    person: Any, other: Any, catalog: Any
) -> None:
    await (await person.open("/?search=web")).client.send_event(
        "watch", {"names": ["react"]}, "json"
    )
    tab = await other.open("/pkg:react")
    await tab.client.send_event("watch", {"name": "react"}, "json")
    async with asyncio.timeout(15):
        found = await anext(tab._messages)
    assert (found.data["t"], found.data["data"]) == ("watchers", {"count": 1})
    await eventually(lambda: catalog.watched.get("react") == 2)


# --- feeds ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", ["/", "/feed"])
async def test_l05_l11_home_is_in_the_groups_of_its_token(
    person: Any, catalog: Any, page: str
) -> None:
    """The site's answer to `connect` names the groups, which replaces the token's: it repeats them."""
    tab = await person.open(page)
    for group in ("feed.newest", "feed.popular", "feed.random", "feed.bot"):
        catalog.commit_to(group, "newest", NEWEST)
        found = await tab.message()
        assert (found.group, found.data["data"]) == (group, NEWEST)
        with pytest.raises(SendMessageError, match="Forbidden"):
            await tab.client.send_to_group(group, {}, "json")


@pytest.mark.parametrize("page", ["/?search=web", "/about", "/pkg:ws", "/watch", "/curator"])
async def test_l01_other_pages_hear_nothing_of_the_feeds(
    person: Any, catalog: Any, page: str
) -> None:
    tab = await person.open(page)
    catalog.commit_to("feed.bot", "pick", NEWEST)
    catalog.commit_to(person.id, "release", NEWEST, "user")
    assert (await tab.envelope())["t"] == "release"


# --- one visitor, everybody ---------------------------------------------------------------------------


async def test_l07_message_to_a_visitor_reaches_all_of_the_visitors_tabs_and_nobody_else(
    person: Any, other: Any, catalog: Any
) -> None:
    tabs = [await person.open("/about"), await person.open("/pkg:react")]
    stranger = await other.open("/pkg:react")
    id = catalog.commit_to(person.id, "release", NEWEST, "user")
    for tab in tabs:
        found = await tab.message()
        assert type(found).__name__ == "ServerMessageEvent"
        assert (found.data["id"], found.data["data"]) == (id, NEWEST)
    catalog.commit("downloads", {"total": 6}, name="react")
    await tabs[1].client.join_group("pkg:react")
    assert (await stranger.envelope())["t"] == "downloads"


async def test_l10_notice_reaches_every_page_and_no_terminal(
    person: Any, person_of: Any, site: Site
) -> None:
    async with person_of(site, is_terminal=True) as somebody:
        terminal = await somebody.open("/pkg:ws")
        tab = await person.open("/credits")
        await publish_notice(site.client, "Data refresh is paused.")
        found = await tab.envelope()
        assert (found["t"], found["data"]) == ("notice", {"text": "Data refresh is paused."})
        await site.client.send_to_all({"t": "sentinel"})
        assert (await terminal.envelope())["t"] == "sentinel"


async def test_l10_pause_of_the_registry_is_told_once_and_its_end_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(notices, "LOOK_EVERY_S", 0)
    states = [AbilityState.ON, AbilityState.LIMITED, AbilityState.LIMITED, AbilityState.ON]

    class Sources:
        async def sources(self) -> list[SourceState]:
            if not states:
                raise asyncio.CancelledError
            return [SourceState("packument", states.pop(0), "", None)]

    told: list[str] = []

    async def publish(text: str) -> None:
        told.append(text)

    with pytest.raises(asyncio.CancelledError):
        await notices.tell_of_pauses(Sources(), publish)  # type: ignore[arg-type]
    assert told == ["Data refresh is paused: pages show what was known before.", ""]


# --- curators -----------------------------------------------------------------------------------------


@pytest_asyncio.fixture(loop_scope="module")
async def curated(start_site: Any, sample_catalog: Any) -> AsyncIterator[Site]:
    async with start_site(sample_catalog(), curator=CURATOR_KEY) as site:
        yield site


async def test_l09_curators_pick_comes_once_and_the_right_can_be_taken_away(
    curated: Site, person_of: Any
) -> None:
    async with person_of(curated) as curator, person_of(curated) as reader:
        home = await reader.open("/")
        answer = await curator.http.post("/curator", data={"key": CURATOR_KEY})
        assert (answer.status_code, answer.headers["location"]) == (303, "/curator")
        tab = await curator.open("/curator")
        pick = {"v": 1, "t": "pick", "data": {"name": "ws", "reason": "small"}}
        sent = [
            await tab.client.send_to_group("feed.bot", pick, "json", no_echo=True, ack_id=77)
            for _ in range(2)
        ]
        assert [result.is_duplicated for result in sent] == [False, True]
        end = pick | {"t": "end"}
        await tab.client.send_to_group("feed.bot", end, "json", ack_id=78)
        assert [(await home.envelope())["t"] for _ in range(2)] == ["pick", "end"]
        assert (await tab.envelope())["t"] == "end"  # its own pick has no echo
        connection = {"do": "leave", "connection": tab.client.connection_id}
        stolen = await reader.http.post("/curator", data=connection)
        assert stolen.status_code == 303
        await tab.client.send_to_group("feed.bot", end, "json", ack_id=79)  # not by a stranger
        await curator.http.post("/curator", data=connection)
        with pytest.raises(SendMessageError, match="Forbidden"):
            await tab.client.send_to_group("feed.bot", pick, "json", ack_id=80)
        again = await curator.open("/curator")
        with pytest.raises(SendMessageError, match="Forbidden"):
            await again.client.send_to_group("feed.bot", pick, "json")


async def test_l09_without_the_key_nobody_is_a_curator(
    curated: Site, site: Site, person_of: Any
) -> None:
    async with person_of(curated) as somebody:
        assert (await somebody.http.post("/curator", data={"key": "guess"})).status_code == 403
        somebody.http.cookies.set("pkgstats_curator", "0" * 64)
        tab = await somebody.open("/curator")
        with pytest.raises(SendMessageError, match="Forbidden"):
            await tab.client.send_to_group("feed.bot", {}, "json")
        foreign = {"origin": "http://evil.example"}
        answer = await somebody.http.post("/curator", data={"key": CURATOR_KEY}, headers=foreign)
        assert answer.status_code == 403
    async with person_of(site) as somebody:  # a site without curators has no such page
        assert (await somebody.http.get("/curator")).status_code == 404


# --- closing ------------------------------------------------------------------------------------------


async def test_l15_administrator_closes_one_connection_or_all_of_a_visitor(
    person: Any, other: Any, site: Site, catalog: Any
) -> None:
    tabs = [await person.open("/pkg:ws", auto_reconnect=False) for _ in range(3)]
    stranger = await other.open("/pkg:ws")
    ends = [tab.client.events("disconnected", "stopped") for tab in tabs]
    async with AsyncExitStack() as stack:
        streams = [await stack.enter_async_context(one) for one in ends]
        await site.client.close_connection(tabs[0].client.connection_id, reason="enough of it")
        for stream in streams:
            async with asyncio.timeout(15):
                gone = await anext(stream)
                stopped = await anext(stream)
            assert (gone.message, type(stopped).__name__) == ("enough of it", "StoppedEvent")
            if stream is streams[0]:
                await site.client.close_user_connections(person.id, reason="enough of it")
    catalog.commit("downloads", {"total": 7}, name="ws")
    assert (await stranger.envelope())["data"] == {"total": 7}


# --- bad networks -------------------------------------------------------------------------------------


@pytest_asyncio.fixture(loop_scope="module")
async def shaky(
    start_site: Any, sample_catalog: Any, unused_tcp_port_factory: Any
) -> AsyncIterator[tuple[Site, Any, Hub]]:
    """A site, its catalog, and a hub whose links a test can break."""
    port = unused_tcp_port_factory()
    catalog = sample_catalog()
    async with (
        Hub("pkgstats", event_handler=f"http://127.0.0.1:{port}/eventhandler") as hub,
        start_site(catalog, port, hub.connection_string) as site,
    ):
        yield site, catalog, hub


async def test_l12_ticker_has_no_gap_and_no_repeat_over_a_link_that_breaks(
    shaky: Any, person_of: Any
) -> None:
    site, catalog, hub = shaky
    async with person_of(site) as person:
        tab = await person.open("/")
        seen, sent = [], []
        for round in range(8):
            sent += [catalog.commit_to("feed.newest", "newest", NEWEST) for _ in range(15)]
            seen.append((await tab.envelope())["id"])
            if round % 2:
                hub.cut()
        while seen[-1] != sent[-1]:
            seen.append((await tab.envelope())["id"])
        assert seen == sent
        assert hub.proxy.cuts >= 4


async def test_l13_new_connection_has_its_own_groups_again_and_asks_for_the_others(
    shaky: Any, person_of: Any
) -> None:
    site, catalog, hub = shaky
    async with person_of(site) as person:
        page, results = await person.open("/pkg:ws"), await person.open("/?search=web")
        await page.client.join_group("pkg:ws")
        await results.client.send_event("watch", {"names": ["ws"]}, "json")
        before = {tab.client.connection_id for tab in (page, results)}
        await hub.lose_sessions()
        await eventually(
            lambda: all(
                tab.client.is_connected and tab.client.connection_id not in before
                for tab in (page, results)
            )
        )
        catalog.commit("downloads", {"total": 1}, name="ws")
        assert (await page.envelope())["data"] == {"total": 1}  # the client has joined again
        await results.client.send_event("watch", {"names": ["ws"]}, "json")
        catalog.commit("downloads", {"total": 2}, name="ws")
        assert (await results.envelope())["data"] == {"total": 2}  # nothing came between


async def test_l13_group_that_cannot_be_joined_again_is_said(
    shaky: Any, person_of: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    site, _catalog, hub = shaky
    async with person_of(site) as person:
        tab = await person.open("/pkg:ws")
        await tab.client.join_group("pkg:ws")
        async with tab.client.events("rejoin-group-failed") as failures:
            monkeypatch.setattr(negotiate, "grant_for", lambda *_, **__: negotiate.Grant())
            await hub.lose_sessions()
            async with asyncio.timeout(15):
                failure = await anext(failures)
        assert failure.group == "pkg:ws"
