"""Messages as protobuf, one per binary WebSocket message (`protobuf[.reliable].webpubsub.azure.v1`).

The schema is `webpubsub.proto`. Data messages are put together from bytes by hand: the payload goes
in as it came, and what all receivers share is made once, with or without a sequence id behind it.
Loading this module loads `google.protobuf`: only who speaks the subprotocol does.
"""

from collections.abc import Callable, Mapping
from functools import lru_cache
from itertools import islice
from typing import Any, Final

import msgspec
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import DecodeError

from hubbub.protocol import limits
from hubbub.protocol.errors import InvalidMessage, InvalidName, UnsupportedFrame
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
from hubbub.protocol.webpubsub_pb2 import DownstreamMessage, MessageData, UpstreamMessage
from hubbub.protocol.webpubsub_pb2 import GroupStateItem as StateItemMessage
from hubbub.protocol.webpubsub_pb2 import StreamInfo as StreamInfoMessage

_JSON, _TEXT, _BINARY, _PROTOBUF = (
    DataType.JSON,
    DataType.TEXT,
    DataType.BINARY,
    DataType.PROTOBUF,
)
_PING, _PONG = Ping(), Pong()
_System = DownstreamMessage.SystemMessage
_check_json = msgspec.json.Decoder(msgspec.Raw).decode


# --- requests, read by the service -------------------------------------------------------------

_parse_request = UpstreamMessage.FromString


def decode_request(data: bytes) -> Request:
    """What a client asked for, or InvalidMessage.

    Args:    data: one whole WebSocket message; nothing of it is kept alive.
    Source:  unknown fields are skipped; an optional field that is set to 0 is present; a message
             of a kind that is not known here holds nothing and is refused.
    """
    try:
        message = _parse_request(data)
    except DecodeError as error:
        raise InvalidMessage("not a protobuf message of this subprotocol") from error
    kind = message.WhichOneof("message")
    read = _REQUESTS.get(kind)
    if kind is None or read is None:
        raise InvalidMessage("the message holds no request, or one of an unknown kind")
    try:
        return read(getattr(message, kind))
    except InvalidName as error:
        raise InvalidMessage(str(error)) from error


def _join_group(message: UpstreamMessage.JoinGroupMessage) -> Request:
    return JoinGroup(group_name(message.group), _ack_id(message))


def _leave_group(message: UpstreamMessage.LeaveGroupMessage) -> Request:
    return LeaveGroup(group_name(message.group), _ack_id(message))


def _send_to_group(message: UpstreamMessage.SendToGroupMessage) -> Request:
    if message.HasField("stream"):
        return stream_start(
            message.group,
            message.stream.stream_id,
            message.stream.idle_timeout_ms if message.stream.HasField("idle_timeout_ms") else None,
            no_echo=message.no_echo,
            is_bare=not message.HasField("data") and not message.HasField("ack_id"),
        )
    if message.ttl_seconds > limits.MAX_TTL_S:
        raise InvalidMessage(f"ttl_seconds is above {limits.MAX_TTL_S}")
    metadata = _metadata(message.metadata)
    return SendToGroup(
        group_name(message.group),
        _request_payload(message.data, metadata),
        _ack_id(message),
        message.no_echo,
        message.ttl_seconds,
        metadata,
    )


def _event(message: UpstreamMessage.EventMessage) -> Request:
    if message.HasField("stream"):
        raise InvalidMessage("an event does not start a stream")
    metadata = _metadata(message.metadata)
    return SendEvent(
        event_name(message.event),
        _request_payload(message.data, metadata),
        _ack_id(message),
        metadata,
    )


def _sequence_ack(message: UpstreamMessage.SequenceAckMessage) -> Request:
    return SequenceAck(message.sequence_id)


def _ping(message: UpstreamMessage.PingMessage) -> Request:
    return _PING


def _stream_data(message: UpstreamMessage.StreamDataMessage) -> Request:
    payload = _payload(message.data)
    sequence_id = message.stream_sequence_id if message.HasField("stream_sequence_id") else None
    if (payload is None) is not (sequence_id is None):
        problem = "a fragment has stream_sequence_id and data, or neither"
        return StreamData(message.stream_id, sequence_id, problem=problem)
    if payload is not None:
        payload = _checked(payload)
    return StreamData(message.stream_id, sequence_id, payload)


