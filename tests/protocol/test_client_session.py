from collections.abc import Iterable
from typing import TypeVar

import pytest

from hubbub.protocol.client_events import (
    AbandonUrl,
    AbortSocket,
    Action,
    ArmTimer,
    Cancel,
    CancelStart,
    Cause,
    CloseSocket,
    ConnectedEvent,
    Deliver,
    DisconnectedEvent,
    Emit,
    GapEvent,
    GetUrl,
    Input,
    OpenSocket,
    OperationDone,
    OperationFailed,
    OperationRequest,
    Outcome,
    Reading,
    Received,
    ReconnectingEvent,
    RecoveredEvent,
    RecoveringEvent,
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
    UrlFailed,
    UrlObtained,
    Write,
)
from hubbub.protocol.client_options import ClientOptions, RetryOptions
from hubbub.protocol.client_session import ClientSession
from hubbub.protocol.client_table import TABLE
from hubbub.protocol.messages import (
    Ack,
    CancelInvocation,
    Connected,
    DataMessage,
    Disconnected,
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
    text_payload,
)

A = TypeVar("A")
FORBIDDEN = ErrorDetail("Forbidden")
DUPLICATE = ErrorDetail("Duplicate")
PASSING = ErrorDetail("InternalServerError")


class Driver:
    """Feeds a session with inputs on a clock of its own and keeps every action."""

    def __init__(self, options: ClientOptions | None = None, *, u: float = 0.5) -> None:
        self.now = 1000.0
        self.actions: list[Action] = []
        self.timer: float | None = None
        self.link = 0
        self.session = ClientSession(options, draw=lambda: u, invocation_prefix="x")

    def do(self, received: Input) -> list[Action]:
        actions = self.session.handle(received, self.now)
        for action in actions:
            if isinstance(action, ArmTimer):
                self.timer = action.at
            elif isinstance(action, GetUrl | OpenSocket):
                self.link = action.link
        self.actions += actions
        return actions

    def wait(self, seconds: float) -> list[Action]:
        """Let time pass, with each timer on its second."""
        end = self.now + seconds
        actions: list[Action] = []
        while self.timer is not None and self.timer <= end:
            self.now, self.timer = max(self.now, self.timer), None
            actions += self.do(TimerDue())
        self.now = end
        return actions

    def sleep(self, seconds: float) -> list[Action]:
        """Let time pass while nothing runs; the timer comes late."""
        self.now += seconds
        assert self.timer is not None
        assert self.timer <= self.now
        self.timer = None
        return self.do(TimerDue())

    def open(self) -> list[Action]:
        return self.do(SocketOpened(self.link))

    def receive(self, *messages: Response | None, size_bytes: int = 0) -> list[Action]:
        actions: list[Action] = []
        for message in messages:
            actions += self.do(Received(self.link, message, size_bytes))
        return actions

    def lose(self, close_code: int | None = None) -> list[Action]:
        return self.do(SocketLost(self.link, close_code))

    def connect(self, connection_id: str = "c1", token: str | None = "t1") -> list[Action]:
        self.do(UrlObtained(self.link))
        self.open()
        return self.receive(Connected(connection_id, "u", token))

    def start(self) -> list[Action]:
        self.do(Start())
        return self.connect()

    def ask(
        self,
        key: object,
        request: OperationRequest,
        deadline_s: float | None = None,
        **more: object,
    ) -> list[Action]:
        deadline = None if deadline_s is None else self.now + deadline_s
        return self.do(Submit(key, request, deadline, **more))  # type: ignore[arg-type]

    def recover(self) -> list[Action]:
        self.open()
        return self.receive(Connected("c1", "u", "t2"))

    def reconnect(self, connection_id: str = "c2") -> list[Action]:
        while not of(self.wait(0.5), GetUrl):
            pass
        return self.connect(connection_id, "t9")


def of(actions: Iterable[Action], kind: type[A]) -> list[A]:
    return [action for action in actions if isinstance(action, kind)]


def written(actions: Iterable[Action]) -> list[Request]:
    return [action.request for action in of(actions, Write)]


def events(actions: Iterable[Action]) -> list[object]:
    return [action.event for action in of(actions, Emit)]


def states(actions: Iterable[Action]) -> list[State]:
    return [action.state for action in of(actions, StateChanged)]


def send(text: str = "x", group: str = "g") -> SendToGroup:
    return SendToGroup(group, text_payload(text))


def message(sequence_id: int | None, text: str = "m") -> DataMessage:
    return DataMessage(text_payload(text), "g", sequence_id=sequence_id)


@pytest.fixture
def driver() -> Driver:
    """Connected, reliable, and what led there forgotten."""
    driver = Driver()
    driver.start()
    driver.actions.clear()
    return driver


# --- the table ----------------------------------------------------------------------------------


def test_table_names_only_methods_of_the_session() -> None:
    for row in TABLE.values():
        assert callable(getattr(ClientSession, f"_{row.does}"))


def test_table_has_a_row_for_stop_start_and_operations_in_every_state() -> None:
    for state in State:
        for kind in (Start, CancelStart, Stop, Submit, Undecodable):
            assert (state, kind) in TABLE


def test_input_that_cannot_happen_is_an_assertion() -> None:
    driver = Driver()
    driver.session._link.number = 7
    with pytest.raises(AssertionError, match="cannot happen while stopped"):
        driver.do(SocketOpened(7))


# --- start --------------------------------------------------------------------------------------


def test_cl_001_start_when_connected_comes_is_done_with_one_event() -> None:
    driver = Driver()
    assert of(driver.do(Start()), GetUrl) == [GetUrl(1, 1, False)]
    assert of(driver.do(UrlObtained(1)), OpenSocket) == [OpenSocket(1)]
    assert of(driver.open(), Started) == []
    actions = driver.receive(Connected("c1", "u", "t1"))
    assert states(driver.actions) == [State.CONNECTING, State.CONNECTED]
    assert events(actions) == [ConnectedEvent("c1", "u", False, frozenset(), frozenset())]
    assert of(actions, Started) == [Started()]
    assert (driver.session.connection_id, driver.session.user_id) == ("c1", "u")


def test_cl_002_start_when_connected_does_not_come_fails_after_ten_seconds() -> None:
    driver = Driver()
    driver.do(Start())
    driver.do(UrlObtained(driver.link))
    driver.open()
    assert of(driver.wait(9.9), StartFailed) == []
    actions = driver.wait(0.1)
    assert of(actions, StartFailed) == [StartFailed("connected", "timed out", is_timeout=True)]
    assert of(actions, AbortSocket)
    assert events(actions) == []
    assert driver.session.state is State.STOPPED
    assert driver.timer is None


def test_start_when_url_does_not_come_abandons_it() -> None:
    driver = Driver()
    driver.do(Start())
    actions = driver.wait(10)
    assert of(actions, AbandonUrl) == [AbandonUrl(1)]
    assert of(actions, StartFailed)[0].phase == "credential"


def test_start_in_small_steps_ends_at_the_total_limit() -> None:
    driver = Driver(ClientOptions(start_s=15, retry_first_connect=True))
    driver.do(Start())
    driver.wait(9)
    driver.do(UrlFailed(driver.link, "no"))
    driver.wait(2)
    driver.do(UrlObtained(driver.link))
    assert of(driver.wait(4), StartFailed) == [StartFailed("start", "timed out", is_timeout=True)]


