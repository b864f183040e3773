"""What the client writes into logs, and how to ask for it."""

import logging
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest
from tests.client.conftest import Near
from tests.client.test_healing import QUICK, until
from tests.client.test_lanes import soon

from hubbub.client import Client, connect, set_log_level
from hubbub.client.logs import set_level_from


@pytest.fixture(autouse=True)
def loggers() -> Iterator[None]:
    """The level and the handlers of the client's logger are those of before."""
    log = logging.getLogger("hubbub.client")
    level, handlers = log.level, log.handlers.copy()
    yield
    log.setLevel(level)
    log.handlers[:] = handlers


def test_level_is_taken_by_its_name_at_run_time() -> None:
    for name, level in (
        ("verbose", 10),
        ("debug", 10),
        ("INFO", 20),
        ("warning", 30),
        ("error", 40),
    ):
        set_log_level(name)
        assert logging.getLogger("hubbub.client").level == level
        assert logging.getLogger("hubbub.client.frames").getEffectiveLevel() == level
    with pytest.raises(ValueError, match="loud"):
        set_log_level("loud")


def test_level_of_the_environment_is_taken_and_a_wrong_one_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    log = logging.getLogger("hubbub.client")
    set_level_from({"AZURE_LOG_LEVEL": "verbose"})
    assert log.level == logging.DEBUG
    set_level_from({"AZURE_LOG_LEVEL": "verbose", "HUBBUB_LOG": "error"})
    assert log.level == logging.ERROR
    log.setLevel(logging.WARNING)
    set_level_from({"HUBBUB_LOG": "loud"})
    assert log.level == logging.WARNING
    assert "HUBBUB_LOG: there is no level 'loud'" in caplog.text


@pytest.mark.parametrize("variable", ["HUBBUB_LOG", "AZURE_LOG_LEVEL"])
def test_program_that_sets_up_no_logging_sees_lines_on_stderr(variable: str) -> None:
    program = """
import asyncio
from hubbub.client import Client
async def main():
    client = Client("ws://127.0.0.1:1/client/hubs/chat?access_token=SECRET", name="mine")
    try:
        await client.start()
    except ConnectionError:
        pass
asyncio.run(main())
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        env={**os.environ, variable: "info"},
    )
    assert "INFO hubbub.client: [mine] state=connecting" in done.stderr
    assert "SECRET" not in done.stderr


@pytest.mark.parametrize("log_payloads", [False, True])
async def test_frames_are_logged_without_payloads_unless_asked(
    near: Near, caplog: pytest.LogCaptureFixture, log_payloads: bool
) -> None:
    caplog.set_level(logging.DEBUG, "hubbub.client")
    client = Client(near.url, log_payloads=log_payloads, recovery=QUICK)
    async with client, client.messages(group="g") as messages:
        await client.join_group("g")
        await client.send_to_group("g", "private words")
        await soon(anext(messages))
        near.proxy.cut()
        await until(lambda: client.stats.recoveries == 1)
    frames = [r.getMessage() for r in caplog.records if r.name == "hubbub.client.frames"]
    assert any(
        line.startswith("sent SendToGroup group=g ack_id=2 text of 13 bytes") for line in frames
    )
    assert any(line.startswith("received DataMessage group=g sequence_id=1") for line in frames)
    assert any("received Connected connection_id=" in line for line in frames)
    assert ("private words" in caplog.text) is log_payloads
    session = client._driver.session
    for secret in (near.url().partition("access_token=")[2][:40], str(session._token)):
        assert secret not in caplog.text


async def test_lines_carry_client_connection_and_state(
    near: Near, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "hubbub.client")
    async with connect(near.url(), name="orders") as client:
        connection_id = client.connection_id

        def fail(_: object) -> None:
            raise RuntimeError("mine")

        client.on("server-message", fail)
        async with client.messages() as messages:
            await near.backend.send_to_all("x")
            await soon(anext(messages))
    failed = next(r for r in caplog.records if r.levelno == logging.ERROR)
    assert failed.getMessage() == "[orders] a handler of 'server-message' failed"
    assert vars(failed)["client"] == "orders"
    assert vars(failed)["connection_id"] == connection_id
    assert vars(failed)["state"] == "connected"
