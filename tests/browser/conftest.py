"""Chromium and a scripted service for the tests of the browser client."""

import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, async_playwright
from tests.browser.driver import Driver
from tests.browser.fake_service import FakeService

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
WITHOUT_CHROMIUM = "Chromium was not found: the tests of the browser client did not run."
HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if not item.path.is_relative_to(HERE):
            continue
        item.add_marker(pytest.mark.browser)
        if CHROMIUM is None:
            item.add_marker(pytest.mark.skip(reason=WITHOUT_CHROMIUM))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if CHROMIUM is None:
        terminalreporter.write_line(WITHOUT_CHROMIUM, yellow=True)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        await browser.close()


@pytest_asyncio.fixture(loop_scope="session")
async def service() -> AsyncIterator[FakeService]:
    async with FakeService() as service:
        yield service


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def page(browser: Browser) -> Page:
    page = await browser.new_page()
    page.set_default_timeout(10_000)
    return page


@pytest_asyncio.fixture(loop_scope="session")
async def driver(service: FakeService, page: Page) -> AsyncIterator[Driver]:
    driver = Driver(page)
    await driver.open(service.page_url, service.url)
    yield driver
    await page.evaluate("() => window.client?.stop()")


@pytest_asyncio.fixture(loop_scope="session")
async def timed_driver(service: FakeService, browser: Browser) -> AsyncIterator[Driver]:
    """A driver whose page has a clock that can be put forward: `driver.page.clock`."""
    page = await browser.new_page()
    await page.clock.install()
    driver = Driver(page)
    await driver.open(service.page_url, service.url)
    yield driver
    await page.close()
