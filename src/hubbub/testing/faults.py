"""A TCP proxy between clients and the service that breaks their links in the ways networks do."""

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Self
from urllib.parse import urlsplit

_CHUNK_BYTES = 4096


class FaultProxy:
    """Carries bytes to `target_url` (http://host:port); `async with` runs it on a free port.

    Switches, to be set at any time: `is_refusing` (new links are cut at once), `is_silent` (links
    stay open and carry nothing: half-open), `is_deaf` (nothing from the service gets through),
    `is_mute` (nothing from the client gets through), `delay_s` (each piece waits so long).
    """

    def __init__(self, target_url: str, *, cut_after: Sequence[int] = ()) -> None:
        """`cut_after`: link number n is cut once it has carried so many bytes to the client."""
        target = urlsplit(target_url)
        if target.hostname is None or target.port is None:
            raise ValueError("the address of a service has a host and a port")
        self._host, self._target_port = target.hostname, target.port
        self._cut_after = list(cut_after)
        self._server: asyncio.Server | None = None
        self._ends: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._held = asyncio.Event()
        self.port = 0
        self.links = 0
        """Links that were made so far."""
        self.cuts = 0
        self.delay_s = 0.0
        self.is_refusing = False
        self.is_deaf = False
        self.is_mute = False
        self._held.set()

    @property
    def is_silent(self) -> bool:
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
        self._server = await asyncio.start_server(self._link, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None, "entered before"
        self._server.close()
        self._held.set()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    def cut(self) -> None:
        """Break every link now, without a word to either side."""
        self.cuts += len(self._ends) // 2
        for end in self._ends:
            end.transport.abort()

    async def _link(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None, "the server runs this in a task"
        self._tasks.add(task)
        try:
            if self.is_refusing:
                return
            budget = self._cut_after[self.links] if self.links < len(self._cut_after) else None
            self.links += 1
            await self._carry(reader, writer, budget)
        except (ConnectionError, asyncio.CancelledError):
            pass  # the link is over; its end is all that matters
        finally:
            self._tasks.discard(task)
            writer.transport.abort()

    async def _carry(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, budget: int | None
    ) -> None:
        far_reader, far_writer = await asyncio.open_connection(self._host, self._target_port)
        both = {writer, far_writer}
        self._ends |= both
        ways = [
            asyncio.ensure_future(self._pump(reader, far_writer, None, is_outbound=True)),
            asyncio.ensure_future(self._pump(far_reader, writer, budget, is_outbound=False)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            # First what cannot be cancelled.
            self._ends -= both
            far_writer.transport.abort()
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)

    async def _pump(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        budget: int | None,
        *,
        is_outbound: bool,
    ) -> None:
        """Until an end is gone or the budget is used up."""
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(_CHUNK_BYTES):
                await self._held.wait()
                if self.is_mute if is_outbound else self.is_deaf:
                    continue
                if budget is not None:
                    if len(data) >= budget:
                        self.cuts += 1
                        return
                    budget -= len(data)
                if self.delay_s:
                    await asyncio.sleep(self.delay_s)
                writer.write(data)
                await writer.drain()
