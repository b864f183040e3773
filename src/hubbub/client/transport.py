"""One WebSocket, used once: the seam behind which the library (picows) could be another.

Callbacks are plain calls from the reader: no task, no queue, no future per message. The library's
own pings are off; the client's keep-alive does that work.
"""

import asyncio
import contextlib
import logging
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import picows
from picows import WSMsgType

from hubbub.protocol.errors import AuthenticationError, ConnectError, SubprotocolError

log = logging.getLogger("hubbub.client.transport")
_ws_connect: Any = getattr(picows, "ws_connect")  # noqa: B009 - its **kwargs have no types
_quiet = logging.Logger("hubbub.client.transport.picows", logging.CRITICAL + 1)
"""picows would log the request, which holds the token; known to no logging configuration."""

_TEXT, _BINARY, _CONTINUATION = WSMsgType.TEXT, WSMsgType.BINARY, WSMsgType.CONTINUATION
_CLOSE, _PING, _PONG = WSMsgType.CLOSE, WSMsgType.PING, WSMsgType.PONG


@dataclass(frozen=True, slots=True)
class TransportOptions:
    """`max_message_bytes`: of one received message; answers of a backend may be 22 MiB.

    `max_send_bytes`: of one sent message; the service closes on more. `headers`: of the handshake,
    added to or in place of ours. `proxy`: "http://…" or "socks5://…". `open_timeout`: of TCP, TLS
    and the handshake in seconds; in the handshake the service may wait for an event handler.
    """

    ssl_context: ssl.SSLContext | None = field(default=None, repr=False)
    proxy: str | None = field(default=None, repr=False)
    headers: Mapping[str, str] = field(default_factory=lambda: dict[str, str](), repr=False)
    max_message_bytes: int = 32 * 1_048_576
    max_send_bytes: int = 1_048_576
    open_timeout: float = 10.0

    def __post_init__(self) -> None:
        if self.max_message_bytes < 1 or self.max_send_bytes < 1 or not 0 < self.open_timeout:
            raise ValueError("limits of the transport must be above 0")


class Owner(Protocol):
    """Who hears of what happens on the socket."""

    log_fields: Mapping[str, object]
    """Who it is, for lines in the log."""

    def on_open(self) -> None:
        """The first call: it can be written to. Frames that came with the answer follow."""

    def on_message(self, data: bytes) -> None: ...

    def on_pong(self) -> None:
        """An answer to `ping`. A ping of the other side is no answer to anything: it says only that
        this way is open, and is not told."""

    def on_read(self) -> None:
        """After the last of the frames that were read together."""

    def on_lost(self, close_code: int | None, reason: str, *, is_too_large: bool) -> None:
        """The last call; exactly one, unless the transport was aborted."""


