"""Each example backend, run as its page says: a client negotiates, connects, sends, is answered."""

import asyncio
import os
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest
from tests.wire.client import J, RawClient

from hubbub.service import EventHandlerSettings, HubSettings, Service, Settings

EXAMPLES = Path(__file__).parents[2] / "examples" / "appserver"

COMMANDS = {
    "starlette": ["-m", "uvicorn", "starlette_app:app", "--port"],
    "fastapi": ["-m", "uvicorn", "fastapi_app:app", "--port"],
    "flask": ["-m", "flask", "--app", "flask_app", "run", "--port"],
    "django": ["django_app.py", "runserver", "--noreload", "--skip-checks"],
    "aiohttp": ["-c", "import sys, aiohttp_app as a; a.web.run_app(a.make_app(), host='127.0.0.1',"
                " port=int(sys.argv[1]))"],
}  # fmt: skip


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture(params=COMMANDS)
async def backend(
    request: pytest.FixtureRequest, tmp_path: Path
) -> AsyncIterator[tuple[Service, str]]:
    """A service and the address of a backend process that handles its events."""
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    handler = EventHandlerSettings(
        url_template=f"{address}/eventhandler", user_event_pattern="*", system_events=("connect",)
    )
    settings = Settings(port=0, hubs={"chat": HubSettings(event_handlers=(handler,))})
    async with Service(settings) as service:
        log = (tmp_path / "log").open("w+")
        secret = service.connection_string
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *COMMANDS[request.param],
            str(port),
            cwd=EXAMPLES,
            env={**os.environ, "HUBBUB_CONNECTION_STRING": secret, "PYTHONPATH": str(EXAMPLES)},
            stdout=log,
            stderr=log,
        )
        try:
            yield service, address
        finally:
            for client in RawClient.opened:
                client.writer.transport.abort()
            RawClient.opened.clear()
            process.terminate()
            await asyncio.wait_for(process.wait(), 10)
            log.seek(0)
            text = log.read()
            log.close()
    assert "Traceback" not in text, text


async def negotiate(address: str, query: str) -> httpx2.Response:
    """As soon as the backend listens."""
    async with httpx2.AsyncClient(trust_env=False, follow_redirects=True) as http:
        async with asyncio.timeout(60):
            while True:
                try:
                    return await http.get(f"{address}/negotiate{query}")
                except httpx2.TransportError:
                    await asyncio.sleep(0.05)


async def test_client_negotiates_connects_and_is_answered(backend: tuple[Service, str]) -> None:
    service, address = backend
    refused = await negotiate(address, "")
    assert (refused.status_code, refused.text) == (401, "say who you are: /negotiate?name=…")
    answer = await negotiate(address, "?name=Zo%C3%AB")
    assert answer.headers["cache-control"] == "no-store"
    target = answer.json()["url"].removeprefix(service.url.replace("http", "ws"))
    client = await RawClient.open(service, target, subprotocols=J)
    assert (await client.json())["userId"] == "Zoë"
    event = {"type": "event", "event": "echo", "dataType": "text", "data": "hi", "ackId": 1}
    assert (await client.ask(event))["data"] == {"you": "Zoë", "said": "hi"}
    assert (await client.json())["success"] is True
    unknown = {"type": "event", "event": "other", "dataType": "text", "data": "", "ackId": 2}
    assert (await client.ask(unknown))["success"] is False
