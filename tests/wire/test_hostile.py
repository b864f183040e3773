"""Peers that do not behave: nobody else notices, and nothing of them stays behind."""

import asyncio
import struct
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from tests.wire.client import (
    CLOSE,
    CONTINUATION,
    JR,
    PING,
    TEXT,
    WAIT_S,
    Closed,
    J,
    RawClient,
    Refusal,
    access_key,
    access_token,
    is_success,
    until,
)

from hubbub.protocol import tokens
from hubbub.service import Service

Connect = Callable[..., Awaitable[RawClient]]
StartService = Callable[..., Awaitable[Service]]

BIG = "x" * 60_000


def text(data: str, **more: Any) -> dict[str, Any]:
    return {"type": "sendToGroup", "group": "g1", "dataType": "text", "data": data, **more}


async def fill(service: Service, connect: Connect, deaf: RawClient) -> None:
    """Send to a client that does not read until its socket takes no more."""
    deaf.writer.transport.pause_reading()
    publisher = await connect(service)
    for ack_id in range(200):
        assert is_success(await publisher.ask(text(BIG, ackId=ack_id)))
    await publisher.close()


@pytest.mark.parametrize("code", [1000, None])
async def test_client_that_closes_but_does_not_read_is_cut_after_the_flush_time(
    start_service: StartService, connect: Connect, code: int | None
) -> None:
    service = await start_service(close_flush_timeout_s=0.2)
    deaf = await connect(service, J, groups=("g1",))
    await fill(service, connect, deaf)
    await deaf.send_frame(CLOSE, b"" if code is None else struct.pack("!H", code))
    await until(lambda: not service._front.sockets)  # type: ignore[union-attr]


async def test_pings_of_a_client_that_does_not_read_are_not_answered_without_end(
    start_service: StartService, connect: Connect
) -> None:
    service = await start_service(close_flush_timeout_s=0.2)
    deaf = await connect(service, J, groups=("g1",))
    await fill(service, connect, deaf)
    pings = deaf.frame(PING) * 500
    for _ in range(10):
        deaf.writer.write(pings)
        await asyncio.sleep(0)
    await until(lambda: service.counts.get("closed.SlowClient"))


async def test_ten_thousand_tiny_fragments_are_one_message(
    service: Service, connect: Connect
) -> None:
    client = await connect(service)
    message = b'{"type":"joinGroup","group":"g","ackId":1%s}' % (b" " * 10_000)
    frames = [client.frame(TEXT, message[:1], fin=False)]
    frames += [client.frame(CONTINUATION, message[i : i + 1], fin=False) for i in range(1, 10_000)]
    frames.append(client.frame(CONTINUATION, message[10_000:]))
    client.writer.write(b"".join(frames))
    assert is_success(await client.json())


@pytest.mark.parametrize("target", ["//[", "//[::1/client/hubs/hub1", "/client/hubs/hub1?x=[&y=%"])
async def test_target_that_is_no_address_is_refused(service: Service, target: str) -> None:
    with pytest.raises(Refusal) as refusal:
        await RawClient.open(service, target)
    assert refusal.value.status in (400, 401, 404)


async def test_client_that_only_ends_its_own_side_is_gone(
    service: Service, connect: Connect, recover: Connect
) -> None:
    plain = await connect(service, J, groups=("g1",), user_id="u1")
    reliable = await connect(service, JR)
    for client in (plain, reliable):
        client.writer.write_eof()
        with pytest.raises(Closed):
            await client.next()
    await until(lambda: service.counts.get("connections.ended") == 1)
    assert service.counts["connections.lost"] == 1
    assert (await (await recover(service, reliable)).json())["event"] == "connected"


async def test_many_sockets_that_recover_one_connection_leave_one(
    service: Service, connect: Connect, recover: Connect
) -> None:
    client = await connect(service, JR, groups=("g1",))
    publisher = await connect(service)
    texts = [str(i) for i in range(20)]
    for i, data in enumerate(texts):
        assert is_success(await publisher.ask(text(data, ackId=i)))

    async def attempt() -> RawClient | None:
        again = await recover(service, client)
        try:
            assert (await again.json())["event"] == "connected"
            got = [await again.json() for _ in texts]
            assert [m["data"] for m in got] == texts
            assert [m["sequenceId"] for m in got] == list(range(1, 21))
            await again.expect_silence()
        except (Closed, ConnectionError):
            return None
        return again

    attempts = await asyncio.gather(*(attempt() for _ in range(50)))
    alive = [again for again in attempts if again is not None]
    assert service.counts["connections.recovered"] == 50
    assert is_success(await publisher.ask(text("last", ackId=99)))
    heard = 0
    for again in alive:
        try:
            message = await again.json()
        except Closed:
            continue
        assert (message["sequenceId"], message["data"]) == (21, "last")
        heard += 1
    assert heard == 1
    await until(lambda: len(service._front.sockets) == 2)  # type: ignore[union-attr]


