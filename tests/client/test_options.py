"""What a client can be told, and what it tells of itself."""

import asyncio
import inspect
import json
import time
from decimal import Decimal
from typing import Any, get_type_hints

import pytest
from tests.client.conftest import Near
from tests.client.scripted import Peer, Scripted, message
from tests.client.test_client import names_of, tasks, watch
from tests.client.test_healing import QUICK, SOON, until
from tests.client.test_lanes import soon

from hubbub.client import (
    BufferOptions,
    Client,
    ClientOptions,
    RetryOptions,
    State,
    SubProtocol,
    TransportOptions,
    connect,
)
from hubbub.protocol.codecs import JsonCodec
from hubbub.protocol.errors import (
    AckTimeoutError,
    ClientStateError,
    ClientStoppedError,
    ConnectError,
    ConnectTimeoutError,
    InvocationError,
    SendMessageError,
)
from hubbub.protocol.messages import Ping


async def nothing(_: Peer) -> None:
    pass


def test_options_to_pass_on_are_those_of_the_client() -> None:
    parameters = inspect.signature(Client).parameters
    assert set(get_type_hints(ClientOptions)) == set(parameters) - {"credential"}


@pytest.mark.parametrize(
    "options",
    [
        {"stable_after": -1},
        {"max_in_flight": 0},
        {"credential_timeout": 0},
        {"connected_timeout": -1},
    ],
)
def test_wrong_option_is_refused_at_once(options: ClientOptions) -> None:
    with pytest.raises(ValueError):
        Client("ws://127.0.0.1:1/client/hubs/chat", **options)


def test_wrong_limits_of_transport_and_buffer_are_refused_at_once() -> None:
    with pytest.raises(ValueError):
        TransportOptions(open_timeout=0)
    with pytest.raises(ValueError):
        BufferOptions(overflow="explode")  # type: ignore[arg-type]


# --- start, stop, waiting ---------------------------------------------------------------------


async def test_start_with_a_time_limit_of_its_own() -> None:
    async def never() -> str:
        await asyncio.Event().wait()
        raise AssertionError("cancelled before")

    client = Client(never)
    with pytest.raises(ConnectTimeoutError) as late:
        await client.start(timeout=0.02)
    assert late.value.phase == "total"
    assert client.state is State.STOPPED
    with pytest.raises(ValueError):
        await client.start(timeout=-1)
    with pytest.raises(ConnectTimeoutError):
        await Client(never, start_timeout=0.02).start()


async def test_wait_connected_ends_at_its_time_or_at_the_stop(near: Near) -> None:
    async with connect(near.url, recovery=QUICK) as client:
        await client.wait_connected(timeout=0)
        near.proxy.is_refusing = True
        near.proxy.cut()
        await until(lambda: not client.is_connected)
        with pytest.raises(ConnectTimeoutError):
            await client.wait_connected(timeout=0.02)
        waiting = asyncio.ensure_future(client.wait_connected())
        await asyncio.sleep(0)
        await client.stop()
        with pytest.raises(ClientStoppedError):
            await soon(waiting)


async def test_cl_017_drain_lets_pending_calls_and_queues_end_and_takes_nothing_new() -> None:
    asked = asyncio.Event()
    go_on = asyncio.Event()

    async def script(peer: Peer) -> None:
        sends = [await peer.read("sendToGroup") for _ in range(3)]
        await peer.message(1, "last")
        asked.set()
        await go_on.wait()
        for send in sends:
            await peer.ack(send)

    async with Scripted(script) as service:
        client = Client(service.url)
        seen = watch(client)
        slow: list[Any] = []

        async def handle(event: Any) -> None:
            await go_on.wait()
            slow.append(event.data)

        client.on("server-message", handle)
        async with client.messages() as messages:
            await client.start()
            sends = [asyncio.ensure_future(client.send_to_group("g", i)) for i in range(3)]
            await soon(asked.wait())
            await until(lambda: len(messages) == 1)
            stopping = asyncio.ensure_future(client.stop(drain=True, timeout=20))
            await asyncio.sleep(0)
            with pytest.raises(ClientStateError):
                await client.send_to_group("g", "too late")
            assert client.is_connected
            go_on.set()
            assert [r.ack_id for r in await soon(asyncio.gather(*sends))] == [1, 2, 3]
            await until(lambda: slow == ["last"])
            assert not stopping.done(), "the iterator has not taken its message"
            assert (await anext(messages)).data == "last"
            await soon(stopping)
        assert names_of(seen)[-2:] == ["Disconnected", "Stopped"]
        await client.start()
        assert client.is_connected, "a drained client may be started again"
        await client.stop()


