"""A WebSocket client that shows what is on the wire: frames, close codes, refused handshakes.

It knows no more of the protocol than a case has to see, and shares no code with the service.
"""

import asyncio
import contextlib
import json
import logging
import socket
import struct
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

import picows
from picows import WSMsgType

from hubbub.testing.conformance import protobuf
from hubbub.testing.conformance.failures import CaseFailed, shown

JSON = "json.webpubsub.azure.v1"
RELIABLE = "json.reliable.webpubsub.azure.v1"
PROTOBUF = "protobuf.webpubsub.azure.v1"
RELIABLE_PROTOBUF = "protobuf.reliable.webpubsub.azure.v1"

_MAX_FRAME_BYTES = 32 * 1_048_576
_MAX_UNREAD = 20_000
"""Messages that a case has not looked at; more is a fault of the service or of the case."""
_quiet = logging.Logger("hubbub.testing.conformance.picows", logging.CRITICAL + 1)
"""picows would log the request, which holds the token."""
_ws_connect: Any = getattr(picows, "ws_connect")  # noqa: B009 - its **kwargs have no types


class _Absent:
    def __repr__(self) -> str:
        return "nothing"


ABSENT: Any = _Absent()
"""A field that has to be missing, null or empty."""


class Refused(Exception):
    """The handshake was answered, but not with 101."""

    def __init__(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        super().__init__(f"the handshake was answered {status}")
        self.status = status
        self.headers = headers
        self.body = body


class Message(dict[str, Any]):
    """One message of a PubSub client; `raw` is the frame that brought it."""

    def __init__(self, fields: Mapping[str, Any], raw: str | bytes) -> None:
        super().__init__(fields)
        self.raw = raw


class WireClient(picows.WSListener):
    """One socket. Waits look through everything that came and was not looked at yet."""

    def __init__(
        self,
        label: str,
        say: Callable[[str], None],
        timeout_s: float,
        answers_pings: bool = True,
    ) -> None:
        self.label = label
        self.hello: Message = Message({}, "")
        """The `connected` message of a PubSub client."""
        self.subprotocol: str | None = None
        self._say = say
        self._timeout_s = timeout_s
        self._answers_pings = answers_pings
        self._ws: picows.WSTransport | None = None
        self._socket: socket.socket | None = None
        self._inbox: list[Any] = []
        self._parts: list[bytes] = []
        self._is_text = True
        self._news = asyncio.Event()
        self._end: tuple[int, str] | None = None

    async def open(self, url: str, headers: Mapping[str, str], limit_s: float) -> None:
        """Shake hands within the limit. Raises: Refused, CaseFailed, OSError."""
        try:
            async with asyncio.timeout(limit_s):
                await _ws_connect(
                    lambda: self,
                    url,
                    extra_headers=dict(headers),
                    socket_factory=self._connect,
                    max_redirects=0,
                    max_frame_size=_MAX_FRAME_BYTES,
                    websocket_handshake_timeout=None,
                    enable_auto_pong=self._answers_pings,
                    logger_name=_quiet,
                )
        except picows.WSInvalidStatusError as error:
            response = error.response
            if response is None:
                raise CaseFailed("an answer to the handshake", "none") from None
            raise Refused(
                int(response.status), response.headers, error.raw_body or response.body or b""
            ) from None
        except picows.WSError as error:
            raise CaseFailed("a WebSocket handshake", shown(str(error))) from None
        except TimeoutError:
            self.cut()
            raise CaseFailed(
                "an answer to the handshake", f"nothing within {limit_s:g} s"
            ) from None
        except BaseException:
            self.cut()
            raise
        if self._ws is None:
            raise CaseFailed("an answer to the handshake", "the end of the connection")

    async def _connect(self, address: Any) -> socket.socket:
        """The library leaves the socket of a cancelled handshake open, so it has to be known."""
        loop = asyncio.get_running_loop()
        failure = OSError("the name has no address")
        found = await loop.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
        for family, kind, protocol, _, place in found:
            self._socket = socket.socket(family, kind, protocol)
            self._socket.setblocking(False)
            try:
                await loop.sock_connect(self._socket, place)
                return self._socket
            except OSError as error:
                self._socket.close()
                failure = error
        raise failure

    @property
    def connection_id(self) -> str:
        found = self.hello.get("connectionId")
        if not found or not isinstance(found, str):
            raise CaseFailed("a connectionId in `connected`", shown(self.hello))
        return found

    # --- out ---------------------------------------------------------------------------------

    async def send(self, *messages: object) -> None:
        """A dict as JSON, a str as it is, bytes in a binary frame."""
        for message in messages:
            if isinstance(message, bytes):
                self._write(WSMsgType.BINARY, message, f"binary frame {shown(message)}")
            else:
                text = message if isinstance(message, str) else json.dumps(message)
                self._write(WSMsgType.TEXT, text.encode(), shown(text))
        await asyncio.sleep(0)

    async def send_bytes_as_text(self, data: bytes) -> None:
        """A text frame, whatever is in it."""
        self._write(WSMsgType.TEXT, data, f"text frame of {shown(data)}")
        await asyncio.sleep(0)

    async def send_in_pieces(self, data: bytes, count: int) -> None:
        """One text message in so many fragments."""
        size = len(data) // count + 1
        pieces = [data[i : i + size] for i in range(0, len(data), size)]
        self._say(f"{self.label} > text of {len(data)} bytes in {len(pieces)} fragments")
        for i, piece in enumerate(pieces):
            kind = WSMsgType.CONTINUATION if i else WSMsgType.TEXT
            self._transport.send(kind, piece, fin=i == len(pieces) - 1)
            await asyncio.sleep(0)

    def _write(self, kind: WSMsgType, data: bytes, told: str) -> None:
        self._say(f"{self.label} > {told}")
        self._transport.send(kind, data)

    @property
    def _transport(self) -> picows.WSTransport:
        if self._ws is None or self._end is not None:
            raise CaseFailed(f"{self.label} to be connected", self._what_came())
        return self._ws

    async def close(self, code: int | None = 1000) -> None:
        """Close as a client does, and wait for the end of the connection."""
        payload = b"" if code is None else struct.pack("!H", code)
        self._write(WSMsgType.CLOSE, payload, f"close {code or 'without a code'}")
        await self._wait(lambda: self._end, "the end of the connection after a close frame")

    def cut(self) -> None:
        """The network goes away: no close frame."""
        if self._ws is not None:
            if self._end is None:
                self._say(f"{self.label} > (connection cut)")
            self._ws.underlying_transport.abort()
        elif self._socket is not None:
            with contextlib.suppress(OSError):  # closed already
                self._socket.shutdown(socket.SHUT_RDWR)

    def stop_reading(self) -> None:
        """Take nothing more from the network."""
        self._say(f"{self.label} stops reading")
        self._transport.underlying_transport.pause_reading()

    def read_on(self) -> None:
        if self._ws is not None and self._end is None:
            self._ws.underlying_transport.resume_reading()

    # --- in ----------------------------------------------------------------------------------

    async def next(self) -> Any:
        """What came first of all that was not looked at: a Message, or a plain client's frame."""
        return await self.find(lambda _: True, "a message")

    async def frame(self, wanted: str | bytes) -> None:
        """The next frame of a plain client has to be this one."""
        came = await self.find(lambda _: True, f"the frame {shown(wanted)}")
        if came != wanted:
            raise CaseFailed(f"the frame {shown(wanted)}", shown(came))

    async def wait(self, **fields: Any) -> Message:
        """The first message that has these fields."""
        wanted = f"{self.label} to get {shown(fields)}"
        message: Message = await self.find(lambda it: has(it, fields), wanted)
        return message

    async def message(self, **fields: Any) -> Message:
        return await self.wait(type="message", **fields)

    async def ack(self, ack_id: int, error: str | None = None) -> Message:
        """The ack with this id: a success, or the named failure."""
        ack = await self.find(
            lambda it: has(it, {"type": "ack", "ackId": ack_id}), f"an ack with ackId {ack_id}"
        )
        wanted = {"success": error is None}
        name = (ack.get("error") or {}).get("name")
        if not has(ack, wanted) or (error is not None and name != error):
            told = "success" if error is None else f"the error {error}"
            raise CaseFailed(f"an ack with {told} for ackId {ack_id}", shown(ack))
        found: Message = ack
        return found

    async def ask(self, request: dict[str, Any], error: str | None = None) -> Message:
        """Send a request that has an ackId, and wait for its ack."""
        await self.send(request)
        return await self.ack(request["ackId"], error)

    async def quiet(self) -> None:
        """Nothing came that was not looked at. A ping and its answer mark the moment."""
        if self.subprotocol in (PROTOBUF, RELIABLE_PROTOBUF):
            await self.send(protobuf.PING)
        else:
            await self.send({"type": "ping"})
        await self.wait(type="pong")
        self.nothing_unread()

    def fail(self, expected: str, came: object) -> NoReturn:
        raise CaseFailed(f"{expected} at {self.label}", shown(came))

    def was_acked(self) -> bool:
        """Is there an ack among what was not looked at?"""
        return any(has(it, {"type": "ack"}) for it in self._inbox)

    def nothing_unread(self) -> None:
        if self._inbox:
            raise CaseFailed(f"nothing more for {self.label}", shown(self._inbox[0]))

    async def closed(self, *codes: int) -> str:
        """The service has to close with one of these codes; the reason it gives.

        1005: close frame without a code. 1006: no close frame.
        """
        wanted = f"{self.label} to be closed with {' or '.join(map(str, codes))}"
        code, reason = await self._wait(lambda: self._end, wanted)
        if code not in codes:
            raise CaseFailed(wanted, f"close {code} {shown(reason)}")
        return str(reason)

    async def turned_out(self, code: int) -> None:
        """How a PubSub client is closed: `disconnected`, then the close frame."""
        await self.wait(type="system", event="disconnected")
        await self.closed(code)

    async def find(self, matches: Callable[[Any], bool], wanted: str) -> Any:
        """The first thing in the inbox that matches, taken out of it."""

        def look() -> Any:
            for i, it in enumerate(self._inbox):
                if matches(it):
                    return self._inbox.pop(i), None
            if self._end is not None:
                raise CaseFailed(wanted, self._what_came())
            return None

        found, _ = await self._wait(look, wanted)
        return found

    async def _wait(self, look: Callable[[], Any], wanted: str) -> Any:
        try:
            async with asyncio.timeout(self._timeout_s):
                while (found := look()) is None:
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            raise CaseFailed(wanted, self._what_came()) from None
        return found

    def _what_came(self) -> str:
        if self._end is not None:
            code, reason = self._end
            end = f"the end of the connection ({code}{f' {shown(reason)}' if reason else ''})"
        else:
            end = f"nothing within {self._timeout_s:g} s"
        unread = "; ".join(shown(it) for it in self._inbox[:3])
        return f"{unread}; then {end}" if unread else end

    # --- picows ------------------------------------------------------------------------------

    def on_ws_connected(self, transport: picows.WSTransport) -> None:
        self._ws, self._socket = transport, None
        self.subprotocol = transport.response.headers.get("Sec-WebSocket-Protocol")

    def on_ws_frame(self, transport: picows.WSTransport, frame: picows.WSFrame) -> None:
        kind, data = frame.msg_type, frame.get_payload_as_bytes()
        if kind is WSMsgType.CLOSE:
            code = int.from_bytes(data[:2], "big") if len(data) >= 2 else 1005
            self._finish(code, data[2:].decode("utf-8", "replace"))
            if not transport.is_close_frame_sent:
                transport.send(WSMsgType.CLOSE, data[:2])
            transport.disconnect()
        elif kind in (WSMsgType.TEXT, WSMsgType.BINARY, WSMsgType.CONTINUATION):
            if kind is not WSMsgType.CONTINUATION:
                self._is_text = kind is WSMsgType.TEXT
            self._parts.append(data)
            if frame.fin:
                whole, self._parts = b"".join(self._parts), []
                self._take(whole)

    def _take(self, data: bytes) -> None:
        raw: str | bytes = data.decode("utf-8", "replace") if self._is_text else data
        kind = "" if self._is_text else "binary frame "
        self._say(f"{self.label} < {kind}{shown(raw)}")
        if len(self._inbox) >= _MAX_UNREAD:
            self._say(f"{self.label}: more than {_MAX_UNREAD} messages that nobody asked for")
            self.cut()
        self._inbox.append(self._read(raw))
        self._news.set()

    def _read(self, raw: str | bytes) -> Any:
        """A Message where the subprotocol says so; else what came."""
        if self.subprotocol in (JSON, RELIABLE) and isinstance(raw, str):
            with contextlib.suppress(ValueError):
                fields = json.loads(raw)
                if isinstance(fields, dict):
                    return Message(fields, raw)
        elif self.subprotocol in (PROTOBUF, RELIABLE_PROTOBUF) and isinstance(raw, bytes):
            with contextlib.suppress(protobuf.Misshapen):
                return Message(protobuf.read_answer(raw), raw)
        return raw

    def on_ws_disconnected(self, transport: picows.WSTransport) -> None:
        self._finish(1006, "")

    def _finish(self, code: int, reason: str) -> None:
        if self._end is None:
            self._end = (code, reason)
            self._say(f"{self.label} < close {code} {shown(reason)}".rstrip())
        self._news.set()

    async def ended(self) -> None:
        """Cut what is left of the connection and wait until it is gone."""
        self.cut()
        if self._ws is not None:
            with contextlib.suppress(Exception):  # how it ended has been told by the close code
                await self._ws.wait_disconnected()


def has(message: object, fields: Mapping[str, Any]) -> bool:
    """Is it a message with these fields? ABSENT: null, empty or not there at all."""
    if not isinstance(message, Message):
        return False
    for name, wanted in fields.items():
        value = message.get(name)
        if wanted is ABSENT:
            if value not in (None, ""):
                return False
        elif value != wanted or isinstance(value, bool) is not isinstance(wanted, bool):
            return False
    return True
