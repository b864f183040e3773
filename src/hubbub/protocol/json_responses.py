"""Responses as JSON text: written by the service, read by a client."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any, Literal

import msgspec
from msgspec import Raw

from hubbub.protocol.errors import InvalidMessage
from hubbub.protocol.json_data import (
    ABSENT,
    DATA_HEAD,
    Unsigned,
    check_utf8,
    data_properties,
    data_type_of,
    payload_of,
    reason,
    string,
)
from hubbub.protocol.messages import (
    Ack,
    Connected,
    DataMessage,
    DataType,
    Disconnected,
    ErrorDetail,
    GroupStateItem,
    GroupStateSnapshot,
    GroupStateUpdate,
    InvokeResponse,
    Metadata,
    Payload,
    Pong,
    Response,
    StreamAck,
    StreamClosed,
    StreamError,
    StreamInfo,
    StreamNack,
)

_PONG = Pong()


# --- responses, written by the service ---------------------------------------------------------


def encode_response(response: Response) -> bytes:
    """The JSON text of a response; a `DataMessage` with a sequence id has it first."""
    match response:
        case Ack(error=None):
            return b'{"type":"ack","ackId":%d,"success":true}' % response.ack_id
        case DataMessage() | GroupStateSnapshot() | GroupStateUpdate():
            tail = numbered_tail(response)
            if response.sequence_id is None:
                return b"{" + tail
            return b'{"sequenceId":%d,%b' % (response.sequence_id, tail)
        case Ack():
            return b'{"type":"ack","ackId":%d,"success":false%b}' % (
                response.ack_id,
                _error_property(response.error),
            )
        case Connected():
            return b'{"type":"system","event":"connected"%b,"connectionId":%b%b}' % (
                _text_property(b"userId", response.user_id),
                string(response.connection_id),
                _text_property(b"reconnectionToken", response.reconnection_token),
            )
        case Disconnected():
            return b'{"type":"system","event":"disconnected"%b}' % _text_property(
                b"message", response.message
            )
        case Pong():
            return b'{"type":"pong"}'
        case InvokeResponse(error=None):
            return b'{"type":"invokeResponse","invocationId":%b,"success":true%b}' % (
                string(response.invocation_id),
                data_properties(response.payload) if response.payload is not None else b"",
            )
        case InvokeResponse():
            return b'{"type":"invokeResponse","invocationId":%b,"success":false%b}' % (
                string(response.invocation_id),
                _error_property(response.error),
            )
        case StreamAck():
            return b'{"type":"streamAck","streamId":%b,"expectedSequenceId":%d}' % (
                string(response.stream_id),
                response.expected_sequence_id,
            )
        case StreamNack():
            return (
                b'{"type":"streamNack","streamId":%b,"expectedSequenceId":%d,"name":%b,"message":%b}'
                % (
                    string(response.stream_id),
                    response.expected_sequence_id,
                    string(response.name),
                    string(response.message),
                )
            )
        case StreamClosed():
            return b'{"type":"streamClosed","streamId":%b%b}' % (
                string(response.stream_id),
                b"" if response.error is None else _error_property(response.error),
            )


def numbered_tail(message: DataMessage | GroupStateSnapshot | GroupStateUpdate) -> bytes:
    """Whatever may carry a sequence id, without its opening brace and without that id."""
    if isinstance(message, DataMessage):
        return data_message_tail(
            message.payload,
            message.group,
            message.from_user_id,
            message.metadata,
            message.stream,
        )
    return group_state_tail(message)


def group_state_tail(response: GroupStateSnapshot | GroupStateUpdate) -> bytes:
    """A group state message without its opening brace, as `data_message_tail`."""
    is_update = isinstance(response, GroupStateUpdate)
    kind = b"groupStateUpdate" if is_update else b"groupStateSnapshot"
    items = b",".join([_group_state_item(item) for item in response.items])
    return b'"type":"%b","group":%b,"items":[%b]}' % (kind, string(response.group), items)


def _group_state_item(item: GroupStateItem) -> bytes:
    return b'{"connectionId":%b%b%b,"updatedAt":%d}' % (
        string(item.connection_id),
        _text_property(b"userId", item.user_id),
        b"" if item.state is None else b',"state":' + string(item.state),
        item.updated_at,
    )


def data_message_tail(
    payload: Payload,
    group: str | None,
    from_user_id: str | None,
    metadata: Metadata | None,
    stream: StreamInfo | None = None,
) -> bytes:
    """A data message without its opening brace: `{` or `{"sequenceId":N,` goes in front.

    Made once for all receivers; the data goes in as it came, without another encoding.
    """
    head = b'"type":"message","from":"server"' if group is None else _group_head(group)
    tail = head + DATA_HEAD[payload.data_type] + payload.token
    if from_user_id is not None:
        tail += b',"fromUserId":' + string(from_user_id)
    if metadata:
        tail += b',"metadata":' + string(metadata)
    if stream is not None:
        tail += _stream_property(stream)
    return tail + b"}"


def _stream_property(stream: StreamInfo) -> bytes:
    error = b""
    if stream.error is not None:
        error = b',"error":{"name":%b,"message":%b%b}' % (
            string(stream.error.name),
            string(stream.error.message),
            _text_property(b"userErrorCode", stream.error.user_error_code),
        )
    return b',"stream":{"streamId":%b,"streamSequenceId":%d%b%b}' % (
        string(stream.stream_id),
        stream.sequence_id,
        b',"endOfStream":true' if stream.is_end else b"",
        error,
    )


@lru_cache(maxsize=1024)
def _group_head(group: str) -> bytes:
    return b'"type":"message","from":"group","group":' + string(group)


def _text_property(name: bytes, value: str | None) -> bytes:
    return b"" if value is None else b',"%b":%b' % (name, string(value))


def _error_property(error: ErrorDetail | None) -> bytes:
    return b',"error":' + string(error)


# --- responses, read by a client ---------------------------------------------------------------


class WireResponse(msgspec.Struct, tag_field="type", rename="camel", gc=False):
    """The shape of one response on the wire. Clients read it tolerantly: the service may be newer."""

    def response(self) -> Response | None:
        raise NotImplementedError


class _WireError(msgspec.Struct, gc=False):
    name: str
    message: str | None = None


class _WireAck(WireResponse, tag="ack", gc=False):
    ack_id: Unsigned
    success: bool
    error: Raw = ABSENT

    def response(self) -> Response:
        return Ack(self.ack_id, None if self.success else _error(self.error))


class _WireSystem(WireResponse, tag="system", gc=False):
    event: str
    connection_id: str | None = None
    user_id: str | None = None
    reconnection_token: str | None = None
    message: str | None = None

    def response(self) -> Response | None:
        if self.event == "connected":
            if self.connection_id is None:
                raise InvalidMessage("connected has no connectionId")
            return Connected(self.connection_id, self.user_id or None, self.reconnection_token)
        return Disconnected(self.message) if self.event == "disconnected" else None


class _WireStreamError(msgspec.Struct, rename="camel", gc=False):
    name: str
    message: str | None = None
    user_error_code: str | None = None


class _WireStreamInfo(msgspec.Struct, rename="camel", gc=False):
    stream_id: str
    stream_sequence_id: Unsigned
    end_of_stream: bool | None = None
    error: _WireStreamError | None = None

    def info(self) -> StreamInfo:
        error = None
        if self.error is not None:
            text = self.error.message or ""
            error = StreamError(self.error.name, text, self.error.user_error_code)
        is_end = self.end_of_stream is True
        return StreamInfo(self.stream_id, self.stream_sequence_id, is_end, error)


class _WireMessage(WireResponse, tag="message", gc=False):
    from_: str = msgspec.field(name="from")
    group: str | None = None
    data_type: str | None = None
    data: Raw = ABSENT
    from_user_id: str | None = None
    sequence_id: Unsigned | None = None
    metadata: dict[str, str] | None = None
    stream: _WireStreamInfo | None = None

    def response(self) -> Response | None:
        data_type = data_type_of(self.data_type)
        if self.from_ not in ("group", "server") or data_type is None:
            return None
        if self.from_ == "group" and self.group is None:
            raise InvalidMessage("a message from a group has no group")
        if self.data is ABSENT:
            raise InvalidMessage("the message has no data")
        return DataMessage(
            payload_of(data_type, bytes(self.data)),
            self.group if self.from_ == "group" else None,
            self.from_user_id or None,
            self.sequence_id,
            self.metadata or None,
            self.stream.info() if self.stream is not None and self.from_ == "group" else None,
        )


class _WirePong(WireResponse, tag="pong", gc=False):
    def response(self) -> Response:
        return _PONG


class _WireInvokeResponse(WireResponse, tag="invokeResponse", gc=False):
    invocation_id: str
    success: bool
    data_type: str | None = None
    data: Raw = ABSENT
    error: Raw = ABSENT

    def response(self) -> Response | None:
        if not self.success:
            return InvokeResponse(self.invocation_id, error=_error(self.error))
        if self.data_type is None:
            return InvokeResponse(self.invocation_id)
        data_type = data_type_of(self.data_type)
        if data_type is None:
            return None
        if self.data is ABSENT:
            raise InvalidMessage("the response of an invocation has a dataType but no data")
        return InvokeResponse(self.invocation_id, payload_of(data_type, bytes(self.data)))


class _WireStreamAck(WireResponse, tag="streamAck", gc=False):
    stream_id: str
    expected_sequence_id: Unsigned

    def response(self) -> Response:
        return StreamAck(self.stream_id, self.expected_sequence_id)


class _WireStreamNack(WireResponse, tag="streamNack", gc=False):
    stream_id: str
    expected_sequence_id: Unsigned
    name: str
    message: str | None = None

    def response(self) -> Response:
        return StreamNack(self.stream_id, self.expected_sequence_id, self.name, self.message or "")


class _WireStreamClosed(WireResponse, tag="streamClosed", gc=False):
    stream_id: str
    error: _WireError | None = None

    def response(self) -> Response:
        if self.error is None:
            return StreamClosed(self.stream_id)
        return StreamClosed(self.stream_id, ErrorDetail(self.error.name, self.error.message or ""))


class _WireGroupStateItem(msgspec.Struct, rename="camel", gc=False):
    connection_id: str
    updated_at: int
    user_id: str | None = None
    state: dict[str, str] | None = None

    def item(self) -> GroupStateItem:
        return GroupStateItem(self.connection_id, self.updated_at, self.user_id or None, self.state)


class _WireGroupStateSnapshot(WireResponse, tag="groupStateSnapshot", gc=False):
    group: str
    items: list[_WireGroupStateItem]
    sequence_id: Unsigned | None = None

    def response(self) -> Response:
        items = tuple(item.item() for item in self.items)
        return GroupStateSnapshot(self.group, items, self.sequence_id)


class _WireGroupStateUpdate(WireResponse, tag="groupStateUpdate", gc=False):
    group: str
    items: list[_WireGroupStateItem]
    sequence_id: Unsigned | None = None

    def response(self) -> Response:
        items = tuple(item.item() for item in self.items)
        return GroupStateUpdate(self.group, items, self.sequence_id)


class _AnyResponse(msgspec.Struct, gc=False):
    type: str


_decode_response: Callable[[bytes], WireResponse] = msgspec.json.Decoder(
    _WireAck
    | _WireSystem
    | _WireMessage
    | _WirePong
    | _WireInvokeResponse
    | _WireStreamAck
    | _WireStreamNack
    | _WireStreamClosed
    | _WireGroupStateSnapshot
    | _WireGroupStateUpdate
).decode
_RESPONSE_TYPES = frozenset(
    str(wire.__struct_config__.tag) for wire in WireResponse.__subclasses__()
)
_decode_any_response = msgspec.json.Decoder(_AnyResponse).decode
_decode_error = msgspec.json.Decoder(_WireError).decode


class PlainMessage(
    msgspec.Struct, tag_field="type", tag="message", rename="camel", kw_only=True, gc=False
):
    """A data message as nearly all are, read in one go: the fields in the order of the service.

    `data`: the JSON value. Stricter than `decode_response`, which is to judge what this is not.
    """

    sequence_id: Unsigned | None = None
    from_: Literal["group", "server"] = msgspec.field(name="from")
    group: str | None = None
    data_type: DataType = DataType.JSON
    data: Any = ABSENT
    from_user_id: str | None = None
    metadata: dict[str, str] | None = None
    stream: Raw = ABSENT


_decode_plain: Callable[[bytes], WireResponse | PlainMessage] = msgspec.json.Decoder(
    PlainMessage
    | _WireAck
    | _WireSystem
    | _WirePong
    | _WireInvokeResponse
    | _WireStreamAck
    | _WireStreamNack
    | _WireStreamClosed
    | _WireGroupStateSnapshot
    | _WireGroupStateUpdate
).decode


def read_response(data: bytes) -> PlainMessage | Response | None:
    """`decode_response` for who receives much: a plain data message comes as it was read."""
    try:
        if not data.isascii():
            data.decode()
        wire = _decode_plain(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return decode_response(data)
    return wire if isinstance(wire, PlainMessage) else wire.response()


def decode_response(data: bytes) -> Response | None:
    """What the service said; None for a kind we do not know, to be ignored; or InvalidMessage."""
    if not data.isascii():
        check_utf8(data)
    try:
        return _read_response(data)
    except RecursionError as error:
        raise InvalidMessage("the message is nested too deeply") from error


def _read_response(data: bytes) -> Response | None:
    try:
        wire = _decode_response(data)
    except msgspec.ValidationError as error:
        try:
            if _decode_any_response(data).type not in _RESPONSE_TYPES:
                return None
        except msgspec.MsgspecError as second:
            raise InvalidMessage(reason(second)) from second
        raise InvalidMessage(reason(error)) from error
    except msgspec.DecodeError as error:
        raise InvalidMessage(f"not a JSON message: {error}") from error
    return wire.response()


def _error(raw: Raw) -> ErrorDetail:
    if raw is ABSENT:
        raise InvalidMessage("a failure has no error")
    try:
        wire = _decode_error(raw)
    except msgspec.MsgspecError as error:
        raise InvalidMessage(f"the error of a failure: {reason(error)}") from error
    return ErrorDetail(wire.name, wire.message or "")
