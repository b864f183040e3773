"""A scripted service: it does what the test says, and nothing else.

It also hands out the client's module and an empty page, so that a browser can load them.
"""

import asyncio
import json
from http import HTTPStatus
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.datastructures import Headers
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from hubbub.browser import client_source

TIMEOUT_S = 10


class Peer:
    """The service's end of one WebSocket."""

    def __init__(self, socket: ServerConnection) -> None:
        assert socket.request is not None
        self.socket = socket
        self.query = {k: v[0] for k, v in parse_qs(urlsplit(socket.request.path).query).items()}

    async def send(self, **frame: Any) -> None:
        await self.socket.send(json.dumps(frame))

    async def send_text(self, text: str) -> None:
        await self.socket.send(text)

    async def connected(self, connection_id: str = "c1", token: str | None = "t1") -> None:
        frame = {"event": "connected", "connectionId": connection_id, "userId": "u1"}
        await self.send(type="system", **frame, **({"reconnectionToken": token} if token else {}))

    async def group_message(self, sequence_id: int, data: Any) -> None:
        frame = {"from": "group", "group": "g", "dataType": "json", "data": data}
        await self.send(sequenceId=sequence_id, type="message", **frame)

    async def receive(self, kind: str | None = None) -> dict[str, Any]:
        """The next frame, or the next of one `type`."""
        async with asyncio.timeout(TIMEOUT_S):
            while True:
                frame: dict[str, Any] = json.loads(await self.socket.recv())
                if kind is None or frame["type"] == kind:
                    return frame

    async def ack(self, frame: dict[str, Any], error: str | None = None) -> None:
        detail = {"error": {"name": error, "message": "because"}} if error else {}
        await self.send(type="ack", ackId=frame["ackId"], success=error is None, **detail)

    async def close(self, code: int = 1000, reason: str = "") -> None:
        await self.socket.close(code, reason)

    def cut(self) -> None:
        self.socket.transport.abort()

    async def closed(self) -> int | None:
        """Waits for the end and returns the close code of the client."""
        async with asyncio.timeout(TIMEOUT_S):
            await self.socket.wait_closed()
        return self.socket.close_code


class FakeService:
    """`async with` runs it on a free port."""

    def __init__(self) -> None:
        self.refusals: list[int] = []
        """HTTP statuses for the next handshakes, one each."""
        self.handshakes = 0
        self._peers: asyncio.Queue[Peer] = asyncio.Queue(100)
        self._server: Server

    async def __aenter__(self) -> Self:
        self._server = await serve(
            self._handle,
            "127.0.0.1",
            0,
            process_request=self._process_request,
            subprotocols=[
                Subprotocol("json.reliable.webpubsub.azure.v1"),
                Subprotocol("json.webpubsub.azure.v1"),
            ],
            ping_interval=None,
            close_timeout=0.1,
        )
        self.port = next(iter(self._server.sockets)).getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close(close_connections=True)
        await self._server.wait_closed()

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/client/hubs/h?access_token=old"

    @property
    def page_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    async def accept(self) -> Peer:
        async with asyncio.timeout(TIMEOUT_S):
            return await self._peers.get()

    async def accept_connected(self, connection_id: str = "c1", token: str | None = "t1") -> Peer:
        peer = await self.accept()
        await peer.connected(connection_id, token)
        return peer

    async def _handle(self, socket: ServerConnection) -> None:
        self._peers.put_nowait(Peer(socket))
        await socket.wait_closed()

    async def _process_request(
        self, connection: ServerConnection, request: Request
    ) -> Response | None:
        if request.headers.get("Upgrade") != "websocket":
            is_module = request.path == "/hubbub.js"
            kind = "text/javascript" if is_module else "text/html"
            body = client_source() if is_module else b"<!doctype html><title>test</title>"
            headers = Headers({"Content-Type": kind, "Content-Length": str(len(body))})
            return Response(HTTPStatus.OK, "OK", headers, body)
        self.handshakes += 1
        if self.refusals:
            return connection.respond(self.refusals.pop(0), "not now")
        return None
