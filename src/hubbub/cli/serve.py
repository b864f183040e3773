"""`hubbub serve`: the service, until a signal ends it."""

import argparse
import asyncio
import errno
import os
import signal
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from hubbub.cli import command, logs
from hubbub.cli.reloading import Reloading
from hubbub.service.auth import local_access_key
from hubbub.service.settings import Settings
from hubbub.service.settings_table import SETTINGS

_EXAMPLES = """\
examples:
  hubbub serve                       on http://127.0.0.1:8080, with this user's own key
  hubbub serve --port 0              on any free port; the first line tells which
  hubbub serve --config hubbub.toml

then, in another terminal:
  hubbub url --hub chat --user alice    an address for a client
  hubbub connection-string              for a backend

SIGTERM, Ctrl-C or a closed terminal drains: new clients are refused, calls come to an end, clients
are told to go. A second one cuts at once. SIGHUP, or a change of the --config file, reads the
settings again: new event handlers and hub settings work at once, no client is dropped; the log
names settings that need a new start, and every fault of a file that is therefore not used.
All settings: docs/reference/settings.md.
"""

_FLAGS = {row.path: row for row in SETTINGS if row.flag}


class RunningService(Protocol):
    """What is needed of a started `hubbub.service.Service`."""

    async def drain(self) -> None: ...
    async def stop(self) -> None: ...


def add(commands: Any, common: argparse.ArgumentParser) -> None:
    parser = commands.add_parser(
        "serve",
        parents=[common],
        formatter_class=argparse.RawDescriptionHelpFormatter,
        help="run the service",
        description="Run the service in the foreground. It prints its address when it is ready.\n"
        "Settings come from these options, else from the environment (HUBBUB_<TABLE>_<KEY>),\n"
        "else from the file. Keys come from HUBBUB_ACCESS_KEY and HUBBUB_ACCESS_KEY_SECONDARY,\n"
        "else a key is made once and kept for this user.",
        epilog=_EXAMPLES,
    )
    add_settings_options(parser)
    parser.set_defaults(run=run)


def add_settings_options(parser: argparse.ArgumentParser) -> None:
    for path, row in _FLAGS.items():
        parser.add_argument(
            row.flag,
            dest=path,
            metavar=row.key.upper(),
            help=f"{row.help[0].lower()}{row.help[1:-1]} (default: {row.default})",
        )
    parser.add_argument("--config", type=Path, metavar="FILE", help="TOML file with settings")


def load_settings(args: argparse.Namespace) -> Settings:
    """The settings of a service with these options; raises `SettingsError`."""
    from hubbub.service.settings_loader import load

    flags = {path: getattr(args, path) for path in _FLAGS}
    return load(args.config, environ=os.environ, flags=flags)


def _load_with_key(args: argparse.Namespace) -> Settings:
    settings = load_settings(args)
    if settings.access_key is None:
        settings = replace(settings, access_key=local_access_key())
    return settings


def run(args: argparse.Namespace) -> int:
    settings = _load_with_key(args)
    logs.configure(settings.log_level, settings.log_format)
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        return runner.run(_serve(args, settings))


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """The faster loop where it is installed."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


async def _serve(args: argparse.Namespace, settings: Settings) -> int:
    from hubbub.service import Service, freeze_garbage

    loop = asyncio.get_running_loop()
    signals = StopSignals()
    signals.listen(loop)
    service = Service(settings)
    reloading = Reloading(service, partial(_load_with_key, args), args.config)
    # Under nohup the signal was ignored: the service is meant to outlive its terminal.
    ends_with_terminal = _has_terminal() and signal.getsignal(signal.SIGHUP) != signal.SIG_IGN

    def hangup() -> None:
        # The same signal says that the terminal is closed; nobody would stop the service then.
        if ends_with_terminal and not _has_terminal():
            signals.terminal_closed()
        else:
            reloading.ask()

    loop.add_signal_handler(signal.SIGHUP, hangup)
    try:
        await service.start()
    except OSError as error:
        raise command.CommandFailed(listen_failure(settings, error)) from error
    freeze_garbage()
    command.say(args, f"hubbub is ready at {service.url}", {"ready": True, "url": service.url})
    watching = asyncio.create_task(reloading.run())
    try:
        return await run_until_stopped(service, signals)
    finally:
        watching.cancel()
        await asyncio.wait([watching])


def _has_terminal() -> bool:
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY))
    except OSError:
        return False
    return True


class StopSignals:
    """SIGTERM and SIGINT: the first asks for a drain, the second ends it, a third kills."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.insisted = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    def listen(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.receive)

    def terminal_closed(self) -> None:
        """Drain. Kernel and shell may both tell it: the second time is no impatience."""
        self.asked.set()

    def receive(self) -> None:
        if not self.asked.is_set():
            self.asked.set()
            return
        self.insisted.set()
        if self._loop is not None:
            for number in (signal.SIGTERM, signal.SIGINT):
                self._loop.remove_signal_handler(number)


async def run_until_stopped(service: RunningService, signals: StopSignals) -> int:
    """Wait for a signal, drain, stop. 0, or 1 when the drain was cut short."""
    try:
        await signals.asked.wait()
        return command.DONE if await _drain(service, signals) else command.FAILED
    finally:
        await service.stop()


async def _drain(service: RunningService, signals: StopSignals) -> bool:
    """True when the drain came to its end, False when a second signal cut it."""
    drain = asyncio.ensure_future(service.drain())
    insisted = asyncio.ensure_future(signals.insisted.wait())
    await asyncio.wait({drain, insisted}, return_when=asyncio.FIRST_COMPLETED)
    is_done = drain.done()
    for task in (drain, insisted):
        if not task.done():
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
    if is_done:
        drain.result()
    return is_done


def listen_failure(settings: Settings, error: OSError) -> str:
    """Why the service could not start to listen, and what to do."""
    place = f"{settings.host} port {settings.port}"
    if error.errno == errno.EADDRINUSE:
        return (
            f"{place} is in use by another program; stop that one, or choose a port with --port"
            " (0 = any free one)"
        )
    if error.errno == errno.EACCES:
        return f"this user may not listen on {place}; choose a port above 1023 with --port"
    return f"cannot listen on {place}: {error.strerror or error}"
