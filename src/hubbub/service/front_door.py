"""One port for HTTP and WebSocket: reads a request head and hands the socket on.

Upgrades go through `handshake.admit` to picows, everything else to uvicorn's HTTP protocol.
A small price for a plain HTTP connection, none per message.
"""

import asyncio
import contextlib
import logging
from http import HTTPStatus
from typing import Any

import httptools
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from hubbub.service.handshake import Admitted, Head, Refused, admit
from hubbub.service.hub import Hub
from hubbub.service.keepalive import KeepAlive
from hubbub.service.node import Node
from hubbub.service.picows_seam import WebSocketFactory
from hubbub.service.ws_listener import RefusingListener, WebSocketListener

log = logging.getLogger("hubbub.service")

MAX_HEAD_BYTES = 65_536
_PIECE_BYTES = 16_384
"""A head on a kept-alive connection is counted in pieces: it may have this much more, twice."""
HEAD_TIMEOUT_S = 10.0
MAX_EARLY_BYTES = 65_536
"""Frames of a client that does not wait for 101; beyond, its socket is not read until then."""
_LINGER_S = 1.0
"""After a refusal: how long the client may take to hang up, so that it can read the answer."""


class FrontDoor:
    """What all doors of a service share."""

    def __init__(self, node: Node, websockets: WebSocketFactory) -> None:
        self.node = node
        self.websockets = websockets
        self.http_config: Config | None = None
        self.http_state = ServerState()
        self.doors: set[Door] = set()
        self.sockets: set[WebSocketListener | RefusingListener] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_empty = asyncio.Event()
        self._keep_alive: dict[str, KeepAlive[WebSocketListener]] = {}

    def make_door(self) -> "Door":
        return Door(self)

    def upgrade_door(self) -> "type[asyncio.Protocol]":
        """For uvicorn: where it brings an upgrade on a connection that was kept alive."""
        front = self

        class UpgradeDoor(Door):
            def __init__(self, config: object, server_state: object, app_state: object) -> None:
                super().__init__(front)

        return UpgradeDoor

    def own(self, task: "asyncio.Task[None]") -> None:
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("a handshake ended with an unexpected error", exc_info=task.exception())

    # --- sockets -----------------------------------------------------------------------------

    def make_listener(self, admitted: Admitted) -> "WebSocketListener | RefusingListener":
        connection = admitted.connection
        if connection is None:
            return RefusingListener("the connection cannot be recovered", self._socket_gone)
        node = self.node
        hub = node.hub(admitted.hub)

        def opened(listener: WebSocketListener) -> None:
            if not admitted.is_recovery:
                hub.admit(connection, listener, admitted.groups)
            elif not hub.recover(connection, listener):
                listener.close(1008, "the connection cannot be recovered")
                return
            self._keep_alive_of(hub).add(listener)

        def gone(listener: WebSocketListener) -> None:
            self._socket_gone(listener)
            self._keep_alive_of(hub).discard(listener)

        return WebSocketListener(
            node.settings,
            hub,
            node.requests(hub.name),
            connection,
            publish_group=admitted.publish_group,
            on_open=opened,
            on_gone=gone,
        )

    def _socket_gone(self, listener: "WebSocketListener | RefusingListener") -> None:
        self.sockets.discard(listener)
        if not self.sockets:
            self._is_empty.set()

    def _keep_alive_of(self, hub: Hub) -> "KeepAlive[WebSocketListener]":
        keep_alive = self._keep_alive.get(hub.name)
        if keep_alive is None:
            keep_alive = KeepAlive(*self._keep_alive_times(hub.name), self._cut_silent)
            self._keep_alive[hub.name] = keep_alive
        return keep_alive

    def _keep_alive_times(self, hub: str) -> tuple[float, float]:
        """Interval and time limit, seconds."""
        settings = self.node.settings.hub(hub)
        interval_s = settings.web_socket_keep_alive_interval_s
        return interval_s, settings.web_socket_keep_alive_timeout_s or 3 * interval_s

    def settings_changed(self) -> None:
        for hub, keep_alive in self._keep_alive.items():
            keep_alive.change(*self._keep_alive_times(hub))

    def _cut_silent(self, listener: WebSocketListener) -> None:
        self.node.counts["closed.PingTimeout"] += 1
        log.info(
            "cutting a silent client connection_id=%s silent_s=%d",
            listener.connection.id,
            listener.silent_s,
        )
        listener.lose("PingTimeout")

    # --- the end -----------------------------------------------------------------------------

    async def close(self, timeout_s: float) -> None:
        """Wait for closing sockets, then cut what is left."""
        for keep_alive in self._keep_alive.values():
            keep_alive.stop()
        if self.sockets and timeout_s > 0:
            self._is_empty.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(timeout_s):
                    await self._is_empty.wait()
        for task in list(self._tasks):
            task.cancel()
        for socket in list(self.sockets):
            socket.abort()
        for door in list(self.doors):
            door.abort()
        if self._tasks:
            await asyncio.wait(self._tasks)


