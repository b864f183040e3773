"""Group streams and group states of the blocking twin."""

import asyncio
import inspect
import queue
from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import Any, Self, TypeVar

from hubbub.client.async_client import Client
from hubbub.client.group_states import GroupMemberState
from hubbub.client.operations import SendResult
from hubbub.client.options import DEFAULT, BufferOptions, Default
from hubbub.client.portal import Portal
from hubbub.client.stream_readers import GroupStream, GroupStreams, StreamPart, StreamRegistration
from hubbub.client.streams import GroupStreamWriter, OpenGroupStream
from hubbub.client.sync_streams import SyncRegistration
from hubbub.protocol import limits
from hubbub.protocol.errors import ClientStateError, StreamError

_T = TypeVar("_T")
_END = object()


class SyncGroupStreamWriter:
    """As `GroupStreamWriter`: `with client.open_group_stream(…) as s: s.write(…)`."""

    def __init__(self, portal: Portal, opened: OpenGroupStream, inner: GroupStreamWriter) -> None:
        self._portal = portal
        self._opened = opened
        self._inner = inner

    @property
    def group(self) -> str:
        return self._inner.group

    @property
    def stream_id(self) -> str:
        return self._inner.stream_id

    @property
    def closed(self) -> bool:
        return self._inner.closed

    @property
    def error(self) -> StreamError | None:
        return self._inner.error

    def write(
        self,
        data: object,
        data_type: str | None = None,
        *,
        timeout: float | Default | None = DEFAULT,
    ) -> None:
        """As `GroupStreamWriter.write`."""
        self._portal.call(self._inner.write(data, data_type, timeout=timeout))

    def keep_alive(self) -> None:
        """As `GroupStreamWriter.keep_alive`."""
        self._portal.call(self._inner.keep_alive())

    def end(self, *, timeout: float | Default | None = DEFAULT) -> None:
        """As `GroupStreamWriter.end`."""
        self._portal.call(self._inner.end(timeout=timeout))

    def abort(self, message: str = "", user_error_code: str | None = None) -> None:
        """As `GroupStreamWriter.abort`."""
        self._portal.call(self._inner.abort(message, user_error_code))

    def wait_closed(self) -> None:
        """As `GroupStreamWriter.wait_closed`."""
        self._portal.call(self._inner.wait_closed())

    def on_error(self, callback: Callable[[StreamError], object]) -> None:
        """As `GroupStreamWriter.on_error`; called in the client's thread, so it must be quick."""

        async def register() -> None:
            self._inner.on_error(callback)

        self._portal.call(register())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._portal.is_running:
            self._portal.call(self._opened.leave(self._inner, exc))
        elif exc is None and self._inner.error is not None:
            raise self._inner.error


class SyncGroupStream:
    """As `GroupStream`: `for part in stream: …`."""

    def __init__(self, portal: Portal, inner: GroupStream) -> None:
        self._portal = portal
        self._inner = inner

    @property
    def group(self) -> str:
        return self._inner.group

    @property
    def stream_id(self) -> str:
        return self._inner.stream_id

    @property
    def from_user_id(self) -> str | None:
        return self._inner.from_user_id

    @property
    def is_active(self) -> bool:
        return self._inner.is_active

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> StreamPart:
        part = self._portal.call(_next(self._inner, None))
        if part is _END:
            raise StopIteration
        return part  # type: ignore[no-any-return]

    def close(self) -> None:
        """As `GroupStream.close`."""
        self._portal.run(self._inner.close)


class SyncGroupStreams:
    """As `GroupStreams`: `with … as streams: for stream in streams: for part in stream: …`."""

    def __init__(self, portal: Portal, make: Callable[[], GroupStreams]) -> None:
        self._portal = portal
        self._make = make
        self._inner: GroupStreams | None = None

    def __enter__(self) -> Self:
        async def enter() -> GroupStreams:
            return await self._make().__aenter__()

        self._inner = self._portal.call(enter())
        return self

    def __exit__(self, *_: object) -> None:
        inner, self._inner = self._inner, None
        if inner is not None:
            self._portal.run(inner.close)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> SyncGroupStream:
        stream = self._portal.call(_next(self._entered(), None))
        if stream is _END:
            raise StopIteration
        return SyncGroupStream(self._portal, stream)

    def get(self, timeout: float | None = None) -> SyncGroupStream:
        """The next one. Raises: queue.Empty when none came in time; ClientStateError at the end."""
        try:
            stream = self._portal.call(_next(self._entered(), timeout))
        except TimeoutError:
            raise queue.Empty from None
        if stream is _END:
            raise ClientStateError("the client is stopped")
        return SyncGroupStream(self._portal, stream)

    def _entered(self) -> GroupStreams:
        if self._inner is None:
            raise RuntimeError("iterate inside `with`")
        return self._inner


