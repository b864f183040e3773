"""Group streams that an application writes, and the way from the session to all streams.

The rules are in `hubbub.protocol.client_streams`; here is what waits. Those that an application
reads are in `stream_readers`.
"""

import asyncio
import contextlib
import uuid
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from types import TracebackType
from typing import Any

from hubbub.client import failures
from hubbub.client.driver import Driver
from hubbub.client.inbox import Lane, Owner
from hubbub.client.options import DEFAULT, Default, check_limit
from hubbub.client.payloads import Payloads
from hubbub.client.stream_readers import GroupStream
from hubbub.protocol import client_events as ce
from hubbub.protocol import limits, names
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
from hubbub.protocol.errors import (
    ClientStateError,
    StreamClosedError,
    StreamError,
    StreamTimeoutError,
)
from hubbub.protocol.messages import StreamData, StreamEnd, StreamStart
from hubbub.protocol.messages import StreamError as ErrorOnWire


class Desk:
    """From the session to the streams of the application, and back."""

    def __init__(self, driver: Driver, payloads: Payloads, owner: Owner) -> None:
        self.driver = driver
        self.payloads = payloads
        self.owner = owner
        self._streams: dict[OutboundStream | InboundStream, GroupStreamWriter | GroupStream] = {}
        """Those that have not ended."""
        self._lanes: dict[StreamReader, Lane] = {}
        self.is_closing = False
        """No new parts are taken, because the client is about to stop."""

    @property
    def unsettled(self) -> "GroupStreamWriter | None":
        """A stream of ours for which something is under way."""
        for stream in self._streams.values():
            if isinstance(stream, GroupStreamWriter) and stream.is_unsettled:
                return stream
        return None

    def add(self, core: OutboundStream, stream: "GroupStreamWriter") -> None:
        self._streams[core] = stream
        self.driver.feed(OpenStream(core))

    def read(self, reader: StreamReader, lane: Lane) -> None:
        """New streams go into the lane from now on."""
        self._lanes[reader] = lane
        self.driver.feed(ReadStreams(reader))

    def stop_reading(self, reader: StreamReader) -> None:
        if self._lanes.pop(reader, None) is not None:
            self.driver.feed(StopReading(reader))

    def leave(self, reader: StreamReader, stream: InboundStream) -> None:
        self.driver.feed(LeaveStream(reader, stream))

    def on_stream(self, news: StreamBegan | StreamNews) -> None:
        core = news.stream
        if isinstance(news, StreamBegan):
            lane = self._lanes.get(news.reader)
            if lane is not None:
                stream = GroupStream(self, news.reader, news.stream)
                self._streams[news.stream] = stream
                lane.offer("group-stream", _as_event(stream), 0)
            return
        followed = self._streams.get(core)
        if followed is None:
            return
        is_ended = core.phase is Phase.ENDED if isinstance(core, OutboundStream) else core.is_ended
        if is_ended:
            del self._streams[core]
        followed.wake()

    def on_broken(self) -> None:
        """A fault of ours: the new session knows of no stream, but goes on to read."""
        streams, self._streams = self._streams, {}
        for core, stream in streams.items():
            core.end(ErrorOnWire("ClientStopped", "internal error"))
            stream.wake()
        for reader in self._lanes:
            reader.end(ErrorOnWire("ClientStopped", "internal error"))
            self.driver.feed(ReadStreams(reader))


def _as_event(stream: GroupStream) -> Any:
    """Lanes carry it like an event, though no other lane than this one hears of it."""
    return stream


