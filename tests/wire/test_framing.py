"""RFC 6455 to the letter: fragments, control frames, reserved bits, close codes, heads."""

import asyncio
import contextlib
import struct
from collections.abc import Awaitable, Callable

import pytest
from tests.wire.client import (
    ALL_ROLES,
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    WAIT_S,
    Closed,
    J,
    RawClient,
    Refusal,
    access_token,
    is_success,
)

from hubbub.service import Service

Connect = Callable[..., Awaitable[RawClient]]
JOIN = b'{"type":"joinGroup","group":"g","ackId":1}'


async def test_fragments_are_joined_with_control_frames_between(
    service: Service, connect: Connect
) -> None:
    client = await connect(service)
    await client.send_frame(TEXT, JOIN[:10], fin=False)
    await client.send_frame(PING, b"between")
    assert await client.next_frame() == (PONG, b"between")
    await client.send_frame(CONTINUATION, b"", fin=False)
    await client.send_frame(CONTINUATION, JOIN[10:])
    assert is_success(await client.json())


async def test_utf_8_character_may_be_split_between_fragments(
    service: Service, connect: Connect
) -> None:
    client = await connect(service)
    data = '{"type":"joinGroup","group":"é","ackId":1}'.encode()
    cut = data.index("é".encode()) + 1
    await client.send_frame(TEXT, data[:cut], fin=False)
    await client.send_frame(CONTINUATION, data[cut:])
    assert is_success(await client.json())


@pytest.mark.parametrize(
    "frames",
    [
        [(CONTINUATION, True, 0, JOIN)],
        [(TEXT, False, 0, b"{"), (TEXT, True, 0, b"}")],
        [(TEXT, False, 0, b"{"), (BINARY, True, 0, b"}")],
        [(TEXT, True, 4, JOIN)],
        [(TEXT, True, 2, JOIN)],
        [(TEXT, True, 1, JOIN)],
        [(PING, True, 4, b"")],
        [(PING, False, 0, b"")],
        [(PING, True, 0, b"x" * 126)],
        [(CLOSE, False, 0, b"")],
        [(3, True, 0, b"")],
        [(11, True, 0, b"")],
        [(CLOSE, True, 0, b"\x03")],
        [(CLOSE, True, 0, struct.pack("!H", 999))],
        [(CLOSE, True, 0, struct.pack("!H", 0))],
        [(CLOSE, True, 0, struct.pack("!H", 1004))],
        [(CLOSE, True, 0, struct.pack("!H", 1005))],
        [(CLOSE, True, 0, struct.pack("!H", 1006))],
        [(CLOSE, True, 0, struct.pack("!H", 1015))],
        [(CLOSE, True, 0, struct.pack("!H", 5000))],
    ],
)
async def test_broken_framing_ends_with_1002(
    service: Service, connect: Connect, frames: list[tuple[int, bool, int, bytes]]
) -> None:
    client = await connect(service)
    for opcode, fin, rsv, payload in frames:
        await client.send_frame(opcode, payload, fin=fin, rsv=rsv)
    assert (await client.expect_close()).code == 1002


async def test_unmasked_frame_ends_with_1002(service: Service, connect: Connect) -> None:
    client = await connect(service)
    await client.send_frame(TEXT, JOIN, masked=False)
    assert (await client.expect_close()).code == 1002


async def test_close_reason_that_is_no_utf_8_is_refused(service: Service, connect: Connect) -> None:
    client = await connect(service)
    await client.send_frame(CLOSE, struct.pack("!H", 1000) + b"\xff")
    assert (await client.expect_close()).code in (1002, 1007)


@pytest.mark.parametrize("code", [1000, 1001, 1007, 1011, 3000, 4999])
async def test_close_is_answered_with_the_same_code(
    service: Service, connect: Connect, code: int
) -> None:
    client = await connect(service, None)
    await client.send_frame(CLOSE, struct.pack("!H", code) + b"bye")
    assert (await client.expect_close()).code == code
    assert await client.reader.read() == b""


async def test_empty_close_is_answered_with_an_empty_close(
    service: Service, connect: Connect
) -> None:
    client = await connect(service)
    await client.send_frame(CLOSE)
    assert await client.next_frame() == (CLOSE, b"")
    assert await client.reader.read() == b""


async def test_frames_after_a_close_are_not_executed(service: Service, connect: Connect) -> None:
    member = await connect(service, groups=("g",))
    client = await connect(service)
    send = b'{"type":"sendToGroup","group":"g","dataType":"text","data":"late"}'
    client.writer.write(client.frame(CLOSE, struct.pack("!H", 1000)) + client.frame(TEXT, send))
    await client.expect_close()
    await member.expect_silence()