class Transport(picows.WSListener):
    """`abort` ends all callbacks at once."""

    def __init__(
        self,
        owner: Owner,
        subprotocol: str,
        options: TransportOptions,
        *,
        is_binary: bool = False,
    ) -> None:
        self._owner: Owner | None = owner
        self._kind = _BINARY if is_binary else _TEXT
        self._subprotocol = subprotocol
        self._options = options
        self._max_message_bytes = options.max_message_bytes
        self._refusal: SubprotocolError | None = None
        self._ws: picows.WSTransport | None = None
        self._socket: socket.socket | None = None
        """Of a handshake that runs."""
        self._fragments: bytearray | None = None
        self._close_code: int | None = None
        self._close_reason = ""
        self._is_too_large = False
        self._is_closing = False
        """The close frame was ours or an answer; otherwise picows has sent one for an error."""
        self._end: asyncio.Task[None] | None = None
        self._can_write = asyncio.Event()
        self._can_write.set()

    async def open(self, url: str) -> None:
        """Connect and offer the subprotocol. Cancelling it leaves no socket behind.

        Raises: ConnectError and its kinds, without the address: that holds the token.
        """
        options = self._options
        try:
            await _ws_connect(
                lambda: self,
                url,
                ssl_context=options.ssl_context,
                proxy=options.proxy,
                socket_factory=self._connect,
                extra_headers={"Sec-WebSocket-Protocol": self._subprotocol, **options.headers},
                max_redirects=0,
                max_frame_size=options.max_message_bytes,
                websocket_handshake_timeout=None,
                read_buffer_init_size=2_048,
                enable_auto_ping=False,
                enable_auto_pong=False,
                logger_name=_quiet,
            )
        except asyncio.CancelledError:
            self.abort()
            raise
        except picows.WSInvalidStatusError as error:
            raise _refused(error) from None
        except OSError as error:  # TLS too; its text holds no address
            self.abort()
            raise ConnectError(f"cannot connect: {_text_of(error)}") from error
        except Exception as error:  # of the library or the proxy: no class in common
            self.abort()
            raise ConnectError(f"cannot connect: {type(error).__name__}") from None
        if self._refusal is not None:
            raise self._refusal
        if self._ws is None:  # picows returns without a word when the peer hangs up before 101
            self.abort()
            raise ConnectError("cannot connect: the other side hung up during the handshake")

    async def _connect(self, address: Any) -> socket.socket:
        """The library leaves the socket of a cancelled handshake open, so it has to be known.

        `address`: of the service or of the proxy before it. Raises: OSError.
        """
        loop = asyncio.get_running_loop()
        failure = OSError("the name has no address")
        found = await loop.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
        for family, kind, protocol, _, place in found:
            candidate = _Socket(family, kind, protocol)
            candidate.setblocking(False)
            try:
                await loop.sock_connect(candidate, place)
            except OSError as error:
                candidate.close()
                failure = error
            except BaseException:
                candidate.close()
                raise
            else:
                self._socket = candidate
                return candidate
        raise failure

    # --- out ---------------------------------------------------------------------------------

    def send(self, data: bytes) -> None:
        if self._ws is not None:
            self._ws.send(self._kind, data)

    def ping(self) -> None:
        """A WebSocket ping; `on_pong` comes with the pong."""
        if self._ws is not None:
            self._ws.send_ping()

    def close(self, code: int) -> None:
        """Write the close frame; `on_lost` comes when the peer has answered or gone."""
        if self._ws is not None:
            self._is_closing = True
            self._ws.send_close(picows.WSCloseCode(code))

    async def drained(self) -> None:
        """Back when little is left to be sent: 64 KiB or less, or the connection is gone."""
        await self._can_write.wait()

    def abort(self) -> None:
        self._owner = None
        self._can_write.set()
        if self._ws is not None:
            self._ws.disconnect(graceful=False)
        elif self._socket is not None:
            with contextlib.suppress(OSError):  # closed already
                self._socket.shutdown(socket.SHUT_RDWR)

    def pause_reading(self) -> None:
        if self._ws is not None:
            self._ws.underlying_transport.pause_reading()

    def resume_reading(self) -> None:
        if self._ws is not None:
            self._ws.underlying_transport.resume_reading()

    # --- picows ------------------------------------------------------------------------------

    def on_ws_connected(self, transport: picows.WSTransport) -> None:
        self._ws, self._socket = transport, None
        self._end = asyncio.get_running_loop().create_task(_see_end(transport))
        chosen = transport.response.headers.get("Sec-WebSocket-Protocol")
        if chosen != self._subprotocol:
            text = f"the service chose the subprotocol {chosen!r}, not {self._subprotocol!r}"
            self._refusal = SubprotocolError(text)
            self.abort()
        elif self._owner is None:
            transport.disconnect(graceful=False)
        else:
            self._owner.on_open()

    def on_ws_frame(self, transport: picows.WSTransport, frame: picows.WSFrame) -> None:
        owner = self._owner
        if owner is None:
            return
        try:
            if frame.msg_type is _TEXT and frame.fin and self._fragments is None:
                data = frame.get_payload_as_bytes()
                if len(data) <= self._max_message_bytes:
                    owner.on_message(data)
                # else picows has said so already, and reads on for a while all the same
            else:
                self._take_unusual(transport, owner, frame)
            if frame.last_in_buffer:
                owner.on_read()
        except Exception:
            log.exception("a received frame could not be handled", extra=owner.log_fields)
            transport.disconnect(graceful=False)

    def _take_unusual(
        self, transport: picows.WSTransport, owner: Owner, frame: picows.WSFrame
    ) -> None:
        kind = frame.msg_type
        if frame.payload_size > self._max_message_bytes:
            return
        if kind is _CLOSE:
            self._closed_by_peer(transport, frame)
        elif kind is _TEXT or kind is _BINARY or kind is _CONTINUATION:
            self._join(transport, owner, frame)
        else:
            if kind is _PING:  # picows would answer it without a call, and `on_read` could be lost
                transport.send_pong(frame.get_payload_as_bytes())
            elif kind is _PONG:
                owner.on_pong()

    def _closed_by_peer(self, transport: picows.WSTransport, frame: picows.WSFrame) -> None:
        data = frame.get_payload_as_bytes()
        self._close_code = int.from_bytes(data[:2], "big") if len(data) >= 2 else None
        self._close_reason = data[2:].decode(errors="replace")
        if not transport.is_close_frame_sent:
            self._is_closing = True
            transport.send(_CLOSE, data[:2])
        transport.disconnect()

    def _join(self, transport: picows.WSTransport, owner: Owner, frame: picows.WSFrame) -> None:
        part = frame.get_payload_as_bytes()
        if self._fragments is None:
            if frame.fin:
                owner.on_message(part)
                return
            self._fragments = bytearray()
        if len(self._fragments) + len(part) > self._max_message_bytes:
            self._is_too_large = True
            transport.send_close(picows.WSCloseCode.MESSAGE_TOO_BIG)
            transport.disconnect()
            return
        self._fragments += part
        if frame.fin:
            data, self._fragments = bytes(self._fragments), None
            owner.on_message(data)

    def on_ws_disconnected(self, transport: picows.WSTransport) -> None:
        owner, self._owner = self._owner, None
        self._can_write.set()
        if owner is None:
            return
        handshake: Any = transport.close_handshake  # None, or what was sent and received
        sent = handshake.sent if handshake is not None else None
        too_large = self._is_too_large or (
            not self._is_closing
            and sent is not None
            and sent.code == picows.WSCloseCode.MESSAGE_TOO_BIG
        )
        owner.on_lost(self._close_code, self._close_reason, is_too_large=too_large)

    def pause_writing(self) -> None:
        if self._owner is not None:
            self._can_write.clear()

    def resume_writing(self) -> None:
        self._can_write.set()


class _Socket(socket.socket):
    """Closed, it is watched no more.

    A library below begins to watch a socket whose first write has failed; the event loop would
    take the next socket with the same number for this one, and fail it.
    """

    def close(self) -> None:
        if self.fileno() >= 0:
            with contextlib.suppress(RuntimeError):  # no loop runs, or its own transport closes it
                asyncio.get_running_loop().remove_reader(self)
        super().close()


async def _see_end(transport: picows.WSTransport) -> None:
    """An error of the protocol has been told by the close code; here nobody waits for it."""
    with contextlib.suppress(Exception):
        await transport.wait_disconnected()


def _refused(error: picows.WSInvalidStatusError) -> ConnectError:
    response = error.response
    status = int(response.status) if response is not None else None
    headers = dict(response.headers) if response is not None else {}
    kind = AuthenticationError if status in (401, 403) else ConnectError
    return kind(f"the service answered {status}", status=status, headers=headers)


def _text_of(error: OSError) -> str:
    return f"{type(error).__name__}: {error.strerror or ''}"