def test_cl_003_start_when_socket_fails_ends_without_retry_and_works_again() -> None:
    driver = Driver()
    driver.do(Start())
    driver.do(UrlObtained(driver.link))
    actions = driver.do(SocketFailed(driver.link, "refused", status=500))
    assert of(actions, StartFailed) == [StartFailed("open", "refused", status=500)]
    assert driver.timer is None
    assert of(driver.start(), Started) == [Started()]


def test_cl_005_cl_006_second_start_is_refused_and_harms_nothing(driver: Driver) -> None:
    assert driver.do(Start()) == [StartRefused(State.CONNECTED)]
    other = Driver()
    other.do(Start())
    assert other.do(Start()) == [StartRefused(State.CONNECTING)]
    assert of(other.connect(), Started) == [Started()]


@pytest.mark.parametrize("cut", range(3))
def test_cl_007_stop_while_connecting_fails_the_start(cut: int) -> None:
    driver = Driver()
    driver.do(Start())
    if cut > 0:
        driver.do(UrlObtained(driver.link))
    if cut > 1:
        driver.open()
    actions = driver.do(Stop())
    if cut == 2:
        assert of(actions, CloseSocket) == [CloseSocket(driver.link, 1000)]
        actions += driver.lose(1000)
    assert of(actions, StartFailed) == [StartFailed("start", "stopped")]
    assert events(actions) == [StoppedEvent("requested", "")]
    assert driver.session.state is State.STOPPED
    assert driver.timer is None


def test_cl_008_start_cancelled_aborts_the_socket_without_an_event() -> None:
    driver = Driver()
    driver.do(Start())
    driver.do(UrlObtained(driver.link))
    actions = driver.do(CancelStart())
    assert of(actions, AbortSocket)
    assert events(actions) == []
    assert driver.session.state is State.STOPPED
    assert driver.do(SocketOpened(driver.link)) == []


def test_late_frame_after_our_close_while_connecting_makes_no_connection() -> None:
    driver = Driver()
    driver.do(Start())
    driver.do(UrlObtained(driver.link))
    driver.open()
    driver.do(Stop())
    assert driver.receive(Connected("c1")) == []
    assert states(driver.lose(1000)) == [State.STOPPED]


# --- stop ---------------------------------------------------------------------------------------


def test_cl_009_stop_when_connected_confirms_closes_and_tells(driver: Driver) -> None:
    driver.receive(message(1))
    actions = driver.do(Stop())
    assert written(actions) == [SequenceAck(1)]
    assert of(actions, CloseSocket) == [CloseSocket(driver.link, 1000)]
    actions = driver.lose(1000)
    assert events(actions) == [
        DisconnectedEvent("c1", None, 1000, "stop", False),
        StoppedEvent("requested", ""),
    ]
    assert driver.wait(60) == []


def test_cl_010_stop_when_peer_does_not_close_aborts_after_five_seconds(driver: Driver) -> None:
    driver.do(Stop())
    assert of(driver.wait(4.9), AbortSocket) == []
    assert of(driver.wait(0.1), AbortSocket) == [AbortSocket(driver.link)]
    assert driver.session.state is State.STOPPED


def test_cl_011_stop_while_recovering_ends_it(driver: Driver) -> None:
    driver.lose()
    driver.do(SocketFailed(driver.link, "refused"))
    actions = driver.do(Stop())
    assert [type(event) for event in events(actions)] == [DisconnectedEvent, StoppedEvent]
    assert driver.wait(60) == []


def test_cl_012_stop_while_reconnecting_ends_it(driver: Driver) -> None:
    driver.lose(1008)
    driver.wait(1)
    actions = driver.do(Stop())
    assert of(actions, AbandonUrl) == [AbandonUrl(driver.link)]
    assert events(actions) == [StoppedEvent("requested", "")]
    assert driver.do(UrlObtained(driver.link)) == []


def test_cl_013_stop_when_stopped_does_nothing() -> None:
    assert Driver().do(Stop()) == []


def test_cl_014_start_after_stop_makes_a_new_connection(driver: Driver) -> None:
    for round_number in range(100):
        driver.do(Stop())
        driver.lose(1000)
        driver.do(Start())
        actions = driver.connect(f"c{round_number}")
        assert of(actions, Started) == [Started()]
        assert GapEvent not in map(type, events(actions))


def test_cl_017_stop_with_pending_operations_says_what_they_may_have_done(driver: Driver) -> None:
    driver.ask(1, send())
    driver.do(Stop())
    driver.ask(2, send())
    driver.lose(1000)
    failed = {action.key: action for action in of(driver.actions, OperationFailed)}
    assert failed[1].outcome is Outcome.UNKNOWN
    assert failed[2].outcome is Outcome.NOT_SENT
    assert {action.cause for action in failed.values()} == {Cause.STOPPED}


def test_stop_lets_an_ack_that_was_on_its_way_count(driver: Driver) -> None:
    driver.ask(1, send())
    driver.do(Stop())
    assert of(driver.receive(Ack(1)), OperationDone) == [OperationDone(1, 1)]


# --- operations ---------------------------------------------------------------------------------


def test_cl_018_operations_get_ack_ids_from_one_on(driver: Driver) -> None:
    driver.ask("a", JoinGroup("g"))
    driver.ask("b", LeaveGroup("g"))
    driver.ask("c", send())
    driver.ask("d", SendEvent("e", text_payload("x")))
    assert written(driver.actions) == [
        JoinGroup("g", 1),
        LeaveGroup("g", 2),
        SendToGroup("g", text_payload("x"), 3),
        SendEvent("e", text_payload("x"), 4),
    ]


def test_cl_019_duplicate_is_success(driver: Driver) -> None:
    driver.ask("a", send())
    assert driver.receive(Ack(1, DUPLICATE)) == [OperationDone("a", 1, is_duplicated=True)]


def test_cl_020_forbidden_fails_at_once_with_one_frame(driver: Driver) -> None:
    driver.ask("a", JoinGroup("g"))
    assert driver.receive(Ack(1, FORBIDDEN)) == [
        OperationFailed("a", Cause.REJECTED, Outcome.REJECTED, 1, FORBIDDEN, 1, connection_id="c1")
    ]
    assert len(written(driver.actions)) == 1
    assert driver.session.groups.wished == frozenset()


def test_cl_021_passing_error_is_tried_again_with_the_same_frame(driver: Driver) -> None:
    driver.ask("a", send())
    for _ in range(2):
        driver.receive(Ack(1, PASSING))
        driver.wait(1)
    assert written(driver.actions) == [SendToGroup("g", text_payload("x"), 1)] * 3
    assert driver.receive(Ack(1)) == [OperationDone("a", 1)]


def test_cl_022_duplicate_after_a_refusal_is_unknown_for_a_send(driver: Driver) -> None:
    driver.ask("a", send())
    driver.receive(Ack(1, PASSING))
    driver.wait(1)
    (failed,) = of(driver.receive(Ack(1, DUPLICATE)), OperationFailed)
    assert (failed.outcome, failed.error) == (Outcome.UNKNOWN, PASSING)


