"""Handlers and iterators of the blocking twin."""

import asyncio
import queue
from collections.abc import Callable
from typing import Any, Generic, Self, TypeVar

from hubbub.client.events import ClientEvent
from hubbub.client.inbox import Registration
from hubbub.client.iterators import EventStream
from hubbub.client.portal import Portal
from hubbub.protocol.errors import ClientStateError

E_co = TypeVar("E_co", bound=ClientEvent, covariant=True)
_END = object()


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
        return await self._make().__aenter__()

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
        event = self._portal.call(self._next(self._opened(), None))
        if event is _END:
            raise StopIteration
        return event  # type: ignore[no-any-return]

    def get(self, timeout: float | None = None) -> E_co:
        """The next event. Raises: queue.Empty when none came in time; ClientStateError at the end."""
        try:
            event = self._portal.call(self._next(self._opened(), timeout))
        except TimeoutError:
            raise queue.Empty from None
        if event is _END:
            raise ClientStateError("the client is stopped")
        return event  # type: ignore[no-any-return]

    def _opened(self) -> EventStream[E_co]:
        if self._stream is None:
            raise RuntimeError("iterate inside `with`")
        return self._stream

    @staticmethod
    async def _next(stream: EventStream[E_co], timeout: float | None) -> Any:
        try:
            async with asyncio.timeout(timeout):
                return await stream.__anext__()
        except StopAsyncIteration:
            return _END
