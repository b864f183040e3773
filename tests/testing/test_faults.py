"""Each fault switch of the kit, by its effect on a client. In virtual time: every pause is free."""

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest

from hubbub.appserver import EventHandler, UserEventRequest
from hubbub.client import Client, State
from hubbub.protocol.errors import AuthenticationError, ConnectError, SendMessageError
from hubbub.testing import FaultProxy, Hub, eventually, expect_event
from hubbub.testing.frames import TEXT, Splitter, close_frame
from hubbub.testing.plugin import Hubbub

pytestmark = pytest.mark.virtual_time


@pytest.fixture
async def hub(hubbub: Hubbub) -> AsyncIterator[Hub]:
    async with hubbub.hub() as hub:
        yield hub


@pytest.fixture
async def client(hub: Hub) -> AsyncIterator[Client]:
    async with hub.client() as client:
        await client.join_group("g")
        yield client


async def test_cut_makes_a_client_recover(hub: Hub, client: Client) -> None:
    before = client.connection_id
    hub.cut()
    await expect_event(client, "recovered", connection_id=before)
    await hub.expect(connections=1, groups={"g": 1}, counts={"connections.recovered": 1})
    assert hub.proxy.cuts == 1


@pytest.mark.parametrize("switch", ["is_silent", "is_deaf", "is_mute"])
async def test_half_open_link_is_noticed_by_keep_alive(
    hub: Hub, client: Client, hubbub: Hubbub, switch: str
) -> None:
    setattr(hub.proxy, switch, True)
    await expect_event(client, "recovering", within=120)
    assert 30 <= hubbub.clock.time() <= 50
    setattr(hub.proxy, switch, False)
    await expect_event(client, "recovered", within=30)


async def test_refused_links_keep_a_client_out(hub: Hub, client: Client) -> None:
    hub.proxy.is_refusing = True
    hub.cut()
    await expect_event(client, "disconnected", within=60)
    hub.proxy.is_refusing = False
    await expect_event(client, "gap", cause="reconnect", within=60)


async def test_delay_slows_answers_down(hub: Hub, client: Client, hubbub: Hubbub) -> None:
    hub.proxy.delay_s = 2.0
    began = hubbub.clock.time()
    await client.send_to_group("g", "x")
    assert hubbub.clock.time() - began == 4.0  # there and back


async def test_duplicated_message_is_delivered_once(hub: Hub, client: Client) -> None:
    got: list[object] = []
    client.on("server-message", lambda event: got.append(event.data))
    hub.proxy.duplicate()
    for number in range(3):
        await hub.backend.send_to_all(number)
    await eventually(lambda: got, [0, 1, 2])


async def test_duplicated_message_is_seen_twice_by_a_client_that_is_not_reliable(
    hub: Hub,
) -> None:
    from hubbub.client import SubProtocol

    async with hub.client(protocol=SubProtocol.JSON) as client, client.messages() as messages:
        hub.proxy.duplicate(2)
        await hub.backend.send_to_all("a")
        await hub.backend.send_to_all("b")
        await hub.backend.send_to_all("c")
        assert [(await anext(messages)).data for _ in range(5)] == ["a", "a", "b", "b", "c"]


async def test_close_1008_ends_the_session_and_1001_does_not(hub: Hub, client: Client) -> None:
    async with expect_event(client, "recovered"):
        await hub.close_clients(1001)
    async with expect_event(client, "disconnected", close_code=1008, will_reconnect=True):
        await hub.close_clients(1008, "go away")
    await expect_event(client, "gap")


async def test_close_waits_for_the_end_of_a_frame(hub: Hub, client: Client) -> None:
    async with client.messages() as messages:
        await hub.backend.send_to_all("x" * 900_000)
        await hub.close_clients(4000)
        assert len((await anext(messages)).data) == 900_000
    await hub.expect(counts={"connections.recovered": 1})


async def test_close_cuts_a_client_that_is_not_connected_yet(hub: Hub) -> None:
    hub.proxy.is_silent = True
    starting = asyncio.ensure_future(hub.client().start())
    await asyncio.sleep(1)
    await hub.close_clients(1008)
    with pytest.raises(ConnectError, match="cannot connect"):
        await starting


async def test_refused_recovery_leads_to_a_new_connection(hub: Hub, client: Client) -> None:
    before = client.connection_id
    hub.proxy.is_refusing_recovery = True
    hub.cut()
    gap = await expect_event(client, "gap", cause="reconnect")
    assert gap.previous_connection_id == before != client.connection_id


async def test_expired_token_ends_a_client_with_a_fixed_address(hub: Hub) -> None:
    async with hub.client(credential=hub.url()) as client:
        hub.expire_tokens()
        async with expect_event(client, "stopped", reason="auth-failed", within=60):
            await hub.lose_sessions()


async def test_expired_token_makes_a_client_ask_for_a_new_one(hub: Hub, client: Client) -> None:
    hub.expire_tokens()
    hub.cut()
    await expect_event(client, "recovered")  # no token is needed for that
    async with expect_event(client, "connected"):
        await hub.lose_sessions()
    assert client.state is State.CONNECTED


