"""What is on its way to one socket: bounded in messages and bytes, never awaited."""

import asyncio
from collections import deque
from collections.abc import Callable


class Outbox:
    """Writes through while the socket takes it; queues while the transport is paused.

    The transport's own buffer adds at most its high-water mark (64 KiB) and one write.
    """

    __slots__ = (
        "_is_finished",
        "_is_paused",
        "_now",
        "_queue",
        "_transport",
        "expired",
        "max_bytes",
        "max_messages",
        "queued_bytes",
        "queued_messages",
    )

    def __init__(
        self,
        transport: asyncio.Transport,
        *,
        max_messages: int,
        max_bytes: int,
        now: Callable[[], float],
    ) -> None:
        self._transport = transport
        self._now = now
        self._queue: deque[tuple[bytes, int, float | None]] | None = None
        self._is_paused = False
        self._is_finished = False
        self.max_messages = max_messages
        self.max_bytes = max_bytes
        self.queued_messages = 0
        self.queued_bytes = 0
        self.expired = 0

    def write(self, data: bytes, messages: int = 1, expires_at: float | None = None) -> bool:
        """Hand over whole frames. False: the queue is full, the reader is too slow.

        `expires_at`: monotonic seconds after which data that still waits is dropped.
        """
        if self._is_finished:
            return True
        if not self._is_paused:
            self._transport.write(data)
            return True
        if not self._has_room(messages, len(data)):
            self._drop_expired()
            if not self._has_room(messages, len(data)):
                return False
        self._append(data, messages, expires_at)
        return True

    def finish(self, last: bytes) -> None:
        """`last` is the end: what is written afterwards is ignored."""
        if self._is_finished:
            return
        self._is_finished = True
        if self._is_paused:
            self._append(last, 1, None)
        else:
            self._transport.write(last)

    def drop_queue(self) -> None:
        """What waits is lost: the connection ends because its reader is too slow."""
        if self._queue:
            self._queue.clear()
            self.queued_messages = self.queued_bytes = 0

    def pause(self) -> None:
        """The transport's buffer is above its high-water mark."""
        self._is_paused = True

    def resume(self) -> None:
        self._is_paused = False
        queue = self._queue
        while queue and not self._is_paused:
            data, messages, expires_at = queue.popleft()
            self.queued_messages -= messages
            self.queued_bytes -= len(data)
            if expires_at is not None and expires_at <= self._now():
                self.expired += messages
            else:
                self._transport.write(data)  # may pause again

    def _has_room(self, messages: int, size: int) -> bool:
        return (
            self.queued_messages + messages <= self.max_messages
            and self.queued_bytes + size <= self.max_bytes
        )

    def _drop_expired(self) -> None:
        now, waiting = self._now(), self._queue or ()
        self._queue = deque()
        self.queued_messages = self.queued_bytes = 0
        for data, messages, expires_at in waiting:
            if expires_at is not None and expires_at <= now:
                self.expired += messages
            else:
                self._append(data, messages, expires_at)

    def _append(self, data: bytes, messages: int, expires_at: float | None) -> None:
        if self._queue is None:
            self._queue = deque()
        self._queue.append((data, messages, expires_at))
        self.queued_messages += messages
        self.queued_bytes += len(data)
