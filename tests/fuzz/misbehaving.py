"""An event handler that answers anything: damaged HTTP, damaged CloudEvents, half of it, nothing."""

import asyncio
import random
from types import TracebackType
from typing import Self

from tests.fuzz.edits import damaged

_ANSWERS = (
    b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{"a":[1]}',
    b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nce-connectionState: e30=\r\n"
    b"X-WebPubSub-Metadata-k: v\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
    b"HTTP/1.1 204 No Content\r\nce-connectionState: eyJhIjoxfQ==\r\n\r\n",
    b'HTTP/1.1 200 OK\r\nContent-Length: 30\r\n\r\n{"userId":"u","groups":["g2"]}',
    b"HTTP/1.1 401 Unauthorized\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nno",
    b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
    b"",
)
_WORDS = (
    b"\r\n", b"\r\n\r\n", b"\0", b"\xff", b"x" * 9000, b"HTTP/1.1 ", b"Content-Length: 99\r\n",
    b"ce-connectionState: " + b"y" * 9000 + b"\r\n", b"Content-Encoding: gzip\r\n", b"[" * 2000,
)  # fmt: skip
_VALID = b"HTTP/1.1 200 OK\r\nWebHook-Allowed-Origin: *\r\nContent-Length: 0\r\n\r\n"


class MisbehavingHandler:
    """`answered`: calls so far, without the questions whether events are wanted."""

    def __init__(self, draw: random.Random) -> None:
        self.answered = 0
        self._draw = draw
        self._server: asyncio.Server | None = None

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
        await self._server.wait_closed()

    @property
    def url(self) -> str:
        assert self._server is not None
        host, port = self._server.sockets[0].getsockname()
        return f"http://{host}:{port}"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            writer.write(_VALID if head.startswith(b"OPTIONS") else self._answer())
            await writer.drain()
            writer.write_eof()
            while await reader.read(65_536):  # so that the end is no reset that eats the answer
                pass
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the caller has given up
        finally:
            writer.close()

    def _answer(self) -> bytes:
        self.answered += 1
        return damaged(self._draw.choice(_ANSWERS), _WORDS, self._draw)