def test_cl_022_refused_join_is_repeated_with_a_fresh_id(driver: Driver) -> None:
    driver.ask("a", JoinGroup("g"))
    driver.receive(Ack(1, PASSING))
    driver.wait(1)
    assert written(driver.actions) == [JoinGroup("g", 1), JoinGroup("g", 2)]
    assert driver.receive(Ack(2)) == [OperationDone("a", 2)]


@pytest.mark.parametrize(("u", "pause_s"), [(0.0, 0.8), (1.0, 1.2)])
def test_cl_023_passing_error_for_ever_fails_after_four_frames(u: float, pause_s: float) -> None:
    driver = Driver(u=u)
    driver.start()
    driver.ask("a", send())
    for _ in range(3):
        assert of(driver.receive(Ack(1, PASSING)), OperationFailed) == []
        assert written(driver.wait(pause_s - 0.01)) == []
        assert len(written(driver.wait(0.01))) == 1
    (failed,) = of(driver.receive(Ack(1, PASSING)), OperationFailed)
    assert (failed.attempts, failed.outcome) == (4, Outcome.REJECTED)


def test_cl_024_silent_service_times_the_operation_out(driver: Driver) -> None:
    driver.ask("a", send(), deadline_s=1)
    assert of(driver.wait(1), OperationFailed) == [
        OperationFailed(
            "a",
            Cause.TIMED_OUT,
            Outcome.UNKNOWN,
            1,
            attempts=1,
            is_retryable=True,
            connection_id="c1",
        )
    ]
    assert driver.session.operations.pending == 0
    assert driver.receive(Ack(1)) == []


def test_cl_026_generated_ids_avoid_those_of_the_application(driver: Driver) -> None:
    for number in range(1, 51):
        driver.ask(number, send(), ack_id=number)
        driver.receive(Ack(number))
    for number in range(100):
        driver.ask(("mine", number), send())
    ids = [
        request.ack_id for request in written(driver.actions) if isinstance(request, SendToGroup)
    ]
    assert len(ids) == len(set(ids)) == 150


def test_cl_027_ack_id_of_a_failed_call_may_be_used_again(driver: Driver) -> None:
    driver.ask("a", send(), deadline_s=1)
    driver.wait(1)
    driver.ask("b", send(), ack_id=1)
    assert driver.receive(Ack(1, DUPLICATE)) == [OperationDone("b", 1, is_duplicated=True)]


def test_ack_id_that_is_pending_is_refused(driver: Driver) -> None:
    driver.ask("a", send(), ack_id=9)
    (failed,) = of(driver.ask("b", send(), ack_id=9), OperationFailed)
    assert (failed.cause, failed.outcome) == (Cause.ID_IN_USE, Outcome.NOT_SENT)


def test_fire_and_forget_is_done_when_written_and_has_no_ack_id(driver: Driver) -> None:
    assert driver.ask("a", send(), is_acked=False) == [
        Write(driver.link, send()),
        OperationDone("a"),
    ]


def test_cl_028_fire_and_forget_waits_for_the_link_and_is_written_once(driver: Driver) -> None:
    driver.lose()
    assert written(driver.ask("a", send(), is_acked=False)) == []
    driver.recover()
    assert written(driver.actions).count(send()) == 1


def test_cl_029_acks_in_any_order_settle_their_own_operations() -> None:
    driver = Driver(ClientOptions(max_in_flight=10_000))
    driver.start()
    for number in range(10_000):
        driver.ask(number, send(), deadline_s=60)
    driver.actions.clear()
    for ack_id in (*range(1, 10_001, 2), *range(2, 10_001, 2)):
        driver.receive(Ack(ack_id))
    done = of(driver.actions, OperationDone)
    assert sorted((action.key, action.ack_id) for action in done) == [
        (number, number + 1) for number in range(10_000)
    ]
    assert driver.session.operations.due is None


def test_cl_030_no_more_in_flight_than_allowed_and_in_order() -> None:
    driver = Driver(ClientOptions(max_in_flight=3))
    driver.start()
    driver.actions.clear()
    for number in range(8):
        driver.ask(number, send(str(number)))
    driver.do(Cancel(4))
    assert len(written(driver.actions)) == 3
    for ack_id in range(1, 9):
        driver.receive(Ack(ack_id))
    texts = [r.payload.raw for r in written(driver.actions) if isinstance(r, SendToGroup)]
    assert texts == [b"0", b"1", b"2", b"3", b"5", b"6", b"7"]


def test_operation_given_up_keeps_its_place_until_the_oldest_is_answered() -> None:
    driver = Driver(ClientOptions(max_in_flight=3))
    driver.start()
    driver.actions.clear()
    for number in range(6):
        driver.ask(number, send(str(number)))
    driver.do(Cancel(1))
    driver.do(Cancel(2))
    assert len(written(driver.actions)) == 3
    driver.receive(Ack(1))
    assert len(written(driver.actions)) == 6
    driver.lose()
    assert len(written(driver.recover())) == 3


def test_more_operations_than_may_wait_are_refused() -> None:
    driver = Driver(ClientOptions(max_operations=2))
    driver.do(Start())
    failed = [of(driver.ask(number, send()), OperationFailed) for number in range(3)]
    assert failed[:2] == [[], []]
    assert failed[2][0].cause is Cause.TOO_MANY


def test_cl_031_cancelled_operation_is_never_written(driver: Driver) -> None:
    driver.lose()
    driver.ask("a", send())
    assert driver.do(Cancel("a")) == []
    driver.recover()
    assert send() not in [
        request for request in written(driver.actions) if isinstance(request, SendToGroup)
    ]
    assert driver.session.operations.pending == 0


def test_cl_033_operation_when_stopped_fails_and_when_down_waits_for_its_deadline() -> None:
    driver = Driver()
    (failed,) = of(driver.ask("a", send()), OperationFailed)
    assert (failed.cause, failed.outcome) == (Cause.STOPPED, Outcome.NOT_SENT)
    driver.start()
    driver.lose(1008)
    driver.ask("b", send(), deadline_s=0.3)
    assert of(driver.wait(0.2), OperationFailed) == []
    (failed,) = of(driver.wait(0.1), OperationFailed)
    assert (failed.cause, failed.outcome) == (Cause.TIMED_OUT, Outcome.NOT_SENT)


def test_deadlines_of_settled_operations_do_not_pile_up(driver: Driver) -> None:
    driver.ask("oldest", JoinGroup("g"), deadline_s=1)
    driver.receive(Ack(1, PASSING))  # so it waits for its retry
    for number in range(20_000):
        driver.ask(number, send(), deadline_s=60)
        driver.receive(Ack(number + 2))
    assert len(driver.session.operations._alarms) < 3000


# --- invocations --------------------------------------------------------------------------------


def test_cl_085_invocations_are_matched_by_their_ids(driver: Driver) -> None:
    driver.ask("a", Invoke("", "e"))
    driver.ask("b", Invoke("", "e"))
    assert written(driver.actions) == [Invoke("x1", "e"), Invoke("x2", "e")]
    late, early = InvokeResponse("x1"), InvokeResponse("x2", text_payload("r"))
    assert driver.receive(early, late) == [
        OperationDone("b", response=early),
        OperationDone("a", response=late),
    ]
    assert driver.receive(late) == []