async def test_cl_017_drain_ends_at_its_time_limit() -> None:
    async with Scripted(nothing) as service:
        client = Client(service.url)
        await client.start()
        sending = asyncio.ensure_future(client.send_to_group("g", "never answered"))
        await asyncio.sleep(0)
        await soon(client.stop(drain=True, timeout=0.05))
        with pytest.raises(SendMessageError) as failed:
            await sending
        assert failed.value.outcome == "unknown"
        assert isinstance(failed.value.__cause__, ClientStoppedError)
    assert tasks() == set()


# --- stats, ping ------------------------------------------------------------------------------


async def test_stats_count_what_happens(near: Near) -> None:
    began = time.time()
    client = Client(near.url, recovery=QUICK, reconnect_retry=SOON)
    assert client.stats.frames_in == 0
    assert client.stats.connected_since is None
    seen = watch(client)
    async with client, client.messages(group="g") as messages:
        await client.join_group("g")
        await client.send_to_group("g", "x" * 1_000)
        await soon(anext(messages))
        stats = client.stats
        assert stats.connected_since is not None
        assert stats.connected_since >= began - 1
        assert stats.frames_out >= 2
        assert stats.bytes_out > 1_000
        assert stats.bytes_in > 1_000
        assert (stats.pending_acks, stats.pending_invocations) == (0, 0)
        assert stats.last_inbound_age is not None
        assert (stats.recoveries, stats.reconnects) == (0, 0)
        near.proxy.cut()
        await until(lambda: "Recovered" in names_of(seen))
        assert client.connection_id is not None
        await near.backend.close_connection(client.connection_id)
        await until(lambda: "Gap" in names_of(seen))
        stats = client.stats
        assert stats.recoveries == 1
        assert stats.reconnects == 1
        assert stats.connect_failures >= 1, "the refused recovery"
        assert stats.lane_depth_max >= 1


async def test_cl_098_cl_106_stats_count_frames_that_are_odd() -> None:
    async def script(peer: Peer) -> None:
        await peer.socket.send("no json")
        await peer.write({"type": "someday"})
        await peer.message(1, "a")
        await peer.message(1, "a")
        await peer.message(5, "b")

    async with Scripted(script) as service:
        client = Client(service.url)
        async with client.messages() as messages:
            await client.start()
            assert [(await soon(anext(messages))).data for _ in range(2)] == ["a", "b"]
            stats = client.stats
            assert (stats.bad_frames, stats.unknown_frames) == (1, 1)
            assert (stats.duplicates_dropped, stats.sequence_jumps) == (1, 1)
            await client.stop()


async def test_ping_measures_the_round_trip(near: Near) -> None:
    async with connect(near.url()) as client:
        took = await client.ping()
        assert 0 < took < 5
        assert client.stats.last_rtt == took
        first, second = await asyncio.gather(client.ping(), client.ping())
        assert first > 0
        assert second > 0
    with pytest.raises(ConnectError):
        await client.ping()


async def test_ping_that_is_not_answered_ends_in_time_or_with_the_link() -> None:
    async with Scripted(nothing) as service:
        async with connect(service.url) as client:
            with pytest.raises(ConnectTimeoutError):
                await client.ping(timeout=0.02)
            waiting = asyncio.ensure_future(client.ping(timeout=20))
            await asyncio.sleep(0)
            service.peers[0].socket.transport.abort()
            with pytest.raises(ConnectError):
                await soon(waiting)


