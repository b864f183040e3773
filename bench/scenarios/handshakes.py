"""New connections per second: TCP, upgrade with its token, the `connected` message, close."""

import asyncio
import time

from load import HANDSHAKES_AT_ONCE, Target, connect, cpu_s

MAX_HANDSHAKES = 8000
"""Each leaves a port in TIME_WAIT for a minute."""


async def measure(target: Target, *, seconds: float) -> dict[str, float]:
    done = 0

    async def one_after_the_other(end: float) -> None:
        nonlocal done
        while time.perf_counter() < end and done < MAX_HANDSHAKES:
            (await connect(target)).end()
            done += 1

    async def run(seconds: float) -> float:
        began = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for _ in range(HANDSHAKES_AT_ONCE):
                group.create_task(one_after_the_other(began + seconds))
        return time.perf_counter() - began

    await run(0.3)
    done = 0
    cpu_before = cpu_s(target.pid)
    took = await run(seconds)
    cpu = cpu_s(target.pid) - cpu_before
    return {
        "handshakes_per_s": done / took,
        "server_cpu_us_per_handshake": cpu / done * 1e6,
        "server_cpu_share": cpu / took,
    }
