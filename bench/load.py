"""WebSocket connections for load: they count, they do not understand.

All messages of one measurement have the same length, so deliveries are bytes divided by that
length; a generator that decoded each frame would measure itself.
"""

import asyncio
import base64
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import cast

SUBPROTOCOL = "json.webpubsub.azure.v1"
OPEN_S = 10
HANDSHAKES_AT_ONCE = 32


@dataclass(frozen=True)
class Target:
    """`path` holds the query, `pid` is that of the server, `key` signs REST tokens."""

    name: str
    host: str
    port: int
    path: str
    pid: int
    key: str = ""


class Socket(asyncio.Protocol):
    """One client. `received`: bytes since the handshake, frame heads included."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._head = bytearray()
        self._is_up = False
        self._waiter: asyncio.Future[None] | None = None
        self._wanted = 0
        self._is_expected_to_end = False
        self.received = 0
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport = cast(asyncio.Transport, transport)
        key = base64.b64encode(os.urandom(16)).decode()
        transport.write(
            (
                f"GET {self._target.path} HTTP/1.1\r\n"
                f"Host: {self._target.host}:{self._target.port}\r\n"
                "Upgrade: websocket\r\nConnection: Upgrade\r\n"
                f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n"
                f"Sec-WebSocket-Protocol: {SUBPROTOCOL}\r\n\r\n"
            ).encode()
        )

    def data_received(self, data: bytes) -> None:
        if self._is_up:
            self.received += len(data)
        else:
            self._head += data
            head, separator, rest = bytes(self._head).partition(b"\r\n\r\n")
            if not separator:
                return
            if not head.startswith(b"HTTP/1.1 101"):
                self._fail(f"handshake refused: {head[:80]!r}")
                return
            self._is_up = True
            self.received = len(rest)
        if self.received >= self._wanted and self._waiter is not None:
            self._waiter.set_result(None)
            self._waiter = None

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._is_expected_to_end:
            self._fail(f"connection lost: {exc}")

    def _fail(self, why: str) -> None:
        if self._waiter is not None:
            self._waiter.set_exception(ConnectionError(why))
            self._waiter = None

    async def until(self, received: int) -> None:
        """Back when so many bytes have come since the handshake."""
        if self.received < received or not self._is_up:
            self._wanted = received
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter

    def write(self, frames: bytes) -> None:
        assert self.transport is not None
        self.transport.write(frames)

    def end(self) -> None:
        """Close frame 1000, then the end of the stream."""
        self._is_expected_to_end = True
        if self.transport is not None:
            self.transport.write(_frame(0x88, b"\x03\xe8"))
            self.transport.close()


def text_frame(message: object) -> bytes:
    return _frame(0x81, json.dumps(message, separators=(",", ":")).encode())


def _frame(head: int, payload: bytes) -> bytes:
    """Masked with zeros, which is legal and leaves the payload as it is."""
    size = len(payload)
    if size < 126:
        return bytes((head, 0x80 | size, 0, 0, 0, 0)) + payload
    return bytes((head, 0x80 | 126)) + size.to_bytes(2, "big") + bytes(4) + payload


async def connect(target: Target) -> Socket:
    """Open, and the `connected` message is there."""
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(OPEN_S):
        _, socket = await loop.create_connection(lambda: Socket(target), target.host, target.port)
        await socket.until(1)
    return socket


async def connect_many(target: Target, count: int) -> list[Socket]:
    sockets: list[Socket] = []
    while len(sockets) < count:
        batch = min(HANDSHAKES_AT_ONCE, count - len(sockets))
        sockets += await asyncio.gather(*(connect(target) for _ in range(batch)))
    return sockets


async def all_until(sockets: Iterable[Socket], received: Iterable[int]) -> None:
    """Each has got its bytes. One after the other: what is there already costs nothing."""
    for socket, wanted in zip(sockets, received, strict=True):
        await socket.until(wanted)


def cpu_s(pid: int) -> float:
    """CPU time of a process so far, user and system."""
    with open(f"/proc/{pid}/stat", encoding="ascii") as stat:
        fields = stat.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_kib(pid: int) -> int:
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        for line in status:
            if line.startswith("VmRSS:"):
                return int(line.split()[1])
    raise RuntimeError("no VmRSS in /proc: this needs Linux")
