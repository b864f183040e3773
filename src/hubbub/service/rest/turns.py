"""Work on many connections for one request, in turns, so that nobody else waits for all of it."""

import asyncio
from collections.abc import Callable, Iterable
from time import perf_counter
from typing import TypeVar

from hubbub.protocol.filters import Predicate
from hubbub.service.connection import Connection

PER_TURN = 200
"""Closing takes longest, up to 0.1 ms each: 20 ms a turn."""
FILTER_TURN_S = 0.005
"""A filter may take 2 ms for one connection, or 1 us: its turns are counted by the clock."""

T = TypeVar("T")


async def in_turns(items: Iterable[T], act: Callable[[T], None]) -> None:
    """Do it for each item. Others run in between: `act` must bear that its item has gone."""
    for count, item in enumerate(items, 1):
        act(item)
        if count % PER_TURN == 0:
            await asyncio.sleep(0)


async def settled(
    matches: Predicate,
    candidates: Iterable[Connection],
    *,
    clock: Callable[[], float] = perf_counter,
) -> Predicate:
    """The filter itself where all its answers are had in one turn, else one that knows them.

    A long filter over many connections would hold up everybody for seconds. Who comes while it is
    asked is not among those whom it matches.
    """
    chosen: set[str] = set()
    turns, ends_at = 1, clock() + FILTER_TURN_S
    for connection in list(candidates):
        if clock() >= ends_at:
            await asyncio.sleep(0)
            turns, ends_at = turns + 1, clock() + FILTER_TURN_S
        if matches(connection.attributes):
            chosen.add(connection.id)
    return matches if turns == 1 else lambda attributes: attributes.connection_id in chosen
