"""Long work leaves room for others."""

import asyncio
from types import SimpleNamespace

from hubbub.protocol.filters import Attributes
from hubbub.service.rest.turns import FILTER_TURN_S, PER_TURN, in_turns, settled


async def test_others_run_between_turns_and_every_item_has_its_turn():
    done, seen = [], []

    async def other():
        while len(done) < 2 * PER_TURN + 1:
            seen.append(len(done))
            await asyncio.sleep(0)

    task = asyncio.create_task(other())
    await in_turns(iter(range(2 * PER_TURN + 1)), done.append)
    await task
    assert done == list(range(2 * PER_TURN + 1))
    assert seen == [PER_TURN, 2 * PER_TURN]


def people(count):
    names = [f"c{number}" for number in range(count)]
    return [
        SimpleNamespace(id=name, attributes=Attributes(name, None, frozenset(), None))
        for name in names
    ]


async def settle(seconds_each):
    """The predicate, the filter, and how many of 10 had been asked when others ran."""
    now, asked, seen = 0.0, [], []

    def matches(attributes):
        nonlocal now
        now += seconds_each
        asked.append(attributes.connection_id)
        return attributes.connection_id in ("c0", "c9")

    async def other():
        while True:
            seen.append(len(asked))
            await asyncio.sleep(0)

    task = asyncio.create_task(other())
    found = await settled(matches, iter(people(10)), clock=lambda: now)
    task.cancel()
    return found, matches, seen


async def test_long_filter_is_asked_in_turns_and_its_answers_stay():
    found, _, seen = await settle(FILTER_TURN_S / 4)
    assert seen == [4, 8]
    assert [found(one.attributes) for one in people(11)] == [True, *[False] * 8, True, False]


async def test_quick_filter_is_left_to_the_moment_of_the_send():
    found, matches, seen = await settle(FILTER_TURN_S / 20)
    assert found is matches
    assert seen == []
