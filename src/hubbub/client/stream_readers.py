"""Group streams that an application reads: as an iterator of streams, or with a handler."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from hubbub.client import failures
from hubbub.client.inbox import Lane, Owner, Registration
from hubbub.client.options import BufferOptions
from hubbub.protocol import names
from hubbub.protocol.client_stream_readers import InboundStream, StreamReader
from hubbub.protocol.errors import StreamError
from hubbub.protocol.messages import DataMessage, DataType, StreamInfo

if TYPE_CHECKING:
    from hubbub.client.streams import Desk


@dataclass(frozen=True, slots=True)
class StreamPart:
    """One part of a stream. `sequence_id`: of the connection, as of any message."""

    data: Any
    data_type: DataType
    sequence_id: int | None
    stream: StreamInfo


class GroupStream:
    """One stream of a publisher: `async for part in stream`, every part once and in order.

    The loop ends with the stream, or raises StreamError: parts before the error come first.
    """

    def __init__(self, desk: "Desk", reader: StreamReader, core: InboundStream) -> None:
        self._desk = desk
        self._reader = reader
        self._core = core
        self._news = asyncio.Event()

    @property
    def group(self) -> str:
        return self._core.group

    @property
    def stream_id(self) -> str:
        return self._core.stream_id

    @property
    def from_user_id(self) -> str | None:
        return self._core.from_user_id

    @property
    def is_active(self) -> bool:
        """Whether more parts may come than those that wait."""
        return not self._core.is_ended

    def __repr__(self) -> str:
        return f"GroupStream({self.group!r}, {self.stream_id!r}, is_active={self.is_active})"

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> StreamPart:
        while (part := self._core.take()) is None:
            if self._core.error is not None:
                raise failures.stream_error(self.stream_id, self._core.error)
            if self._core.is_ended:
                raise StopAsyncIteration
            self._news.clear()
            await self._news.wait()
        return self._decoded(part)

    def _decoded(self, part: DataMessage) -> StreamPart:
        assert part.stream is not None, "only fragments come here"
        payload = part.payload
        try:
            data = self._desk.payloads.decode(payload)
        except (ValueError, RecursionError) as error:
            self.close()
            text = "the data of a part cannot be decoded"
            raise StreamError(text, stream_id=self.stream_id, name="Unparsable") from error
        return StreamPart(data, payload.data_type, part.sequence_id, part.stream)

    def close(self) -> None:
        """Read it no further; what waits is dropped. Idempotent."""
        self._desk.leave(self._reader, self._core)

    def wake(self) -> None:
        self._news.set()


StreamHandler = Callable[[GroupStream], Awaitable[object]]


def stream_reader(
    groups: Iterable[str] | str | None,
    idle_timeout: float,
    from_start: bool,
    buffer: BufferOptions,
) -> StreamReader:
    """Raises: ValueError."""
    if not idle_timeout > 0:
        raise ValueError("idle_timeout must be above 0")
    if isinstance(groups, str):
        groups = (groups,)
    return StreamReader(
        groups=None if groups is None else frozenset(map(names.group_name, groups)),
        idle_s=idle_timeout,
        from_start=from_start,
        max_parts=buffer.max_messages,
        max_bytes=buffer.max_bytes,
    )


class _StreamLane(Lane):
    """Streams that were not taken yet, and the end of the client among them."""

    def __init__(self, owner: Owner, buffer: BufferOptions) -> None:
        super().__init__(owner, frozenset({"group-stream"}), None, buffer)
        self._news = asyncio.Event()

    def wants(self, name: str) -> bool:
        return name == "stopped"

    def _wake(self) -> None:
        self._news.set()

    async def next(self) -> GroupStream:
        """Raises: StopAsyncIteration when the client was stopped."""
        while not self._queue:
            if self.is_closed:
                raise StopAsyncIteration
            self._news.clear()
            await self._news.wait()
        event: Any = self._take()[1]
        if isinstance(event, GroupStream):
            return event
        self._news.set()
        self._news = asyncio.Event()  # the next start may be in another loop
        raise StopAsyncIteration

    def close(self) -> None:
        super().close()
        self._news.set()


class GroupStreams:
    """`async with … as streams: async for stream in streams: async for part in stream: …`.

    The loop ends when the client is stopped; after another start it can be iterated again.
    Leaving the block closes the streams that are still open.
    """

    def __init__(
        self,
        desk: "Desk",
        add: Callable[[Lane], None],
        reader: StreamReader,
        buffer: BufferOptions,
    ) -> None:
        self._desk = desk
        self._add = add
        self._reader = reader
        self._buffer = buffer
        self._lane: _StreamLane | None = None

    async def __aenter__(self) -> Self:
        if self._lane is not None:
            raise RuntimeError("streams are read in one `async with` block")
        self._lane = _StreamLane(self._desk.owner, self._buffer)
        self._add(self._lane)
        self._desk.read(self._reader, self._lane)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._desk.stop_reading(self._reader)
        if self._lane is not None:
            self._lane.close()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> GroupStream:
        if self._lane is None:
            raise RuntimeError("iterate inside `async with`")
        return await self._lane.next()


class StreamRegistration(Registration):
    """A handler of streams, called once for each; `close()` takes it off.

    A stream is closed when its handler returns. Errors go where those of all handlers go.
    """

    def __init__(
        self,
        desk: "Desk",
        reader: StreamReader,
        run: Callable[[GroupStream], object],
        buffer: BufferOptions,
        *,
        max_concurrency: int,
        in_thread: bool,
    ) -> None:
        """`run` closes each stream at its end."""
        super().__init__(
            desk.owner,
            "group-stream",
            run,
            None,
            buffer,
            max_concurrency=max_concurrency,
            thread=in_thread,
        )
        self._desk = desk
        self._reader = reader

    def close(self) -> None:
        """New streams are not handled any more; those that are being handled end as closed."""
        super().close()
        self._desk.stop_reading(self._reader)
