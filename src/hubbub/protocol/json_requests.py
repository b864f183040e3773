"""Requests as JSON text: read by the service, written by a client.

Application data is never decoded when it is only passed on: its JSON text is cut out of the
request (`msgspec.Raw`), checked, and put into the response as it is.
"""

from typing import Annotated

import msgspec
from msgspec import Meta, Raw

from hubbub.protocol import limits
from hubbub.protocol.errors import InvalidMessage, InvalidName
from hubbub.protocol.json_data import (
    ABSENT,
    DATA_TYPES,
    QUOTE,
    Unsigned,
    check_utf8,
    data_properties,
    data_type_of,
    payload_of,
    reason,
    string,
)
from hubbub.protocol.messages import (
    CancelInvocation,
    DataType,
    Invoke,
    JoinGroup,
    LeaveGroup,
    Metadata,
    Payload,
    Ping,
    Request,
    SendEvent,
    SendToGroup,
    SequenceAck,
    SetGroupState,
    StreamData,
    StreamEnd,
    StreamError,
    StreamStart,
    SubscribeGroupState,
    UnsubscribeGroupState,
)
from hubbub.protocol.names import event_name, group_name
from hubbub.protocol.request_rules import (
    check_depth,
    checked_metadata,
    payload_without_data,
    stream_start,
)

_JSON, _TEXT = DataType.JSON, DataType.TEXT  # reading a member of an enum takes 0.1 us
_PING = Ping()
_decode_string = msgspec.json.Decoder(str).decode


# --- requests, read by the service -------------------------------------------------------------

_Seconds = Annotated[int, Meta(ge=0, le=limits.MAX_TTL_S)]
_StreamErrorText = Annotated[str, Meta(max_length=limits.MAX_STREAM_ERROR_CHARS)]
_InvocationId = Annotated[str, Meta(min_length=1, max_length=limits.MAX_INVOCATION_ID_CHARS)]


class _WireRequest(msgspec.Struct, tag_field="type", rename="camel", gc=False):
    """The shape of one request on the wire; the rules that types cannot say are in `request`."""

    def request(self) -> Request:
        raise NotImplementedError


class _WireJoinGroup(_WireRequest, tag="joinGroup", gc=False):
    group: str
    ack_id: Unsigned | None = None

    def request(self) -> Request:
        return JoinGroup(group_name(self.group), _ack_id(self.ack_id))


class _WireLeaveGroup(_WireRequest, tag="leaveGroup", gc=False):
    group: str
    ack_id: Unsigned | None = None

    def request(self) -> Request:
        return LeaveGroup(group_name(self.group), _ack_id(self.ack_id))


class _WireSendToGroup(_WireRequest, tag="sendToGroup", gc=False):
    group: str
    ack_id: Unsigned | None = None
    no_echo: bool | None = None
    data_type: str | None = None
    data: Raw = ABSENT
    ttl_seconds: _Seconds | None = None
    metadata: dict[str, str] | None = None
    stream: "_WireStreamStart | None" = None

    def request(self) -> Request:
        if self.stream is not None:
            return stream_start(
                self.group,
                self.stream.stream_id,
                self.stream.idle_timeout_ms,
                no_echo=self.no_echo is True,
                is_bare=self.data is ABSENT and self.data_type is None and self.ack_id is None,
            )
        return SendToGroup(
            group_name(self.group),
            _request_payload(self.data_type, self.data, self.metadata),
            _ack_id(self.ack_id),
            self.no_echo is True,
            self.ttl_seconds or 0,
            checked_metadata(self.metadata) if self.metadata else None,
        )


class _WireStreamStart(msgspec.Struct, rename="camel", gc=False):
    stream_id: str
    idle_timeout_ms: int | None = None


class _WireEvent(_WireRequest, tag="event", gc=False):
    event: str
    ack_id: Unsigned | None = None
    data_type: str | None = None
    data: Raw = ABSENT
    metadata: dict[str, str] | None = None

    def request(self) -> Request:
        return SendEvent(
            event_name(self.event),
            _request_payload(self.data_type, self.data, self.metadata),
            _ack_id(self.ack_id),
            checked_metadata(self.metadata) if self.metadata else None,
        )


class _WirePing(_WireRequest, tag="ping", gc=False):
    def request(self) -> Request:
        return _PING


class _WireSequenceAck(_WireRequest, tag="sequenceAck", gc=False):
    sequence_id: Unsigned

    def request(self) -> Request:
        if self.sequence_id > limits.MAX_ACK_ID:
            raise InvalidMessage("sequenceId is above 2^64 - 1")
        return SequenceAck(self.sequence_id)


class _WireInvoke(_WireRequest, tag="invoke", gc=False):
    invocation_id: _InvocationId
    target: str
    event: str
    data_type: str | None = None
    data: Raw = ABSENT

    def request(self) -> Request:
        if self.target != "event" and self.target.lower() != "event":
            raise InvalidMessage("the target of invoke must be event")
        if (self.data_type is None) is not (self.data is ABSENT):
            raise InvalidMessage("invoke needs both dataType and data, or neither")
        payload = None
        if self.data is not ABSENT:
            payload = _request_payload(self.data_type, self.data, None)
        return Invoke(self.invocation_id, event_name(self.event), payload)