# --- codecs and JSON --------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", [SubProtocol.PROTOBUF, SubProtocol.PROTOBUF_RELIABLE])
async def test_protobuf_speaks_like_json(near: Near, protocol: SubProtocol) -> None:
    client = Client(near.url, protocol=protocol, recovery=QUICK)
    seen = watch(client)
    async with client, client.messages(group="g") as messages:
        await client.join_group("g")
        for value in ("text", b"\x00\xff", {"a": [1, None]}):
            await client.send_to_group("g", value, metadata={"k": "v"})
            got = await soon(anext(messages))
            expected = value if not isinstance(value, dict) else json.dumps(value)
            sent = got.data if not isinstance(value, dict) else json.dumps(json.loads(got.data))
            assert sent == expected
            assert got.metadata == {"k": "v"}
        assert await client.ping() > 0
        with pytest.raises(InvocationError) as refused:
            await client.invoke_event("ask")
        assert refused.value.outcome == "not-sent"
        if protocol is SubProtocol.PROTOBUF_RELIABLE:
            near.proxy.cut()
            await until(lambda: "Recovered" in names_of(seen))
            await client.send_to_group("g", "after")
            assert (await soon(anext(messages))).data == "after"


async def test_codec_without_ping_asks_by_websocket_pings(near: Near) -> None:
    class Quiet(JsonCodec):
        supports_ping = False

        def __init__(self) -> None:
            super().__init__(is_reliable=True)
            write = self.encode

            def encode(request: Any) -> bytes:
                assert not isinstance(request, Ping)
                return write(request)

            self.encode = encode

    client = Client(near.url, protocol=Quiet(), keep_alive_interval=0.02, keep_alive_timeout=5)
    async with client:
        assert await client.ping() > 0
        await until(lambda: client.stats.frames_out > 5)
        assert client.is_connected


async def test_other_json_functions_are_used_for_the_data(near: Near) -> None:
    def loads(text: str) -> Any:
        return json.loads(text, parse_float=Decimal)

    client = Client(near.url(), json_loads=loads, json_dumps=lambda v: json.dumps(v, default=str))
    async with client, client.messages(group="g") as messages:
        await client.join_group("g")
        await client.send_to_group("g", {"when": Decimal("1.5"), "n": 2**70, "f": 0.1})
        data = (await soon(anext(messages))).data
        assert data == {"when": "1.5", "n": 2**70, "f": Decimal("0.1")}
        with pytest.raises(ValueError):
            await client.send_to_group("g", {"n": float("nan")})
        with pytest.raises(ValueError):
            await Client(near.url(), json_dumps=lambda _: "{").send_to_group("g", {})


async def test_json_loads_that_fails_is_a_gap_and_not_the_end() -> None:
    async def script(peer: Peer) -> None:
        await peer.write(message(1, {"bad": 1}), message(2, "good"))

    def fail(_: str) -> Any:
        raise KeyError("mine")

    async with Scripted(script) as service:
        client = Client(service.url, json_loads=fail)
        seen = watch(client)
        async with client.messages() as messages:
            await client.start()
            assert (await soon(anext(messages))).data == "good"
            await client.stop()
    assert [e.cause for e in seen if type(e).__name__ == "GapEvent"] == ["unparsable"]


# --- operations -------------------------------------------------------------------------------


async def test_retryable_ack_errors_are_those_that_were_named() -> None:
    async def script(peer: Peer) -> None:
        for name in ("Busy", "InternalServerError"):
            asked = await peer.read("sendToGroup")
            error = {"name": name, "message": ""}
            await peer.write(
                {"type": "ack", "ackId": asked["ackId"], "success": False, "error": error}
            )

    async with Scripted(script) as service:
        retry = RetryOptions(3, 0.01, 0.01)
        options = ClientOptions(retryable_ack_errors=frozenset({"Busy"}), message_retry=retry)
        async with connect(service.url, **options) as client:
            with pytest.raises(SendMessageError) as failed:
                await client.send_to_group("g", "x")
            assert failed.value.attempts == 2
            assert failed.value.error_detail is not None
            assert failed.value.error_detail.name == "InternalServerError"
            assert failed.value.connection_id == "c1"
            assert client.stats.retries == 1


async def test_cl_030_max_in_flight_is_kept_and_the_rest_waits_in_order() -> None:
    order: list[Any] = []

    async def script(peer: Peer) -> None:
        while True:
            batch = [await peer.read("sendToGroup") for _ in range(5)]
            order.extend(frame["data"] for frame in batch)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.01):
                    await peer.read("sendToGroup")
            for frame in batch:
                await peer.ack(frame)
            if len(order) == 30:
                return

    async with Scripted(script) as service:
        async with connect(service.url, max_in_flight=5) as client:
            await soon(asyncio.gather(*(client.send_to_group("g", i) for i in range(30))))
    assert order == list(range(30))


