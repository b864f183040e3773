"""The walks of the pages, taken as a reader does: save the files, run the commands, look."""

import asyncio
import contextlib
import json
import os
import shlex
import shutil
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from playwright.async_api import async_playwright
from tests.docs.pages import ROOT, blocks_of
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus
from websockets.typing import Subprotocol

from hubbub.appserver import ServiceClient
from hubbub.service import Service, Settings
from hubbub.service.settings_loader import load

START = ROOT / "docs" / "start.md"
EVENTS = ROOT / "docs" / "howto" / "event-handlers.md"
BROWSER = ROOT / "docs" / "howto" / "browser-client.md"

KEY = "put-a-long-random-text-of-your-own-here"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
WAIT_S = 60
JSON_PROTOCOL = Subprotocol("json.webpubsub.azure.v1")


def file_of(page: Path, name: str) -> str:
    (text,) = [block.text for block in blocks_of(page) if block.file == name]
    return text


def command_of(page: Path, begin: str) -> list[str]:
    """The one command of a page that begins like this, for the `hubbub` next to this Python."""
    lines = [
        line
        for block in blocks_of(page)
        if block.language == "sh"
        for line in block.text.replace("\\\n", " ").splitlines()
        if line.startswith(begin)
    ]
    (line,) = lines
    return [str(Path(sys.executable).with_name("hubbub")), *shlex.split(line)[1:]]


async def output_of(command: list[str], env: dict[str, str]) -> str:
    process = await asyncio.create_subprocess_exec(
        *command, env=env, stdout=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(WAIT_S):
        output, _ = await process.communicate()
    assert process.returncode == 0, command
    return output.decode().strip()


@contextlib.asynccontextmanager
async def served(app: Any) -> AsyncIterator[str]:
    """The address of an ASGI app on any free port, as `uvicorn NAME:app` would serve it."""
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_config=None))
    task = asyncio.create_task(server.serve())
    async with asyncio.timeout(WAIT_S):
        while not server.started:
            await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        await task


def names_of(page: Path, name: str) -> dict[str, Any]:
    """What a file of a page defines."""
    names: dict[str, Any] = {"__name__": name}
    exec(compile(file_of(page, name), name, "exec"), names)
    return names


async def test_start_when_walked_ends_with_a_message(tmp_path: Path) -> None:
    (tmp_path / "listen.py").write_text(file_of(START, "listen.py"))
    async with Service(Settings(port=0)) as service:
        env = os.environ | {"HUBBUB_CONNECTION_STRING": service.connection_string}
        address = await output_of(command_of(START, ".venv/bin/hubbub url"), env)
        listener = await asyncio.create_subprocess_exec(
            sys.executable,
            "listen.py",
            address,
            cwd=tmp_path,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        assert listener.stdout is not None
        async with asyncio.timeout(WAIT_S):
            assert await listener.stdout.readline() == b"listening\n"
        send = command_of(START, ".venv/bin/hubbub send")
        assert await output_of(send, env) == "accepted"
        async with asyncio.timeout(WAIT_S):
            assert await listener.stdout.readline() == b"news {'title': 'hello'}\n"
            assert listener.stdin is not None
            listener.stdin.close()  # as Ctrl-D
            await listener.wait()
    assert listener.returncode == 0


async def test_event_handler_when_served_decides_and_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HUBBUB_ACCESS_KEY", KEY)
    names = names_of(EVENTS, "handler.py")
    async with served(names["app"]) as address:
        text = file_of(EVENTS, "hubbub.toml")
        assert "http://127.0.0.1:3000" in text
        (tmp_path / "hubbub.toml").write_text(text.replace("http://127.0.0.1:3000", address))
        settings = load(
            tmp_path / "hubbub.toml",
            environ={"HUBBUB_ACCESS_KEY": KEY},
            flags={"service.port": "0"},
        )
        async with (
            Service(settings) as service,
            ServiceClient.from_connection_string(service.connection_string, "chat") as chat,
        ):
            with pytest.raises(InvalidStatus) as refused:
                await connect(chat.get_client_access_token().url, subprotocols=[JSON_PROTOCOL])
            assert refused.value.response.status_code == 401
            assert refused.value.response.body == b"say who you are"
            url = chat.get_client_access_token(user_id="alice").url
            async with connect(url, subprotocols=[JSON_PROTOCOL]) as client:
                await client.recv()
                event = {"type": "event", "event": "greet", "ackId": 1, "data": 7}
                await client.send(json.dumps(event))
                answer, ack = json.loads(await client.recv()), json.loads(await client.recv())
                await chat.send_to_group("news", "hello")
                news = json.loads(await client.recv())
            await service.drain()
        await names["handler"].aclose()
    assert answer["data"] == {"hello": "alice", "you said": 7}
    assert ack == {"type": "ack", "ackId": 1, "success": True}
    assert news["data"] == "hello"
    assert "alice left:" in capsys.readouterr().out


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="Chromium was not found")
async def test_browser_page_when_opened_connects_and_hears_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    async with Service(Settings(port=0)) as service:
        page_text = file_of(BROWSER, "page.html")
        assert "http://127.0.0.1:8080" in page_text
        (tmp_path / "page.html").write_text(page_text.replace("http://127.0.0.1:8080", service.url))
        monkeypatch.setenv("HUBBUB_CONNECTION_STRING", service.connection_string)
        names = names_of(BROWSER, "server.py")
        async with served(names["app"]) as address, async_playwright() as playwright:
            browser = await playwright.chromium.launch(
                executable_path=CHROMIUM,
                args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
            )
            page = await browser.new_page()
            await page.goto(address)
            await page.wait_for_function(
                "() => document.getElementById('log').textContent === 'connected as alice\\nhello\\n'"
            )
            await browser.close()
        await names["chat"].aclose()
