"""Group streams that a client reads: every fragment once and in order, or an error. No I/O.

A stream is known by its group and its id. One that cannot be read any further is passed over
until its end, so that its rest does not look like a new stream.
"""

from collections import deque

from hubbub.protocol import limits
from hubbub.protocol.messages import DataMessage, StreamError, StreamInfo

_PART_BYTES = 200
"""What a part costs beside its data, about."""
_TOTAL = 4
"""All streams of one reader together may hold this many times the bytes of one."""


class _Held:
    """Bytes in all streams of a reader that anybody still holds."""

    __slots__ = ("size",)

    def __init__(self) -> None:
        self.size = 0


class InboundStream:
    """Parts that came and were not taken; then `error`, or a normal end."""

    __slots__ = (
        "_held",
        "_parts",
        "error",
        "expected",
        "from_user_id",
        "group",
        "heard_at",
        "is_ended",
        "size",
        "stream_id",
    )

    def __init__(self, first: DataMessage, info: StreamInfo, held: _Held) -> None:
        assert first.group is not None, "a stream has a group"
        self.group = first.group
        self.stream_id = info.stream_id
        self.from_user_id = first.from_user_id
        self.expected = info.sequence_id
        self.heard_at = 0.0
        self.is_ended = False
        self.error: StreamError | None = None
        self.size = 0
        self._parts: deque[DataMessage] = deque()
        self._held = held

    def __del__(self) -> None:
        self._held.size -= self.size  # whoever drops it will not take the rest

    def __len__(self) -> int:
        return len(self._parts)

    def take(self) -> DataMessage | None:
        """The next part, None if there is none now. What came before an error comes first."""
        if not self._parts:
            return None
        part = self._parts.popleft()
        self._add(-_size(part))
        return part

    def put(self, part: DataMessage) -> None:
        self._parts.append(part)
        self._add(_size(part))

    def end(self, error: StreamError | None) -> None:
        self.is_ended = True
        self.error = error

    def clear(self) -> None:
        """Nobody will take the rest."""
        self._parts.clear()
        self._add(-self.size)

    def _add(self, size: int) -> None:
        self.size += size
        self._held.size += size


def _size(part: DataMessage) -> int:
    return part.payload.size + _PART_BYTES


_Key = tuple[str, str]


