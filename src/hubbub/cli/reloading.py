"""`hubbub serve` reads its settings again: when it is told to, and when their file has changed."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Protocol

from hubbub.protocol.errors import HubbubError, SettingsError
from hubbub.service.settings import Settings

log = logging.getLogger("hubbub.cli")

LOOK_INTERVAL_S = 2
"""Between two looks at the file."""

_Print = tuple[int, int, int]
"""What tells one state of a file from another: time of change, size, inode."""


class ReloadableService(Protocol):
    """What is needed of a started `hubbub.service.Service`."""

    def reload(self, settings: Settings) -> tuple[str, ...]: ...


class Reloading:
    """Reads the settings and hands them to the service; faulty ones are reported and left out."""

    def __init__(
        self,
        service: ReloadableService,
        load: Callable[[], Settings],
        file: Path | None,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """`load`: reads all sources, raises `SettingsError`. `file`: what to watch, if anything."""
        self._service = service
        self._load = load
        self._file = file
        self._sleep = sleep
        self._is_asked = asyncio.Event()
        self._taken = self._print()

    def ask(self) -> None:
        """Read again soon. For a signal."""
        self._is_asked.set()

    async def run(self) -> None:
        """Until it is cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._obey())
            if self._file is not None:
                tasks.create_task(self._watch())

    async def _obey(self) -> None:
        while True:
            await self._is_asked.wait()
            self._is_asked.clear()
            self._taken = self._print()
            try:
                settings = await asyncio.to_thread(self._load)
                self._service.reload(settings)
            except SettingsError as error:
                for problem in error.problems:
                    log.error("settings not reloaded: %s", problem)
                log.error("settings not reloaded; the service goes on with those that it has")
            except HubbubError as error:
                log.error("settings not reloaded: %s", error)
            except Exception:
                log.exception("settings not reloaded; the service goes on with those that it has")

    async def _watch(self) -> None:
        """A file is read when it stays the same between two looks: not while it is written."""
        seen = self._taken
        while True:
            await self._sleep(LOOK_INTERVAL_S)
            before, seen = seen, self._print()
            # A missing file is about to be replaced, or gone for good; neither is new settings.
            if seen is not None and seen == before and seen != self._taken:
                log.info("the settings file has changed")
                self.ask()

    def _print(self) -> _Print | None:
        try:
            status = self._file.stat() if self._file is not None else None
        except OSError:
            return None
        return None if status is None else (status.st_mtime_ns, status.st_size, status.st_ino)
