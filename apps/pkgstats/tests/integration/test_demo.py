"""`pkgstats demo` as a stranger starts it: a process of its own, and what it prints."""

import asyncio
import json
import os
import re
import shlex
import signal
import socket
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

from hubbub.service import local_access_key

MODEL = "@azure/web-pubsub-client"
PAGE = f"/pkg:{MODEL}"


@asynccontextmanager
async def demo(state_home: Path, *options: str) -> AsyncIterator[Process]:
    environ = {k: v for k, v in os.environ.items() if not k.startswith(("HUBBUB_", "PKGSTATS_"))}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "pkgstats", "demo", *options),
        stdout=PIPE,
        stderr=PIPE,
        env=environ | {"XDG_STATE_HOME": str(state_home)},
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        # Reads both pipes to their end and closes them.
        await process.communicate()


async def ready(process: Process) -> dict[str, str]:
    """What a demo prints until it is ready, by the first word of each line."""
    assert process.stdout is not None
    lines: dict[str, str] = {}
    async with asyncio.timeout(20):
        while "ready" not in lines:
            line = (await process.stdout.readline()).decode()
            assert line, "the demo ended before it was ready"
            word, _, rest = line.strip().partition(" ")
            lines[word] = rest.strip()
    return lines


async def end(process: Process, number: signal.Signals) -> tuple[int | None, str, str]:
    process.send_signal(number)
    out, err = await asyncio.wait_for(process.communicate(), 15)
    return process.returncode, out.decode(), err.decode()


async def message(connection: Any, kind: str, newer_than: int = 0) -> dict[str, Any]:
    """The next live message of this kind that a page with that last id would show."""
    async with asyncio.timeout(25):
        while True:
            received = json.loads(await connection.recv())
            if received["type"] != "message" or received["data"]["t"] != kind:
                continue
            if received["data"].get("id", newer_than + 1) > newer_than:
                return received["data"]  # type: ignore[no-any-return]


async def send_as_the_readme_says(state_home: Path, hubbub_url: str) -> None:
    """Run the example of the README against a hubbub on another port."""
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    example = re.search(r"^(hubbub send .*\\\n.*)$", readme, re.MULTILINE)
    assert example
    key = local_access_key({"XDG_STATE_HOME": str(state_home)})
    process = await asyncio.create_subprocess_exec(
        str(Path(sys.executable).with_name("hubbub")),
        *shlex.split(example[1].replace("\\\n", " "))[1:],
        env={"HUBBUB_CONNECTION_STRING": f"Endpoint={hubbub_url};AccessKey={key};Version=1.0;"},
    )
    assert await asyncio.wait_for(process.wait(), 15) == 0


@asynccontextmanager
async def watched_page(url: str) -> AsyncIterator[tuple[Any, int]]:
    """The model page in a browser's place: its connection, and the last message it contains."""
    async with httpx2.AsyncClient(base_url=url, trust_env=False) as http:
        html = (await http.get(PAGE)).text
        assert '<span id="total">134,113</span>' in html
        assert "<b>v1.0.4</b>" in html
        assert "simulated data</span>" in html
        last_id = re.search(r'data-last-id="(\d+)"', html)
        assert last_id
        socket_url = (await http.get("/negotiate", params={"for": PAGE})).json()["url"]
    protocol = Subprotocol("json.webpubsub.azure.v1")
    async with connect(socket_url, subprotocols=[protocol], proxy=None) as page:
        watch = {"type": "event", "event": "watch", "dataType": "json", "data": {"name": MODEL}}
        await page.send(json.dumps(watch))
        yield page, int(last_id[1])


async def test_a01_demo_moves_the_figure_of_an_open_page_within_seconds(tmp_path: Path) -> None:
    async with demo(tmp_path, "--port", "0", "--hubbub-port", "0") as process:
        said = await ready(process)
        assert said["page"] == said["ready"] + PAGE
        async with watched_page(said["ready"]) as (page, last_id):
            began = time.monotonic()
            figure = await message(page, "downloads", last_id)
            assert time.monotonic() - began < 20  # 8 s, and much room for a busy machine
            assert figure["simulated"] is True
            assert figure["data"]["total"] != 134_113
            await send_as_the_readme_says(tmp_path, said["hubbub"].split()[0])
            while (await message(page, "downloads"))["data"]["total"] != 134_226:
                pass
        assert await end(process, signal.SIGTERM) == (0, "", "")


async def test_l03_demo_publishes_the_release_after_the_first_figure(tmp_path: Path) -> None:
    async with demo(tmp_path, "--port", "0", "--hubbub-port", "0", "--day", "0.5") as process:
        said = await ready(process)
        async with watched_page(said["ready"]) as (page, last_id):
            figure = await message(page, "downloads", last_id)
            release = await message(page, "release")
            assert release["data"]["version"] == "1.1.0"
            assert release["id"] > figure["id"]
        assert await end(process, signal.SIGINT) == (0, "", "")


@pytest.mark.parametrize(
    ("option", "other"), [("--port", "--hubbub-port"), ("--hubbub-port", "--port")]
)
async def test_demo_with_a_port_in_use_says_so_and_exits_1(
    tmp_path: Path, option: str, other: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        async with demo(tmp_path, option, port, other, "0") as process:
            out, err = await asyncio.wait_for(process.communicate(), 15)
    words = f"pkgstats: port {port} is in use; choose another one with {option} (0: any free one)\n"
    assert (process.returncode, out, err.decode()) == (1, b"", words)


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("PKGSTATS_VIA", "mail", "PKGSTATS_VIA must be one of http, npm"),
        ("PKGSTATS_HUBBUB", "nonsense", "connection string"),
        ("PKGSTATS_DB", "/dev/null/x", "cannot start: "),
    ],
)
async def test_serve_with_a_setting_that_cannot_be_used_says_so_and_exits_1(
    tmp_path: Path, variable: str, value: str, words: str
) -> None:
    nowhere = {"PKGSTATS_REGISTRY": "http://127.0.0.1:9", "PKGSTATS_STARTER": ""}
    own = {"XDG_STATE_HOME": str(tmp_path), "XDG_DATA_HOME": str(tmp_path)}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "pkgstats", "serve", "--port", "0", "--hubbub-port", "0"),
        stdout=PIPE,
        stderr=PIPE,
        env=os.environ | nowhere | own | {variable: value},
    )
    out, err = await asyncio.wait_for(process.communicate(), 15)
    assert (process.returncode, out) == (1, b"")
    assert err.startswith(b"pkgstats: ")
    assert words in err.decode()
    assert b"Traceback" not in err
