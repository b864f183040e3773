"""What goes into a `ClientSession` and what comes out of it: inputs, actions, events, options.

All times are seconds of one clock that the driver passes in; it never runs backwards and goes on
while the machine sleeps, where the platform has such a clock. What comes with each frame or call is
a Struct: a frozen dataclass takes ten times as long to make.
"""

from collections.abc import Hashable
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

import msgspec

from hubbub.protocol import limits
from hubbub.protocol.messages import (
    DataMessage,
    ErrorDetail,
    Invoke,
    InvokeResponse,
    JoinGroup,
    LeaveGroup,
    Payload,
    Request,
    Response,
    SendEvent,
    SendToGroup,
    SetGroupState,
    StreamError,
    SubscribeGroupState,
    UnsubscribeGroupState,
)

if TYPE_CHECKING:
    from hubbub.protocol.client_stream_readers import InboundStream, StreamReader
    from hubbub.protocol.client_streams import OutboundStream


class State(StrEnum):
    __hash__ = str.__hash__  # looked up for each input; that of an enum is five times as slow

    STOPPED = "stopped"
    CONNECTING = "connecting"
    CONNECTED = "connected"
    RECOVERING = "recovering"
    RECONNECTING = "reconnecting"
    STOPPING = "stopping"


class Timer(StrEnum):
    """What the session may wait for. A timer that ran out is an input like any other."""

    __hash__ = str.__hash__

    PAUSE = "the pause before the next try"
    TRY = "the limit of one step of a try"
    START = "the limit of the whole start"
    WINDOW = "the recovery window"
    SEQUENCE_ACK = "the next sequence ack"
    KEEP_ALIVE = "the next ping or the verdict on the last one"
    REJOIN = "the limit of the rejoin phase"
    OPERATION = "the next deadline or retry of an operation"
    STREAM = "the next keep-alive, repeat or idle time-out of a stream"
    CLOSE = "the limit of the closing handshake"


class Outcome(StrEnum):
    """What a failed operation may have done."""

    NOT_SENT = "not-sent"
    REJECTED = "rejected"
    UNKNOWN = "unknown"


class Cause(StrEnum):
    """Why an operation failed."""

    REJECTED = "rejected"
    TIMED_OUT = "timed-out"
    CONNECTION_LOST = "connection-lost"
    CANCELLED = "cancelled"
    STOPPED = "stopped"
    ID_IN_USE = "id-in-use"
    TOO_MANY = "too-many"


# --- options ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RetryOptions:
    """`max_retries` None: for ever. `jitter`: 0 to 1, the share of a pause left to chance."""

    max_retries: int | None
    delay_s: float
    max_delay_s: float
    is_exponential: bool
    jitter: float

    def allows(self, retry: int) -> bool:
        return self.max_retries is None or retry <= self.max_retries

    def pause_s(self, retry: int, u: float) -> float:
        """Before retry 1, 2, …; `u` is drawn evenly from 0 to 1."""
        if not self.is_exponential:
            return self.delay_s * (1 + self.jitter * (2 * u - 1))
        growth = min(retry - 1, 63)
        return min(self.max_delay_s, self.delay_s * 2.0**growth) * (1 - self.jitter * u)


