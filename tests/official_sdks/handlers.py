"""One application twice: with the official Express middleware, and with our event handler."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Protocol

from aiohttp import web
from tests.official_sdks.node_process import WAIT_S, NodeProcess

from hubbub.appserver import (
    ConnectedRequest,
    ConnectRequest,
    ConnectResponse,
    DataType,
    DisconnectedRequest,
    EventContext,
    EventHandler,
    Refused,
    UserEventRequest,
    UserEventResponse,
)


class Application(Protocol):
    hub: str

    def url_template(self, hub: str) -> str:
        """Where the events of a hub go, for the settings."""

    async def heard(self, event: str, connection_id: str) -> dict[str, Any]:
        """What the application was told about a connection, as soon as it is.

        `began` is the start of the callback for `connected`; `connected` its end.
        """

    async def release(self, connection_id: str) -> None:
        """Lets the callback for `connected` of the user `slow` end."""


class ExpressApplication:
    """js/express.mjs. Beside `express` it has the hubs `bare`, `allowed` and `foreign`."""

    hub = "express"

    def __init__(self, node: NodeProcess) -> None:
        self._node = node

    def url_template(self, hub: str) -> str:
        return f"{self._node.hello['url']}/api/webpubsub/hubs/{hub}/{{event}}"

    async def heard(self, event: str, connection_id: str) -> dict[str, Any]:
        return dict(await self._node.ask({"heard": [event, connection_id]}))

    async def release(self, connection_id: str) -> None:
        await self._node.ask({"release": connection_id})

    async def seen(self, count: int) -> list[dict[str, Any]]:
        """The requests for the hub `bare`, as soon as there are so many."""
        return list(await self._node.ask({"seen": count}))


class OurApplication:
    hub = "hubbub"

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self._heard: dict[tuple[str, str], asyncio.Future[dict[str, Any]]]
        self._heard = defaultdict(loop.create_future)
        self._released: dict[str, asyncio.Event] = defaultdict(asyncio.Event)
        self.url = ""
        self.handler = handler = EventHandler(self.hub)
        handler.on_connect(self._connect)
        handler.on_connected(self._connected)
        handler.on_disconnected(self._disconnected)
        handler.on_event("*")(self._user_event)

    def url_template(self, hub: str) -> str:
        return f"{self.url}/{hub}/{{event}}"

    async def heard(self, event: str, connection_id: str) -> dict[str, Any]:
        async with asyncio.timeout(WAIT_S):
            return await asyncio.shield(self._heard[event, connection_id])

    async def release(self, connection_id: str) -> None:
        self._released[connection_id].set()

    def _hear(self, event: str, context: EventContext, **more: Any) -> None:
        told = self._heard[event, context.connection_id]
        if not told.done():
            told.set_result({"userId": context.user_id, "states": dict(context.states), **more})

    async def _connect(self, request: ConnectRequest) -> ConnectResponse | None:
        self._hear("connect", request.context)
        match request.query.get("as", ["plain"])[0]:
            case "plain":
                return None
            case "changed":
                return ConnectResponse(
                    user_id="changed",
                    groups=["vip"],
                    roles=["webpubsub.sendToGroup.vip"],
                    states={"k": 1, "who": "Zoë"},
                )
            case "custom":
                return ConnectResponse(subprotocol="custom")
            case "anonymous":
                return ConnectResponse(user_id="", roles=[])
            case "denied":
                raise Refused(401, "not you")
            case "bad":
                raise Refused(400, "bad")
            case "broken":
                raise Refused(500)
            case _:
                raise RuntimeError("on purpose")

    async def _connected(self, request: ConnectedRequest) -> None:
        self._hear("began", request.context)
        if request.context.user_id == "slow":
            await self._released[request.context.connection_id].wait()
        self._hear("connected", request.context)

    async def _disconnected(self, request: DisconnectedRequest) -> None:
        self._hear("disconnected", request.context, reason=request.reason)

    async def _user_event(self, request: UserEventRequest) -> Any:
        self._hear(request.event, request.context)
        is_text = request.event == "message" and request.data_type is DataType.TEXT
        match request.data if is_text else request.event:
            case "nothing":
                return None
            case "count":
                states = dict(request.context.states)
                states["count"] = states.get("count", 0) + 1
                return UserEventResponse(states, states=states)
            case "refuse":
                raise Refused(400, "no")
            case "broken":
                raise Refused(500, "no")
            case _:
                return UserEventResponse(request.data, request.data_type)


@asynccontextmanager
async def our_application() -> AsyncIterator[OurApplication]:
    """Served by aiohttp on a free port."""
    application = OurApplication()
    app = web.Application()
    app.router.add_route("*", f"/{application.hub}/{{event}}", application.handler.aiohttp())
    runner = web.AppRunner(app, shutdown_timeout=1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        application.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield application
    finally:
        await runner.cleanup()
        await application.handler.aclose()
