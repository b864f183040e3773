"""Names of `azure.messaging.webpubsubclient.models`, made of ours.

What a handler of the official package gets has the same attributes here.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal, TypedDict, Unpack

from hubbub.client.client_options import ClientOptions
from hubbub.client.events import GroupMessageEvent, ServerMessageEvent
from hubbub.client.options import RetryOptions, SubProtocol
from hubbub.client.transport import TransportOptions
from hubbub.protocol.client_events import ConnectedEvent, DisconnectedEvent, RejoinGroupFailedEvent
from hubbub.protocol.errors import ConnectError, SendMessageError

OpenClientError = ConnectError


class CallbackType(StrEnum):
    CONNECTED = "connected"
    DISCONNECTED = "disconnected"
    STOPPED = "stopped"
    SERVER_MESSAGE = "server-message"
    GROUP_MESSAGE = "group-message"
    REJOIN_GROUP_FAILED = "rejoin-group-failed"


class WebPubSubDataType(StrEnum):
    BINARY = "binary"
    JSON = "json"
    TEXT = "text"
    PROTOBUF = "protobuf"


class WebPubSubProtocolType(StrEnum):
    JSON = "json.webpubsub.azure.v1"
    JSON_RELIABLE = "json.reliable.webpubsub.azure.v1"


AnyPayload = str | bytes | bytearray | memoryview | dict[str, Any]


@dataclass(frozen=True, slots=True)
class OnConnectedArgs:
    connection_id: str
    user_id: str | None


@dataclass(frozen=True, slots=True)
class OnDisconnectedArgs:
    connection_id: str | None
    message: str | None


@dataclass(frozen=True, slots=True)
class OnGroupDataMessageArgs:
    group: str
    data_type: WebPubSubDataType
    data: Any
    from_user_id: str | None = None
    sequence_id: int | None = None


@dataclass(frozen=True, slots=True)
class OnServerDataMessageArgs:
    data_type: WebPubSubDataType
    data: Any
    sequence_id: int | None = None


@dataclass(frozen=True, slots=True)
class OnRejoinGroupFailedArgs:
    """`error`: what the service said, or that it did not answer in time."""

    group: str
    error: Exception


@dataclass(frozen=True, slots=True)
class Listener:
    """A handler of the official package for `Client.on`; equal ones have the same function."""

    function: Callable[..., Any]

    def __call__(self, event: Any) -> Any:
        return self.function(*_arguments(event))


def _arguments(event: Any) -> tuple[Any, ...]:
    """What the official package gives to a handler of this event: nothing for `stopped`."""
    match event:
        case GroupMessageEvent():
            data_type = WebPubSubDataType(event.data_type)
            return (
                OnGroupDataMessageArgs(
                    event.group, data_type, event.data, event.from_user_id, event.sequence_id
                ),
            )
        case ServerMessageEvent():
            data_type = WebPubSubDataType(event.data_type)
            return (OnServerDataMessageArgs(data_type, event.data, event.sequence_id),)
        case ConnectedEvent():
            return (OnConnectedArgs(event.connection_id, event.user_id),)
        case DisconnectedEvent():
            return (OnDisconnectedArgs(event.connection_id, event.message),)
        case RejoinGroupFailedEvent():
            return (OnRejoinGroupFailedArgs(event.group, _rejoin_error(event)),)
        case _:
            return ()


def _rejoin_error(event: RejoinGroupFailedEvent) -> Exception:
    name = "" if event.error is None else event.error.name
    message = "not answered in time" if event.error is None else event.error.message
    return SendMessageError(
        f"the group was not joined again: {message}",
        ack_id=None,
        outcome="unknown" if event.error is None else "rejected",
        error_name=name,
        error_message=message,
        attempts=1,
        retryable=event.will_retry,
    )


class OfficialOptions(TypedDict, total=False):
    """Keywords of the official client; times in seconds."""

    message_retry_backoff_factor: float
    message_retry_backoff_max: float
    message_retry_mode: str
    message_retry_total: int
    protocol_type: WebPubSubProtocolType | str
    reconnect_retry_backoff_factor: float
    reconnect_retry_backoff_max: float
    reconnect_retry_mode: str
    reconnect_retry_total: int
    auto_rejoin_groups: bool
    logging_enable: bool
    ack_timeout: float
    start_timeout: float
    user_agent: str


def client_options(**given: Unpack[OfficialOptions]) -> ClientOptions:
    """Options of the official client as those of ours, for what is given and for its own defaults.

    A total of 0 reconnects means none, no total as many as it takes. Raises: TypeError.
    """
    unknown = given.keys() - OfficialOptions.__annotations__.keys()
    if unknown:
        raise TypeError(f"there is no option {sorted(unknown)[0]!r}")
    total = given.get("reconnect_retry_total")
    agent = given.get("user_agent")
    protocol = given.get("protocol_type", WebPubSubProtocolType.JSON_RELIABLE)
    return ClientOptions(
        protocol=SubProtocol(text_of(protocol)),
        auto_reconnect=total != 0,
        auto_rejoin_groups=given.get("auto_rejoin_groups", True),
        message_retry=RetryOptions(
            given.get("message_retry_total", 3),
            given.get("message_retry_backoff_factor", 0.8),
            given.get("message_retry_backoff_max", 120.0),
            _mode(given.get("message_retry_mode", "exponential")),
        ),
        reconnect_retry=RetryOptions(
            total or None,
            given.get("reconnect_retry_backoff_factor", 0.8),
            given.get("reconnect_retry_backoff_max", 120.0),
            _mode(given.get("reconnect_retry_mode", "exponential")),
        ),
        operation_timeout=given.get("ack_timeout", 30.0),
        start_timeout=given.get("start_timeout", 30.0),
        log_payloads=given.get("logging_enable", False),
        transport=TransportOptions(headers={} if agent is None else {"User-Agent": agent}),
    )


def text_of(value: str) -> str:
    """A text, or the value of an enumeration of texts: the official ones print their name."""
    return str(getattr(value, "value", value))


def _mode(text: str) -> Literal["fixed", "exponential"]:
    return "fixed" if text_of(text).lower() == "fixed" else "exponential"
