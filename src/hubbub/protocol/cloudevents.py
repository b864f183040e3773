"""Upstream events in HTTP: the headers and bodies that an event handler gets, and its answers.

CloudEvents 1.0, HTTP binding, binary mode: attributes are `ce-*` headers, the payload is the body.
Pure functions; the clock, the keys and the transport belong to the caller.
"""

import hashlib
import hmac
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from hubbub.protocol import limits, names
from hubbub.protocol.errors import InvalidName, UpstreamError
from hubbub.protocol.messages import DataType, Metadata, Payload

VERSION: Final = "1.0"
SYSTEM_EVENTS: Final = ("connect", "connected", "disconnected")
SYSTEM_PREFIX: Final = "azure.webpubsub.sys."
USER_PREFIX: Final = "azure.webpubsub.user."
SYSTEM_CONTENT_TYPE: Final = "application/json; charset=utf-8"
CONNECT_EVENT_ID: Final = 0
"""Reserved for `connect`, also where nobody listens to it; other events count from 1."""
STATE_HEADER: Final = "ce-connectionState"
METADATA_PREFIX: Final = "x-webpubsub-metadata-"

_CONTENT_TYPES: Final = {
    DataType.TEXT: "text/plain",
    DataType.JSON: "application/json",
    DataType.BINARY: "application/octet-stream",
    DataType.PROTOBUF: "application/x-protobuf",
}
_DATA_TYPES: Final = {media_type: data_type for data_type, media_type in _CONTENT_TYPES.items()}
_TOKEN_CHARS: Final = frozenset(
    "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
)


@dataclass(frozen=True, slots=True)
class ConnectRequest:
    """The handshake as the client sent it; `connect_body` leaves out what is not passed on."""

    claims: Mapping[str, Sequence[str]] = field(default_factory=dict)
    query: Mapping[str, Sequence[str]] = field(default_factory=dict)
    headers: Mapping[str, Sequence[str]] = field(default_factory=dict)
    subprotocols: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class ConnectAnswer:
    """What the handler overrides. None keeps what the token says; `user_id` "" is anonymous."""

    user_id: str | None = None
    roles: tuple[str, ...] | None = None
    groups: tuple[str, ...] | None = None
    subprotocol: str | None = None


@dataclass(frozen=True, slots=True)
class EventAnswer:
    """What goes back to the client. `payload` None: nothing is sent."""

    payload: Payload | None = None
    metadata: dict[str, str] | None = None


# --- requests --------------------------------------------------------------------------------


def signature(connection_id: str, keys: Iterable[str]) -> str:
    """The value of `ce-signature`: one HMAC-SHA256 of the connection id for each key, in order."""
    message = connection_id.encode()
    return ",".join(
        "sha256=" + hmac.digest(key.encode(), message, hashlib.sha256).hex() for key in keys
    )


