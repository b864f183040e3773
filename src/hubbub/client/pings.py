"""Pings that wait for their pongs: what asked for them, and the time the last one took."""

import asyncio
from collections import deque

from hubbub.client.stats import Counters
from hubbub.protocol.errors import ConnectError

_MAX_PENDING = 1_000
"""Of a service that never answers; the oldest are forgotten."""


class Pings:
    """Pongs come in the order of the pings and name none of them."""

    def __init__(self, counters: Counters) -> None:
        self._counters = counters
        self._sent: deque[tuple[float, asyncio.Future[float] | None]] = deque(maxlen=_MAX_PENDING)
        self._next: asyncio.Future[float] | None = None

    def expect(self) -> asyncio.Future[float]:
        """The answer to the next ping that is sent, as seconds."""
        self._next = asyncio.get_running_loop().create_future()
        return self._next

    def sent(self, now: float) -> None:
        self._sent.append((now, self._next))
        self._next = None

    def answered(self, now: float) -> None:
        if not self._sent:
            return
        sent_at, waiting = self._sent.popleft()
        self._counters.last_rtt = now - sent_at
        if waiting is not None and not waiting.done():
            waiting.set_result(now - sent_at)

    def give_up(self) -> None:
        """The link is gone."""
        while self._sent:
            waiting = self._sent.popleft()[1]
            if waiting is not None and not waiting.done():
                waiting.set_exception(ConnectError("the connection was lost before the pong came"))
