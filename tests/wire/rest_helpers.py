"""A REST caller and WebSocket receivers that show what is on the wire, without our own SDK."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Iterable
from typing import Any
from urllib.parse import quote

import httpx2
import jwt
from websockets.asyncio.client import ClientConnection, connect

from hubbub.service import Service, Settings

KEY = "primary-key-of-the-test-with-enough-bytes="
OTHER_KEY = "secondary-key-of-the-test-with-enough-bytes"
JSON = "json.webpubsub.azure.v1"
RELIABLE = "json.reliable.webpubsub.azure.v1"
TIMEOUT_S = 10
"""Until a missing frame fails a test; nothing waits for it otherwise."""

JsonObject = dict[str, Any]


class Receiver:
    """One client. `text_or_bytes` is the next frame; JSON clients skip their `connected`."""

    def __init__(self, socket: ClientConnection, connected: JsonObject | None) -> None:
        self.socket = socket
        self.connected = connected

    @property
    def connection_id(self) -> str:
        assert self.connected is not None, "a plain client does not learn its id"
        return str(self.connected["connectionId"])

    async def frame(self) -> str | bytes:
        async with asyncio.timeout(TIMEOUT_S):
            return await self.socket.recv()

    async def message(self) -> JsonObject:
        frame = await self.frame()
        assert isinstance(frame, str)
        return dict(json.loads(frame))

    async def ask(self, request: JsonObject) -> JsonObject:
        """Send a request and return the answer, which must be the next frame."""
        await self.socket.send(json.dumps(request))
        return await self.message()


class Wire:
    """A service, and everything a test says to it."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.http = httpx2.AsyncClient(base_url=service.url, trust_env=False)
        self._stack = contextlib.AsyncExitStack()

    async def close(self) -> None:
        await self._stack.aclose()
        await self.http.aclose()

    # --- clients -----------------------------------------------------------------------------

    def client_token(
        self, *, hub: str = "chat", audience: str | None = None, life_s: float = 600, **claims: Any
    ) -> str:
        claims["aud"] = audience or f"{self.service.url}/client/hubs/{hub}"
        return jwt.encode({"exp": int(time.time() + life_s), **claims}, KEY, algorithm="HS256")

    def client_url(self, token: str, *, hub: str = "chat", **query: str) -> str:
        base = self.service.url.replace("http", "ws", 1)
        extra = "".join(f"&{name}={quote(value, safe='')}" for name, value in query.items())
        return f"{base}/client/hubs/{hub}?access_token={token}{extra}"

    async def connect(
        self,
        subprotocol: str | None = None,
        *,
        user: str | None = None,
        groups: Iterable[str] = (),
        hub: str = "chat",
        token: str | None = None,
        **query: str,
    ) -> Receiver:
        """A client that is in its groups already. Raises what `websockets` raises."""
        if token is None:
            claims: JsonObject = {"webpubsub.group": list(groups)}
            if user is not None:
                claims["sub"] = user
            token = self.client_token(hub=hub, **claims)
        socket = await self._stack.enter_async_context(
            connect(
                self.client_url(token, hub=hub, **query),
                subprotocols=None if subprotocol is None else [subprotocol],  # type: ignore[list-item]
                proxy=None,
                compression=None,
            )
        )
        receiver = Receiver(socket, None)
        if subprotocol is not None:
            receiver.connected = await receiver.message()
            assert receiver.connected["event"] == "connected"
        return receiver

    # --- REST --------------------------------------------------------------------------------

    def rest_token(self, url: str, key: str | bytes = KEY, **claims: Any) -> str:
        claims = {"aud": url, "exp": int(time.time() + 600), **claims}
        return jwt.encode(claims, key, algorithm="HS256")

    async def call(
        self,
        method: str,
        path: str,
        query: str = "api-version=2024-12-01",
        *,
        token: str | None = None,
        headers: dict[str, str] | None = None,
        body: bytes | AsyncIterator[bytes] = b"",
    ) -> httpx2.Response:
        token = token or self.rest_token(f"{self.service.url}{path}?{query}")
        return await self.http.request(
            method,
            f"{self.service.url}{path}",
            headers={"Authorization": f"Bearer {token}", **(headers or {})},
            content=body,
            # The target as written here, not as a URL library would tidy it.
            extensions={"target": f"{path}?{query}".encode()},
        )

    async def send(
        self,
        body: bytes | AsyncIterator[bytes],
        content_type: str | None = "text/plain",
        *,
        to: str = "",
        hub: str = "chat",
        query: str = "api-version=2024-12-01",
        token: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> httpx2.Response:
        """`to`: "" for all, or for example "/users/u"."""
        headers = dict(headers or {})
        if content_type is not None:
            headers["Content-Type"] = content_type
        path = f"/api/hubs/{hub}{to}/:send"
        return await self.call("POST", path, query, token=token, headers=headers, body=body)

    async def fence(self, *receivers: Receiver) -> None:
        """Nothing else was on its way to these: a message to all is the next that they get."""
        assert (await self.send(b"fence")).status_code == 202
        for receiver in receivers:
            frame = await receiver.frame()
            assert frame == "fence" or json.loads(frame)["data"] == "fence"


@contextlib.asynccontextmanager
async def wire(**settings: Any) -> AsyncIterator[Wire]:
    """A service of its own with both keys, on a port of its own."""
    options = {"access_key": KEY, "access_key_secondary": OTHER_KEY, **settings}
    async with Service(Settings(port=0, **options)) as service:
        w = Wire(service)
        try:
            yield w
        finally:
            await w.close()
