"""A change every 100 ms for everybody with the page open; the change holds the time of its commit.

Without an argument pkgstats as its users start it: the change is committed with its message, the
publisher sends it to the page's group over REST, hubbub brings it to the pages. With `bare` the
websockets library alone, which writes the same text to everybody at once: no store, no REST, no
groups, no rights. The first line says where pages connect.
"""

import asyncio
import json
import os
import sys
import time
from datetime import UTC, datetime

from websockets.asyncio.server import ServerConnection, broadcast, serve

from pkgstats.settings import Settings
from pkgstats.site import Site, running_site
from pkgstats.store import outbox

GROUP = "pkg:@azure/web-pubsub-client"
EVERY_S = 0.1


def say(port: int) -> None:
    print(json.dumps({"port": port, "pid": os.getpid()}), flush=True)


async def pkgstats() -> None:
    settings = Settings(world_day_s=86_400)
    async with running_site(settings, demo=True, port=0, hubbub_port=0) as site:
        say(int(site.url.rpartition(":")[2]))
        while True:
            await commit(site)
            await asyncio.sleep(EVERY_S)


async def commit(site: Site) -> None:
    await site.catalog._store.write(
        lambda db: outbox.add(
            db,
            "group",
            GROUP,
            "downloads",
            {"total": time.monotonic_ns()},
            now=datetime.now(UTC),
            simulated=True,
        ),
        about=(),
    )


async def bare() -> None:
    pages: set[ServerConnection] = set()

    async def hold(page: ServerConnection) -> None:
        pages.add(page)
        await page.wait_closed()
        pages.discard(page)

    async with serve(hold, "127.0.0.1", 0, compression=None) as server:
        say(next(iter(server.sockets)).getsockname()[1])
        while True:
            data = {"total": time.monotonic_ns()}
            message = {"v": 1, "id": 1, "t": "downloads", "at": str(datetime.now(UTC))}
            frame = {"type": "message", "from": "group", "group": GROUP, "dataType": "json"}
            broadcast(pages, json.dumps(frame | {"data": message | {"data": data}}))
            await asyncio.sleep(EVERY_S)


if __name__ == "__main__":
    asyncio.run(bare() if sys.argv[1:] == ["bare"] else pkgstats())
