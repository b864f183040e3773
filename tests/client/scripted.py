"""A service of which each test says what it does: it opens, says `connected`, and then the test's."""

import json
from collections.abc import Awaitable, Callable
from typing import Any, Self

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
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
    """`peers`: every connection so far. One that recovers gets a pong, as a proof of life."""

    def __init__(self, script: Script) -> None:
        self._script = script
        self.peers: list[Peer] = []

    async def __aenter__(self) -> Self:
        names = ("json.reliable.webpubsub.azure.v1", "json.webpubsub.azure.v1")
        self._server: Server = await serve(
            self._run,
            "127.0.0.1",
            0,
            subprotocols=[Subprotocol(name) for name in names],
            compression=None,
            ping_interval=None,
            max_queue=4,
            max_size=None,
            close_timeout=0.2,
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
        return f"ws://127.0.0.1:{port}/client/hubs/chat?access_token=SECRET"

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
        is_recovery = "awps_connection_id" in socket.request.path
        await peer.write({"type": "pong"} if is_recovery else connected)
        try:
            await self._script(peer)
            async for _ in socket:
                pass
        except ConnectionClosed:
            pass