async def test_broken_frame_behind_the_head_ends_that_socket_only(
    service: Service, connect: Connect
) -> None:
    """What comes before the 101 is fed to the parser by us, however much it is."""
    other = await connect(service)
    host, port = service.url.removeprefix("http://").split(":")
    head = (
        f"GET /client/hubs/hub1?access_token={access_token(service)} HTTP/1.1\r\n"
        f"Host: {host}:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    ).encode()
    for rest in (b"\x83\x80" + b"\xff" * 500_000, b"\x81\xff" + b"\x00" * 500_000):
        client = RawClient(*await asyncio.open_connection(host, int(port)))
        client.writer.write(head + rest)
        await client.read_head()
        assert (await client.expect_close()).code in (1002, 1006, 1009)
    await other.expect_silence()


async def test_drain_does_not_wait_for_peers_that_never_answer_a_close(
    start_service: StartService, connect: Connect
) -> None:
    service = await start_service(close_flush_timeout_s=0.2, drain_timeout_s=5)
    deaf = [await connect(service, kind, groups=("g1",)) for kind in (J, JR, None)]
    for client in deaf:
        client.writer.transport.pause_reading()
    full = await connect(service, J, groups=("g1",))
    await fill(service, connect, full)
    async with asyncio.timeout(5):
        await service.drain()
    assert not service._front.sockets  # type: ignore[union-attr]


async def test_drain_leaves_time_for_the_clients_when_a_body_never_comes(
    start_service: StartService, connect: Connect
) -> None:
    service = await start_service(drain_timeout_s=2)
    client = await connect(service, J)
    host, port = service.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    url = f"{service.url}/api/hubs/hub1/:send"
    token = tokens.make_rest_token(access_key(service), url=url, now=time.time(), life_s=60)
    writer.write(
        f"POST /api/hubs/hub1/:send?api-version=2024-12-01 HTTP/1.1\r\nHost: {host}:{port}\r\n"
        f"Authorization: Bearer {token}\r\nContent-Type: text/plain\r\n"
        "Content-Length: 10\r\n\r\n12345".encode()
    )
    await until(lambda: service._front.http_state.tasks)  # type: ignore[union-attr]
    drain = asyncio.ensure_future(service.drain())
    async with asyncio.timeout(1.8):
        await client.expect_rejection(1001)
    writer.close()
    await drain
    del reader


async def test_client_that_resets_before_its_refusal_leaves_no_error(
    service: Service, connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    host, port = service.url.removeprefix("http://").split(":")
    for data in (b"GET /client/hubs/hub1 HTTP/1.1\r\nUpgrade: websocket\r\n\r\n", b"x" * 70_000):
        for _ in range(20):
            _, writer = await asyncio.open_connection(host, int(port))
            writer.write(data)
            writer.transport.abort()
    await (await connect(service)).expect_silence()
    await until(lambda: not service._front.doors)  # type: ignore[union-attr]
    assert [r for r in caplog.records if r.levelname == "ERROR"] == []


async def test_upgrade_behind_unanswered_requests_is_refused(
    service: Service, connect: Connect
) -> None:
    """Else their answers would stand between the frames."""
    host, port = service.url.removeprefix("http://").split(":")
    get = f"GET /api/health HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n"
    upgrade = (
        f"GET /client/hubs/hub1?access_token={access_token(service)} HTTP/1.1\r\n"
        f"Host: {host}:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    )
    client = RawClient(*await asyncio.open_connection(host, int(port)))
    client.writer.write((get * 3 + upgrade).encode())
    answer = await asyncio.wait_for(client.reader.read(), WAIT_S)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b" 101 " not in answer


# --- a close frame at every moment -----------------------------------------------------------


async def gone(service: Service) -> None:
    await until(lambda: not service._front.sockets)  # type: ignore[union-attr]
    assert service.counts["connections.ended"] == service.counts["connections.opened"] == 1


CLOSE_1000 = struct.pack("!H", 1000)


@pytest.mark.parametrize("kind", [None, J, JR])
async def test_close_frame_behind_the_head_is_answered(service: Service, kind: str | None) -> None:
    host, port = service.url.removeprefix("http://").split(":")
    client = RawClient(*await asyncio.open_connection(host, int(port)))
    head = (
        f"GET /client/hubs/hub1?access_token={access_token(service)} HTTP/1.1\r\n"
        f"Host: {host}:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
        f"Sec-WebSocket-Protocol: {kind or 'custom'}\r\n\r\n"
    )
    client.writer.write(head.encode() + client.frame(CLOSE, CLOSE_1000))
    await client.read_head()
    assert (await client.expect_close()).code == 1000
    await gone(service)


@pytest.mark.parametrize("kind", [None, J, JR])
async def test_close_frame_inside_a_fragmented_message_is_answered(
    service: Service, connect: Connect, kind: str | None
) -> None:
    client = await connect(service, kind)
    frames = client.frame(TEXT, b"{", fin=False) + client.frame(CLOSE, CLOSE_1000)
    client.writer.write(frames + client.frame(CONTINUATION, b"}"))
    assert (await client.expect_close()).code == 1000
    await gone(service)


@pytest.mark.parametrize("kind", [None, J, JR])
async def test_close_frames_that_cross_end_the_connection_once(
    service: Service, connect: Connect, kind: str | None
) -> None:
    client = await connect(service, kind)
    hub = service._node.hub("hub1")  # type: ignore[union-attr]
    (connection,) = hub.connections.values()
    hub.close_connection(connection, 1000, "out")
    client.writer.write(client.frame(CLOSE, struct.pack("!H", 3000)) * 2)
    closed = await client.expect_close()
    assert (closed.code, closed.reason) == (1000, "out")
    assert await client.reader.read() == b""
    await gone(service)


@pytest.mark.parametrize("kind", [None, J, JR])
async def test_two_close_frames_end_the_connection_once(
    service: Service, connect: Connect, kind: str | None
) -> None:
    client = await connect(service, kind)
    client.writer.write(client.frame(CLOSE, CLOSE_1000) * 2)
    assert (await client.expect_close()).code in (1000, 1002)
    assert await client.reader.read() == b""
    await gone(service)
