"""What a client has asked for and not yet settled: order, ack ids, retries, deadlines.

An operation keeps its ack id through every repeat, over recoveries too, so that the service can
tell a repeat from a new request. Each is settled exactly once. The one exception to "one id": a
join or leave that was refused and is tried again takes a fresh id, because doing it twice is
harmless while a `Duplicate` would not say whether it was done; and so for group states.
"""

import heapq
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum, auto

import msgspec

from hubbub.protocol import limits
from hubbub.protocol.client_events import (
    Action,
    Cause,
    GroupStateRequest,
    OperationDone,
    OperationFailed,
    OperationKey,
    OperationRequest,
    Outcome,
    Submit,
    Write,
)
from hubbub.protocol.client_group_states import GroupStates
from hubbub.protocol.client_groups import Groups
from hubbub.protocol.client_options import ClientOptions
from hubbub.protocol.messages import (
    Ack,
    CancelInvocation,
    ErrorDetail,
    Invoke,
    InvokeResponse,
    JoinGroup,
    LeaveGroup,
    SetGroupState,
    SubscribeGroupState,
    UnsubscribeGroupState,
)

_DUPLICATE = "Duplicate"


class Progress(Enum):
    WAITING = auto()
    """In a queue for the link."""
    WRITTEN = auto()
    """On the wire, no answer yet."""
    PAUSING = auto()
    """Refused for now; tried again at `retry_at`."""


@dataclass(slots=True, eq=False)
class Operation:
    """`key` None: a rejoin of our own. `number` gives the order of the calls."""

    number: int
    key: OperationKey | None
    request: OperationRequest
    is_acked: bool
    deadline: float | None
    progress: Progress = Progress.WAITING
    attempts: int = 0
    unanswered: int = 0
    """Frames that had no ack yet: each may have been executed, now or later."""
    retries: int = 0
    """After a refusal; a repeat after a lost link is none."""
    place: int | None = None
    """Among all ack ids that this connection has used, when first written. None: not written, or
    each frame was refused, so that nothing of it is remembered."""
    retry_at: float | None = None
    refused: ErrorDetail | None = None
    """The first refusal; from then on `Duplicate` no longer means success."""
    is_rejoin: bool = False

    @property
    def outcome(self) -> Outcome:
        """What is known of it when it ends without success."""
        if not self.attempts:
            return Outcome.NOT_SENT
        return Outcome.UNKNOWN if self.unanswered else Outcome.REJECTED

    @property
    def ack_id(self) -> int | None:
        return None if isinstance(self.request, Invoke) else self.request.ack_id