def test_cl_086_failed_invocation_is_rejected(driver: Driver) -> None:
    driver.ask("a", Invoke("i", "e"))
    error = ErrorDetail("NotFound")
    (failed,) = of(driver.receive(InvokeResponse("i", error=error)), OperationFailed)
    assert (failed.outcome, failed.error) == (Outcome.REJECTED, error)


def test_cl_087_invocation_given_up_is_cancelled_at_the_service(driver: Driver) -> None:
    driver.ask("a", Invoke("i", "e"))
    assert driver.do(Cancel("a")) == [Write(driver.link, CancelInvocation("i"))]
    driver.ask("b", Invoke("j", "e"), deadline_s=1)
    actions = driver.wait(1)
    assert written(actions) == [CancelInvocation("j")]
    assert of(actions, OperationFailed)[0].cause is Cause.TIMED_OUT


def test_cl_088_invocation_on_a_lost_link_fails_and_is_never_repeated(driver: Driver) -> None:
    driver.ask("a", Invoke("i", "e"))
    (failed,) = of(driver.lose(), OperationFailed)
    assert (failed.cause, failed.outcome) == (Cause.CONNECTION_LOST, Outcome.UNKNOWN)
    assert not failed.is_retryable
    driver.actions.clear()
    driver.recover()
    assert written(driver.actions) == [Ping(), CancelInvocation("i")]


def test_cl_089_invocation_asked_while_recovering_is_sent_once(driver: Driver) -> None:
    driver.lose()
    driver.ask("a", Invoke("i", "e"))
    driver.ask("b", Invoke("j", "e"))
    driver.do(Cancel("b"))
    driver.recover()
    invokes = [request for request in written(driver.actions) if isinstance(request, Invoke)]
    assert invokes == [Invoke("i", "e")]


# --- recovery -----------------------------------------------------------------------------------


def test_cl_035_lost_link_recovers_with_the_same_connection(driver: Driver) -> None:
    actions = driver.lose()
    (opened,) = of(actions, OpenSocket)
    assert opened.recovery is not None
    assert (opened.recovery.connection_id, opened.recovery.token) == ("c1", "t1")
    assert "t1" not in repr(opened)
    assert events(actions) == [RecoveringEvent("c1", None, "connection lost")]
    driver.now += 2
    assert written(driver.open()) == [Ping()]
    actions = driver.receive(Connected("c1", "u", "t2"))
    assert events(actions) == [RecoveredEvent("c1", 2.0, 0)]
    assert of(driver.actions, GetUrl) == []
    (again,) = of(driver.lose(), OpenSocket)
    assert again.recovery is not None
    assert again.recovery.token == "t2"


@pytest.mark.parametrize("proof", [Pong(), Ack(77), message(1), None])
def test_recovery_is_proven_by_any_frame(driver: Driver, proof: Response | None) -> None:
    driver.lose()
    driver.open()
    actions = driver.receive(proof)
    kinds = [type(action) for action in actions]
    assert driver.session.state is State.CONNECTED
    if isinstance(proof, DataMessage):
        assert kinds.index(Emit) < kinds.index(Deliver)


def test_recovery_is_not_proven_by_a_goodbye(driver: Driver) -> None:
    driver.lose()
    driver.open()
    assert driver.receive(Disconnected("no")) == []
    driver.lose(1008)
    event = next(event for event in events(driver.actions) if isinstance(event, DisconnectedEvent))
    assert event.message == "no"


def test_cl_037_operations_without_ack_are_repeated_in_order_with_their_ids(
    driver: Driver,
) -> None:
    for number in range(20):
        driver.ask(number, send(str(number)))
    first = written(driver.actions)
    driver.lose()
    driver.actions.clear()
    actions = driver.recover()
    assert written(actions) == [Ping(), *first][1:]
    assert events(actions) == [RecoveredEvent("c1", 0.0, 20)]
    for ack_id in range(1, 21):
        driver.receive(Ack(ack_id, DUPLICATE if ack_id <= 10 else None))
    done = of(driver.actions, OperationDone)
    assert [action.is_duplicated for action in done] == [True] * 10 + [False] * 10


def test_cl_039_operation_asked_while_recovering_follows_the_parked_ones(driver: Driver) -> None:
    driver.ask("old", send("old"))
    driver.lose()
    driver.ask("new", send("new"))
    actions = driver.recover()
    assert written(actions) == [
        SendToGroup("g", text_payload("old"), 1),
        SendToGroup("g", text_payload("new"), 2),
    ]


def test_parked_operations_go_before_those_that_had_to_wait_for_them() -> None:
    driver = Driver(ClientOptions(max_in_flight=2))
    driver.start()
    for number in range(3):
        driver.ask(number, send(str(number)))
    driver.lose()
    driver.actions.clear()
    driver.recover()
    driver.receive(Ack(1))
    ids = [
        request.ack_id for request in written(driver.actions) if isinstance(request, SendToGroup)
    ]
    assert ids == [1, 2, 3]


def test_ack_of_before_the_loss_settles_a_parked_operation(driver: Driver) -> None:
    driver.ask("a", send())
    driver.lose()
    driver.open()
    actions = driver.receive(Ack(1))
    assert of(actions, OperationDone) == [OperationDone("a", 1)]
    assert written(actions) == []


def test_refusal_of_before_the_loss_and_success_of_the_repeat_is_success(driver: Driver) -> None:
    driver.ask("a", send())
    driver.lose()
    driver.recover()
    driver.receive(Ack(1, PASSING))
    assert driver.receive(Ack(1)) == [OperationDone("a", 1)]
    assert written(driver.wait(3)) == []


def test_cl_040_repeated_messages_are_dropped_but_confirmed(driver: Driver) -> None:
    driver.receive(message(1), message(2), message(3))
    driver.lose()
    driver.recover()
    assert of(driver.receive(message(2), message(3)), Deliver) == []
    assert driver.session.inbound.duplicates == 2
    assert of(driver.receive(message(4)), Deliver) == [Deliver(message(4))]
    assert written(driver.wait(1)) == [SequenceAck(4)]


def test_cl_041_mute_recovery_socket_is_aborted_after_five_seconds(driver: Driver) -> None:
    driver.lose()
    driver.open()
    actions = driver.wait(5)
    assert of(actions, AbortSocket) == [AbortSocket(driver.link)]
    assert RecoveredEvent not in map(type, events(actions))
    assert of(driver.wait(1), OpenSocket)


def test_cl_042_recovery_tries_about_every_second(driver: Driver) -> None:
    driver.lose()
    tries = 1
    for _ in range(12):
        driver.do(SocketFailed(driver.link, "refused", status=502))
        tries += len(of(driver.wait(1), OpenSocket))
    assert tries == 13
    assert RecoveredEvent in map(type, events(driver.recover()))


@pytest.mark.parametrize(("u", "pause_s"), [(0.0, 0.5), (1.0, 1.5)])
def test_recovery_pause_is_spread(u: float, pause_s: float) -> None:
    driver = Driver(u=u)
    driver.start()
    driver.lose()
    driver.do(SocketFailed(driver.link, "refused"))
    assert of(driver.wait(pause_s - 0.01), OpenSocket) == []
    assert of(driver.wait(0.01), OpenSocket)


def test_cl_043_recovery_closed_with_1008_reconnects(driver: Driver) -> None:
    driver.lose()
    driver.open()
    actions = driver.lose(1008)
    assert events(actions) == [DisconnectedEvent("c1", None, 1008, "recovery refused", True)]
    assert of(driver.wait(1), GetUrl)


