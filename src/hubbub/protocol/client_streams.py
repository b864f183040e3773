"""Group streams of a client: those that it writes, each fragment once and in order. No I/O.

The service takes fragments 1, 2, 3 … of a stream and says which it expects next. What it has not
confirmed is kept, and written again after a recovery or when the service refuses a fragment. A
stream belongs to its connection id. Those that a client reads are in `client_stream_readers`.
"""

from collections import deque
from collections.abc import Iterator
from enum import Enum, auto

from hubbub.protocol import limits
from hubbub.protocol.client_events import Action, Write
from hubbub.protocol.client_stream_events import (
    EndStream,
    KeepStreamAlive,
    LeaveStream,
    OpenStream,
    ReadStreams,
    StopReading,
    StreamBegan,
    StreamInput,
    StreamNews,
    WriteFragment,
)
from hubbub.protocol.client_stream_readers import InboundStream, StreamReader
from hubbub.protocol.messages import (
    DataMessage,
    ErrorDetail,
    Payload,
    StreamAck,
    StreamClosed,
    StreamData,
    StreamEnd,
    StreamError,
    StreamNack,
    StreamStart,
)

_FIRST_PAUSE_S = 0.01
_LONGEST_PAUSE_S = 5.0
"""Before fragments that the service could not take for now are written again; it doubles."""
_KEEP_ALIVES = 3
"""In each idle time-out, so that two may be late."""


class Phase(Enum):
    WAITING = auto()
    """For the link; nothing is written yet."""
    STARTED = auto()
    """The start is written, not answered."""
    OPEN = auto()
    ENDING = auto()
    """No more fragments come; the end is written when all of them are confirmed."""
    ENDED = auto()


