"""The blocking twin of `Client`: the same calls without `await`, for programs with threads.

A façade: one asyncio client in a loop of its own thread does everything. Handlers are plain
functions and run in a thread for each registration, one call at a time, so order holds and a
handler may call the client, `stop()` included.
"""

import asyncio
import atexit
import concurrent.futures
import inspect
import os
import queue
import threading
import weakref
from collections.abc import Callable, Coroutine, Mapping
from types import TracebackType
from typing import Any, Self, TypeVar

from hubbub.client.async_client import Client, State
from hubbub.client.credential import CredentialProvider
from hubbub.client.inbox import EventStream, Registration
from hubbub.client.operations import InvokeResult, SendResult
from hubbub.client.options import DEFAULT, BufferOptions, Default
from hubbub.protocol.client_events import StoppedEvent
from hubbub.protocol.errors import ClientStateError, ClientStoppedError

_T = TypeVar("_T")
_EXIT_S = 1.0
"""How long the end of the interpreter may take for clients that nobody has stopped."""


class SyncClient:
    """One connection to a hub; any thread may call. Options, events and errors as of `Client`."""

    def __init__(self, credential: str | CredentialProvider, **options: Any) -> None:
        self._client = Client(credential, **options)
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._pid = os.getpid()
        self._handlers: list[SyncRegistration] = []
        _open_clients.add(self)

    # --- what is known -----------------------------------------------------------------------

    @property
    def state(self) -> State:
        return self._client.state

    @property
    def is_connected(self) -> bool:
        return self._client.is_connected

    @property
    def connection_id(self) -> str | None:
        return self._client.connection_id

    @property
    def user_id(self) -> str | None:
        return self._client.user_id

    @property
    def groups(self) -> frozenset[str]:
        return self.call(self._read_groups())

    async def _read_groups(self) -> frozenset[str]:
        return self._client.groups

    @property
    def joined_groups(self) -> frozenset[str]:
        return self.call(self._read_joined_groups())

    async def _read_joined_groups(self) -> frozenset[str]:
        return self._client.joined_groups

    def __repr__(self) -> str:
        return f"Sync{self._client!r}"

    # --- life --------------------------------------------------------------------------------

    def start(self) -> None:
        """As `Client.start`."""
        self.call(self._client.start())

    def stop(self) -> None:
        """As `Client.stop`; in a handler too. Ends the thread of the client's loop."""
        if self._loop is None:
            return
        mine = _running.registration
        try:
            self.call(self._client.stop_from(mine.inner if mine is not None else None))
        finally:
            if mine is None:
                self._end_thread()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def wait_connected(self) -> None:
        """As `Client.wait_connected`."""
        self.call(self._client.wait_connected())

    def wait_stopped(self) -> StoppedEvent | None:
        """As `Client.wait_stopped`."""
        return self.call(self._client.wait_stopped())

    # --- operations --------------------------------------------------------------------------

    def join_group(
        self,
        group: str,
        *,
        ack_id: int | None = None,
        timeout: float | Default | None = DEFAULT,
    ) -> SendResult:
        """As `Client.join_group`."""
        return self.call(self._client.join_group(group, ack_id=ack_id, timeout=timeout))

    def leave_group(
        self,
        group: str,
        *,
        ack_id: int | None = None,
        timeout: float | Default | None = DEFAULT,
    ) -> SendResult:
        """As `Client.leave_group`."""
        return self.call(self._client.leave_group(group, ack_id=ack_id, timeout=timeout))

    def send_to_group(
        self,
        group: str,
        data: object,
        data_type: str | None = None,
        *,
        no_echo: bool = False,
        fire_and_forget: bool = False,
        ack_id: int | None = None,
        ttl: int = 0,
        metadata: Mapping[str, str] | None = None,
        timeout: float | Default | None = DEFAULT,
    ) -> SendResult:
        """As `Client.send_to_group`."""
        return self.call(
            self._client.send_to_group(
                group,
                data,
                data_type,
                no_echo=no_echo,
                fire_and_forget=fire_and_forget,
                ack_id=ack_id,
                ttl=ttl,
                metadata=metadata,
                timeout=timeout,
            )
        )

    def send_event(
        self,
        name: str,
        data: object,
        data_type: str | None = None,
        *,
        fire_and_forget: bool = False,
        ack_id: int | None = None,
        metadata: Mapping[str, str] | None = None,
        timeout: float | Default | None = DEFAULT,
    ) -> SendResult:
        """As `Client.send_event`."""
        return self.call(
            self._client.send_event(
                name,
                data,
                data_type,
                fire_and_forget=fire_and_forget,
                ack_id=ack_id,
                metadata=metadata,
                timeout=timeout,
            )
        )

    def invoke_event(
        self,
        name: str,
        data: object = None,
        data_type: str | None = None,
        *,
        invocation_id: str | None = None,
        timeout: float | Default | None = DEFAULT,
    ) -> InvokeResult:
        """As `Client.invoke_event`."""
        return self.call(
            self._client.invoke_event(
                name, data, data_type, invocation_id=invocation_id, timeout=timeout
            )
        )

    # --- handlers and iterators --------------------------------------------------------------

    def on(
        self,
        event: str,
        handler: Callable[[Any], object] | None = None,
        *,
        group: str | None = None,
        buffer: BufferOptions | None = None,
    ) -> Any:
        """As `Client.on`, with a plain function that may take its time."""
        if handler is None:

            def register(function: Callable[[Any], object]) -> Callable[[Any], object]:
                self.on(event, function, group=group, buffer=buffer)
                return function

            return register
        if inspect.iscoroutinefunction(handler):
            raise TypeError("a handler of SyncClient is a plain function; see Client")
        registration = SyncRegistration(self, event, handler)
        registration.inner = self.call(self._register(registration, group, buffer))
        self._handlers.append(registration)
        return registration

    async def _register(
        self, registration: "SyncRegistration", group: str | None, buffer: BufferOptions | None
    ) -> Registration:
        inner = self._client.on(registration.name, registration.run, group=group, buffer=buffer)
        assert isinstance(inner, Registration), "a handler was given"
        return inner

    def off(self, event: str, handler: Callable[[Any], object]) -> None:
        """As `Client.off`."""
        for registration in self._handlers:
            if registration.name == event and registration.handler == handler:
                registration.close()
                return

    def messages(
        self, *, group: str | None = None, buffer: BufferOptions | None = None
    ) -> "SyncEventStream":
        """As `Client.messages`: `with client.messages() as ms: for m in ms: …`."""
        return SyncEventStream(self, lambda: self._client.messages(group=group, buffer=buffer))

    def events(self, *wanted: str, buffer: BufferOptions | None = None) -> "SyncEventStream":
        """As `Client.events`."""
        return SyncEventStream(self, lambda: self._client.events(*wanted, buffer=buffer))

    # --- the thread --------------------------------------------------------------------------

    def call(self, work: Coroutine[Any, Any, _T]) -> _T:
        """Run in the loop's thread and wait. Ctrl-C while waiting cancels the work."""
        with self._lock:  # so that whatever was handed to a loop is before the end of it
            try:
                loop = self._running_loop()
            except BaseException:
                work.close()
                raise
            future = asyncio.run_coroutine_threadsafe(work, loop)
        try:
            return future.result()
        except concurrent.futures.CancelledError:
            raise ClientStoppedError("the client was stopped meanwhile") from None
        except KeyboardInterrupt:
            future.cancel()
            raise

    def _running_loop(self) -> asyncio.AbstractEventLoop:
        if os.getpid() != self._pid:
            raise RuntimeError("a client cannot be used in a forked process: make one there")
        if threading.current_thread() is self._thread:
            raise RuntimeError(
                "this is the client's own thread: calling it here would wait for ever"
            )
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            self._thread = threading.Thread(
                target=self._loop.run_forever, name="hubbub client", daemon=True
            )
            self._thread.start()
        return self._loop

    def _end_thread(self) -> None:
        with self._lock:
            loop, thread = self._loop, self._thread
            self._loop = self._thread = None
        if loop is None or thread is None:
            return
        for registration in self._handlers:
            registration.end_thread()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.run_until_complete(_end_calls())
        loop.close()

    @property
    def has_loop(self) -> bool:
        return self._loop is not None

    def forget(self, registration: "SyncRegistration") -> None:
        if registration in self._handlers:
            self._handlers.remove(registration)

    def stop_at_exit(self) -> None:
        """The interpreter ends: say goodbye where it is quick, wait for nothing else."""
        loop = self._loop
        if loop is None or os.getpid() != self._pid:
            return
        future = asyncio.run_coroutine_threadsafe(self._client.stop(), loop)
        concurrent.futures.wait([future], timeout=_EXIT_S)