def test_cl_044_recovery_ends_with_the_window_and_tells_a_gap(driver: Driver) -> None:
    driver.receive(message(5))
    driver.lose()
    for _ in range(60):
        if driver.session.state is not State.RECOVERING:
            break
        driver.do(SocketFailed(driver.link, "refused"))
        driver.wait(0.5)
    assert driver.now == pytest.approx(1030, abs=1)
    actions = driver.reconnect()
    assert [type(event) for event in events(actions)] == [ConnectedEvent, GapEvent]
    gap = events(actions)[1]
    assert isinstance(gap, GapEvent)
    assert (gap.cause, gap.previous_connection_id, gap.connection_id, gap.last_sequence_id) == (
        "reconnect",
        "c1",
        "c2",
        5,
    )


def test_cl_045_recovery_refused_with_401_is_tried_once_without_the_access_token(
    driver: Driver,
) -> None:
    driver.lose()
    (opened,) = of(driver.do(SocketFailed(driver.link, "no", status=401)), OpenSocket)
    assert opened.without_access_token
    driver.do(SocketFailed(driver.link, "no", status=401))
    assert driver.session.state is State.RECONNECTING


def test_cl_046_recovery_that_shows_another_connection_is_a_reconnect(driver: Driver) -> None:
    driver.ask("a", JoinGroup("g"))
    driver.receive(Ack(1))
    driver.lose()
    driver.open()
    actions = driver.receive(Connected("c7", "u", "t7"))
    assert written(actions) == [JoinGroup("g", 2)]
    actions += driver.receive(Ack(2))
    assert [type(event) for event in events(actions)] == [
        DisconnectedEvent,
        ConnectedEvent,
        GapEvent,
    ]


def test_cl_047_flapping_link_makes_the_pauses_grow_to_eight_seconds(driver: Driver) -> None:
    pauses = []
    for _ in range(12):
        driver.wait(2)
        before = driver.now
        if not of(driver.lose(), OpenSocket):
            while driver.session._link.due is None:
                driver.wait(0.25)
        pauses.append(driver.now - before)
        driver.recover()
    assert pauses[:5] == [0] * 5
    assert pauses[5:9] == [2, 4, 8, 8]


def test_cl_048_plain_protocol_or_no_token_reconnects_without_recovery() -> None:
    for options, token in ((ClientOptions(is_reliable=False), "t1"), (ClientOptions(), None)):
        driver = Driver(options)
        driver.do(Start())
        driver.connect(token=token)
        driver.lose()
        assert driver.session.state is State.RECONNECTING


def test_cl_049_close_1008_reconnects_without_recovery(driver: Driver) -> None:
    driver.lose(1008)
    assert driver.session.state is State.RECONNECTING


@pytest.mark.parametrize("code", [1000, 1001, 1006, 1011, 1012, 1013, 4000, None])
def test_cl_050_other_close_codes_recover(driver: Driver, code: int | None) -> None:
    driver.lose(code)
    assert driver.session.state is State.RECOVERING


def test_cl_101_close_with_reason_tells_the_reason_after_one_refused_recovery(
    driver: Driver,
) -> None:
    driver.receive(Disconnected("bye"))
    driver.lose(1000)
    driver.open()
    actions = driver.lose(1008)
    assert events(actions) == [DisconnectedEvent("c1", "bye", 1000, "recovery refused", True)]


def test_cl_102_drained_service_is_recovered_until_it_refuses(driver: Driver) -> None:
    driver.lose(1001)
    for _ in range(5):
        driver.do(SocketFailed(driver.link, "draining", status=503, retry_after_s=1))
        driver.wait(1)
    assert of(driver.actions, GetUrl) == []
    driver.open()
    driver.lose(1008)
    assert driver.session.state is State.RECONNECTING


def test_recovery_honours_retry_after(driver: Driver) -> None:
    driver.lose()
    driver.do(SocketFailed(driver.link, "draining", status=503, retry_after_s=4))
    assert of(driver.wait(3.9), OpenSocket) == []
    assert of(driver.wait(0.1), OpenSocket)


def test_cl_103_message_above_our_limit_is_recovered_once(driver: Driver) -> None:
    driver.receive(message(1))
    driver.do(SocketLost(driver.link, 1009, is_too_large=True))
    driver.recover()
    driver.do(SocketLost(driver.link, 1009, is_too_large=True))
    assert driver.session.state is State.RECONNECTING
    gaps = [event for event in events(driver.reconnect()) if isinstance(event, GapEvent)]
    assert [gap.cause for gap in gaps] == ["unparsable"]


def test_message_above_our_limit_is_counted_anew_on_each_connection(driver: Driver) -> None:
    driver.do(SocketLost(driver.link, 1009, is_too_large=True))
    driver.open()
    driver.lose(1008)
    driver.reconnect()
    driver.do(SocketLost(driver.link, 1009, is_too_large=True))
    assert driver.session.state is State.RECOVERING


# --- reconnect ----------------------------------------------------------------------------------


def test_cl_052_groups_of_this_client_are_rejoined_before_connected_is_told(
    driver: Driver,
) -> None:
    for key in ("a", "b"):
        driver.ask(key, JoinGroup(key))
    driver.receive(Ack(1), Ack(2))
    driver.lose(1008)
    driver.ask("late", send())
    actions = driver.reconnect()
    assert written(actions) == [JoinGroup("a", 4), JoinGroup("b", 5)]
    assert events(actions) == []
    actions = driver.receive(Ack(4), Ack(5))
    connected, gap = events(actions)
    assert connected == ConnectedEvent("c2", "u", True, frozenset("ab"), frozenset())
    assert isinstance(gap, GapEvent)
    assert gap.groups == frozenset("ab")
    assert written(actions) == [SendToGroup("g", text_payload("x"), 3)]


def test_cl_053_forbidden_rejoin_is_told_and_tried_again_on_the_next_connection(
    driver: Driver,
) -> None:
    driver.ask("a", JoinGroup("a"))
    driver.receive(Ack(1))
    for connection in ("c2", "c3"):
        driver.lose(1008)
        actions = driver.reconnect(connection)
        (join,) = written(actions)
        assert isinstance(join, JoinGroup)
        assert join.ack_id is not None
        first, second, *_ = events(driver.receive(Ack(join.ack_id, FORBIDDEN)))
        assert first == RejoinGroupFailedEvent("a", FORBIDDEN, True)
        assert isinstance(second, ConnectedEvent)
        assert second.failed == frozenset("a")


def test_cl_054_no_rejoin_when_switched_off_or_left_meanwhile() -> None:
    driver = Driver(ClientOptions(auto_rejoin_groups=False))
    driver.start()
    driver.ask("a", JoinGroup("a"))
    driver.receive(Ack(1))
    driver.lose(1008)
    assert written(driver.reconnect()) == []
    assert driver.session.groups.joined == set()

    driver = Driver()
    driver.start()
    driver.ask("a", JoinGroup("a"))
    driver.receive(Ack(1))
    driver.lose(1008)
    assert of(driver.ask("b", LeaveGroup("a")), OperationDone) == [OperationDone("b", 2)]
    assert written(driver.reconnect()) == []