class OutboundStream:
    """One stream from its start to its end; `phase` and `error` are for the driver to read.

    `max_unacked`, `max_unacked_bytes`: what may wait for the service's confirmation; one fragment
    is always taken. `keeps_alive`: while nothing is written the service is told that it lives.
    """

    __slots__ = (
        "_bytes",
        "_max_bytes",
        "_max_unacked",
        "_next_id",
        "_pauses",
        "_repeats_ignored",
        "_rewound_to",
        "_unacked",
        "_write_from",
        "ends_written",
        "error",
        "is_end_written",
        "is_linked",
        "keep_alive_at",
        "keeps_alive",
        "phase",
        "retry_at",
        "start",
        "wants_keep_alive",
    )

    def __init__(
        self,
        start: StreamStart,
        *,
        max_unacked: int = limits.STREAM_WINDOW_FRAGMENTS,
        max_unacked_bytes: int = limits.STREAM_WINDOW_BYTES,
        keeps_alive: bool = True,
    ) -> None:
        self.start = start
        self.keeps_alive = keeps_alive
        self.phase = Phase.WAITING
        self.error: StreamError | None = None
        """Why it has ended; None: as it was asked to."""
        self.is_linked = False
        self.is_end_written = False
        """On this link."""
        self.ends_written = 0
        self.retry_at: float | None = None
        self.keep_alive_at = 0.0
        self.wants_keep_alive = False
        self._max_unacked = max_unacked
        self._max_bytes = max_unacked_bytes
        self._unacked: deque[StreamData] = deque()
        self._bytes = 0
        self._next_id = 1
        self._write_from = 1
        self._rewound_to = 0
        self._repeats_ignored = 0
        self._pauses = 0

    @property
    def stream_id(self) -> str:
        return self.start.stream_id

    @property
    def unacked_bytes(self) -> int:
        return self._bytes

    def can_write(self, size: int) -> bool:
        """Whether a fragment of so many bytes would be written at once."""
        if self.phase is not Phase.OPEN or not self.is_linked or self.retry_at is not None:
            return False
        if not self._unacked:
            return True
        return len(self._unacked) < self._max_unacked and self._bytes + size <= self._max_bytes

    def append(self, payload: Payload) -> None:
        self._unacked.append(StreamData(self.stream_id, self._next_id, payload))
        self._bytes += payload.size
        self._next_id += 1

    @property
    def is_confirmed(self) -> bool:
        return not self._unacked

    def confirm(self, expected: int) -> bool:
        """The service has all below `expected`. False: it cannot, by what was written."""
        oldest = self._next_id - len(self._unacked)
        if not oldest <= expected <= self._next_id:
            return False
        if expected > oldest:
            self._pauses = 0
        for _ in range(expected - oldest):
            fragment = self._unacked.popleft()
            assert fragment.payload is not None, "only fragments are kept"
            self._bytes -= fragment.payload.size
        return True

    def unwritten(self) -> Iterator[StreamData]:
        """What is to be written now; it counts as written."""
        oldest = self._next_id - len(self._unacked)
        first = self._write_from - oldest
        self._write_from = self._next_id
        return (self._unacked[index] for index in range(first, len(self._unacked)))

    def rewind(self) -> None:
        """Write everything that is not confirmed once more."""
        self._write_from = self._next_id - len(self._unacked)
        self.retry_at = None

    def take_nack(self, name: str, expected: int, now: float) -> None:
        """Write again from `expected`, after `confirm`.

        Each fragment that was on its way behind the refused one is refused too; all these say the
        same, and answering each would multiply what is written.
        """
        if self.retry_at is not None:
            return
        if name == "TransientError":
            pause_s = min(_FIRST_PAUSE_S * 2.0 ** min(self._pauses, 16), _LONGEST_PAUSE_S)
            self._pauses += 1
            self.retry_at = now + pause_s
        elif expected == self._rewound_to and self._repeats_ignored > 0:
            self._repeats_ignored -= 1
            return
        self._repeats_ignored = self._write_from - expected - 1
        self._rewound_to = expected
        if self.retry_at is None:
            self.rewind()

    @property
    def keep_alive_pause_s(self) -> float:
        return self.start.idle_timeout_ms / 1000 / _KEEP_ALIVES

    @property
    def due(self) -> float | None:
        """When something is to be written without being asked."""
        is_open = self.phase is Phase.OPEN or self.phase is Phase.ENDING
        if not is_open or self.is_end_written:
            return None
        if not self.keeps_alive or (
            self.retry_at is not None and self.retry_at < self.keep_alive_at
        ):
            return self.retry_at
        return self.keep_alive_at

    def end(self, error: StreamError | None) -> None:
        self.phase = Phase.ENDED
        self.error = error
        self.retry_at = None
        self._unacked.clear()
        self._bytes = 0


class _End:
    """Of a stream that was given up: told to the service until it has answered."""

    __slots__ = ("is_written", "request")

    def __init__(self, request: StreamEnd) -> None:
        self.request = request
        self.is_written = False