async def test_refused_handshake_says_status_and_when_to_come_back(
    hub: Hub, hubbub: Hubbub
) -> None:
    hub.proxy.refuse(401)
    with pytest.raises(AuthenticationError):
        await hub.client().start()
    async with hub.client() as client:
        hub.proxy.refuse(503, retry_after_s=7, times=2)
        async with expect_event(client, "connected", within=60):
            await hub.lose_sessions()
        assert hubbub.clock.time() >= 14


async def test_refusals_come_in_the_order_in_which_they_were_asked_for(hub: Hub) -> None:
    hub.proxy.refuse(503)
    hub.proxy.refuse(401)
    with pytest.raises(ConnectError, match="503"):
        await hub.client().start()
    with pytest.raises(AuthenticationError):
        await hub.client().start()
    async with hub.client() as client:
        assert client.is_connected


@pytest.mark.parametrize("rounds", [3, 4])
async def test_link_that_is_accepted_while_the_proxy_ends_goes_nowhere(rounds: int) -> None:
    """A server that waits for its connections would wait for ever for one that begins then."""
    proxy = FaultProxy("http://127.0.0.1:9")
    with socket.socket() as client:
        async with proxy:
            client.connect(("127.0.0.1", proxy.port))
            for _ in range(rounds):
                await asyncio.sleep(0)
            before = proxy.links
        for _ in range(10):
            await asyncio.sleep(0)
        assert proxy.links == before


async def test_restarted_service_has_the_same_address_and_no_sessions(
    hub: Hub, client: Client
) -> None:
    address, text = hub.service.url, hub.service.connection_string
    async with expect_event(client, "gap", cause="reconnect", within=60):
        await hub.restart()
    assert (hub.service.url, hub.service.connection_string) == (address, text)
    await hub.expect(connections=1, groups={"g": 1})


async def test_service_that_is_gone_lets_nobody_in(hub: Hub, client: Client) -> None:
    await hub.stop_service()
    with pytest.raises(ConnectError):
        await hub.client().start()
    async with expect_event(client, "connected", within=120):
        await asyncio.sleep(60)
        assert client.state is State.RECONNECTING
        await hub.start_service()


async def test_cl_102_drained_service_says_1001_and_refuses_newcomers_until_its_restart(
    hub: Hub, hubbub: Hubbub
) -> None:
    asked = 0

    async def credential() -> str:
        nonlocal asked
        asked += 1
        return hub.url()

    async with hub.client(credential=credential) as client:
        await client.join_group("g")
        async with expect_event(client, "recovering", close_code=1001):
            await hub.drain()
        with pytest.raises(ConnectError, match="503"):
            await hub.client().start()
        await asyncio.sleep(5)
        assert (client.state, asked) == (State.RECOVERING, 1)
        async with expect_event(client, "gap", cause="reconnect", within=60):
            await hub.restart()
        assert asked == 2
        await hub.expect(groups={"g": 1})


async def test_failing_and_slow_handler_are_seen_by_the_client(hubbub: Hubbub) -> None:
    handler = EventHandler("chat")

    @handler.on_event("order")
    async def order(request: UserEventRequest) -> str:
        return "taken"

    async with hubbub.hub("chat", event_handler=handler) as hub, hub.client() as client:
        assert (await client.invoke_event("order", "x")).data == "taken"
        await hub.expect(events=["connect", "connected", "order"])
        hub.handler.status = 500
        with pytest.raises(SendMessageError):
            await client.send_event("order", "x")
        hub.handler.status = None
        hub.handler.delay_s = 10
        began = hubbub.clock.time()
        assert (await client.invoke_event("order", "x")).data == "taken"
        assert hubbub.clock.time() - began >= 10


async def test_hub_without_a_handler_has_no_switches_for_it(hub: Hub) -> None:
    with pytest.raises(RuntimeError, match="event_handler"):
        _ = hub.handler


def test_splitter_gives_whole_frames_however_they_come() -> None:
    head = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n"
    frames = [
        bytes([0x81, 2]) + b"{}",
        bytes([0x81, 126]) + (300).to_bytes(2, "big") + b"x" * 300,
        bytes([0x81, 127]) + (70_000).to_bytes(8, "big") + b"y" * 70_000,
        close_frame(1001, "bye"),
    ]
    data = head + b"".join(frames)
    for step in (1, 7, 4096, len(data)):
        splitter = Splitter()
        chunks = (data[i : i + step] for i in range(0, len(data), step))
        pieces = [piece for chunk in chunks for piece in splitter.feed(chunk)]
        assert pieces == list(zip([None, TEXT, TEXT, TEXT, 8], [head, *frames], strict=True))


def test_splitter_passes_plain_http_on() -> None:
    splitter = Splitter()
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc"
    assert b"".join(piece for _, piece in splitter.feed(answer)) == answer
    assert list(splitter.feed(b"\x81\x02{}")) == [(None, b"\x81\x02{}")]
    with pytest.raises(ValueError):
        close_frame(1000, "x" * 124)
