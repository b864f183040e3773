"""How `serve` stops, and what it says when it cannot start; the rest runs as a real process."""

import asyncio
import errno
import json
import logging
import sys

import pytest

from hubbub.cli import logs
from hubbub.cli.serve import StopSignals, listen_failure, run_until_stopped
from hubbub.service.settings import Settings


class FakeService:
    """Keeps the order of calls; its drain ends when it is told to."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.may_drain = asyncio.Event()
        self.draining = asyncio.Event()

    async def drain(self) -> None:
        self.calls.append("drain")
        self.draining.set()
        try:
            await self.may_drain.wait()
        except asyncio.CancelledError:
            self.calls.append("drain cut")
            raise
        self.calls.append("drained")

    async def stop(self) -> None:
        self.calls.append("stop")


async def test_first_signal_drains_then_stops_with_0() -> None:
    service, signals = FakeService(), StopSignals()
    running = asyncio.create_task(run_until_stopped(service, signals))
    await asyncio.sleep(0)
    assert service.calls == []
    signals.receive()
    await service.draining.wait()
    service.may_drain.set()
    assert await running == 0
    assert service.calls == ["drain", "drained", "stop"]


async def test_second_signal_cuts_the_drain_with_1() -> None:
    service, signals = FakeService(), StopSignals()
    running = asyncio.create_task(run_until_stopped(service, signals))
    signals.receive()
    await service.draining.wait()
    signals.receive()
    assert await running == 1
    assert service.calls == ["drain", "drain cut", "stop"]


async def test_closed_terminal_drains_and_told_again_cuts_nothing() -> None:
    service, signals = FakeService(), StopSignals()
    running = asyncio.create_task(run_until_stopped(service, signals))
    signals.terminal_closed()
    await service.draining.wait()
    signals.terminal_closed()
    assert not signals.insisted.is_set()
    service.may_drain.set()
    assert await running == 0


async def test_drain_when_it_fails_still_stops_and_tells() -> None:
    service, signals = FakeService(), StopSignals()

    async def drain() -> None:
        raise RuntimeError("broken drain")

    service.drain = drain  # type: ignore[method-assign]
    signals.receive()
    with pytest.raises(RuntimeError, match="broken drain"):
        await run_until_stopped(service, signals)
    assert service.calls == ["stop"]


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(errno.EADDRINUSE, "x"), ["127.0.0.1 port 80", "in use", "--port"]),
        (OSError(errno.EACCES, "x"), ["may not listen", "--port"]),
        (OSError(errno.EADDRNOTAVAIL, "no such address"), ["cannot listen", "no such address"]),
    ],
)
def test_listen_failure_says_what_to_do(error: OSError, words: list[str]) -> None:
    text = listen_failure(Settings(port=80), error)
    assert all(word in text for word in words)


def test_json_log_line_is_one_object_with_its_exception() -> None:
    try:
        raise ValueError("x\ny")
    except ValueError:
        record = logging.LogRecord(
            "hubbub.x", logging.ERROR, __file__, 1, "failed: %s", ("a\nb",), sys.exc_info()
        )
    line = logs.JsonFormatter().format(record)
    assert "\n" not in line
    data = json.loads(line)
    assert (data["level"], data["logger"], data["message"]) == ("error", "hubbub.x", "failed: a\nb")
    assert "ValueError: x" in data["exception"]
    assert data["time"].endswith("Z")
