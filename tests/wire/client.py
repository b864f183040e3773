"""A WebSocket client of the tests' own: every frame, byte and close code is visible and settable."""

import asyncio
import base64
import json
import os
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from hubbub.protocol import connection_string, protobuf_codec, tokens
from hubbub.protocol.messages import Response
from hubbub.service import Service

TEXT, BINARY, CLOSE, PING, PONG, CONTINUATION = 1, 2, 8, 9, 10, 0
J = "json.webpubsub.azure.v1"
JR = "json.reliable.webpubsub.azure.v1"
PB = "protobuf.webpubsub.azure.v1"
PBR = "protobuf.reliable.webpubsub.azure.v1"
ALL_ROLES = ("webpubsub.joinLeaveGroup", "webpubsub.sendToGroup")
WAIT_S = 10.0
"""Upper bound of every wait, so that a fault ends the test instead of hanging it."""


def access_key(service: Service) -> str:
    return connection_string.parse(service.connection_string).access_key


def access_token(
    service: Service,
    hub: str = "hub1",
    *,
    key: str | None = None,
    audience: str | None = None,
    life_s: float = 3600,
    now: float | None = None,
    user_id: str | None = None,
    roles: tuple[str, ...] = (),
    groups: tuple[str, ...] = (),
) -> str:
    return tokens.make_client_token(
        key if key is not None else access_key(service),
        audience=audience or f"{service.url}/client/hubs/{hub}",
        now=time.time() if now is None else now,
        life_s=life_s,
        user_id=user_id,
        roles=roles,
        groups=groups,
    )


@dataclass
class Refusal(Exception):
    """The handshake got no 101."""

    status: int
    headers: dict[str, str]
    body: bytes


@dataclass
class Closed(Exception):
    """The service closed: `code` of its close frame; 1005 without a status, 1006 without a frame."""

    code: int
    reason: str = ""


async def until(condition: Callable[[], object]) -> None:
    """Wait for an outcome that has no event of its own."""
    async with asyncio.timeout(WAIT_S):
        while not condition():
            await asyncio.sleep(0.001)


