"""What an event handler is told, and what it may answer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hubbub.protocol.errors import HubbubError
from hubbub.protocol.messages import DataType


class Refused(HubbubError):
    """Raise it in a callback to refuse the client or its event.

    `status`: HTTP status from 400 to 599 (401 and 403 are usual). `text`: may reach the client.
    """

    code = "Refused"

    def __init__(self, status: int, text: str = "") -> None:
        if not 400 <= status <= 599:
            raise ValueError(f"a refusal has a status from 400 to 599, not {status}")
        super().__init__(text or f"refused with status {status}")
        self.status = status
        self.text = text


@dataclass(frozen=True, slots=True)
class EventContext:
    """Which connection an event is about.

    `states`: what the application has stored with the connection. `event_id`: unique within the
    connection; the service may repeat an event after a failure, with the same id. `origin`: host
    of the service. `signature`: as received; it is checked where the handler has access keys.
    """

    hub: str
    connection_id: str
    event_name: str
    event_id: str
    user_id: str | None
    subprotocol: str | None
    states: Mapping[str, Any]
    origin: str
    signature: str


@dataclass(frozen=True, slots=True)
class ConnectRequest:
    """A client wants in. `claims`: of its token; `subprotocols`: what it offers, in order."""

    context: EventContext
    claims: Mapping[str, Sequence[str]]
    query: Mapping[str, Sequence[str]]
    headers: Mapping[str, Sequence[str]]
    subprotocols: Sequence[str]


@dataclass(frozen=True, slots=True)
class ConnectedRequest:
    """A client is in."""

    context: EventContext


@dataclass(frozen=True, slots=True)
class DisconnectedRequest:
    """A client is gone for good. `reason` is free text, often ""."""

    context: EventContext
    reason: str


@dataclass(frozen=True, slots=True)
class UserEventRequest:
    """A client has sent an event.

    `data`: the JSON value, the text, or the bytes, as `data_type` says; `body`: the bytes as
    received. `invocation_id`: set when the client waits for the answer as a result of `invoke`.
    """

    context: EventContext
    event: str
    data: Any
    data_type: DataType
    body: bytes
    invocation_id: str | None
    metadata: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class ConnectResponse:
    """Lets a client in, with changes; None keeps what its token says.

    `user_id` "" makes it anonymous. `groups`: instead of the token's; an empty list keeps those.
    `roles`: instead of the token's; an empty list takes all away. `subprotocol`: one that the
    client offers. `states`: stored with the connection, None keeps what is stored.
    """

    user_id: str | None = None
    groups: Sequence[str] | None = None
    roles: Sequence[str] | None = None
    subprotocol: str | None = None
    states: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class UserEventResponse:
    """Answers an event. `data` None without a `data_type`: nothing is sent to the client.

    `data_type` None: by value: str is text, bytes are binary, everything else is JSON. With
    `DataType.JSON` a str is a JSON string and bytes are JSON already. `states`: stored with the
    connection, None keeps what is stored.
    """

    data: Any = None
    data_type: DataType | None = None
    states: Mapping[str, Any] | None = None
