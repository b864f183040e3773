"""Every message between client and service, one typed struct each.

Requests go from client to service, responses from service to client. Payloads keep the form in
which they arrived: a JSON value that is only passed on is never decoded and encoded again.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

import msgspec

from hubbub.protocol import limits


class DataType(StrEnum):
    JSON = "json"
    TEXT = "text"
    BINARY = "binary"
    PROTOBUF = "protobuf"


_JSON = DataType.JSON  # a look-up of a member per message would cost a third of a payload


class Payload:
    """Application data in both of its forms; each is made from the other when first asked for.

    `raw`: what a plain WebSocket client or an event handler gets: the JSON text, the UTF-8 text,
    the bytes, or the bytes of a serialized `google.protobuf.Any`.
    `token`: the JSON value of `data` in a JSON subprotocol: the JSON text itself, a JSON string,
    or a JSON string of base64. Both are bytes of valid UTF-8 where they hold text.
    """

    __slots__ = ("_raw", "_token", "data_type")

    data_type: Final[DataType]

    def __init__(
        self, data_type: DataType, *, raw: bytes | None = None, token: bytes | None = None
    ) -> None:
        """Give at least one form, already checked against `data_type`."""
        if data_type is _JSON:
            raw = token = raw if raw is not None else token
        if raw is None and token is None:
            raise AssertionError("a payload needs raw or token")
        self.data_type = data_type
        self._raw = raw
        self._token = token

    @property
    def raw(self) -> bytes:
        if self._raw is None:
            assert self._token is not None
            if self.data_type is DataType.TEXT:
                self._raw = msgspec.json.decode(self._token, type=str).encode()
            else:
                self._raw = msgspec.json.decode(self._token, type=bytes)
        return self._raw

    @property
    def token(self) -> bytes:
        if self._token is None:
            assert self._raw is not None
            if self.data_type is DataType.TEXT:
                self._token = msgspec.json.encode(self._raw.decode())
            else:
                self._token = msgspec.json.encode(self._raw)
        return self._token

    @property
    def size(self) -> int:
        """Bytes of the form in which it came, about those of the other."""
        form = self._raw if self._raw is not None else self._token
        return len(form or b"")

    @property
    def is_text(self) -> bool:
        """True where a plain client gets a text frame."""
        return self.data_type is DataType.JSON or self.data_type is DataType.TEXT

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Payload):
            return NotImplemented
        return self.data_type is other.data_type and self.raw == other.raw

    def __hash__(self) -> int:
        return hash((self.data_type, self.raw))

    def __repr__(self) -> str:
        return f"Payload({self.data_type.value}, {self.size} bytes)"


def text_payload(text: str) -> Payload:
    return Payload(DataType.TEXT, raw=text.encode())


class Message(msgspec.Struct, frozen=True, gc=False):
    """Base of all messages."""


Metadata = Mapping[str, str]


# --- requests: client to service -------------------------------------------------------------


class JoinGroup(Message, frozen=True):
    group: str
    ack_id: int | None = None


class LeaveGroup(Message, frozen=True):
    group: str
    ack_id: int | None = None


class SendToGroup(Message, frozen=True):
    group: str
    payload: Payload
    ack_id: int | None = None
    no_echo: bool = False
    ttl_seconds: int = 0
    metadata: Metadata | None = None


class SendEvent(Message, frozen=True):
    event: str
    payload: Payload
    ack_id: int | None = None
    metadata: Metadata | None = None


class Ping(Message, frozen=True):
    pass


class SequenceAck(Message, frozen=True):
    sequence_id: int


class Invoke(Message, frozen=True):
    invocation_id: str
    event: str
    payload: Payload | None = None


class CancelInvocation(Message, frozen=True):
    invocation_id: str


class StreamStart(Message, frozen=True):
    """A `sendToGroup` with `stream`. `problem`: what makes it a bad request, or ""."""

    group: str
    stream_id: str
    idle_timeout_ms: int = limits.STREAM_IDLE_TIMEOUT_MS
    no_echo: bool = False
    problem: str = ""


class StreamData(Message, frozen=True):
    """A fragment; without sequence id and payload it is a keep-alive. `problem` as above."""

    stream_id: str
    sequence_id: int | None = None
    payload: Payload | None = None
    problem: str = ""


class StreamEnd(Message, frozen=True):
    """`error` None: a normal end. `error.name` is always `UserError`."""

    stream_id: str
    error: "StreamError | None" = None


class SetGroupState(Message, frozen=True):
    """`state` None clears it."""

    group: str
    state: Mapping[str, str] | None = None
    ack_id: int | None = None


class SubscribeGroupState(Message, frozen=True):
    group: str
    ack_id: int | None = None


class UnsubscribeGroupState(Message, frozen=True):
    group: str
    ack_id: int | None = None


Request = (
    JoinGroup
    | LeaveGroup
    | SendToGroup
    | SendEvent
    | Ping
    | SequenceAck
    | Invoke
    | CancelInvocation
    | StreamStart
    | StreamData
    | StreamEnd
    | SetGroupState
    | SubscribeGroupState
    | UnsubscribeGroupState
)


# --- responses: service to client ------------------------------------------------------------


class ErrorDetail(Message, frozen=True):
    name: str
    message: str = ""


class Ack(Message, frozen=True):
    ack_id: int
    error: ErrorDetail | None = None
    """None means success."""

    @property
    def success(self) -> bool:
        return self.error is None


class Connected(Message, frozen=True):
    connection_id: str
    user_id: str | None = None
    reconnection_token: str | None = None


class Disconnected(Message, frozen=True):
    message: str | None = None


class StreamError(Message, frozen=True):
    """`user_error_code` only with the name `UserError`."""

    name: str
    message: str = ""
    user_error_code: str | None = None


class StreamInfo(Message, frozen=True):
    """Which fragment of which stream a group message is."""

    stream_id: str
    sequence_id: int
    is_end: bool = False
    error: StreamError | None = None


class DataMessage(Message, frozen=True):
    """`group` None: from the server. `sequence_id` None: not a reliable connection."""

    payload: Payload
    group: str | None = None
    from_user_id: str | None = None
    sequence_id: int | None = None
    metadata: Metadata | None = None
    stream: StreamInfo | None = None


class Pong(Message, frozen=True):
    pass


class StreamAck(Message, frozen=True):
    """All fragments below `expected_sequence_id` are accepted."""

    stream_id: str
    expected_sequence_id: int


class StreamNack(Message, frozen=True):
    stream_id: str
    expected_sequence_id: int
    name: str
    message: str = ""


class StreamClosed(Message, frozen=True):
    stream_id: str
    error: ErrorDetail | None = None


class GroupStateItem(Message, frozen=True):
    """`state` None: cleared. `updated_at`: Unix milliseconds."""

    connection_id: str
    updated_at: int
    user_id: str | None = None
    state: Mapping[str, str] | None = None


class GroupStateSnapshot(Message, frozen=True):
    group: str
    items: tuple[GroupStateItem, ...]
    sequence_id: int | None = None


class GroupStateUpdate(Message, frozen=True):
    group: str
    items: tuple[GroupStateItem, ...]
    sequence_id: int | None = None


class InvokeResponse(Message, frozen=True):
    invocation_id: str
    payload: Payload | None = None
    error: ErrorDetail | None = None


Response = (
    Ack
    | Connected
    | Disconnected
    | DataMessage
    | Pong
    | InvokeResponse
    | StreamAck
    | StreamNack
    | StreamClosed
    | GroupStateSnapshot
    | GroupStateUpdate
)
