"""Events that nobody waits for: bounded, few at a time, one lane per event handler."""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final, NamedTuple

logger = logging.getLogger(__name__)

MAX_QUEUED: Final = 10_000
"""Notifications that may wait for one handler; beyond, the oldest is dropped."""
MAX_RUNNING: Final = 100
"""Calls to one handler at a time."""


class Notification(NamedTuple):
    """`send` logs its own failures; `done` is called once, also when it was dropped."""

    send: Callable[[], Awaitable[None]]
    done: Callable[[], None]


class Lane:
    """The notifications of one handler, started in order. A slow handler holds up no other."""

    def __init__(self, name: str, *, max_queued: int, max_running: int) -> None:
        self.dropped = 0
        self._name = name
        self._max_queued = max_queued
        self._max_running = max_running
        self._queue: deque[Notification] = deque()
        self._running: set[asyncio.Task[None]] = set()
        self._is_dropping = False
        self._is_closed = False

    @property
    def is_idle(self) -> bool:
        return not self._queue and not self._running

    def put(self, notification: Notification) -> None:
        if self._is_closed:
            notification.done()
            return
        self._queue.append(notification)
        if len(self._queue) > self._max_queued:
            self._drop_oldest()
        self._start()

    async def close(self) -> None:
        """Give up what is queued and what is under way."""
        self._is_closed = True
        while self._queue:
            self._queue.popleft().done()
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    def _start(self) -> None:
        while self._queue and len(self._running) < self._max_running:
            notification = self._queue.popleft()
            task = asyncio.create_task(self._run(notification))
            self._running.add(task)
            task.add_done_callback(partial(self._ended, notification))
        if not self._queue:
            self._is_dropping = False

    async def _run(self, notification: Notification) -> None:
        try:
            await notification.send()
        except Exception:
            logger.exception("handler=%s: a notification failed", self._name)

    def _ended(self, notification: Notification, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        notification.done()
        if not self._is_closed:
            self._start()

    def _drop_oldest(self) -> None:
        self.dropped += 1
        if not self._is_dropping:
            self._is_dropping = True
            logger.warning(
                "handler=%s: more than %s notifications wait; the oldest are dropped",
                self._name,
                self._max_queued,
            )
        self._queue.popleft().done()
