"""picows' callbacks of one socket: frames in, requests out, and the end of it to the letter.

Ours to do, since picows hands over frames: join fragments, check UTF-8 and RSV bits, answer
pings and CLOSE, judge close codes, refuse what comes at the wrong time (RFC 6455, 5 and 7).
"""

import asyncio
import logging
from typing import TYPE_CHECKING

import picows
from picows import WSMsgType

from hubbub.protocol import limits
from hubbub.protocol.errors import InvalidMessage, MessageTooLarge
from hubbub.protocol.messages import DataType, Payload, Request, SendEvent, SendToGroup
from hubbub.protocol.service_session import Input
from hubbub.service.connection import Connection
from hubbub.service.forms import PLAIN
from hubbub.service.frames import PING_FRAME, PONG, close_frame, frame, is_valid_close_code
from hubbub.service.hub import Hub
from hubbub.service.outbox import Outbox
from hubbub.service.requests import Requests
from hubbub.service.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable

log = logging.getLogger("hubbub.service")

_TEXT, _CONTINUATION = WSMsgType.TEXT, WSMsgType.CONTINUATION
_CLOSE, _PING, _PONG = WSMsgType.CLOSE, WSMsgType.PING, WSMsgType.PONG


class ProtocolViolation(InvalidMessage):
    """Framing against RFC 6455."""

    code = "ProtocolViolation"
    close_code = 1002


