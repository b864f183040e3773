"""The application server of these tests: what it answers depends on the name of the event."""

import asyncio
from collections import Counter
from typing import Self

from aiohttp import web


class Upstream:
    """`echo` gives back what came, `nothing` 204, `refuse` 403, `fail` 500; `slow` never ends,

    and `GET /slow/<its text>` tells how often it began and was cancelled.
    """

    def __init__(self) -> None:
        self.started: Counter[str] = Counter()
        self.cancelled: Counter[str] = Counter()
        self.system_events: list[str] = []

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_route("OPTIONS", "/events", self._allow)
        app.router.add_post("/events", self._answer)
        app.router.add_get("/slow/{who}", self._slow)
        self._runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    async def _allow(self, request: web.Request) -> web.Response:
        return web.Response(headers={"WebHook-Allowed-Origin": "*"})

    async def _slow(self, request: web.Request) -> web.Response:
        who = request.match_info["who"]
        return web.json_response({"started": self.started[who], "cancelled": self.cancelled[who]})

    async def _answer(self, request: web.Request) -> web.Response:
        event = request.headers["ce-eventName"]
        if request.headers["ce-type"].startswith("azure.webpubsub.sys."):
            self.system_events.append(event)
            return web.Response(status=204)
        if event == "echo":
            headers = {"Content-Type": request.headers["Content-Type"]}
            return web.Response(body=await request.read(), headers=headers)
        if event == "slow":
            who = await request.text()
            self.started[who] += 1
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                self.cancelled[who] += 1
                raise
        status = {"nothing": 204, "refuse": 403, "fail": 500}[event]
        return web.Response(status=status)