async def test_same_ack_id_while_pending_shares_one_result() -> None:
    sent: list[Any] = []

    async def script(peer: Peer) -> None:
        sent.append(await peer.read("sendToGroup"))
        await peer.read("joinGroup")
        await peer.ack(sent[0])

    async with Scripted(script) as service:
        async with connect(service.url) as client:
            first = asyncio.ensure_future(client.send_to_group("g", {"a": 1}, ack_id=7))
            await asyncio.sleep(0)
            second = asyncio.ensure_future(client.send_to_group("g", {"a": 1}, ack_id=7))
            third = asyncio.ensure_future(client.send_to_group("g", {"a": 1}, ack_id=7))
            await asyncio.sleep(0)
            for other in (
                client.send_to_group("g", {"a": 2}, ack_id=7),
                client.leave_group("g", ack_id=7),
            ):
                with pytest.raises(ValueError, match="in use"):
                    await other
            first.cancel()  # the others still want it
            third.cancel()
            joining = asyncio.ensure_future(client.join_group("g"))
            assert (await soon(second)).ack_id == 7
            joining.cancel()
            assert len(sent) == 1


async def test_shared_ack_id_is_free_again_after_a_retry_took_a_fresh_one() -> None:
    async def script(peer: Peer) -> None:
        refused = await peer.read("joinGroup")
        error = {"name": "InternalServerError", "message": ""}
        await peer.read("event")
        answer = {"type": "ack", "ackId": refused["ackId"], "success": False, "error": error}
        await peer.write(answer)
        while True:
            await peer.ack(await peer.read("joinGroup"))

    async with Scripted(script) as service:
        retry = RetryOptions(delay=0.01)
        async with connect(service.url, message_retry=retry) as client:
            first = asyncio.ensure_future(client.join_group("g", ack_id=7))
            await asyncio.sleep(0)
            second = asyncio.ensure_future(client.join_group("g", ack_id=7))
            await asyncio.sleep(0)
            first.cancel()
            await client.send_event("e", 1, fire_and_forget=True)
            assert (await soon(second)).ack_id != 7
            assert (await soon(client.join_group("g", ack_id=7))).ack_id == 7


async def test_sharing_a_result_ends_for_each_at_its_own_time() -> None:
    async with Scripted(nothing) as service:
        async with connect(service.url) as client:
            first = asyncio.ensure_future(client.send_event("e", "x", ack_id=7))
            await asyncio.sleep(0)
            with pytest.raises(AckTimeoutError) as late:
                await client.send_event("e", "x", ack_id=7, timeout=0.02)
            assert (late.value.ack_id, late.value.outcome) == (7, "unknown")
            assert not first.done()
            sharing = asyncio.ensure_future(client.send_event("e", "x", ack_id=7))
            await asyncio.sleep(0)
            first.cancel()
            await asyncio.sleep(0)
            sharing.cancel()
            with pytest.raises(asyncio.CancelledError):
                await sharing
            assert client.stats.pending_acks == 0, "nobody wants it any more"
            again = asyncio.ensure_future(client.send_event("e", "other", ack_id=7))
            await asyncio.sleep(0)
            assert client.stats.pending_acks == 1
            again.cancel()


async def test_cl_063_stable_after_decides_when_pauses_start_small_again(near: Near) -> None:
    retry = RetryOptions(None, 0.01, 0.02, "exponential", 0.0)
    client = Client(near.url, stable_after=0, recovery=QUICK, reconnect_retry=retry)
    seen = watch(client)
    async with client:
        for lost in range(1, 4):
            connection_id = client.connection_id
            assert connection_id is not None
            await near.backend.close_connection(connection_id)
            await until(lambda lost=lost: client.stats.reconnects == lost)
    assert client._driver.session._pauses.attempt == 1
    assert "Stopped" in names_of(seen)


async def test_name_is_in_the_names_of_tasks(near: Near) -> None:
    async with connect(near.url(), name="orders"):
        names = {task.get_name() for task in tasks()}
        assert all("orders" in name for name in names)
