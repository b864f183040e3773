"""`connected` and `disconnected`: what the handler hears of a connection's life, and how often."""

import asyncio
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import httpx2
import pytest
from tests.wire.upstream_helpers import (
    JR,
    KEY,
    WAIT_S,
    Client,
    J,
    Recorded,
    RecordingHandler,
    Reply,
    Stage,
    stage,
)
from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

from hubbub.protocol import tokens


def event(name: str = "e", **more: Any) -> dict[str, Any]:
    return {"type": "event", "event": name, "dataType": "text", "data": "x", **more}


async def recover(on: Stage, lost: Client) -> Client:
    query = (
        f"awps_connection_id={lost.hello['connectionId']}"
        f"&awps_reconnection_token={lost.hello['reconnectionToken']}"
    )
    client = await on.open(JR, token="", query=query)
    assert client.hello["connectionId"] == lost.hello["connectionId"]
    return client


async def test_ue_042_connected_follows_the_upgrade_and_its_failure_disturbs_nobody() -> None:
    async with stage() as on:
        on.handler.answers["connected"] = Reply(500)
        client = await on.open(J)
        posts = await on.handler.wait_for("connected", 4)
        await client.expect_silence()
        assert (await client.ask(event(ackId=1)))["success"]
        assert {(post.body, post.header("ce-id")) for post in posts} == {(b"{}", "1")}
        assert posts[0].header("Content-Type") == "application/json; charset=utf-8"
        assert posts[0].header("ce-type") == "azure.webpubsub.sys.connected"
        assert posts[0].header("ce-subprotocol") == J


@pytest.mark.parametrize("subprotocols", [(), (J,), (JR,)])
async def test_ue_043_client_that_closes_is_reported_once(subprotocols: tuple[str, ...]) -> None:
    async with stage() as on:
        client = await on.open(*subprotocols)
        await client.socket.close(1000)
        (gone,) = await on.handler.wait_for("disconnected")
        assert gone.json == {"reason": "Normal"}
        assert gone.header("Content-Type") == "application/json; charset=utf-8"
        assert gone.header("ce-type") == "azure.webpubsub.sys.disconnected"
        await on.service.drain()
        assert [post.event for post in on.handler.posts] == ["connect", "connected", "disconnected"]
        assert [post.header("ce-id") for post in on.handler.posts] == ["0", "1", "2"]


async def test_client_that_vanishes_is_reported_once() -> None:
    async with stage() as on:
        client = await on.open(J)
        client.cut()
        await on.handler.wait_for("disconnected")
        await on.service.drain()
        assert len(on.handler.events("disconnected")) == 1


async def test_ue_045_recovery_in_time_is_no_event() -> None:
    async with stage() as on:
        client = await on.open(JR)
        await on.handler.wait_for("connected")
        client.cut()
        client = await recover(on, client)
        assert (await client.ask(event(ackId=1)))["success"]
        assert [post.event for post in on.handler.posts] == ["connect", "connected", "e"]
        assert on.handler.posts[2].header("ce-id") == "2"
        await client.socket.close(1000)
        await on.handler.wait_for("disconnected")
        await on.service.drain()
        assert len(on.handler.events("disconnected")) == 1


async def test_ue_045_ue_090_client_lost_for_good_is_reported_once_when_the_window_ends() -> None:
    async with stage(service={"recovery_window_s": 0.1}) as on:
        client = await on.open(JR)
        client.cut()
        (gone,) = await on.handler.wait_for("disconnected")
        assert gone.json == {"reason": "Connection recovery timed out."}
        await on.service.drain()
        assert len(on.handler.events("disconnected")) == 1


async def test_answer_for_a_lost_reliable_client_waits_for_its_return() -> None:
    async with stage() as on:
        gate = asyncio.Event()

        async def slowly(request: Recorded) -> Reply:
            await gate.wait()
            return Reply(200, b"late", "text/plain")

        on.handler.answers["e"] = slowly
        client = await on.open(JR)
        await client.send(event(ackId=1))
        await on.handler.wait_for("e")
        client.cut()
        gate.set()
        client = await recover(on, client)
        received = [await client.json(), await client.json()]
        message = next(one for one in received if one["type"] == "message")
        assert (message["data"], message["sequenceId"]) == ("late", 1)
        assert {"type": "ack", "ackId": 1, "success": True} in received
        assert len(on.handler.events("e")) == 1


async def test_event_of_a_client_that_left_runs_to_its_end_before_disconnected() -> None:
    async with stage() as on:
        gate = asyncio.Event()

        async def slowly(request: Recorded) -> Reply:
            await gate.wait()
            return Reply(200, b"late", "text/plain", [("ce-connectionState", "last")])

        on.handler.answers["e"] = slowly
        client = await on.open(J)
        await client.send(event())
        await on.handler.wait_for("e")
        await client.socket.close()
        assert on.handler.events("disconnected") == []
        gate.set()
        (gone,) = await on.handler.wait_for("disconnected")
        assert on.handler.aborted == []
        assert gone.header("ce-connectionState") == "last"
        assert gone.header("ce-id") == "3"


async def test_ue_089_sigterm_lets_answers_out_and_reports_every_connection(
    tmp_path: Path,
) -> None:
    """The real program and the real signal."""
    async with RecordingHandler() as handler:
        gate = asyncio.Event()

        async def slowly(request: Recorded) -> Reply:
            await gate.wait()
            return Reply(200, b"done", "text/plain")

        handler.answers["e"] = slowly
        config = tmp_path / "hubbub.toml"
        config.write_text(
            "[[hubs.chat.event_handlers]]\n"
            f'url_template = "{handler.url}/eh"\n'
            'user_event_pattern = "*"\n'
            'system_events = ["disconnected"]\n'
        )
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "hubbub.cli.main", "serve", "--port", "0", "--config", str(config)),
            env={**os.environ, "HUBBUB_ACCESS_KEY": KEY},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            assert process.stdout is not None
            line = (await asyncio.wait_for(process.stdout.readline(), WAIT_S)).decode()
            url = line.split()[-1]
            clients = [await open_at(url) for _ in range(4)]
            await clients[0].send(event(ackId=1))
            await handler.wait_for("e")
            process.send_signal(signal.SIGTERM)
            await refuses_work(url)
            gate.set()
            assert (await clients[0].json())["data"] == "done"
            assert await clients[0].json() == {"type": "ack", "ackId": 1, "success": True}
            for client in clients:
                assert (await client.json())["event"] == "disconnected"
                assert (await client.closed()).code == 1001
            assert await asyncio.wait_for(process.wait(), WAIT_S) == 0
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        gone = handler.events("disconnected")
        assert [post.json for post in gone] == [{"reason": "ServiceReload"}] * 4
        ids = {post.header("ce-connectionId") for post in gone}
        assert ids == {client.hello["connectionId"] for client in clients}


async def refuses_work(url: str) -> None:
    """Wait until the drain has begun."""
    async with asyncio.timeout(WAIT_S), httpx2.AsyncClient(trust_env=False) as http:
        while (await http.get(f"{url}/api/health")).status_code != 503:
            await asyncio.sleep(0.01)


async def open_at(url: str) -> Client:
    token = tokens.make_client_token(
        KEY, audience=f"{url}/client/hubs/chat", now=time.time(), life_s=600
    )
    client = Client(
        await connect(
            f"{url.replace('http', 'ws', 1)}/client/hubs/chat?access_token={token}",
            subprotocols=[Subprotocol(J)],
            compression=None,
            proxy=None,
        )
    )
    client.hello = await client.json()
    return client
