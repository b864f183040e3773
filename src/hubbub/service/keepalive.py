"""WebSocket pings to the clients of one hub, and the end of those that stay silent."""

import asyncio
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

_BUCKETS = 4
"""The sockets are spread over a few buckets, so that pings do not go out all in one tick."""


class Pingable(Protocol):
    was_heard: bool
    silent_s: float
    is_reading: bool

    def ping(self) -> None: ...


S = TypeVar("S", bound=Pingable)


class KeepAlive(Generic[S]):
    """One timer for all: picows' own pings would cost a task per connection."""

    def __init__(self, interval_s: float, timeout_s: float, on_silent: Callable[[S], None]) -> None:
        """`on_silent` gets each socket from which nothing came for `timeout_s`."""
        self._interval_s = interval_s
        self._timeout_s = timeout_s
        self._on_silent = on_silent
        self._buckets: list[dict[S, None]] = [{} for _ in range(_BUCKETS)]
        self._turn = 0
        self._timer: asyncio.TimerHandle | None = None

    def add(self, socket: S) -> None:
        min(self._buckets, key=len)[socket] = None
        if self._timer is None:
            self._arm()

    def discard(self, socket: S) -> None:
        for bucket in self._buckets:
            bucket.pop(socket, None)

    def change(self, interval_s: float, timeout_s: float) -> None:
        """Other times, from the next ping on."""
        self._interval_s = interval_s
        self._timeout_s = timeout_s

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _arm(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(self._interval_s / _BUCKETS, self._sweep)

    def _sweep(self) -> None:
        self._timer = None
        self._turn = (self._turn + 1) % _BUCKETS
        for socket in list(self._buckets[self._turn]):
            self._look_at(socket)
        if any(self._buckets):
            self._arm()

    def _look_at(self, socket: S) -> None:
        if socket.was_heard or not socket.is_reading:
            # While we do not read (the lane is full) the silence is ours: its clock stands still.
            socket.was_heard = False
            socket.silent_s = 0.0
        else:
            socket.silent_s += self._interval_s
            if socket.silent_s >= self._timeout_s:
                self._on_silent(socket)
                return
        socket.ping()
