"""The streams of both sessions against each other, over a wire that cuts, in virtual time.

One client writes streams to a group and reads them back. Whatever the wire loses, the service
refuses for now and the acks leave out: of each stream the members get what was written, in order,
each part once, up to an end or an error that both sides are told of.
"""

from collections import defaultdict, deque
from dataclasses import dataclass

import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from tests.protocol.test_sessions_together import Client, Clock, Connection, Service, Socket, Story

from hubbub.protocol import client_events as c
from hubbub.protocol.client_stream_events import (
    EndStream,
    OpenStream,
    ReadStreams,
    StreamBegan,
    StreamNews,
    WriteFragment,
)
from hubbub.protocol.client_stream_readers import InboundStream, StreamReader
from hubbub.protocol.client_streams import OutboundStream, Phase
from hubbub.protocol.messages import (
    DataMessage,
    Request,
    StreamAck,
    StreamClosed,
    StreamData,
    StreamEnd,
    StreamError,
    StreamInfo,
    StreamNack,
    StreamStart,
    text_payload,
)
from hubbub.protocol.service_streams import Outcome, PublishedStreams

WINDOW = 3
MAX_STREAMS = 2
"""With the window less than what the service keeps for a client that does not confirm."""
STREAM = (StreamStart, StreamData, StreamEnd)
IDLE_MS = 60_000


NO_INFO = StreamInfo("", 0)


@dataclass
class Part(Story):
    info: StreamInfo = NO_INFO


class StreamService(Service):
    """Refuses fragments for now (`refusals`), and leaves acks out (`silences`), as told.

    A refusal is told as `refusal`; after it those behind are early, as the real service says.
    """

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self.refusals = 0
        self.refusal = ""
        self.silences = 0
        self.nacks = 0
        self.published: defaultdict[str, list[str]] = defaultdict(list)
        self.ends: dict[str, StreamError | None] = {}
        self._streams: dict[str, PublishedStreams] = {}
        self._held: defaultdict[str, deque[StreamClosed]] = defaultdict(deque)

    def open(self, socket: Socket, recovery: c.Recovery | None) -> None:
        super().open(socket, recovery)
        connection = socket.connection
        if recovery is None or connection is None:
            return
        name = connection.session.connection_id
        while self._held[name]:
            socket.down.send(self._held[name].popleft())
        for ack in self._streams.get(name, PublishedStreams()).resume():
            socket.down.send(ack)

    def _execute(self, connection: Connection, request: Request) -> None:
        if not isinstance(request, STREAM):
            super()._execute(connection, request)
            return
        name = connection.session.connection_id
        streams = self._streams.setdefault(name, PublishedStreams(MAX_STREAMS + 1))
        is_refused = self.refusals > 0 and isinstance(request, StreamData)
        self.refusals -= is_refused
        self.nacks += is_refused
        permissions = connection.session.permissions
        outcome = streams.receive(
            request, permissions, self._clock.now, is_accepting=not is_refused
        )
        if is_refused and isinstance(outcome.answer, StreamNack):
            nack = msgspec.structs.replace(outcome.answer, name=self.refusal)
            outcome = Outcome(None, nack)
        self._carry_out(connection, outcome)

    def _carry_out(self, connection: Connection, outcome: Outcome) -> None:
        if outcome.fragment is not None:
            info, text = outcome.fragment.info, outcome.fragment.payload.raw.decode()
            if info.is_end:
                self.ends[info.stream_id] = info.error
            else:
                self.published[info.stream_id].append(text)
            self._send_part(Part(text, info=info))
        answer = outcome.answer
        if isinstance(answer, StreamAck) and answer.expected_sequence_id > 1 and self.silences:
            self.silences -= 1
        elif answer is not None and connection.socket is not None:
            connection.socket.down.send(answer)
        elif isinstance(answer, StreamClosed):
            self._held[connection.session.connection_id].append(answer)

    def _send_part(self, part: Part) -> None:
        for connection in list(self.connections.values()):
            unacknowledged = connection.session.unacknowledged
            assert unacknowledged is not None
            number = unacknowledged.append([part], 1)
            if unacknowledged.is_overflowing:
                self.close(connection, 1008)
            else:
                self._write_message(connection, number, part)

    def _write_message(self, connection: Connection, number: int, message: object) -> None:
        if not isinstance(message, Part):
            super()._write_message(connection, number, message)
        elif connection.socket is not None:
            payload = text_payload(message.text)
            part = DataMessage(payload, "g", sequence_id=number, stream=message.info)
            connection.socket.down.send(part)

    def _forget(self, connection: Connection) -> None:
        super()._forget(connection)
        for fragment in self._streams.pop(
            connection.session.connection_id, PublishedStreams()
        ).cancel():
            self.ends[fragment.info.stream_id] = fragment.info.error


