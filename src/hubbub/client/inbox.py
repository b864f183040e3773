"""Lanes: one bounded queue per handler or iterator, in the order in which events came.

A handler never runs in the reader, but for a plain function whose lane is empty: then the call is
direct, without a queue or a task. A raising, slow or re-entrant handler harms no other.
"""

import asyncio
import contextvars
import inspect
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from hubbub.client.events import MESSAGES, ClientEvent, GroupMessageEvent
from hubbub.client.options import BufferOptions
from hubbub.protocol.limits import OUTBOUND_QUEUE_MESSAGES

log = logging.getLogger("hubbub.client")

Handler = Callable[[Any], Any]
_EVENT_BYTES = 200
"""What an event costs beside its data, about."""
_LEAST_MESSAGES = OUTBOUND_QUEUE_MESSAGES
"""What the service may have on its way."""
_LEAST_BYTES = 4 * 1_048_576


_handler: contextvars.ContextVar["asyncio.Task[None] | None"] = contextvars.ContextVar(
    "hubbub_handler", default=None
)


def present_handler() -> "asyncio.Task[None] | None":
    """The task of the handler that calls, also from tasks that it has started."""
    return _handler.get()


class Owner(Protocol):
    def lane_filled(self, lane: "Lane") -> None:
        """It has reached its limit."""

    def lane_overfilled(self, lane: "Lane") -> None:
        """It holds so much that nothing more can be taken; see `Lane.is_overfull`."""

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
        self.dropped = 0
        """Messages that were dropped and not yet reported."""
        self.report_at = 0.0
        self.is_full = False
        self.is_closed = False

    def __len__(self) -> int:
        return len(self._queue)

    def wants(self, name: str, event: ClientEvent) -> bool:
        if self.names is not None and name not in self.names:
            return False
        if self.group is not None and isinstance(event, GroupMessageEvent):
            return event.group == self.group
        return self.group is None or name not in MESSAGES

    def offer(self, name: str, event: ClientEvent, size: int) -> None:
        """Take an event. Those of the connection's life are never dropped."""
        size += _EVENT_BYTES
        is_over = self._is_too_much(size)
        if is_over and name in MESSAGES and self.buffer.overflow != "block":
            if self.buffer.overflow == "drop-newest":
                self._drop(1)
                return
            self._drop_oldest(size)
        self._queue.append((name, event, size))
        self.size += size
        if is_over:
            self._fill()
        self._wake()

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
        limits = self.buffer
        return len(self._queue) >= max(
            2 * limits.max_messages, _LEAST_MESSAGES
        ) or self.size >= max(2 * limits.max_bytes, _LEAST_BYTES)

    def _fill(self) -> None:
        if not self.is_full:
            self.is_full = True
            self._owner.lane_filled(self)
        if self.is_overfull:
            self._owner.lane_overfilled(self)

    def _take(self) -> tuple[str, ClientEvent]:
        name, event, size = self._queue.popleft()
        self.size -= size
        if self.is_full and (
            2 * len(self._queue) <= self.buffer.max_messages
            and 2 * self.size <= self.buffer.max_bytes
        ):
            self.is_full = False
            self._owner.lane_drained(self)
        return name, event

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
        self._queue.clear()
        self.size = self.dropped = 0
        if self.is_full:
            self.is_full = False
            self._owner.lane_drained(self)


class Registration(Lane):
    """A handler. `with registration:` or `registration.close()` takes it off."""

    def __init__(
        self,
        owner: Owner,
        name: str,
        handler: Handler,
        group: str | None,
        buffer: BufferOptions,
    ) -> None:
        super().__init__(owner, frozenset({name}), group, buffer)
        self.name = name
        self.handler = handler
        call = getattr(handler, "__call__", None)  # noqa: B004 - an object may be async callable
        self._is_async = inspect.iscoroutinefunction(handler) or inspect.iscoroutinefunction(call)
        self._context = contextvars.copy_context()
        self.task: asyncio.Task[None] | None = None
        self._is_calling = False

    def __enter__(self) -> "Registration":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def offer(self, name: str, event: ClientEvent, size: int) -> None:
        if self._is_async or self._queue or self._is_calling:
            super().offer(name, event, size)
        else:
            self._call(event)

    def _call(self, event: ClientEvent) -> None:
        """In the reader: whatever the handler raises must not get there."""
        self._is_calling = True
        try:
            result = self._context.copy().run(self.handler, event)
        except (KeyboardInterrupt, SystemExit) as error:
            asyncio.get_running_loop().call_soon(_raise, error)
        except BaseException as error:
            self._owner.handler_failed(self.name, error)
        else:
            if result is not None and inspect.isawaitable(result):
                # A plain function around a coroutine, a lambda perhaps: only its result tells.
                self._is_async = True
                self._run(result)
        finally:
            self._is_calling = False

    def _wake(self) -> None:
        if self.task is None:
            self._run()

    def _run(self, begun: Awaitable[Any] | None = None) -> None:
        self.task = asyncio.get_running_loop().create_task(
            self._consume(begun), name=f"hubbub {self.name}", context=self._context.copy()
        )
        self._owner.handler_runs(self.task)

    async def _consume(self, begun: Awaitable[Any] | None) -> None:
        """Until the lane is empty; the next event starts it anew."""
        _handler.set(asyncio.current_task())
        try:
            if begun is not None:
                await self._finish(begun)
            while self._queue:
                _, event = self._take()
                await self._finish(event)
        finally:
            self.task = None

    async def _finish(self, work: Awaitable[Any] | ClientEvent) -> None:
        try:
            result = work if inspect.isawaitable(work) else self.handler(work)
            if inspect.isawaitable(result):
                await result
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


def _raise(error: BaseException) -> None:
    raise error


class EventStream(Lane):
    """`async with … as events: async for event in events: …`.

    The lane exists between the two ends of the block, over recoveries and reconnects; the loop
    ends when the client is stopped, after the last queued event. After another start it can be
    iterated again. One block for each stream.
    """

    def __init__(
        self,
        owner: Owner,
        names: frozenset[str] | None,
        group: str | None,
        buffer: BufferOptions,
        *,
        open_: Callable[["EventStream"], None],
    ) -> None:
        super().__init__(owner, names, group, buffer)
        self._open = open_
        self._is_open = False
        self._is_ended = False
        self._news = asyncio.Event()

    async def __aenter__(self) -> "EventStream":
        if self._is_open or self.is_closed:
            raise RuntimeError("a stream of events is for one `async with` block")
        self._open(self)
        self._is_open = True
        return self

    async def __aexit__(self, *_: object) -> None:
        self._is_open = False
        self.close()

    def close(self) -> None:
        super().close()
        self.end()

    def __aiter__(self) -> "EventStream":
        return self

    async def __anext__(self) -> Any:
        if not self._is_open:
            raise RuntimeError("iterate inside `async with`")
        while not self._queue:
            if self._is_ended:
                raise StopAsyncIteration
            self._news.clear()
            await self._news.wait()
        return self._take()[1]

    def begin(self) -> None:
        """The client is started."""
        self._is_ended = False

    def end(self) -> None:
        """The client is stopped."""
        self._is_ended = True
        self._news.set()

    def _wake(self) -> None:
        self._news.set()
