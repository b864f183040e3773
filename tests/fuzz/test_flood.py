"""Everything hostile at once, and a client that does not notice."""

import asyncio
import logging
import os
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fuzz.harnesses import HARNESSES
from tests.fuzz.edits import damaged
from tests.fuzz.misbehaving import MisbehavingHandler
from tests.wire.client import (
    ALL_ROLES,
    JR,
    PB,
    PBR,
    TEXT,
    WAIT_S,
    Closed,
    J,
    RawClient,
    Refusal,
    access_key,
    access_token,
    is_success,
    until,
)

from hubbub.protocol import tokens
from hubbub.service import EventHandlerSettings, HubSettings, Service, Settings

WORKERS = 8
REQUESTS = 400
"""More of them by hand."""
KINDS = (None, J, JR, PB, PBR)
OPERATIONS = (
    ("POST", "/:send"), ("POST", "/groups/g/:send"), ("POST", "/users/u/:send"),
    ("POST", "/:generateToken"), ("POST", "/:addToGroups"), ("POST", "/:removeFromGroups"),
    ("PUT", "/users/u/groups/g"), ("DELETE", "/users/u/groups"), ("GET", "/groups/g/connections"),
    ("PUT", "/permissions/sendToGroup/connections/c"), ("HEAD", "/users/u"), ("POST", "/users/u/:closeConnections"),
)  # fmt: skip
TYPES = ("application/json", "text/plain", "application/octet-stream", "image/png", "")
EVENTS = (
    b'{"type":"event","event":"e","ackId":1,"dataType":"text","data":"x"}',
    b'{"type":"invoke","invocationId":"i","target":"event","event":"e","dataType":"json","data":{"a":1}}',
)  # fmt: skip


class Flood:
    """Each method is one hostile act, from the first byte to the end of its socket."""

    def __init__(self, service: Service, draw: random.Random) -> None:
        self._service = service
        self._draw = draw
        self._authority = service.url.removeprefix("http://")
        self.acts: tuple[Callable[[], Awaitable[None]], ...] = (
            self.frames, self.events, self.heads, self.rest,
        )  # fmt: skip

    def _damaged(self, name: str) -> bytes:
        harness = HARNESSES[name]
        return damaged(self._draw.choice(harness.seeds), harness.words, self._draw)

    async def _say(self, data: bytes, *, ends: bool = True) -> None:
        """Say it, end our side if so, and wait for the end of the other one; or hang up at once."""
        reader, writer = await asyncio.open_connection(*self._authority.split(":"))
        try:
            writer.write(data)
            if self._draw.randrange(5):
                if ends:
                    writer.write_eof()
                async with asyncio.timeout(WAIT_S):
                    while await reader.read(65_536):
                        pass
        except ConnectionError:
            pass  # a reset is an end
        finally:
            writer.transport.abort()

    async def heads(self) -> None:
        await self._say(self._damaged("request_heads") + b"\r\n\r\n")
        await self._say(self._damaged("sockets")[1:])

    async def frames(self) -> None:
        await self._say(self._upgrade(self._draw.choice(KINDS)) + self._damaged("sockets")[1:])

    async def events(self) -> None:
        """Work for the handler. Its answers reach a client that may be gone by then."""
        hub = self._draw.choice(("hub2", "hub3"))
        token = access_token(self._service, hub, user_id="u", groups=("g",))
        try:
            client = await RawClient.open(
                self._service, f"/client/hubs/{hub}?access_token={token}", subprotocols=J
            )
        except Refusal:
            return  # the handler's answer to `connect` was no good
        try:
            for message in EVENTS:
                await client.send_frame(TEXT, message)
            for _ in range(self._draw.randrange(len(EVENTS) + 2)):
                await client.next()
        except (Closed, ConnectionError):
            pass
        finally:
            client.cut()

    async def rest(self) -> None:
        method, path = self._draw.choice(OPERATIONS)
        path = "/api/hubs/hub1" + path
        token = tokens.make_rest_token(
            access_key(self._service), url=self._service.url + path, now=time.time(), life_s=60
        )
        text = (
            self._damaged("filters").replace(b" ", b"%20").replace(b"\r", b"").replace(b"\n", b"")
        )
        query = b"?filter=" + text if self._draw.randrange(2) else b"?api-version=2024-12-01"
        body = self._damaged(self._draw.choice(("json_request", "event_answers")))
        size = len(body) + self._draw.choice((0, 0, 0, -1, 7))
        head = (
            f" HTTP/1.1\r\nHost: {self._authority}\r\nAuthorization: Bearer {token}\r\n"
            f"Content-Type: {self._draw.choice(TYPES)}\r\nContent-Length: {size}\r\nConnection: close\r\n\r\n"
        )
        await self._say(
            f"{method} {path}".encode() + query + head.encode() + body, ends=size > len(body)
        )

    def _upgrade(self, kind: str | None) -> bytes:
        token = access_token(self._service, user_id="u", roles=ALL_ROLES, groups=("g",))
        lines = [
            f"GET /client/hubs/hub1?access_token={token} HTTP/1.1", f"Host: {self._authority}",
            "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
        ]  # fmt: skip
        if kind is not None:
            lines.append(f"Sec-WebSocket-Protocol: {kind}")
        return "\r\n".join([*lines, "", ""]).encode()