@dataclass(frozen=True, slots=True)
class ClientOptions:
    """Defaults are those of the client library."""

    is_reliable: bool = True
    auto_reconnect: bool = True
    auto_rejoin_groups: bool = True
    has_static_url: bool = False
    """The credential cannot give another address, so a 401 is final."""
    retry_first_connect: bool = False
    resend_after_reconnect: bool = False
    """Send again, on a new connection, what may have been executed on the lost one."""
    message_retry: RetryOptions = RetryOptions(3, 1, 30, False, 0.2)
    reconnect_retry: RetryOptions = RetryOptions(None, 1, 30, True, 1)
    recovery_window_s: float = limits.RECOVERY_WINDOW_S
    recovery_pause_s: float = 1
    recovery_jitter: float = 0.5
    recovery_try_s: float = 5
    keep_alive_interval_s: float | None = 15
    keep_alive_timeout_s: float | None = 30
    probe_s: float = 5
    """Limit of a ping that is sent because our own clock stood still."""
    sequence_ack_s: float = 1
    sequence_ack_messages: int = 200
    sequence_ack_bytes: int = 2 * 1_048_576
    credential_s: float = 10
    open_s: float = 10
    connected_s: float = 10
    start_s: float | None = 30
    close_s: float = 5
    rejoin_s: float = 10
    rejoins_in_flight: int = 50
    held_messages: int = limits.OUTBOUND_QUEUE_MESSAGES
    """Messages kept back until the rejoin phase ends; one more ends it early."""
    max_auth_failures: int = 5
    stable_after_s: float = 10
    retryable_errors: frozenset[str] = frozenset(
        {"InternalServerError", "TransientError", "ServiceUnavailable"}
    )
    max_in_flight: int = limits.ACK_ID_MEMORY
    """Requests from the oldest one without an ack on. What the service remembers: beyond that a
    repeat could be executed twice."""
    max_operations: int = 10_000


# --- inputs -----------------------------------------------------------------------------------

OperationKey = Hashable
"""Chosen by the driver, unique among its pending operations."""

GroupStateRequest = SetGroupState | SubscribeGroupState | UnsubscribeGroupState
OperationRequest = JoinGroup | LeaveGroup | SendToGroup | SendEvent | Invoke | GroupStateRequest


@dataclass(frozen=True, slots=True)
class Start:
    """`limit_s`: of the whole start in place of the option; infinite: none."""

    limit_s: float | None = None


@dataclass(frozen=True, slots=True)
class CancelStart:
    """Whoever waited for the start has given up."""


@dataclass(frozen=True, slots=True)
class Stop:
    """`close_s`: limit of the closing handshake in place of the option. `reason`: for `stopped`."""

    close_s: float | None = None
    reason: str = "requested"


@dataclass(frozen=True, slots=True)
class UrlObtained:
    link: int


@dataclass(frozen=True, slots=True)
class UrlFailed:
    """`retry_after_s`: what an application server asked for."""

    link: int
    error: str
    retry_after_s: float | None = None


@dataclass(frozen=True, slots=True)
class SocketOpened:
    link: int


@dataclass(frozen=True, slots=True)
class SocketFailed:
    """It did not open. `status`: of the HTTP answer, if there was one."""

    link: int
    error: str
    status: int | None = None
    retry_after_s: float | None = None


@dataclass(frozen=True, slots=True)
class SocketLost:
    """An open socket ended, by either side or by a failed write.

    `close_code`, `reason`: of the peer's close frame, None and "" without one. `is_too_large`: we
    ended it, because of a frame above our own limit.
    """

    link: int
    close_code: int | None = None
    error: str = ""
    is_too_large: bool = False
    reason: str = ""

    @property
    def text(self) -> str:
        if self.error:
            return self.error
        return "connection lost" if self.close_code is None else f"closed with {self.close_code}"


class Received(msgspec.Struct, frozen=True):
    """`message` None: a frame of a kind we do not know; it is proof of life all the same."""

    link: int
    message: Response | None
    size_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Undecodable:
    """A frame that is no message; it is proof of life, and perhaps a message was in it."""

    link: int


@dataclass(frozen=True, slots=True)
class Reading:
    """Whether the socket is read at all: silence proves nothing while it is not."""

    is_paused: bool


@dataclass(frozen=True, slots=True)
class TimerDue:
    """The time of the last `ArmTimer` has come. What the socket holds is read before this."""