class StreamClient(Client):
    """Writes what was asked as soon as there is room, and reads everything."""

    def __init__(self, clock: Clock, service: Service) -> None:
        super().__init__(clock, service)
        self.reader = StreamReader()
        self.do(ReadStreams(self.reader))
        self.waiting: defaultdict[OutboundStream, deque[str]] = defaultdict(deque)
        self.ending: set[OutboundStream] = set()
        self.writes = 0
        self.inbound: list[tuple[InboundStream, list[str]]] = []

    def _carry_out(self, action: c.Action) -> None:
        super()._carry_out(action)
        match action:
            case StreamBegan(stream=stream):
                self.inbound.append((stream, []))
            case StreamNews():
                self._clock.after(0, self.look)
            case c.Write(request=StreamData(sequence_id=int())):
                self.writes += 1

    def look(self) -> None:
        """At what can be written and read now."""
        for stream, texts in list(self.waiting.items()):
            while texts and stream.can_write(1):
                self.do(WriteFragment(stream, text_payload(texts.popleft())))
            if stream in self.ending and not texts and stream.phase is Phase.OPEN:
                self.do(EndStream(stream))
        for inbound, got in self.inbound:
            while (part := inbound.take()) is not None:
                got.append(part.payload.raw.decode())


class StreamsTogether(RuleBasedStateMachine):
    @initialize()
    def connect(self) -> None:
        self.clock = Clock()
        self.service = StreamService(self.clock)
        self.client = StreamClient(self.clock, self.service)
        self.asked: dict[OutboundStream, list[str]] = {}
        self.aborted: set[OutboundStream] = set()
        self.cuts = 0
        self.client.do(c.Start())
        self.clock.run(1)

    def _live(self) -> list[OutboundStream]:
        streams = self.asked.keys() - self.client.ending
        return [s for s in self.asked if s in streams and s.phase is not Phase.ENDED]

    # --- what the application does ------------------------------------------------------------

    @rule()
    def open(self) -> None:
        if sum(stream.phase is not Phase.ENDED for stream in self.asked) < MAX_STREAMS:
            start = StreamStart("g", f"s{len(self.asked)}", IDLE_MS)
            stream = OutboundStream(start, max_unacked=WINDOW)
            self.asked[stream] = []
            self.client.do(OpenStream(stream))

    @rule(which=st.integers(0, 1), count=st.integers(1, 8))
    def write(self, which: int, count: int) -> None:
        for stream in self._live()[which : which + 1]:
            texts = self.asked[stream]
            new = [f"{len(texts) + number}" for number in range(count)]
            texts += new
            self.client.waiting[stream] += new
            self.client.look()

    @rule(which=st.integers(0, 1), is_abort=st.sampled_from([False, False, True]))
    def end(self, which: int, is_abort: bool) -> None:
        for stream in self._live()[which : which + 1]:
            if is_abort:
                self.aborted.add(stream)
                self.client.do(EndStream(stream, StreamError("UserError", "aborted")))
            else:
                self.client.ending.add(stream)
                self.client.waiting[stream] += []
                self.client.look()

    # --- what the service and the wire do -----------------------------------------------------

    @rule(count=st.integers(1, 6), refusal=st.sampled_from(["TransientError", "InvalidSequenceId"]))
    def refuse(self, count: int, refusal: str) -> None:
        self.service.refusals = count
        self.service.refusal = refusal

    @rule(count=st.integers(1, 6))
    def leave_acks_out(self, count: int) -> None:
        self.service.silences = count

    @rule(seconds=st.sampled_from([0.01, 0.04, 0.06, 0.12, 0.3, 1.0, 3.0]))
    def wait(self, seconds: float) -> None:
        self.clock.run(seconds)

    @rule(
        before_s=st.sampled_from([0.01, 0.057, 0.06, 0.11, 0.3]),
        up=st.sampled_from([0, 1, 2, 3, 100]),
        down=st.sampled_from([0, 0, 1, 3, 100]),
        client_notices_s=st.sampled_from([0.0, 0.2, 3.0]),
        service_notices_s=st.sampled_from([0.0, 0.2, 3.0]),
        after_s=st.sampled_from([0.0, 0.3, 2.0, 10.0]),
    )
    def cut(
        self,
        before_s: float,
        up: int,
        down: int,
        client_notices_s: float,
        service_notices_s: float,
        after_s: float,
    ) -> None:
        self.cuts += 1
        self.clock.run(before_s)
        socket = self.client.socket
        if socket is not None:
            socket.cut(up=up, down=down)
            self.clock.after(client_notices_s, lambda: self.client.notice_loss(socket))
            self.clock.after(service_notices_s, lambda: self.service.notice_loss(socket))
        self.clock.run(after_s)

    @precondition(lambda self: self.cuts >= 3)
    @rule()
    def lose_the_session(self) -> None:
        self.cuts = 0
        for connection in list(self.service.connections.values()):
            self.service.close(connection, 1000)

    # --- what must hold -----------------------------------------------------------------------

    @invariant()
    def members_get_what_was_written_once_and_in_order(self) -> None:
        for stream, texts in self.asked.items():
            published = self.service.published[stream.stream_id]
            assert published == texts[: len(published)]
        ids = [inbound.stream_id for inbound, _ in self.client.inbound]
        assert len(ids) == len(set(ids)), "no stream begins twice"
        for inbound, got in self.client.inbound:
            assert got == self.service.published[inbound.stream_id][: len(got)]

    @invariant()
    def only_a_lost_connection_is_an_error(self) -> None:
        for stream in self.asked:
            assert stream.error is None or stream.error.name == "ConnectionLost"
        for inbound, _ in self.client.inbound:
            error = inbound.error
            assert error is None or error.name in ("ConnectionLost", "UserError", "Cancelled")

    @invariant()
    def repeats_do_not_multiply(self) -> None:
        fragments = sum(map(len, self.asked.values()))
        links = self.client.session._link.number
        assert self.client.writes <= fragments + 2 * WINDOW * (self.service.nacks + 2 * links)

    def teardown(self) -> None:
        if not hasattr(self, "client"):
            return
        self.service.refusals = self.service.silences = 0
        for _ in range(6):
            self.clock.run(40)
            self.client.look()
        for stream, texts in self.asked.items():
            if stream in self.client.ending:
                assert stream.phase is Phase.ENDED
            if stream.error is None and stream not in self.aborted:
                assert self.service.published[stream.stream_id] == texts
                assert (stream.stream_id in self.service.ends) is (stream in self.client.ending)
        for inbound, got in self.client.inbound:
            if inbound.is_ended and inbound.error is None:
                assert self.service.ends[inbound.stream_id] is None
            if inbound.error is None or inbound.error.name == "UserError":
                assert got == self.service.published[inbound.stream_id]


StreamsTogether.TestCase.settings = settings(max_examples=150, stateful_step_count=40)
TestStreamsTogether = StreamsTogether.TestCase