class Operations:
    """Owned by a session, which passes the time and its list of actions."""

    def __init__(
        self,
        options: ClientOptions,
        groups: Groups,
        states: GroupStates,
        actions: list[Action],
        draw: Callable[[], float],
        invocation_prefix: str,
    ) -> None:
        self._options = options
        self._groups = groups
        self._states = states
        self._actions = actions
        self._draw = draw
        self._invocation_prefix = invocation_prefix
        self.connection_id: str | None = None
        """Of the last connection."""
        self._last_number = 0
        self._last_ack_id = 0
        self._last_invocation = 0
        self._foreign_ack_ids: dict[int, None] = {}
        self._all: dict[int, Operation] = {}
        self._by_key: dict[OperationKey, Operation] = {}
        self._by_ack_id: dict[int, Operation] = {}
        self._by_invocation: dict[str, Operation] = {}
        self._waiting: dict[int, Operation] = {}
        self._rejoins: dict[int, Operation] = {}
        """The queue of the rejoin phase; empty outside of it."""
        self._on_wire: dict[int, Operation] = {}
        """Those that wait for an ack, in the order of writing."""
        self._placed: dict[int, Operation] = {}
        """Those that have a place, in its order."""
        self._last_place = 0
        self._to_cancel: list[str] = []
        self.retried = 0
        """Repeats after a refusal, so far."""
        self._alarms: list[tuple[float, int]] = []

    @property
    def pending(self) -> int:
        return len(self._by_key)

    @property
    def pending_invocations(self) -> int:
        return len(self._by_invocation)

    # --- what the application asks ------------------------------------------------------------

    def submit(self, asked: Submit, *, has_connection: bool) -> None:
        """Take in one operation; the next `pump` may write it."""
        if asked.key in self._by_key:
            raise AssertionError(f"operation {asked.key!r} is already pending")
        if len(self._by_key) >= self._options.max_operations:
            self.refuse(asked, Cause.TOO_MANY)
            return
        if self._is_id_in_use(asked):
            self.refuse(asked, Cause.ID_IN_USE)
            return
        request = self._with_id(asked)
        if isinstance(request, JoinGroup):
            self._groups.wish(request.group, asked.key)
        elif isinstance(request, LeaveGroup):
            self._groups.drop_wish(request.group)
            self._states.leave(request.group)
            if not has_connection:  # and so no membership
                self._actions.append(OperationDone(asked.key, ack_id=request.ack_id))
                return
        operation = self._add(asked.key, request, asked.is_acked, asked.deadline)
        if isinstance(request, GroupStateRequest):
            self._states.ask(operation.number, request)
        self._waiting[operation.number] = operation

    def refuse(self, asked: Submit, cause: Cause) -> None:
        self._actions.append(
            OperationFailed(
                asked.key, cause, Outcome.NOT_SENT, ack_id=asked.ack_id, is_retryable=True
            )
        )

    def cancel(self, key: OperationKey) -> None:
        operation = self._by_key.get(key)
        if operation is not None:
            self._abandon(operation)

    # --- writing ------------------------------------------------------------------------------

    def pump(self, link: int) -> None:
        """Write what may be written: invocations to cancel, rejoins, then the rest in order."""
        for invocation_id in self._to_cancel:
            self._actions.append(Write(link, CancelInvocation(invocation_id)))
        self._to_cancel.clear()
        is_rejoining = self._groups.is_rejoining
        queue = self._rejoins if is_rejoining else self._waiting
        limit = self._options.max_in_flight
        if is_rejoining:
            limit = min(limit, self._options.rejoins_in_flight)
        while queue and self._has_room(next(iter(queue.values())), limit):
            self._write(link, queue.pop(next(iter(queue))))

    def _has_room(self, operation: Operation, limit: int) -> bool:
        """Count from the oldest request without an ack: the service must remember all that came
        after it, answered or given up, or it would execute a repeat of the oldest."""
        oldest = next(iter(self._placed.values()), None)
        if oldest is None or operation.place is not None:
            return True
        assert oldest.place is not None
        return self._last_place - oldest.place + 1 < limit

    def _free_place(self, operation: Operation) -> None:
        operation.place = None
        self._placed.pop(operation.number, None)

    def _write(self, link: int, operation: Operation) -> None:
        operation.attempts += 1
        operation.unanswered += 1
        self._actions.append(Write(link, operation.request))
        if not operation.is_acked:
            self._done(operation)
            return
        operation.progress = Progress.WRITTEN
        if isinstance(operation.request, Invoke):
            return
        if operation.place is None:
            self._last_place += 1
            operation.place = self._last_place
            self._placed[operation.number] = operation
        self._on_wire[operation.number] = operation

    # --- answers ------------------------------------------------------------------------------

    def on_ack(self, ack: Ack, now: float) -> None:
        """Settle, or pause for a retry.

        An ack for nobody is that of an operation whose caller has given up. One for a parked or
        pausing operation is real too: after a recovery the service answers what it took before
        the loss, and then the repeat.
        """
        operation = self._by_ack_id.get(ack.ack_id)
        if operation is None or not operation.attempts:
            return
        operation.unanswered = max(0, operation.unanswered - 1)
        error = ack.error
        if operation.progress is Progress.PAUSING and error is not None:
            return
        is_duplicated = error is not None and error.name == _DUPLICATE
        if error is None or (is_duplicated and operation.refused is None):
            self._note_success(operation)
            self._done(operation, is_duplicated=is_duplicated)
        elif is_duplicated:
            self._fail(operation, Cause.REJECTED, Outcome.UNKNOWN, operation.refused)
        elif self._is_worth_a_retry(operation, error):
            self._pause(operation, error, now)
        else:
            self._note_refusal(operation, error)
            is_passing = error.name in self._options.retryable_errors
            outcome = operation.outcome if is_passing else Outcome.REJECTED
            self._fail(operation, Cause.REJECTED, outcome, error)

    def on_invoke_response(self, response: InvokeResponse) -> None:
        operation = self._by_invocation.get(response.invocation_id)
        if operation is None or operation.progress is not Progress.WRITTEN:
            return
        if response.error is None:
            self._done(operation, response=response)
        else:
            self._fail(operation, Cause.REJECTED, Outcome.REJECTED, response.error)

    def _note_success(self, operation: Operation) -> None:
        match operation.request:
            case JoinGroup(group=group):
                self._groups.on_joined(group)
            case LeaveGroup(group=group):
                self._groups.on_left(group)
            case SetGroupState() | SubscribeGroupState() | UnsubscribeGroupState() as request:
                self._states.on_done(operation.number, request)
            case _:
                pass

    def _note_refusal(self, operation: Operation, error: ErrorDetail) -> None:
        match operation.request:
            case JoinGroup(group=group):
                self._groups.on_join_rejected(group, error, operation.key)
            case SetGroupState() | SubscribeGroupState() | UnsubscribeGroupState() as request:
                self._states.on_rejected(operation.number, request)
            case _:
                pass

    def _is_worth_a_retry(self, operation: Operation, error: ErrorDetail) -> bool:
        options = self._options
        is_passing = error.name in options.retryable_errors
        return is_passing and options.message_retry.allows(operation.retries + 1)

    def _pause(self, operation: Operation, error: ErrorDetail, now: float) -> None:
        self._on_wire.pop(operation.number, None)
        self._waiting.pop(operation.number, None)
        if not operation.unanswered:
            self._free_place(operation)
        operation.refused = operation.refused or error
        operation.progress = Progress.PAUSING
        operation.retries += 1
        self.retried += 1
        pause_s = self._options.message_retry.pause_s(operation.retries, self._draw())
        operation.retry_at = now + pause_s
        self._set_alarm(operation.retry_at, operation)

    def _retry(self, operation: Operation) -> None:
        if self._is_overtaken(operation):
            self._fail(operation, Cause.REJECTED, operation.outcome, operation.refused)
            return
        operation.retry_at = None
        operation.progress = Progress.WAITING
        if isinstance(operation.request, JoinGroup | LeaveGroup | GroupStateRequest):
            self._take_fresh_ack_id(operation)
        if operation.place is not None:  # others wait for its answer: it must not wait for them
            self._waiting = {operation.number: operation} | self._waiting
            return
        is_early = operation.is_rejoin and self._groups.is_rejoining
        queue = self._rejoins if is_early else self._waiting
        queue[operation.number] = operation

    def _is_overtaken(self, operation: Operation) -> bool:
        """A later call for the same group asked for the opposite; a retry would undo it."""
        match operation.request:
            case JoinGroup(group=group):
                return not self._groups.is_wished(group)
            case LeaveGroup(group=group):
                return self._groups.is_wished(group)
            case SetGroupState() | SubscribeGroupState() | UnsubscribeGroupState() as request:
                return self._states.is_overtaken(operation.number, request)
            case _:
                return False

    # --- the link and the connection ----------------------------------------------------------

    def park(self) -> None:
        """The link is lost: what waits for an ack goes to the head of the queue, in the order in
        which it was written. An invocation is never repeated."""
        for invocation_id, operation in list(self._by_invocation.items()):
            if operation.progress is Progress.WRITTEN:
                self._to_cancel.append(invocation_id)
                self._fail(operation, Cause.CONNECTION_LOST, Outcome.UNKNOWN)
        for operation in self._on_wire.values():
            operation.progress = Progress.WAITING
        self._waiting = self._on_wire | self._waiting
        self._on_wire = {}

    @property
    def repeats(self) -> int:
        """How many that wait were written before."""
        return sum(operation.attempts > 0 for operation in self._waiting.values())

    def connection_lost(self) -> None:
        """The connection id is gone for good, after `park`: settle what depended on it."""
        self._to_cancel.clear()
        self._foreign_ack_ids.clear()
        self._placed = {}
        for operation in list(self._all.values()):
            operation.place = None
            if operation.key is None:
                self._remove(operation)
            elif isinstance(operation.request, LeaveGroup | UnsubscribeGroupState):
                self._done(operation)
            elif isinstance(operation.request, JoinGroup | SubscribeGroupState):
                operation.is_rejoin = False
            elif operation.unanswered and not self._options.resend_after_reconnect:
                self._fail(operation, Cause.CONNECTION_LOST, Outcome.UNKNOWN)

    def fail_all(self, cause: Cause) -> None:
        for operation in list(self._all.values()):
            self._fail(operation, cause, operation.outcome, operation.refused)
        self._to_cancel.clear()
        self._foreign_ack_ids.clear()

    def start_rejoin(self, groups: Iterable[str]) -> None:
        """Join these groups before anything else. A join that already waits for its group does
        it; a join whose group was left meanwhile is done: both calls together change nothing."""
        missing = dict.fromkeys(groups)
        wanted = frozenset(missing)
        for operation in list(self._waiting.values()):
            request = operation.request
            if not isinstance(request, JoinGroup):
                continue
            if not self._groups.is_wished(request.group):
                self._done(operation)
            elif request.group in wanted:
                missing.pop(request.group, None)
                operation.is_rejoin = True
                self._rejoins[operation.number] = self._waiting.pop(operation.number)
        for group in missing:
            self._rejoin(group)

    def end_rejoin(self) -> None:
        """Rejoins that are still to be written go on like any operation; subscriptions come next."""
        renewals = {}
        for group in self._states.to_renew():
            request = SubscribeGroupState(group, ack_id=self._fresh_ack_id())
            operation = self._add(None, request, is_acked=True, deadline=None)
            self._states.ask(operation.number, request)
            renewals[operation.number] = operation
        self._waiting = self._rejoins | renewals | self._waiting
        self._rejoins = {}

    def _rejoin(self, group: str) -> None:
        request = JoinGroup(group, ack_id=self._fresh_ack_id())
        operation = self._add(None, request, is_acked=True, deadline=None)
        operation.is_rejoin = True
        queue = self._rejoins if self._groups.is_rejoining else self._waiting
        queue[operation.number] = operation

    # --- time ---------------------------------------------------------------------------------

    @property
    def due(self) -> float | None:
        """When `expire` is to be called next."""
        while self._alarms and not self._is_set(self._alarms[0]):
            heapq.heappop(self._alarms)
        return self._alarms[0][0] if self._alarms else None

    def expire(self, now: float) -> None:
        while (due := self.due) is not None and due <= now:
            operation = self._all[heapq.heappop(self._alarms)[1]]
            if operation.deadline is not None and operation.deadline <= now:
                self._time_out(operation)
            else:
                self._retry(operation)

    def _time_out(self, operation: Operation) -> None:
        failure = self._failure(operation, Cause.TIMED_OUT, operation.outcome, operation.refused)
        self._abandon(operation)
        if failure is not None:
            self._actions.append(failure)

    def _set_alarm(self, at: float, operation: Operation) -> None:
        if len(self._alarms) > 2 * len(self._all) + 1000:
            self._alarms = [alarm for alarm in self._alarms if self._is_set(alarm)]
            heapq.heapify(self._alarms)
        heapq.heappush(self._alarms, (at, operation.number))

    def _is_set(self, alarm: tuple[float, int]) -> bool:
        at, number = alarm
        operation = self._all.get(number)
        return operation is not None and at in (operation.deadline, operation.retry_at)

    # --- ids ----------------------------------------------------------------------------------

    def _is_id_in_use(self, asked: Submit) -> bool:
        if isinstance(asked.request, Invoke):
            return asked.request.invocation_id in self._by_invocation
        return asked.ack_id in self._by_ack_id

    def _with_id(self, asked: Submit) -> OperationRequest:
        """The request as it will be written each time."""
        request = asked.request
        if isinstance(request, Invoke):
            if request.invocation_id:
                return request
            return msgspec.structs.replace(request, invocation_id=self._fresh_invocation_id())
        if not asked.is_acked:
            return request
        if asked.ack_id is None:
            return msgspec.structs.replace(request, ack_id=self._fresh_ack_id())
        self._foreign_ack_ids[asked.ack_id] = None
        if len(self._foreign_ack_ids) > limits.ACK_ID_MEMORY:
            del self._foreign_ack_ids[next(iter(self._foreign_ack_ids))]
        return msgspec.structs.replace(request, ack_id=asked.ack_id)

    def _fresh_ack_id(self) -> int:
        """From 1 on, never one that the application chose: the service would take the second
        use for a repeat and drop it."""
        self._last_ack_id += 1
        while self._last_ack_id in self._foreign_ack_ids or self._last_ack_id in self._by_ack_id:
            self._last_ack_id += 1
        return self._last_ack_id

    def _fresh_invocation_id(self) -> str:
        while True:
            self._last_invocation += 1
            invocation_id = f"{self._invocation_prefix}{self._last_invocation}"
            if invocation_id not in self._by_invocation:
                return invocation_id

    def _take_fresh_ack_id(self, operation: Operation) -> None:
        assert not isinstance(operation.request, Invoke)
        assert operation.request.ack_id is not None
        del self._by_ack_id[operation.request.ack_id]
        ack_id = self._fresh_ack_id()
        operation.request = msgspec.structs.replace(operation.request, ack_id=ack_id)
        operation.refused = None
        self._by_ack_id[ack_id] = operation
        self._free_place(operation)

    # --- coming and going ---------------------------------------------------------------------

    def _add(
        self,
        key: OperationKey | None,
        request: OperationRequest,
        is_acked: bool,
        deadline: float | None,
    ) -> Operation:
        self._last_number += 1
        is_acked = is_acked or isinstance(request, Invoke)
        operation = Operation(self._last_number, key, request, is_acked, deadline)
        self._all[operation.number] = operation
        if key is not None:
            self._by_key[key] = operation
        if isinstance(request, Invoke):
            self._by_invocation[request.invocation_id] = operation
        elif request.ack_id is not None:
            self._by_ack_id[request.ack_id] = operation
        if deadline is not None:
            self._set_alarm(deadline, operation)
        return operation

    def _remove(self, operation: Operation) -> None:
        number = operation.number
        del self._all[number]
        if operation.key is not None:
            del self._by_key[operation.key]
        if isinstance(operation.request, Invoke):
            del self._by_invocation[operation.request.invocation_id]
        elif operation.request.ack_id is not None:
            del self._by_ack_id[operation.request.ack_id]
        for queue in (self._on_wire, self._placed, self._waiting, self._rejoins):
            queue.pop(number, None)

    def _done(
        self,
        operation: Operation,
        *,
        is_duplicated: bool = False,
        response: InvokeResponse | None = None,
    ) -> None:
        self._remove(operation)
        if operation.key is not None:
            self._actions.append(
                OperationDone(operation.key, operation.ack_id, is_duplicated, response)
            )

    def _fail(
        self,
        operation: Operation,
        cause: Cause,
        outcome: Outcome,
        error: ErrorDetail | None = None,
    ) -> None:
        self._remove(operation)
        failure = self._failure(operation, cause, outcome, error)
        if failure is not None:
            self._actions.append(failure)

    def _abandon(self, operation: Operation) -> None:
        """Take it off without a word. A written invocation is cancelled at the service, and a
        join that a rejoin relied on is replaced."""
        was_written = operation.progress is Progress.WRITTEN
        self._remove(operation)
        if isinstance(operation.request, Invoke) and was_written:
            self._to_cancel.append(operation.request.invocation_id)
        if operation.is_rejoin and isinstance(operation.request, JoinGroup):
            if self._groups.is_wished(operation.request.group):
                self._rejoin(operation.request.group)

    def _failure(
        self, operation: Operation, cause: Cause, outcome: Outcome, error: ErrorDetail | None
    ) -> OperationFailed | None:
        if operation.key is None:
            return None
        request = operation.request
        is_same_connection = cause not in (Cause.CONNECTION_LOST, Cause.STOPPED)
        return OperationFailed(
            operation.key,
            cause,
            outcome,
            ack_id=operation.ack_id,
            error=error,
            attempts=operation.attempts,
            is_retryable=outcome is Outcome.NOT_SENT
            or (
                outcome is Outcome.UNKNOWN
                and is_same_connection
                and not isinstance(request, Invoke)
            ),
            invocation_id=request.invocation_id if isinstance(request, Invoke) else "",
            connection_id=self.connection_id if operation.attempts else None,
        )
