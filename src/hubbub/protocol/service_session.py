"""One connection as the service sees it: what a client may do, what it must still get.

The session outlives its socket when the subprotocol is reliable. Three parts, no I/O:

* a state table, `TRANSITIONS`: which sockets, closes and timers lead where;
* requests: `receive` turns each into the request to execute, a response to send, or nothing;
  `finished` makes the ack of an executed one and remembers its ack id;
* deliveries: `Unacknowledged` numbers what goes out and keeps it until the client confirms.
"""

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from enum import Enum
from types import MappingProxyType
from typing import NamedTuple, Protocol, cast

from hubbub.protocol import limits
from hubbub.protocol.messages import (
    Ack,
    CancelInvocation,
    ErrorDetail,
    Invoke,
    InvokeResponse,
    JoinGroup,
    LeaveGroup,
    Ping,
    Pong,
    Request,
    Response,
    SendEvent,
    SendToGroup,
    SequenceAck,
    SetGroupState,
    StreamData,
    StreamEnd,
    StreamStart,
    SubscribeGroupState,
    UnsubscribeGroupState,
)
from hubbub.protocol.roles import Permissions


class State(Enum):
    ATTACHED = "attached"
    """A socket carries the session."""
    AWAY = "away"
    """The socket is lost; the recovery window runs."""
    ENDED = "ended"


class Input(Enum):
    SOCKET_LOST = "socket lost"
    """Any end of the socket that is no deliberate end of the session: network loss, a close
    frame of the client with another code than 1000, or our own 1001."""
    CLIENT_CLOSED = "client closed"
    """Close frame 1000 of the client."""
    SERVICE_CLOSED = "service closed"
    """We end it: REST, protocol error, slow client."""
    RECOVERED = "recovered"
    """A new socket proved that it belongs to this session."""
    WINDOW_OVER = "window over"


class Effect(Enum):
    NONE = "none"
    START_WINDOW = "start the recovery window"
    REPLAY = "send what is unacknowledged"
    TAKE_OVER = "abort the old socket, then replay"
    END = "forget the session"
    REFUSE = "close the new socket with 1008"


_A, _W, _E = State.ATTACHED, State.AWAY, State.ENDED

TRANSITIONS: dict[tuple[State, Input], tuple[State, Effect]] = {
    (_A, Input.SOCKET_LOST): (_W, Effect.START_WINDOW),
    (_A, Input.CLIENT_CLOSED): (_E, Effect.END),
    (_A, Input.SERVICE_CLOSED): (_E, Effect.END),
    (_A, Input.RECOVERED): (_A, Effect.TAKE_OVER),
    (_W, Input.SERVICE_CLOSED): (_E, Effect.END),
    (_W, Input.RECOVERED): (_A, Effect.REPLAY),
    (_W, Input.WINDOW_OVER): (_E, Effect.END),
    (_E, Input.RECOVERED): (_E, Effect.REFUSE),
}
"""Of a reliable session. A pair that is not here changes nothing. A session that is not reliable
ends where this one would wait, and refuses recovery."""


class Deliverable(Protocol):
    """What the session keeps for replay; the service decides what is inside."""

    @property
    def size(self) -> int:
        """Bytes of one encoded frame, about."""

    @property
    def expires_at(self) -> float | None:
        """On the service's monotonic clock, seconds; None = never."""


class Numbered(NamedTuple):
    sequence_id: int
    message: Deliverable


