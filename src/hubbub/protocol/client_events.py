"""What goes into a `ClientSession` and what comes out of it: inputs, actions, events.

All times are seconds of one clock that the driver passes in; it never runs backwards and goes on
while the machine sleeps, where the platform has such a clock. What comes with each frame or call is
a Struct: a frozen dataclass takes ten times as long to make.
"""

from collections.abc import Hashable
from dataclasses import dataclass
from enum import StrEnum

import msgspec

from hubbub.protocol.client_stream_events import StreamBegan, StreamInput, StreamNews
from hubbub.protocol.messages import (
    DataMessage,
    ErrorDetail,
    Invoke,
    InvokeResponse,
    JoinGroup,
    LeaveGroup,
    Request,
    Response,
    SendEvent,
    SendToGroup,
    SetGroupState,
    SubscribeGroupState,
    UnsubscribeGroupState,
)


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
