"""Lanes: one bounded queue per handler or iterator, in the order in which events came.

A handler never runs in the reader, but for a plain function whose lane is empty: then the call is
direct, without a queue or a task. A raising, slow or re-entrant handler harms no other.
"""

import asyncio
import contextvars
import inspect
import logging
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

from hubbub.client.events import MESSAGES, ClientEvent, GroupMessageEvent
from hubbub.client.options import BufferOptions

log = logging.getLogger("hubbub.client")

Handler = Callable[[Any], Any]
_EVENT_BYTES = 200
"""What an event costs beside its data, about."""


class Owner(Protocol):
    def lane_filled(self, lane: "Lane") -> None:
        """It holds more than its limit."""

    def lane_drained(self, lane: "Lane") -> None:
        """It holds half of its limit or less again."""

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
        options = self.buffer
        is_over = len(self._queue) >= options.max_messages or self.size + size > options.max_bytes
        if is_over and name in MESSAGES and options.overflow != "block":
            self.dropped += 1
            if options.overflow == "drop-newest":
                self._fill()
                return
            self._drop_oldest()
        self._queue.append((name, event, size))
        self.size += size
        if is_over:
            self._fill()
        self._wake()

    def _drop_oldest(self) -> None:
        for i, (name, _, size) in enumerate(self._queue):
            if name in MESSAGES:
                del self._queue[i]
                self.size -= size
                return

    def _fill(self) -> None:
        if not self.is_full:
            self.is_full = True
            self._owner.lane_filled(self)

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
        self._queue.clear()
        self.size = 0
        if self.is_full:
            self.is_full = False
            self._owner.lane_drained(self)
        self._owner.lane_closed(self)


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
        self._task: asyncio.Task[None] | None = None
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
        self._is_calling = True
        try:
            self._context.copy().run(self.handler, event)
        except Exception as error:
            self._owner.handler_failed(self.name, error)
        finally:
            self._is_calling = False

    def _wake(self) -> None:
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(
                self._consume(), name=f"hubbub {self.name}", context=self._context.copy()
            )

    async def _consume(self) -> None:
        """Until the lane is empty; the next event starts it anew."""
        try:
            while self._queue:
                _, event = self._take()
                try:
                    result = self.handler(event)
                    if inspect.isawaitable(result):
                        await result
                except Exception as error:
                    self._owner.handler_failed(self.name, error)
        finally:
            self._task = None

    async def finish(self) -> None:
        """Back when what is queued is handled; at once when called from this very handler."""
        task = self._task
        if task is not None and task is not asyncio.current_task():
            await asyncio.wait([task])

    def cancel(self) -> None:
        """Cut a handler that does not come to an end."""
        task = self._task
        if task is not None and task is not asyncio.current_task():
            log.warning("cancelling a handler of %r that does not end", self.name)
            task.cancel()


class EventStream(Lane):
    """`async with … as events: async for event in events: …`.

    The lane exists between the two ends of the block, over recoveries and reconnects; the loop
    ends when the client is stopped, after the last queued event.
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
        self._open(self)
        self._is_open = True
        return self

    async def __aexit__(self, *_: object) -> None:
        self._is_open = False
        self.close()

    def __aiter__(self) -> "EventStream":
        return self

    async def __anext__(self) -> Any:
        if not self._is_open:
            raise RuntimeError("iterate inside `async with`")
        while not self._queue:
            if self._is_ended:
                self._is_ended = False
                raise StopAsyncIteration
            self._news.clear()
            await self._news.wait()
        return self._take()[1]

    def end(self) -> None:
        """The client is stopped."""
        self._is_ended = True
        self._news.set()

    def _wake(self) -> None:
        self._news.set()
