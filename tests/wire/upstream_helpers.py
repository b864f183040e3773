"""An event handler that records what reaches it, byte for byte, and answers as told."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from types import TracebackType
from typing import Any, Self

import msgspec


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

    async def wait_until(self, condition: Callable[[], bool], within_s: float = 5) -> None:
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