class Door(asyncio.Protocol):
    """One accepted connection until its head is read and its owner known."""

    def __init__(self, front: FrontDoor) -> None:
        self._front = front
        self._buffer = bytearray()
        self._task: asyncio.Task[None] | None = None
        self._is_refused = False
        self._timer: asyncio.TimerHandle | None = None
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport) or hasattr(transport, "write")
        self._transport = transport  # type: ignore[assignment]
        self._front.doors.add(self)
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(HEAD_TIMEOUT_S, self._head_is_late)

    def connection_lost(self, exc: Exception | None) -> None:
        self._leave()
        if self._task is not None:
            self._task.cancel()  # the client went away; an upstream `connect` is aborted

    def abort(self) -> None:
        self._transport.abort()

    def _leave(self) -> None:
        self._front.doors.discard(self)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _head_is_late(self) -> None:
        self._timer = None
        self._refuse(Refused(408, "the request head did not come in time"))

    def data_received(self, data: bytes) -> None:
        if self._is_refused:
            return
        self._buffer += data
        if self._task is not None:
            if len(self._buffer) > MAX_EARLY_BYTES:
                self._transport.pause_reading()
            return
        searched = max(0, len(self._buffer) - len(data) - 3)
        end = self._buffer.find(b"\r\n\r\n", searched)
        if end < 0 or end > MAX_HEAD_BYTES:
            if len(self._buffer) > MAX_HEAD_BYTES:
                self._refuse(Refused(431, "the request head is too large"))
            return
        head = bytes(self._buffer[: end + 4])
        if b"\r\nupgrade:" in head.lower():
            self._upgrade(head)
        else:
            self._hand_to_http()

    # --- plain HTTP --------------------------------------------------------------------------

    def _hand_to_http(self) -> None:
        self._leave()
        config = self._front.http_config
        assert config is not None, "the service sets it before it listens"
        protocol = BoundedHttp(config, self._front.http_state, {})
        protocol.connection_made(self._transport)
        self._transport.set_protocol(protocol)
        protocol.data_received(bytes(self._buffer))
        self._buffer.clear()

    # --- WebSocket ---------------------------------------------------------------------------

    def _upgrade(self, raw: bytes) -> None:
        try:
            head = parse_head(raw)
        except (httptools.HttpParserError, UnicodeDecodeError):
            self._refuse(Refused(400, "the request head is malformed"))
            return
        if "websocket" not in [token.lower() for token in head.tokens("upgrade")]:
            self._hand_to_http()  # some other upgrade, which HTTP servers may ignore
            return
        head.is_secure = self._transport.get_extra_info("sslcontext") is not None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        del self._buffer[: len(raw)]
        # Always from a task: uvicorn calls `set_protocol` after an upgrade's `data_received`.
        self._task = asyncio.ensure_future(self._admit(head))
        self._front.own(self._task)

    async def _admit(self, head: Head) -> None:
        front = self._front
        try:
            admitted = await admit(front.node, head)
        except Refused as refused:
            front.node.counts[f"handshakes.refused.{refused.status}"] += 1
            self._refuse(refused)
            return
        except Exception:
            log.exception("a handshake failed")
            self._refuse(Refused(500))
            return
        self._task = None
        if self._transport.is_closing():
            if admitted.was_asked and admitted.connection is not None:
                # The handler has let this client in: it hears of the end like any other.
                front.node.upstream.disconnected(admitted.connection.source, "Normal")
            return
        self._leave()
        listener = front.make_listener(admitted)
        front.sockets.add(listener)
        self._transport.resume_reading()
        front.websockets.open(
            self._transport,
            listener,
            key=head.get("sec-websocket-key"),
            subprotocol=admitted.answer_subprotocol,
            early=bytes(self._buffer),
        )
        self._buffer.clear()

    def _refuse(self, refused: Refused) -> None:
        """Answer, then wait a moment for the client to hang up, so that it can read the answer."""
        self._is_refused = True
        self._task = None
        self._buffer.clear()
        if self._transport.is_closing():
            return
        body = refused.text.encode()
        lines = [f"HTTP/1.1 {refused.status} {_phrase(refused.status)}"]
        lines += [f"{name}: {value}" for name, value in refused.headers.items()]
        if body:
            lines.append("Content-Type: text/plain; charset=utf-8")
        lines += [f"Content-Length: {len(body)}", "Connection: close", "", ""]
        self._transport.write("\r\n".join(lines).encode() + body)
        if self._transport.can_write_eof():
            with contextlib.suppress(OSError):  # the client has gone; we hear of it in a moment
                self._transport.write_eof()
        if self._timer is not None:
            self._timer.cancel()
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(_LINGER_S, self._transport.abort)


class BoundedHttp(HttpToolsProtocol):
    """uvicorn's protocol with a bound on every request head, also of a kept-alive connection, and
    no upgrade before its turn."""

    _head: object = None
    """The scope of a head that has begun and is not complete."""
    _head_bytes = 0
    """Of that head, without the piece it began in."""

    def data_received(self, data: bytes) -> None:
        if len(data) > _PIECE_BYTES:
            for start in range(0, len(data), _PIECE_BYTES):
                self.data_received(data[start : start + _PIECE_BYTES])
            return
        if self.parser is None:
            return  # an earlier piece has ended the connection
        super().data_received(data)
        scope = self.scope
        if scope is None or "method" in scope:
            return
        if scope is not self._head:
            self._head, self._head_bytes = scope, 0
            return
        self._head_bytes += len(data)
        if self._head_bytes > MAX_HEAD_BYTES and not self.transport.is_closing():
            self.send_400_response("the request head is too large")

    def handle_websocket_upgrade(self) -> None:
        if self.cycle is not None and not self.cycle.response_complete:
            # The answers to the requests before would come in the midst of frames.
            self.send_400_response("an upgrade must wait for the answers to earlier requests")
        else:
            super().handle_websocket_upgrade()


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Refused"


class _HeadReader:
    def __init__(self) -> None:
        self.url = b""
        self.headers: list[tuple[str, str]] = []

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.decode("ascii"), value.decode("latin-1")))


def parse_head(raw: bytes) -> Head:
    """Raises: httptools.HttpParserError, UnicodeDecodeError."""
    reader = _HeadReader()
    parser: Any = httptools.HttpRequestParser(reader)
    try:
        parser.feed_data(raw)
    except httptools.HttpParserUpgrade:
        pass
    method = parser.get_method().decode("ascii")
    return Head(method, reader.url.decode("ascii"), parser.get_http_version(), reader.headers)
