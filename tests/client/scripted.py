"""A service of which each test says what it does: it opens, says `connected`, and then the test's."""

import asyncio
import http
import json
import ssl
from collections.abc import Awaitable, Callable
from typing import Any, Self

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

Script = Callable[["Peer"], Awaitable[None]]


class Peer:
    """One connection of a client."""

    def __init__(self, socket: ServerConnection) -> None:
        self.socket = socket

    async def read(self, kind: str = "") -> Any:
        """The next frame of this type; pings and sequence acks only when asked for."""
        while True:
            frame = json.loads(await self.socket.recv())
            if frame["type"] == kind or (not kind and frame["type"] not in ("ping", "sequenceAck")):
                return frame

    async def write(self, *frames: Any) -> None:
        for frame in frames:
            await self.socket.send(json.dumps(frame))

    async def message(self, sequence_id: int, data: Any) -> None:
        await self.write(message(sequence_id, data))

    async def ack(self, frame: Any) -> None:
        await self.write({"type": "ack", "ackId": frame["ackId"], "success": True})


def message(sequence_id: int, data: Any) -> dict[str, Any]:
    kind = "text" if isinstance(data, str) else "json"
    return {
        "type": "message",
        "from": "server",
        "dataType": kind,
        "data": data,
        "sequenceId": sequence_id,
    }


class Scripted:
    """`peers`: every connection so far. One that recovers gets a pong, as a proof of life.

    `is_away`: handshakes are answered 503, and counted in `refused`.
    `connected_after`: the first message waits for it. `ssl_context`: makes the address wss.
    """

    def __init__(
        self,
        script: Script,
        *,
        connected_after: asyncio.Event | None = None,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        self._script = script
        self._connected_after = connected_after
        self._ssl_context = ssl_context
        self.peers: list[Peer] = []
        self.is_away = False
        self.refused = 0

    async def __aenter__(self) -> Self:
        names = ("json.reliable.webpubsub.azure.v1", "json.webpubsub.azure.v1")
        self._server: Server = await serve(
            self._run,
            "127.0.0.1",
            0,
            process_request=self._refuse,
            subprotocols=[Subprotocol(name) for name in names],
            compression=None,
            ping_interval=None,
            max_queue=4,
            max_size=None,
            close_timeout=0.2,
            ssl=self._ssl_context,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        for peer in self.peers:
            peer.socket.transport.abort()
        self._server.close()
        await self._server.wait_closed()

    @property
    def url(self) -> str:
        port = next(iter(self._server.sockets)).getsockname()[1]
        scheme = "ws" if self._ssl_context is None else "wss"
        return f"{scheme}://127.0.0.1:{port}/client/hubs/chat?access_token=SECRET"

    def _refuse(self, socket: ServerConnection, _: Request) -> Response | None:
        if not self.is_away:
            return None
        self.refused += 1
        return socket.respond(http.HTTPStatus.SERVICE_UNAVAILABLE, "away")

    async def _run(self, socket: ServerConnection) -> None:
        peer = Peer(socket)
        self.peers.append(peer)
        assert socket.request is not None
        connected = {
            "type": "system",
            "event": "connected",
            "connectionId": "c1",
            "userId": "u",
            "reconnectionToken": "RECONNECT-SECRET",
        }
        if self._connected_after is not None:
            await self._connected_after.wait()
        is_recovery = "awps_connection_id" in socket.request.path
        await peer.write({"type": "pong"} if is_recovery else connected)
        try:
            await self._script(peer)
            async for _ in socket:
                pass
        except ConnectionClosed:
            pass
