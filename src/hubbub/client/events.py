"""What the application hears of."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

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
from hubbub.protocol.json_data import ABSENT
from hubbub.protocol.json_responses import PlainMessage
from hubbub.protocol.messages import DataType, StreamInfo


class GroupMessageEvent(msgspec.Struct, frozen=True):
    """A message of a group. `data`: str for text, bytes for binary and protobuf, else the value.

    `stream`: which fragment of which stream it is, None for any other message.
    """

    # A Struct, as one is made for each message: a frozen dataclass takes ten times as long.

    group: str
    data: Any
    data_type: DataType
    from_user_id: str | None
    sequence_id: int | None
    metadata: Mapping[str, str] | None
    stream: StreamInfo | None = None


class ServerMessageEvent(msgspec.Struct, frozen=True):
    """A message of the application server, to this connection, its user or everybody."""

    data: Any
    data_type: DataType
    sequence_id: int | None
    metadata: Mapping[str, str] | None


MessageEvent = GroupMessageEvent | ServerMessageEvent
_JSON, _TEXT = DataType.JSON, DataType.TEXT  # reading a member of an enum takes 0.1 us


def plain_event(message: PlainMessage) -> MessageEvent | None:
    """The event of a message as nearly all are. None: something about it is unusual or wrong."""
    data, data_type = message.data, message.data_type
    if data_type is _TEXT:
        if type(data) is not str:
            return None
    elif data_type is not _JSON:
        try:
            data = msgspec.convert(data, bytes)
        except msgspec.ValidationError:
            return None
    if data is ABSENT or message.stream is not ABSENT:
        return None
    sequence_id, metadata = message.sequence_id, message.metadata or None
    if message.from_ == "server":
        return ServerMessageEvent(data, data_type, sequence_id, metadata)
    group = message.group
    if group is None:
        return None
    return GroupMessageEvent(
        group, data, data_type, message.from_user_id or None, sequence_id, metadata
    )


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
