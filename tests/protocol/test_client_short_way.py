"""The short way of data messages: it does what the long one does, and steps aside where it cannot."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubbub.protocol.client_events import (
    Action,
    ArmTimer,
    Deliver,
    Input,
    Received,
    SocketLost,
    SocketOpened,
    Start,
    State,
    Stop,
    Submit,
    TimerDue,
    UrlObtained,
    Write,
)
from hubbub.protocol.client_options import ClientOptions
from hubbub.protocol.client_session import ClientSession
from hubbub.protocol.messages import (
    Ack,
    Connected,
    DataMessage,
    JoinGroup,
    Ping,
    Pong,
    SequenceAck,
    text_payload,
)


class Reader:
    """Feeds a session read by read, messages on the short way where `is_short` and they may."""

    def __init__(self, options: ClientOptions | None = None, *, is_short: bool = True) -> None:
        self.session = ClientSession(options, draw=lambda: 0.5)
        self.is_short = is_short
        self.now = 1000.0
        self.timer: float | None = None
        self.delivered: list[int | None] = []
        self.written: list[Any] = []
        self.short = 0

    @property
    def link(self) -> int:
        return self.session._link.number

    def do(self, received: Input) -> None:
        for action in self.session.handle(received, self.now):
            self._carry_out(action)

    def _carry_out(self, action: Action) -> None:
        if isinstance(action, ArmTimer):
            self.timer = action.at
        elif isinstance(action, Deliver):
            self.delivered.append(action.message.sequence_id)
        elif isinstance(action, Write):
            self.written.append(action.request)

    def connect(self, connection_id: str = "c1") -> None:
        self.do(Start())
        self.do(UrlObtained(self.link))
        self.do(SocketOpened(self.link))
        self.read(Connected(connection_id, "u", "t"))

    def read(self, *messages: Any, size_bytes: int = 10) -> None:
        """What came in one read; a number is a data message with that sequence id."""
        link = self.link
        for message in messages:
            if message is None or isinstance(message, int):
                self._take(link, message, size_bytes)
            else:
                self.do(Received(link, message, size_bytes))
        if self.session.heard(link, self.now):
            self.do(Received(link, None))

    def _take(self, link: int, number: int | None, size_bytes: int) -> None:
        session = self.session
        is_steady = self.is_short and session.steady_link == link
        if is_steady and session.inbound.take(number, size_bytes):
            self.delivered.append(number)
            self.short += 1
        else:
            message = DataMessage(text_payload("x"), "g", None, number)
            self.do(Received(link, message, size_bytes))

    def wait(self, seconds: float) -> None:
        end = self.now + seconds
        while self.timer is not None and self.timer <= end:
            self.now, self.timer = max(self.now, self.timer), None
            self.do(TimerDue())
        self.now = end

    def acks(self) -> list[int]:
        return [r.sequence_id for r in self.written if isinstance(r, SequenceAck)]


def connected(options: ClientOptions | None = None) -> Reader:
    reader = Reader(options)
    reader.connect()
    return reader


def test_messages_of_one_read_are_confirmed_together_a_second_later() -> None:
    reader = connected()
    reader.read(1, 2, 3)
    assert (reader.short, reader.delivered, reader.acks()) == (3, [1, 2, 3], [])
    reader.wait(0.99)
    assert reader.acks() == []
    reader.wait(0.01)
    assert reader.acks() == [3]


def test_many_messages_are_confirmed_at_the_end_of_their_read() -> None:
    reader = connected()
    reader.read(*range(1, 200))
    assert reader.acks() == []
    reader.read(200, 201)
    assert reader.acks() == [201]
    reader.wait(5)
    assert reader.acks() == [201]


def test_many_bytes_are_confirmed_at_the_end_of_their_read() -> None:
    reader = connected(ClientOptions(sequence_ack_bytes=1000))
    reader.read(1, size_bytes=999)
    assert reader.acks() == []
    reader.read(2, size_bytes=1)
    assert reader.acks() == [2]


def test_repeated_message_is_dropped_and_confirmed_and_one_ahead_is_counted() -> None:
    reader = connected()
    reader.read(1, 2, 2, 1, 5)
    assert reader.delivered == [1, 2, 5]
    assert (reader.session.inbound.duplicates, reader.session.inbound.jumps) == (2, 1)
    reader.wait(1)
    assert reader.acks() == [5]


def test_messages_without_sequence_id_take_the_short_way_and_are_not_confirmed() -> None:
    reader = connected()
    reader.read(None, None)
    reader.wait(5)
    assert (reader.short, reader.acks()) == (2, [])
    assert reader.session.inbound.has_message


def test_client_that_is_not_reliable_confirms_nothing() -> None:
    reader = connected(ClientOptions(is_reliable=False))
    reader.read(7, 7)
    reader.wait(5)
    assert (reader.delivered, reader.acks()) == ([7, 7], [])


def test_ping_is_sent_an_interval_after_the_last_read() -> None:
    reader = connected()
    reader.wait(13.5)
    reader.read(1)
    reader.wait(0.5)
    reader.read(2)
    reader.wait(14.99)
    assert Ping() not in reader.written
    reader.wait(0.01)
    assert reader.written.count(Ping()) == 1


def test_message_after_a_ping_is_an_answer_to_it() -> None:
    reader = connected()
    reader.wait(15)
    assert Ping() in reader.written
    reader.read(1)
    assert reader.short == 0
    reader.wait(14)
    assert reader.session.state is State.CONNECTED
    reader.read(2)
    assert reader.short == 1
    reader.wait(15)
    assert reader.written.count(Ping()) == 2
    reader.wait(15)
    assert reader.session.state is State.RECOVERING


def test_nothing_is_short_before_the_groups_are_joined_again() -> None:
    reader = Reader()
    reader.do(Start())
    reader.do(Submit("a", JoinGroup("g")))
    reader.do(UrlObtained(reader.link))
    reader.do(SocketOpened(reader.link))
    reader.read(Connected("c1", "u", "t"), 1)
    assert reader.session.steady_link is None
    assert reader.delivered == []
    ack_id = next(r.ack_id for r in reader.written if isinstance(r, JoinGroup))
    reader.read(Ack(ack_id), 2)
    assert (reader.delivered, reader.short) == ([1, 2], 1)


@pytest.mark.parametrize("end", ["lost", "stopped"])
def test_nothing_is_short_on_a_link_that_ends(end: str) -> None:
    reader = connected()
    link = reader.link
    reader.do(SocketLost(link) if end == "lost" else Stop())
    assert reader.session.steady_link is None
    assert not reader.session.heard(link, reader.now)


def test_stop_confirms_what_was_taken_and_not_yet_planned() -> None:
    reader = connected()
    assert reader.session.inbound.take(1, 10)
    reader.do(Stop())
    assert reader.acks() == [1]


def test_recovery_confirms_what_was_taken_before_the_loss() -> None:
    reader = connected()
    reader.read(1, 2)
    reader.do(SocketLost(reader.link))
    reader.do(SocketOpened(reader.link))
    reader.read(Pong(), 3)
    assert reader.acks() == [2]
    assert reader.delivered == [1, 2, 3]


steps = st.one_of(
    st.tuples(
        st.just("read"),
        st.lists(st.one_of(st.integers(-3, 2), st.just(None), st.just("pong")), max_size=6),
        st.sampled_from([1, 50]),
    ),
    st.tuples(st.just("wait"), st.sampled_from([0.1, 0.5, 1.0, 4.0, 14.0, 20.0])),
    st.tuples(st.just("drop")),
)


@given(st.lists(steps, max_size=40))
def test_both_ways_deliver_the_same_and_end_in_the_same_state(script: list[Any]) -> None:
    options = ClientOptions(sequence_ack_messages=5, sequence_ack_bytes=300)
    readers = [Reader(options), Reader(options, is_short=False)]
    for reader in readers:
        reader.connect()
        for kind, *rest in script:
            if kind == "wait":
                reader.wait(rest[0])
            elif kind == "drop" and reader.session.state is State.CONNECTED:
                reader.do(SocketLost(reader.link))
                reader.do(SocketOpened(reader.link))
                reader.read(Pong())
            elif kind == "read" and reader.session.state is State.CONNECTED:
                numbers = _numbers(reader.session.inbound.largest, rest[0])
                reader.read(*numbers, size_bytes=rest[1])
    short, long = readers
    assert short.delivered == long.delivered
    assert short.session.state is long.session.state
    assert short.written.count(Ping()) == long.written.count(Ping())
    for reader in readers:
        reader.wait(1.5)
    assert short.session.inbound.largest == long.session.inbound.largest
    assert short.session.inbound.duplicates == long.session.inbound.duplicates
    assert short.acks()[-1:] == long.acks()[-1:]
    assert short.acks() == sorted(short.acks())


def _numbers(largest: int, steps: list[Any]) -> list[Any]:
    """Sequence ids around the largest one so far."""
    numbers: list[Any] = []
    for step in steps:
        if isinstance(step, int):
            number = max(1, largest + step)
            largest = max(largest, number)
            numbers.append(number)
        else:
            numbers.append(Pong() if step == "pong" else None)
    return numbers
