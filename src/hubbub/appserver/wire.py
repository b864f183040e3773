"""Events as HTTP requests carry them: reading of requests, writing of answers. Pure functions."""

import base64
import binascii
from collections.abc import Iterable, Mapping
from typing import Any, Final, cast

import msgspec

from hubbub.appserver.events import (
    ConnectRequest,
    ConnectResponse,
    EventContext,
    Refused,
    UserEventRequest,
    UserEventResponse,
)
from hubbub.protocol import cloudevents, limits, values
from hubbub.protocol.messages import DataType

_DATA_TYPES: Final = {
    "application/json": DataType.JSON,
    "text/plain": DataType.TEXT,
    "application/octet-stream": DataType.BINARY,
    "application/x-protobuf": DataType.PROTOBUF,
}
_CONTENT_TYPES: Final = {
    DataType.JSON: "application/json; charset=utf-8",
    DataType.TEXT: "text/plain; charset=utf-8",
    DataType.BINARY: "application/octet-stream",
    DataType.PROTOBUF: "application/x-protobuf",
}
_CHARSETS: Final = ("utf-8", "utf8", "us-ascii")

Headers = list[tuple[str, str]]


def first_values(headers: Mapping[str, str] | Iterable[tuple[str, str]]) -> dict[str, str]:
    """Headers by lower-case name; of a repeated one the first."""
    if isinstance(headers, Mapping):
        headers = cast("Mapping[str, str]", headers).items()
    fields: dict[str, str] = {}
    for name, value in headers:
        fields.setdefault(name.lower(), value)
    return fields


# --- requests --------------------------------------------------------------------------------


def read_context(fields: Mapping[str, str], kind: str) -> EventContext:
    """Which connection the event is about; `kind`: the event's `ce-type`."""
    name = kind.removeprefix(cloudevents.SYSTEM_PREFIX).removeprefix(cloudevents.USER_PREFIX)
    if not name or name == kind:
        raise Refused(400, "ce-type is no event of this service")
    user_id = fields.get("ce-userid")
    return EventContext(
        hub=fields["ce-hub"].lower(),
        connection_id=fields["ce-connectionid"],
        event_name=name,
        event_id=fields.get("ce-id", ""),
        user_id=_utf8(user_id) if user_id else None,
        subprotocol=fields.get("ce-subprotocol") or None,
        states=_read_states(fields.get("ce-connectionstate", "")),
        origin=fields["webhook-request-origin"],
        signature=fields.get("ce-signature", ""),
    )


def _utf8(value: str) -> str:
    """A header's text. User ids travel as UTF-8, which frameworks hand on as Latin-1."""
    try:
        return value.encode("latin-1").decode()
    except UnicodeError:
        return value


def _read_states(value: str) -> dict[str, Any]:
    """The stored states; anything but base64 of a JSON object was stored by somebody else: {}."""
    try:
        return _states.decode(base64.b64decode(value, validate=True))
    except (binascii.Error, ValueError, msgspec.MsgspecError, RecursionError):
        return {}


class _ConnectBody(msgspec.Struct):
    claims: dict[str, list[str]] | None = None
    query: dict[str, list[str]] | None = None
    headers: dict[str, list[str]] | None = None
    subprotocols: list[str] | None = None


class _DisconnectedBody(msgspec.Struct):
    reason: str | None = None


_connect_body = msgspec.json.Decoder(_ConnectBody)
_disconnected_body = msgspec.json.Decoder(_DisconnectedBody)
_states = msgspec.json.Decoder(dict[str, Any])
_any_json = msgspec.json.Decoder(Any)


def read_connect(context: EventContext, body: bytes) -> ConnectRequest:
    content = _decode(_connect_body, body)
    return ConnectRequest(
        context=context,
        claims=content.claims or {},
        query=content.query or {},
        headers=content.headers or {},
        subprotocols=content.subprotocols or [],
    )


def read_reason(body: bytes) -> str:
    return _decode(_disconnected_body, body).reason or "" if body else ""


def read_user_event(
    context: EventContext, fields: Mapping[str, str], body: bytes
) -> UserEventRequest:
    media_type, charset = _content_type(fields.get("content-type", ""))
    data_type = _DATA_TYPES.get(media_type)
    if data_type is None:
        raise Refused(415, "this content type is not known here")
    data: Any = body
    if data_type in (DataType.JSON, DataType.TEXT):
        if charset not in _CHARSETS:
            raise Refused(415, "text must come as UTF-8")
        data = _decode(_any_json, body) if data_type is DataType.JSON else _decode_text(body)
    prefix = cloudevents.METADATA_PREFIX
    return UserEventRequest(
        context=context,
        event=context.event_name,
        data=data,
        data_type=data_type,
        body=body,
        invocation_id=fields.get("ce-invocationid") or None,
        metadata={
            name.removeprefix(prefix): value
            for name, value in fields.items()
            if name.startswith(prefix) and name != prefix
        },
    )


def _content_type(value: str) -> tuple[str, str]:
    """Media type and charset, both in lower case."""
    media_type, *parameters = value.lower().split(";")
    charset = "utf-8"
    for parameter in parameters:
        name, _, text = parameter.partition("=")
        if name.strip() == "charset":
            charset = text.strip().strip('"')
    return media_type.strip(), charset


def _decode_text(body: bytes) -> str:
    try:
        return body.decode()
    except UnicodeDecodeError:
        raise Refused(400, "the body is no valid UTF-8") from None


def _decode(decoder: msgspec.json.Decoder[Any], body: bytes) -> Any:
    try:
        return decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Refused(400, "the body is not the JSON of this event") from None


# --- answers ---------------------------------------------------------------------------------


def write_connect(response: object) -> tuple[Headers, bytes]:
    """Headers and body; an empty body lets the client in as its token says."""
    if response is None:
        return [], b""
    if not isinstance(response, ConnectResponse):
        raise TypeError(f"connect answers a ConnectResponse, not {type(response).__name__}")
    headers = _state_headers(response.states)
    members = {
        "userId": response.user_id,
        "groups": _list("groups", response.groups),
        "roles": _list("roles", response.roles),
        "subprotocol": response.subprotocol,
    }
    given = {name: value for name, value in members.items() if value is not None}
    if not given:
        return headers, b""
    headers.append(("Content-Type", _CONTENT_TYPES[DataType.JSON]))
    return headers, msgspec.json.encode(given)


def write_user_event(response: UserEventResponse) -> tuple[Headers, bytes]:
    """Headers and body; an empty body sends nothing to the client."""
    headers = _state_headers(response.states)
    data, data_type = response.data, response.data_type
    if data_type is None:
        if data is None:
            return headers, b""
        data_type = values.data_type_of(data)
    body = values.encode(data, data_type)
    if body:
        headers.append(("Content-Type", _CONTENT_TYPES[data_type]))
    return headers, body


def _state_headers(states: Mapping[str, Any] | None) -> Headers:
    """The header that replaces the stored states; an empty one clears them."""
    if states is None:
        return []
    value = base64.b64encode(msgspec.json.encode(dict(states))).decode() if states else ""
    if len(value) > limits.MAX_CONNECTION_STATE_BYTES:
        raise ValueError(
            f"the states have {len(value):,} bytes as base64 JSON, more than"
            f" {limits.MAX_CONNECTION_STATE_BYTES:,}"
        )
    return [(cloudevents.STATE_HEADER, value)]


def _list(name: str, items: Iterable[str] | None) -> list[str] | None:
    if isinstance(items, str):
        raise TypeError(f"{name} must be a list of texts, not one text")
    return None if items is None else list(items)
