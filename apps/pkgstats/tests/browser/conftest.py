"""Chromium, a site around the sample catalog, and a wire that tests can cut."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Page

from pkgstats.site import Site


@pytest.fixture(scope="session")
def catalog(sample_catalog: type[Any]) -> Any:
    return sample_catalog()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def site(start_site: Any, catalog: Any) -> AsyncIterator[Site]:
    """The site around the sample catalog, one for all browser tests."""
    async with start_site(catalog) as site:
        yield site


OpenTab = Callable[..., Awaitable[Page]]


@pytest_asyncio.fixture(loop_scope="session")
async def new_tab(browser: Browser, site: Site) -> AsyncIterator[OpenTab]:
    """`await new_tab(path)`: a page of a new visitor. What its console complains of fails the test."""
    contexts: list[BrowserContext] = []
    complaints: list[str] = []
    # A connection that can't be opened is reported by Chromium itself.
    allowed = ["WebSocket connection"]

    def listen(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            complaints.append(message.text)

    async def open(path: str, url: str = site.url, may_say: str = "", **options: Any) -> Page:
        allowed.append(may_say)
        context = await browser.new_context(**options)
        contexts.append(context)
        context.set_default_timeout(8_000)
        page = await context.new_page()
        page.on("console", listen)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        await page.goto(url + path)
        return page

    yield open
    for context in contexts:
        for page in context.pages:
            await page.goto("about:blank")
        await context.close()
    words = tuple(filter(None, allowed))
    assert [text for text in complaints if not any(word in text for word in words)] == []


class Wire:
    """A TCP relay between browser and hubbub; `cut` breaks what is open, `target` moves it."""

    def __init__(self) -> None:
        self.target: int | None = None
        """Port to relay to; None: connections are broken at once."""
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> int:
        self._server = await asyncio.start_server(self._relay, "127.0.0.1", 0)
        return int(self._server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        await self.cut()

    async def cut(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        far_writer: asyncio.StreamWriter | None = None
        try:
            if self.target is not None:
                far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.target)
                await asyncio.gather(_pump(reader, far_writer), _pump(far_reader, writer))
        except (OSError, asyncio.CancelledError):
            pass  # cut on purpose, or the far end has gone: both ends see a broken connection
        finally:
            self._tasks.discard(task)
            for end in filter(None, (writer, far_writer)):
                end.transport.abort()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65_536):
        writer.write(data)
        await writer.drain()
    with suppress(OSError):
        writer.write_eof()


@pytest_asyncio.fixture(loop_scope="session")
async def wire() -> AsyncIterator[Wire]:
    wire = Wire()
    yield wire
    await wire.stop()
