"""What goes wrong in or around the asyncio client: it says so, and nothing is left half alive."""

import asyncio
import contextlib
import json
import logging
import random
import socket
from collections.abc import Mapping
from typing import Any

import pytest
from tests.client.conftest import Near
from tests.client.test_client import names_of, tasks, watch
from tests.client.test_healing import QUICK, SOON, until

from hubbub.client import (
    BufferOptions,
    Client,
    CredentialContext,
    NegotiateCredential,
    RecoveryOptions,
    RetryOptions,
    State,
    SubProtocol,
    TransportOptions,
    connect,
)
from hubbub.client.transport import Transport
from hubbub.protocol.errors import (
    AckTimeoutError,
    AuthenticationError,
    ClientStoppedError,
    ConnectError,
    ConnectTimeoutError,
    CredentialError,
    SendMessageError,
)
from hubbub.testing import FakePeer, FakeService
from hubbub.testing.fake_peer import message_frame


async def nothing(_: FakePeer) -> None:
    pass


# --- faults of our own ------------------------------------------------------------------------


async def test_internal_error_stops_the_client_and_fails_what_is_pending(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with FakeService(nothing) as service:
        client = Client(service.url)
        seen = watch(client)
        await client.start()
        sending = asyncio.ensure_future(client.send_to_group("g", "x"))
        await asyncio.sleep(0)

        def fail(*_: object) -> None:
            raise ZeroDivisionError("a fault")

        monkeypatch.setattr(client._driver.session.operations, "on_ack", fail)
        await service.peers[0].write({"type": "ack", "ackId": 1, "success": True})
        with pytest.raises(SendMessageError) as failed:
            await sending
        assert failed.value.outcome == "unknown"
        stopped = await client.wait_stopped()
        assert stopped is not None
        assert (stopped.reason, stopped.error) == ("internal-error", "ZeroDivisionError")
        assert names_of(seen)[-1] == "Stopped"
        await until(lambda: tasks() == set())
        await client.start()
        assert client.is_connected
        await client.stop()


async def test_internal_error_during_the_start_ends_the_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def broken(_: Transport, url: str) -> None:
        raise AssertionError("a fault")

    monkeypatch.setattr(Transport, "open", broken)
    client = Client("ws://127.0.0.1:1/")
    with pytest.raises(ClientStoppedError, match="AssertionError"):
        await client.start()
    assert client.state is State.STOPPED


# --- start ------------------------------------------------------------------------------------


async def test_cl_007_service_that_never_answers_is_left_without_a_trace() -> None:
    come, gone = asyncio.Event(), asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        come.set()
        with contextlib.suppress(ConnectionError):
            await reader.read()
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
        gone.set()

    async with await asyncio.start_server(silent, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        client = Client(f"ws://127.0.0.1:{port}/?access_token=SECRET", start_timeout=0.2)
        with pytest.raises(ConnectTimeoutError):
            await client.start()
        async with asyncio.timeout(10):
            await gone.wait()
        come.clear()
        gone.clear()
        starting = asyncio.ensure_future(client.start())
        await come.wait()
        await client.stop()
        with pytest.raises(ClientStoppedError):
            await starting
        async with asyncio.timeout(10):
            await gone.wait()
        await until(lambda: tasks() == set())


async def test_start_that_is_cancelled_when_it_comes_up_leaves_no_connection() -> None:
    async with FakeService(nothing) as service:
        client = Client(service.url)
        starting = asyncio.ensure_future(client.start())
        client.on("connected", lambda _: starting.cancel())
        with pytest.raises(asyncio.CancelledError):
            await starting
        assert client.state is State.STOPPED
        await until(lambda: tasks() == set())


async def test_socket_that_ends_before_its_first_write_is_watched_no_more() -> None:
    """Else the event loop takes the next socket with its number for it."""

    class Cut(Transport):
        async def _connect(self, address: Any) -> socket.socket:
            found = await super()._connect(address)
            numbers.append(found.fileno())
            found.shutdown(socket.SHUT_RDWR)
            return found

    class Owner:
        log_fields: Mapping[str, object] = {}

        def on_open(self) -> None: ...
        def on_message(self, data: bytes) -> None: ...
        def on_read(self) -> None: ...
        def on_pong(self) -> None: ...
        def on_lost(self, close_code: int | None, reason: str, *, is_too_large: bool) -> None: ...

    numbers: list[int] = []
    async with FakeService(nothing) as service:
        with pytest.raises(ConnectError):
            await Cut(Owner(), SubProtocol.JSON.value, TransportOptions()).open(service.url)
        assert not asyncio.get_running_loop().remove_reader(numbers[0])


@pytest.mark.parametrize("url", ["ws://[::1/x?t=SECRET", "ws://h:99999/?t=SECRET", "ws:///x"])
async def test_address_that_is_none_is_a_credential_error(url: str) -> None:
    async with asyncio.timeout(5):
        with pytest.raises(CredentialError) as failed:
            await Client(url).start()
    assert "SECRET" not in str(failed.value)


async def test_credential_that_cancels_itself_is_a_failed_credential() -> None:
    async def cancelled() -> str:
        raise asyncio.CancelledError

    async with asyncio.timeout(5):
        with pytest.raises(CredentialError):
            await Client(cancelled).start()


async def test_credential_that_answers_after_the_stop_is_ignored() -> None:
    asked, go_on = asyncio.Event(), asyncio.Event()

    async def stubborn(_: CredentialContext) -> str:
        asked.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await go_on.wait()
        return "ws://127.0.0.1:1/late"

    client = Client(stubborn)
    starting = asyncio.ensure_future(client.start())
    await asked.wait()
    await client.stop()
    with pytest.raises(ClientStoppedError):
        await starting
    go_on.set()
    await until(lambda: tasks() == set())
    assert client._driver._url == ""
    assert client.state is State.STOPPED


async def test_negotiation_does_not_follow_a_redirect_that_would_show_the_secret() -> None:
    async def redirect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 302 Found\r\nLocation: http://localhost:1/\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(redirect, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        credential = NegotiateCredential(f"http://127.0.0.1:{port}/negotiate")
        with pytest.raises(CredentialError, match="302"):
            await Client(credential).start()


@pytest.mark.parametrize(
    "options",
    [
        {"keep_alive_interval": 0},
        {"keep_alive_interval": 30, "keep_alive_timeout": 30},
        {"start_timeout": -1},
        {"close_timeout": float("nan")},
        {"operation_timeout": -1},
        {"max_auth_failures": 0},
        {"duplicate_policy": "resned"},
    ],
)
def test_wrong_options_are_refused_at_once(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        Client("ws://127.0.0.1/", **options)
    with pytest.raises(ValueError):
        RetryOptions(delay=float("nan"))
    with pytest.raises(ValueError):
        RecoveryOptions(window=float("inf"))


# --- event loops ------------------------------------------------------------------------------


async def test_cl_034_other_loop_is_refused_while_running_and_taken_after_the_stop(
    near: Near,
) -> None:
    client = Client(near.url)
    await client.start()
    waiting = asyncio.ensure_future(client.wait_stopped())

    async def elsewhere() -> None:
        with pytest.raises(RuntimeError, match="SyncClient"):
            await client.send_to_group("g", "x")

    await asyncio.to_thread(asyncio.run, elsewhere())
    await client.stop()
    await waiting

    async def again() -> None:
        connecting = asyncio.ensure_future(client.start())
        await asyncio.sleep(0)
        await client.wait_connected()
        await connecting
        await client.send_to_group("g", "x")
        await client.stop()

    await asyncio.to_thread(asyncio.run, again())
    assert client.state is State.STOPPED


# --- what comes in ----------------------------------------------------------------------------


async def test_cl_098_frames_that_are_nothing_are_passed_over() -> None:
    draw = random.Random(1)

    async def noise(peer: FakePeer) -> None:
        for text in ("", "{", "[]", "1", '{"type":"new"}', '{"type":"message"}', '{"type":1}'):
            await peer.write_raw(text)
        for _ in range(2_000):
            data = draw.randbytes(draw.randrange(60))
            await peer.write_raw(data if draw.random() < 0.5 else data.decode("latin-1"))
        await peer.message("good", sequence_id=1)

    async with FakeService(noise) as service:
        client = Client(service.url)
        seen = watch(client)
        async with client.messages() as messages:
            await client.start()
            async with asyncio.timeout(20):
                assert (await anext(messages)).data == "good"
        assert client.is_connected
        assert "Gap" in names_of(seen)
        assert "Recovering" not in names_of(seen)
        await client.stop()


async def test_ping_is_not_answered_in_place_of_one_that_a_lost_try_has_sent() -> None:
    async def cut(peer: FakePeer) -> None:
        await peer.connected()
        await peer.ping()
        peer.abort()

    async def say_nothing(peer: FakePeer) -> None:
        await peer.read("ping")

    async def go_on(peer: FakePeer) -> None:
        await peer.connected()
        while True:
            await peer.read("ping")
            await peer.write({"type": "pong"})

    recovery = RecoveryOptions(delay=0.01, probe_timeout=0.2)
    async with FakeService(
        cut, say_nothing, go_on, says_connected=False, answers_pings=False
    ) as service:
        async with Client(service.url, recovery=recovery) as client:
            await service.peer(2)
            await client.wait_connected()
            for _ in range(3):
                await client.ping()


async def test_data_too_deep_to_decode_is_a_gap_and_not_the_end() -> None:
    async def deep(peer: FakePeer) -> None:
        frame = json.dumps(message_frame(0, sequence_id=1)).replace(
            '"data": 0', f'"data": {"[" * 5000}{"]" * 5000}'
        )
        await peer.write_raw(frame)
        await peer.message("good", sequence_id=2)

    async with FakeService(deep) as service:
        client = Client(service.url)
        seen = watch(client)
        async with client.messages() as messages:
            await client.start()
            async with asyncio.timeout(10):
                assert (await anext(messages)).data == "good"
        assert [e.cause for e in seen if type(e).__name__ == "GapEvent"] == ["unparsable"]
        assert client.is_connected
        await client.stop()


@pytest.mark.parametrize("end", ["reset", "closed", "nonsense", "too-large"])
async def test_cl_051_link_that_ends_without_a_close_frame_is_recovered(end: str) -> None:
    async def script(peer: FakePeer) -> None:
        if len(service.peers) > 1:
            return
        if end == "reset":
            peer.abort()
        elif end == "closed":
            peer.hang_up()
        elif end == "nonsense":
            await peer.write_bytes(b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff")
        else:
            await peer.write_raw("x" * 100_000)

    limits = TransportOptions(max_message_bytes=50_000)
    async with FakeService(script) as service:
        client = Client(service.url, recovery=QUICK, transport=limits)
        seen = watch(client)
        await client.start()
        await until(lambda: "Recovered" in names_of(seen))
        assert names_of(seen) == ["Connected", "Recovering", "Recovered"]
        await client.stop()


# --- what goes out ----------------------------------------------------------------------------


async def test_cl_038_large_frame_that_was_cut_is_sent_again_whole() -> None:
    got: list[Any] = []

    async def script(peer: FakePeer) -> None:
        if len(service.peers) == 1:
            peer.hold()
            return
        frame = await peer.read("sendToGroup")
        got.append(frame)
        await peer.ack(frame)

    async with FakeService(script) as service:
        async with connect(service.url, recovery=QUICK) as client:
            sending = asyncio.ensure_future(client.send_to_group("g", "x" * 900_000))
            await asyncio.sleep(0.05)
            service.peers[0].abort()
            async with asyncio.timeout(10):
                result = await sending
    assert (result.ack_id, got[0]["ackId"], len(got[0]["data"])) == (1, 1, 900_000)


async def test_fire_and_forget_waits_for_a_socket_that_is_slow() -> None:
    read_on = asyncio.Event()

    async def script(peer: FakePeer) -> None:
        peer.hold()
        await read_on.wait()
        peer.resume()
        while True:
            await peer.read()

    async with FakeService(script) as service, connect(service.url) as client:
        sent = 0

        async def send() -> None:
            nonlocal sent
            for _ in range(400):
                await client.send_to_group("g", "x" * 100_000, fire_and_forget=True)
                sent += 1

        sending = asyncio.ensure_future(send())
        before = -1
        while before != sent:
            before = sent
            await asyncio.sleep(0.2)
        assert sent < 400
        with pytest.raises(AckTimeoutError) as late:
            await client.send_to_group("g", "x", fire_and_forget=True, timeout=0.01)
        assert late.value.outcome == "unknown"
        read_on.set()
        async with asyncio.timeout(20):
            await sending


async def test_cl_107_metadata_and_ttl_are_written_only_where_given() -> None:
    frames: list[Any] = []

    async def script(peer: FakePeer) -> None:
        while True:
            frames.append(frame := await peer.read())
            await peer.ack(frame)
            await peer.write(
                {**message_frame("x", sequence_id=len(frames)), "metadata": {"k": "v"}}
            )

    async with FakeService(script) as service, connect(service.url) as client:
        async with client.messages() as messages:
            await client.send_to_group("g", "x", metadata={"k": "v"}, ttl=5)
            await client.send_to_group("g", "x")
            assert (await anext(messages)).metadata == {"k": "v"}
    assert (frames[0]["metadata"], frames[0]["ttlSeconds"]) == ({"k": "v"}, 5)
    assert not {"metadata", "ttlSeconds"} & set(frames[1])


async def test_cl_065_operation_that_waited_for_the_new_connection_succeeds(near: Near) -> None:
    client = Client(near.url, protocol=SubProtocol.JSON, reconnect_retry=SOON)
    async with client:
        near.proxy.is_refusing = True
        near.proxy.cut()
        await until(lambda: client.state is State.RECONNECTING)
        sending = [asyncio.ensure_future(client.send_to_group("g", i)) for i in range(20)]
        released: list[Any] = []

        async def on_connected(_: object) -> None:
            released.append(await client.send_to_group("g", "at once"))

        client.on("connected", on_connected)
        near.proxy.is_refusing = False
        async with asyncio.timeout(10):
            results = await asyncio.gather(*sending)
        assert not any(result.is_duplicated for result in results)
        await until(lambda: len(released) == 1)


# --- secrets ----------------------------------------------------------------------------------


async def test_no_token_gets_into_any_log_or_error(
    near: Near, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    for name in ("picows", "picows.client", "hubbub.client.transport.picows"):
        caplog.set_level(logging.DEBUG, name)
    urls: list[str] = []

    def access_url() -> str:
        urls.append(near.url())
        return urls[-1]

    client = Client(access_url, recovery=QUICK, reconnect_retry=SOON)
    seen = watch(client)
    async with client:
        near.proxy.cut()
        await until(lambda: "Recovered" in names_of(seen))
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        broken = [urls[0] + "x", f"ws://127.0.0.1:{unused.getsockname()[1]}/?access_token=SECRET"]
        for url in broken:
            with pytest.raises((AuthenticationError, OSError)) as failed:
                await Client(url).start()
            assert "access_token" not in repr(failed.value)
    text = caplog.text + repr(client) + repr(seen)
    assert urls[0].partition("access_token=")[2] not in text
    for word in ("SECRET", "access_token", "reconnection"):
        assert word not in text


# --- bounds -----------------------------------------------------------------------------------


async def test_frame_that_comes_too_large_again_is_given_up_with_a_gap() -> None:
    async def script(peer: FakePeer) -> None:
        if len(service.peers) <= 2:
            await peer.write_raw(json.dumps(message_frame("x" * 100_000, sequence_id=1)))

    limits = TransportOptions(max_message_bytes=50_000)
    async with FakeService(script) as service:
        client = Client(
            lambda: service.url,
            recovery=QUICK,
            reconnect_retry=SOON,
            transport=limits,
            buffer=BufferOptions(max_messages=5),
        )
        seen = watch(client)
        await client.start()
        await until(lambda: "Gap" in names_of(seen))
        assert [e.cause for e in seen if type(e).__name__ == "GapEvent"] == ["unparsable"]
        await client.stop()


async def test_cl_103_answer_of_22_mib_is_taken() -> None:
    size = 22 * 1_048_576

    async def script(peer: FakePeer) -> None:
        await peer.message("x" * size, sequence_id=1)
        await peer.message("after", sequence_id=2)

    async with FakeService(script) as service:
        client = Client(service.url)
        async with client.messages() as messages:
            await client.start()
            async with asyncio.timeout(60):
                assert len((await anext(messages)).data) == size
                assert (await anext(messages)).data == "after"
        await client.stop()
