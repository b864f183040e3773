"""Long work leaves room for others."""

import asyncio

from hubbub.service.rest.turns import PER_TURN, in_turns


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
