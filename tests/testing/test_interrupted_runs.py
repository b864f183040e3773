"""Runs that take long, as processes: what Ctrl-C and wrong options do to them."""

import asyncio
import os
import signal
import sys
from collections.abc import Sequence

import pytest

from hubbub.service import Service, Settings
from hubbub.testing import eventually
from hubbub.testing.conformance import __main__ as conformance
from hubbub.testing.soak import __main__ as soak


async def interrupted(words: Sequence[str], until: bytes) -> tuple[int | None, str, str]:
    """Status and output of `python -m …` that is sent SIGINT when it has said this."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-u", "-m", *words),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    async with asyncio.timeout(60):
        await process.stdout.readuntil(until)
        process.send_signal(signal.SIGINT)
        out, err = await process.communicate()
    return process.returncode, out.decode(), err.decode()


async def test_soak_that_is_interrupted_ends_with_130_and_no_traceback() -> None:
    words = ("hubbub.testing.soak", "--clients", "5", "--seconds", "300")
    status, out, err = await interrupted(words, b"5 clients are connected\n")
    assert (status, out, err) == (130, "", "soak: interrupted, nothing was judged\n")


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--clients", "0"], "a whole number above 0"),
        (["--clients", "many"], "a whole number above 0"),
        (["--seconds", "-1"], "a number above 0"),
        (["--seconds", "long"], "a number above 0"),
        (["--rate", "0"], "a number above 0"),
    ],
)
def test_soak_with_a_wrong_option_ends_with_2(
    words: list[str], text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        soak.main(words)
    assert end.value.code == 2
    assert text in capsys.readouterr().err


def test_soak_elsewhere_than_on_linux_says_so(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert soak.main([]) == 2
    assert "needs Linux" in capsys.readouterr().err


async def test_conformance_that_is_interrupted_ends_with_130_and_says_how_far_it_was() -> None:
    async with Service(Settings(port=0)) as service:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "hubbub.testing.conformance"),
            env={**os.environ, "HUBBUB_CONNECTION_STRING": service.connection_string},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        async with asyncio.timeout(60):
            await eventually(lambda: service.connection_count > 0, within=60)
            process.send_signal(signal.SIGINT)
            out, err = await process.communicate()
    assert process.returncode == 130
    assert out == b""
    assert err.startswith(b"interrupted after ")
    assert b"Traceback" not in err


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--timeout", "soon"], "a number above 0 and at most 3600"),
        (["--concurrency", "x"], "a whole number from 1 to 256"),
        (["--handler-listen", "h:²"], "must be HOST:PORT"),
    ],
)
def test_conformance_with_a_wrong_option_says_what_it_takes(
    words: list[str], text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        conformance.main(words)
    assert text in capsys.readouterr().err