async def test_frames_after_a_broken_frame_are_not_executed(
    service: Service, connect: Connect
) -> None:
    member = await connect(service, groups=("g",))
    client = await connect(service)
    send = b'{"type":"sendToGroup","group":"g","dataType":"text","data":"late"}'
    client.writer.write(client.frame(TEXT, b"{") + client.frame(TEXT, send))
    assert (await client.expect_close()).code == 1007
    await member.expect_silence()


async def test_ping_of_a_client_is_answered_with_its_payload(
    service: Service, connect: Connect
) -> None:
    client = await connect(service, None)
    await client.send_frame(PING, b"x" * 125)
    assert await client.next_frame() == (PONG, b"x" * 125)
    await client.send_frame(PONG, b"unasked")
    await client.send_frame(PING)
    assert await client.next_frame() == (PONG, b"")


# --- heads of browsers and proxies -----------------------------------------------------------

HEADS = {
    "chromium": """GET {target} HTTP/1.1
Host: {host}
Connection: Upgrade
Pragma: no-cache
Cache-Control: no-cache
User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36
Upgrade: websocket
Origin: http://localhost:8000
Sec-WebSocket-Version: 13
Accept-Encoding: gzip, deflate, br, zstd
Accept-Language: en-US,en;q=0.9
Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==
Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits
Sec-WebSocket-Protocol: {protocol}

""",
    "firefox": """GET {target} HTTP/1.1
Host: {host}
User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:143.0) Gecko/20100101 Firefox/143.0
Accept: */*
Accept-Language: en-GB,en;q=0.5
Accept-Encoding: gzip, deflate
Sec-WebSocket-Version: 13
Origin: http://localhost:8000
Sec-WebSocket-Protocol: {protocol}
Sec-WebSocket-Extensions: permessage-deflate
Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==
Connection: keep-alive, Upgrade
Sec-Fetch-Dest: empty
Sec-Fetch-Mode: websocket
Sec-Fetch-Site: same-site
Pragma: no-cache
Cache-Control: no-cache
Upgrade: websocket

""",
    "proxy, odd case and many headers": """GET {target} HTTP/1.1
host: {host}
x-forwarded-for: 10.0.0.1
X-Forwarded-Proto: http
UPGRADE: WebSocket
CONNECTION: upgrade
sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==
sec-websocket-version: 13
sec-websocket-protocol: other,{protocol}
cookie: {cookie}

""",
}


def head_of(service: Service, name: str) -> bytes:
    text = HEADS[name].format(
        target=f"/client/hubs/hub1?access_token={access_token(service, roles=ALL_ROLES)}",
        host=service.url.removeprefix("http://"),
        protocol=J,
        cookie="a=" + "x" * 20_000,
    )
    return text.replace("\n", "\r\n").encode()


async def dial(service: Service) -> RawClient:
    host, port = service.url.removeprefix("http://").split(":")
    return RawClient(*await asyncio.open_connection(host, int(port)))


@pytest.mark.parametrize("name", HEADS)
@pytest.mark.parametrize("step", [1, 1000, 1_000_000])
async def test_recorded_head_is_taken_however_it_is_cut(
    service: Service, name: str, step: int
) -> None:
    client = await dial(service)
    head = head_of(service, name)
    if step == 1:
        head = head.replace(b"x" * 20_000, b"x" * 200)
    for i in range(0, len(head), step):
        client.writer.write(head[i : i + step])
        await client.writer.drain()
        if step < 1000 and i % 64 == 0:
            await asyncio.sleep(0)
    await client.read_head()
    assert client.headers["sec-websocket-accept"] == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
    assert client.headers["sec-websocket-protocol"] == J
    assert "sec-websocket-extensions" not in client.headers
    assert (await client.json())["event"] == "connected"


async def test_frames_sent_with_the_head_are_executed(service: Service) -> None:
    client = await dial(service)
    client.writer.write(head_of(service, "chromium") + client.frame(TEXT, JOIN))
    await client.read_head()
    assert (await client.json())["event"] == "connected"
    assert is_success(await client.json())