class Streams:
    """All streams of a client. Owned by a session, which passes the time and its list of actions.

    `pump` is called while requests may be written; the first call after `pause` resumes.
    """

    def __init__(self, actions: list[Action]) -> None:
        self._actions = actions
        self._outbound: dict[str, OutboundStream] = {}
        self._changed: dict[OutboundStream, None] = {}
        """Those for which `pump` may have something to write."""
        self._ends: dict[str, _End] = {}
        self._readers: list[StreamReader] = []
        self._is_up = False
        self.due: float | None = None
        """Not later than the next thing to do; `expire` then looks closely."""

    def is_in_use(self, stream_id: str) -> bool:
        return stream_id in self._outbound

    # --- what the application asks ------------------------------------------------------------

    def take(self, asked: StreamInput, now: float, *, is_running: bool) -> None:
        match asked:
            case OpenStream(stream=stream):
                self._open(stream, is_running=is_running)
            case WriteFragment(stream=stream, payload=payload):
                if stream.phase is Phase.OPEN:
                    stream.append(payload)
                    self._changed[stream] = None
            case KeepStreamAlive(stream=stream):
                stream.wants_keep_alive = True
                self._changed[stream] = None
            case EndStream(stream=stream, error=error):
                self._end(stream, error)
            case ReadStreams(reader=reader):
                self._readers.append(reader)
            case StopReading(reader=reader):
                if reader in self._readers:
                    self._readers.remove(reader)
                closed = StreamError("Closed", "the application reads no more streams")
                self._tell(*reader.end(closed))
            case LeaveStream(reader=reader, stream=inbound):
                self._tell(*reader.leave(inbound, now))

    def _open(self, stream: OutboundStream, *, is_running: bool) -> None:
        if stream.stream_id in self._outbound:
            raise AssertionError(f"stream {stream.stream_id!r} is open already")
        if not is_running:
            stream.end(_stopped())
            self._tell(stream)
            return
        self._outbound[stream.stream_id] = stream
        self._changed[stream] = None

    def _end(self, stream: OutboundStream, error: StreamError | None) -> None:
        if stream.phase is Phase.ENDED:
            return
        if error is None and stream.phase is Phase.OPEN:
            stream.phase = Phase.ENDING
            self._changed[stream] = None
        elif error is not None:
            if stream.phase is not Phase.WAITING:
                self._give_up(stream, error)
            self._finish(stream, None)

    # --- writing ------------------------------------------------------------------------------

    def pump(self, link: int, now: float) -> None:
        if not self._is_up:
            self._resume(now)
        elif not self._changed:
            return
        for end in self._ends.values():
            if not end.is_written:
                end.is_written = True
                self._actions.append(Write(link, end.request))
        changed, self._changed = self._changed, {}
        for stream in changed:
            self._write(stream, link, now)

    def _resume(self, now: float) -> None:
        """What was written and not confirmed may be lost; the service drops what it has."""
        self._is_up = True
        for stream_id, end in self._ends.items():
            end.is_written = end.is_written and stream_id in self._outbound
        for stream in self._outbound.values():
            stream.is_linked = True
            stream.rewind()
            self._changed[stream] = None
            self._tell(stream)
        for reader in self._readers:
            reader.resume(now)
            self._note_due(reader.due)

    def _write(self, stream: OutboundStream, link: int, now: float) -> None:
        requests: list[StreamStart | StreamData | StreamEnd] = []
        if stream.phase is Phase.WAITING:
            stream.phase = Phase.STARTED
            stream.is_linked = True
            requests.append(stream.start)
        elif stream.phase is Phase.OPEN or stream.phase is Phase.ENDING:
            if stream.retry_at is None:
                requests += stream.unwritten()
            if stream.phase is Phase.ENDING and stream.is_confirmed and not stream.is_end_written:
                stream.is_end_written = True
                stream.ends_written += 1
                requests.append(StreamEnd(stream.stream_id))
            elif stream.wants_keep_alive and not requests and not stream.is_end_written:
                requests.append(StreamData(stream.stream_id))
            stream.wants_keep_alive = False
        if requests:
            stream.keep_alive_at = now + stream.keep_alive_pause_s
            self._actions.extend(Write(link, request) for request in requests)
        self._note_due(stream.due)

    # --- answers ------------------------------------------------------------------------------

    def receive(self, answer: StreamAck | StreamNack | StreamClosed, now: float) -> None:
        """Answers for a stream that nobody knows are of one that was given up."""
        if isinstance(answer, StreamClosed):
            self._on_closed(answer)
            return
        stream = self._outbound.get(answer.stream_id)
        if stream is None or stream.phase is Phase.WAITING:
            return
        if not stream.confirm(answer.expected_sequence_id):
            text = f"fragment {answer.expected_sequence_id} cannot be the next"
            self._give_up(stream, StreamError("UserError", text, "ProtocolViolation"))
            self._finish(stream, StreamError("ProtocolViolation", text))
            return
        if isinstance(answer, StreamNack):
            if stream.phase is Phase.OPEN or stream.phase is Phase.ENDING:
                stream.take_nack(answer.name, answer.expected_sequence_id, now)
        elif stream.phase is Phase.STARTED:
            stream.phase = Phase.OPEN
            stream.keep_alive_at = now + stream.keep_alive_pause_s
        self._changed[stream] = None
        self._tell(stream)

    def _on_closed(self, answer: StreamClosed) -> None:
        end = self._ends.get(answer.stream_id)
        if end is not None and end.is_written:
            del self._ends[answer.stream_id]
            return
        stream = self._outbound.get(answer.stream_id)
        if stream is None or stream.phase is Phase.WAITING:
            return
        error = answer.error
        if stream.ends_written:
            is_done = error is None or (error.name == "StreamNotFound" and stream.ends_written > 1)
            self._finish(stream, None if is_done else _error_of(error))
        elif error is not None:
            self._finish(stream, _error_of(error))
        # Else it answers the end of an earlier stream with this id: nobody has ended this one.

    # --- the link and the connection ----------------------------------------------------------

    def pause(self) -> None:
        """The link is lost: what is open waits; a start without an answer has failed."""
        self._is_up = False
        for stream in list(self._outbound.values()):
            stream.is_linked = False
            if stream.phase is Phase.STARTED:
                lost = _lost()
                self._give_up(stream, StreamError("UserError", lost.message))
                self._finish(stream, lost)
            stream.is_end_written = False

    def connection_lost(self) -> None:
        """The connection id is gone for good, after `pause`; what was not started may wait."""
        self._ends.clear()
        for stream in list(self._outbound.values()):
            if stream.phase is not Phase.WAITING:
                self._finish(stream, _lost())
        self._end_readers(_lost())

    def stop_writing(self) -> None:
        """The client says goodbye: nothing more can be written, but what comes still counts."""
        self._is_up = False
        self._ends.clear()
        for stream in list(self._outbound.values()):
            self._finish(stream, _stopped())

    def stop(self) -> None:
        self.stop_writing()
        self._end_readers(_stopped())

    def _end_readers(self, error: StreamError) -> None:
        for reader in self._readers:
            self._tell(*reader.end(error))

    def _give_up(self, stream: OutboundStream, error: StreamError) -> None:
        self._ends[stream.stream_id] = _End(StreamEnd(stream.stream_id, error))
        self._changed[stream] = None
        if len(self._ends) > limits.MAX_STREAMS:
            del self._ends[next(iter(self._ends))]

    def _finish(self, stream: OutboundStream, error: StreamError | None) -> None:
        stream.end(error)
        del self._outbound[stream.stream_id]
        self._tell(stream)

    # --- reading ------------------------------------------------------------------------------

    def on_message(self, message: DataMessage, now: float) -> None:
        if message.stream is None:
            return
        for reader in self._readers:
            stream, is_new = reader.accept(message, message.stream, now)
            if stream is None:
                continue
            if is_new:
                self._actions.append(StreamBegan(reader, stream))
            self._tell(stream)
            self._note_due(now + reader.idle_s)

    # --- time ---------------------------------------------------------------------------------

    def expire(self, now: float) -> None:
        """Do what is due, as far as it can be done without the link; `pump` does the rest."""
        self.due = None
        for stream in self._outbound.values():
            if stream.retry_at is not None and stream.retry_at <= now:
                stream.rewind()
                self._changed[stream] = None
                self._tell(stream)
            if stream.due is not None and stream.due <= now:
                stream.wants_keep_alive = True
                stream.keep_alive_at = now + stream.keep_alive_pause_s
                self._changed[stream] = None
            self._note_due(stream.due)
        for reader in self._readers:
            self._tell(*reader.expire(now))
            self._note_due(reader.due)

    def _note_due(self, at: float | None) -> None:
        if at is not None and (self.due is None or at < self.due):
            self.due = at

    def _tell(self, *streams: OutboundStream | InboundStream) -> None:
        self._actions.extend(StreamNews(stream) for stream in streams)


def _lost() -> StreamError:
    return StreamError("ConnectionLost", "the connection was lost")


def _stopped() -> StreamError:
    return StreamError("ClientStopped", "the client was stopped")


def _error_of(error: ErrorDetail | None) -> StreamError:
    assert error is not None, "the caller has looked"
    return StreamError(error.name, error.message)