class Unacknowledged:
    """Messages sent or due, numbered 1, 2, 3 …, until the client acknowledges them.

    Kept in batches: what one tick brought for a group is one tuple, shared by all members.
    """

    __slots__ = ("_batches", "acknowledged", "max_bytes", "max_messages", "next_id", "size")

    def __init__(self, max_messages: int, max_bytes: int) -> None:
        self.max_messages = max_messages
        self.max_bytes = max_bytes
        self.next_id = 1
        self.acknowledged = 0
        self.size = 0
        self._batches: deque[tuple[int, Sequence[Deliverable]]] = deque()

    def __len__(self) -> int:
        return self.next_id - 1 - self.acknowledged

    def append(self, batch: Sequence[Deliverable], size: int) -> int:
        """Number a batch. Returns the id of its first message; the rest follow it.

        `size`: sum of the messages' sizes. Look at `is_overflowing` afterwards.
        """
        first = self.next_id
        self.next_id = first + len(batch)
        self.size += size
        self._batches.append((first, batch))
        return first

    @property
    def is_overflowing(self) -> bool:
        return (
            self.next_id - 1 - self.acknowledged > self.max_messages or self.size > self.max_bytes
        )

    def acknowledge(self, sequence_id: int) -> None:
        """Forget all ids up to this one. Smaller or repeated ids change nothing; one that was
        never sent counts as the highest sent."""
        sequence_id = min(sequence_id, self.next_id - 1)
        if sequence_id <= self.acknowledged:
            return
        self.acknowledged = sequence_id
        batches = self._batches
        while batches and batches[0][0] <= sequence_id:
            first, batch = batches.popleft()
            done = min(sequence_id - first + 1, len(batch))
            self.size -= sum(message.size for message in batch[:done])
            if done < len(batch):
                batches.appendleft((first + done, batch[done:]))

    def replay(self, now: float) -> Iterator[Numbered]:
        """What is unacknowledged and not expired, in order, with the original ids."""
        for first, batch in self._batches:
            for sequence_id, message in enumerate(batch, first):
                if message.expires_at is None or message.expires_at > now:
                    yield Numbered(sequence_id, message)

    def clear(self) -> None:
        self._batches.clear()
        self.acknowledged = self.next_id - 1
        self.size = 0


