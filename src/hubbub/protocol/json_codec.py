"""Messages as JSON text, one object per WebSocket message (`json[.reliable].webpubsub.azure.v1`).

Application data is never decoded when it is only passed on: its JSON text is cut out of the
request (`msgspec.Raw`), checked, and put into the response as it is.
"""

from functools import lru_cache
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Raw

from hubbub.protocol import limits
from hubbub.protocol.errors import InvalidMessage, InvalidName
from hubbub.protocol.messages import (
    Ack,
    CancelInvocation,
    Connected,
    DataMessage,
    DataType,
    Disconnected,
    ErrorDetail,
    GroupStateItem,
    GroupStateSnapshot,
    GroupStateUpdate,
    Invoke,
    InvokeResponse,
    JoinGroup,
    LeaveGroup,
    Metadata,
    Payload,
    Ping,
    Pong,
    Request,
    Response,
    SendEvent,
    SendToGroup,
    SequenceAck,
    SetGroupState,
    StreamAck,
    StreamClosed,
    StreamData,
    StreamEnd,
    StreamError,
    StreamInfo,
    StreamNack,
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

_ABSENT: Final = Raw()
_JSON, _TEXT = DataType.JSON, DataType.TEXT  # reading a member of an enum takes 0.1 us
_DATA_TYPES: dict[str | None, DataType] = {None: _JSON, **{t.value: t for t in DataType}}
_PING, _PONG = Ping(), Pong()
_QUOTE: Final = 0x22
_string = msgspec.json.encode
_decode_string = msgspec.json.Decoder(str).decode
_decode_base64 = msgspec.json.Decoder(bytes).decode


# --- requests, read by the service -------------------------------------------------------------

_Unsigned = Annotated[int, Meta(ge=0)]
_Seconds = Annotated[int, Meta(ge=0, le=limits.MAX_TTL_S)]
_StreamErrorText = Annotated[str, Meta(max_length=limits.MAX_STREAM_ERROR_CHARS)]
_InvocationId = Annotated[str, Meta(min_length=1, max_length=limits.MAX_INVOCATION_ID_CHARS)]


class _WireRequest(msgspec.Struct, tag_field="type", rename="camel", gc=False):
    """The shape of one request on the wire; the rules that types cannot say are in `request`."""

    def request(self) -> Request:
        raise NotImplementedError


class _WireJoinGroup(_WireRequest, tag="joinGroup", gc=False):
    group: str
    ack_id: _Unsigned | None = None

    def request(self) -> Request:
        return JoinGroup(group_name(self.group), _ack_id(self.ack_id))


class _WireLeaveGroup(_WireRequest, tag="leaveGroup", gc=False):
    group: str
    ack_id: _Unsigned | None = None

    def request(self) -> Request:
        return LeaveGroup(group_name(self.group), _ack_id(self.ack_id))


class _WireSendToGroup(_WireRequest, tag="sendToGroup", gc=False):
    group: str
    ack_id: _Unsigned | None = None
    no_echo: bool | None = None
    data_type: str | None = None
    data: Raw = _ABSENT
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
                is_bare=self.data is _ABSENT and self.data_type is None and self.ack_id is None,
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
    ack_id: _Unsigned | None = None
    data_type: str | None = None
    data: Raw = _ABSENT
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
    sequence_id: _Unsigned

    def request(self) -> Request:
        if self.sequence_id > limits.MAX_ACK_ID:
            raise InvalidMessage("sequenceId is above 2^64 - 1")
        return SequenceAck(self.sequence_id)


class _WireInvoke(_WireRequest, tag="invoke", gc=False):
    invocation_id: _InvocationId
    target: str
    event: str
    data_type: str | None = None
    data: Raw = _ABSENT

    def request(self) -> Request:
        if self.target != "event" and self.target.lower() != "event":
            raise InvalidMessage("the target of invoke must be event")
        if (self.data_type is None) is not (self.data is _ABSENT):
            raise InvalidMessage("invoke needs both dataType and data, or neither")
        payload = None
        if self.data is not _ABSENT:
            payload = _request_payload(self.data_type, self.data, None)
        return Invoke(self.invocation_id, event_name(self.event), payload)


class _WireCancelInvocation(_WireRequest, tag="cancelInvocation", gc=False):
    invocation_id: _InvocationId

    def request(self) -> Request:
        return CancelInvocation(self.invocation_id)


class _WireStreamData(_WireRequest, tag="streamData", gc=False):
    stream_id: str
    stream_sequence_id: _Unsigned | None = None
    data_type: str | None = None
    data: Raw = _ABSENT

    def request(self) -> Request:
        sequence_id = self.stream_sequence_id
        if sequence_id is not None and sequence_id > limits.MAX_ACK_ID:
            raise InvalidMessage("streamSequenceId is above 2^64 - 1")
        given = (sequence_id is not None, self.data_type is not None, self.data is not _ABSENT)
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
    ack_id: _Unsigned | None = None
    state: dict[str, str] | None = None

    def request(self) -> Request:
        return SetGroupState(group_name(self.group), self.state, _ack_id(self.ack_id))


class _WireSubscribeGroupState(_WireRequest, tag="subscribeGroupState", gc=False):
    group: str
    ack_id: _Unsigned | None = None

    def request(self) -> Request:
        return SubscribeGroupState(group_name(self.group), _ack_id(self.ack_id))


class _WireUnsubscribeGroupState(_WireRequest, tag="unsubscribeGroupState", gc=False):
    group: str
    ack_id: _Unsigned | None = None

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
        _check_utf8(data)
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
        raise InvalidMessage(_reason(error)) from error
    found = _BY_TYPE.get(type_name.lower()) if type_name.isascii() else None
    if found is None:
        raise InvalidMessage(f"unknown type {type_name[:20]!r}") from error
    tag, decoder = found
    properties["type"] = Raw(_string(tag))
    try:
        return decoder.decode(_string(properties))
    except msgspec.ValidationError as second:
        raise InvalidMessage(_reason(second)) from second


def _reason(error: msgspec.MsgspecError) -> str:
    # "Invalid value '…'" is the only text of msgspec that repeats what the peer sent.
    text = str(error)
    return "the message has no valid type" if text.startswith("Invalid value") else text


def _check_utf8(data: bytes) -> None:
    """msgspec does not look into what it skips, so bad UTF-8 would reach every receiver."""
    try:
        data.decode()
    except UnicodeDecodeError as error:
        raise InvalidMessage("the message is not UTF-8") from error


def _ack_id(ack_id: int | None) -> int | None:
    if ack_id is not None and ack_id > limits.MAX_ACK_ID:
        raise InvalidMessage("ackId is above 2^64 - 1")
    return ack_id


def _request_payload(data_type: str | None, data: Raw, metadata: Metadata | None) -> Payload:
    kind = _DATA_TYPES.get(data_type) or _data_type(data_type)
    if kind is None:
        raise InvalidMessage("unknown dataType")
    if data is _ABSENT:
        return payload_without_data(metadata)
    token = bytes(data)
    if kind is _TEXT and token[0] == _QUOTE:
        return Payload(kind, token=token)  # the same as below, sooner
    if token == b"null":
        raise InvalidMessage("data is null")
    return _payload(kind, token)


def _data_type(text: str | None) -> DataType | None:
    """The data type, JSON if there is none said, or None for one we do not know."""
    if text is not None and text.isascii():
        text = text.lower()
    return _DATA_TYPES.get(text)


def _payload(data_type: DataType, token: bytes) -> Payload:
    """The payload of a JSON text that is valid JSON, checked against the type."""
    if data_type is _JSON:
        return Payload(data_type, token=token)
    if data_type is _TEXT:
        if token[0] != _QUOTE:
            raise InvalidMessage("data of dataType text must be a string")
        return Payload(data_type, token=token)
    try:
        return Payload(data_type, raw=_decode_base64(token), token=token)
    except msgspec.MsgspecError as error:
        raise InvalidMessage(f"data of dataType {data_type.value} must be base64") from error


# --- requests, written by a client -------------------------------------------------------------


def encode_request(request: Request) -> bytes:
    """The JSON text of a request; optional properties that say nothing are left out."""
    match request:
        case JoinGroup():
            return b'{"type":"joinGroup","group":%b%b}' % (
                _string(request.group),
                _ack_id_property(request.ack_id),
            )
        case LeaveGroup():
            return b'{"type":"leaveGroup","group":%b%b}' % (
                _string(request.group),
                _ack_id_property(request.ack_id),
            )
        case SendToGroup():
            return b'{"type":"sendToGroup","group":%b%b,"noEcho":%b%b%b%b}' % (
                _string(request.group),
                _ack_id_property(request.ack_id),
                b"true" if request.no_echo else b"false",
                _data_properties(request.payload),
                b',"ttlSeconds":%d' % request.ttl_seconds if request.ttl_seconds else b"",
                _metadata_property(request.metadata),
            )
        case SendEvent():
            return b'{"type":"event","event":%b%b%b%b}' % (
                _string(request.event),
                _ack_id_property(request.ack_id),
                _data_properties(request.payload),
                _metadata_property(request.metadata),
            )
        case Ping():
            return b'{"type":"ping"}'
        case SequenceAck():
            return b'{"type":"sequenceAck","sequenceId":%d}' % request.sequence_id
        case Invoke():
            return b'{"type":"invoke","invocationId":%b,"target":"event","event":%b%b}' % (
                _string(request.invocation_id),
                _string(request.event),
                _data_properties(request.payload) if request.payload is not None else b"",
            )
        case CancelInvocation():
            return b'{"type":"cancelInvocation","invocationId":%b}' % _string(request.invocation_id)
        case StreamStart() | StreamData() | StreamEnd():
            return _encode_stream_request(request)
        case SetGroupState():
            return b'{"type":"setGroupState","group":%b%b%b}' % (
                _string(request.group),
                _ack_id_property(request.ack_id),
                b"" if request.state is None else b',"state":' + _string(request.state),
            )
        case SubscribeGroupState():
            return b'{"type":"subscribeGroupState","group":%b%b}' % (
                _string(request.group),
                _ack_id_property(request.ack_id),
            )
        case UnsubscribeGroupState():
            return b'{"type":"unsubscribeGroupState","group":%b%b}' % (
                _string(request.group),
                _ack_id_property(request.ack_id),
            )


def _encode_stream_request(request: StreamStart | StreamData | StreamEnd) -> bytes:
    stream_id = _string(request.stream_id)
    match request:
        case StreamStart():
            return (
                b'{"type":"sendToGroup","group":%b,"noEcho":%b,'
                b'"stream":{"streamId":%b,"idleTimeoutMs":%d}}'
                % (
                    _string(request.group),
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
                b"" if request.payload is None else _data_properties(request.payload),
            )
        case StreamEnd(error=StreamError() as reason):
            error = {"message": reason.message}
            if reason.user_error_code is not None:
                error["userErrorCode"] = reason.user_error_code
            return b'{"type":"streamEnd","streamId":%b,"error":%b}' % (stream_id, _string(error))
        case StreamEnd():
            return b'{"type":"streamEnd","streamId":%b}' % stream_id


def _ack_id_property(ack_id: int | None) -> bytes:
    return b"" if ack_id is None else b',"ackId":%d' % ack_id


_DATA_HEAD = {t: b',"dataType":"%b","data":' % t.value.encode() for t in DataType}


def _data_properties(payload: Payload) -> bytes:
    return _DATA_HEAD[payload.data_type] + payload.token


def _metadata_property(metadata: Metadata | None) -> bytes:
    return b',"metadata":' + _string(metadata) if metadata else b""


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
                _string(response.connection_id),
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
                _string(response.invocation_id),
                _data_properties(response.payload) if response.payload is not None else b"",
            )
        case InvokeResponse():
            return b'{"type":"invokeResponse","invocationId":%b,"success":false%b}' % (
                _string(response.invocation_id),
                _error_property(response.error),
            )
        case StreamAck():
            return b'{"type":"streamAck","streamId":%b,"expectedSequenceId":%d}' % (
                _string(response.stream_id),
                response.expected_sequence_id,
            )
        case StreamNack():
            return (
                b'{"type":"streamNack","streamId":%b,"expectedSequenceId":%d,"name":%b,"message":%b}'
                % (
                    _string(response.stream_id),
                    response.expected_sequence_id,
                    _string(response.name),
                    _string(response.message),
                )
            )
        case StreamClosed():
            return b'{"type":"streamClosed","streamId":%b%b}' % (
                _string(response.stream_id),
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
    return b'"type":"%b","group":%b,"items":[%b]}' % (kind, _string(response.group), items)


def _group_state_item(item: GroupStateItem) -> bytes:
    return b'{"connectionId":%b%b%b,"updatedAt":%d}' % (
        _string(item.connection_id),
        _text_property(b"userId", item.user_id),
        b"" if item.state is None else b',"state":' + _string(item.state),
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
    tail = head + _DATA_HEAD[payload.data_type] + payload.token
    if from_user_id is not None:
        tail += b',"fromUserId":' + _string(from_user_id)
    if metadata:
        tail += b',"metadata":' + _string(metadata)
    if stream is not None:
        tail += _stream_property(stream)
    return tail + b"}"


def _stream_property(stream: StreamInfo) -> bytes:
    error = b""
    if stream.error is not None:
        error = b',"error":{"name":%b,"message":%b%b}' % (
            _string(stream.error.name),
            _string(stream.error.message),
            _text_property(b"userErrorCode", stream.error.user_error_code),
        )
    return b',"stream":{"streamId":%b,"streamSequenceId":%d%b%b}' % (
        _string(stream.stream_id),
        stream.sequence_id,
        b',"endOfStream":true' if stream.is_end else b"",
        error,
    )


@lru_cache(maxsize=1024)
def _group_head(group: str) -> bytes:
    return b'"type":"message","from":"group","group":' + _string(group)


def _text_property(name: bytes, value: str | None) -> bytes:
    return b"" if value is None else b',"%b":%b' % (name, _string(value))


def _error_property(error: ErrorDetail | None) -> bytes:
    return b',"error":' + _string(error)


# --- responses, read by a client ---------------------------------------------------------------


class _WireResponse(msgspec.Struct, tag_field="type", rename="camel", gc=False):
    """The shape of one response on the wire. Clients read it tolerantly: the service may be newer."""

    def response(self) -> Response | None:
        raise NotImplementedError


class _WireError(msgspec.Struct, gc=False):
    name: str
    message: str | None = None


class _WireAck(_WireResponse, tag="ack", gc=False):
    ack_id: _Unsigned
    success: bool
    error: Raw = _ABSENT

    def response(self) -> Response:
        return Ack(self.ack_id, None if self.success else _error(self.error))


class _WireSystem(_WireResponse, tag="system", gc=False):
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
    stream_sequence_id: _Unsigned
    end_of_stream: bool | None = None
    error: _WireStreamError | None = None

    def info(self) -> StreamInfo:
        error = None
        if self.error is not None:
            text = self.error.message or ""
            error = StreamError(self.error.name, text, self.error.user_error_code)
        is_end = self.end_of_stream is True
        return StreamInfo(self.stream_id, self.stream_sequence_id, is_end, error)


class _WireMessage(_WireResponse, tag="message", gc=False):
    from_: str = msgspec.field(name="from")
    group: str | None = None
    data_type: str | None = None
    data: Raw = _ABSENT
    from_user_id: str | None = None
    sequence_id: _Unsigned | None = None
    metadata: dict[str, str] | None = None
    stream: _WireStreamInfo | None = None

    def response(self) -> Response | None:
        data_type = _data_type(self.data_type)
        if self.from_ not in ("group", "server") or data_type is None:
            return None
        if self.from_ == "group" and self.group is None:
            raise InvalidMessage("a message from a group has no group")
        if self.data is _ABSENT:
            raise InvalidMessage("the message has no data")
        return DataMessage(
            _payload(data_type, bytes(self.data)),
            self.group if self.from_ == "group" else None,
            self.from_user_id or None,
            self.sequence_id,
            self.metadata or None,
            self.stream.info() if self.stream is not None and self.from_ == "group" else None,
        )


class _WirePong(_WireResponse, tag="pong", gc=False):
    def response(self) -> Response:
        return _PONG


class _WireInvokeResponse(_WireResponse, tag="invokeResponse", gc=False):
    invocation_id: str
    success: bool
    data_type: str | None = None
    data: Raw = _ABSENT
    error: Raw = _ABSENT

    def response(self) -> Response | None:
        if not self.success:
            return InvokeResponse(self.invocation_id, error=_error(self.error))
        if self.data_type is None:
            return InvokeResponse(self.invocation_id)
        data_type = _data_type(self.data_type)
        if data_type is None:
            return None
        if self.data is _ABSENT:
            raise InvalidMessage("the response of an invocation has a dataType but no data")
        return InvokeResponse(self.invocation_id, _payload(data_type, bytes(self.data)))


class _WireStreamAck(_WireResponse, tag="streamAck", gc=False):
    stream_id: str
    expected_sequence_id: _Unsigned

    def response(self) -> Response:
        return StreamAck(self.stream_id, self.expected_sequence_id)


class _WireStreamNack(_WireResponse, tag="streamNack", gc=False):
    stream_id: str
    expected_sequence_id: _Unsigned
    name: str
    message: str | None = None

    def response(self) -> Response:
        return StreamNack(self.stream_id, self.expected_sequence_id, self.name, self.message or "")


class _WireStreamClosed(_WireResponse, tag="streamClosed", gc=False):
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


class _WireGroupStateSnapshot(_WireResponse, tag="groupStateSnapshot", gc=False):
    group: str
    items: list[_WireGroupStateItem]
    sequence_id: _Unsigned | None = None

    def response(self) -> Response:
        items = tuple(item.item() for item in self.items)
        return GroupStateSnapshot(self.group, items, self.sequence_id)


class _WireGroupStateUpdate(_WireResponse, tag="groupStateUpdate", gc=False):
    group: str
    items: list[_WireGroupStateItem]
    sequence_id: _Unsigned | None = None

    def response(self) -> Response:
        items = tuple(item.item() for item in self.items)
        return GroupStateUpdate(self.group, items, self.sequence_id)


class _AnyResponse(msgspec.Struct, gc=False):
    type: str


_decode_response = msgspec.json.Decoder(
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
    str(wire.__struct_config__.tag) for wire in _WireResponse.__subclasses__()
)
_decode_any_response = msgspec.json.Decoder(_AnyResponse).decode
_decode_error = msgspec.json.Decoder(_WireError).decode


def decode_response(data: bytes) -> Response | None:
    """What the service said; None for a kind we do not know, to be ignored; or InvalidMessage."""
    if not data.isascii():
        _check_utf8(data)
    try:
        return _read_response(data)
    except RecursionError as error:
        raise InvalidMessage("the message is nested too deeply") from error


def _read_response(data: bytes) -> Response | None:
    try:
        wire: Any = _decode_response(data)
    except msgspec.ValidationError as error:
        try:
            if _decode_any_response(data).type not in _RESPONSE_TYPES:
                return None
        except msgspec.MsgspecError as second:
            raise InvalidMessage(_reason(second)) from second
        raise InvalidMessage(_reason(error)) from error
    except msgspec.DecodeError as error:
        raise InvalidMessage(f"not a JSON message: {error}") from error
    return wire.response()  # type: ignore[no-any-return]


def _error(raw: Raw) -> ErrorDetail:
    if raw is _ABSENT:
        raise InvalidMessage("a failure has no error")
    try:
        wire = _decode_error(raw)
    except msgspec.MsgspecError as error:
        raise InvalidMessage(f"the error of a failure: {_reason(error)}") from error
    return ErrorDetail(wire.name, wire.message or "")
