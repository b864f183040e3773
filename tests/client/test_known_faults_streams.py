"""Faults that other clients have with group streams: holes, streams that hang or never end.

docs/known-faults.md tells each fault.
"""

import asyncio
from typing import Any

import pytest
from tests.client.scripted import Peer, Scripted, message
from tests.client.test_healing import QUICK
from tests.client.test_streams import stream_ack

from hubbub.client import Client, StreamError
from hubbub.testing import Hub


async def fragments(peer: Peer, count: int) -> list[int]:
    return [(await peer.read("streamData"))["streamSequenceId"] for _ in range(count)]


async def test_f27_nack_in_the_middle_rewinds_and_the_end_waits_for_the_service() -> None:
    written: list[int] = []
    ended, go_on = asyncio.Event(), asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.read("sendToGroup")
        await peer.write(stream_ack(1))
        written.extend(await fragments(peer, 5))
        nack = {"name": "InvalidSequenceId", "expectedSequenceId": 3}
        await peer.write({"type": "streamNack", "streamId": "s1", **nack})
        written.extend(await fragments(peer, 3))
        await peer.write(stream_ack(6))
        await peer.read("streamEnd")
        ended.set()
        await go_on.wait()
        await peer.write({"type": "streamClosed", "streamId": "s1"})

    async with Scripted(script) as service, Client(service.url) as client, asyncio.timeout(20):
        writer = await client.open_group_stream("g", stream_id="s1")
        for number in range(1, 6):
            await writer.write(number)
        ending = asyncio.ensure_future(writer.end())
        await ended.wait()
        assert not ending.done()
        go_on.set()
        await ending
        assert writer.error is None
    assert written == [1, 2, 3, 4, 5, 3, 4, 5]


async def test_f27_stream_goes_on_after_a_recovery_that_says_no_connected() -> None:
    written: list[list[int]] = []

    async def script(peer: Peer) -> None:
        if len(service.peers) == 1:
            await peer.read("sendToGroup")
            await peer.write(stream_ack(1))
            written.append(await fragments(peer, 3))
            await peer.write(stream_ack(2))
            await (await peer.socket.ping())  # the client has read it
            peer.socket.transport.abort()
            return
        written.append(await fragments(peer, 3))
        await peer.write(stream_ack(5))
        await peer.read("streamEnd")
        await peer.write({"type": "streamClosed", "streamId": "s1"})

    async with Scripted(script) as service:
        async with Client(service.url, recovery=QUICK) as client, asyncio.timeout(20):
            writer = await client.open_group_stream("g", stream_id="s1")
            async with client.events("recovered") as events:
                for number in range(1, 4):
                    await writer.write(number)
                await anext(events)
            await writer.write(4)
            await writer.end()
            assert writer.error is None
    assert written == [[1, 2, 3], [2, 3, 4]], "what was not confirmed, then what is new"


@pytest.mark.parametrize("last", [4, 2])
async def test_f29_hole_or_double_in_a_stream_is_an_error_at_once(last: int) -> None:
    async def script(peer: Peer) -> None:
        for number, fragment in enumerate((1, 2, last), start=1):
            stream = {"streamId": "s1", "streamSequenceId": fragment}
            await peer.write({**message(number, str(fragment)), **in_group, "stream": stream})

    in_group = {"from": "group", "group": "g"}
    got: list[Any] = []
    async with Scripted(script) as service:
        client = Client(service.url)
        async with client.group_streams() as streams, client, asyncio.timeout(20):
            stream = await anext(streams)
            with pytest.raises(StreamError) as caught:
                async for part in stream:
                    got.append(part.data)
            assert caught.value.name == "SequenceGap"
    assert got == ["1", "2"]


async def test_f29_stream_of_a_lost_session_ends_at_once_for_its_reader() -> None:
    async with Hub() as hub, hub.client() as writer, hub.client() as reader:
        await reader.join_group("g")
        async with reader.group_streams() as streams, asyncio.timeout(20):
            outbound = await writer.open_group_stream("g")
            await outbound.write("a")
            inbound = await anext(streams)
            assert reader.connection_id is not None
            await hub.backend.close_connection(reader.connection_id)
            with pytest.raises(StreamError) as caught:
                async for _ in inbound:
                    pass
            assert caught.value.name == "ConnectionLost"
            await outbound.end()