class _WireCancelInvocation(_WireRequest, tag="cancelInvocation", gc=False):
    invocation_id: _InvocationId

    def request(self) -> Request:
        return CancelInvocation(self.invocation_id)


class _WireStreamData(_WireRequest, tag="streamData", gc=False):
    stream_id: str
    stream_sequence_id: Unsigned | None = None
    data_type: str | None = None
    data: Raw = ABSENT

    def request(self) -> Request:
        sequence_id = self.stream_sequence_id
        if sequence_id is not None and sequence_id > limits.MAX_ACK_ID:
            raise InvalidMessage("streamSequenceId is above 2^64 - 1")
        given = (sequence_id is not None, self.data_type is not None, self.data is not ABSENT)
        if not any(given):
            return StreamData(self.stream_id)
        if not all(given):
            problem = "a fragment has streamSequenceId, dataType and data, or none of them"
            return StreamData(self.stream_id, sequence_id, problem=problem)
        payload = _request_payload(self.data_type, self.data, None)
        return StreamData(self.stream_id, sequence_id, payload)


class _WireStreamEndError(msgspec.Struct, rename="camel", gc=False):
    message: _StreamErrorText | None = None
    user_error_code: _StreamErrorText | None = None


class _WireStreamEnd(_WireRequest, tag="streamEnd", gc=False):
    stream_id: str
    error: _WireStreamEndError | None = None

    def request(self) -> Request:
        if self.error is None:
            return StreamEnd(self.stream_id)
        error = StreamError("UserError", self.error.message or "", self.error.user_error_code)
        return StreamEnd(self.stream_id, error)


class _WireSetGroupState(_WireRequest, tag="setGroupState", gc=False):
    group: str
    ack_id: Unsigned | None = None
    state: dict[str, str] | None = None

    def request(self) -> Request:
        return SetGroupState(group_name(self.group), self.state, _ack_id(self.ack_id))


class _WireSubscribeGroupState(_WireRequest, tag="subscribeGroupState", gc=False):
    group: str
    ack_id: Unsigned | None = None

    def request(self) -> Request:
        return SubscribeGroupState(group_name(self.group), _ack_id(self.ack_id))


class _WireUnsubscribeGroupState(_WireRequest, tag="unsubscribeGroupState", gc=False):
    group: str
    ack_id: Unsigned | None = None

    def request(self) -> Request:
        return UnsubscribeGroupState(group_name(self.group), _ack_id(self.ack_id))


_REQUEST_TYPES: tuple[type[_WireRequest], ...] = (
    _WireJoinGroup,
    _WireLeaveGroup,
    _WireSendToGroup,
    _WireEvent,
    _WirePing,
    _WireSequenceAck,
    _WireInvoke,
    _WireCancelInvocation,
    _WireStreamData,
    _WireStreamEnd,
    _WireSetGroupState,
    _WireSubscribeGroupState,
    _WireUnsubscribeGroupState,
)
_decode_request = msgspec.json.Decoder(
    _WireJoinGroup
    | _WireLeaveGroup
    | _WireSendToGroup
    | _WireEvent
    | _WirePing
    | _WireSequenceAck
    | _WireInvoke
    | _WireCancelInvocation
    | _WireStreamData
    | _WireStreamEnd
    | _WireSetGroupState
    | _WireSubscribeGroupState
    | _WireUnsubscribeGroupState
).decode
_BY_TYPE: dict[str, tuple[str, msgspec.json.Decoder[_WireRequest]]] = {
    str(wire.__struct_config__.tag).lower(): (
        str(wire.__struct_config__.tag),
        msgspec.json.Decoder(wire),
    )
    for wire in _REQUEST_TYPES
}
_decode_properties = msgspec.json.Decoder(dict[str, Raw]).decode


def decode_request(data: bytes) -> Request:
    """What a client asked for, or InvalidMessage.

    Args:    data: one whole WebSocket message; nothing of it is kept alive.
    Source:  `type` and `dataType` are read without case, unknown properties are ignored, the last
             of two equal properties counts, null for an optional property means absent.
    """
    if not data.isascii():
        check_utf8(data)
    if len(data) > 2 * limits.MAX_JSON_DEPTH:
        check_depth(data)
    try:
        wire: _WireRequest = _decode_request(data)
    except msgspec.ValidationError as error:
        wire = _decode_again(data, error)
    except msgspec.DecodeError as error:
        raise InvalidMessage(f"not a JSON message: {error}") from error
    try:
        return wire.request()
    except InvalidName as error:
        raise InvalidMessage(str(error)) from error


