"""Code of the pages runs, commands are understood, settings are read without a fault."""

import argparse
import asyncio
import os
import shlex
import sys
from pathlib import Path

import pytest
from tests.docs.pages import Block, blocks

from hubbub.cli.main import build_parser
from hubbub.service import Service, Settings
from hubbub.service.settings_loader import check

PYTHON = blocks("python")
RUNNABLE = [block for block in PYTHON if "run" in block.marks]
COMMANDS = [
    (block.name, line)
    for block in blocks("sh")
    for line in block.text.replace("\\\n", " ").splitlines()
    if line.removeprefix(".venv/bin/").startswith("hubbub ")
]
KEY = "put-a-long-random-text-of-your-own-here"


def by_name(block: Block) -> str:
    return block.name


def test_pages_that_newcomers_copy_from_have_only_code_that_is_run() -> None:
    """What stands in a design page may be a sketch; elsewhere it is run, or a file of a walk."""
    idle = [b.name for b in PYTHON if not b.marks and "design" not in b.page.parts]
    assert idle == []
    assert len(RUNNABLE) >= 8


async def test_python_that_is_a_test_of_a_user_passes(tmp_path: Path) -> None:
    """In one run of its own, as in the user's project: with the plugin and nothing of ours."""
    tests = [block for block in PYTHON if "pytest" in block.marks]
    (tmp_path / "test_page.py").write_text("\n\n".join(block.text for block in tests))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"),
        *("-o", "asyncio_mode=auto", "test_page.py"),
        cwd=tmp_path,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    out, _ = await process.communicate()
    assert process.returncode == 0, out.decode()
    count = sum(block.text.count("def test_") for block in tests)
    assert count >= len(tests)
    assert f"{count} passed" in out.decode()


@pytest.mark.parametrize("block", RUNNABLE, ids=by_name)
async def test_python_that_is_marked_runs(block: Block, tmp_path: Path) -> None:
    async with Service(Settings(port=0)) as service:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-W",
            "error",
            "-c",
            block.text,
            cwd=tmp_path,
            env=os.environ | {"HUBBUB_CONNECTION_STRING": service.connection_string},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        async with asyncio.timeout(60):
            output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()


@pytest.mark.parametrize(("name", "line"), COMMANDS)
def test_command_of_the_pages_is_understood(name: str, line: str) -> None:
    # What the shell writes into a file is the same command.
    words = shlex.split(line.partition(" > ")[0].removeprefix(".venv/bin/"), comments=True)[1:]
    args = build_parser().parse_args(words)
    assert isinstance(args, argparse.Namespace)


def test_command_that_is_wrong_would_be_noticed() -> None:
    assert len(COMMANDS) >= 8
    with pytest.raises(SystemExit):
        build_parser().parse_args(["send", "--hub", "chat", "--room", "x", "hello"])


@pytest.mark.parametrize("block", blocks("toml"), ids=by_name)
def test_settings_of_the_pages_have_no_fault(block: Block, tmp_path: Path) -> None:
    file = tmp_path / "hubbub.toml"
    file.write_text(block.text)
    _, problems = check(file, environ={"HUBBUB_ACCESS_KEY": KEY, "CHAT_HANDLER_TOKEN": "token"})
    assert [str(problem) for problem in problems] == []
