"""One client of a scripted service, as its script sees it."""

import asyncio
import json
from collections import Counter, deque
from collections.abc import Callable
from typing import Any, Protocol
from urllib.parse import parse_qs, urlsplit

import picows
from picows import WSMsgType

from hubbub.protocol.messages import Connected
from hubbub.protocol.subprotocols import SUPPORTED
from hubbub.testing.expect import WITHIN_S

Frame = dict[str, Any]

_MAX_QUEUED = 64
"""Messages that no script reads; then the client's socket is read no more. Pings and sequence
acks do not count: they come by themselves, however long nobody reads."""
_SHOWN = 10
_ROUTINE = ("ping", "sequenceAck")


class Owner(Protocol):
    executed: Counter[int]


class FakePeer:
    """A connection. `path`, `query`, `headers` (lower-case names): of its handshake."""

    def __init__(
        self,
        owner: Owner,
        number: int,
        request: picows.WSUpgradeRequest,
        *,
        answers_pings: bool,
    ) -> None:
        self._owner = owner
        self._answers_pings = answers_pings
        self._ws: picows.WSTransport | None = None
        self._queue: deque[str | bytes] = deque()
        self._waiting = 0
        self._news = asyncio.Event()
        self._can_write = asyncio.Event()
        self._can_write.set()
        self._is_gone = False
        self._is_held = False
        self._sequence_id = 0
        self.number = number
        """0 for the first connection of the service."""
        target = urlsplit(request.path.decode())
        self.path = target.path
        self.query = {k: v[-1] for k, v in parse_qs(target.query, keep_blank_values=True).items()}
        self.headers = {name.lower(): value for name, value in request.headers.items()}
        offered = self.headers.get("sec-websocket-protocol", "").split(",")
        self.subprotocol = next((n.strip() for n in offered if n.strip() in SUPPORTED), "")
        self.received: list[str | bytes] = []
        """Every message of the client so far, read or not."""
        self.pings = 0
        """WebSocket pings of the client; they are answered."""
        self.pongs = 0
        """Answers to `ping`."""
        self.close_code: int | None = None
        """What the client said when it closed; None: nothing yet, or it only went."""

    @property
    def is_recovery(self) -> bool:
        """The client wants an earlier connection back: `query` says which, and with what proof."""
        return "awps_connection_id" in self.query

    @property
    def is_open(self) -> bool:
        """The link is there."""
        return self._ws is not None and not self._is_gone

    # --- what the client says ------------------------------------------------------------------

    async def read(self, kind: str = "") -> Frame:
        """The next frame of this type, others are passed over; without one, the next that is no
        ping and no sequence ack. Waits as long as it takes.

        Raises: ConnectionError when the client has gone; a script may let it pass.
        """
        while True:
            frame = await self._read_frame()
            if frame["type"] == kind or (not kind and frame["type"] not in _ROUTINE):
                return frame

    async def read_raw(self) -> str | bytes:
        """The next message as it came: text or binary. Raises: ConnectionError."""
        while not self._queue:
            if self._is_gone:
                raise ConnectionResetError("the client has gone")
            self._news.clear()
            await self._news.wait()
        data = self._queue.popleft()
        self._waiting -= kind_of(data) not in _ROUTINE
        self._regulate()
        return data

    async def expect(self, kind: str, *, within: float = WITHIN_S, **fields: object) -> Frame:
        """The next frame, pings and sequence acks apart, which must have this type and fields.

        Raises: AssertionError with what was expected and what came.
        """
        wanted = " ".join([kind, *(f"{name}={value!r}" for name, value in fields.items())])
        try:
            async with asyncio.timeout(within):
                frame = await self.read(kind if kind in _ROUTINE else "")
        except TimeoutError:
            came = f"nothing within {within:g} s"
        except ConnectionError:
            came = f"the end of the connection (close code {self.close_code})"
        else:
            if frame["type"] == kind and fields.items() <= frame.items():
                return frame
            came = repr(frame)
        before = [shortened(message) for message in self.received[-_SHOWN:]]
        raise AssertionError(f"expected {wanted}, got {came}; received so far: {before}")

    async def expect_nothing(self, *, within: float = WITHIN_S) -> None:
        """Nothing but pings and sequence acks comes for so long. Raises: AssertionError."""
        try:
            async with asyncio.timeout(within):
                frame = await self.read()
        except (TimeoutError, ConnectionError):
            return
        raise AssertionError(f"expected nothing for {within:g} s, got {frame!r}")

    async def expect_close(self, code: int | None = 1000, *, within: float = WITHIN_S) -> None:
        """The client closes with this code; None: it goes without one. Raises: AssertionError."""
        try:
            async with asyncio.timeout(within):
                while True:
                    await self.read_raw()
        except TimeoutError:
            raise AssertionError(
                f"expected the client to close with {code} within {within:g} s, but it is there"
            ) from None
        except ConnectionError:
            assert self.close_code == code, f"expected close code {code}, got {self.close_code}"

    async def _read_frame(self) -> Frame:
        data = await self.read_raw()
        if self.subprotocol.startswith("protobuf"):
            raise TypeError("a protobuf client sends no JSON; use read_raw")
        frame: Frame = json.loads(data)
        return frame

    # --- what the service says -----------------------------------------------------------------

    async def write(self, *frames: Frame) -> None:
        """These frames as JSON. On a connection that is gone nothing happens, here as below."""
        for frame in frames:
            await self.write_raw(json.dumps(frame))

    async def write_raw(self, data: str | bytes) -> None:
        """One message: str as text, bytes as binary. Waits while the client does not read."""
        if self._ws is not None and not self._is_gone:
            kind = WSMsgType.TEXT if isinstance(data, str) else WSMsgType.BINARY
            self._ws.send(kind, data.encode() if isinstance(data, str) else data)
        await self._written()

    async def write_bytes(self, data: bytes) -> None:
        """Bytes on the wire, whether they are a frame or not."""
        if self._ws is not None and not self._is_gone:
            self._ws.underlying_transport.write(data)
        await self._written()

    async def _written(self) -> None:
        await asyncio.sleep(0)
        await self._can_write.wait()

    async def ping(self) -> None:
        """A ping of the WebSocket protocol; back when it is answered, so the client has then read
        everything before it. Raises: ConnectionError when the client has gone."""
        wanted = self.pongs + 1
        if self._ws is not None and not self._is_gone:
            self._ws.send_ping(b"")
        while self.pongs < wanted:
            if self._is_gone:
                raise ConnectionResetError("the client has gone")
            self._news.clear()
            await self._news.wait()

    async def connected(
        self,
        connection_id: str = "c1",
        *,
        user_id: str | None = "u",
        reconnection_token: str | None = "RECONNECT-SECRET",
    ) -> None:
        """The frame that makes a connection usable, in the client's subprotocol."""
        message = Connected(connection_id, user_id, reconnection_token)
        if self.subprotocol.startswith("protobuf"):
            from hubbub.protocol import protobuf_codec

            await self.write_raw(protobuf_codec.encode_response(message))
        elif self.subprotocol:
            from hubbub.protocol import json_codec

            await self.write_raw(json_codec.encode_response(message).decode())

    async def message(
        self, data: object, *, group: str | None = None, sequence_id: int | None = None
    ) -> None:
        """A message of the server or, with `group`, of a group.

        `sequence_id`: None is the next one of this connection if the client is reliable.
        """
        if sequence_id is None and self.is_reliable:
            sequence_id = self._sequence_id + 1
        self._sequence_id = sequence_id or 0
        await self.write(message_frame(data, group=group, sequence_id=sequence_id))

    async def ack(self, request: Frame, *, error: str | None = None) -> None:
        """Do the request and ack it; one that was done before, on any connection, is answered
        `Duplicate`. With `error`, an error name, it is not done."""
        ack_id: int = request["ackId"]
        if error is None and self._owner.executed[ack_id]:
            error = "Duplicate"
        elif error is None:
            self.execute(request)
        detail = {} if error is None else {"error": {"name": error, "message": ""}}
        await self.write({"type": "ack", "ackId": ack_id, "success": error is None, **detail})

    def execute(self, request: Frame) -> None:
        """Do the request, without an ack."""
        self._owner.executed[request["ackId"]] += 1

    async def answer(self, invocation: Frame, data: object) -> None:
        """The response to an `invoke`."""
        head = {"type": "invokeResponse", "invocationId": invocation["invocationId"]}
        await self.write({**head, "success": True, "dataType": data_type(data), "data": data})

    # --- the link --------------------------------------------------------------------------------

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close from this side."""
        if self._ws is not None:
            self._ws.send(WSMsgType.CLOSE, code.to_bytes(2, "big") + reason.encode())
        await asyncio.sleep(0)

    def abort(self) -> None:
        """Cut the link without a word."""
        if self._ws is not None:
            self._ws.underlying_transport.abort()

    def hang_up(self) -> None:
        """Close the TCP connection after what was written, without a close frame."""
        if self._ws is not None:
            self._ws.underlying_transport.close()

    def hold(self) -> None:
        """Read nothing more from the socket, until `resume`."""
        self._is_held = True
        self._regulate()

    def resume(self) -> None:
        """Read on."""
        self._is_held = False
        self._regulate()

    @property
    def is_reliable(self) -> bool:
        """It speaks a subprotocol with sequence ids and recovery."""
        return self.subprotocol in SUPPORTED and SUPPORTED[self.subprotocol].is_reliable

    def _regulate(self) -> None:
        if self._ws is None or self._is_gone:
            return
        if self._is_held or self._waiting >= _MAX_QUEUED:
            self._ws.underlying_transport.pause_reading()
        else:
            self._ws.underlying_transport.resume_reading()

    # --- from the socket -------------------------------------------------------------------------

    def listener(self, on_open: "Callable[[FakePeer], None]") -> picows.WSListener:
        return _Listener(self, on_open)

    def _opened(self, ws: picows.WSTransport) -> None:
        self._ws = ws

    def _took(self, data: str | bytes) -> None:
        self.received.append(data)
        kind = kind_of(data)
        if self._answers_pings and kind == "ping" and self._ws is not None:
            self._ws.send(WSMsgType.TEXT, b'{"type":"pong"}')
        self._queue.append(data)
        self._waiting += kind not in _ROUTINE
        self._news.set()
        self._regulate()

    def _ponged(self) -> None:
        self.pongs += 1
        self._news.set()

    def _gone(self) -> None:
        self._is_gone = True
        self._news.set()
        self._can_write.set()


class _Listener(picows.WSListener):
    def __init__(self, peer: FakePeer, on_open: Callable[[FakePeer], None]) -> None:
        self._peer = peer
        self._on_open = on_open
        self._fragments = bytearray()
        self._is_text = False

    def on_ws_connected(self, transport: picows.WSTransport) -> None:
        self._peer._opened(transport)
        self._on_open(self._peer)

    def on_ws_frame(self, transport: picows.WSTransport, frame: picows.WSFrame) -> None:
        kind = frame.msg_type
        if kind is WSMsgType.CLOSE:
            data = frame.get_payload_as_bytes()
            self._peer.close_code = int.from_bytes(data[:2], "big") if len(data) >= 2 else None
            if not transport.is_close_frame_sent:
                transport.send(WSMsgType.CLOSE, data[:2])
            transport.disconnect()
        elif kind is WSMsgType.PING:
            self._peer.pings += 1
            transport.send_pong(frame.get_payload_as_bytes())
        elif kind is WSMsgType.PONG:
            self._peer._ponged()
        else:
            if kind is not WSMsgType.CONTINUATION:
                self._is_text = kind is WSMsgType.TEXT
            self._fragments += frame.get_payload_as_bytes()
            if frame.fin:
                whole, self._fragments = bytes(self._fragments), bytearray()
                self._peer._took(whole.decode() if self._is_text else whole)

    def on_ws_disconnected(self, transport: picows.WSTransport) -> None:
        self._peer._gone()

    def pause_writing(self) -> None:
        self._peer._can_write.clear()

    def resume_writing(self) -> None:
        self._peer._can_write.set()


def kind_of(message: str | bytes) -> str:
    """The type of a short frame; "" for what is long or no frame."""
    if isinstance(message, bytes) or len(message) > 200:
        return ""
    try:
        return str(json.loads(message)["type"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return ""


async def polite(peer: FakePeer) -> None:
    """Does and acks whatever has an ack id."""
    while True:
        frame = await peer.read()
        if "ackId" in frame:
            await peer.ack(frame)


def message_frame(
    data: object, *, group: str | None = None, sequence_id: int | None = None
) -> Frame:
    """What `FakePeer.message` writes."""
    origin = {"from": "server"} if group is None else {"from": "group", "group": group}
    frame: Frame = {"type": "message", **origin, "dataType": data_type(data), "data": data}
    return frame if sequence_id is None else {**frame, "sequenceId": sequence_id}


def data_type(data: object) -> str:
    return "text" if isinstance(data, str) else "json"


def shortened(message: str | bytes) -> str:
    text = message if isinstance(message, str) else repr(message)
    return text if len(text) <= 200 else text[:200] + "…"