class ServiceSession:
    """Rights, ack ids, invocations and deliveries of one connection."""

    __slots__ = (
        "_ack_ids",
        "_ack_memory",
        "_ack_order",
        "_max_invocations",
        "connection_id",
        "invocations",
        "is_reliable",
        "permissions",
        "state",
        "unacknowledged",
    )

    def __init__(
        self,
        connection_id: str,
        permissions: Permissions,
        *,
        is_reliable: bool,
        ack_memory: int = limits.ACK_ID_MEMORY,
        max_invocations: int = limits.MAX_INVOCATIONS,
        max_unacknowledged: int = limits.OUTBOUND_QUEUE_MESSAGES,
        max_unacknowledged_bytes: int = limits.OUTBOUND_QUEUE_BYTES,
    ) -> None:
        self.connection_id = connection_id
        self.permissions = permissions
        self.is_reliable = is_reliable
        self.state = State.ATTACHED
        self.invocations: Mapping[str, int] = _NOTHING
        """The pending ones, and bytes of the data of each."""
        self.unacknowledged = (
            Unacknowledged(max_unacknowledged, max_unacknowledged_bytes) if is_reliable else None
        )
        self._ack_memory = ack_memory
        # Most connections never ack or invoke: their sets are made at first use.
        self._ack_ids: set[int] | None = None
        self._ack_order: deque[int] = _NO_ORDER
        self._max_invocations = max_invocations

    # --- states ------------------------------------------------------------------------------

    def feed(self, event: Input) -> Effect:
        """Move along `TRANSITIONS`; returns what the caller must do."""
        state, effect = TRANSITIONS.get((self.state, event), (self.state, Effect.NONE))
        if not self.is_reliable:
            if event is Input.RECOVERED:
                return Effect.REFUSE
            if state is State.AWAY:
                state, effect = State.ENDED, Effect.END
        self.state = state
        if effect is Effect.END and self.unacknowledged is not None:
            self.unacknowledged.clear()
        return effect

    # --- requests ----------------------------------------------------------------------------

    def receive(self, request: Request) -> Request | Response | None:
        """Judge a request whose turn has come.

        Returns: a request = permitted, execute it and then call `finished` (an `Invoke`:
        `invocation_finished`); a response = send it, nothing to execute; None = done.
        """
        match request:
            case SendToGroup():
                return self._judge(
                    request, self.permissions.can_send(request.group), "send to", request.group
                )
            case JoinGroup():
                return self._judge(
                    request, self.permissions.can_join(request.group), "join", request.group
                )
            case LeaveGroup():
                return self._judge(
                    request, self.permissions.can_join(request.group), "leave", request.group
                )
            case SendEvent():
                return self._judge(request, True, "", "")
            case SequenceAck():
                if self.unacknowledged is not None:
                    self.unacknowledged.acknowledge(request.sequence_id)
                return None
            case Ping():
                return _PONG
            case Invoke():
                return self._judge_invocation(request)
            case UnsubscribeGroupState():
                return self._judge(request, True, "", "")
            case SetGroupState() | SubscribeGroupState():
                return self._judge(
                    request,
                    self.permissions.can_join(request.group),
                    "use the state of",
                    request.group,
                )
            case StreamStart() | StreamData() | StreamEnd():
                return request  # judged by the connection's `PublishedStreams`
            case CancelInvocation():
                if request.invocation_id not in self.invocations:
                    return None
                self._forget_invocation(request.invocation_id)
                return request

    def _judge(
        self,
        request: SendToGroup
        | JoinGroup
        | LeaveGroup
        | SendEvent
        | SetGroupState
        | SubscribeGroupState
        | UnsubscribeGroupState,
        is_permitted: bool,
        verb: str,
        group: str,
    ) -> Request | Ack | None:
        ack_id = request.ack_id
        if ack_id is not None and self._ack_ids is not None and ack_id in self._ack_ids:
            text = f"Message with ack-id: {ack_id} has been processed"
            return Ack(ack_id, ErrorDetail("Duplicate", text))
        if is_permitted:
            return request
        if ack_id is None:
            return None
        return Ack(ack_id, ErrorDetail("Forbidden", f"no permission to {verb} {group[:128]}"))

    def finished(self, ack_id: int | None, error: ErrorDetail | None = None) -> Ack | None:
        """The ack of an executed request. A failed one may be repeated with the same id."""
        if ack_id is None:
            return None
        if error is None:
            if self._ack_ids is None:
                self._ack_ids, self._ack_order = set(), deque()
            if len(self._ack_order) >= self._ack_memory:
                self._ack_ids.discard(self._ack_order.popleft())
            self._ack_order.append(ack_id)
            self._ack_ids.add(ack_id)
        return Ack(ack_id, error)

    def _judge_invocation(self, request: Invoke) -> Invoke | InvokeResponse:
        invocation_id = request.invocation_id
        size = request.payload.size if request.payload is not None else 0
        pending_bytes = sum(self.invocations.values())
        problem = ""
        if invocation_id in self.invocations:
            problem = "an invocation with this id is pending"
        elif len(self.invocations) >= self._max_invocations:
            problem = f"{self._max_invocations} invocations are pending"
        elif pending_bytes and pending_bytes + size > limits.MAX_INVOCATIONS_BYTES:
            problem = f"the pending invocations hold {pending_bytes} bytes"
        if problem:
            return InvokeResponse(invocation_id, error=ErrorDetail("BadRequest", problem))
        if not self.invocations:
            self.invocations = {}
        cast(dict[str, int], self.invocations)[invocation_id] = size
        return request

    def invocation_finished(self, response: InvokeResponse) -> InvokeResponse | None:
        """The answer to send, or None when the client has cancelled meanwhile."""
        if response.invocation_id not in self.invocations:
            return None
        self._forget_invocation(response.invocation_id)
        return response

    def _forget_invocation(self, invocation_id: str) -> None:
        cast(dict[str, int], self.invocations).pop(invocation_id, None)


_PONG = Pong()
_NOTHING: Mapping[str, int] = MappingProxyType({})
_NO_ORDER: deque[int] = deque(maxlen=0)
