"""A service that says yes to everything and does nothing: what a runner must not be content with."""

import contextlib
import json
from collections.abc import AsyncIterator
from itertools import count

from aiohttp import WSMsgType, web

_JSON = ("json.webpubsub.azure.v1", "json.reliable.webpubsub.azure.v1")
_KEY = "k" * 44
_ids = count()


@contextlib.asynccontextmanager
async def yes_service() -> AsyncIterator[str]:
    """Its connection string."""
    app = web.Application(client_max_size=2**24)
    app.router.add_route("*", "/client{rest:.*}", _client)
    app.router.add_route("*", "/{rest:.*}", _call)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"Endpoint=http://127.0.0.1:{runner.addresses[0][1]};AccessKey={_KEY};"
    finally:
        await runner.cleanup()


async def _client(request: web.Request) -> web.StreamResponse:
    offered = [it.strip() for it in request.headers.get("Sec-WebSocket-Protocol", "").split(",")]
    socket = web.WebSocketResponse(protocols=[it for it in offered if it], max_msg_size=0)
    await socket.prepare(request)
    if socket.ws_protocol in _JSON:
        hello = {"type": "system", "event": "connected", "connectionId": f"c{next(_ids)}"}
        await socket.send_json({**hello, "userId": "u1", "reconnectionToken": "t"})
    elif socket.ws_protocol:
        await socket.send_bytes(b"\x1a\x06\x0a\x04\x0a\x02c1")
    async for frame in socket:
        if frame.type is WSMsgType.TEXT:
            await _answer(socket, frame.data)
        elif frame.data == b"\x4a\x00":
            await socket.send_bytes(b"\x22\x00")
    return socket


async def _answer(socket: web.WebSocketResponse, text: str) -> None:
    with contextlib.suppress(ValueError):
        request = json.loads(text)
        if not isinstance(request, dict):
            return
        if request.get("type") == "ping":
            await socket.send_json({"type": "pong"})
        elif request.get("ackId") is not None:
            ack = {"type": "ack", "ackId": request["ackId"], "success": True}
            await socket.send_json(ack)


async def _call(request: web.Request) -> web.Response:
    await request.read()
    if request.path.endswith("/:send"):
        return web.Response(status=202)
    if request.method == "DELETE" or request.path.endswith(":closeConnections"):
        return web.Response(status=204)
    if request.method == "GET":
        return web.json_response({"value": []})
    return web.Response(status=200)