def open_sockets() -> int:
    """Of this process; 0 where the system does not tell."""
    folder = Path("/proc/self/fd")
    if not folder.exists():
        return 0
    return sum(is_socket(entry) for entry in folder.iterdir())


def is_socket(entry: Path) -> bool:
    try:
        return os.readlink(entry).startswith("socket:")
    except FileNotFoundError:  # the listing itself
        return False


async def test_flood_of_hostile_peers_leaves_nothing_and_harms_nobody(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING)
    draw = random.Random(7)
    async with MisbehavingHandler(draw) as handler:
        upstream = EventHandlerSettings(
            url_template=handler.url + "/{event}",
            user_event_pattern="*",
            system_events=("connected", "disconnected"),
            retry_pauses_s=(),
        )
        asked = replace(upstream, system_events=("connect", "disconnected"))
        settings = Settings(
            port=0,
            hubs={
                "hub2": HubSettings(event_handlers=(upstream,)),
                "hub3": HubSettings(event_handlers=(asked,)),
            },
            recovery_window_s=0.05,
            close_flush_timeout_s=0.2,
        )
        async with Service(settings) as service:
            await flood_and_look(service, draw)
            assert handler.answered > REQUESTS / 4, "the flood did not reach the handler"
    faults = [r for r in caplog.records if r.exc_info or r.levelno >= logging.ERROR]
    assert faults == [], [r.getMessage() for r in faults]


async def flood_and_look(service: Service, draw: random.Random) -> None:
    healthy = await open_healthy(service)
    node, front = service._node, service._front
    assert node is not None
    assert front is not None
    flood = Flood(service, draw)

    async def worker() -> None:
        for _ in range(REQUESTS // WORKERS):
            await draw.choice(flood.acts)()

    async def settle() -> None:
        await until(lambda: len(front.sockets) == 1)
        await until(lambda: not (front.doors or front._tasks or front.http_state.connections))
        for name in ("hub1", "hub2", "hub3"):
            await until(lambda n=name: not node.requests(n)._tasks)
        await until(lambda: len(node.hub("hub1").connections) == 1)
        await until(lambda: not node.hub("hub2").connections)
        await until(lambda: not node.hub("hub3").connections)
        await node.upstream.drain(WAIT_S)
        await until(lambda: node.pending_handshakes == 0)

    await flood.events()  # so that what is made once is there
    await settle()
    await asyncio.sleep(0)
    tasks, sockets = len(asyncio.all_tasks()), open_sockets()
    async with asyncio.TaskGroup() as group:
        for _ in range(WORKERS):
            group.create_task(worker())
    await settle()
    await until(lambda: len(asyncio.all_tasks()) <= tasks)
    await until(lambda: open_sockets() <= sockets)
    assert node.hub("hub1").users.keys() == {"healthy"}
    assert node.hub("hub2").groups == node.hub("hub3").groups == {}
    await use(healthy)
    healthy.cut()


async def open_healthy(service: Service) -> RawClient:
    token = access_token(service, user_id="healthy", roles=ALL_ROLES, groups=("mine",))
    client = await RawClient.open(
        service, f"/client/hubs/hub1?access_token={token}", subprotocols=J
    )
    client.hello = await client.json()
    return client


async def use(client: RawClient) -> None:
    """It may have been sent to by the flood, as a member of the hub; it is in, and it works."""
    send: dict[str, Any] = {"type": "sendToGroup", "group": "mine", "dataType": "json"}
    await client.send({**send, "data": "still here", "ackId": 99})
    seen = []
    while not seen or seen[-1].get("ackId") != 99:
        seen.append(await client.json())
    assert is_success(seen[-1])
    while not any(m.get("group") == "mine" and m["data"] == "still here" for m in seen):
        seen.append(await client.json())
