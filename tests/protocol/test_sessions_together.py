"""Both sessions against each other over a wire that delays, cuts and loses, in virtual time.

What a reliable client is promised is checked here on random stories: each message once and in
order as long as recovery succeeds, each acknowledged request executed exactly once, a gap told
where a connection was lost, and no buffer without a bound.
"""

import heapq
import random
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from hubbub.protocol import client_events as c
from hubbub.protocol.client_options import ClientOptions
from hubbub.protocol.client_session import ClientSession
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
    Request,
    Response,
    SendEvent,
    SendToGroup,
    SequenceAck,
    text_payload,
)
from hubbub.protocol.roles import Permissions
from hubbub.protocol.service_session import Effect, Input, ServiceSession

ACK_MEMORY = MAX_IN_FLIGHT = 6
MAX_UNACKNOWLEDGED = 12
WINDOW_S = 30
LATENCY_S = 0.05
FRAME_S = 0.003
EVENT_S = 0.2
HELD_MESSAGES = 8
ALL_RIGHTS = ["webpubsub.joinLeaveGroup", "webpubsub.sendToGroup"]
PASSES_THE_LANE = (Ping, SequenceAck, Invoke, CancelInvocation)


class Clock:
    """Virtual time; what is due runs in order."""

    def __init__(self) -> None:
        self.now = 0.0
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0

    def at(self, when: float, do: Callable[[], None]) -> None:
        self._count += 1
        heapq.heappush(self._due, (when, self._count, do))

    def after(self, seconds: float, do: Callable[[], None]) -> None:
        self.at(self.now + seconds, do)

    def run(self, seconds: float) -> None:
        end = self.now + seconds
        while self._due and self._due[0][0] <= end:
            when, _, do = heapq.heappop(self._due)
            self.now = max(self.now, when)
            do()
        self.now = end


@dataclass(frozen=True)
class Close:
    code: int | None


class Pipe:
    """One direction of a socket: in order, late, until it is cut."""

    def __init__(self, clock: Clock, deliver: Callable[[object], None]) -> None:
        self._clock = clock
        self._deliver = deliver
        self._last = 0.0
        self._is_cut = False
        self._still_arrive = 0

    def send(self, frame: object) -> None:
        if not self._is_cut:
            self._last = max(self._last + FRAME_S, self._clock.now + LATENCY_S)
            self._clock.at(self._last, lambda: self._arrive(frame))

    def cut(self, still_arrive: int) -> None:
        """Of what is on its way only the first few arrive."""
        self._still_arrive = min(still_arrive, self._still_arrive) if self._is_cut else still_arrive
        self._is_cut = True

    def _arrive(self, frame: object) -> None:
        if self._is_cut:
            self._still_arrive -= 1
        if self._still_arrive >= 0:
            self._deliver(frame)


class Socket:
    def __init__(self, clock: Clock, link: int, client: "Client", service: "Service") -> None:
        self.link = link
        self.connection: Connection | None = None
        self.up = Pipe(clock, lambda frame: service.take(self, frame))
        self.down = Pipe(clock, lambda frame: client.take(self, frame))

    def cut(self, *, up: int = 0, down: int = 0) -> None:
        self.up.cut(up)
        self.down.cut(down)


@dataclass
class Story:
    """A message on its way to one connection."""

    text: str
    size: int = 1
    expires_at: float | None = None


@dataclass(eq=False)
class Connection:
    session: ServiceSession
    socket: Socket | None = None
    groups: set[str] = field(default_factory=set)
    lane: deque[Request] | None = None
    held_acks: deque[Ack] = field(default_factory=lambda: deque(maxlen=ACK_MEMORY))
    away_number: int = 0