class GroupStreamWriter:
    """One stream to the members of a group: parts in order, each once, or an error.

    From `Client.open_group_stream`. Calls of several tasks are done in their order.
    """

    def __init__(self, desk: Desk, core: OutboundStream, timeout: float | None) -> None:
        self._desk = desk
        self._core = core
        self._timeout = timeout
        self._turn = asyncio.Lock()
        self._news = asyncio.Event()
        self._on_error: list[Callable[[StreamError], object]] = []

    @property
    def group(self) -> str:
        return self._core.start.group

    @property
    def stream_id(self) -> str:
        return self._core.stream_id

    @property
    def closed(self) -> bool:
        return self._core.phase is Phase.ENDED

    @property
    def error(self) -> StreamError | None:
        """Why it has ended too early; None while it is open, and after a normal end."""
        error = self._core.error
        return None if error is None else failures.stream_error(self.stream_id, error)

    def __repr__(self) -> str:
        return f"GroupStreamWriter({self.group!r}, {self.stream_id!r}, closed={self.closed})"

    # --- calls -------------------------------------------------------------------------------

    async def write(
        self,
        data: object,
        data_type: str | None = None,
        *,
        timeout: float | Default | None = DEFAULT,
    ) -> None:
        """Write the next part; back when it is on its way.

        Waits while too much is not yet confirmed by the service, and while the link is away. A
        call that is cancelled or timed out has written nothing.
        Raises: StreamError, StreamClosedError, StreamTimeoutError, TypeError, ValueError;
        ClientStateError while `stop(drain=True)` waits.
        """
        if self._desk.is_closing:
            raise ClientStateError("the client is about to stop")
        payload = self._desk.payloads.encode(data, data_type)
        driver, core = self._desk.driver, self._core
        if not driver.fits(StreamData(self.stream_id, limits.MAX_ACK_ID, payload)):
            raise ValueError("the part is larger than the service takes")
        async with self._within(timeout, "write"), self._turn:
            await driver.drained()
            while not core.can_write(payload.size):
                self._check_open()
                await self._next_news()
            driver.feed(WriteFragment(core, payload))

    async def keep_alive(self) -> None:
        """Tell the service that more will come; done by itself unless switched off."""
        self._check_open()
        self._desk.driver.feed(KeepStreamAlive(self._core))

    async def end(self, *, timeout: float | Default | None = DEFAULT) -> None:
        """No more parts; back when the service has taken all of them and told the members.

        Raises: StreamError, StreamTimeoutError.
        """
        async with self._within(timeout, "end"):
            async with self._turn:
                self._desk.driver.feed(EndStream(self._core))
            await self.wait_closed()
        if self._core.error is not None:
            raise failures.stream_error(self.stream_id, self._core.error)

    async def abort(self, message: str = "", user_error_code: str | None = None) -> None:
        """End it at once; members see a `UserError` with these. Parts on their way may be lost.

        Raises: ValueError for texts above 1,024 characters, and such as no UTF-8 can hold.
        """
        if max(len(message), len(user_error_code or "")) > limits.MAX_STREAM_ERROR_CHARS:
            raise ValueError(f"at most {limits.MAX_STREAM_ERROR_CHARS} characters")
        error = ErrorOnWire("UserError", message, user_error_code)
        self._desk.driver.fits(StreamEnd(self.stream_id, error))  # it can be encoded
        self.give_up(message, user_error_code)

    def give_up(self, message: str, user_error_code: str | None = None) -> None:
        error = ErrorOnWire("UserError", message, user_error_code)
        self._desk.driver.feed(EndStream(self._core, error))

    async def wait_closed(self) -> None:
        """Back when it has ended, in whatever way."""
        while not self.closed:
            await self._next_news()

    def on_error(self, callback: Callable[[StreamError], object]) -> None:
        """Call a plain, quick function when it ends too early; at once if it has."""
        self._on_error.append(callback)
        if self.error is not None:
            self._tell_error()

    # --- inside ------------------------------------------------------------------------------

    @property
    def is_unsettled(self) -> bool:
        """A call waits, or the service has not confirmed all of it."""
        return self._turn.locked() or self._is_awaited

    @property
    def _is_awaited(self) -> bool:
        """The service has still to say something."""
        phase = self._core.phase
        return phase is not Phase.ENDED and not (phase is Phase.OPEN and self._core.is_confirmed)

    async def settled(self) -> None:
        """Back when nothing of it is under way: all parts confirmed, and the end where asked."""
        while self.is_unsettled:
            async with self._turn:  # writes that wait for room come before
                pass
            if self._is_awaited:
                await self._next_news()

    async def opened(self, timeout: float | Default | None = DEFAULT) -> None:
        """Back when the service has taken the start. Raises: StreamError, StreamTimeoutError."""
        try:
            async with self._within(timeout, "start"):
                while self._core.phase in (Phase.WAITING, Phase.STARTED):
                    await self._next_news()
        except (StreamTimeoutError, asyncio.CancelledError):
            self.give_up("the publisher did not wait for the start")
            raise
        if self._core.error is not None:
            raise failures.stream_error(self.stream_id, self._core.error)

    def wake(self) -> None:
        self._news.set()
        if self._core.error is not None:
            self._tell_error()

    def _tell_error(self) -> None:
        callbacks, self._on_error = self._on_error, []
        error = self.error
        assert error is not None, "the caller has looked"
        for callback in callbacks:
            try:
                callback(error)
            except Exception as fault:
                self._desk.owner.handler_failed("group-stream", fault)

    async def _next_news(self) -> None:
        self._news.clear()
        await self._news.wait()

    def _check_open(self) -> None:
        if self._core.error is not None:
            raise failures.stream_error(self.stream_id, self._core.error)
        if self._core.phase is Phase.ENDED or self._core.phase is Phase.ENDING:
            raise StreamClosedError("the stream has ended", stream_id=self.stream_id, name="Closed")

    @contextlib.asynccontextmanager
    async def _within(self, timeout: float | Default | None, what: str) -> AsyncGenerator[None]:
        limit = self._timeout if isinstance(timeout, Default) else timeout
        check_limit("timeout", limit)
        try:
            with self._desk.driver.awaiting():
                async with asyncio.timeout(limit):
                    yield
        except TimeoutError:
            text = f"the {what} of the stream timed out"
            raise StreamTimeoutError(text, stream_id=self.stream_id, name="TimedOut") from None