def utc_time(seconds: float) -> str:
    """`ce-time` of a moment in Unix seconds: whole seconds, always UTC."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def content_type(payload: Payload | None) -> str:
    """Content type of a user event; an invocation without data is sent as an empty text."""
    return _CONTENT_TYPES[payload.data_type if payload is not None else DataType.TEXT]


def validation_headers(origin: str) -> dict[str, str]:
    """Headers of the question whether a handler wants events of this service."""
    return {"WebHook-Request-Origin": origin, "ce-awpsversion": VERSION}


def event_headers(
    event: str,
    *,
    is_system: bool,
    content_type: str,
    hub: str,
    connection_id: str,
    origin: str,
    event_id: int,
    time: str,
    signature: str,
    user_id: str | None = None,
    subprotocol: str | None = None,
    state: str = "",
    invocation_id: str | None = None,
    traceparent: str | None = None,
    metadata: Metadata | None = None,
) -> dict[str, str]:
    """Headers of one event. Check them with `check_headers` when they are complete."""
    headers = {
        "WebHook-Request-Origin": origin,
        "Content-Type": content_type,
        "ce-specversion": VERSION,
        "ce-awpsversion": VERSION,
        "ce-type": (SYSTEM_PREFIX if is_system else USER_PREFIX) + event,
        "ce-source": f"/hubs/{hub}/client/{connection_id}",
        "ce-id": str(event_id),
        "ce-time": time,
        "ce-hub": hub,
        "ce-connectionId": connection_id,
        "ce-eventName": event,
        "ce-signature": signature,
    }
    optional = {
        "ce-userId": user_id,
        "ce-subprotocol": subprotocol,
        STATE_HEADER: state,
        "ce-invocationId": invocation_id,
        "traceparent": traceparent,
    }
    headers.update((name, value) for name, value in optional.items() if value)
    for key, value in (metadata or {}).items():
        headers[f"X-WebPubSub-Metadata-{key.lower()}"] = value
    return headers


def check_headers(headers: Mapping[str, str]) -> None:
    """Raise `UpstreamError` for a header that must not reach the wire.

    A line break would start a header of the client's choice. Only the user id may hold more than
    ASCII: it travels as UTF-8.
    """
    for name, value in headers.items():
        if not name or not _TOKEN_CHARS.issuperset(name):
            raise UpstreamError("a metadata key is no HTTP header name")
        if not _is_free_of_controls(value):
            raise UpstreamError(f"header {name} would hold a control character")
        if not value.isascii() and not (name == "ce-userId" and _is_unicode(value)):
            raise UpstreamError(f"header {name} would hold text that is not ASCII")


def _is_free_of_controls(text: str) -> bool:
    return text.isprintable() or not any(char < " " or char == "\x7f" for char in text)


def _is_unicode(text: str) -> bool:
    """False for a lone surrogate, which has no UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def connect_body(request: ConnectRequest) -> bytes:
    """Body of `connect`, without the client's token and the service's own headers."""
    body = {
        "claims": _lists(request.claims),
        "query": _lists(request.query, lambda name: name == "access_token"),
        "headers": _lists(request.headers, _is_private_header),
        "subprotocols": list(request.subprotocols),
        "clientCertificates": [],
    }
    # Escaped to ASCII: a claim may hold a lone surrogate, which has no UTF-8.
    return json.dumps(body, separators=(",", ":")).encode()


def _lists(
    values: Mapping[str, Sequence[str]], is_private: Any = lambda name: False
) -> dict[str, list[str]]:
    return {name: list(items) for name, items in values.items() if not is_private(name.lower())}


def _is_private_header(name: str) -> bool:
    return name == "authorization" or name.startswith("x-asrs-internal-")


def disconnected_body(reason: str | None) -> bytes:
    return json.dumps({"reason": reason}, separators=(",", ":")).encode()


# --- answers ---------------------------------------------------------------------------------


def is_origin_allowed(values: Iterable[str], origin: str) -> bool:
    """True when one of the `WebHook-Allowed-Origin` values is `*` or names the service."""
    wanted = origin.lower()
    return any(
        allowed.strip().lower() in ("*", wanted) for value in values for allowed in value.split(",")
    )


def read_state(values: Sequence[str]) -> str | None:
    """The new connection state of a success answer, or None: it stays. The last header counts."""
    if not values:
        return None
    state = values[-1].strip()
    if len(state) > limits.MAX_CONNECTION_STATE_BYTES:
        raise UpstreamError(
            f"the answer's {STATE_HEADER} has more than {limits.MAX_CONNECTION_STATE_BYTES} bytes"
        )
    if not state.isascii() or not _is_free_of_controls(state):
        raise UpstreamError(f"the answer's {STATE_HEADER} is not plain ASCII")
    return state


def read_connect_answer(body: bytes, offered: Sequence[str]) -> ConnectAnswer:
    """Read a 2xx answer to `connect`; whatever its content type says, the body is JSON or empty."""
    if not body:
        return ConnectAnswer()
    answer = _decode_json(body)
    if answer is None:
        return ConnectAnswer()
    if not isinstance(answer, dict):
        raise UpstreamError("the answer to connect is no JSON object")
    members = {name.lower(): value for name, value in answer.items()}
    return ConnectAnswer(
        user_id=_user_id(members.get("userid")),
        roles=_strings("roles", members.get("roles")),
        groups=_groups(members.get("groups")),
        subprotocol=_subprotocol(members.get("subprotocol"), offered),
    )


def _decode_json(body: bytes) -> Any:
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UpstreamError("the answer is no valid JSON") from error