def _stream_end(message: UpstreamMessage.StreamEndMessage) -> Request:
    if not message.HasField("error"):
        return StreamEnd(message.stream_id)
    error = message.error
    if max(len(error.message), len(error.user_error_code)) > limits.MAX_STREAM_ERROR_CHARS:
        raise InvalidMessage("the error of a stream is too long")
    code = error.user_error_code if error.HasField("user_error_code") else None
    return StreamEnd(message.stream_id, StreamError("UserError", error.message, code))


def _set_group_state(message: UpstreamMessage.SetGroupStateMessage) -> Request:
    state = None
    if message.HasField("state"):
        # One entry more than may be is enough to be refused; taking all would hold up everybody.
        state = dict(islice(message.state.entries.items(), limits.MAX_GROUP_STATE_BYTES + 1))
    return SetGroupState(group_name(message.group), state, _ack_id(message))


def _subscribe_group_state(message: UpstreamMessage.SubscribeGroupStateMessage) -> Request:
    return SubscribeGroupState(group_name(message.group), _ack_id(message))


def _unsubscribe_group_state(message: UpstreamMessage.UnsubscribeGroupStateMessage) -> Request:
    return UnsubscribeGroupState(group_name(message.group), _ack_id(message))


_REQUESTS: Final[Mapping[str | None, Callable[[Any], Request]]] = {
    "join_group_message": _join_group,
    "leave_group_message": _leave_group,
    "send_to_group_message": _send_to_group,
    "event_message": _event,
    "sequence_ack_message": _sequence_ack,
    "ping_message": _ping,
    "stream_data_message": _stream_data,
    "stream_end_message": _stream_end,
    "set_group_state_message": _set_group_state,
    "subscribe_group_state_message": _subscribe_group_state,
    "unsubscribe_group_state_message": _unsubscribe_group_state,
}


def _ack_id(message: Any) -> int | None:
    return message.ack_id if message.HasField("ack_id") else None


def _metadata(metadata: Mapping[str, str]) -> Metadata | None:
    return dict(checked_metadata(metadata)) if metadata else None


def _request_payload(data: MessageData, metadata: Metadata | None) -> Payload:
    payload = _payload(data)
    return payload_without_data(metadata) if payload is None else _checked(payload)


def _checked(payload: Payload) -> Payload:
    if payload.data_type is not _JSON:
        return payload
    return Payload(_JSON, raw=_checked_json(payload.raw))


def _payload(data: MessageData) -> Payload | None:
    """None: nothing is set."""
    match data.WhichOneof("data"):
        case "text_data":
            return Payload(_TEXT, raw=data.text_data.encode())
        case "binary_data":
            return Payload(_BINARY, raw=data.binary_data)
        case "protobuf_data":
            return Payload(_PROTOBUF, raw=data.protobuf_data.SerializeToString())
        case "json_data":
            return Payload(_JSON, raw=data.json_data.encode())
    return None


def _checked_json(text: bytes) -> bytes:
    """A JSON text without white space around it, as deep as the data of a JSON client may be."""
    check_depth(text, limits.MAX_JSON_DEPTH - 1)
    try:
        token = bytes(_check_json(text))
    except msgspec.DecodeError as error:
        raise InvalidMessage(f"json_data is no JSON: {error}") from error
    if token == b"null":
        raise InvalidMessage("data is null")
    return token


# --- requests, written by a client -------------------------------------------------------------


def encode_request(request: Request) -> bytes:
    """The bytes of a request; JSON data goes into `json_data`. Raises: UnsupportedFrame for
    `invoke`, which has no protobuf form."""
    to = UpstreamMessage
    match request:
        case JoinGroup():
            join = to.JoinGroupMessage(group=request.group, ack_id=request.ack_id)
            message = to(join_group_message=join)
        case LeaveGroup():
            leave = to.LeaveGroupMessage(group=request.group, ack_id=request.ack_id)
            message = to(leave_group_message=leave)
        case SendToGroup():
            send = to.SendToGroupMessage(
                group=request.group,
                ack_id=request.ack_id,
                data=_message_data(request.payload),
                no_echo=request.no_echo or None,
                ttl_seconds=request.ttl_seconds or None,
                metadata=request.metadata,
            )
            message = to(send_to_group_message=send)
        case SendEvent():
            event = to.EventMessage(
                event=request.event,
                data=_message_data(request.payload),
                ack_id=request.ack_id,
                metadata=request.metadata,
            )
            message = to(event_message=event)
        case Ping():
            message = to(ping_message=to.PingMessage())
        case SequenceAck():
            ack = to.SequenceAckMessage(sequence_id=request.sequence_id)
            message = to(sequence_ack_message=ack)
        case StreamStart() | StreamData() | StreamEnd():
            message = _stream_request(request)
        case SetGroupState() | SubscribeGroupState() | UnsubscribeGroupState():
            message = _state_request(request)
        case _:
            raise UnsupportedFrame(f"{type(request).__name__} has no protobuf form")
    return message.SerializeToString()


