"""Pages of one package, open at once: from the commit of a change until it is at each of them.

Commit and arrival are read from the same monotonic clock, in two processes of one machine. A page
here is its connection: what the browser then needs to draw a figure is not in it.
"""

import asyncio
import re
import time

import aiohttp
from load import Target, cpu_s

PAGE = "/pkg:@azure/web-pubsub-client"
COMMITTED = re.compile(r'"total":\s*(\d{9,})')
SUBPROTOCOL = "json.reliable.webpubsub.azure.v1"
SEQUENCE_ID = re.compile(r'"sequenceId":\s*(\d+)')
CONFIRM_EVERY = 100
"""Messages: the service closes on a thousand without a confirmation."""
WARM_UP_S = 0.5


async def measure(target: Target, *, seconds: float, pages: int) -> dict[str, float]:
    took: list[float] = []
    last: dict[str, float] = {}
    counts: dict[str, int] = {}

    def note(text: str) -> None:
        found = COMMITTED.search(text)
        if found is None:
            return
        passed = (time.monotonic_ns() - int(found[1])) / 1e6
        took.append(passed)
        last[found[1]] = max(passed, last.get(found[1], 0.0))
        counts[found[1]] = counts.get(found[1], 0) + 1

    async def read(page: aiohttp.ClientWebSocketResponse) -> None:
        unconfirmed = 0
        async for message in page:
            text = str(message.data)
            note(text)
            unconfirmed += 1
            if unconfirmed >= CONFIRM_EVERY and (found := SEQUENCE_ID.search(text)):
                unconfirmed = 0
                await page.send_json({"type": "sequenceAck", "sequenceId": int(found[1])})

    async with (
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session,
        asyncio.TaskGroup() as group,
    ):
        opened = [await _open(session, target) for _ in range(pages)]
        tasks = [group.create_task(read(page)) for page in opened]
        await asyncio.sleep(WARM_UP_S)
        for seen in (took, last, counts):
            seen.clear()
        cpu_before = cpu_s(target.pid)
        await asyncio.sleep(seconds)
        cpu = cpu_s(target.pid) - cpu_before
        # The first and the last change may have been half here when the counting began and ended.
        whole = list(last)[1:-1]
        missed = [change for change in whole if counts[change] != pages]
        if missed or not whole:
            raise RuntimeError(f"{len(missed)} of {len(whole)} changes did not reach every page")
        result = _figures(sorted(took), sorted(last[change] for change in whole), cpu)
        for task in tasks:
            task.cancel()
    return result


def _figures(each: list[float], whole: list[float], cpu: float) -> dict[str, float]:
    return {
        "p95_ms": each[int(len(each) * 0.95)],
        "median_ms": each[len(each) // 2],
        "last_page_p95_ms": whole[int(len(whole) * 0.95)],
        "changes": len(whole),
        "server_cpu_ms_per_change": cpu / len(whole) * 1e3,
    }


async def _open(session: aiohttp.ClientSession, target: Target) -> aiohttp.ClientWebSocketResponse:
    site = f"http://{target.host}:{target.port}"
    if target.name != "pkgstats":
        return await session.ws_connect(site, compress=0)
    async with session.get(f"{site}/negotiate", params={"for": PAGE}) as answer:
        url = (await answer.json())["url"]
    return await session.ws_connect(url, protocols=[SUBPROTOCOL], origin=site)