def _user_id(value: Any) -> str | None:
    if value is None:
        return None
    if value == "":
        return ""  # no user at all; absent leaves the user of the token
    if not isinstance(value, str) or not _is_free_of_controls(value):
        raise UpstreamError("userId of the answer to connect is no string of printable characters")
    try:
        return names.user_id(value)
    except InvalidName as error:
        raise UpstreamError(f"userId of the answer to connect: {error}") from error


def _strings(member: str, value: Any) -> tuple[str, ...] | None:
    if value is None:
        return None
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise UpstreamError(f"{member} of the answer to connect is no list of strings")
    return tuple(value)


def _groups(value: Any) -> tuple[str, ...] | None:
    groups = _strings("groups", value)
    try:
        # An empty list keeps the token's groups, unlike an empty list of roles.
        return tuple(names.group_name(group) for group in groups) if groups else None
    except InvalidName as error:
        raise UpstreamError(f"groups of the answer to connect: {error}") from error


def _subprotocol(value: Any, offered: Sequence[str]) -> str | None:
    if value is None or value == "":
        return None
    if value not in offered:
        raise UpstreamError("the answer to connect selects a subprotocol that was not offered")
    return str(value)


def read_event_answer(
    content_type: str | None, body: bytes, headers: Iterable[tuple[str, str]]
) -> EventAnswer:
    """Read a 2xx answer to a user event; raises `UpstreamError` where the event has failed."""
    metadata = _read_metadata(headers)
    if not body:
        if metadata is None:
            return EventAnswer()
        return EventAnswer(Payload(DataType.TEXT, raw=b""), metadata)
    media_type = _media_type(content_type)
    # Bytes without a type are bytes.
    data_type = _DATA_TYPES.get(media_type) if media_type else DataType.BINARY
    if data_type is None:
        raise UpstreamError("the answer has a content type that no client can get")
    if data_type is DataType.JSON or data_type is DataType.TEXT:
        _check_text(body, is_json=data_type is DataType.JSON)
    return EventAnswer(Payload(data_type, raw=body), metadata)


def _media_type(content_type: str | None) -> str:
    return (content_type or "").partition(";")[0].strip().lower()


def _check_text(body: bytes, *, is_json: bool) -> None:
    """Raise unless the bytes are UTF-8 and, where wanted, one JSON value. Builds no objects."""
    try:
        body.decode()
        if is_json:
            msgspec.json.decode(body, type=msgspec.Raw)
    except UnicodeDecodeError as error:
        raise UpstreamError("the answer is no valid UTF-8") from error
    except (msgspec.DecodeError, RecursionError) as error:
        raise UpstreamError("the answer is no valid JSON") from error


def _read_metadata(headers: Iterable[tuple[str, str]]) -> dict[str, str] | None:
    metadata: dict[str, str] = {}
    for name, value in headers:
        lower = name.lower()
        if lower.startswith(METADATA_PREFIX) and len(lower) > len(METADATA_PREFIX):
            metadata[lower.removeprefix(METADATA_PREFIX)] = value.strip()
    if not metadata:
        return None
    total = 0
    for key, value in metadata.items():
        total += len(key) + len(value)
        if len(key) > limits.MAX_METADATA_KEY_BYTES:
            raise UpstreamError("the answer has a metadata key that is too long")
        if len(value) > limits.MAX_METADATA_VALUE_BYTES or not value.isascii():
            raise UpstreamError("the answer has a metadata value that is too long or not ASCII")
    if total > limits.MAX_METADATA_TOTAL_BYTES:
        raise UpstreamError("the metadata of the answer is too large")
    return metadata


def refusal_text(content_type: str | None, body: bytes, *, any_text: bool) -> str:
    """What of a refusal may be told to the client, or "": short text only, never other content.

    `any_text`: every `text/*` counts (a refused `connect`), else only `text/plain`.
    """
    media_type = _media_type(content_type)
    is_text = media_type.startswith("text/") if any_text else media_type == "text/plain"
    if not is_text or len(body) > limits.MAX_REJECTION_BODY_BYTES:
        return ""
    try:
        return body.decode()
    except UnicodeDecodeError:
        return ""
