"""An event handler that records what reaches it, byte for byte, and answers as told.

`stage` puts a service and clients around it.
"""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from types import TracebackType
from typing import Any, Self

import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.frames import Close
from websockets.typing import Subprotocol

from hubbub.protocol import tokens
from hubbub.service import EventHandlerSettings, HubSettings, Service, Settings

KEY = "primary-key-of-the-test-with-enough-bytes="
J = "json.webpubsub.azure.v1"
JR = "json.reliable.webpubsub.azure.v1"
ALL_EVENTS = ("connect", "connected", "disconnected")
WAIT_S = 10
"""Upper bound of every wait, so that a fault ends the test instead of hanging it."""


@dataclass
class Recorded:
    """One request. Header names in lower case, values as the bytes on the wire."""

    method: str
    target: str
    headers: list[tuple[str, bytes]]
    body: bytes

    def header(self, name: str) -> str | None:
        """The value of a header that may stand at most once, as UTF-8."""
        values = [value for key, value in self.headers if key == name.lower()]
        assert len(values) <= 1, f"{name} came {len(values)} times"
        return values[0].decode() if values else None

    @property
    def event(self) -> str | None:
        return self.header("ce-eventName")

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.body)


@dataclass
class Reply:
    status: int = 204
    body: bytes = b""
    content_type: str | None = None
    headers: list[tuple[str, str]] = field(default_factory=list)
    is_chunked: bool = False
    cuts: bool = False
    """Close the socket instead of an answer."""


Answer = Callable[[Recorded], Reply | Awaitable[Reply]]

VALID = Reply(200, headers=[("WebHook-Allowed-Origin", "*")])


