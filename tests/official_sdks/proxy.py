"""A TCP proxy that cuts: it stands between a client and the service and breaks their links."""

import asyncio
from collections.abc import Sequence
from typing import Self
from urllib.parse import urlsplit

_CHUNK_BYTES = 4096


class CuttingProxy:
    """Forwards bytes to `target_url`; `async with` runs it on a free port.

    `cut_after`: link number n is cut once it has carried `cut_after[n]` bytes towards the client,
    in the middle of a frame as it falls; later links are not cut. `delay_s`: every piece of data
    towards the client waits this long.
    """

    def __init__(
        self, target_url: str, *, cut_after: Sequence[int] = (), delay_s: float = 0
    ) -> None:
        target = urlsplit(target_url)
        assert target.hostname is not None
        assert target.port is not None
        self._host, self._target_port = target.hostname, target.port
        self._cut_after = list(cut_after)
        self._delay_s = delay_s
        self._open: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server
        self.links = 0
        self.cuts = 0
        self.is_refusing = False

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._carry, "127.0.0.1", 0)
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        self.cut()
        await self._server.wait_closed()

    def through(self, text: str) -> str:
        """An address or a connection string that leads through the proxy."""
        return text.replace(f":{self._target_port}", f":{self.port}")

    def cut(self) -> None:
        """Breaks every link, without a word to either side."""
        for writer in self._open:
            writer.transport.abort()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.is_refusing:
            writer.transport.abort()
            return
        budget = self._cut_after[self.links] if self.links < len(self._cut_after) else None
        self.links += 1
        far_reader, far_writer = await asyncio.open_connection(self._host, self._target_port)
        both = {writer, far_writer}
        self._open |= both
        try:
            ways = (
                _pump(reader, far_writer, None, 0),
                _pump(far_reader, writer, budget, self._delay_s),
            )
            tasks = [asyncio.ensure_future(way) for way in ways]
            done, rest = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            self.cuts += any(task.result() for task in done)
            for task in rest:
                task.cancel()
            await asyncio.wait(tasks)
        finally:
            self._open -= both
            for end in both:
                end.transport.abort()


async def _pump(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    budget: int | None,
    delay_s: float,
) -> bool:
    """Carries bytes until an end is gone (False) or the budget is used up (True)."""
    try:
        while data := await reader.read(_CHUNK_BYTES):
            if budget is not None and len(data) >= budget:
                return True
            budget = None if budget is None else budget - len(data)
            await asyncio.sleep(delay_s)
            writer.write(data)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
    except ConnectionError:
        return False  # one end was cut; the other is cut by the caller
    return False