class StreamReader:
    """One wish to read streams. `groups` None: of all groups that messages come from.

    `idle_s`: a stream from which nothing comes for so long ends. `from_start`: pass over streams
    whose first fragment is not seen. `max_parts`, `max_bytes`: of one stream; more ends it.
    """

    __slots__ = (
        "_from_start",
        "_groups",
        "_held",
        "_max_bytes",
        "_max_parts",
        "_passed_over",
        "_streams",
        "idle_s",
    )

    def __init__(
        self,
        *,
        groups: frozenset[str] | None = None,
        idle_s: float = limits.STREAM_IDLE_TIMEOUT_MS / 1000,
        from_start: bool = False,
        max_parts: int = 10_000,
        max_bytes: int = 64 * 1_048_576,
    ) -> None:
        self._groups = groups
        self.idle_s = idle_s
        self._from_start = from_start
        self._max_parts = max_parts
        self._max_bytes = max_bytes
        self._streams: dict[_Key, InboundStream] = {}
        self._passed_over: dict[_Key, float] = {}
        """Until their end; and when they were last heard of."""
        self._held = _Held()

    @property
    def due(self) -> float | None:
        """When the first stream may have been idle too long."""
        heard_at = [stream.heard_at for stream in self._streams.values()]
        heard_at += self._passed_over.values()
        return min(heard_at) + self.idle_s if heard_at else None

    # --- fragments ----------------------------------------------------------------------------

    def accept(
        self, message: DataMessage, info: StreamInfo, now: float
    ) -> tuple[InboundStream | None, bool]:
        """Take a fragment. Returns the stream that has news, and whether it is a new one."""
        assert message.group is not None, "only groups have streams"
        if self._groups is not None and message.group not in self._groups:
            return None, False
        key = (message.group, info.stream_id)
        stream = self._streams.get(key)
        if stream is None:
            stream = self._begin(key, message, info, now)
            if stream is None:
                return None, False
            self._take(key, stream, message, info, now)
            return stream, True
        self._take(key, stream, message, info, now)
        return stream, False

    def _begin(
        self, key: _Key, message: DataMessage, info: StreamInfo, now: float
    ) -> InboundStream | None:
        is_first = info.sequence_id == 1
        if not is_first and (key in self._passed_over or self._from_start or _is_mere_end(message)):
            if info.is_end:
                self._passed_over.pop(key, None)
            else:
                self._pass_over(key, now)
            return None
        self._passed_over.pop(key, None)
        stream = self._streams[key] = InboundStream(message, info, self._held)
        return stream

    def _take(
        self, key: _Key, stream: InboundStream, message: DataMessage, info: StreamInfo, now: float
    ) -> None:
        stream.heard_at = now
        if info.sequence_id != stream.expected:
            text = f"fragment {info.sequence_id} came, {stream.expected} was expected"
            self._fail(key, stream, StreamError("SequenceGap", text), now)
        elif not _is_mere_end(message) and self._is_too_much(stream, message):
            self._fail(key, stream, StreamError("Overflow", "the parts were not read"), now)
        else:
            stream.expected += 1
            if not _is_mere_end(message):
                stream.put(message)
            if info.is_end:
                stream.end(info.error)
        if info.is_end:
            self._streams.pop(key, None)
            self._passed_over.pop(key, None)

    def _is_too_much(self, stream: InboundStream, part: DataMessage) -> bool:
        size = _size(part)
        return (
            len(stream) >= self._max_parts
            or stream.size + size > self._max_bytes
            or self._held.size + size > _TOTAL * self._max_bytes
        )

    def _fail(self, key: _Key, stream: InboundStream, error: StreamError, now: float) -> None:
        stream.end(error)
        del self._streams[key]
        self._pass_over(key, now)

    def _pass_over(self, key: _Key, now: float) -> None:
        self._passed_over[key] = now
        if len(self._passed_over) > limits.MAX_STREAMS_LEFT:
            del self._passed_over[next(iter(self._passed_over))]

    # --- ends ---------------------------------------------------------------------------------

    def expire(self, now: float) -> list[InboundStream]:
        """End the streams that were idle too long; returns them."""
        wait_s = self.idle_s  # added as in `due`, so that rounding cannot make a difference
        idle = [item for item in self._streams.items() if item[1].heard_at + wait_s <= now]
        heard_of = self._passed_over.items()
        self._passed_over = {key: at for key, at in heard_of if at + wait_s > now}
        for key, stream in idle:
            text = f"nothing came for {wait_s:g} s"
            self._fail(key, stream, StreamError("IdleTimeout", text), now)
        return [stream for _, stream in idle]

    def resume(self, now: float) -> None:
        """The link was away: that silence was nobody's."""
        for stream in self._streams.values():
            stream.heard_at = now
        self._passed_over = dict.fromkeys(self._passed_over, now)

    def leave(self, stream: InboundStream, now: float) -> list[InboundStream]:
        """The application reads it no further."""
        stream.clear()
        key = (stream.group, stream.stream_id)
        if self._streams.get(key) is not stream:
            return []
        self._fail(key, stream, StreamError("Closed", "the application has closed it"), now)
        return [stream]

    def end(self, error: StreamError) -> list[InboundStream]:
        """All streams at once; what they hold can still be taken."""
        ended = list(self._streams.values())
        for stream in ended:
            stream.end(error)
        self._streams.clear()
        self._passed_over.clear()
        return ended


def _is_mere_end(message: DataMessage) -> bool:
    """The last message of a stream may carry no data."""
    assert message.stream is not None, "only fragments come here"
    return message.stream.is_end and not message.payload.raw
