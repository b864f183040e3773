"""Group streams in the client's session, on a clock of the test's own."""

from typing import Any

import pytest
from tests.protocol.test_client_session import Driver, events, of, written

from hubbub.protocol import limits
from hubbub.protocol.client_events import (
    ConnectedEvent,
    Deliver,
    DisconnectedEvent,
    Emit,
    Start,
    State,
    Stop,
)
from hubbub.protocol.client_options import ClientOptions
from hubbub.protocol.client_stream_events import (
    EndStream,
    KeepStreamAlive,
    LeaveStream,
    OpenStream,
    ReadStreams,
    StopReading,
    StreamBegan,
    StreamNews,
    WriteFragment,
)
from hubbub.protocol.client_stream_readers import InboundStream, StreamReader
from hubbub.protocol.client_streams import OutboundStream, Phase
from hubbub.protocol.messages import (
    Connected,
    DataMessage,
    ErrorDetail,
    JoinGroup,
    Ping,
    Pong,
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

JOIN = JoinGroup("g")
START = StreamStart("g", "s1")
NOT_FOUND = ErrorDetail("StreamNotFound")


@pytest.fixture
def driver() -> Driver:
    """Connected, and without pings, which would want answers."""
    driver = Driver(ClientOptions(keep_alive_interval_s=None))
    driver.start()
    return driver


def opened(driver: Driver, start: StreamStart = START, **more: Any) -> OutboundStream:
    stream = OutboundStream(start, **more)
    assert written(driver.do(OpenStream(stream))) == [start]
    driver.receive(StreamAck(start.stream_id, 1))
    assert stream.phase is Phase.OPEN
    return stream


def write(driver: Driver, stream: OutboundStream, *texts: str) -> list[Request]:
    requests: list[Request] = []
    for text in texts:
        payload = text_payload(text)
        assert stream.can_write(payload.size)
        requests += written(driver.do(WriteFragment(stream, payload)))
    return requests


def data(sequence_id: int, text: str = "", stream_id: str = "s1") -> StreamData:
    return StreamData(stream_id, sequence_id, text_payload(text or str(sequence_id)))


def ids(requests: list[Request]) -> list[int | None]:
    """Of the fragments; None for a keep-alive."""
    return [request.sequence_id for request in requests if isinstance(request, StreamData)]


def nack(expected: int, name: str = "InvalidSequenceId") -> StreamNack:
    return StreamNack("s1", expected, name)


# --- to write -----------------------------------------------------------------------------------


def test_cl_090_stream_is_started_written_and_ended(driver: Driver) -> None:
    stream = opened(driver)
    assert write(driver, stream, "a", "b", "c") == [data(1, "a"), data(2, "b"), data(3, "c")]
    assert written(driver.do(EndStream(stream))) == [], "the service may still refuse a fragment"
    assert not stream.can_write(1)
    assert written(driver.receive(StreamAck("s1", 3))) == []
    assert written(driver.receive(StreamAck("s1", 4))) == [StreamEnd("s1")]
    assert stream.phase is Phase.ENDING
    assert StreamNews(stream) in driver.receive(StreamClosed("s1"))
    assert (stream.phase, stream.error) == (Phase.ENDED, None)
    opened(driver)


@pytest.mark.parametrize("name", ["Forbidden", "BadRequest"])
def test_cl_090_refused_start_ends_it_with_the_name_and_frees_the_id(
    driver: Driver, name: str
) -> None:
    stream = OutboundStream(START)
    driver.do(OpenStream(stream))
    actions = driver.receive(StreamClosed("s1", ErrorDetail(name, "no")))
    assert actions == [StreamNews(stream)]
    assert (stream.phase, stream.error) == (Phase.ENDED, StreamError(name, "no"))
    opened(driver)


def test_cl_090_unanswered_start_that_is_given_up_is_ended_and_frees_the_id(
    driver: Driver,
) -> None:
    stream = OutboundStream(START)
    driver.do(OpenStream(stream))
    late = StreamError("UserError", "late")
    assert written(driver.do(EndStream(stream, late))) == [StreamEnd("s1", late)]
    assert stream.phase is Phase.ENDED
    again = opened(driver)
    write(driver, again, "a")
    # Answers to the first start and its end, where they come after all.
    driver.receive(StreamAck("s1", 1), StreamClosed("s1"), StreamAck("s1", 1))
    assert again.phase is Phase.OPEN
    driver.receive(StreamClosed("s1"))
    assert again.phase is Phase.OPEN, "nobody has ended it"
    driver.receive(StreamClosed("s1", NOT_FOUND))
    assert again.error == StreamError("StreamNotFound", "")


def test_start_waits_for_the_link_and_the_rejoin(driver: Driver) -> None:
    driver.lose()
    waiting = OutboundStream(START)
    given_up = OutboundStream(StreamStart("g", "s2"))
    assert written(driver.do(OpenStream(waiting))) == []
    driver.do(OpenStream(given_up))
    driver.do(EndStream(given_up, StreamError("UserError")))
    driver.lose(1008)
    driver.wait(1)
    assert written(driver.connect("c2")) == [START], "also over a reconnect"
    driver.receive(StreamAck("s1", 1))
    assert waiting.phase is Phase.OPEN


def test_cl_091_nack_writes_again_from_the_expected_fragment(driver: Driver) -> None:
    stream = opened(driver)
    write(driver, stream, *"12345")
    again = written(driver.receive(nack(2)))
    assert again == [data(n) for n in (2, 3, 4, 5)]
    # Fragments 3 to 5 were refused too, before the repeat came.
    assert written(driver.receive(nack(2), nack(2), nack(2))) == []
    assert written(driver.receive(nack(2))) == again, "one more is about the repeat"
    driver.receive(StreamAck("s1", 6))
    assert (stream.phase, stream.error, stream.unacked_bytes) == (Phase.OPEN, None, 0)
    assert ids(write(driver, stream, "6")) == [6]


def test_transient_nack_waits_ever_longer_before_it_writes_again(driver: Driver) -> None:
    stream = opened(driver)
    write(driver, stream, *"123")
    pauses = []
    for _ in range(12):
        later = nack(2, "TransientError")
        assert written(driver.receive(nack(2, "TransientError"), nack(2), later)) == []
        assert not stream.can_write(1)
        assert stream.retry_at is not None
        pauses.append(stream.retry_at - driver.now)
        assert ids(written(driver.wait(pauses[-1] * 0.9))) == []
        assert ids(written(driver.wait(pauses[-1] * 0.2))) == [2, 3]
        assert stream.can_write(1)
    assert pauses[:4] == pytest.approx([0.01, 0.02, 0.04, 0.08])
    assert pauses[-2:] == [5, 5]
    driver.receive(StreamAck("s1", 4))
    driver.receive(nack(4, "TransientError"))
    assert stream.retry_at == pytest.approx(driver.now + 0.01), "progress makes pauses short again"


def test_end_comes_after_fragments_that_were_refused(driver: Driver) -> None:
    stream = opened(driver)
    write(driver, stream, *"12")
    driver.do(EndStream(stream))
    assert ids(written(driver.receive(nack(1)))) == [1, 2]
    assert written(driver.receive(StreamAck("s1", 3))) == [StreamEnd("s1")]


@pytest.mark.parametrize("answer", [StreamAck("s1", 1), StreamAck("s1", 5), nack(5), nack(0)])
def test_expected_id_that_cannot_be_ends_the_stream_on_both_sides(
    driver: Driver, answer: StreamAck | StreamNack
) -> None:
    stream = opened(driver)
    write(driver, stream, *"123")
    driver.receive(StreamAck("s1", 2))
    (end,) = written(driver.receive(answer))
    assert isinstance(end, StreamEnd)
    assert end.error is not None
    assert end.error.user_error_code == "ProtocolViolation"
    assert stream.error is not None
    assert stream.error.name == "ProtocolViolation"


def test_abort_ends_at_once_with_the_error(driver: Driver) -> None:
    stream = opened(driver)
    write(driver, stream, "1")
    error = StreamError("UserError", "source failed", "E42")
    assert written(driver.do(EndStream(stream, error))) == [StreamEnd("s1", error)]
    assert (stream.phase, stream.error) == (Phase.ENDED, None)
    assert driver.receive(StreamAck("s1", 2), StreamClosed("s1"), StreamClosed("s1")) == []
    assert driver.do(EndStream(stream)) == []
    assert driver.do(WriteFragment(stream, text_payload("late"))) == []


@pytest.mark.parametrize("name", ["Forbidden", "IdleTimeout", "InternalServerError"])
@pytest.mark.parametrize("is_ending", [False, True])
def test_service_that_ends_a_stream_is_heard(driver: Driver, name: str, is_ending: bool) -> None:
    stream = opened(driver)
    if is_ending:
        assert written(driver.do(EndStream(stream))) == [StreamEnd("s1")]
    driver.receive(StreamClosed("s1", ErrorDetail(name, "why")))
    assert (stream.phase, stream.error) == (Phase.ENDED, StreamError(name, "why"))


# --- bounds and keep-alive ----------------------------------------------------------------------


def test_cl_094_mute_service_stops_the_writer_at_the_window(driver: Driver) -> None:
    stream = opened(driver)
    mebibyte = "x" * 1_048_576
    write(driver, stream, *[mebibyte] * 4)
    assert stream.unacked_bytes == limits.STREAM_WINDOW_BYTES
    assert not stream.can_write(1)
    driver.receive(StreamAck("s1", 2))
    assert stream.can_write(1_048_576)
    assert not stream.can_write(1_048_577)
    driver.receive(StreamAck("s1", 5))
    assert stream.can_write(2 * limits.STREAM_WINDOW_BYTES), "one is always taken"
    write(driver, stream, *["x"] * limits.STREAM_WINDOW_FRAGMENTS)
    assert not stream.can_write(1)
    assert StreamNews(stream) in driver.receive(StreamAck("s1", 6))
    assert stream.can_write(1)


def test_cl_095_idle_writer_keeps_its_stream_alive_for_20_minutes(driver: Driver) -> None:
    stream = opened(driver)
    pauses, last = 0, driver.now
    for _ in range(1200):
        requests = written(driver.wait(1))
        if requests:
            assert requests == [StreamData("s1")]
            assert driver.now - last == pytest.approx(100, abs=1)
            pauses, last = pauses + 1, driver.now
            driver.receive(StreamAck("s1", 1))
    assert pauses == 12
    assert stream.phase is Phase.OPEN
    write(driver, stream, "1")
    assert written(driver.wait(99)) == [], "a fragment tells as much"
    driver.do(EndStream(stream))
    driver.receive(StreamAck("s1", 2))
    assert written(driver.wait(1000)) == [], "nothing after the end"


def test_keep_alive_can_be_left_to_the_application(driver: Driver) -> None:
    stream = opened(driver, keeps_alive=False)
    assert written(driver.wait(1000)) == []
    assert written(driver.do(KeepStreamAlive(stream))) == [StreamData("s1")]


def test_keep_alive_that_was_due_in_an_absence_comes_with_the_recovery(driver: Driver) -> None:
    stream = opened(driver, StreamStart("g", "s1", 6000))
    driver.lose()
    driver.wait(3)
    driver.open()
    assert StreamData("s1") in written(driver.receive(Pong()) + driver.wait(0))
    assert stream.phase is Phase.OPEN


# --- the link and the connection ----------------------------------------------------------------


def test_cl_092_recovery_without_connected_writes_again_what_is_not_confirmed(
    driver: Driver,
) -> None:
    stream = opened(driver)
    write(driver, stream, *"12345")
    driver.receive(StreamAck("s1", 3))
    driver.lose()
    assert not stream.can_write(1)
    driver.open()
    actions = driver.receive(Pong())
    assert written(actions) == [data(3), data(4), data(5)]
    assert StreamNews(stream) in actions
    assert ids(write(driver, stream, "6")) == [6]
    assert written(driver.receive(StreamAck("s1", 5), StreamAck("s1", 5))) == []
    driver.receive(StreamAck("s1", 7))
    assert (stream.phase, stream.unacked_bytes) == (Phase.OPEN, 0)


def test_end_is_written_again_after_a_recovery_and_not_found_means_done(driver: Driver) -> None:
    stream = opened(driver)
    driver.do(EndStream(stream))
    driver.lose()
    driver.open()
    assert StreamEnd("s1") in written(driver.receive(Pong()))
    driver.receive(StreamClosed("s1", NOT_FOUND))
    assert (stream.phase, stream.error) == (Phase.ENDED, None)


def test_not_found_at_the_first_end_is_an_error(driver: Driver) -> None:
    stream = opened(driver)
    driver.do(EndStream(stream))
    driver.receive(StreamClosed("s1", NOT_FOUND))
    assert stream.error == StreamError("StreamNotFound", "")


def test_start_without_an_answer_fails_with_the_link_and_is_ended_after_it(driver: Driver) -> None:
    stream = OutboundStream(START)
    driver.do(OpenStream(stream))
    driver.lose()
    assert stream.error is not None
    assert stream.error.name == "ConnectionLost"
    driver.open()
    (end,) = written(driver.receive(Pong()))
    assert isinstance(end, StreamEnd)
    driver.lose()
    driver.open()
    assert written(driver.receive(Pong())) == [end], "until the service has answered"
    driver.receive(StreamClosed("s1"))
    driver.lose()
    driver.open()
    assert written(driver.receive(Pong())) == []


def test_end_of_a_given_up_stream_does_not_end_the_next_with_its_id(driver: Driver) -> None:
    first = opened(driver)
    driver.do(EndStream(first, StreamError("UserError")))
    second = opened(driver)
    driver.lose()
    driver.open()
    assert written(driver.receive(Pong())) == []
    assert second.phase is Phase.OPEN


def test_cl_093_new_connection_id_ends_writers_and_readers(driver: Driver) -> None:
    writer = opened(driver)
    reader, (inbound,) = read(driver, fragment(1))
    driver.lose()
    assert (writer.phase, inbound.is_ended) == (Phase.OPEN, False)
    actions = driver.lose(1008)
    for stream in (writer, inbound):
        assert stream.error is not None
        assert stream.error.name == "ConnectionLost"
    disconnected = next(a for a in of(actions, Emit) if isinstance(a.event, DisconnectedEvent))
    assert actions.index(StreamNews(writer)) < actions.index(disconnected)
    assert texts(inbound) == ["1"], "what came before can be read"
    driver.reconnect()
    again = began(driver.receive(fragment(1, sequence_id=1)), reader)
    assert len(again) == 1, "the reader goes on"
    assert not writer.can_write(1)


def test_stop_ends_writers_and_readers(driver: Driver) -> None:
    writer = opened(driver)
    _, (inbound,) = read(driver, fragment(1))
    driver.do(Stop())
    driver.lose(1000)
    assert driver.session.state is State.STOPPED
    for stream in (writer, inbound):
        assert stream.error is not None
        assert stream.error.name == "ClientStopped"
    late = OutboundStream(START)
    assert driver.do(OpenStream(late)) == [StreamNews(late)]
    assert late.error is not None
    assert late.error.name == "ClientStopped"
    driver.do(Start())
    assert written(driver.connect("c2")) == []


def test_other_connection_in_place_of_a_recovery_ends_streams(driver: Driver) -> None:
    writer = opened(driver)
    driver.receive(Connected("c2", "u", "t2"))
    assert writer.error is not None
    assert writer.error.name == "ConnectionLost"
    opened(driver)


# --- to read ------------------------------------------------------------------------------------


def fragment(
    number: int,
    text: str | None = None,
    *,
    group: str = "g",
    stream_id: str = "s1",
    is_end: bool = False,
    error: StreamError | None = None,
    sequence_id: int | None = None,
) -> DataMessage:
    info = StreamInfo(stream_id, number, is_end, error)
    payload = text_payload(str(number) if text is None else text)
    return DataMessage(payload, group, "u1", sequence_id, stream=info)


def end(number: int, **more: Any) -> DataMessage:
    return fragment(number, "", is_end=True, **more)


def began(actions: list[Any], reader: StreamReader) -> list[InboundStream]:
    return [action.stream for action in of(actions, StreamBegan) if action.reader is reader]


def read(
    driver: Driver, *messages: DataMessage, **options: Any
) -> tuple[StreamReader, list[InboundStream]]:
    reader = StreamReader(**options)
    driver.do(ReadStreams(reader))
    return reader, began(driver.receive(*messages), reader)


def texts(stream: InboundStream) -> list[str]:
    got = []
    while (part := stream.take()) is not None:
        got.append(part.payload.raw.decode())
    return got


def name_of(stream: InboundStream) -> str | None:
    return None if stream.error is None else stream.error.name


def test_fragments_are_parts_and_messages_too(driver: Driver) -> None:
    reader = StreamReader()
    driver.do(ReadStreams(reader))
    actions = driver.receive(fragment(1, "a"), fragment(2, "b"), end(3))
    (stream,) = began(actions, reader)
    assert (stream.group, stream.stream_id, stream.from_user_id) == ("g", "s1", "u1")
    assert texts(stream) == ["a", "b"], "the empty end is no part"
    assert (stream.is_ended, stream.error) == (True, None)
    assert len(of(actions, Deliver)) == 3
    assert began(driver.receive(fragment(1)), reader), "the id may be used again"


def test_end_with_data_is_a_part_and_an_error_comes_after_it(driver: Driver) -> None:
    error = StreamError("UserError", "source failed", "E42")
    _, (stream,) = read(driver, fragment(1, "last", is_end=True, error=error))
    assert texts(stream) == ["last"]
    assert (stream.is_ended, stream.error) == (True, error)


@pytest.mark.parametrize("last", [4, 2, 1])
def test_cl_096_gap_or_double_ends_the_stream(driver: Driver, last: int) -> None:
    reader, (stream,) = read(driver, fragment(1), fragment(2), fragment(last))
    assert texts(stream) == ["1", "2"]
    assert name_of(stream) == "SequenceGap"
    rest = driver.receive(fragment(last + 1), fragment(last + 2), end(last + 3))
    assert began(rest, reader) == [], "its rest is no new stream"
    assert began(driver.receive(fragment(1)), reader)


def test_end_that_comes_too_early_is_a_gap(driver: Driver) -> None:
    _, (stream,) = read(driver, fragment(1), end(3))
    assert name_of(stream) == "SequenceGap"


def test_cl_096_from_start_passes_over_a_stream_until_its_end(driver: Driver) -> None:
    reader, streams = read(driver, fragment(7), fragment(8), end(9), from_start=True)
    assert streams == []
    assert len(began(driver.receive(fragment(1)), reader)) == 1
    _, (late,) = read(driver, fragment(7, stream_id="s2"), fragment(8, stream_id="s2"))
    assert texts(late) == ["7", "8"], "without it a stream is read from where it is"


def test_end_of_a_stream_that_was_never_seen_is_nothing(driver: Driver) -> None:
    reader, streams = read(driver, end(5))
    assert streams == []
    (empty,) = began(driver.receive(end(1)), reader)
    assert (texts(empty), empty.is_ended) == ([], True)


def test_readers_have_their_groups_and_their_own_streams(driver: Driver) -> None:
    one, _ = read(driver, groups=frozenset({"a"}))
    both, _ = read(driver)
    actions = driver.receive(fragment(1, group="a"), fragment(1, group="b"))
    assert [s.group for s in began(actions, one)] == ["a"]
    assert [s.group for s in began(actions, both)] == ["a", "b"]
    (stream,) = began(actions, one)
    driver.do(StopReading(one))
    assert name_of(stream) == "Closed"
    assert began(driver.receive(fragment(1, group="a", stream_id="s2")), one) == []
    driver.do(StopReading(one))


def test_stream_that_is_left_is_passed_over(driver: Driver) -> None:
    reader, (stream,) = read(driver, fragment(1))
    assert StreamNews(stream) in driver.do(LeaveStream(reader, stream))
    assert (name_of(stream), len(stream)) == ("Closed", 0)
    assert began(driver.receive(fragment(2), end(3)), reader) == []
    assert driver.do(LeaveStream(reader, stream)) == []


def test_idle_stream_ends_and_its_rest_is_passed_over(driver: Driver) -> None:
    reader, (stream,) = read(driver, fragment(1), idle_s=60)
    driver.wait(59)
    driver.receive(fragment(2))
    driver.wait(59)
    assert not stream.is_ended
    assert StreamNews(stream) in driver.wait(1)
    assert name_of(stream) == "IdleTimeout"
    assert began(driver.receive(fragment(3)), reader) == []
    driver.wait(60)
    assert len(began(driver.receive(fragment(4)), reader)) == 1, "nobody remembers it"


def test_silence_of_an_absence_is_no_idle_time(driver: Driver) -> None:
    _, (stream,) = read(driver, fragment(1), idle_s=20)
    driver.wait(15)
    driver.lose()
    driver.open()
    driver.wait(4)
    driver.lose()
    driver.wait(2)
    driver.open()
    driver.receive(Pong())
    driver.wait(19)
    assert not stream.is_ended
    driver.wait(2)
    assert name_of(stream) == "IdleTimeout"


def test_overflow_ends_this_stream_alone(driver: Driver) -> None:
    reader, (slow,) = read(driver, fragment(1), max_parts=2, max_bytes=10_000)
    driver.receive(fragment(2), fragment(3))
    assert name_of(slow) == "Overflow"
    assert texts(slow) == ["1", "2"]
    large = "x" * 9_000
    (other,) = began(driver.receive(fragment(1, large, stream_id="s2")), reader)
    driver.receive(fragment(2, large, stream_id="s2"))
    assert name_of(other) == "Overflow"


def test_all_streams_of_a_reader_have_a_bound_together(driver: Driver) -> None:
    reader, _ = read(driver, max_bytes=1_000)
    large = "x" * 700
    messages = [fragment(1, large, stream_id=f"s{n}") for n in range(6)]
    streams = began(driver.receive(*messages), reader)
    assert [name_of(stream) for stream in streams] == [None] * 4 + ["Overflow"] * 2
    driver.do(LeaveStream(reader, streams[0]))
    del streams[1:3]
    driver.actions.clear()
    driver.receive(end(2, stream_id="s1"), end(2, stream_id="s2"))
    driver.actions.clear()
    more = [fragment(1, large, stream_id=f"t{n}") for n in range(4)]
    names = [name_of(stream) for stream in began(driver.receive(*more), reader)]
    assert names == [None] * 3 + ["Overflow"], "what nobody holds does not count"


def test_recovery_repeats_no_fragment(driver: Driver) -> None:
    reader, (stream,) = read(driver, fragment(1, sequence_id=1), fragment(2, sequence_id=2))
    driver.lose()
    driver.open()
    driver.receive(fragment(2, sequence_id=2), fragment(3, sequence_id=3), end(4, sequence_id=4))
    assert texts(stream) == ["1", "2", "3"]
    assert (stream.is_ended, stream.error) == (True, None)
    assert reader.due is None


def test_fragments_before_connected_come_after_it() -> None:
    driver = Driver()
    driver.start()
    driver.ask("j", JOIN)
    driver.lose(1008)
    reader = StreamReader()
    driver.do(ReadStreams(reader))
    driver.reconnect()
    assert of(driver.receive(fragment(1, sequence_id=1)), Deliver) == []
    actions = driver.wait(10)
    connected = next(e for e in events(actions) if isinstance(e, ConnectedEvent))
    (stream,) = began(actions, reader)
    assert actions.index(Emit(connected)) < actions.index(StreamBegan(reader, stream))
    assert texts(stream) == ["1"]


def test_ping_and_streams_do_not_mix_up_their_times() -> None:
    driver = Driver()
    driver.start()
    opened(driver, StreamStart("g", "s1", 9_000))
    kinds = []
    for _ in range(30):
        requests = written(driver.wait(1))
        kinds += [type(request) for request in requests]
        for request in requests:
            driver.receive(StreamAck("s1", 1) if isinstance(request, StreamData) else Pong())
    assert kinds.count(StreamData) == 10
    assert Ping not in kinds, "answers to keep-alives are proof of life"