class SyncRegistration:
    """A handler and the thread that calls it."""

    def __init__(self, client: SyncClient, name: str, handler: Callable[[Any], object]) -> None:
        self.name = name
        self.handler = handler
        self.inner: Registration | None = None
        self._client = client
        self._executor: concurrent.futures.ThreadPoolExecutor | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Call the handler no more. Idempotent."""
        inner = self.inner
        if inner is not None:
            self._client.call(_close(inner))
        self._client.forget(self)
        self.end_thread()

    async def run(self, event: Any) -> None:
        """One event, in this handler's thread; the lane gives them one at a time."""
        if self._executor is None:
            self._executor = concurrent.futures.ThreadPoolExecutor(
                1, thread_name_prefix=f"hubbub {self.name}"
            )
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._executor, self._run_here, event)

    def _run_here(self, event: Any) -> None:
        _running.registration = self
        self.handler(event)

    def end_thread(self) -> None:
        executor, self._executor = self._executor, None
        if executor is not None:
            executor.shutdown(wait=False)


class SyncEventStream:
    """`with … as events: for event in events: …`; `events.get(timeout=1)` waits for one."""

    def __init__(self, client: SyncClient, make: Callable[[], EventStream]) -> None:
        self._client = client
        self._make = make
        self._stream: EventStream | None = None

    def __enter__(self) -> Self:
        self._stream = self._client.call(self._open())
        return self

    async def _open(self) -> EventStream:
        return await self._make().__aenter__()

    def __exit__(self, *_: object) -> None:
        stream, self._stream = self._stream, None
        if stream is not None and self._client.has_loop:
            self._client.call(_close(stream))

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Any:
        if self._stream is None:
            raise RuntimeError("iterate inside `with`")
        event = self._client.call(self._next(None))
        if event is _END:
            raise StopIteration
        return event

    def get(self, timeout: float | None = None) -> Any:
        """The next event. Raises: queue.Empty when none came in time; ClientStateError at the end."""
        if self._stream is None:
            raise RuntimeError("iterate inside `with`")
        try:
            event = self._client.call(self._next(timeout))
        except TimeoutError:
            raise queue.Empty from None
        if event is _END:
            raise ClientStateError("the client is stopped")
        return event

    async def _next(self, timeout: float | None) -> Any:
        assert self._stream is not None, "checked by the caller"
        try:
            async with asyncio.timeout(timeout):
                return await self._stream.__anext__()
        except StopAsyncIteration:
            return _END


async def _end_calls() -> None:
    """Calls of other threads that came at the very end: they end too, or are cancelled."""
    await asyncio.sleep(0)
    rest = asyncio.all_tasks() - {asyncio.current_task()}
    if rest:
        _, late = await asyncio.wait(rest, timeout=0.1)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)


async def _close(lane: Registration | EventStream) -> None:
    lane.close()


def connect_sync(credential: str | CredentialProvider, **options: Any) -> SyncClient:
    """`with connect_sync(url) as client: …`; options as of `Client`."""
    return SyncClient(credential, **options)


_END = object()


class _Running(threading.local):
    """Which handler this thread is in."""

    registration: SyncRegistration | None = None


_running = _Running()
_open_clients: "weakref.WeakSet[SyncClient]" = weakref.WeakSet()


@atexit.register
def _stop_all() -> None:
    for client in list(_open_clients):
        client.stop_at_exit()
