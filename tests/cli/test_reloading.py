"""When `serve` reads its settings again; the service and the time are the test's own."""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from hubbub.cli.reloading import LOOK_INTERVAL_S, Reloading
from hubbub.protocol.errors import SettingsError
from hubbub.service.settings import HubSettings, Settings


class Stage:
    """A file with a hub name in it, a service that keeps what it gets, and looks on demand."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.taken: list[str] = []
        self.loads = 0
        self._looks: asyncio.Queue[None] = asyncio.Queue()
        self._waiting = asyncio.Event()
        self._news = asyncio.Event()
        self._stamp = 1_000_000_000

    def write(self, text: str) -> None:
        self.file.write_text(text)
        self._stamp += 1
        os.utime(self.file, (self._stamp, self._stamp))

    def load(self) -> Settings:
        self.loads += 1
        text = self.file.read_text()
        if text.startswith("faulty"):
            raise SettingsError([f"{text}: one", f"{text}: two"])
        if text == "broken":
            raise ZeroDivisionError("a fault of ours")
        return Settings(hubs={text: HubSettings()})

    def reload(self, settings: Settings) -> tuple[str, ...]:
        self.taken += settings.hubs
        self._news.set()
        return ()

    async def sleep(self, seconds: float) -> None:
        assert seconds == LOOK_INTERVAL_S
        self._waiting.set()
        await self._looks.get()

    async def look(self) -> None:
        """One look at the file, and what it asks for."""
        await self._waiting.wait()
        self._waiting.clear()
        self._looks.put_nowait(None)
        await self._waiting.wait()

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not condition():
                await asyncio.sleep(0.001)


Start = Callable[[bool], Awaitable[Reloading]]


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    stage = Stage(tmp_path / "hubbub.toml")
    stage.write("first")
    return stage


@pytest.fixture
async def start(stage: Stage) -> AsyncIterator[Start]:
    tasks: list[asyncio.Task[None]] = []

    async def run(watches: bool) -> Reloading:
        file = stage.file if watches else None
        reloading = Reloading(stage, stage.load, file, sleep=stage.sleep)
        tasks.append(asyncio.create_task(reloading.run()))
        return reloading

    yield run
    for task in tasks:
        assert not task.done()
        task.cancel()
        await asyncio.wait([task])


async def test_signal_reads_the_settings_again(stage: Stage, start: Start) -> None:
    reloading = await start(False)
    reloading.ask()
    await stage.until(lambda: stage.taken == ["first"])
    stage.write("second")
    reloading.ask()
    await stage.until(lambda: stage.taken == ["first", "second"])


async def test_file_that_does_not_change_is_not_read(stage: Stage, start: Start) -> None:
    await start(True)
    for _ in range(5):
        await stage.look()
    assert stage.loads == 0


async def test_file_that_changed_is_read_once_it_stays_the_same(stage: Stage, start: Start) -> None:
    await start(True)
    stage.write("half")
    await stage.look()
    stage.write("whole")
    await stage.look()
    assert stage.loads == 0
    await stage.look()
    await stage.until(lambda: stage.taken == ["whole"])
    for _ in range(3):
        await stage.look()
    assert stage.loads == 1


async def test_file_that_is_gone_for_a_moment_is_no_change(stage: Stage, start: Start) -> None:
    await start(True)
    stage.file.unlink()
    for _ in range(3):
        await stage.look()
    assert stage.loads == 0
    stage.write("replaced")
    await stage.look()
    await stage.look()
    await stage.until(lambda: stage.taken == ["replaced"])


async def test_file_that_a_signal_has_read_is_not_read_twice(stage: Stage, start: Start) -> None:
    reloading = await start(True)
    stage.write("second")
    reloading.ask()
    await stage.until(lambda: stage.taken == ["second"])
    for _ in range(3):
        await stage.look()
    assert stage.loads == 1


async def test_faulty_file_is_reported_whole_and_the_next_one_works(
    stage: Stage, start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    reloading = await start(True)
    stage.write("faulty")
    reloading.ask()
    await stage.until(lambda: "goes on" in caplog.text)
    assert "faulty: one" in caplog.text
    assert "faulty: two" in caplog.text
    assert stage.taken == []
    stage.write("broken")
    reloading.ask()
    await stage.until(lambda: "ZeroDivisionError" in caplog.text)
    stage.write("mended")
    await stage.look()
    await stage.look()
    await stage.until(lambda: stage.taken == ["mended"])
