"""The loudest faults of docs/known-faults.md, as the official Python client still has them.

Should one of these fail after an update of that client, its fault is mended: good news, and a line
of the page to change.
"""

import asyncio
from typing import Any

from azure.messaging.webpubsubclient import WebPubSubClient as OfficialSyncClient
from azure.messaging.webpubsubclient.aio import WebPubSubClient as OfficialClient
from azure.messaging.webpubsubclient.models import WebPubSubProtocolType
from tests.client.scripted import Peer, Scripted
from tests.official_sdks.python_clients import AsyncTester, until

from hubbub.client import Client, RetryOptions

QUICK = {"message_retry_backoff_factor": 0.001, "reconnect_retry_backoff_factor": 0.001}


async def nothing(_: Peer) -> None:
    pass


async def test_f04_f16_repeat_of_the_official_client_is_another_message() -> None:
    """Ours, with the same service: the same frame each time."""
    frames: list[Any] = []

    async def refuse_twice(peer: Peer) -> None:
        while True:
            frames.append(frame := await peer.read("sendToGroup"))
            error = {"name": "InternalServerError", "message": ""}
            failed = {"type": "ack", "ackId": frame["ackId"], "success": False, "error": error}
            if len(frames) < 3:
                await peer.write(failed)
            else:
                await peer.ack(frame)

    async with Scripted(refuse_twice) as service:
        async with OfficialClient(service.url, **QUICK) as official:
            await official.send_to_group("g", "x", "text", no_echo=True, ack_id=77)  # type: ignore[arg-type]
    assert [frame["ackId"] for frame in frames] == [77, 1, 2]
    assert [frame["noEcho"] for frame in frames] == [True, False, False]
    frames.clear()
    async with Scripted(refuse_twice) as service:
        async with Client(service.url, message_retry=RetryOptions(3, 0.001, 0.001)) as ours:
            await ours.send_to_group("g", "x", "text", no_echo=True, ack_id=77)
    assert len(frames) == 3
    assert frames[0] == frames[1] == frames[2]


async def test_f09_official_client_gives_up_after_three_tries() -> None:
    async with Scripted(nothing) as service:
        tester = AsyncTester(service.url, protocol_type=WebPubSubProtocolType.JSON, **QUICK)
        await tester.open()
        await until(lambda: tester.log.connected)
        service.is_away = True
        service.peers[0].socket.transport.abort()
        async with asyncio.timeout(20):
            await until(lambda: tester.log.stopped)
        assert service.refused == 4, "one try at once, and three retries"
        service.is_away = False
        client = Client(service.url, reconnect_retry=RetryOptions(None, 0.001, 0.001))
        await client.start()
        service.is_away = True
        service.refused = 0
        service.peers[-1].socket.transport.abort()
        await until(lambda: service.refused > 20)
        service.is_away = False
        async with asyncio.timeout(20):
            await client.wait_connected()
        await client.stop()


async def test_f10_official_with_block_gives_nothing() -> None:
    def use(url: str) -> object:
        with OfficialSyncClient(url) as client:
            return client

    async with Scripted(nothing) as service:
        assert await asyncio.to_thread(use, service.url) is None