class WebSocketListener(picows.WSListener):
    """One socket. Implements `connection.Socket`."""

    __slots__ = (
        "_connection",
        "_flush_timer",
        "_fragments",
        "_hub",
        "_is_closing",
        "_is_over",
        "_is_text",
        "_on_gone",
        "_on_open",
        "_publish_group",
        "_requests",
        "_settings",
        "_transport",
        "is_reading",
        "outbox",
        "silent_s",
        "was_heard",
    )

    outbox: Outbox

    def __init__(
        self,
        settings: Settings,
        hub: Hub,
        requests: Requests,
        connection: Connection,
        *,
        publish_group: str | None,
        on_open: "Callable[[WebSocketListener], None]",
        on_gone: "Callable[[WebSocketListener], None]",
    ) -> None:
        """`publish_group`: a plain client in mode `sendToGroup`. `on_open` runs when the socket
        can be written to, `on_gone` when it is closed for good."""
        self._settings = settings
        self._hub = hub
        self._requests = requests
        self._connection = connection
        self._publish_group = publish_group
        self._on_open = on_open
        self._on_gone = on_gone
        self._fragments: bytearray | None = None
        self._is_text = False
        self._is_closing = False  # our close frame is queued or sent
        self._is_over = False  # nothing that arrives matters any more
        self._flush_timer: asyncio.TimerHandle | None = None
        self.was_heard = True
        self.silent_s = 0.0
        self.is_reading = True

    @property
    def connection(self) -> Connection:
        return self._connection

    # --- picows ------------------------------------------------------------------------------

    def on_ws_connected(self, transport: picows.WSTransport) -> None:
        self._transport = transport.underlying_transport
        self.outbox = Outbox(
            self._transport,
            max_messages=self._settings.outbound_queue_messages,
            max_bytes=self._settings.outbound_queue_bytes,
            now=asyncio.get_running_loop().time,
        )
        try:
            self._on_open(self)
        except Exception:
            log.exception("a client could not be taken in connection_id=%s", self._connection.id)
            raise  # picows closes with 1011

    def on_ws_frame(self, transport: picows.WSTransport, ws_frame: picows.WSFrame) -> None:
        self.was_heard = True
        if self._is_over or transport.is_close_frame_sent:
            return  # after its own error picows hands over what it had already parsed
        kind = ws_frame.msg_type
        if self._is_closing and kind is not _CLOSE:
            return
        try:
            if ws_frame.rsv1 or ws_frame.rsv2 or ws_frame.rsv3:
                raise ProtocolViolation("reserved bits are set")
            if kind is _TEXT and ws_frame.fin and self._fragments is None:
                self._message(True, ws_frame.get_payload_as_bytes())
            elif kind is _PING:
                # Counted like a message, else the pongs of a deaf client would pile up.
                if not self.outbox.write(frame(PONG, ws_frame.get_payload_as_bytes())):
                    self._hub.close_slow((self._connection,))
            elif kind is _CLOSE:
                self._close_received(ws_frame.get_payload_as_bytes())
            elif kind is not _PONG:
                self._fragment(kind, ws_frame.fin, ws_frame.get_payload_as_bytes())
        except InvalidMessage as error:
            self._fail(error)
        except Exception:
            log.exception("a message failed connection_id=%s", self._connection.id)
            self._hub.close_connection(self._connection, 1011, "internal error")

    def on_ws_disconnected(self, transport: picows.WSTransport) -> None:
        if self._flush_timer is not None:
            self._flush_timer.cancel()
        # picows closes by itself only for framing errors (1002) and oversize frames (1009).
        by_picows = transport.is_close_frame_sent and not self._is_over
        event = Input.SERVICE_CLOSED if by_picows else Input.SOCKET_LOST
        self._is_over = True
        self._hub.socket_ended(self._connection, self, event, "Normal")
        self._on_gone(self)

    def pause_writing(self) -> None:
        self.outbox.pause()

    def resume_writing(self) -> None:
        self.outbox.resume()

    # --- messages ----------------------------------------------------------------------------

    def _fragment(self, kind: WSMsgType, is_last: bool, payload: bytes) -> None:
        fragments = self._fragments
        if kind is _CONTINUATION:
            if fragments is None:
                raise ProtocolViolation("a continuation without a beginning")
        elif fragments is not None:
            raise ProtocolViolation("a new message inside a fragmented one")
        else:
            self._is_text = kind is _TEXT
            if is_last:
                self._message(self._is_text, payload)
                return
            fragments = self._fragments = bytearray()
        if len(fragments) + len(payload) > self._settings.max_message_bytes:
            raise MessageTooLarge("the message is too large")
        fragments += payload
        if is_last:
            self._fragments = None
            self._message(self._is_text, bytes(fragments))

    def _message(self, is_text: bool, data: bytes) -> None:
        if len(data) > self._settings.max_message_bytes:
            raise MessageTooLarge("the message is too large")
        form = self._connection.form
        if form is PLAIN:
            request = self._plain_request(is_text, data)
        else:
            request = form.request(is_text, data)
        self._requests.take(self._connection, request, len(data))

    def _plain_request(self, is_text: bool, data: bytes) -> Request:
        if is_text and not data.isascii():
            try:
                data.decode()
            except UnicodeDecodeError:
                raise InvalidMessage("the text is not UTF-8") from None
        payload = Payload(DataType.TEXT if is_text else DataType.BINARY, raw=data)
        if self._publish_group is None:
            return SendEvent("message", payload)
        return SendToGroup(self._publish_group, payload)

    # --- the end -----------------------------------------------------------------------------

    def _fail(self, error: InvalidMessage) -> None:
        self._fragments = None
        self._hub.close_connection(self._connection, error.close_code, str(error))

    def _close_received(self, payload: bytes) -> None:
        self._is_over = True
        if self._is_closing:  # the answer to ours
            self._transport.close()
            return
        code = int.from_bytes(payload[:2], "big") if len(payload) >= 2 else None
        if code is not None and not is_valid_close_code(code):
            code, event = 1002, Input.SERVICE_CLOSED
        else:
            event = Input.CLIENT_CLOSED if code == 1000 else Input.SOCKET_LOST
        self.outbox.drop_queue()
        self.outbox.finish(close_frame(code))
        self._transport.close()
        self._cut_later()
        self._hub.socket_ended(self._connection, self, event, "Normal")

    def close(self, code: int, reason: str) -> None:
        if self._is_closing or self._is_over:
            return
        self._is_closing = True
        self.outbox.finish(close_frame(code, reason))
        self.resume_reading()  # to hear the answer
        self._cut_later()

    def _cut_later(self) -> None:
        """A peer that reads nothing would keep the socket open for as long as it likes."""
        self._flush_timer = asyncio.get_running_loop().call_later(
            self._settings.close_flush_timeout_s, self._transport.abort
        )

    def abort(self) -> None:
        self._is_over = True
        self._transport.abort()

    def lose(self, reason: str) -> None:
        """Cut without a close frame: for a reliable client a loss like any other."""
        self.abort()
        self._hub.socket_ended(self._connection, self, Input.SOCKET_LOST, reason)

    def pause_reading(self) -> None:
        if self.is_reading and not self._is_closing:
            self.is_reading = False
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        if not self.is_reading:
            self.is_reading = True
            self._transport.resume_reading()

    # --- keep-alive --------------------------------------------------------------------------

    def ping(self) -> None:
        if not self._is_closing and not self._is_over:
            self.outbox.write(PING_FRAME, 0)


class RefusingListener(picows.WSListener):
    """A socket that is told 1008 at once: a recovery that cannot be.

    Clients read an HTTP error as "try again", so the answer is 101 and this close frame.
    """

    __slots__ = ("_on_gone", "_reason", "_timer", "_transport")

    def __init__(self, reason: str, on_gone: "Callable[[RefusingListener], None]") -> None:
        self._reason = reason
        self._on_gone = on_gone

    def on_ws_connected(self, transport: picows.WSTransport) -> None:
        self._transport = transport.underlying_transport
        self._transport.write(close_frame(1008, self._reason))
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(limits.CLOSE_FLUSH_TIMEOUT_S, self._transport.abort)

    def on_ws_frame(self, transport: picows.WSTransport, ws_frame: picows.WSFrame) -> None:
        if ws_frame.msg_type is _CLOSE:
            self._transport.close()

    def on_ws_disconnected(self, transport: picows.WSTransport) -> None:
        self._timer.cancel()
        self._on_gone(self)

    def pause_writing(self) -> None:
        """One small frame never fills the buffer."""

    def resume_writing(self) -> None:
        """See pause_writing."""

    def abort(self) -> None:
        self._transport.abort()
