"""Work on many connections for one request, in turns, so that nobody else waits for all of it."""

import asyncio
from collections.abc import Callable, Iterable
from typing import TypeVar

_PER_TURN = 500
"""About 10 ms of closing or joining."""

T = TypeVar("T")


async def in_turns(items: Iterable[T], act: Callable[[T], None]) -> None:
    """Do it for each item. Others run in between: `act` must bear that its item has gone."""
    for count, item in enumerate(items, 1):
        act(item)
        if count % _PER_TURN == 0:
            await asyncio.sleep(0)
