"""`hubbub watch` as a process against a real service."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator

import pytest

from hubbub.appserver import ServiceClient
from hubbub.service import Service, Settings


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    async with Service(Settings(port=0)) as running:
        yield running


class Watch:
    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    @classmethod
    async def start(cls, service: Service, *words: str) -> "Watch":
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "hubbub.cli.main", "watch", "--hub", "chat", *words),
            env={"HUBBUB_CONNECTION_STRING": service.connection_string, "PATH": ""},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        return cls(process)

    async def line(self) -> str:
        assert self.process.stdout is not None
        async with asyncio.timeout(60):
            return (await self.process.stdout.readline()).decode().rstrip("\n")

    async def end(self) -> tuple[int, str]:
        async with asyncio.timeout(60):
            _, err = await self.process.communicate()
        assert self.process.returncode is not None
        return self.process.returncode, err.decode()


async def test_watch_prints_messages_of_its_group_and_to_all_until_ctrl_c(
    service: Service,
) -> None:
    watch = await Watch.start(service, "--group", "news")
    assert await watch.line() == "-- connected"
    async with ServiceClient.from_connection_string(service.connection_string, "chat") as backend:
        await backend.send_to_group("news", "hello")
        await backend.send_to_group("other", "not for it")
        await backend.send_to_all({"a": 1})
        await backend.send_to_group("news", b"\x00\x01")
    assert await watch.line() == "group news\ttext\thello"
    assert await watch.line() == 'server\tjson\t{"a": 1}'
    assert await watch.line() == "group news\tbinary\tAAE="
    watch.process.send_signal(signal.SIGINT)
    status, err = await watch.end()
    assert (status, err) == (0, "")


async def test_watch_of_a_user_as_json_ends_after_its_count(service: Service) -> None:
    watch = await Watch.start(service, "--user", "alice", "--json", "--count", "1")
    assert json.loads(await watch.line())["event"] == "connected"
    async with ServiceClient.from_connection_string(service.connection_string, "chat") as backend:
        await backend.send_to_user("alice", "hi")
    message = json.loads(await watch.line())
    assert message == {"from": "server", "dataType": "text", "data": "hi"}
    assert await watch.end() == (0, "")


async def test_watch_tells_of_lost_connections(service: Service) -> None:
    watch = await Watch.start(service, "--user", "alice")
    await watch.line()
    async with ServiceClient.from_connection_string(service.connection_string, "chat") as backend:
        await backend.close_user_connections("alice", reason="out")
        assert await watch.line() == "-- connection lost, close code 1000"
        assert await watch.line() == "-- connection ended, close code 1000: out"
        assert await watch.line() == "-- connected"
    watch.process.send_signal(signal.SIGINT)
    assert await watch.end() == (0, "")


async def test_watch_without_a_service_says_so(service: Service) -> None:
    await service.stop()
    watch = await Watch.start(service, "--group", "news")
    status, err = await watch.end()
    assert status == 1
    assert err.startswith("hubbub: ")
    assert "Traceback" not in err


async def test_watch_with_a_key_of_another_service_asks_about_the_key(service: Service) -> None:
    text = f"Endpoint={service.url};AccessKey={'k' * 40};"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "hubbub.cli.main", "watch", "--hub", "chat"),
        env={**os.environ, "HUBBUB_CONNECTION_STRING": text},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    status, err = await Watch(process).end()
    assert status == 1
    assert f"{service.url} refused the client" in err
    assert "is it the key of this service?" in err