class SyncGroupStreaming:
    """The part of `SyncClient` for streams."""

    _client: Client
    _portal: Portal

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
    ) -> SyncGroupStreamWriter:
        """As `Client.open_group_stream`, and open when it is back."""
        opened = self._client.open_group_stream(
            group,
            stream_id=stream_id,
            no_echo=no_echo,
            idle_timeout=idle_timeout,
            auto_keep_alive=auto_keep_alive,
            max_unacked=max_unacked,
            max_unacked_bytes=max_unacked_bytes,
        )

        async def open_() -> GroupStreamWriter:
            return await opened

        return SyncGroupStreamWriter(self._portal, opened, self._portal.call(open_()))

    def group_streams(
        self,
        groups: Iterable[str] | str | None = None,
        *,
        idle_timeout: float = 300.0,
        from_start: bool = False,
        buffer: BufferOptions | None = None,
    ) -> SyncGroupStreams:
        """As `Client.group_streams`."""
        return SyncGroupStreams(
            self._portal,
            lambda: self._client.group_streams(
                groups, idle_timeout=idle_timeout, from_start=from_start, buffer=buffer
            ),
        )

    def on_group_stream(
        self,
        handler: Callable[[SyncGroupStream], object],
        *,
        groups: Iterable[str] | str | None = None,
        idle_timeout: float = 300.0,
        from_start: bool = False,
        max_concurrency: int = 16,
        buffer: BufferOptions | None = None,
    ) -> SyncRegistration:
        """As `Client.on_group_stream`, with a plain function that runs in a thread."""
        if inspect.iscoroutinefunction(handler):
            raise TypeError("a handler of SyncClient is a plain function; see Client")
        portal = self._portal

        def run(inner: GroupStream) -> None:
            stream = SyncGroupStream(portal, inner)
            try:
                handler(stream)
            finally:
                stream.close()

        def register() -> StreamRegistration:
            return self._client.register_streams(
                run, groups, idle_timeout, from_start, max_concurrency, buffer, in_thread=True
            )

        return SyncRegistration(portal, portal.run(register))


class SyncGroupStates:
    """The part of `SyncClient` for group states."""

    _client: Client
    _portal: Portal

    def set_group_state(
        self,
        group: str,
        state: Mapping[str, str],
        *,
        ack_id: int | None = None,
        timeout: float | Default | None = DEFAULT,
    ) -> SendResult:
        """As `Client.set_group_state`."""
        work = self._client.set_group_state(group, state, ack_id=ack_id, timeout=timeout)
        return self._portal.call(work)

    def clear_group_state(
        self,
        group: str,
        *,
        ack_id: int | None = None,
        timeout: float | Default | None = DEFAULT,
    ) -> SendResult:
        """As `Client.clear_group_state`."""
        work = self._client.clear_group_state(group, ack_id=ack_id, timeout=timeout)
        return self._portal.call(work)

    def get_group_state(self, group: str) -> dict[str, str]:
        """As `Client.get_group_state`."""
        return self._portal.run(lambda: self._client.get_group_state(group))

    def subscribe_group_states(
        self,
        group: str,
        *,
        ack_id: int | None = None,
        timeout: float | Default | None = DEFAULT,
    ) -> SendResult:
        """As `Client.subscribe_group_states`."""
        work = self._client.subscribe_group_states(group, ack_id=ack_id, timeout=timeout)
        return self._portal.call(work)

    def unsubscribe_group_states(
        self,
        group: str,
        *,
        ack_id: int | None = None,
        timeout: float | Default | None = DEFAULT,
    ) -> SendResult:
        """As `Client.unsubscribe_group_states`."""
        work = self._client.unsubscribe_group_states(group, ack_id=ack_id, timeout=timeout)
        return self._portal.call(work)

    def list_group_states(self, group: str) -> list[GroupMemberState]:
        """As `Client.list_group_states`."""
        return self._portal.run(lambda: self._client.list_group_states(group))


async def _next(iterator: GroupStream | GroupStreams, timeout: float | None) -> Any:
    try:
        async with asyncio.timeout(timeout):
            return await iterator.__anext__()
    except StopAsyncIteration:
        return _END
