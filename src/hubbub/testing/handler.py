"""Your event handler, served in the test's own loop, and what can go wrong with it."""

import asyncio
from typing import Any, Self

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from hubbub.appserver import EventHandler
from hubbub.appserver.asgi import HandlerApp, Receive, Scope, Send

_KEEP_ALIVE_S = 60
"""Longer than the service keeps an idle connection, so that no event meets one that is closing."""


class HandlerServer:
    """Serves an ASGI app or `EventHandler` to the service alone; `async with` runs it.

    The switches hold for what the service asks from then on.
    """

    def __init__(self, app: Any) -> None:
        self._app: Any = HandlerApp(app) if isinstance(app, EventHandler) else app
        self._state = ServerState()
        self._server: asyncio.Server | None = None
        self.url = ""
        self.status: int | None = None
        """Answer every event with this HTTP status in place of the handler; None: let it answer."""
        self.delay_s = 0.0
        """Take so long before each answer."""
        self.events: list[str] = []
        """Names of the events that came, in their order, answered or failed."""

    async def __aenter__(self) -> Self:
        config = Config(
            self._serve,
            http="httptools",
            ws="none",
            interface="asgi3",
            lifespan="off",
            log_config=None,
            access_log=False,
            timeout_keep_alive=_KEEP_ALIVE_S,
        )
        config.load()
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: HttpToolsProtocol(config, self._state, {}), "127.0.0.1", 0
        )
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/"
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None, "entered before"
        self._server.close()
        for connection in list(self._state.connections):
            connection.transport.abort()
        tasks = list(self._state.tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._server.wait_closed()

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "POST":
            names = [value for name, value in scope["headers"] if name == b"ce-eventname"]
            self.events += [name.decode() for name in names]
            if self.delay_s:
                await asyncio.sleep(self.delay_s)
            if self.status is not None:
                headers = [(b"content-length", b"0")]
                start = {"type": "http.response.start", "status": self.status, "headers": headers}
                await send(start)
                await send({"type": "http.response.body", "body": b""})
                return
        await self._app(scope, receive, send)
