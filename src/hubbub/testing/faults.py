"""A proxy between clients and the service that breaks their links in the ways networks do."""

import asyncio
import contextlib
from collections import deque
from collections.abc import Sequence
from typing import Self
from urllib.parse import urlsplit

from hubbub.testing.frames import (
    BINARY,
    TEXT,
    Head,
    Splitter,
    close_frame,
    http_answer,
    switching_protocols,
)

_CHUNK_BYTES = 4096
_LINGER_S = 5.0
"""How long a client may take to hang up after it was told a close code or a refusal."""


class FaultProxy:
    """Carries bytes to `target_url` (http://host:port); `async with` runs it on a free port.

    The switches are attributes and methods, to be used at any time.
    """

    def __init__(self, target_url: str, *, cut_after: Sequence[int] = ()) -> None:
        """`cut_after`: link number n is cut once it has carried so many bytes to the client."""
        target = urlsplit(target_url)
        if target.hostname is None or target.port is None:
            raise ValueError("the address of a service has a host and a port")
        self._host, self._target_port = target.hostname, target.port
        self._cut_after = list(cut_after)
        self._server: asyncio.Server | None = None
        self._links: set[_Link] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._refusals: deque[bytes] = deque()
        self._is_closing = False
        self._duplicates_left = 0
        self._held = asyncio.Event()
        self._held.set()
        self.port = 0
        self.links = 0
        """Links that were made so far."""
        self.cuts = 0
        """Links that were cut so far."""
        self.delay_s = 0.0
        """Each piece of data waits so long, in both directions."""
        self.is_refusing = False
        """New links are cut at once; those that are there stay."""
        self.is_deaf = False
        """Nothing from the service gets through, and nobody is told."""
        self.is_mute = False
        """Nothing from the client gets through, and nobody is told."""
        self.is_refusing_recovery = False
        """A client that wants its connection back is told 1008, as by a service that lost it."""
        self.expired_tokens: set[str] = set()
        """New connections with one of these in their address are refused with 401."""

    @property
    def is_silent(self) -> bool:
        """Links stay open and carry nothing: half-open. What was held comes when it ends."""
        return not self._held.is_set()

    @is_silent.setter
    def is_silent(self, value: bool) -> None:
        if value:
            self._held.clear()
        else:
            self._held.set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None, "entered before"
        self._is_closing = True  # what was accepted, but is no task yet, must not begin now
        self._server.close()
        self._held.set()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    # --- switches ----------------------------------------------------------------------------

    def cut(self) -> None:
        """Break every link now, without a word to either side."""
        for link in self._links:
            self.cuts += 1
            link.abort()

    async def close_clients(self, code: int, reason: str = "") -> None:
        """Tell every client this close code, as if the service had; then its link ends."""
        frame = close_frame(code, reason)
        await asyncio.gather(*(link.end_with(frame) for link in set(self._links)))

    def duplicate(self, count: int = 1) -> None:
        """So many of the next messages and answers of the service come twice."""
        self._duplicates_left += count

    def refuse(self, status: int, *, retry_after_s: int | None = None, times: int = 1) -> None:
        """Answer so many of the next handshakes with an HTTP status instead of 101."""
        headers = {} if retry_after_s is None else {"Retry-After": str(retry_after_s)}
        self._refusals.extend([http_answer(status, headers)] * times)

    # --- links -------------------------------------------------------------------------------

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None, "the server runs this in a task"
        self._tasks.add(task)
        try:
            if not (self.is_refusing or self._is_closing):
                await self._link(reader, writer)
        except (ConnectionError, EOFError, asyncio.LimitOverrunError, asyncio.CancelledError):
            pass  # the link is over; its end is all that matters
        finally:
            self._tasks.discard(task)
            writer.transport.abort()

    async def _link(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        budget = self._cut_after[self.links] if self.links < len(self._cut_after) else None
        self.links += 1
        link = _Link(self, reader, writer, budget)
        self._links.add(link)
        try:
            raw = await reader.readuntil(b"\r\n\r\n")
            await self._held.wait()
            answer = self._answer_to(Head(raw))
            if answer is None:
                far = await asyncio.open_connection(self._host, self._target_port)
                await link.carry(*far, raw)
            else:
                writer.write(answer)
                await link.linger()
        finally:
            self._links.discard(link)

    def _answer_to(self, head: Head) -> bytes | None:
        """What this proxy says instead of the service, if anything."""
        if not head.is_websocket:
            return None
        if self._refusals:
            return self._refusals.popleft()
        if head.is_recovery:
            if self.is_refusing_recovery:
                gone = close_frame(1008, "the connection cannot be recovered")
                return switching_protocols(head) + gone
        elif head.query.get("access_token") in self.expired_tokens:
            return http_answer(401)
        return None

    def _takes_duplicate(self) -> bool:
        """Whether the next frame comes twice; each call counts."""
        if self._duplicates_left == 0:
            return False
        self._duplicates_left -= 1
        return True


class _Link:
    """One client's connection, and ours to the service for it."""

    def __init__(
        self,
        proxy: FaultProxy,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        budget: int | None,
    ) -> None:
        self._proxy = proxy
        self._reader = reader
        self._writer = writer
        self._budget = budget
        self._far: asyncio.StreamWriter | None = None
        self._inbound: asyncio.Task[None] | None = None
        self._between_frames = asyncio.Lock()
        self._has_answer = False  # the service's head has gone through

    def abort(self) -> None:
        self._writer.transport.abort()
        if self._far is not None:
            self._far.transport.abort()

    async def end_with(self, frame: bytes) -> None:
        """Write this where a frame may begin, and nothing after it; cut what is no WebSocket yet."""
        async with self._between_frames:
            if self._inbound is None or not self._has_answer:
                self.abort()
                return
            self._inbound.cancel()
            self._writer.write(frame)

    async def linger(self) -> None:
        """Until the client hangs up, so that it can read what it was told."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LINGER_S):
                while await self._reader.read(_CHUNK_BYTES):
                    pass

    async def carry(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes
    ) -> None:
        self._far = writer
        outbound = asyncio.ensure_future(self._pump_out(writer, head))
        self._inbound = asyncio.ensure_future(self._pump_in(reader))
        ways = (outbound, self._inbound)
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            if self._inbound.cancelled():  # the client was told that this is the end
                await asyncio.wait((outbound,), timeout=_LINGER_S)
        finally:
            # First what cannot be cancelled.
            writer.transport.abort()
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)

    async def _pump_out(self, far: asyncio.StreamWriter, data: bytes) -> None:
        """Until an end is gone."""
        proxy = self._proxy
        with contextlib.suppress(ConnectionError):
            while data:
                await proxy._held.wait()
                if not proxy.is_mute:
                    if proxy.delay_s:
                        await asyncio.sleep(proxy.delay_s)
                    far.write(data)
                    await far.drain()
                data = await self._reader.read(_CHUNK_BYTES)

    async def _pump_in(self, far: asyncio.StreamReader) -> None:
        """Until an end is gone or the budget is used up."""
        splitter = Splitter()
        with contextlib.suppress(ConnectionError):
            while data := await far.read(_CHUNK_BYTES):
                if self._proxy.delay_s:
                    await asyncio.sleep(self._proxy.delay_s)
                for opcode, piece in splitter.feed(data):
                    await self._proxy._held.wait()
                    is_twice = opcode in (TEXT, BINARY) and self._proxy._takes_duplicate()
                    for _ in range(2 if is_twice else 1):
                        async with self._between_frames:
                            if not await self._write(piece):
                                return

    async def _write(self, piece: bytes) -> bool:
        """False: the budget is used up."""
        proxy = self._proxy
        if proxy.is_deaf:
            return True
        for start in range(0, len(piece), _CHUNK_BYTES):
            chunk = piece[start : start + _CHUNK_BYTES]
            if self._budget is not None:
                if len(chunk) >= self._budget:
                    proxy.cuts += 1
                    return False
                self._budget -= len(chunk)
            self._writer.write(chunk)
            await self._writer.drain()
        self._has_answer = True
        return True
