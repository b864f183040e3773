"""A client of the tests' own, so that nobody's SDK vouches for itself."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

WAIT_S = 30
_MAX_BYTES = 2 * 1_048_576
"""The largest message of a service, and what the subprotocol puts around it."""
JSON = "json.webpubsub.azure.v1"


class Receiver:
    """`hello` is the message `connected` of a JSON client; a simple client has none."""

    def __init__(self, socket: ClientConnection, hello: dict[str, Any]) -> None:
        self.socket = socket
        self.hello = hello

    @property
    def id(self) -> str:
        return str(self.hello["connectionId"])

    async def frame(self) -> str | bytes:
        async with asyncio.timeout(WAIT_S):
            return await self.socket.recv()

    async def message(self) -> dict[str, Any]:
        return dict(json.loads(await self.frame()))

    async def data(self) -> tuple[str, Any]:
        """Form and value of the next message with data."""
        message = await self.message()
        return message["dataType"], message["data"]

    async def ask(self, **message: Any) -> dict[str, Any]:
        """Send, and return the next message."""
        await self.socket.send(json.dumps(message))
        return await self.message()

    async def end(self) -> tuple[str, int]:
        """What `disconnected` said, and the close code."""
        message = await self.message()
        assert (message["type"], message["event"]) == ("system", "disconnected"), message
        return message["message"], await self.close_code()

    async def close_code(self) -> int:
        with pytest.raises(ConnectionClosed) as caught:
            await self.frame()
        assert caught.value.rcvd is not None
        return caught.value.rcvd.code

    async def expect_silence(self) -> None:
        """Nothing came that was not asked for."""
        assert await self.ask(type="ping") == {"type": "pong"}


@asynccontextmanager
async def receiver(url: str, *subprotocols: str) -> AsyncIterator[Receiver]:
    """A JSON client if it offers that subprotocol and gets it."""
    offers = [Subprotocol(name) for name in subprotocols] or None
    async with connect(
        url,
        subprotocols=offers,
        compression=None,
        proxy=None,
        open_timeout=WAIT_S,
        max_size=_MAX_BYTES,
    ) as socket:
        client = Receiver(socket, {})
        if socket.subprotocol == JSON:
            client.hello = await client.message()
        yield client
