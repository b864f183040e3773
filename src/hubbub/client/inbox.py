"""Lanes: one bounded queue per handler or iterator, in the order in which events came.

A handler never runs in the reader, but for a plain function whose lane is empty: then the call is
direct, without a queue or a task. A raising, slow or re-entrant handler harms no other.
"""

import asyncio
import contextlib
import contextvars
import inspect
import threading
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from hubbub.client.events import MESSAGES, ClientEvent
from hubbub.client.logs import ClientLog
from hubbub.client.options import BufferOptions
from hubbub.client.threads import Worker
from hubbub.protocol.limits import OUTBOUND_QUEUE_MESSAGES

Handler = Callable[[Any], Any]
_EVENT_BYTES = 200
"""What an event costs beside its data, about."""
_LEAST_MESSAGES = OUTBOUND_QUEUE_MESSAGES
"""What the service may have on its way."""
_LEAST_BYTES = 4 * 1_048_576
_MOST_MORE = 10
"""How often so much may come beyond that while nobody can drain a lane."""
_BLOCKED_S = 1.0
"""A handler that runs in the reader longer than this is told of, in asyncio's debug mode."""


_handler: contextvars.ContextVar["asyncio.Task[None] | None"] = contextvars.ContextVar(
    "hubbub_handler", default=None
)


def present_handler() -> "asyncio.Task[None] | None":
    """The task of the handler that calls, also from tasks that it has started."""
    return _handler.get()


class Owner(Protocol):
    log: ClientLog
    is_debug: bool
    """The event loop is in its debug mode; looked up now and then, not for each message."""

    def lane_half_full(self, lane: "Lane") -> None:
        """It has reached half of its limit."""

    def lane_filled(self, lane: "Lane") -> None:
        """It has reached its limit."""

    def lane_overfilled(self, lane: "Lane") -> None:
        """It holds so much that nothing more can be taken; see `Lane.is_overfull`."""

    def lane_gives_up(self, lane: "Lane") -> None:
        """It is full, and its overflow is "disconnect"."""

    def lane_drained(self, lane: "Lane") -> None:
        """It holds half of its limit or less again."""

    def lane_dropped(self, lane: "Lane") -> None:
        """`lane.dropped` has grown."""

    def handler_runs(self, task: asyncio.Task[None]) -> None: ...

    def handler_failed(self, event: str, error: BaseException) -> None: ...

    def lane_closed(self, lane: "Lane") -> None: ...