def _stream_request(request: StreamStart | StreamData | StreamEnd) -> UpstreamMessage:
    to = UpstreamMessage
    match request:
        case StreamStart():
            start = to.SendToGroupMessage(
                group=request.group,
                no_echo=request.no_echo or None,
                stream=to.StreamStartInfo(
                    stream_id=request.stream_id, idle_timeout_ms=request.idle_timeout_ms
                ),
            )
            return to(send_to_group_message=start)
        case StreamData(payload=payload):
            data = to.StreamDataMessage(
                stream_id=request.stream_id,
                stream_sequence_id=request.sequence_id,
                data=_message_data(payload) if payload is not None else None,
            )
            return to(stream_data_message=data)
        case StreamEnd(error=error):
            told = None
            if error is not None:
                told = to.StreamEndMessage.StreamEndError(
                    message=error.message, user_error_code=error.user_error_code
                )
            end = to.StreamEndMessage(stream_id=request.stream_id, error=told)
            return to(stream_end_message=end)


def _state_request(
    request: SetGroupState | SubscribeGroupState | UnsubscribeGroupState,
) -> UpstreamMessage:
    to, group, ack_id = UpstreamMessage, request.group, request.ack_id
    match request:
        case SetGroupState(state=state):
            entries = None if state is None else StateItemMessage.GroupState(entries=state)
            change = to.SetGroupStateMessage(group=group, ack_id=ack_id, state=entries)
            return to(set_group_state_message=change)
        case SubscribeGroupState():
            begin = to.SubscribeGroupStateMessage(group=group, ack_id=ack_id)
            return to(subscribe_group_state_message=begin)
        case UnsubscribeGroupState():
            end = to.UnsubscribeGroupStateMessage(group=group, ack_id=ack_id)
            return to(unsubscribe_group_state_message=end)


def _message_data(payload: Payload) -> MessageData:
    return MessageData.FromString(_data_field(payload, _JSON_DATA))


# --- responses, written by the service ---------------------------------------------------------

_TEXT_DATA, _BINARY_DATA, _PROTOBUF_DATA, _JSON_DATA = b"\x0a", b"\x12", b"\x1a", b"\x22"
"""Tags in `MessageData`."""

JSON_FIELDS: Final[Mapping[str, bytes]] = {"text_data": _TEXT_DATA, "json_data": _JSON_DATA}
"""Where JSON data may go on its way to a client: name of the field and its tag."""

_FROM_SERVER = b"\x0a\x06server"
_FROM_GROUP = b"\x0a\x05group"


def encode_response(response: Response) -> bytes:
    """The bytes of a response; JSON data goes into `text_data`. `invokeResponse` has no form."""
    if type(response) is DataMessage:
        return data_message(data_message_body(response), response.sequence_id)
    to = DownstreamMessage
    match response:
        case Ack(ack_id=ack_id, error=error):
            detail = None
            if error is not None:
                detail = to.AckMessage.ErrorMessage(name=error.name, message=error.message)
            ack = to.AckMessage(ack_id=ack_id, success=error is None, error=detail)
            message = to(ack_message=ack)
        case Connected():
            connected = _System.ConnectedMessage(
                connection_id=response.connection_id,
                user_id=response.user_id,
                reconnection_token=response.reconnection_token,
            )
            message = to(system_message=_System(connected_message=connected))
        case Disconnected():
            disconnected = _System.DisconnectedMessage(reason=response.message)
            message = to(system_message=_System(disconnected_message=disconnected))
        case Pong():
            message = to(pong_message=to.PongMessage())
        case StreamAck() | StreamNack() | StreamClosed():
            message = _stream_response(response)
        case GroupStateSnapshot() | GroupStateUpdate():
            return group_state(group_state_body(response), response, response.sequence_id)
        case _:
            raise AssertionError(f"{type(response).__name__} has no protobuf form")
    return message.SerializeToString()