def test_cl_055_join_without_ack_is_settled_by_the_rejoin(driver: Driver) -> None:
    driver.ask("a", JoinGroup("a"))
    driver.lose(1008)
    assert written(driver.reconnect()) == [JoinGroup("a", 1)]
    actions = driver.receive(Ack(1))
    assert of(actions, OperationDone) == [OperationDone("a", 1)]
    assert driver.session.groups.joined == {"a"}


def test_join_and_leave_without_acks_are_both_done_on_a_new_connection(driver: Driver) -> None:
    driver.ask("a", JoinGroup("a"))
    driver.ask("b", LeaveGroup("a"))
    driver.lose(1008)
    actions = driver.reconnect()
    assert written(actions) == []
    assert {action.key for action in of(driver.actions, OperationDone)} == {"a", "b"}


def test_cancelled_join_that_a_rejoin_relied_on_is_replaced(driver: Driver) -> None:
    driver.ask("a", JoinGroup("a"))
    driver.lose(1008)
    driver.reconnect()
    assert written(driver.do(Cancel("a"))) == [JoinGroup("a", 2)]
    assert ConnectedEvent in map(type, events(driver.receive(Ack(2))))


@pytest.mark.parametrize("resend", [False, True])
def test_cl_056_send_without_ack_on_a_new_connection(resend: bool) -> None:
    driver = Driver(ClientOptions(resend_after_reconnect=resend))
    driver.start()
    driver.ask("a", send())
    failed = of(driver.lose(1008), OperationFailed)
    sent = [request for request in written(driver.reconnect()) if isinstance(request, SendToGroup)]
    if resend:
        assert (failed, [request.ack_id for request in sent]) == ([], [1])
    else:
        assert (failed[0].outcome, failed[0].is_retryable, sent) == (Outcome.UNKNOWN, False, [])


def test_cl_057_no_auto_reconnect_stops_and_limited_tries_end() -> None:
    driver = Driver(ClientOptions(auto_reconnect=False))
    driver.start()
    actions = driver.lose(1008)
    disconnected, stopped = events(actions)
    assert disconnected == DisconnectedEvent("c1", None, 1008, "closed with 1008", False)
    assert stopped == StoppedEvent("reconnect-disabled", "closed with 1008")

    driver = Driver(ClientOptions(reconnect_retry=RetryOptions(3, 1, 30, True, 1)))
    driver.start()
    driver.wait(10)
    driver.lose(1008)
    driver.actions.clear()
    while driver.session.state is State.RECONNECTING:
        if of(driver.wait(10), GetUrl):
            driver.do(UrlFailed(driver.link, "down"))
    assert len(of(driver.actions, GetUrl)) == 3
    assert events(driver.actions)[-1] == StoppedEvent("retries-exhausted", "down")


def test_cl_058_credential_is_asked_for_each_new_connection(driver: Driver) -> None:
    driver.wait(10)
    driver.lose(1008)
    assert of(driver.wait(0.5), GetUrl) == [GetUrl(driver.link, 1, True)]


def test_cl_059_static_url_refused_stops_at_once() -> None:
    driver = Driver(ClientOptions(has_static_url=True))
    driver.start()
    driver.lose(1008)
    driver.wait(1)
    driver.do(UrlObtained(driver.link))
    actions = driver.do(SocketFailed(driver.link, "no", status=401))
    assert events(actions) == [StoppedEvent("auth-failed", "no")]


def test_callable_credential_refused_five_times_stops(driver: Driver) -> None:
    driver.lose(1008)
    for _ in range(5):
        while not of(driver.wait(1), GetUrl):
            pass
        driver.do(UrlObtained(driver.link))
        driver.do(SocketFailed(driver.link, "no", status=403))
    assert events(driver.actions)[-1] == StoppedEvent("auth-failed", "no")


def test_cl_060_failing_credential_is_told_and_tried_again(driver: Driver) -> None:
    driver.wait(10)
    driver.lose(1008)
    driver.actions.clear()
    for _ in range(3):
        while not of(driver.wait(0.5), GetUrl):
            pass
        driver.do(UrlFailed(driver.link, "broken"))
    assert events(driver.actions) == [
        ReconnectingEvent(2, 1.0, "broken"),
        ReconnectingEvent(3, 2.0, "broken"),
        ReconnectingEvent(4, 4.0, "broken"),
    ]


def test_cl_061_reconnect_honours_retry_after(driver: Driver) -> None:
    driver.lose(1008)
    driver.wait(1)
    driver.do(UrlObtained(driver.link))
    driver.do(SocketFailed(driver.link, "busy", status=503, retry_after_s=7))
    assert of(driver.wait(6.9), GetUrl) == []
    assert of(driver.wait(0.1), GetUrl)


@pytest.mark.parametrize(("u", "pause_s"), [(0.0, 1.0), (0.5, 0.5), (0.99, 0.01)])
def test_cl_062_first_reconnect_is_spread_over_a_second(u: float, pause_s: float) -> None:
    driver = Driver(u=u)
    driver.start()
    driver.wait(10)
    driver.lose(1008)
    assert driver.timer == pytest.approx(driver.now + pause_s)


@pytest.mark.parametrize(("up_s", "attempt"), [(10, 1), (2, 5)])
def test_cl_063_pause_starts_small_again_only_after_a_stable_connection(
    up_s: float, attempt: int
) -> None:
    driver = Driver()
    driver.start()
    driver.wait(10)
    driver.lose(1008)
    for _ in range(3):
        while not of(driver.wait(1), GetUrl):
            pass
        driver.do(UrlFailed(driver.link, "down"))
    while not of(driver.wait(1), GetUrl):
        pass
    driver.connect("c2")
    driver.wait(up_s)
    driver.lose(1008)
    while not (got := of(driver.wait(1), GetUrl)):
        pass
    assert got[0].attempt == attempt


def test_cl_064_late_end_of_an_old_socket_is_ignored(driver: Driver) -> None:
    for _ in range(200):
        old = driver.link
        driver.wait(10)
        driver.lose()
        driver.recover()
        assert driver.do(SocketLost(old, 1006)) == []
        assert driver.session.state is State.CONNECTED


def test_rejoin_without_answers_ends_after_ten_seconds_and_goes_on(driver: Driver) -> None:
    driver.ask("a", JoinGroup("a"))
    driver.receive(Ack(1))
    driver.lose(1008)
    driver.reconnect()
    actions = driver.wait(10)
    assert events(actions)[0] == RejoinGroupFailedEvent("a", None, True)
    assert isinstance(events(actions)[1], ConnectedEvent)
    driver.receive(Ack(2))
    assert driver.session.groups.joined == {"a"}


def test_rejoin_keeps_fifty_in_flight(driver: Driver) -> None:
    for number in range(120):
        driver.ask(number, JoinGroup(f"g{number}"))
        driver.receive(Ack(number + 1))
    driver.lose(1008)
    assert len(written(driver.reconnect())) == 50
    driver.actions.clear()
    for ack_id in range(121, 241):
        driver.receive(Ack(ack_id))
    assert len(written(driver.actions)) == 70
    assert len(driver.session.groups.joined) == 120


