"""GETs to pkgstats over kept-alive connections: a package page that is warm, or suggestions.

`what`: "page" (4 readers), "gzip" (the same, compressed) or "suggest" (one reader who types: each
question after the answer to the one before). A bare server answers as many bytes each time.
"""

import asyncio
import time

from load import Target, cpu_s

PAGE = "/pkg:@azure/web-pubsub-client"
TYPED = (
    "w,we,web,web s,web so,web sock,rea,react,c,co,cl,cli,@a,@azure,@core/,path-f,zzzz,token ev"
).split(",")
BYTES = {"page": 46_000, "gzip": 9_500, "suggest": 1_400}
READERS = {"page": 4, "gzip": 4, "suggest": 1}
WARM_UP = 2
"""Rounds through all questions that are not counted."""


class Reader(asyncio.Protocol):
    """One kept-alive connection with one request at a time."""

    def __init__(self) -> None:
        self._answer: asyncio.Future[int] | None = None
        self._buffer = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport) or hasattr(transport, "write")
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, end, body = self._buffer.partition(b"\r\n\r\n")
        if self._answer is None or not end:
            return
        size = next(
            int(line[15:])
            for line in head.lower().split(b"\r\n")
            if line[:15] == b"content-length:"
        )
        if len(body) < size:
            return
        if head.startswith(b"HTTP/1.1 200 ") and size:
            self._answer.set_result(size)
        else:
            self._answer.set_exception(ConnectionError(f"refused: {bytes(head[:80])!r}"))
        self._answer, self._buffer = None, bytearray()

    async def get(self, request: bytes) -> int:
        self._answer = asyncio.get_running_loop().create_future()
        self.transport.write(request)
        return await self._answer


async def measure(target: Target, *, seconds: float, what: str) -> dict[str, float]:
    requests = _requests(target, what)
    loop = asyncio.get_running_loop()
    readers = [
        (await loop.create_connection(Reader, target.host, target.port))[1]
        for _ in range(READERS[what])
    ]
    took: list[float] = []

    async def read(reader: Reader, end: float, rounds: int) -> None:
        while rounds > 0 or time.perf_counter() < end:
            rounds -= 1
            for request in requests:
                began = time.perf_counter()
                await reader.get(request)
                took.append(time.perf_counter() - began)

    await asyncio.gather(*(read(reader, 0, WARM_UP) for reader in readers))
    took.clear()
    cpu_before, began = cpu_s(target.pid), time.perf_counter()
    await asyncio.gather(*(read(reader, began + seconds, 1) for reader in readers))
    passed, cpu = time.perf_counter() - began, cpu_s(target.pid) - cpu_before
    for reader in readers:
        reader.transport.close()
    took.sort()
    return {
        "answers_per_s": len(took) / passed,
        "answers_per_s_and_core": len(took) / max(cpu, 0.001),
        "server_cpu_us_per_answer": cpu / len(took) * 1e6,
        "median_ms": took[len(took) // 2] * 1e3,
        "p95_ms": took[int(len(took) * 0.95)] * 1e3,
    }


def _requests(target: Target, what: str) -> list[bytes]:
    encoding = "gzip" if what == "gzip" else "identity"
    if target.name != "pkgstats":
        paths = [f"/bytes/{BYTES[what]}"]
    elif what == "suggest":
        paths = [f"/api/v1/suggest?q={text.replace(' ', '+')}" for text in TYPED]
    else:
        paths = [PAGE]
    head = f"Host: {target.host}:{target.port}\r\nAccept-Encoding: {encoding}\r\n\r\n"
    return [f"GET {path} HTTP/1.1\r\n{head}".encode() for path in paths]