class Service:
    """What the real service does around `ServiceSession`, without sockets."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.connections: dict[str, Connection] = {}
        self.executed: Counter[str] = Counter()
        self.queued: defaultdict[str, list[str]] = defaultdict(list)
        """What each connection is due, also those that are gone."""
        self.failing_events = 0
        self._names = 0

    # --- sockets ----------------------------------------------------------------------------

    def open(self, socket: Socket, recovery: c.Recovery | None) -> None:
        if recovery is None:
            self._names += 1
            name = f"c{self._names}"
            session = ServiceSession(
                name,
                Permissions(ALL_RIGHTS),
                is_reliable=True,
                ack_memory=ACK_MEMORY,
                max_unacknowledged=MAX_UNACKNOWLEDGED,
            )
            self.connections[name] = connection = Connection(session)
            self._attach(connection, socket)
            return
        known = self.connections.get(recovery.connection_id)
        effect = Effect.REFUSE if known is None else known.session.feed(Input.RECOVERED)
        if known is None or effect is Effect.REFUSE:
            socket.down.send(Close(1008))
            return
        if effect is Effect.TAKE_OVER and known.socket is not None:
            known.socket.connection = None
            known.socket.cut()
        self._attach(known, socket)
        while known.held_acks:
            socket.down.send(known.held_acks.popleft())
        assert known.session.unacknowledged is not None
        for number, message in known.session.unacknowledged.replay(self._clock.now):
            self._write_message(known, number, message)

    def _attach(self, connection: Connection, socket: Socket) -> None:
        connection.socket, socket.connection = socket, connection
        connection.away_number += 1
        name = connection.session.connection_id
        socket.down.send(Connected(name, "u", f"token of {name}"))

    def notice_loss(self, socket: Socket) -> None:
        connection, socket.connection = socket.connection, None
        if connection is None or connection.socket is not socket:
            return
        connection.socket = None
        if connection.session.feed(Input.SOCKET_LOST) is Effect.START_WINDOW:
            connection.away_number += 1
            number = connection.away_number
            self._clock.after(WINDOW_S, lambda: self._end_window(connection, number))

    def _end_window(self, connection: Connection, number: int) -> None:
        if connection.away_number == number:
            assert connection.session.feed(Input.WINDOW_OVER) is Effect.END
            self._forget(connection)

    def close(self, connection: Connection, code: int) -> None:
        connection.session.feed(Input.SERVICE_CLOSED)
        if connection.socket is not None:
            connection.socket.down.send(Disconnected(f"closed with {code}"))
            connection.socket.down.send(Close(code))
        self._forget(connection)

    def _forget(self, connection: Connection) -> None:
        connection.away_number += 1
        if connection.socket is not None:
            connection.socket.connection = None
        self.connections.pop(connection.session.connection_id, None)

    # --- requests ---------------------------------------------------------------------------

    def take(self, socket: Socket, frame: object) -> None:
        connection = socket.connection
        if connection is None:
            if isinstance(frame, Close):
                socket.down.send(frame)
            return
        if isinstance(frame, Close):
            connection.session.feed(Input.CLIENT_CLOSED)
            self._forget(connection)
            socket.down.send(frame)
        elif connection.lane is not None and not isinstance(frame, PASSES_THE_LANE):
            connection.lane.append(frame)  # type: ignore[arg-type]
        else:
            self._execute(connection, frame)  # type: ignore[arg-type]

    def _execute(self, connection: Connection, request: Request) -> None:
        match connection.session.receive(request):
            case JoinGroup(group=group, ack_id=ack_id):
                connection.groups.add(group)
                self._ack(connection, ack_id)
            case LeaveGroup(group=group, ack_id=ack_id):
                connection.groups.discard(group)
                self._ack(connection, ack_id)
            case SendToGroup(payload=payload, ack_id=ack_id):
                self.executed[payload.raw.decode()] += 1
                self._ack(connection, ack_id)
            case SendEvent() as event:
                connection.lane = deque()
                self._clock.after(EVENT_S, lambda: self._end_event(connection, event))
            case Invoke() as invoke:
                assert invoke.payload is not None
                self.executed[invoke.payload.raw.decode()] += 1
                self._clock.after(EVENT_S, lambda: self._end_invocation(connection, invoke))
            case CancelInvocation() | None:
                pass
            case response:
                self._respond(connection, response)  # type: ignore[arg-type]

    def _end_event(self, connection: Connection, event: SendEvent) -> None:
        error = None
        if self.failing_events:
            self.failing_events -= 1
            error = ErrorDetail("InternalServerError")
        else:
            self.executed[event.payload.raw.decode()] += 1
        self._ack(connection, event.ack_id, error)
        waiting, connection.lane = connection.lane, None
        while waiting and connection.lane is None:
            self._execute(connection, waiting.popleft())
        if connection.lane is not None:
            connection.lane.extend(waiting or ())

    def _end_invocation(self, connection: Connection, invoke: Invoke) -> None:
        answer = InvokeResponse(invoke.invocation_id)
        response = connection.session.invocation_finished(answer)
        if response is not None:
            self._respond(connection, response)

    def _ack(
        self, connection: Connection, ack_id: int | None, error: ErrorDetail | None = None
    ) -> None:
        ack = connection.session.finished(ack_id, error)
        if ack is not None:
            self._respond(connection, ack)

    def _respond(self, connection: Connection, response: Response) -> None:
        if connection.socket is not None:
            connection.socket.down.send(response)
        elif isinstance(response, Ack):
            connection.held_acks.append(response)

    # --- messages ---------------------------------------------------------------------------

    def publish(self, texts: list[str]) -> None:
        """One batch for every connection, as one tick of a group makes it."""
        batch = [Story(text) for text in texts]
        for connection in list(self.connections.values()):
            unacknowledged = connection.session.unacknowledged
            assert unacknowledged is not None
            first = unacknowledged.append(batch, len(batch))
            if unacknowledged.is_overflowing:
                self.close(connection, 1008)
                continue
            self.queued[connection.session.connection_id] += texts
            for number, message in enumerate(batch, first):
                self._write_message(connection, number, message)

    def _write_message(self, connection: Connection, number: int, message: object) -> None:
        if connection.socket is not None:
            assert isinstance(message, Story)
            payload = text_payload(message.text)
            connection.socket.down.send(DataMessage(payload, "news", sequence_id=number))


class Client:
    """Carries out the actions of a `ClientSession` and checks each against what came before."""

    def __init__(self, clock: Clock, service: Service) -> None:
        self._clock = clock
        self._service = service
        self.session = ClientSession(
            ClientOptions(
                sequence_ack_messages=3,
                max_in_flight=MAX_IN_FLIGHT,
                held_messages=HELD_MESSAGES,
                retry_first_connect=True,
                start_s=None,
            ),
            draw=random.Random(7).random,
        )
        self.socket: Socket | None = None
        self.is_network_down = False
        self.timer: float | None = None
        self.delivered: defaultdict[str | None, list[str]] = defaultdict(list)
        self.settled: dict[Hashable, c.OperationDone | c.OperationFailed] = {}
        self.events: list[c.Event] = []

    def do(self, received: c.Input) -> None:
        for action in self.session.handle(received, self._clock.now):
            self._carry_out(action)

    def take(self, socket: Socket, frame: object) -> None:
        if isinstance(frame, Close):
            self.notice_loss(socket, frame.code)
        else:
            self.do(c.Received(socket.link, frame, 1))  # type: ignore[arg-type]

    def notice_loss(self, socket: Socket, code: int | None = None) -> None:
        """At most once for each socket, and never after we aborted it."""
        if self.socket is socket:
            socket.cut()
            self._service.notice_loss(socket)
            self.socket = None
            self.do(c.SocketLost(socket.link, code))

    def _carry_out(self, action: c.Action) -> None:
        match action:
            case c.GetUrl(link=link):
                self._clock.after(LATENCY_S, lambda: self._answer_url(link))
            case c.OpenSocket(link=link, recovery=recovery):
                assert self.socket is None, "two sockets at once"
                self._clock.after(LATENCY_S, lambda: self._open(link, recovery))
            case c.Write(link=link, request=request):
                assert self.socket is not None
                assert self.socket.link == link, "written to a socket of the past"
                self.socket.up.send(request)
            case c.CloseSocket(code=code):
                assert self.socket is not None
                self.socket.up.send(Close(code))
            case c.AbortSocket():
                self._abort()
            case c.ArmTimer(at=at):
                self._arm(at)
            case c.Deliver(message=message):
                self.delivered[self.session.connection_id].append(message.payload.raw.decode())
            case c.OperationDone(key=key) | c.OperationFailed(key=key):
                assert key not in self.settled, "settled twice"
                self.settled[key] = action
            case c.Emit(event=event):
                self.events.append(event)

    def _answer_url(self, link: int) -> None:
        failed = c.UrlFailed(link, "down")
        self.do(failed if self.is_network_down else c.UrlObtained(link))

    def _open(self, link: int, recovery: c.Recovery | None) -> None:
        if link != self.session._link.number:
            return  # given up meanwhile
        if self.is_network_down:
            self.do(c.SocketFailed(link, "down"))
            return
        self.socket = Socket(self._clock, link, self, self._service)
        self._service.open(self.socket, recovery)
        self.do(c.SocketOpened(link))

    def _abort(self) -> None:
        if self.socket is not None:
            socket, self.socket = self.socket, None
            socket.cut()
            self._clock.after(1, lambda: self._service.notice_loss(socket))

    def _arm(self, at: float | None) -> None:
        self.timer = at
        if at is not None:
            self._clock.at(at, lambda: self._fire(at))

    def _fire(self, at: float) -> None:
        if self.timer == at:
            self.timer = None
            self.do(c.TimerDue())


GROUPS = st.sampled_from(["a", "b", "c"])


class TwoSessions(RuleBasedStateMachine):
    @initialize()
    def connect(self) -> None:
        self.clock = Clock()
        self.service = Service(self.clock)
        self.client = Client(self.clock, self.service)
        self.asked: dict[Hashable, c.OperationRequest] = {}
        self.cancelled: set[Hashable] = set()
        self.published = 0
        self.cuts_since_disaster = 0
        self.client.do(c.Start())
        self.clock.run(1)

    # --- what the application does ------------------------------------------------------------

    def _ask(self, request: c.OperationRequest, key: str, deadline_s: float | None) -> None:
        self.asked[key] = request
        deadline = None if deadline_s is None else self.clock.now + deadline_s
        self.client.do(c.Submit(key, request, deadline))

    @rule(
        kind=st.sampled_from(["send", "send", "event", "invoke"]),
        count=st.integers(1, 4),
        deadline_s=st.sampled_from([None, None, None, 0.02, 1.0, 20.0]),
    )
    def ask(self, kind: str, count: int, deadline_s: float | None) -> None:
        for _ in range(count):
            key = f"op{len(self.asked)}"
            payload = text_payload(key)
            match kind:
                case "send":
                    self._ask(SendToGroup("g", payload), key, deadline_s)
                case "event":
                    self._ask(SendEvent("e", payload), key, deadline_s)
                case _:
                    self._ask(Invoke("", "e", payload), key, deadline_s)

    @rule(group=GROUPS, is_leave=st.booleans())
    def join_or_leave(self, group: str, is_leave: bool) -> None:
        key = f"group{len(self.asked)}"
        self._ask(LeaveGroup(group) if is_leave else JoinGroup(group), key, None)

    @rule(which=st.integers(0, 5))
    def cancel(self, which: int) -> None:
        pending = [
            key
            for key, request in self.asked.items()
            if key not in self.client.settled
            and key not in self.cancelled
            and not isinstance(request, JoinGroup | LeaveGroup)
        ]
        if pending:
            key = pending[which % len(pending)]
            self.cancelled.add(key)
            self.client.do(c.Cancel(key))

    # --- what the service does ----------------------------------------------------------------

    @rule(count=st.integers(1, 5))
    def publish(self, count: int) -> None:
        texts = [f"m{self.published + number}" for number in range(count)]
        self.published += count
        self.service.publish(texts)

    @rule(count=st.integers(1, 5))
    def fail_events(self, count: int) -> None:
        self.service.failing_events = count

    # --- what the wire does -------------------------------------------------------------------

    @rule(seconds=st.sampled_from([0.01, 0.04, 0.06, 0.3, 1.0, 2.0]))
    def wait(self, seconds: float) -> None:
        self.clock.run(seconds)

    @rule(
        requests=st.sampled_from([0, 2, 6, 9]),
        messages=st.sampled_from([0, 2, 4, 5]),
        before_s=st.sampled_from([0.01, 0.057, 0.058, 0.06, 0.11, 0.3]),
        up=st.sampled_from([0, 1, 3, 100, 100]),
        down=st.sampled_from([0, 0, 1, 3, 100]),
        client_notices_s=st.sampled_from([0.0, 0.2, 3.0, 60.0]),
        service_notices_s=st.sampled_from([0.0, 0.2, 3.0, 60.0]),
        after_s=st.sampled_from([0.0, 0.3, 2.0, 10.0, 29.0]),
    )
    def cut(
        self,
        requests: int,
        messages: int,
        before_s: float,
        up: int,
        down: int,
        client_notices_s: float,
        service_notices_s: float,
        after_s: float,
    ) -> None:
        """With requests and messages on their way; each side notices in its own time."""
        self.cuts_since_disaster += 1
        if requests:
            self.ask("send", requests, None)
        if messages:
            self.publish(messages)
        self.clock.run(before_s)
        socket = self.client.socket
        if socket is not None:
            socket.cut(up=up, down=down)
            self.clock.after(client_notices_s, lambda: self.client.notice_loss(socket))
            self.clock.after(service_notices_s, lambda: self.service.notice_loss(socket))
        self.clock.run(after_s)

    # --- what ends a connection for good ------------------------------------------------------

    @precondition(lambda self: self.cuts_since_disaster >= 3)
    @rule(kind=st.sampled_from(["restart", "closed", "forgotten", "network"]))
    def disaster(self, kind: str) -> None:
        self.cuts_since_disaster = 0
        match kind:
            case "restart":
                self._restart_client()
            case "closed":
                for connection in list(self.service.connections.values()):
                    self.service.close(connection, 1000)
            case "forgotten":
                self._restart_service()
            case _:
                self._take_network_away(45)

    def _restart_client(self) -> None:
        self.client.do(c.Stop())
        self.clock.run(6)
        assert self.client.session.state is c.State.STOPPED
        assert self.client.session.operations.pending == 0
        assert self.client.timer is None
        self.client.do(c.Start())
        self.clock.run(1)

    def _restart_service(self) -> None:
        for connection in list(self.service.connections.values()):
            connection.session.feed(Input.SERVICE_CLOSED)
            self.service._forget(connection)
        if self.client.socket is not None:
            self.client.notice_loss(self.client.socket, 1001)

    def _take_network_away(self, seconds: float) -> None:
        self.client.is_network_down = True
        if self.client.socket is not None:
            self.client.notice_loss(self.client.socket)
        self.clock.run(seconds)
        self.client.is_network_down = False

    # --- what must hold -----------------------------------------------------------------------

    @invariant()
    def messages_come_once_and_in_order(self) -> None:
        for name, got in self.client.delivered.items():
            assert name is not None
            assert got == self.service.queued[name][: len(got)]

    @invariant()
    def buffers_are_bounded(self) -> None:
        for connection in self.service.connections.values():
            assert connection.session.unacknowledged is not None
            assert len(connection.session.unacknowledged) <= MAX_UNACKNOWLEDGED
            assert connection.session._ack_ids is None or (
                len(connection.session._ack_ids) <= ACK_MEMORY
            )
        assert len(self.client.session._held) <= HELD_MESSAGES
        assert self.client.session.operations.pending <= len(self.asked)

    @invariant()
    def nothing_is_executed_twice(self) -> None:
        assert all(times == 1 for times in self.service.executed.values())

    def teardown(self) -> None:
        if not hasattr(self, "client"):
            return
        self.service.failing_events = 0
        for _ in range(4):
            self.clock.run(40)
        client, session = self.client, self.client.session
        assert session.state is c.State.CONNECTED
        assert session.connection_id is not None
        connection = self.service.connections[session.connection_id]
        assert client.delivered[session.connection_id] == self.service.queued[session.connection_id]
        assert session.groups.wished == session.groups.joined == connection.groups
        assert self.asked.keys() == client.settled.keys() | self.cancelled
        self._check_outcomes()
        self._check_gaps()
        client.do(c.Stop())
        self.clock.run(6)
        assert session.state is c.State.STOPPED
        assert client.socket is None
        assert client.timer is None

    def _check_outcomes(self) -> None:
        for key, action in self.client.settled.items():
            if isinstance(self.asked[key], JoinGroup | LeaveGroup):
                continue
            times = self.service.executed[str(key)]
            if isinstance(action, c.OperationDone):
                assert times == 1, f"{key} is done, executed {times} times"
            elif action.outcome is not c.Outcome.UNKNOWN:
                assert times == 0, f"{key} failed with {action.outcome}, executed {times} times"

    def _check_gaps(self) -> None:
        """A lost connection that had brought something is told as a gap, after `connected`."""
        events = self.client.events
        lost: c.DisconnectedEvent | None = None
        for number, event in enumerate(events):
            match event:
                case c.DisconnectedEvent():
                    lost = event
                case c.StoppedEvent():
                    lost = None
                case c.ConnectedEvent() if lost is not None:
                    if self.client.delivered[lost.connection_id]:
                        gap = events[number + 1]
                        assert isinstance(gap, c.GapEvent)
                        assert gap.previous_connection_id == lost.connection_id
                    lost = None


TwoSessions.TestCase.settings = settings(max_examples=150, stateful_step_count=50)
TestTwoSessions = TwoSessions.TestCase
