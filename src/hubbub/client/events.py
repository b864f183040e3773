"""What the application hears of."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hubbub.protocol.client_events import (
    ConnectedEvent,
    DisconnectedEvent,
    GapEvent,
    GroupStatesChangedEvent,
    ReconnectingEvent,
    RecoveredEvent,
    RecoveringEvent,
    RejoinGroupFailedEvent,
    StoppedEvent,
)
from hubbub.protocol.messages import DataType, StreamInfo


@dataclass(frozen=True, slots=True)
class GroupMessageEvent:
    """A message of a group. `data`: str for text, bytes for binary and protobuf, else the value.

    `stream`: which fragment of which stream it is, None for any other message.
    """

    group: str
    data: Any
    data_type: DataType
    from_user_id: str | None
    sequence_id: int | None
    metadata: Mapping[str, str] | None
    stream: StreamInfo | None = None


@dataclass(frozen=True, slots=True)
class ServerMessageEvent:
    """A message of the application server, to this connection, its user or everybody."""

    data: Any
    data_type: DataType
    sequence_id: int | None
    metadata: Mapping[str, str] | None


@dataclass(frozen=True, slots=True)
class HandlerErrorEvent:
    """A handler raised. `event`: the name it was registered for."""

    event: str
    error: BaseException


@dataclass(frozen=True, slots=True)
class SlowConsumerEvent:
    """A queue of events is half full, or full; told once each time it gets there.

    `event`: what the queue is for. `messages`, `bytes`: what waits in it. `is_full`: the whole
    limit is used.
    """

    event: str
    messages: int
    bytes: int
    is_full: bool = True


ClientEvent = (
    GroupMessageEvent
    | ServerMessageEvent
    | ConnectedEvent
    | DisconnectedEvent
    | StoppedEvent
    | RecoveringEvent
    | RecoveredEvent
    | ReconnectingEvent
    | RejoinGroupFailedEvent
    | GapEvent
    | GroupStatesChangedEvent
    | HandlerErrorEvent
    | SlowConsumerEvent
)

NAMES: dict[type, str] = {
    GroupMessageEvent: "group-message",
    ServerMessageEvent: "server-message",
    ConnectedEvent: "connected",
    DisconnectedEvent: "disconnected",
    StoppedEvent: "stopped",
    RecoveringEvent: "recovering",
    RecoveredEvent: "recovered",
    ReconnectingEvent: "reconnecting",
    RejoinGroupFailedEvent: "rejoin-group-failed",
    GapEvent: "gap",
    GroupStatesChangedEvent: "group-states-changed",
    HandlerErrorEvent: "handler-error",
    SlowConsumerEvent: "slow-consumer",
}
"""The name under which each kind is registered for."""

MESSAGES = frozenset({"group-message", "server-message"})
