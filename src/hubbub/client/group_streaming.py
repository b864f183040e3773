"""The part of `Client` that writes and reads group streams."""

from collections.abc import Callable, Iterable
from dataclasses import replace

from hubbub.client.calls import Calls
from hubbub.client.dispatch import Dispatcher
from hubbub.client.operations import Timeouts
from hubbub.client.options import BufferOptions
from hubbub.client.stream_readers import (
    GroupStream,
    GroupStreams,
    StreamHandler,
    StreamRegistration,
    stream_reader,
)
from hubbub.client.streams import GroupStreamWriter, OpenGroupStream, open_stream
from hubbub.protocol import limits
from hubbub.protocol.errors import ClientStateError


class GroupStreaming:
    """Streams belong to one connection: a recovery does not harm them, a reconnect ends them."""

    _calls: Calls
    _dispatcher: Dispatcher
    _timeouts: Timeouts
    _buffer: BufferOptions

    def open_group_stream(
        self,
        group: str,
        *,
        stream_id: str | None = None,
        no_echo: bool = False,
        idle_timeout: float | None = None,
        auto_keep_alive: bool = True,
        max_unacked: int = limits.STREAM_WINDOW_FRAGMENTS,
        max_unacked_bytes: int = limits.STREAM_WINDOW_BYTES,
    ) -> OpenGroupStream:
        """A stream of parts to the members of a group: `async with … as s: await s.write(…)`.

        Leaving the block ends the stream, or aborts it where an error comes out. To be awaited
        instead, it gives the writer. `stream_id`: a random one if not given. `idle_timeout`: how
        long the service waits for the next part, 300 s if None; with `auto_keep_alive` it is told
        in time that more will come. `max_unacked`, `max_unacked_bytes`: parts that may be on their
        way; then `write` waits.
        Raises: StreamError, StreamTimeoutError, ClientStateError, ValueError for an id in use.
        """

        async def open_() -> GroupStreamWriter:
            if self._calls.is_closed:
                raise ClientStateError("the client is about to stop")
            return await open_stream(
                self._dispatcher.desk,
                group,
                stream_id=stream_id,
                no_echo=no_echo,
                idle_timeout=idle_timeout,
                auto_keep_alive=auto_keep_alive,
                max_unacked=max_unacked,
                max_unacked_bytes=max_unacked_bytes,
                timeout=self._timeouts.operation,
            )

        return OpenGroupStream(open_)

    def group_streams(
        self,
        groups: Iterable[str] | str | None = None,
        *,
        idle_timeout: float = 300.0,
        from_start: bool = False,
        buffer: BufferOptions | None = None,
    ) -> GroupStreams:
        """The streams of these groups, or all: `async with … as streams: async for s in streams`.

        `idle_timeout`: seconds of silence that end a stream with the error `IdleTimeout`.
        `from_start`: pass over streams whose first part was not seen. `buffer`: of each stream;
        what is not read in time ends that stream with `Overflow`. Parts are group messages too.
        """
        limits_ = self._limits(buffer)
        reader = stream_reader(groups, idle_timeout, from_start, limits_)
        return GroupStreams(self._dispatcher.desk, self._dispatcher.add, reader, limits_)

    def _limits(self, buffer: BufferOptions | None) -> BufferOptions:
        """Parts overflow by stream; streams that nobody takes stop the reading, for all else
        could drop the beginning of one."""
        return replace(buffer or self._buffer, overflow="block")

    def on_group_stream(
        self,
        handler: StreamHandler,
        *,
        groups: Iterable[str] | str | None = None,
        idle_timeout: float = 300.0,
        from_start: bool = False,
        max_concurrency: int = 16,
        buffer: BufferOptions | None = None,
    ) -> StreamRegistration:
        """Call a coroutine function for each new stream, for up to `max_concurrency` at once.

        The stream is closed when the handler returns; what it raises goes to `handler-error`,
        a StreamError too. Other options as of `group_streams`. `close()` takes it off.
        """

        async def run(stream: GroupStream) -> None:
            try:
                await handler(stream)
            finally:
                stream.close()

        return self.register_streams(
            run, groups, idle_timeout, from_start, max_concurrency, buffer, in_thread=False
        )

    def register_streams(
        self,
        run: Callable[[GroupStream], object],
        groups: Iterable[str] | str | None,
        idle_timeout: float,
        from_start: bool,
        max_concurrency: int,
        buffer: BufferOptions | None,
        *,
        in_thread: bool,
    ) -> StreamRegistration:
        """What both twins do with a handler; `run` closes each stream at its end."""
        if max_concurrency < 1:
            raise ValueError("max_concurrency must be at least 1")
        limits_ = self._limits(buffer)
        reader = stream_reader(groups, idle_timeout, from_start, limits_)
        desk = self._dispatcher.desk
        registration = StreamRegistration(
            desk, reader, run, limits_, max_concurrency=max_concurrency, in_thread=in_thread
        )
        self._dispatcher.add(registration)
        desk.read(reader, registration)
        return registration