class RawClient:
    opened: ClassVar[list["RawClient"]] = []
    """Of this test; the fixture `no_client_left` cuts them."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.headers: dict[str, str] = {}
        self.hello: dict[str, Any] = {}
        self.opened.append(self)

    @classmethod
    async def open(
        cls,
        service: Service,
        target: str,
        *,
        subprotocols: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> Self:
        host, port = service.url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        client = cls(reader, writer)
        lines = [
            f"GET {target} HTTP/1.1",
            f"Host: {host}:{port}",
            "Upgrade: websocket",
            "Connection: Upgrade",
            "Sec-WebSocket-Version: 13",
            f"Sec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}",
        ]
        if subprotocols:
            lines.append(f"Sec-WebSocket-Protocol: {subprotocols}")
        lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
        writer.write("\r\n".join([*lines, "", ""]).encode())
        try:
            await client.read_head()
        except BaseException:
            writer.close()
            raise
        return client

    async def read_head(self) -> None:
        head = await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), WAIT_S)
        status_line, *lines = head.decode().rstrip().split("\r\n")
        self.headers = {
            name.lower(): value.strip() for name, _, value in (s.partition(":") for s in lines)
        }
        status = int(status_line.split()[1])
        if status != 101:
            size = int(self.headers.get("content-length", 0))
            body = await asyncio.wait_for(self.reader.readexactly(size), WAIT_S)
            raise Refusal(status, self.headers, body)

    # --- out ---------------------------------------------------------------------------------

    def frame(
        self,
        opcode: int,
        payload: bytes = b"",
        *,
        fin: bool = True,
        rsv: int = 0,
        masked: bool = True,
    ) -> bytes:
        first = (0x80 if fin else 0) | rsv << 4 | opcode
        bit = 0x80 if masked else 0
        size = len(payload)
        if size < 126:
            head = struct.pack("!BB", first, bit | size)
        elif size < 65536:
            head = struct.pack("!BBH", first, bit | 126, size)
        else:
            head = struct.pack("!BBQ", first, bit | 127, size)
        if not masked:
            return head + payload
        mask = os.urandom(4)
        key = int.from_bytes(mask * (size // 4 + 1), "big") >> (8 * (4 - size % 4))
        return head + mask + (int.from_bytes(payload, "big") ^ key).to_bytes(size, "big")

    async def send_frame(self, opcode: int, payload: bytes = b"", **options: Any) -> None:
        self.writer.write(self.frame(opcode, payload, **options))
        await self.writer.drain()

    async def send(self, message: object) -> None:
        """A dict as JSON, a str as it is, bytes in a binary frame."""
        if isinstance(message, bytes):
            await self.send_frame(BINARY, message)
        else:
            text = message if isinstance(message, str) else json.dumps(message)
            await self.send_frame(TEXT, text.encode())

    async def close(self, code: int | None = 1000) -> None:
        """Close frame, wait for the answer and the end of the connection."""
        await self.send_frame(CLOSE, b"" if code is None else struct.pack("!H", code))
        try:
            while True:
                await self.next()
        except Closed:
            pass
        self.writer.close()

    def cut(self) -> None:
        """The network goes away: no close frame."""
        self.writer.transport.abort()

    # --- in ----------------------------------------------------------------------------------

    async def next_frame(self) -> tuple[int, bytes]:
        """Next frame of any kind. Raises Closed(1006) at the end of the stream."""
        try:
            async with asyncio.timeout(WAIT_S):
                first, second = await self.reader.readexactly(2)
                size = second & 0x7F
                assert second & 0x80 == 0, "a service does not mask"
                if size == 126:
                    size = int.from_bytes(await self.reader.readexactly(2), "big")
                elif size == 127:
                    size = int.from_bytes(await self.reader.readexactly(8), "big")
                payload = await self.reader.readexactly(size)
        except (asyncio.IncompleteReadError, ConnectionError):
            raise Closed(1006) from None
        assert first & 0xF0 == 0x80, "a service sends whole frames without reserved bits"
        return first & 0x0F, payload

    async def next(self) -> tuple[int, bytes]:
        """Next text or binary frame; pings are answered. Raises Closed."""
        while True:
            opcode, payload = await self.next_frame()
            if opcode == PING:
                await self.send_frame(PONG, payload)
            elif opcode == CLOSE:
                code = int.from_bytes(payload[:2], "big") if payload else 1005
                raise Closed(code, payload[2:].decode())
            elif opcode != PONG:
                return opcode, payload

    async def text(self) -> str:
        opcode, payload = await self.next()
        assert opcode == TEXT
        return payload.decode()

    async def binary(self) -> bytes:
        opcode, payload = await self.next()
        assert opcode == BINARY
        return payload

    async def json(self) -> dict[str, Any]:
        message = json.loads(await self.text())
        assert isinstance(message, dict)
        return message

    async def response(self) -> Response | None:
        """Next message of a protobuf client."""
        return protobuf_codec.decode_response(await self.binary())

    async def ask(self, message: dict[str, Any]) -> dict[str, Any]:
        """Send and return the next message."""
        await self.send(message)
        return await self.json()

    async def ack(self, ack_id: int) -> dict[str, Any]:
        """The ack with this id; other messages before it are skipped."""
        while True:
            message = await self.json()
            if message.get("type") == "ack" and message["ackId"] == ack_id:
                return message

    async def expect_close(self) -> Closed:
        """The close of the service; messages before it are skipped."""
        try:
            while True:
                await self.next()
        except Closed as closed:
            self.writer.close()
            return closed

    async def expect_rejection(self, code: int) -> None:
        """`disconnected`, then the close frame: how a PubSub client is turned out."""
        message = await self.json()
        assert (message["type"], message["event"]) == ("system", "disconnected"), message
        closed = await self.expect_close()
        assert closed.code == code, closed

    async def expect_silence(self) -> None:
        """Nothing came that was not asked for: a ping is answered by the very next message."""
        assert await self.ask({"type": "ping"}) == {"type": "pong"}


def is_success(ack: dict[str, Any]) -> bool:
    return ack["type"] == "ack" and ack["success"] is True


def error_name(ack: dict[str, Any]) -> str:
    assert ack["type"] == "ack"
    assert ack["success"] is False, ack
    name = ack["error"]["name"]
    assert isinstance(name, str)
    return name