class Lane:
    """`names` None: every event. `group`: only messages of this group."""

    def __init__(
        self, owner: Owner, names: frozenset[str] | None, group: str | None, buffer: BufferOptions
    ) -> None:
        self._owner = owner
        self.names = names
        self.group = group
        self.buffer = buffer
        self._queue: deque[tuple[str, ClientEvent, int]] = deque()
        self.size = 0
        self.depth_max = 0
        self.dropped = 0
        """Messages that were dropped and not yet reported."""
        self.report_at = 0.0
        self.is_full = False
        self.is_dropping = False
        """Until it has drained, messages that come are dropped."""
        self._is_half_full = False
        self._allowed = 0
        """How often `allow_more` has raised the limit since it drained."""
        self._emptied: asyncio.Future[None] | None = None
        self.is_closed = False
        self._lock: threading.RLock | None = None
        """Held while a shared queue changes; re-entrant, as the owner is called meanwhile."""
        self._is_told = False
        """`note_taken` is on its way."""

    @property
    def log(self) -> ClientLog:
        """Of the client."""
        return self._owner.log

    def share(self) -> None:
        """From now on other threads take from it, by `take_in_thread`."""
        self._lock = threading.RLock()

    def __len__(self) -> int:
        return len(self._queue)

    def wants(self, name: str) -> bool:
        """Events of this name; messages of a group only if it is the right one."""
        if self.names is not None and name not in self.names:
            return False
        return self.group is None or name != "server-message"

    def offer(self, name: str, event: ClientEvent, size: int) -> None:
        """Take an event. Those of the connection's life are never dropped."""
        if self._lock is None:
            self._add(name, event, size + _EVENT_BYTES)
            return
        with self._lock:
            if self._is_half_full:
                self._drain()  # as threads may have taken much
            self._add(name, event, size + _EVENT_BYTES)

    def _add(self, name: str, event: ClientEvent, size: int) -> None:
        is_over = self._is_too_much(size)
        if (is_over or self.is_dropping) and name in MESSAGES and not self._makes_room(size):
            self._drop(1)
            return
        self._queue.append((name, event, size))
        self.size += size
        if len(self._queue) > self.depth_max:
            self.depth_max = len(self._queue)
        if not self._is_half_full and self._is_at(2):
            self._is_half_full = True
            self._owner.lane_half_full(self)
        if is_over:
            self._fill()
        self._wake()

    def _makes_room(self, size: int) -> bool:
        """False: the message that comes now is the one to be dropped."""
        overflow = self.buffer.overflow
        if overflow == "drop-oldest":
            self._drop_oldest(size)
        elif overflow == "disconnect":
            self._owner.lane_gives_up(self)
        return not self.is_dropping and overflow in ("block", "drop-oldest")

    def _is_at(self, part: int) -> bool:
        """It holds that part of its limit, or more."""
        limits = self.buffer
        return (
            part * len(self._queue) >= limits.max_messages or part * self.size >= limits.max_bytes
        )

    def _is_too_much(self, size: int) -> bool:
        limits = self.buffer
        return len(self._queue) >= limits.max_messages or self.size + size > limits.max_bytes

    def _drop_oldest(self, size: int) -> None:
        """Make room for so many bytes; events of the connection's life stay."""
        dropped = 0
        kept: list[tuple[str, ClientEvent, int]] = []
        while self._queue and self._is_too_much(size):
            name, event, old_size = self._queue.popleft()
            if name in MESSAGES:
                self.size -= old_size
                dropped += 1
            else:
                kept.append((name, event, old_size))
                if len(kept) >= self.buffer.max_messages:
                    break
        self._queue.extendleft(reversed(kept))
        if dropped:
            self._drop(dropped)

    def _drop(self, messages: int) -> None:
        self.dropped += messages
        self._fill()
        self._owner.lane_dropped(self)

    @property
    def is_overfull(self) -> bool:
        """Twice the limit, and more for small ones: what comes before an answer must fit."""
        limits, more = self.buffer, self._allowed
        messages = max(2 * limits.max_messages, _LEAST_MESSAGES) + more * _LEAST_MESSAGES
        size = max(2 * limits.max_bytes, _LEAST_BYTES) + more * _LEAST_BYTES
        return len(self._queue) >= messages or self.size >= size

    def allow_more(self) -> bool:
        """Have room once more for what the service may have on its way; False: no more."""
        while self.is_overfull and self._allowed < _MOST_MORE:
            self._allowed += 1
        return not self.is_overfull

    def _fill(self) -> None:
        if not self.is_full:
            self.is_full = True
            self._owner.lane_filled(self)
        if self.is_overfull:
            self._owner.lane_overfilled(self)

    def _take(self) -> tuple[str, ClientEvent]:
        name, event, size = self._queue.popleft()
        if not self._queue:
            self._note_empty()
        self.size -= size
        if self._is_half_full:
            self._drain()
        return name, event

    def take_in_thread(self, tell: Callable[[], object]) -> ClientEvent | None:
        """For other threads than the loop's: the next event of a shared lane, or None.

        `tell`: is to have the loop call `note_taken`, which is seldom needed.
        """
        assert self._lock is not None, "only of a lane that is shared"
        with self._lock:
            if not self._queue:
                return None
            _, event, size = self._queue.popleft()
            self.size -= size
            is_news = (self.is_full and self._is_drained_to(2)) or (
                self._emptied is not None and not self._queue
            )
            must_tell = is_news and not self._is_told
            self._is_told |= must_tell
        if must_tell:
            tell()
        return event

    def note_taken(self) -> None:
        """Threads have taken events."""
        self._is_told = False
        if self._is_half_full:
            self._drain()
        if not self._queue:
            self._note_empty()

    def _is_drained_to(self, part: int) -> bool:
        """It holds that part of its limit, or less."""
        limits = self.buffer
        return (
            part * len(self._queue) <= limits.max_messages and part * self.size <= limits.max_bytes
        )

    def _drain(self) -> None:
        if self.is_full and self._is_drained_to(2):
            self.is_full = self.is_dropping = False
            self._allowed = 0
            self._owner.lane_drained(self)
        if self._is_half_full and self._is_drained_to(4):
            self._is_half_full = False

    async def emptied(self) -> None:
        """Back when nothing waits in it."""
        while self._queue:
            emptied = self._emptied
            if emptied is None or emptied.done():
                emptied = self._emptied = asyncio.get_running_loop().create_future()
            if self._queue:  # a thread may have looked at `_emptied` before
                await asyncio.shield(emptied)

    def _wake(self) -> None:
        raise NotImplementedError

    def close(self) -> None:
        """No more events; what is queued is dropped. Idempotent."""
        if self.is_closed:
            return
        self.is_closed = True
        self._clear()
        self._owner.lane_closed(self)

    def _clear(self) -> None:
        """Forget what is queued."""
        with self._lock or contextlib.nullcontext():
            self._queue.clear()
            self.size = self.dropped = 0
        self._drain()
        self._note_empty()

    def _note_empty(self) -> None:
        if self._emptied is not None and not self._emptied.done():
            self._emptied.set_result(None)