def _stream_response(response: StreamAck | StreamNack | StreamClosed) -> DownstreamMessage:
    to = DownstreamMessage
    match response:
        case StreamAck(stream_id=stream_id, expected_sequence_id=expected):
            ack = to.StreamAckMessage(stream_id=stream_id, expected_sequence_id=expected)
            return to(stream_ack_message=ack)
        case StreamNack(stream_id=stream_id, expected_sequence_id=expected):
            nack = to.StreamNackMessage(
                stream_id=stream_id,
                name=response.name,
                message=response.message,
                expected_sequence_id=expected,
            )
            return to(stream_nack_message=nack)
        case StreamClosed(stream_id=stream_id, error=error):
            told = None
            if error is not None:
                told = to.StreamClosedMessage.StreamClosedError(
                    name=error.name, message=error.message
                )
            closed = to.StreamClosedMessage(stream_id=stream_id, error=told)
            return to(stream_closed_message=closed)


def data_message_body(message: DataMessage, json_field: bytes = _TEXT_DATA) -> bytes:
    """A data message without its sequence id, made once for all receivers: see `data_message`.

    `json_field`: one of `JSON_FIELDS`. The sender's user id has no field here.
    """
    head = _FROM_SERVER if message.group is None else _group_head(message.group)
    body = head + _field(b"\x1a", _data_field(message.payload, json_field))
    if message.metadata:
        for key, value in message.metadata.items():
            entry = _field(b"\x0a", key.encode()) + _field(b"\x12", value.encode())
            body += _field(b"\x2a", entry)
    if message.stream is not None:
        body += _field(b"\x32", _stream_info(message.stream).SerializeToString())
    return body


def _stream_info(stream: StreamInfo) -> StreamInfoMessage:
    told = None
    if stream.error is not None:
        told = StreamInfoMessage.StreamError(
            name=stream.error.name,
            message=stream.error.message,
            user_error_code=stream.error.user_error_code,
        )
    return StreamInfoMessage(
        stream_id=stream.stream_id,
        stream_sequence_id=stream.sequence_id,
        end_of_stream=stream.is_end or None,
        error=told,
    )


def data_message(body: bytes, sequence_id: int | None = None) -> bytes:
    """The whole message around a body of `data_message_body`. Fields may come in any order."""
    if sequence_id is None:
        return _field(b"\x12", body)
    number = b"\x20" + _varint(sequence_id)
    return b"\x12" + _varint(len(body) + len(number)) + body + number


def group_state_body(message: GroupStateSnapshot | GroupStateUpdate) -> bytes:
    """A group state message without its sequence id, made once for all receivers."""
    fields = [_field(b"\x0a", message.group.encode())]
    for item in message.items:
        state = None if item.state is None else StateItemMessage.GroupState(entries=item.state)
        told = StateItemMessage(
            connection_id=item.connection_id,
            user_id=item.user_id,
            state=state,
            updated_at=item.updated_at,
        )
        fields.append(_field(b"\x12", told.SerializeToString()))
    return b"".join(fields)


def group_state(
    body: bytes, message: GroupStateSnapshot | GroupStateUpdate, sequence_id: int | None = None
) -> bytes:
    """The whole message around a body of `group_state_body`."""
    tag = b"\x4a" if isinstance(message, GroupStateUpdate) else b"\x52"
    number = b"" if sequence_id is None else b"\x18" + _varint(sequence_id)
    return tag + _varint(len(body) + len(number)) + body + number


@lru_cache(maxsize=1024)
def _group_head(group: str) -> bytes:
    return _FROM_GROUP + _field(b"\x12", group.encode())


def _data_field(payload: Payload, json_field: bytes) -> bytes:
    """The content of a `MessageData`."""
    raw, data_type = payload.raw, payload.data_type
    if data_type is _TEXT:
        return _field(_TEXT_DATA, raw)
    if data_type is _JSON:
        return _field(json_field, raw)
    if data_type is _PROTOBUF and _is_any(raw):
        return _field(_PROTOBUF_DATA, raw)
    return _field(_BINARY_DATA, raw)


def _is_any(raw: bytes) -> bool:
    """JSON clients and event handlers may say `protobuf` and mean other bytes. In `protobuf_data`
    those would make the whole message unreadable for every receiver; as bytes they are harmless."""
    try:
        AnyMessage.FromString(raw)
    except DecodeError:
        return False
    return True


