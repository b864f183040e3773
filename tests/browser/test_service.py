"""The browser client and the real service: they understand each other."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from playwright.async_api import Page
from tests.browser.driver import Driver
from tests.official_sdks.proxy import CuttingProxy
from tests.official_sdks.upstream import Upstream

from hubbub.appserver import ServiceClient
from hubbub.service import EventHandlerSettings, HubSettings, Service, Settings

pytestmark = pytest.mark.asyncio(loop_scope="session")

EVERYTHING = ["webpubsub.joinLeaveGroup", "webpubsub.sendToGroup"]
CUT_AFTER_BYTES = (20_000, 1, 60_001, 90_002)


@pytest_asyncio.fixture(loop_scope="session")
async def upstream() -> AsyncIterator[Upstream]:
    async with Upstream() as upstream:
        yield upstream


@pytest_asyncio.fixture(loop_scope="session")
async def hubbub(upstream: Upstream) -> AsyncIterator[Service]:
    handler = EventHandlerSettings(
        f"{upstream.url}/events", user_event_pattern="*", retry_pauses_s=()
    )
    settings = Settings(port=0, hubs={"chat": HubSettings(event_handlers=(handler,))})
    async with Service(settings) as service:
        yield service


@pytest_asyncio.fixture(loop_scope="session")
async def live(hubbub: Service, page: Page) -> AsyncIterator[Driver]:
    """A page of the service's origin with its own client module."""
    driver = Driver(page)
    await driver.open(hubbub.url + "/api/health", "", module=hubbub.url + "/_hubbub/client.js")
    yield driver
    await page.evaluate("() => window.client?.stop()")


def access_url(connection_string: str, **token: Any) -> str:
    client = ServiceClient.from_connection_string(connection_string, "chat")
    return client.get_client_access_token(**{"roles": EVERYTHING, **token}).url


async def connect(driver: Driver, url: str) -> None:
    await driver.page.evaluate("(url) => attach(new module.WebPubSubClient(url))", url)
    await driver.run("await client.start()")
    await driver.wait_for("connected")


async def test_groups_types_acks_and_refusals(live: Driver, hubbub: Service) -> None:
    url = access_url(hubbub.connection_string, user_id="ann", roles=["webpubsub.joinLeaveGroup.g",
        "webpubsub.sendToGroup.g"])  # fmt: skip
    await connect(live, url)
    assert (await live.events())[0][1]["userId"] == "ann"
    await live.run("""
        await client.joinGroup("g");
        await client.sendToGroup("g", "silent", "text", { noEcho: true });
        await client.sendToGroup("g", { a: "ü" }, "json");
        await client.sendToGroup("g", "hi 🎈", "text", { fireAndForget: true });
        const first = await client.sendToGroup("g", new Uint8Array([0, 255]), "binary", { ackId: 9 });
        const again = await client.sendToGroup("g", new Uint8Array([0, 255]), "binary", { ackId: 9 });
        window.results = [first.isDuplicated, again.isDuplicated];
        await client.sendToGroup("g", new Uint8Array([10, 1, 97, 18, 0]), "protobuf");
    """)
    await live.wait_for("group-message", 4)
    got = await live.run("""
        return events.filter(([name]) => name === "group-message").map(([, { message: m }]) =>
          [m.dataType, m.data instanceof ArrayBuffer ? [...new Uint8Array(m.data)] : m.data]);
    """)
    assert got == [
        ["json", {"a": "ü"}],
        ["text", "hi 🎈"],
        ["binary", [0, 255]],
        ["protobuf", [10, 1, 97, 18, 0]],
    ]
    assert await live.run("return results") == [False, True]
    await live.call("refused", "client.joinGroup('other')")
    assert (await live.outcome("refused"))["errorDetail"]["name"] == "Forbidden"


async def test_events_and_invocations(live: Driver, hubbub: Service, upstream: Upstream) -> None:
    await connect(live, access_url(hubbub.connection_string))
    await live.run("await client.sendEvent('echo', { a: 1 }, 'json')")
    await live.wait_for("server-message")
    assert await live.run("return await client.invokeEvent('echo', 'x', 'text')") == {
        "invocationId": "1",
        "dataType": "text",
        "data": "x",
    }
    await live.call("refused", "client.invokeEvent('refuse', 1, 'json')")
    assert (await live.outcome("refused"))["errorDetail"]["name"] == "Forbidden"
    await live.run("window.abort = new AbortController()")
    await live.call(
        "aborted", "client.invokeEvent('slow', 'me', 'text', { abortSignal: abort.signal })"
    )
    await _until(lambda: upstream.started["me"] == 1)
    await live.run("abort.abort()")
    assert (await live.outcome("aborted"))["name"] == "InvocationError"
    await _until(lambda: upstream.cancelled["me"] == 1)


async def test_cp_086_cut_links_lose_and_repeat_nothing(live: Driver, hubbub: Service) -> None:
    count = 2000
    async with (
        CuttingProxy(hubbub.url, cut_after=CUT_AFTER_BYTES) as proxy,
        aiohttp.ClientSession() as session,
    ):
        url = access_url(proxy.through(hubbub.connection_string), groups=["numbers"])
        await connect(live, url)
        await live.run("""
            window.numbers = [];
            client.on("group-message", ({ message }) => numbers.push(message.data.n));
        """)
        sender_url = access_url(hubbub.connection_string)
        async with session.ws_connect(sender_url, protocols=["json.webpubsub.azure.v1"]) as sender:
            for n in range(count):
                await sender.send_json({"type": "sendToGroup", "group": "numbers",
                    "dataType": "json", "data": {"n": n, "text": "x" * 100}})  # fmt: skip
                if n % 100 == 99:  # never so far ahead that the service gives up on the client
                    await live.page.wait_for_function("(n) => numbers.length >= n - 400", arg=n)
            await live.page.wait_for_function("(n) => numbers.length >= n", arg=count)
        assert await live.run("return numbers") == list(range(count))
        names = [name for name in await live.names() if name != "group-message"]
        assert names == ["connected", *["recovering", "recovered"] * (len(names) // 2)]
        assert proxy.cuts == len(CUT_AFTER_BYTES)
        await live.run("await client.stop()")


async def test_cp_090_lost_session_is_a_new_connection_in_its_old_groups(live: Driver) -> None:
    async with (
        Service(Settings(port=0, recovery_window_s=0.05)) as forgetful,
        CuttingProxy(forgetful.url) as gate,
        ServiceClient.from_connection_string(forgetful.connection_string, "chat") as server,
    ):
        await connect(live, access_url(gate.through(forgetful.connection_string)))
        await live.run("await client.joinGroup('again')")
        gate.is_refusing = True
        gate.cut()
        await _until(lambda: forgetful.counts.get("connections.ended") == 1)
        gate.is_refusing = False
        await live.wait_for("connected", 2)
        await server.send_to_group("again", "welcome")
        await live.wait_for("group-message")
        assert await live.names() == [
            "connected", "recovering", "disconnected", "connected", "group-message"
        ]  # fmt: skip
        await live.run("await client.stop()")


async def test_stop_ends_the_connection_at_the_service_at_once(
    live: Driver, hubbub: Service
) -> None:
    await connect(live, access_url(hubbub.connection_string))
    await live.run("await client.stop()")
    await _until(lambda: hubbub.counts.get("connections.ended") == 1)


async def _until(is_true: Any) -> None:
    async with asyncio.timeout(10):
        while not is_true():
            await asyncio.sleep(0.005)
