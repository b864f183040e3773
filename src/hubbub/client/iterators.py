"""Events as an async iterator: a lane that lives as long as an `async with` block."""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from typing import Any, Generic, Self, TypeVar, cast

from hubbub.client.events import ClientEvent
from hubbub.client.inbox import Lane, Owner
from hubbub.client.options import BufferOptions

E_co = TypeVar("E_co", bound=ClientEvent, covariant=True)


class StreamLane(Lane):
    """The queue behind an iterator; it knows nothing of the iterator, so that this can be freed."""

    def __init__(
        self,
        owner: Owner,
        names: frozenset[str] | None,
        group: str | None,
        buffer: BufferOptions,
        *,
        forever: bool,
    ) -> None:
        super().__init__(owner, names, group, buffer)
        self._forever = forever
        self._is_ended = False
        self._news = asyncio.Event()

    @property
    def is_at_end(self) -> bool:
        """Nothing waits, and nothing will come."""
        return self._is_ended and not self._queue

    async def next(self) -> ClientEvent:
        """The next event. Raises: StopAsyncIteration at the end."""
        while not self._queue:
            if self._is_ended:
                raise StopAsyncIteration
            await self.news()
        return self._take()[1]

    async def news(self) -> None:
        """Back when there is an event to take, or none will come."""
        while not (self._queue or self._is_ended):
            self._news.clear()
            await self._news.wait()

    def begin(self) -> None:
        """The client is started, perhaps in another loop than before."""
        self._is_ended = self.is_closed
        self._news.set()
        self._news = asyncio.Event()

    def end(self) -> None:
        """The client is stopped."""
        if not self._forever or self.is_closed:
            self._is_ended = True
            self._news.set()

    def close(self) -> None:
        super().close()
        self.end()

    def _wake(self) -> None:
        self._news.set()


class EventStream(Generic[E_co]):
    """`async with … as events: async for event in events: …`.

    The queue exists between the two ends of the block, over recoveries and reconnects; the loop
    ends when the client is stopped, after the last queued event, unless it goes on for ever. After
    another start it can be iterated again. One block for each stream.
    """

    def __init__(self, make: Callable[[], StreamLane], open_: Callable[[Lane], None]) -> None:
        self._make = make
        self._open = open_
        self._lane: StreamLane | None = None
        self._is_open = False
        self._loop: asyncio.AbstractEventLoop | None = None

    async def __aenter__(self) -> Self:
        if self._lane is not None:
            raise RuntimeError("a stream of events is for one `async with` block")
        self._loop = asyncio.get_running_loop()
        self._lane = self._make()
        self._open(self._lane)
        self._is_open = True
        return self

    async def __aexit__(self, *_: object) -> None:
        self._is_open = False
        self.close()

    def __len__(self) -> int:
        """How many events wait."""
        return 0 if self._lane is None else len(self._lane)

    def close(self) -> None:
        """End the loop; what is queued is dropped. Idempotent."""
        if self._lane is not None:
            self._lane.close()

    async def aclose(self) -> None:
        """As `close`."""
        self.close()

    def __aiter__(self) -> Self:
        return self

    def __anext__(self) -> Coroutine[Any, Any, E_co]:
        if self._lane is None or not self._is_open:
            raise RuntimeError("iterate inside `async with`")
        return cast("Coroutine[Any, Any, E_co]", self._lane.next())

    @property
    def lane(self) -> StreamLane:
        """The queue behind it. Raises: RuntimeError outside of the block."""
        if self._lane is None or not self._is_open:
            raise RuntimeError("iterate inside `async with`")
        return self._lane

    def __del__(self) -> None:
        lane = getattr(self, "_lane", None)
        if lane is None or lane.is_closed or self._loop is None:
            return
        lane.log.warning("a stream of events was forgotten: use `async with`, or close it")
        with contextlib.suppress(RuntimeError):  # the loop is closed, and the client with it
            self._loop.call_soon_threadsafe(lane.close)