class OpenGroupStream:
    """What `open_group_stream` gives: awaitable (an open writer) and an async context manager."""

    def __init__(self, open_: Callable[[], Awaitable[GroupStreamWriter]]) -> None:
        self._open = open_
        self._writer: GroupStreamWriter | None = None

    def __await__(self) -> Generator[Any, None, GroupStreamWriter]:
        return self._open().__await__()

    async def __aenter__(self) -> GroupStreamWriter:
        self._writer = await self._open()
        return self._writer

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._writer is not None, "entered before"
        await self.leave(self._writer, exc)

    @staticmethod
    async def leave(writer: GroupStreamWriter, exc: BaseException | None) -> None:
        if exc is not None:
            writer.give_up("the publisher failed")
        elif not writer.closed or writer.error is not None:
            await writer.end()


async def open_stream(
    desk: Desk,
    group: str,
    *,
    stream_id: str | None,
    no_echo: bool,
    idle_timeout: float | None,
    auto_keep_alive: bool,
    max_unacked: int,
    max_unacked_bytes: int,
    timeout: float | None,
) -> GroupStreamWriter:
    """Start a stream and wait for the service. See `Client.open_group_stream`."""
    driver = desk.driver
    start = _start(group, stream_id, no_echo, idle_timeout)
    if max_unacked < 1 or max_unacked_bytes < 1:
        raise ValueError("max_unacked and max_unacked_bytes are at least 1")
    if driver.state in (ce.State.STOPPED, ce.State.STOPPING):
        raise ClientStateError(f"the client is {driver.state.value}")
    driver.bind()
    driver.fits(start)  # it can be encoded
    if driver.session.streams.is_in_use(start.stream_id):
        raise ValueError(f"a stream with the id {start.stream_id!r} is open")
    core = OutboundStream(
        start,
        max_unacked=max_unacked,
        max_unacked_bytes=max_unacked_bytes,
        keeps_alive=auto_keep_alive,
    )
    writer = GroupStreamWriter(desk, core, timeout)
    desk.add(core, writer)
    await writer.opened()
    return writer


def _start(
    group: str, stream_id: str | None, no_echo: bool, idle_timeout: float | None
) -> StreamStart:
    """Raises: ValueError."""
    if stream_id is None:
        stream_id = str(uuid.uuid4())
    if not 0 < len(stream_id) <= limits.MAX_STREAM_ID_CHARS:
        raise ValueError(f"stream_id has 1 to {limits.MAX_STREAM_ID_CHARS} characters")
    idle_ms = limits.STREAM_IDLE_TIMEOUT_MS
    if idle_timeout is not None:
        longest_s = limits.MAX_STREAM_IDLE_TIMEOUT_MS / 1000
        if not 0.001 <= idle_timeout <= longest_s:
            raise ValueError(f"idle_timeout is 0.001 to {longest_s:g} seconds")
        idle_ms = round(idle_timeout * 1000)
    return StreamStart(names.group_name(group), stream_id, idle_ms, no_echo)