def test_link_lost_while_rejoining_tells_connected_first(driver: Driver) -> None:
    driver.ask("a", JoinGroup("a"))
    driver.receive(Ack(1))
    driver.lose(1008)
    driver.reconnect()
    kinds = [type(event) for event in events(driver.lose())]
    assert kinds == [RejoinGroupFailedEvent, ConnectedEvent, GapEvent, RecoveringEvent]


def test_cl_083_message_in_the_rejoin_phase_comes_after_connected(driver: Driver) -> None:
    driver.ask("a", JoinGroup("a"))
    driver.receive(Ack(1))
    driver.lose(1008)
    driver.reconnect()
    assert of(driver.receive(message(1), message(2)), Deliver) == []
    kinds = [type(a) for a in driver.receive(Ack(2)) if isinstance(a, Emit | Deliver)]
    assert kinds == [Emit, Emit, Deliver, Deliver]


def test_messages_held_in_the_rejoin_phase_are_bounded() -> None:
    driver = Driver(ClientOptions(held_messages=3))
    driver.start()
    driver.ask("a", JoinGroup("a"))
    driver.receive(Ack(1))
    driver.lose(1008)
    driver.reconnect()
    assert of(driver.receive(*(message(n) for n in range(1, 4))), Deliver) == []
    assert len(of(driver.receive(message(4)), Deliver)) == 4


# --- keep-alive ---------------------------------------------------------------------------------


def test_cl_066_idle_link_is_pinged_every_fifteen_seconds_and_lives(driver: Driver) -> None:
    pings = 0
    for _ in range(240):
        pings += written(driver.wait(15)).count(Ping())
        driver.receive(Pong())
    assert pings == 240
    assert driver.session.state is State.CONNECTED


def test_cl_067_silent_link_is_lost_after_thirty_seconds(driver: Driver) -> None:
    driver.wait(29.9)
    assert driver.session.state is State.CONNECTED
    link = driver.link
    actions = driver.wait(0.1)
    assert of(actions, AbortSocket) == [AbortSocket(link)]
    assert driver.session.state is State.RECOVERING


def test_cl_068_any_frame_is_proof_of_life(driver: Driver) -> None:
    for number in range(45):
        driver.wait(14)
        driver.receive(message(number + 1))
    assert Ping() not in written(driver.actions)
    driver.wait(20)
    driver.do(Undecodable(driver.link))
    driver.wait(14)
    assert driver.session.state is State.CONNECTED


def test_cl_069_after_sleep_the_link_is_probed_and_recovered_once(driver: Driver) -> None:
    assert written(driver.sleep(60)) == [Ping()]
    assert driver.session.state is State.CONNECTED
    driver.wait(5)
    assert driver.session.state is State.RECOVERING
    driver.wait(5)
    assert driver.session.state is State.RECONNECTING


def test_cl_070_blocked_loop_makes_no_false_verdict(driver: Driver) -> None:
    driver.wait(16)
    driver.sleep(40)
    driver.receive(Pong())
    driver.wait(10)
    assert driver.session.state is State.CONNECTED


def test_cl_071_keep_alive_switched_off_sends_no_ping() -> None:
    driver = Driver(ClientOptions(keep_alive_interval_s=None, keep_alive_timeout_s=None))
    driver.start()
    assert written(driver.wait(300)) == []


# --- sequence acks ------------------------------------------------------------------------------


def test_cl_072_messages_are_confirmed_once_after_a_second(driver: Driver) -> None:
    driver.receive(*(message(number) for number in range(1, 11)))
    assert written(driver.wait(0.9)) == []
    assert written(driver.wait(0.1)) == [SequenceAck(10)]
    assert written(driver.wait(5)) == []


def test_cl_073_burst_is_confirmed_every_two_hundred_messages(driver: Driver) -> None:
    unconfirmed = most = 0
    for number in range(1, 5001):
        unconfirmed += 1
        if any(isinstance(r, SequenceAck) for r in written(driver.receive(message(number)))):
            unconfirmed = 0
        most = max(most, unconfirmed)
    assert most == 199


def test_large_messages_are_confirmed_every_two_mebibytes(driver: Driver) -> None:
    driver.receive(message(1), size_bytes=2**20)
    assert written(driver.receive(message(2), size_bytes=2**20)) == [SequenceAck(2)]


def test_cl_106_jump_in_sequence_ids_is_counted_and_no_gap(driver: Driver) -> None:
    actions = driver.receive(message(1), message(7))
    assert len(of(actions, Deliver)) == 2
    assert events(actions) == []
    assert driver.session.inbound.jumps == 1


def test_cp_133_messages_out_of_order_are_delivered_once(driver: Driver) -> None:
    actions = driver.receive(message(3), message(3), message(2), message(4))
    assert [action.message.sequence_id for action in of(actions, Deliver)] == [3, 4]
    assert written(driver.wait(1)) == [SequenceAck(4)]


def test_plain_protocol_delivers_all_and_confirms_nothing() -> None:
    driver = Driver(ClientOptions(is_reliable=False))
    driver.start()
    driver.actions.clear()
    assert len(of(driver.receive(message(None), message(None)), Deliver)) == 2
    assert written(driver.wait(10)) == []


def test_sequence_starts_anew_with_each_connection(driver: Driver) -> None:
    driver.receive(message(9))
    driver.lose(1008)
    driver.reconnect()
    assert len(of(driver.receive(message(1)), Deliver)) == 1


def test_undecodable_frame_is_told_as_a_gap(driver: Driver) -> None:
    (gap,) = events(driver.do(Undecodable(driver.link)))
    assert isinstance(gap, GapEvent)
    assert gap.cause == "unparsable"


# --- pauses -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("retry", "expected"), [(1, 1), (2, 2), (5, 16), (6, 30), (1000, 30)])
def test_exponential_pause_grows_to_its_limit(retry: int, expected: float) -> None:
    assert RetryOptions(None, 1, 30, True, 1).pause_s(retry, 0) == expected


def test_timers_of_one_state_do_not_fire_in_the_next(driver: Driver) -> None:
    driver.lose()
    driver.recover()
    driver.wait(14)
    assert Timer.WINDOW not in driver.session._timers
    assert driver.session.state is State.CONNECTED


# --- corners ------------------------------------------------------------------------------------


def test_sleep_while_recovering_leaves_one_more_try(driver: Driver) -> None:
    driver.lose()
    driver.do(SocketFailed(driver.link, "refused"))
    assert of(driver.sleep(60), OpenSocket)
    driver.recover()
    assert driver.session.state is State.CONNECTED


def test_recovery_confirms_the_largest_sequence_id_again(driver: Driver) -> None:
    driver.receive(message(3))
    driver.wait(1)
    driver.lose()
    driver.open()
    assert SequenceAck(3) in written(driver.receive(Connected("c1", "u", "t2")))


def test_access_token_is_tried_again_in_the_next_recovery(driver: Driver) -> None:
    driver.lose()
    driver.do(SocketFailed(driver.link, "no", status=401))
    driver.recover()
    (opened,) = of(driver.lose(), OpenSocket)
    assert not opened.without_access_token


def test_reconnect_tells_no_gap_when_nothing_could_be_missed(driver: Driver) -> None:
    driver.lose(1008)
    assert GapEvent not in map(type, events(driver.reconnect()))