class RecordingHandler:
    """`answers[event]` decides what an event gets; without one it gets 204.

    Questions (OPTIONS, GET) are under "OPTIONS" and "GET", user events also under "*".
    """

    def __init__(self) -> None:
        self.requests: list[Recorded] = []
        self.answers: dict[str, Answer | Reply] = {"OPTIONS": VALID}
        self.aborted: list[Recorded] = []
        """Requests whose sender went away before they were answered."""
        self._server: asyncio.Server | None = None
        self._news = asyncio.Event()
        self._clients: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._server is not None
        self._server.close()
        for writer in self._writers:
            writer.close()
        await asyncio.gather(*self._clients)

    @property
    def url(self) -> str:
        assert self._server is not None
        host, port = self._server.sockets[0].getsockname()
        return f"http://{host}:{port}"

    @property
    def posts(self) -> list[Recorded]:
        return [request for request in self.requests if request.method == "POST"]

    @property
    def questions(self) -> list[Recorded]:
        return [request for request in self.requests if request.method != "POST"]

    def events(self, name: str) -> list[Recorded]:
        return [request for request in self.posts if request.event == name]

    async def wait_until(self, condition: Callable[[], bool], within_s: float = WAIT_S) -> None:
        async with asyncio.timeout(within_s):
            while not condition():
                self._news.clear()
                await self._news.wait()

    async def wait_for(self, name: str, count: int = 1) -> list[Recorded]:
        """The POSTs of one event, as soon as there are so many."""
        await self.wait_until(lambda: len(self.events(name)) >= count)
        return self.events(name)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._clients.add(task)
        self._writers.add(writer)
        try:
            while (request := await _read_request(reader)) is not None:
                self.requests.append(request)
                self._news.set()
                if not await self._answer(request, reader, writer):
                    break
        except ConnectionError:
            pass
        finally:
            self._clients.discard(task)
            self._writers.discard(writer)
            writer.close()

    async def _answer(
        self, request: Recorded, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        """True when the connection goes on."""
        answering = asyncio.ensure_future(self._reply_to(request))
        # The client says nothing more before it has its answer, so a byte or an end is its leaving.
        leaving = asyncio.ensure_future(reader.read(1))
        try:
            await asyncio.wait({answering, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if not answering.done():
                self.aborted.append(request)
                self._news.set()
                return False
            reply = answering.result()
        finally:
            for future in (answering, leaving):
                future.cancel()
            await asyncio.gather(answering, leaving, return_exceptions=True)
        if not reply.cuts:
            writer.write(_encode(reply))
            await writer.drain()
        return not reply.cuts

    async def _reply_to(self, request: Recorded) -> Reply:
        is_user = (request.header("ce-type") or "").startswith("azure.webpubsub.user.")
        name = (request.event or "") if request.method == "POST" else request.method
        answer = self.answers.get(name) or (self.answers.get("*") if is_user else None) or Reply()
        result = answer if isinstance(answer, Reply) else answer(request)
        return result if isinstance(result, Reply) else await result


async def _read_request(reader: asyncio.StreamReader) -> Recorded | None:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    first, *lines = head[:-4].split(b"\r\n")
    method, target, _ = first.decode("ascii").split(" ")
    headers = []
    for line in lines:
        name, _, value = line.partition(b":")
        headers.append((name.decode("ascii").lower(), value.strip()))
    length = next((int(value) for name, value in headers if name == "content-length"), 0)
    return Recorded(method, target, headers, await reader.readexactly(length))


def _encode(reply: Reply) -> bytes:
    lines = [f"HTTP/1.1 {reply.status} {HTTPStatus(reply.status).phrase}"]
    lines += [f"{name}: {value}" for name, value in reply.headers]
    if reply.content_type is not None:
        lines.append(f"Content-Type: {reply.content_type}")
    if reply.is_chunked:
        lines.append("Transfer-Encoding: chunked")
        body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(reply.body), reply.body)
    else:
        if reply.status != 204:
            lines.append(f"Content-Length: {len(reply.body)}")
        body = reply.body
    return "\r\n".join([*lines, "", ""]).encode() + body


class Client:
    """One WebSocket client; a PubSub client has read its `connected` message into `hello`."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.hello: dict[str, Any] = {}

    async def send(self, message: dict[str, Any] | str | bytes) -> None:
        await self.socket.send(json.dumps(message) if isinstance(message, dict) else message)

    async def frame(self) -> str | bytes:
        async with asyncio.timeout(WAIT_S):
            return await self.socket.recv()

    async def json(self) -> dict[str, Any]:
        return dict(json.loads(await self.frame()))

    async def ask(self, message: dict[str, Any]) -> dict[str, Any]:
        """Send and return the next message."""
        await self.send(message)
        return await self.json()

    async def expect_silence(self) -> None:
        """Nothing came that was not asked for: a ping is answered by the very next message."""
        assert await self.ask({"type": "ping"}) == {"type": "pong"}

    async def closed(self) -> Close:
        """The close frame of the service; messages before it are skipped."""
        try:
            while True:
                await self.frame()
        except ConnectionClosed as closed:
            frame = closed.rcvd
        assert frame is not None, "the connection ended without a close frame"
        return frame

    def cut(self) -> None:
        """The network goes away: no close frame."""
        self.socket.transport.abort()


class Stage:
    """A service with one handler of hub `chat`, and its clients."""

    def __init__(
        self, handler: RecordingHandler, service: Service, stack: contextlib.AsyncExitStack
    ) -> None:
        self.handler = handler
        self.service = service
        self._stack = stack

    def token(self, *, audience: str | None = None, life_s: float = 600, **claims: Any) -> str:
        return tokens.make_client_token(
            KEY,
            audience=audience or f"{self.service.url}/client/hubs/chat",
            now=time.time(),
            life_s=life_s,
            **claims,
        )

    async def open(
        self,
        *subprotocols: str,
        token: str | None = None,
        query: str = "",
        headers: Mapping[str, str] | None = None,
        **claims: Any,
    ) -> Client:
        """token: "" for none; else made of the claims. Raises `InvalidStatus` for a refusal."""
        token = self.token(**claims) if token is None else token
        query = "&".join(part for part in (token and f"access_token={token}", query) if part)
        base = self.service.url.replace("http", "ws", 1)
        socket = await self._stack.enter_async_context(
            connect(
                f"{base}/client/hubs/chat?{query}",
                subprotocols=[Subprotocol(name) for name in subprotocols] or None,
                additional_headers=headers,
                compression=None,
                proxy=None,
            )
        )
        client = Client(socket)
        if socket.subprotocol in (J, JR):
            client.hello = await client.json()
            assert client.hello["event"] == "connected"
        return client

    async def refused(self, *subprotocols: str, **how: Any) -> tuple[int, bytes]:
        """Status and body of a handshake that must not succeed."""
        try:
            await self.open(*subprotocols, **how)
        except InvalidStatus as refusal:
            return refusal.response.status_code, bytes(refusal.response.body or b"")
        raise AssertionError("the client was let in")


@contextlib.asynccontextmanager
async def stage(
    *,
    hub: dict[str, Any] | None = None,
    first: Sequence[EventHandlerSettings] = (),
    service: dict[str, Any] | None = None,
    **settings: Any,
) -> AsyncIterator[Stage]:
    """Keywords are settings of the handler; by default it takes every event.

    first: handlers before it. hub, service: further settings.
    """
    async with contextlib.AsyncExitStack() as stack:
        handler = await stack.enter_async_context(RecordingHandler())
        values: dict[str, Any] = {
            "url_template": f"{handler.url}/eh/{{hub}}/{{event}}",
            "user_event_pattern": "*",
            "system_events": ALL_EVENTS,
            "retry_pauses_s": (0.01, 0.01, 0.01),
        }
        own = EventHandlerSettings(**(values | settings))
        chat = HubSettings(event_handlers=(*first, own), **(hub or {}))
        running = await stack.enter_async_context(
            Service(Settings(port=0, access_key=KEY, hubs={"chat": chat}, **(service or {})))
        )
        clients = await stack.enter_async_context(contextlib.AsyncExitStack())
        yield Stage(handler, running, clients)