class Registration(Lane):
    """A handler. `with registration:` or `registration.close()` takes it off."""

    def __init__(
        self,
        owner: Owner,
        name: str,
        handler: Handler,
        group: str | None,
        buffer: BufferOptions,
        *,
        max_concurrency: int = 1,
        thread: bool = False,
    ) -> None:
        super().__init__(owner, frozenset({name}), group, buffer)
        self.name = name
        self.handler = handler
        call = getattr(handler, "__call__", None)  # noqa: B004 - an object may be async callable
        is_async = inspect.iscoroutinefunction(handler) or inspect.iscoroutinefunction(call)
        if thread and is_async:
            raise TypeError("a coroutine function cannot run in a thread")
        self._is_queued = is_async or thread
        self._worker: Worker | None = None
        if thread:
            self._worker = Worker(f"hubbub {name}", max_concurrency)
            self.share()
        self._max_tasks = max_concurrency
        self._tasks = 0
        self._context = contextvars.copy_context()
        self._is_busy = self._is_queued
        """Never called from the reader, or a call has not ended."""

    def __enter__(self) -> "Registration":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        super().close()
        self.rest()

    def rest(self) -> None:
        """End its threads; the next event starts them anew."""
        if self._worker is not None:
            self._worker.close()

    def offer(self, name: str, event: ClientEvent, size: int) -> None:
        if self._queue or self._is_busy:
            super().offer(name, event, size)
            return
        # In the reader: whatever the handler raises must not get there.
        self._is_busy = True
        begun_at = _debug_time() if self._owner.is_debug else None
        try:
            result = self._context.copy().run(self.handler, event)
        except (KeyboardInterrupt, SystemExit) as error:
            asyncio.get_running_loop().call_soon(_raise, error)
        except BaseException as error:
            self._owner.handler_failed(self.name, error)
        else:
            if result is not None and inspect.isawaitable(result):
                # A plain function around a coroutine, a lambda perhaps: only its result tells.
                self._is_queued = True
                self._run(result)
        finally:
            self._is_busy = self._is_queued
        if begun_at is not None:
            _tell_blocked(self.log, self.name, begun_at)

    def _wake(self) -> None:
        if self._tasks < self._max_tasks:
            self._run()

    def _run(self, begun: Awaitable[Any] | None = None) -> None:
        self._tasks += 1
        task = asyncio.get_running_loop().create_task(
            self._consume(begun), name=f"hubbub {self.name}", context=self._context.copy()
        )
        self._owner.handler_runs(task)

    async def _consume(self, begun: Awaitable[Any] | None) -> None:
        """Until the lane is empty; the next event starts it anew."""
        _handler.set(asyncio.current_task())
        try:
            if begun is not None:
                await self._watch(begun)
            while self._queue:
                if self._worker is None:
                    await self._watch(self._call(self._take()[1]))
                else:
                    await self._watch(self._send_worker(self._worker))
        finally:
            self._tasks -= 1

    async def _watch(self, work: Awaitable[Any]) -> None:
        try:
            await work
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                self._clear()
                raise
            self._owner.handler_failed(self.name, error)  # the handler's own doing
        except (KeyboardInterrupt, SystemExit, GeneratorExit):
            raise
        except BaseException as error:
            self._owner.handler_failed(self.name, error)

    async def _call(self, event: ClientEvent) -> None:
        result = self.handler(event)
        if inspect.isawaitable(result):
            await result

    async def _send_worker(self, worker: Worker) -> None:
        """Raises: what the handler raised; then there may be more in the queue."""
        turn = _Turn(asyncio.get_running_loop())
        try:
            await worker.run(self._work, turn)
        finally:
            turn.is_over = True
            self.note_taken()

    def _work(self, turn: "_Turn") -> None:
        """In a thread: call the handler for what is queued, without a way back to the loop."""
        assert self._lock is not None, "a lane of threads is shared"

        def tell() -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed
                turn.loop.call_soon_threadsafe(self.note_taken)

        while True:
            with self._lock:  # so that nothing is taken once it was cancelled
                event = None if turn.is_over else self.take_in_thread(tell)
            if event is None:
                return
            contextvars.copy_context().run(self.handler, event)
            del event  # hold nothing while waiting


class _Turn:
    """Of a thread, at the queue of a lane. It ends with the task that waits for it."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.is_over = False


def _debug_time() -> float:
    return asyncio.get_running_loop().time()


def _tell_blocked(log: ClientLog, name: str, begun_at: float) -> None:
    blocked_s = asyncio.get_running_loop().time() - begun_at
    if blocked_s > _BLOCKED_S:
        log.warning("a handler of %r blocked the event loop for %.1f s", name, blocked_s)


def _raise(error: BaseException) -> None:
    raise error
