"""A client whose service, network and caller do anything they like, in any order."""

from collections.abc import Hashable

from hypothesis import given, settings
from hypothesis import strategies as st

from hubbub.protocol import client_events as c
from hubbub.protocol.client_options import ClientOptions
from hubbub.protocol.client_session import ClientSession
from hubbub.protocol.messages import (
    Ack,
    Connected,
    DataMessage,
    Disconnected,
    ErrorDetail,
    Invoke,
    InvokeResponse,
    JoinGroup,
    LeaveGroup,
    Pong,
    SendEvent,
    SendToGroup,
    text_payload,
)

X = text_payload("x")
ERRORS = st.sampled_from(
    [None, ErrorDetail("Forbidden"), ErrorDetail("Duplicate"), ErrorDetail("InternalServerError")]
)
IDS = st.integers(0, 12)
MESSAGES = st.one_of(
    st.builds(Ack, IDS, ERRORS),
    st.builds(Connected, st.sampled_from(["c1", "c2"]), st.just("u"), st.sampled_from([None, "t"])),
    st.builds(Disconnected, st.just("bye")),
    st.builds(DataMessage, st.just(X), st.just("g"), sequence_id=st.none() | IDS),
    st.builds(InvokeResponse, st.builds(str, IDS), st.none(), ERRORS),
    st.just(Pong()),
    st.none(),
)
REQUESTS = st.one_of(
    st.builds(JoinGroup, st.sampled_from("ab")),
    st.builds(LeaveGroup, st.sampled_from("ab")),
    st.just(SendToGroup("g", X)),
    st.just(SendEvent("e", X)),
    st.builds(Invoke, st.sampled_from(["", "1", "2"]), st.just("e")),
)
SUBMITS = st.builds(
    lambda request, deadline, is_acked, ack_id: (request, deadline, is_acked, ack_id),
    REQUESTS,
    st.sampled_from([None, 0.0, 0.5, 20.0]),
    st.booleans(),
    st.none() | st.integers(0, 5),
)
STEPS = st.one_of(
    st.tuples(st.just("receive"), MESSAGES),
    st.tuples(st.just("receive"), MESSAGES),
    st.tuples(st.just("ask"), SUBMITS),
    st.tuples(st.just("wait"), st.sampled_from([0.1, 1.0, 6.0, 40.0])),
    st.tuples(st.just("stall"), st.sampled_from([7.0, 60.0])),
    st.tuples(st.just("go on"), st.booleans()),
    st.tuples(st.just("go on"), st.just(True)),
    st.tuples(st.just("go on"), st.just(True)),
    st.tuples(st.just("lose"), st.sampled_from([None, 1000, 1008, 1009])),
    st.tuples(st.just("undecodable"), st.none()),
    st.tuples(st.just("cancel"), IDS),
    st.tuples(
        st.just("control"), st.sampled_from([c.Start(), c.Start(), c.CancelStart(), c.Stop()])
    ),
)


class World:
    """Keeps to the driver's part of the contract and to nothing else."""

    def __init__(self, options: ClientOptions) -> None:
        self.session = ClientSession(options, draw=lambda: 0.5)
        self.now = 0.0
        self.timer: float | None = None
        self.getting: int | None = None
        self.opening: int | None = None
        self.open: int | None = None
        self.asked = 0
        self.pending: set[Hashable] = set()

    def do(self, received: c.Input) -> None:
        for action in self.session.handle(received, self.now):
            self._carry_out(action)

    def _carry_out(self, action: c.Action) -> None:
        match action:
            case c.GetUrl(link=link):
                assert self.getting is self.opening is self.open is None
                self.getting = link
            case c.OpenSocket(link=link):
                assert self.getting is self.opening is self.open is None
                self.opening = link
            case c.AbandonUrl(link=link):
                assert self.getting == link
                self.getting = None
            case c.AbortSocket(link=link):
                assert link in (self.opening, self.open)
                self.opening = self.open = None
            case c.Write(link=link) | c.CloseSocket(link=link):
                assert self.open == link
            case c.OperationDone(key=key) | c.OperationFailed(key=key):
                self.pending.remove(key)
            case c.ArmTimer(at=at):
                self.timer = at

    def go_on(self, is_good: bool) -> None:
        if self.getting is not None:
            link, self.getting = self.getting, None
            self.do(c.UrlObtained(link) if is_good else c.UrlFailed(link, "no"))
        elif self.opening is not None:
            link, self.opening = self.opening, None
            if is_good:
                self.open = link
                self.do(c.SocketOpened(link))
            else:
                self.do(c.SocketFailed(link, "no", status=401))

    def lose(self, code: int | None) -> None:
        if self.open is not None:
            link, self.open = self.open, None
            self.do(c.SocketLost(link, code, is_too_large=code == 1009))

    def wait(self, seconds: float) -> None:
        end = self.now + seconds
        while self.timer is not None and self.timer <= end:
            self.now, self.timer = max(self.now, self.timer), None
            self.do(c.TimerDue())
        self.now = end

    def stall(self, seconds: float) -> None:
        """Timers come late, as after a sleep."""
        self.now += seconds
        if self.timer is not None and self.timer <= self.now:
            self.timer = None
            self.do(c.TimerDue())

    def ask(self, asked: tuple[c.OperationRequest, float | None, bool, int | None]) -> None:
        request, deadline_s, is_acked, ack_id = asked
        self.asked += 1
        self.pending.add(self.asked)
        deadline = None if deadline_s is None else self.now + deadline_s
        self.do(c.Submit(self.asked, request, deadline, is_acked, ack_id))

    def cancel(self, key: int) -> None:
        self.pending.discard(key)
        self.do(c.Cancel(key))

    def step(self, kind: str, what: object) -> None:
        match kind, what:
            case "receive", message:
                if self.open is not None:
                    self.do(c.Received(self.open, message, 9))  # type: ignore[arg-type]
            case "undecodable", _:
                if self.open is not None:
                    self.do(c.Undecodable(self.open))
            case "control", received:
                self.do(received)  # type: ignore[arg-type]
            case _:
                getattr(self, kind.replace(" ", "_"))(what)


@settings(max_examples=300)
@given(
    options=st.sampled_from(
        [
            ClientOptions(max_in_flight=2, held_messages=2, rejoins_in_flight=1),
            ClientOptions(is_reliable=False, retry_first_connect=True),
            ClientOptions(auto_reconnect=False, resend_after_reconnect=True),
        ]
    ),
    steps=st.lists(STEPS, min_size=10, max_size=80),
)
def test_cl_098_cl_099_whatever_comes_each_operation_is_settled_once_and_stop_ends_all(
    options: ClientOptions, steps: list[tuple[str, object]]
) -> None:
    world = World(options)
    world.do(c.Start())
    world.go_on(True)
    world.go_on(True)
    world.step("receive", Connected("c1", "u", "t"))
    for kind, what in steps:
        world.step(kind, what)
    world.do(c.Stop())
    world.wait(6)
    assert world.session.state is c.State.STOPPED
    assert world.pending == set()
    assert world.getting is world.opening is world.open is None
    assert world.timer is None
    assert world.session.operations.pending == 0
