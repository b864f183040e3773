"""What a client does next: connect, stay alive, recover, reconnect, stop. No I/O.

A driver feeds inputs with the time (`handle`) and carries out the actions that come back, in
order. The state machine is a table, `client_table.TABLE`; this file holds what its rows do. What
the application asked for is in `client_operations`, the groups in `client_groups`, the sequence
ids in `client_inbound`, the socket of the moment in `client_link`.
"""

from collections.abc import Callable, Iterable
from math import inf

from hubbub.protocol.client_events import (
    Action,
    Cancel,
    CancelStart,
    Cause,
    ConnectedEvent,
    Deliver,
    Emit,
    Event,
    GapEvent,
    Input,
    LinkInput,
    Reading,
    Received,
    ReconnectingEvent,
    RecoveredEvent,
    RecoveringEvent,
    Recovery,
    RejoinGroupFailedEvent,
    SocketFailed,
    SocketLost,
    SocketOpened,
    Start,
    Started,
    StartFailed,
    StartRefused,
    State,
    StateChanged,
    Stop,
    StoppedEvent,
    Submit,
    Timer,
    TimerDue,
    Undecodable,
    UrlObtained,
)
from hubbub.protocol.client_group_states import GroupStates
from hubbub.protocol.client_groups import Groups
from hubbub.protocol.client_inbound import Inbound
from hubbub.protocol.client_keepalive import KeepAlive, Timers
from hubbub.protocol.client_link import Link, Pauses, Step, is_unauthorized
from hubbub.protocol.client_loss import Loss
from hubbub.protocol.client_operations import Operations
from hubbub.protocol.client_options import ClientOptions
from hubbub.protocol.client_stream_events import StreamInput
from hubbub.protocol.client_streams import Streams
from hubbub.protocol.client_table import (
    CONNECTED,
    CONNECTING,
    RECONNECTING,
    RECOVERING,
    STOPPED,
    STOPPING,
    TABLE,
    Trigger,
)
from hubbub.protocol.messages import (
    Ack,
    Connected,
    DataMessage,
    Disconnected,
    GroupStateSnapshot,
    GroupStateUpdate,
    InvokeResponse,
    SequenceAck,
    StreamAck,
    StreamClosed,
    StreamNack,
)

_NORMAL_CLOSURE = 1000


