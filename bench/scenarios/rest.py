"""REST sends: requests per second and CPU of the server for each.

`listeners` are connections of the hub, members of the group or connections of the user; a bare
server has none. After the last request each must have got every message. `tokens`: so many are
made before and shown in turn. The SDKs date theirs in whole seconds, so a caller that sends a lot
to one address shows the same one many times, and one that sends to many addresses never.
"""

import asyncio
import time

from load import Target, all_until, connect_many, cpu_s, text_frame

from hubbub.protocol.tokens import make_rest_token

BODY = b"x" * 100
CALLERS = 16
WARM_UP = 20
"""Requests of each caller that are not counted."""


class Caller(asyncio.Protocol):
    """One kept-alive connection with one request at a time."""

    def __init__(self) -> None:
        self._answer: asyncio.Future[None] | None = None
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport) or hasattr(transport, "write")
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self._buffer.endswith(b"\r\n\r\n") or self._answer is None:
            return
        if self._buffer.startswith(b"HTTP/1.1 202 "):
            self._answer.set_result(None)
        else:
            self._answer.set_exception(ConnectionError(f"refused: {self._buffer[:80]!r}"))
        self._answer, self._buffer = None, b""

    async def call(self, request: bytes) -> None:
        self._answer = asyncio.get_running_loop().create_future()
        self.transport.write(request)
        await self._answer


async def measure(
    target: Target, *, seconds: float, to: str, listeners: int, tokens: int = 1
) -> dict[str, float]:
    is_bare = not target.key
    receivers = [] if is_bare else await connect_many(target, listeners)
    for socket in receivers:
        before = socket.received
        socket.write(text_frame({"type": "joinGroup", "group": "g", "ackId": 1}))
        await socket.until(before + 1)
    starts = [socket.received for socket in receivers]
    path = {"group": "/groups/g", "user": "/users/u", "all": ""}[to]
    requests = [_request(target, path, life_s=3600 + i) for i in range(tokens)]
    loop = asyncio.get_running_loop()
    callers = [
        (await loop.create_connection(Caller, target.host, target.port))[1] for _ in range(CALLERS)
    ]
    sent = 1
    await callers[0].call(requests[0])
    if receivers:
        await receivers[0].until(starts[0] + 1)
    size = receivers[0].received - starts[0] if receivers else 0

    async def some(caller: Caller, end: float, at_least: int) -> None:
        nonlocal sent
        count = 0
        while count < at_least or time.perf_counter() < end:
            await caller.call(requests[sent % tokens])
            sent += 1
            count += 1

    await asyncio.gather(*(some(caller, 0, WARM_UP) for caller in callers))
    sent_before, cpu_before, began = sent, cpu_s(target.pid), time.perf_counter()
    await asyncio.gather(*(some(caller, began + seconds, 1) for caller in callers))
    async with asyncio.timeout(10):
        await all_until(receivers, (start + sent * size for start in starts))
    took, cpu = time.perf_counter() - began, cpu_s(target.pid) - cpu_before
    count = sent - sent_before
    for caller in callers:
        caller.transport.close()
    for socket in receivers:
        socket.end()
    return {
        "requests_per_s": count / took,
        "server_cpu_us_per_request": cpu / count * 1e6,
        "requests_per_s_and_core": count / cpu,
        "server_cpu_share": cpu / took,
    }


def _request(target: Target, to: str, life_s: int) -> bytes:
    path = f"/api/hubs/bench{to}/:send"
    authority = f"{target.host}:{target.port}"
    token = make_rest_token(
        target.key or "no" * 20, url=f"http://{authority}{path}", now=time.time(), life_s=life_s
    )
    lines = [
        f"POST {path}?api-version=2024-12-01 HTTP/1.1",
        f"Host: {authority}",
        f"Authorization: Bearer {token}",
        "Content-Type: text/plain",
        f"Content-Length: {len(BODY)}",
    ]
    return "\r\n".join([*lines, "", ""]).encode() + BODY
