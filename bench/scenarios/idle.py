"""Memory of the server for each connection that is open and does nothing."""

import asyncio

from load import Target, connect_many, resident_kib

FIRST = 50
"""Opened before the first reading, so that what is made once is not counted."""
SETTLE_S = 0.3


async def measure(target: Target, *, connections: int) -> dict[str, float]:
    sockets = await connect_many(target, FIRST)
    await asyncio.sleep(SETTLE_S)
    before = resident_kib(target.pid)
    sockets += await connect_many(target, connections)
    await asyncio.sleep(SETTLE_S)
    after = resident_kib(target.pid)
    for socket in sockets:
        socket.end()
    return {"kib_per_connection": (after - before) / connections}