class ClientSession:
    """One client for its whole life, over any number of sockets and connections.

    Args:   draw: gives numbers spread evenly over 0 to 1; pauses are spread with it.
            invocation_prefix: makes generated invocation ids unique.
            groups, subscriptions: to be in, and to hear the states of, from the first
            connection on.
    """

    def __init__(
        self,
        options: ClientOptions | None = None,
        *,
        draw: Callable[[], float],
        invocation_prefix: str = "",
        groups: Iterable[str] = (),
        subscriptions: Iterable[str] = (),
    ) -> None:
        options = options or ClientOptions()
        self._options = options
        self._actions: list[Action] = []
        self.state = STOPPED
        self.connection_id: str | None = None
        self.user_id: str | None = None
        self._token: str | None = None
        self.groups = Groups(groups)
        self.states = GroupStates(self._actions, subscriptions)
        self.streams = Streams(self._actions)
        self.operations = Operations(
            options, self.groups, self.states, self._actions, draw, invocation_prefix
        )
        self.inbound = Inbound(options)
        self._link = Link(options, self._actions)
        self._timers = Timers(self._actions)
        self._alive = KeepAlive(options, self._link, self._timers)
        self._pauses = Pauses(options, draw)
        self._now = 0.0
        self._is_starting = False
        self._stop_reason = ""
        self.steady_link: int | None = None
        """The link whose data messages may take the short way, `inbound.take`: connected, and
        nothing is under way that a message could change. After all that were read together
        `heard` has to be called."""
        self._held: list[DataMessage] = []
        self._loss = Loss()
        self._omits_access_token = False

    @property
    def failed_tries(self) -> int:
        """Tries to connect, recover or reconnect that came to nothing."""
        return self._link.failures

    @property
    def heard_at(self) -> float | None:
        """When the last frame came."""
        return self._alive.heard_at

    def handle(self, received: Input, now: float) -> list[Action]:
        """Take one input; the actions are to be carried out in their order.

        Not re-entrant: what an action causes is a later input. What an earlier socket still
        reports is ignored, so that its late end cannot harm the present one.
        """
        if isinstance(received, LinkInput) and received.link != self._link.number:
            return []
        self._now = now
        if isinstance(received, TimerDue):
            self._run_timers()
        else:
            self._apply(type(received), received)
        if self.state is CONNECTED:
            self.operations.pump(self._link.number)
            if not self.groups.is_rejoining:
                self.streams.pump(self._link.number, now)
        self._timers.arm(self._more_due())
        is_steady = (
            self.state is CONNECTED and self._alive.is_quiet and not self.groups.is_rejoining
        )
        self.steady_link = self._link.number if is_steady else None
        actions = self._actions.copy()
        self._actions.clear()
        return actions

    def heard(self, link: int, now: float) -> bool:
        """Messages that took the short way were read at this time.

        True: what they ask for together is to be done; an input without a message does it.
        """
        if link != self._link.number:
            return False
        self._alive.heard_at = now
        return self.inbound.is_unplanned

    def _apply(self, trigger: Trigger, received: Input | Timer) -> None:
        before = self.state
        row = TABLE.get((before, trigger))
        if row is None:
            name = received if isinstance(received, Timer) else type(received).__name__
            raise AssertionError(f"{name} cannot happen while {before}")
        getattr(self, f"_{row.does}")(received)
        if self.state not in row.to:
            raise AssertionError(f"{row.does} led from {before} to {self.state}")

    # --- time ---------------------------------------------------------------------------------

    def _run_timers(self) -> None:
        late_s = self._timers.begin(self._now)
        if late_s:
            self._wake_up(late_s)
        while (timer := self._timers.take(self._now, self._more_due())) is not None:
            self._apply(timer, timer)

    def _more_due(self) -> list[tuple[float, Timer]]:
        """What the parts of the session wait for."""
        due = [
            (self._link.due, Timer.TRY),
            (self.operations.due, Timer.OPERATION),
        ]
        if self.state is CONNECTED:
            due.append((self.inbound.ack_at, Timer.SEQUENCE_ACK))
            due.append((self.streams.due, Timer.STREAM))
        return [(at, timer) for at, timer in due if at is not None]

    def _wake_up(self, late_s: float) -> None:
        """Our own clock stood still, so silence proves nothing: ask, and judge the answer."""
        if self.state is CONNECTED:
            self._alive.probe(self._now, late_s)
        elif self.state is RECOVERING:
            last_try_ends = self._now + self._options.recovery_try_s
            self._timers[Timer.WINDOW] = max(self._timers[Timer.WINDOW], last_try_ends)

    def _keep_alive(self, _: Timer) -> None:
        if not self._alive.go_on(self._now):
            self._link.drop()
            self._lose_link(SocketLost(self._link.number, error="keep-alive timed out"))

    def _note_reading(self, reading: Reading) -> None:
        self._alive.is_paused = reading.is_paused
        if self.state is CONNECTED and not reading.is_paused:
            self._alive.note_life(self._now)

    # --- start --------------------------------------------------------------------------------

    def _start(self, asked: Start) -> None:
        self._is_starting = True
        self._loss.forget_gap()
        self._pauses.start()
        self._enter(CONNECTING, "start")
        limit_s = self._options.start_s if asked.limit_s is None else asked.limit_s
        if limit_s is not None and limit_s < inf:
            self._timers[Timer.START] = self._now + limit_s
        self._get_url()

    def _refuse_start(self, _: Start) -> None:
        self._actions.append(StartRefused(self.state))

    def _fail_start(self, why: LinkInput | Timer) -> None:
        failure = self._link.end(why)
        pause_s = self._pauses.before_attempt_s(why)
        is_final = self._pauses.is_auth_final(failure) or not self._pauses.next_attempt()
        if is_final or not self._options.retry_first_connect:
            self._abandon_start(failure)
        else:
            self._timers[Timer.PAUSE] = self._now + pause_s

    def _time_out_start(self, _: Timer) -> None:
        self._abandon_start(StartFailed("start", "timed out", is_timeout=True))

    def _cancel_start(self, _: CancelStart) -> None:
        self._abandon_start(StartFailed("start", "cancelled"))

    def _abandon_start(self, failure: StartFailed) -> None:
        self._link.drop()
        self._is_starting = False
        self._fail_all()
        self._enter(STOPPED, failure.error)
        self._actions.append(failure)

    # --- a try to get a new connection --------------------------------------------------------

    def _get_url(self, _: Timer | None = None) -> None:
        is_reconnect = self.state is RECONNECTING
        self._link.get_url(self._now, self._pauses.attempt, is_reconnect=is_reconnect)

    def _open_socket(self, _: UrlObtained) -> None:
        self._link.open(self._now)

    def _await_connected(self, _: SocketOpened) -> None:
        self._link.await_connected(self._now)

    def _take_first_frame(self, received: Received) -> None:
        """Only the `connected` message makes a connection; the service sends it first."""
        if isinstance(received.message, Connected):
            self._come_up(received.message)
        elif isinstance(received.message, Disconnected):
            self._loss.said = received.message.message

    # --- up -----------------------------------------------------------------------------------

    def _come_up(self, message: Connected) -> None:
        """A new connection: groups are rejoined first, everything else waits for that."""
        self._link.come_up()
        self._alive.is_paused = False
        self._pauses.come_up(self._now, is_start=self._is_starting)
        self._enter(CONNECTED, "connected")
        self.connection_id = self.operations.connection_id = message.connection_id
        self._learn(message)
        self._loss.come_up()
        self._omits_access_token = False
        self.inbound = Inbound(self._options, counted=self.inbound)
        self._alive.note_life(self._now)
        self._timers[Timer.REJOIN] = self._now + self._options.rejoin_s
        groups = self.groups.start_rejoin(is_wanted=self._options.auto_rejoin_groups)
        self.operations.start_rejoin(groups)
        self._end_rejoin_when_answered()

    def _learn(self, message: Connected) -> None:
        self.user_id = message.user_id
        self._token = message.reconnection_token if self._options.is_reliable else None

    def _end_rejoin_when_answered(self) -> None:
        if self.groups.is_rejoining and self.groups.is_answered:
            self._end_rejoin()

    def _end_rejoin(self, _: Timer | None = None) -> None:
        self._tell_connected()
        if self._is_starting:
            self._is_starting = False
            self._actions.append(Started())

    def _tell_connected(self) -> None:
        """Tell the application: what failed, that we are connected, what may be missing; then
        the messages that came meanwhile."""
        assert self.connection_id is not None
        late = self.groups.end_rejoin()
        self.operations.end_rejoin()
        self._timers.pop(Timer.REJOIN, None)
        failed = self.groups.failed
        for group, error in failed.items():
            self._emit(RejoinGroupFailedEvent(group, error, self.groups.is_wished(group)))
        for group in sorted(late):
            self._emit(RejoinGroupFailedEvent(group, None, will_retry=True))
        self._emit(
            ConnectedEvent(
                connection_id=self.connection_id,
                user_id=self.user_id,
                is_reconnect=not self._is_starting,
                rejoined=frozenset(self.groups.joined),
                failed=late | frozenset(failed),
            )
        )
        joined = frozenset(self.groups.joined)
        if (gap := self._loss.gap(self.connection_id, self._now, joined)) is not None:
            self._emit(gap)
        held, self._held = self._held, []
        for message in held:
            self._pass_on(message)

    # --- frames -------------------------------------------------------------------------------

    def _take_frame(self, received: Received) -> None:
        self._alive.note_life(self._now)
        self._dispatch(received)
        self.inbound.plan(self._now)
        ack_at = self.inbound.ack_at
        if ack_at is not None and ack_at <= self._now:
            self._write_sequence_ack()

    def _take_last_frame(self, received: Received) -> None:
        """After our close frame: what was on its way still counts, a connection does not."""
        if not isinstance(received.message, Connected):
            self._dispatch(received)

    def _dispatch(self, received: Received) -> None:
        match received.message:
            case DataMessage() as message:
                self._deliver(message, received.size_bytes)
            case GroupStateSnapshot() | GroupStateUpdate() as message:
                if self.inbound.accept(message, received.size_bytes, self._now):
                    self.states.receive(message, self._now)
            case StreamAck() | StreamNack() | StreamClosed() as answer:
                self.streams.receive(answer, self._now)
            case Ack() as ack:
                self.operations.on_ack(ack, self._now)
                self._end_rejoin_when_answered()
            case InvokeResponse() as response:
                self.operations.on_invoke_response(response)
            case Connected() as message if message.connection_id == self.connection_id:
                self._learn(message)
            case Connected() as message:
                self._replace_connection(message)
            case Disconnected() as message:
                self._loss.said = message.message

    def _deliver(self, message: DataMessage, size_bytes: int) -> None:
        """Messages that come in the rejoin phase are held back until `connected` is told."""
        if not self.inbound.accept(message, size_bytes, self._now):
            return
        if not self.groups.is_rejoining:
            self._pass_on(message)
            return
        self._held.append(message)
        if len(self._held) > self._options.held_messages:
            self._end_rejoin()

    def _pass_on(self, message: DataMessage) -> None:
        self._actions.append(Deliver(message))
        self.streams.on_message(message, self._now)

    def _report_gap(self, _: Undecodable) -> None:
        self._alive.note_life(self._now)
        here = self.connection_id
        joined = frozenset(self.groups.joined)
        self._emit(GapEvent("unparsable", here, here, self.inbound.largest, 0, joined))

    def _write_sequence_ack(self, _: Timer | None = None) -> None:
        if self.inbound.is_unconfirmed:
            self._link.write(SequenceAck(self.inbound.largest))
            self.inbound.confirmed()

    # --- loss ---------------------------------------------------------------------------------

    def _end_socket(self, loss: SocketLost) -> None:
        self._link.drop(is_gone=True)
        self._lose_link(loss)

    def _lose_link(self, loss: SocketLost) -> None:
        if self.groups.is_rejoining:
            self._end_rejoin()
        self._loss.take(loss, self._now)
        self._pauses.lose_link(self._now)
        self.operations.park()
        self.streams.pause()
        if self._can_recover(loss):
            self._start_recovery(loss)
        else:
            self._lose_connection(loss.text)

    @property
    def is_recoverable(self) -> bool:
        """A loss of the link would not be one of the connection."""
        return self._token is not None and self._options.recovery_window_s > 0

    def _can_recover(self, loss: SocketLost) -> bool:
        return self.is_recoverable and not self._loss.is_final(loss.close_code)

    def _lose_connection(self, cause: str) -> None:
        """The connection id is gone for good: settle what depended on it, then start anew."""
        is_wanted = self._options.auto_reconnect
        will_reconnect = is_wanted and self._pauses.next_attempt()
        self._end_connection(cause, will_reconnect=will_reconnect)
        if will_reconnect:
            self._enter(RECONNECTING, cause)
            self._timers[Timer.PAUSE] = self._now + self._pauses.before_attempt_s()
        else:
            self._give_up("retries-exhausted" if is_wanted else "reconnect-disabled", cause)

    def _end_connection(self, cause: str, *, will_reconnect: bool) -> None:
        assert self.connection_id is not None
        self.operations.connection_lost()
        if self.inbound.has_message or self.groups.joined or self._loss.is_too_large:
            self._loss.note_gap(self.connection_id, self.inbound.largest)
        self.streams.connection_lost()
        here = self.connection_id
        self._emit(self._loss.disconnected(here, cause, will_reconnect=will_reconnect))
        self.states.connection_lost()
        self.connection_id = self._token = None

    def _replace_connection(self, message: Connected) -> None:
        """The service answers with another connection: the old one is lost, this one is up."""
        if self.state is CONNECTED:
            if self.groups.is_rejoining:
                self._end_rejoin()
            self._loss.take(SocketLost(self._link.number), self._now)
            self.operations.park()
        self._end_connection("the service made a new connection", will_reconnect=True)
        self._come_up(message)

    # --- recovery -----------------------------------------------------------------------------

    def _start_recovery(self, loss: SocketLost) -> None:
        assert self.connection_id is not None
        options = self._options
        self._enter(RECOVERING, loss.text)
        # The service may have noticed the loss while we slept; one try is worth it all the same.
        window_s = options.recovery_window_s - self._alive.slept_s
        window_s = max(window_s, min(options.recovery_try_s, options.recovery_window_s))
        self._timers[Timer.WINDOW] = self._now + window_s
        self._emit(RecoveringEvent(self.connection_id, loss.close_code, loss.text, loss.reason))
        if self._pauses.is_flapping:
            self._timers[Timer.PAUSE] = self._now + self._pauses.before_recovery_s()
        else:
            self._try_recovery()

    def _try_recovery(self, _: Timer | None = None) -> None:
        assert self.connection_id is not None
        assert self._token is not None
        recovery = Recovery(self.connection_id, self._token)
        omits = self._omits_access_token
        self._link.open_again(self._now, recovery, without_access_token=omits)

    def _await_proof(self, _: SocketOpened) -> None:
        self._link.await_proof(self._now)

    def _take_proof(self, received: Received) -> None:
        message = received.message
        if isinstance(message, Disconnected):  # the opposite of a proof
            self._loss.said = message.message
        elif isinstance(message, Connected) and message.connection_id != self.connection_id:
            self._replace_connection(message)
        else:
            self._recover(received)

    def _take_bad_proof(self, frame: Undecodable) -> None:
        """A sign of life all the same; perhaps one of the messages that come again was in it."""
        self._recover(Received(frame.link, None))
        self._report_gap(frame)

    def _recover(self, proof: Received) -> None:
        assert self.connection_id is not None
        self._link.come_up()
        self._alive.is_paused = False
        self._pauses.come_up(self._now)
        self._enter(CONNECTED, "recovered")
        self._loss.said = None
        self._omits_access_token = False
        down_for_s = self._now - self._loss.at
        self._emit(RecoveredEvent(self.connection_id, down_for_s, self.operations.repeats))
        self.inbound.confirm_again(self._now)
        self._take_frame(proof)

    def _fail_recovery(self, why: SocketFailed | SocketLost | Timer) -> None:
        failure = self._link.end(why)
        if isinstance(why, SocketLost):
            self._loss.take_again(why)
        if self._loss.is_final(failure.close_code):
            self._lose_connection("recovery refused")
        elif not is_unauthorized(failure):
            self._timers[Timer.PAUSE] = self._now + self._pauses.before_recovery_s(why)
        elif not self._omits_access_token:
            self._omits_access_token = True
            self._try_recovery()
        else:
            self._lose_connection("recovery refused")

    def _give_up_recovery(self, _: Timer) -> None:
        self._link.drop()
        self._lose_connection("recovery window over")

    # --- reconnect ----------------------------------------------------------------------------

    def _fail_reconnect(self, why: LinkInput | Timer) -> None:
        failure = self._link.end(why)
        if self._pauses.is_auth_final(failure):
            self._give_up("auth-failed", failure.error)
        elif not self._pauses.next_attempt():
            self._give_up("retries-exhausted", failure.error)
        else:
            pause_s = self._pauses.before_attempt_s(why)
            self._emit(ReconnectingEvent(self._pauses.attempt, pause_s, failure.error))
            self._timers[Timer.PAUSE] = self._now + pause_s

    def _give_up(self, reason: str, error: str) -> None:
        self._fail_all()
        self._enter(STOPPED, reason)
        self._emit(StoppedEvent(reason, error))

    # --- stop ---------------------------------------------------------------------------------

    def _stop(self, asked: Stop) -> None:
        """Say goodbye where there is somebody to say it to, so that the service drops the state
        at once; end anything else."""
        self._stop_reason = asked.reason
        if self.groups.is_rejoining:
            self._tell_connected()  # and a start that waits for this hears that it was stopped
        if self._link.step is Step.UP:
            self._write_sequence_ack()
        self.streams.stop_writing()
        self._enter(STOPPING, "stop")
        if self._link.is_open:
            self._link.due = None
            close_s = self._options.close_s if asked.close_s is None else asked.close_s
            self._timers[Timer.CLOSE] = self._now + close_s
            self._link.close(_NORMAL_CLOSURE)
        else:
            self._finish_stop(asked)

    def _finish_stop(self, why: Stop | SocketLost | Timer) -> None:
        self._link.drop(is_gone=isinstance(why, SocketLost))
        self._fail_all()
        if self._is_starting:
            self._is_starting = False
            self._actions.append(StartFailed("start", "stopped"))
        if self.connection_id is not None:
            loss = why if isinstance(why, SocketLost) else SocketLost(self._link.number)
            self._loss.take(loss, self._now)
            self._end_connection("stop", will_reconnect=False)
        self._enter(STOPPED, "stop")
        self._emit(StoppedEvent(self._stop_reason, ""))

    # --- operations and small things ----------------------------------------------------------

    def _submit(self, asked: Submit) -> None:
        self.operations.submit(asked, has_connection=self.connection_id is not None)

    def _fail_all(self) -> None:
        self.operations.fail_all(Cause.STOPPED)
        self.streams.stop()

    def _take_stream_input(self, asked: StreamInput) -> None:
        is_running = self.state is not STOPPED and self.state is not STOPPING
        self.streams.take(asked, self._now, is_running=is_running)

    def _expire_streams(self, _: Timer) -> None:
        self.streams.expire(self._now)

    def _refuse(self, asked: Submit) -> None:
        self.operations.refuse(asked, Cause.STOPPED)

    def _cancel(self, cancel: Cancel) -> None:
        self.operations.cancel(cancel.key)

    def _expire(self, _: Timer) -> None:
        self.operations.expire(self._now)

    def _ignore(self, _: Input) -> None:
        pass

    def _enter(self, state: State, cause: str) -> None:
        """Timers belong to a state: none of the old one is left."""
        self._timers.clear()
        self.state = state
        self._actions.append(StateChanged(state, cause))

    def _emit(self, event: Event) -> None:
        self._actions.append(Emit(event))