def test_first_connect_with_a_refused_static_url_is_not_retried() -> None:
    driver = Driver(ClientOptions(has_static_url=True, retry_first_connect=True))
    driver.do(Start())
    driver.do(UrlObtained(driver.link))
    actions = driver.do(SocketFailed(driver.link, "no", status=401))
    assert of(actions, StartFailed) == [StartFailed("open", "no", status=401)]


def test_stop_while_a_recovery_waits_for_its_proof_closes(driver: Driver) -> None:
    driver.lose()
    driver.open()
    driver.wait(1)
    assert of(driver.do(Stop()), CloseSocket) == [CloseSocket(driver.link, 1000)]
    driver.wait(5)
    assert driver.session.state is State.STOPPED


def test_another_connection_in_the_rejoin_phase_ends_the_first(driver: Driver) -> None:
    driver.ask("a", JoinGroup("a"))
    driver.receive(Ack(1))
    driver.lose(1008)
    driver.reconnect()
    actions = driver.receive(Connected("c9", "u", "t"), Ack(3))
    kinds = [type(event) for event in events(actions)]
    assert kinds.count(ConnectedEvent) == 2
    assert kinds.index(ConnectedEvent) < kinds.index(DisconnectedEvent)


def test_refused_send_that_pauses_is_tried_on_the_new_connection(driver: Driver) -> None:
    driver.wait(10)
    driver.ask("a", send())
    driver.receive(Ack(1, PASSING))
    assert of(driver.lose(1008), OperationFailed) == []
    driver.reconnect()
    driver.wait(1)
    assert of(driver.receive(Ack(1)), OperationDone) == [OperationDone("a", 1)]


def test_second_refusal_of_one_frame_costs_no_second_retry() -> None:
    driver = Driver(ClientOptions(message_retry=RetryOptions(1, 1, 30, False, 0)))
    driver.start()
    driver.ask("a", send())
    driver.lose()
    driver.recover()
    driver.receive(Ack(1, PASSING), Ack(1, PASSING))
    assert len(written(driver.wait(1))) == 1


@pytest.mark.parametrize("loses_link", [False, True])
def test_refused_operation_that_times_out_is_unknown_while_a_repeat_is_unanswered(
    loses_link: bool,
) -> None:
    driver = Driver()
    driver.start()
    driver.ask("a", send(), deadline_s=0.5)
    if loses_link:
        driver.lose()
        driver.recover()
    driver.receive(Ack(1, PASSING))
    (failed,) = of(driver.wait(0.5), OperationFailed)
    assert failed.outcome is (Outcome.UNKNOWN if loses_link else Outcome.REJECTED)
    assert failed.error == PASSING


def test_refused_send_with_an_unanswered_repeat_is_unknown_on_a_new_connection(
    driver: Driver,
) -> None:
    driver.ask("a", send())
    driver.lose()
    driver.recover()
    driver.receive(Ack(1, PASSING))
    (failed,) = of(driver.lose(1008), OperationFailed)
    assert failed.outcome is Outcome.UNKNOWN


def test_acks_of_one_group_in_another_order_leave_the_last_call_in_force(driver: Driver) -> None:
    driver.ask("leave", LeaveGroup("a"))
    driver.ask("join", JoinGroup("a"))
    driver.lose()
    driver.recover()
    driver.receive(Ack(2), Ack(1, DUPLICATE), Ack(2, DUPLICATE))
    assert driver.session.groups.joined == driver.session.groups.wished == {"a"}


def test_refused_operation_with_an_unanswered_repeat_keeps_its_place() -> None:
    driver = Driver(ClientOptions(max_in_flight=2))
    driver.start()
    driver.ask("a", send())
    driver.lose()
    driver.recover()
    driver.receive(Ack(1, PASSING))  # the repeat may be executed and must stay remembered
    driver.actions.clear()
    for key in ("b", "c", "d"):
        driver.ask(key, send())
    driver.receive(Ack(2))
    driver.wait(1)
    driver.receive(Ack(1, DUPLICATE))
    ids = [
        request.ack_id for request in written(driver.actions) if isinstance(request, SendToGroup)
    ]
    assert ids == [2, 1, 3, 4]


@pytest.mark.parametrize("first", [JoinGroup("a"), LeaveGroup("a")])
def test_refused_join_or_leave_is_not_retried_after_its_opposite(
    driver: Driver, first: JoinGroup | LeaveGroup
) -> None:
    driver.ask("first", first)
    driver.receive(Ack(1, PASSING))
    driver.ask("second", LeaveGroup("a") if isinstance(first, JoinGroup) else JoinGroup("a"))
    driver.receive(Ack(2))
    actions = driver.wait(1)
    assert written(actions) == []
    (failed,) = of(actions, OperationFailed)
    assert (failed.outcome, failed.error) == (Outcome.REJECTED, PASSING)


def test_refused_rejoin_is_retried_in_the_rejoin_phase(driver: Driver) -> None:
    driver.ask("a", JoinGroup("a"))
    driver.receive(Ack(1))
    driver.lose(1008)
    driver.reconnect()
    driver.receive(Ack(2, PASSING))
    assert written(driver.wait(1)) == [JoinGroup("a", 3)]
    assert ConnectedEvent in map(type, events(driver.receive(Ack(3))))


def test_rejoins_that_found_no_place_in_the_phase_are_written_after_it(driver: Driver) -> None:
    for number in range(60):
        driver.ask(number, JoinGroup(f"g{number}"))
        driver.receive(Ack(number + 1))
    driver.lose(1008)
    assert len(written(driver.reconnect())) == 50
    joins = [request for request in written(driver.wait(10)) if isinstance(request, JoinGroup)]
    assert len(joins) == 10


def test_ack_for_an_operation_that_was_never_written_is_ignored(driver: Driver) -> None:
    driver.lose()
    driver.ask("a", send(), ack_id=7)
    driver.ask("b", send(), ack_id=8)
    driver.open()
    assert of(driver.receive(Ack(7)), OperationDone) == []


# --- what nobody has thought of -----------------------------------------------------------------


def test_first_frame_of_a_recovery_that_is_no_message_proves_life_and_is_a_gap(
    driver: Driver,
) -> None:
    driver.lose()
    driver.open()
    actions = driver.do(Undecodable(driver.link))
    assert driver.session.state is State.CONNECTED
    assert [type(event) for event in events(actions)] == [RecoveredEvent, GapEvent]


def test_stop_in_the_rejoin_phase_of_a_start_fails_the_start(driver: Driver) -> None:
    driver.ask("op", JoinGroup("g"))
    driver.do(Stop())
    driver.do(SocketLost(driver.link, 1000))
    driver.start()
    actions = driver.do(Stop()) + driver.do(SocketLost(driver.link, 1000))
    assert of(actions, Started) == []
    assert [failed.error for failed in of(actions, StartFailed)] == ["stopped"]
    assert [type(event) for event in events(actions)] == [
        RejoinGroupFailedEvent,
        ConnectedEvent,
        DisconnectedEvent,
        StoppedEvent,
    ]


def test_probe_after_a_sleep_is_no_verdict_while_reading_is_paused() -> None:
    driver = Driver(ClientOptions(keep_alive_interval_s=None, keep_alive_timeout_s=None))
    driver.start()
    driver.receive(message(1))
    driver.do(Reading(is_paused=True))
    driver.sleep(100)
    driver.wait(60)
    assert driver.session.state is State.CONNECTED
