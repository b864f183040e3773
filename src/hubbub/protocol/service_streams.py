"""The group streams that one connection publishes, as the service sees them. No I/O.

Each input gives an `Outcome`: what members get, what the publisher hears. A stream belongs to its
connection: it lives through a recovery and ends with the session.
"""

from typing import NamedTuple

from hubbub.protocol import limits
from hubbub.protocol.messages import (
    ErrorDetail,
    Payload,
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
from hubbub.protocol.roles import Permissions


class Fragment(NamedTuple):
    """For the members of the group; `info.is_end` with an empty text payload ends the stream."""

    group: str
    payload: Payload
    info: StreamInfo
    no_echo: bool


class Outcome(NamedTuple):
    fragment: Fragment | None
    answer: StreamAck | StreamNack | StreamClosed | None


class _Stream:
    __slots__ = ("expected", "group", "idle_at", "idle_timeout_s", "no_echo")

    def __init__(self, start: StreamStart, now: float) -> None:
        self.group = start.group
        self.no_echo = start.no_echo
        self.idle_timeout_s = start.idle_timeout_ms / 1000
        self.idle_at = now + self.idle_timeout_s
        self.expected = 1


_EMPTY = text_payload("")


class PublishedStreams:
    """`max_streams`: active at once; one more is refused."""

    __slots__ = ("_max_streams", "_streams")

    def __init__(self, max_streams: int = limits.MAX_STREAMS) -> None:
        self._max_streams = max_streams
        self._streams: dict[str, _Stream] = {}

    def __len__(self) -> int:
        return len(self._streams)

    @property
    def idle_at(self) -> float | None:
        """When the first of the streams would be idle too long; seconds of the caller's clock."""
        return min((stream.idle_at for stream in self._streams.values()), default=None)

    def receive(
        self,
        request: StreamStart | StreamData | StreamEnd,
        permissions: Permissions,
        now: float,
        *,
        is_accepting: bool = True,
    ) -> Outcome:
        """`is_accepting` False: fragments cannot be sent on now; the publisher keeps them."""
        if isinstance(request, StreamStart):
            return self._start(request, permissions, now)
        stream = self._streams.get(request.stream_id)
        if stream is None:
            return _closed(request.stream_id, "StreamNotFound", "no such stream is active")
        if not permissions.can_send(stream.group):
            return self._fail(request.stream_id, "Forbidden", "no permission to send any more")
        if isinstance(request, StreamEnd):
            return self._end(request.stream_id, request.error, None)
        if request.problem:
            return self._fail(request.stream_id, "BadRequest", request.problem)
        if not is_accepting:
            text = "the fragment cannot be taken now"
            return Outcome(
                None, StreamNack(request.stream_id, stream.expected, "TransientError", text)
            )
        return self._data(request, stream, now)

    def _start(self, request: StreamStart, permissions: Permissions, now: float) -> Outcome:
        name, problem = "BadRequest", request.problem
        if not problem and request.stream_id in self._streams:
            problem = "a stream with this id is active"
        if not problem and len(self._streams) >= self._max_streams:
            problem = f"{self._max_streams} streams are active"
        if not problem and not permissions.can_send(request.group):
            name, problem = "Forbidden", "no permission to send to the group"
        if problem:
            return _closed(request.stream_id, name, problem)
        self._streams[request.stream_id] = _Stream(request, now)
        return Outcome(None, StreamAck(request.stream_id, 1))

    def _data(self, request: StreamData, stream: _Stream, now: float) -> Outcome:
        stream_id, expected = request.stream_id, stream.expected
        if request.sequence_id is None or request.payload is None:  # a keep-alive
            stream.idle_at = now + stream.idle_timeout_s
            return Outcome(None, StreamAck(stream_id, expected))
        if request.sequence_id < expected:
            return Outcome(None, StreamAck(stream_id, expected))
        if request.sequence_id > expected:
            text = f"expected fragment {expected}"
            return Outcome(None, StreamNack(stream_id, expected, "InvalidSequenceId", text))
        stream.idle_at = now + stream.idle_timeout_s
        stream.expected += 1
        info = StreamInfo(stream_id, expected)
        fragment = Fragment(stream.group, request.payload, info, stream.no_echo)
        return Outcome(fragment, StreamAck(stream_id, stream.expected))

    def _fail(self, stream_id: str, name: str, message: str) -> Outcome:
        """Members hear of a fault of the publisher as `Cancelled`, unless they know its name."""
        told = name if name in ("Forbidden", "IdleTimeout") else "Cancelled"
        return self._end(stream_id, StreamError(told, message), ErrorDetail(name, message))

    def _end(self, stream_id: str, told: StreamError | None, error: ErrorDetail | None) -> Outcome:
        stream = self._streams.pop(stream_id)
        info = StreamInfo(stream_id, stream.expected, is_end=True, error=told)
        fragment = Fragment(stream.group, _EMPTY, info, stream.no_echo)
        return Outcome(fragment, StreamClosed(stream_id, error))

    def expire(self, now: float) -> list[Outcome]:
        """End the streams that were idle too long."""
        idle = [key for key, stream in self._streams.items() if stream.idle_at <= now]
        return [self._fail(key, "IdleTimeout", "nothing came in time") for key in idle]

    def resume(self) -> list[StreamAck]:
        """After a recovery: where each stream stands."""
        return [StreamAck(key, stream.expected) for key, stream in self._streams.items()]

    def cancel(self) -> list[Fragment]:
        """The connection is gone for good: what members must hear."""
        fragments = []
        for key in list(self._streams):
            error = StreamError("Cancelled", "the publisher's connection ended")
            fragment = self._end(key, error, None).fragment
            assert fragment is not None, "an end is always told"
            fragments.append(fragment)
        return fragments


def _closed(stream_id: str, name: str, message: str) -> Outcome:
    return Outcome(None, StreamClosed(stream_id, ErrorDetail(name, message)))