def _decode_again(data: bytes, error: msgspec.ValidationError) -> _WireRequest:
    """The second, slow look at a message that fits no type at first.

    The union finds neither a `type` in other letter case nor the last of two different ones.
    """
    try:
        properties = _decode_properties(data)
        type_name = _decode_string(properties["type"])
    except KeyError:
        raise InvalidMessage("the message has no type") from error
    except msgspec.MsgspecError:
        raise InvalidMessage(reason(error)) from error
    found = _BY_TYPE.get(type_name.lower()) if type_name.isascii() else None
    if found is None:
        raise InvalidMessage(f"unknown type {type_name[:20]!r}") from error
    tag, decoder = found
    properties["type"] = Raw(string(tag))
    try:
        return decoder.decode(string(properties))
    except msgspec.ValidationError as second:
        raise InvalidMessage(reason(second)) from second


def _ack_id(ack_id: int | None) -> int | None:
    if ack_id is not None and ack_id > limits.MAX_ACK_ID:
        raise InvalidMessage("ackId is above 2^64 - 1")
    return ack_id


def _request_payload(data_type: str | None, data: Raw, metadata: Metadata | None) -> Payload:
    kind = DATA_TYPES.get(data_type) or data_type_of(data_type)
    if kind is None:
        raise InvalidMessage("unknown dataType")
    if data is ABSENT:
        return payload_without_data(metadata)
    token = bytes(data)
    if kind is _TEXT and token[0] == QUOTE:
        return Payload(kind, token=token)  # the same as below, sooner
    if token == b"null":
        raise InvalidMessage("data is null")
    return payload_of(kind, token)


# --- requests, written by a client -------------------------------------------------------------


def encode_request(request: Request) -> bytes:
    """The JSON text of a request; optional properties that say nothing are left out."""
    match request:
        case JoinGroup():
            return b'{"type":"joinGroup","group":%b%b}' % (
                string(request.group),
                _ack_id_property(request.ack_id),
            )
        case LeaveGroup():
            return b'{"type":"leaveGroup","group":%b%b}' % (
                string(request.group),
                _ack_id_property(request.ack_id),
            )
        case SendToGroup():
            return b'{"type":"sendToGroup","group":%b%b,"noEcho":%b%b%b%b}' % (
                string(request.group),
                _ack_id_property(request.ack_id),
                b"true" if request.no_echo else b"false",
                data_properties(request.payload),
                b',"ttlSeconds":%d' % request.ttl_seconds if request.ttl_seconds else b"",
                _metadata_property(request.metadata),
            )
        case SendEvent():
            return b'{"type":"event","event":%b%b%b%b}' % (
                string(request.event),
                _ack_id_property(request.ack_id),
                data_properties(request.payload),
                _metadata_property(request.metadata),
            )
        case Ping():
            return b'{"type":"ping"}'
        case SequenceAck():
            return b'{"type":"sequenceAck","sequenceId":%d}' % request.sequence_id
        case Invoke():
            return b'{"type":"invoke","invocationId":%b,"target":"event","event":%b%b}' % (
                string(request.invocation_id),
                string(request.event),
                data_properties(request.payload) if request.payload is not None else b"",
            )
        case CancelInvocation():
            return b'{"type":"cancelInvocation","invocationId":%b}' % string(request.invocation_id)
        case StreamStart() | StreamData() | StreamEnd():
            return _encode_stream_request(request)
        case SetGroupState():
            return b'{"type":"setGroupState","group":%b%b%b}' % (
                string(request.group),
                _ack_id_property(request.ack_id),
                b"" if request.state is None else b',"state":' + string(request.state),
            )
        case SubscribeGroupState():
            return b'{"type":"subscribeGroupState","group":%b%b}' % (
                string(request.group),
                _ack_id_property(request.ack_id),
            )
        case UnsubscribeGroupState():
            return b'{"type":"unsubscribeGroupState","group":%b%b}' % (
                string(request.group),
                _ack_id_property(request.ack_id),
            )


def _encode_stream_request(request: StreamStart | StreamData | StreamEnd) -> bytes:
    stream_id = string(request.stream_id)
    match request:
        case StreamStart():
            return (
                b'{"type":"sendToGroup","group":%b,"noEcho":%b,'
                b'"stream":{"streamId":%b,"idleTimeoutMs":%d}}'
                % (
                    string(request.group),
                    b"true" if request.no_echo else b"false",
                    stream_id,
                    request.idle_timeout_ms,
                )
            )
        case StreamData(payload=None):
            return b'{"type":"streamData","streamId":%b}' % stream_id
        case StreamData():
            return b'{"type":"streamData","streamId":%b,"streamSequenceId":%d%b}' % (
                stream_id,
                request.sequence_id or 0,
                b"" if request.payload is None else data_properties(request.payload),
            )
        case StreamEnd(error=StreamError() as reason):
            error = {"message": reason.message}
            if reason.user_error_code is not None:
                error["userErrorCode"] = reason.user_error_code
            return b'{"type":"streamEnd","streamId":%b,"error":%b}' % (stream_id, string(error))
        case StreamEnd():
            return b'{"type":"streamEnd","streamId":%b}' % stream_id


def _ack_id_property(ack_id: int | None) -> bytes:
    return b"" if ack_id is None else b',"ackId":%d' % ack_id


def _metadata_property(metadata: Metadata | None) -> bytes:
    return b',"metadata":' + string(metadata) if metadata else b""