def _field(tag: bytes, content: bytes) -> bytes:
    return tag + _varint(len(content)) + content


def _varint(number: int) -> bytes:
    if number < 0x80:
        return bytes((number,))
    digits = bytearray()
    while number > 0x7F:
        digits.append(number & 0x7F | 0x80)
        number >>= 7
    digits.append(number)
    return bytes(digits)


# --- responses, read by a client ---------------------------------------------------------------

_parse_response = DownstreamMessage.FromString


def decode_response(data: bytes) -> Response | None:
    """What the service said; None for a kind we do not know, to be ignored; or InvalidMessage."""
    try:
        message = _parse_response(data)
    except DecodeError as error:
        raise InvalidMessage("not a protobuf message of this subprotocol") from error
    match message.WhichOneof("message"):
        case "ack_message":
            return _read_ack(message.ack_message)
        case "data_message":
            return _read_data_message(message.data_message)
        case "group_state_update_message":
            update = message.group_state_update_message
            return GroupStateUpdate(update.group, _read_items(update), _sequence_id(update))
        case "group_state_snapshot_message":
            snapshot = message.group_state_snapshot_message
            return GroupStateSnapshot(snapshot.group, _read_items(snapshot), _sequence_id(snapshot))
        case "system_message":
            return _read_system(message.system_message)
        case "pong_message":
            return _PONG
        case "stream_ack_message":
            ack = message.stream_ack_message
            return StreamAck(ack.stream_id, ack.expected_sequence_id)
        case "stream_nack_message":
            nack = message.stream_nack_message
            return StreamNack(nack.stream_id, nack.expected_sequence_id, nack.name, nack.message)
        case "stream_closed_message":
            return _read_stream_closed(message.stream_closed_message)
    return None


def _read_items(message: Any) -> tuple[GroupStateItem, ...]:
    return tuple(
        GroupStateItem(
            item.connection_id,
            item.updated_at,
            item.user_id or None,
            dict(item.state.entries) if item.HasField("state") else None,
        )
        for item in message.items
    )


def _sequence_id(message: Any) -> int | None:
    return message.sequence_id if message.HasField("sequence_id") else None


def _read_ack(ack: DownstreamMessage.AckMessage) -> Response:
    if ack.success:
        return Ack(ack.ack_id)
    return Ack(ack.ack_id, ErrorDetail(ack.error.name, ack.error.message))


def _read_data_message(message: DownstreamMessage.DataMessage) -> Response | None:
    sender = getattr(message, "from")  # a keyword
    payload = _payload(message.data)
    if sender not in ("group", "server"):
        return None
    if sender == "group" and not message.HasField("group"):
        raise InvalidMessage("a message from a group has no group")
    if payload is None:
        raise InvalidMessage("the message has no data")
    return DataMessage(
        _valid(payload),
        message.group if sender == "group" else None,
        sequence_id=message.sequence_id if message.HasField("sequence_id") else None,
        metadata=dict(message.metadata) or None,
        stream=_read_stream_info(message.stream) if message.HasField("stream") else None,
    )


def _valid(payload: Payload) -> Payload:
    """Whoever reads the data may rely on it: a text is UTF-8 by the schema, JSON is checked here."""
    if payload.data_type is not _JSON:
        return payload
    try:
        return Payload(_JSON, raw=bytes(_check_json(payload.raw)))
    except (msgspec.DecodeError, RecursionError) as error:
        raise InvalidMessage(f"json_data is no JSON: {error}") from error


def _read_stream_info(stream: StreamInfoMessage) -> StreamInfo:
    error = None
    if stream.HasField("error"):
        code = stream.error.user_error_code or None
        error = StreamError(stream.error.name, stream.error.message, code)
    return StreamInfo(stream.stream_id, stream.stream_sequence_id, stream.end_of_stream, error)


def _read_stream_closed(closed: DownstreamMessage.StreamClosedMessage) -> Response:
    error = None
    if closed.HasField("error"):
        error = ErrorDetail(closed.error.name, closed.error.message)
    return StreamClosed(closed.stream_id, error)


def _read_system(system: DownstreamMessage.SystemMessage) -> Response | None:
    match system.WhichOneof("message"):
        case "connected_message":
            connected = system.connected_message
            return Connected(
                connected.connection_id,
                connected.user_id or None,
                connected.reconnection_token or None,
            )
        case "disconnected_message":
            return Disconnected(system.disconnected_message.reason or None)
    return None
