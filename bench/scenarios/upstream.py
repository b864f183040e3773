"""User events that wait for their answer: events per second and CPU of the caller for each.

With hubbub the caller is the service: a client sends an event, the service calls the handler and
acknowledges. Without it the caller is this process: the same call with aiohttp, headers and all,
and nothing around it.
"""

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable

import aiohttp
from load import Socket, Target, connect_many, cpu_s, text_frame

from hubbub.protocol import cloudevents

CLIENTS = 32
"""Each has one event under way."""
WARM_UP = 20
TEXT = "x" * 100

Act = Callable[[], Awaitable[object]]


async def measure(target: Target, *, seconds: float) -> dict[str, float]:
    if target.name == "hubbub":
        sockets = await connect_many(target, CLIENTS)
        result = await _measure([_event(s) for s in sockets], seconds, lambda: cpu_s(target.pid))
        for socket in sockets:
            socket.end()
        return result
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0), cookie_jar=aiohttp.DummyCookieJar()
    ) as session:
        url = f"http://{target.host}:{target.port}/"
        headers = cloudevents.event_headers(
            "e", is_system=False, content_type="text/plain", hub="bench", connection_id="c" * 32,
            origin="127.0.0.1", event_id=1, time=cloudevents.utc_time(time.time()), user_id="u",
            signature=cloudevents.signature("c" * 32, ["k" * 44]), subprotocol="json.webpubsub.azure.v1",
        )  # fmt: skip

        async def call() -> None:
            async with session.post(url, data=TEXT.encode(), headers=headers) as answer:
                assert answer.status == 204
                await answer.read()

        return await _measure([call] * CLIENTS, seconds, time.process_time)


def _event(socket: Socket) -> Act:
    """Send one event and wait for its ack."""
    ids = itertools.count(10_000_000)

    async def act() -> None:
        before = socket.received
        event = {"type": "event", "event": "e", "dataType": "text", "data": TEXT}
        socket.write(text_frame({**event, "ackId": next(ids)}))
        await socket.until(before + 1)

    return act


async def _measure(
    acts: list[Act], seconds: float, cpu_now: Callable[[], float]
) -> dict[str, float]:
    done = 0

    async def repeat(act: Act, end: float, at_least: int) -> None:
        nonlocal done
        count = 0
        while count < at_least or time.perf_counter() < end:
            await act()
            count += 1
            done += 1

    await asyncio.gather(*(repeat(act, 0, WARM_UP) for act in acts))
    done = 0
    cpu_before, began = cpu_now(), time.perf_counter()
    await asyncio.gather(*(repeat(act, began + seconds, 1) for act in acts))
    took, cpu = time.perf_counter() - began, cpu_now() - cpu_before
    return {"events_per_s": done / took, "caller_cpu_us_per_event": cpu / done * 1e6}