async def test_upgrade_on_a_kept_alive_http_connection(service: Service) -> None:
    client = await dial(service)
    host = service.url.removeprefix("http://")
    client.writer.write(f"GET /api/health HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
    with pytest.raises(Refusal) as answer:
        await client.read_head()
    assert answer.value.status == 200
    client.writer.write(head_of(service, "firefox"))
    await client.read_head()
    assert (await client.json())["event"] == "connected"


@pytest.mark.parametrize(
    ("old", "new", "status"),
    [
        ("Sec-WebSocket-Version: 13", "Sec-WebSocket-Version: 8", 426),
        ("Sec-WebSocket-Version: 13\r\n", "", 426),
        ("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Key: abc", 400),
        ("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", "", 400),
        ("Connection: Upgrade\r\n", "", 400),
        ("GET ", "POST ", 400),
        ("HTTP/1.1", "HTTP/1.0", 400),
        ("Pragma: no-cache", "Pra gma: no-cache", 400),
        ("Pragma: no-cache", "Pragma: " + "x" * 70_000, 431),
    ],
)
async def test_bad_head_gets_its_answer(service: Service, old: str, new: str, status: int) -> None:
    client = await dial(service)
    head = head_of(service, "chromium").replace(old.encode(), new.encode(), 1)
    client.writer.write(head)
    with pytest.raises(Refusal) as refusal:
        await client.read_head()
    assert refusal.value.status == status
    assert await asyncio.wait_for(client.reader.read(), WAIT_S) == b""


async def test_garbage_on_the_port_harms_nobody(service: Service, connect: Connect) -> None:
    other = await connect(service)
    for garbage in (
        b"\x16\x03\x01" * 100,
        b"GET / HTTP/9.9\r\n\r\n",
        b"\r\n\r\n",
        b"\x00" * 80_000,
    ):
        client = await dial(service)
        client.writer.write(garbage)
        client.writer.write_eof()
        await asyncio.wait_for(client.reader.read(), WAIT_S)
        client.writer.close()
    await other.expect_silence()


async def test_half_open_and_flooding_connects_harm_nobody(
    service: Service, connect: Connect
) -> None:
    """Heads that never end, sockets that vanish during the handshake, many at once."""
    other = await connect(service)
    head = head_of(service, "chromium")
    for i in range(300):
        client = await dial(service)
        client.writer.write(head[: len(head) // (i % 3 + 1) - (i % 2)])
        if i % 5 == 0:
            client.writer.transport.abort()
    await other.expect_silence()
    assert (await connect(service)).hello["event"] == "connected"


async def test_silent_socket_without_a_head_is_refused_in_time(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hubbub.service.front_door.HEAD_TIMEOUT_S", 0.05)
    client = await dial(service)
    client.writer.write(b"GET / HT")
    with pytest.raises(Refusal) as refusal:
        await client.read_head()
    assert refusal.value.status == 408
    with pytest.raises(Closed):
        await client.next_frame()


async def test_large_head_on_a_kept_alive_connection_is_refused(
    service: Service, connect: Connect
) -> None:
    other = await connect(service)
    client = await dial(service)
    host = service.url.removeprefix("http://")
    first = f"GET /api/health HTTP/1.1\r\nHost: {host}\r\n\r\n"
    client.writer.write(first.encode())
    with pytest.raises(Refusal) as answer:
        await client.read_head()
    assert answer.value.status == 200
    headers = "".join(f"X-{i}: {'x' * 1000}\r\n" for i in range(120))
    client.writer.write(first.replace("\r\n\r\n", f"\r\n{headers}\r\n").encode())
    with pytest.raises(Refusal) as answer:
        await client.read_head()
    assert answer.value.status == 400
    await other.expect_silence()


async def test_endless_header_on_a_kept_alive_connection_is_refused(service: Service) -> None:
    """A header that never ends is in nobody's list yet, and must not fill memory all the same."""
    client = await dial(service)
    host = service.url.removeprefix("http://")
    client.writer.write(f"GET /api/health HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
    with pytest.raises(Refusal) as answer:
        await client.read_head()
    assert answer.value.status == 200
    client.writer.write(b"GET /api/health HTTP/1.1\r\nX-Endless: ")
    ended = asyncio.create_task(client.reader.read())
    while not ended.done() and not client.writer.is_closing():
        client.writer.write(b"x" * 1000)
        await asyncio.sleep(0)
    with contextlib.suppress(ConnectionError):  # what it did not read resets the connection
        assert (await ended).startswith(b"HTTP/1.1 400 ")


async def test_large_body_is_no_part_of_the_next_head(service: Service) -> None:
    client = await dial(service)
    host = service.url.removeprefix("http://")
    ask = f"GET /api/health HTTP/1.1\r\nHost: {host}\r\n"
    body = "x" * 200_000
    client.writer.write(f"{ask}Content-Length: {len(body)}\r\n\r\n{body}{ask}".encode())
    with pytest.raises(Refusal) as answer:
        await client.read_head()
    assert answer.value.status == 200
    client.writer.write(b"\r\n")
    with pytest.raises(Refusal) as answer:
        await client.read_head()
    assert answer.value.status == 200
