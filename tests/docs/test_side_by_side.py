"""The pages that show two clients beside each other: both halves run against one service.

A block marked `side` runs inside an async function that knows `url` (`negotiate_url`,
`negotiateUrl`, `connection_string`), with an application server behind the hub that answers every event.
"""

import asyncio
import os
import shutil
import sys
import textwrap
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web
from tests.docs.pages import ROOT, Block, blocks

from hubbub.appserver import EventHandler, UserEventRequest
from hubbub.testing import Hub

NODE = shutil.which("node")
OFFICIAL = ROOT / "tests/node/node_modules/wps-client-110/dist/esm/index.js"
HUB = "chat"
LIMIT_S = 60


def sides(language: str) -> list[Block]:
    return [block for block in blocks(language) if "side" in block.marks]


class World:
    """A hub, its application server, and the address of its `/negotiate`."""

    def __init__(self, hub: Hub, negotiate_url: str) -> None:
        self.environ = os.environ | {
            "ACCESS_URL": hub.url(user_id="alice"),
            "CONNECTION_STRING": hub.service.connection_string,
            "NEGOTIATE_URL": negotiate_url,
            "NODE_NO_WARNINGS": "1",
        }

    async def run(self, *command: str) -> None:
        process = await asyncio.create_subprocess_exec(
            *command,
            env=self.environ,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        async with asyncio.timeout(LIMIT_S):
            output, _ = await process.communicate()
        assert process.returncode == 0, output.decode()
        assert output.endswith(b"the end\n"), output.decode()


@pytest.fixture
async def world() -> AsyncIterator[World]:
    handler = EventHandler(HUB)
    handler.on_event("*")(answer)
    hubs: list[Hub] = []

    async def negotiate(_: web.Request) -> web.Response:
        return web.json_response({"url": hubs[0].url(user_id="alice")})

    app = web.Application()
    app.router.add_route("*", "/eventhandler", handler.aiohttp())
    app.router.add_get("/negotiate", negotiate)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    base = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        async with Hub(HUB, event_handler=f"{base}/eventhandler") as hub:
            hubs.append(hub)
            yield World(hub, f"{base}/negotiate")
    finally:
        await handler.aclose()
        await runner.cleanup()


async def answer(request: UserEventRequest) -> object:
    return {"done": True}


@pytest.mark.parametrize("block", sides("python"), ids=lambda block: block.name)
async def test_python_half_runs(block: Block, world: World, tmp_path: Path) -> None:
    program = tmp_path / "half.py"
    program.write_text(
        "import asyncio, os\n\n"
        "url, negotiate_url = os.environ['ACCESS_URL'], os.environ['NEGOTIATE_URL']\n"
        "connection_string = os.environ['CONNECTION_STRING']\n\n\n"
        f"async def main():\n{textwrap.indent(block.text, '    ')}\n\n"
        "asyncio.run(main())\nprint('the end')\n"
    )
    await world.run(sys.executable, "-W", "error", str(program))


@pytest.mark.skipif(NODE is None, reason="Node.js is not here")
@pytest.mark.parametrize("block", sides("js"), ids=lambda block: block.name)
async def test_javascript_half_runs(block: Block, world: World, tmp_path: Path) -> None:
    assert NODE is not None
    program = tmp_path / "half.mjs"
    text = block.text.replace('"@azure/web-pubsub-client"', f'"{OFFICIAL}"')
    assert text != block.text, "it shows the official client"
    program.write_text(
        "const url = process.env.ACCESS_URL, negotiateUrl = process.env.NEGOTIATE_URL;\n"
        f"{text}\nconsole.log('the end');\nprocess.exit(0);\n"
    )
    await world.run(NODE, str(program))


def test_halves_come_in_pairs() -> None:
    assert len(sides("js")) >= 12
    assert len(sides("python")) >= len(sides("js"))
