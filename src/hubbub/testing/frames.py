"""The little of HTTP and RFC 6455 that a proxy and a scripted peer need to see."""

import base64
import hashlib
from collections.abc import Iterator
from http import HTTPStatus
from urllib.parse import parse_qs, urlsplit

_HEAD_END = b"\r\n\r\n"
_KEY_SUFFIX = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
TEXT, BINARY, CLOSE = 1, 2, 8


class Head:
    """Of a request: `path`, `query` (the last value of each name), `headers` in lower case."""

    def __init__(self, raw: bytes) -> None:
        first, *lines = raw.decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")
        target = urlsplit(first.split(" ")[1] if " " in first else "")
        pairs = (line.partition(":") for line in lines)
        self.path = target.path
        self.query = {k: v[-1] for k, v in parse_qs(target.query, keep_blank_values=True).items()}
        self.headers = {name.strip().lower(): value.strip() for name, _, value in pairs}

    @property
    def is_websocket(self) -> bool:
        return self.headers.get("upgrade", "").lower() == "websocket"

    @property
    def is_recovery(self) -> bool:
        return "awps_connection_id" in self.query


def http_answer(status: int, headers: dict[str, str] | None = None) -> bytes:
    """An answer without a body after which the connection ends."""
    lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    return "\r\n".join([*lines, "Content-Length: 0", "Connection: close", "", ""]).encode()


def switching_protocols(head: Head) -> bytes:
    """101 for this request, with the first subprotocol that it offers."""
    key = head.headers.get("sec-websocket-key", "").encode()
    accept = base64.b64encode(hashlib.sha1(key + _KEY_SUFFIX).digest()).decode()
    lines = ["HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade"]
    lines.append(f"Sec-WebSocket-Accept: {accept}")
    offered = head.headers.get("sec-websocket-protocol", "").split(",")[0].strip()
    if offered:
        lines.append(f"Sec-WebSocket-Protocol: {offered}")
    return "\r\n".join([*lines, "", ""]).encode()


def close_frame(code: int, reason: str = "") -> bytes:
    """From a service, so without a mask."""
    payload = code.to_bytes(2, "big") + reason.encode()
    if len(payload) > 125:
        raise ValueError("a reason has at most 123 bytes")
    return bytes([0x80 | CLOSE, len(payload)]) + payload


class Splitter:
    """Takes what a service sends apart: the answer's head, then whole frames."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._is_head = True
        self._is_websocket = True

    def feed(self, data: bytes) -> Iterator[tuple[int | None, bytes]]:
        """Whole pieces with their opcode; None: no frame. What is incomplete waits."""
        self._data += data
        if self._is_head:
            end = self._data.find(_HEAD_END)
            if end < 0:
                return
            self._is_head = False
            head = self._take(end + len(_HEAD_END))
            self._is_websocket = head.split(b" ", 2)[1:2] == [b"101"]
            yield None, head
        if not self._is_websocket:
            if self._data:
                yield None, self._take(len(self._data))
            return
        while size := self._frame_size():
            opcode = self._data[0] & 0x0F
            yield opcode, self._take(size)

    def _take(self, size: int) -> bytes:
        piece = bytes(self._data[:size])
        del self._data[:size]
        return piece

    def _frame_size(self) -> int:
        """0 while it has not come as a whole. A service masks nothing."""
        data = self._data
        if len(data) < 2:
            return 0
        size, header = data[1] & 0x7F, 2
        if size >= 126:
            header = 4 if size == 126 else 10
            if len(data) < header:
                return 0
            size = int.from_bytes(data[2:header], "big")
        return header + size if len(data) >= header + size else 0
