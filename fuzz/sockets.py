"""Raw bytes to a running service: as a request, as frames of a client, as the body of a send."""

import asyncio
import logging
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from fuzz.promises import require

from hubbub.protocol import connection_string, tokens
from hubbub.service import Service, Settings

_WAIT_S = 10.0
"""Until a socket that does not end is a finding; nothing waits for it otherwise."""
_TURNS = 2000
"""Turns of the loop that the service may take to forget a client that is gone."""
_SUBPROTOCOLS = ("", "json.webpubsub.azure.v1", "json.reliable.webpubsub.azure.v1",
                 "protobuf.webpubsub.azure.v1", "protobuf.reliable.webpubsub.azure.v1")  # fmt: skip
_RAW, _SEND = len(_SUBPROTOCOLS), len(_SUBPROTOCOLS) + 1


class Faults(logging.Handler):
    """Log records that tell of a fault of ours."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.found: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info or record.levelno >= logging.ERROR:
            self.found.append(self.format(record))


class _Target:
    """The first byte of an input says what the rest is."""

    def __init__(self, service: Service, faults: Faults) -> None:
        self._service = service
        self._faults = faults
        self._authority = service.url.removeprefix("http://")
        self._key = connection_string.parse(service.connection_string).access_key

    async def run(self, data: bytes) -> None:
        await self._say(self._prefixed(data))
        front = self._service._front
        assert front is not None
        for _ in range(_TURNS):
            if not (front.sockets or front.doors or front._tasks):
                break
            await asyncio.sleep(0)
        require(not front.sockets, "a WebSocket that is gone is forgotten")
        require(not front.doors, "a connection that is gone is forgotten")
        require(not self._faults.found, "\n".join(self._faults.found))

    async def _say(self, data: bytes) -> None:
        reader, writer = await asyncio.open_connection(*self._authority.split(":"))
        try:
            writer.write(data)
            writer.write_eof()
            async with asyncio.timeout(_WAIT_S):
                while await reader.read(65_536):
                    pass
        except ConnectionError:
            pass  # a reset is an end
        finally:
            writer.transport.abort()

    def _prefixed(self, data: bytes) -> bytes:
        kind, rest = data[0] % (_SEND + 1) if data else _RAW, data[1:]
        if kind == _RAW:
            return rest
        return (self._send(len(rest)) if kind == _SEND else self._upgrade(kind)) + rest

    def _upgrade(self, kind: int) -> bytes:
        token = tokens.make_client_token(
            self._key,
            audience=f"{self._service.url}/client/hubs/hub1",
            now=time.time(),
            life_s=60,
            user_id="u",
            roles=("webpubsub.joinLeaveGroup", "webpubsub.sendToGroup"),
            groups=("g",),
        )
        lines = [
            f"GET /client/hubs/hub1?access_token={token} HTTP/1.1", f"Host: {self._authority}",
            "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
        ]  # fmt: skip
        if _SUBPROTOCOLS[kind]:
            lines.append(f"Sec-WebSocket-Protocol: {_SUBPROTOCOLS[kind]}")
        return "\r\n".join([*lines, "", ""]).encode()

    def _send(self, size: int) -> bytes:
        path = "/api/hubs/hub1/:send"
        url = f"{self._service.url}{path}"
        token = tokens.make_rest_token(self._key, url=url, now=time.time(), life_s=60)
        lines = [
            f"POST {path} HTTP/1.1", f"Host: {self._authority}", f"Authorization: Bearer {token}",
            "Content-Type: application/json", f"Content-Length: {size}", "Connection: close",
        ]  # fmt: skip
        return "\r\n".join([*lines, "", ""]).encode()


@contextmanager
def running_service() -> Iterator[Callable[[bytes], None]]:
    faults = Faults()
    logging.getLogger().addHandler(faults)
    try:
        with asyncio.Runner() as runner:
            service = Service(Settings(port=0, close_flush_timeout_s=0.2, recovery_window_s=0.05))
            runner.run(service.start())
            target = _Target(service, faults)
            try:
                yield lambda data: runner.run(target.run(data))
            finally:
                runner.run(service.stop())
    finally:
        logging.getLogger().removeHandler(faults)


def frame(opcode: int, payload: bytes = b"", *, fin: bool = True) -> bytes:
    """Masked with zeros, which leaves the payload readable for a mutation."""
    first, size = (0x80 if fin else 0) | opcode, len(payload)
    if size < 126:
        return bytes((first, 0x80 | size)) + bytes(4) + payload
    return bytes((first, 0x80 | 126)) + struct.pack("!H", size) + bytes(4) + payload


_TEXT, _BINARY, _CLOSE, _PING, _PONG = 1, 2, 8, 9, 10
_MESSAGES = frame(_TEXT, b'{"type":"joinGroup","group":"g2","ackId":1}') + frame(
    _TEXT, b'{"type":"sendToGroup","group":"g","dataType":"json","data":[1]}'
)
SEEDS = (
    b"\0" + frame(_TEXT, b"hello") + frame(_CLOSE, b"\x03\xe8"),
    b"\1" + _MESSAGES + frame(_PING, b"x"),
    b"\1" + frame(_TEXT, b'{"type":', fin=False) + frame(_PONG) + frame(0, b'"ping"}'),
    b"\2" + _MESSAGES + frame(_TEXT, b'{"type":"sequenceAck","sequenceId":1}'),
    b"\3" + frame(_BINARY, b"\x32\x05\x0a\x01g\x10\x01"),
    b"\4" + frame(_BINARY, b"\x42\x02\x08\x01") + frame(_CLOSE),
    b"\5GET /api/health HTTP/1.1\r\nHost: h\r\n\r\nGET /client/hubs/a HTTP/1.1\r\n\r\n",
    b"\5POST /api/hubs/h/:send HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    b'\6{"a":[1,2]}',
)
WORDS = (
    b"\r\n", b"\r\n\r\n", b"\xff", b"\0" * 8, b"\x81\xff", b"\x88\x80", b"\x00\x80", b"[" * 70,
    b"Upgrade: websocket\r\n", b"Expect: 100-continue\r\n", b"Content-Length: -1\r\n", frame(_CLOSE, b"\0"),
)  # fmt: skip