class Submit(msgspec.Struct, frozen=True):
    """Ask for an operation. `request` without ack id; `deadline` is a time of the clock.

    `is_acked` False: fire and forget. `ack_id`: of an earlier failed call, to be used again.
    An `Invoke` with an empty invocation id is given one.
    """

    key: OperationKey
    request: OperationRequest
    deadline: float | None = None
    is_acked: bool = True
    ack_id: int | None = None


@dataclass(frozen=True, slots=True)
class Cancel:
    """The caller has given up; nothing more is said about this operation."""

    key: OperationKey


@dataclass(frozen=True, slots=True)
class OpenStream:
    """Start it as soon as the link is there. Its id is that of no other open stream."""

    stream: "OutboundStream"


@dataclass(frozen=True, slots=True)
class WriteFragment:
    """Where `stream.can_write`; nothing happens when it is not open any more."""

    stream: "OutboundStream"
    payload: Payload


@dataclass(frozen=True, slots=True)
class KeepStreamAlive:
    stream: "OutboundStream"


@dataclass(frozen=True, slots=True)
class EndStream:
    """`error` None: after all fragments, and done when the service says so. Otherwise give it up
    now, in whatever phase; members hear the error where they know of the stream."""

    stream: "OutboundStream"
    error: StreamError | None = None


@dataclass(frozen=True, slots=True)
class ReadStreams:
    reader: "StreamReader"


@dataclass(frozen=True, slots=True)
class StopReading:
    reader: "StreamReader"


@dataclass(frozen=True, slots=True)
class LeaveStream:
    """Read one stream no further."""

    reader: "StreamReader"
    stream: "InboundStream"


StreamInput = (
    OpenStream
    | WriteFragment
    | KeepStreamAlive
    | EndStream
    | ReadStreams
    | StopReading
    | LeaveStream
)
LinkInput = (
    UrlObtained | UrlFailed | SocketOpened | SocketFailed | SocketLost | Received | Undecodable
)
Input = Start | CancelStart | Stop | LinkInput | Reading | TimerDue | Submit | Cancel | StreamInput


# --- actions ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Recovery:
    connection_id: str
    token: str

    def __repr__(self) -> str:
        return f"Recovery({self.connection_id!r})"


@dataclass(frozen=True, slots=True)
class GetUrl:
    """Ask the credential. `attempt` counts from 1 since the start or the loss."""

    link: int
    attempt: int
    is_reconnect: bool


@dataclass(frozen=True, slots=True)
class AbandonUrl:
    link: int


@dataclass(frozen=True, slots=True)
class OpenSocket:
    """`recovery` None: with the URL just obtained. Otherwise with the last one plus the two
    recovery parameters, and without its access token where `without_access_token` is set."""

    link: int
    recovery: Recovery | None = None
    without_access_token: bool = False


@dataclass(frozen=True, slots=True)
class CloseSocket:
    """Write the close frame, then read on until the peer closes."""

    link: int
    code: int


@dataclass(frozen=True, slots=True)
class AbortSocket:
    """End it at once, open or half open; no later input carries this number."""

    link: int


class Write(msgspec.Struct, frozen=True):
    """Write errors of an open socket are `SocketLost`."""

    link: int
    request: Request


class Deliver(msgspec.Struct, frozen=True):
    message: DataMessage


@dataclass(frozen=True, slots=True)
class StreamBegan:
    """A stream of somebody else, for whoever reads."""

    reader: "StreamReader"
    stream: "InboundStream"


@dataclass(frozen=True, slots=True)
class StreamNews:
    """It has opened or ended, has room again, or a part more."""

    stream: "OutboundStream | InboundStream"


class OperationDone(msgspec.Struct, frozen=True):
    key: OperationKey
    ack_id: int | None = None
    is_duplicated: bool = False
    response: InvokeResponse | None = None


