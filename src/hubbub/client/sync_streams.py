"""Handlers and iterators of the blocking twin."""

import asyncio
import queue
from collections.abc import Callable
from typing import Generic, Self, TypeVar, cast

from hubbub.client.events import ClientEvent
from hubbub.client.inbox import Registration
from hubbub.client.iterators import EventStream, StreamLane
from hubbub.client.portal import Portal
from hubbub.clock import monotonic
from hubbub.protocol.errors import ClientStateError

E_co = TypeVar("E_co", bound=ClientEvent, covariant=True)


class SyncRegistration:
    """A handler. `with registration:` or `registration.close()` takes it off."""

    def __init__(self, portal: Portal, inner: Registration) -> None:
        self._portal = portal
        self._inner = inner

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Call the handler no more. Idempotent."""
        self._portal.run(self._inner.close)


class SyncEventStream(Generic[E_co]):
    """`with … as events: for event in events: …`; `events.get(timeout=1)` waits for one."""

    def __init__(self, portal: Portal, make: Callable[[], EventStream[E_co]]) -> None:
        self._portal = portal
        self._make = make
        self._stream: EventStream[E_co] | None = None

    def __enter__(self) -> Self:
        self._stream = self._portal.call(self._open())
        return self

    async def _open(self) -> EventStream[E_co]:
        stream = await self._make().__aenter__()
        stream.lane.share()
        return stream

    def __exit__(self, *_: object) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            self._portal.run(stream.close)

    def __len__(self) -> int:
        """How many events wait."""
        return 0 if self._stream is None else len(self._stream)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> E_co:
        event = self._take(None)
        if event is None:
            raise StopIteration
        return event

    def get(self, timeout: float | None = None) -> E_co:
        """The next event. Raises: queue.Empty when none came in time; ClientStateError at the end."""
        try:
            event = self._take(timeout)
        except TimeoutError:
            raise queue.Empty from None
        if event is None:
            raise ClientStateError("the client is stopped")
        return event

    def _take(self, timeout: float | None) -> E_co | None:
        """What waits is taken here; only to wait for more is there a way to the loop and back.

        None: the end. Raises: TimeoutError.
        """
        if self._stream is None:
            raise RuntimeError("iterate inside `with`")
        self._portal.check_caller()
        lane = self._stream.lane
        until = None if timeout is None else monotonic() + timeout
        while (event := lane.take_in_thread(lambda: self._tell(lane))) is None:
            if lane.is_at_end:
                return None
            left_s = None if until is None else until - monotonic()
            self._portal.call(_news(lane, left_s))
        return cast("E_co", event)

    def _tell(self, lane: StreamLane) -> None:
        async def note_taken() -> None:
            lane.note_taken()

        self._portal.call(note_taken())


async def _news(lane: StreamLane, timeout: float | None) -> None:
    async with asyncio.timeout(timeout):
        await lane.news()