@dataclass(frozen=True, slots=True)
class OperationFailed:
    """`is_retryable`: the same call with the same ack id cannot be executed twice.

    `connection_id`: of the connection on which it was written, None if it was not.
    """

    key: OperationKey
    cause: Cause
    outcome: Outcome
    ack_id: int | None = None
    error: ErrorDetail | None = None
    attempts: int = 0
    is_retryable: bool = False
    invocation_id: str = ""
    connection_id: str | None = None


@dataclass(frozen=True, slots=True)
class Started:
    pass


@dataclass(frozen=True, slots=True)
class StartFailed:
    """`phase`: credential, open, connected or start (the total limit)."""

    phase: str
    error: str
    status: int | None = None
    close_code: int | None = None
    is_timeout: bool = False
    close_reason: str = ""


@dataclass(frozen=True, slots=True)
class StartRefused:
    """`start()` in a state that is not STOPPED; the running client is untouched."""

    state: State


@dataclass(frozen=True, slots=True)
class StateChanged:
    state: State
    cause: str


@dataclass(frozen=True, slots=True)
class Emit:
    event: "Event"


class ArmTimer(msgspec.Struct, frozen=True):
    """Replaces the last one; None: nothing to wait for."""

    at: float | None


Action = (
    GetUrl
    | AbandonUrl
    | OpenSocket
    | CloseSocket
    | AbortSocket
    | Write
    | Deliver
    | StreamBegan
    | StreamNews
    | OperationDone
    | OperationFailed
    | Started
    | StartFailed
    | StartRefused
    | StateChanged
    | Emit
    | ArmTimer
)


# --- events for the application ---------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ConnectedEvent:
    """A new connection is usable; `failed` names the groups that could not be rejoined."""

    connection_id: str
    user_id: str | None
    is_reconnect: bool
    rejoined: frozenset[str]
    failed: frozenset[str]


@dataclass(frozen=True, slots=True)
class DisconnectedEvent:
    """A connection is lost for good. `message`: what the service said before it closed."""

    connection_id: str
    message: str | None
    close_code: int | None
    cause: str
    will_reconnect: bool
    close_reason: str = ""


@dataclass(frozen=True, slots=True)
class RecoveringEvent:
    """The link is lost, the connection perhaps not: it is tried to go on with it."""

    connection_id: str
    close_code: int | None
    cause: str
    close_reason: str = ""


@dataclass(frozen=True, slots=True)
class RecoveredEvent:
    """The connection goes on; nothing was lost. `resent`: operations written once more."""

    connection_id: str
    down_for_s: float
    resent: int


@dataclass(frozen=True, slots=True)
class ReconnectingEvent:
    """Try `attempt` comes in `pause_s`; `error`: why the one before it failed."""

    attempt: int
    pause_s: float
    error: str


@dataclass(frozen=True, slots=True)
class RejoinGroupFailedEvent:
    group: str
    error: ErrorDetail | None
    """None: not answered in time; it is still being tried."""
    will_retry: bool


@dataclass(frozen=True, slots=True)
class GapEvent:
    """Messages may be missing here. `cause`: reconnect, unparsable or overflow; `dropped`: how
    many a full queue has dropped, where it is an overflow."""

    cause: str
    previous_connection_id: str | None
    connection_id: str | None
    last_sequence_id: int
    down_for_s: float
    groups: frozenset[str]
    dropped: int = 0


@dataclass(frozen=True, slots=True)
class GroupStatesChangedEvent:
    """The states of a group that is subscribed to are others than before: list them again."""

    group: str


@dataclass(frozen=True, slots=True)
class StoppedEvent:
    """The last event until the next start. `reason`: requested, reconnect-disabled,
    retries-exhausted, auth-failed, slow-consumer, or internal-error (a fault of this library)."""

    reason: str
    error: str


Event = (
    ConnectedEvent
    | DisconnectedEvent
    | RecoveringEvent
    | RecoveredEvent
    | ReconnectingEvent
    | RejoinGroupFailedEvent
    | GapEvent
    | GroupStatesChangedEvent
    | StoppedEvent
)
