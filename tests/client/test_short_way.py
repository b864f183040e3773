"""Messages on their short way to handlers: the same events, directly, and what must not be short."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from tests.client.scripted import Peer, Scripted

from hubbub.client import Client, GroupMessageEvent, ServerMessageEvent
from hubbub.client.events import plain_event
from hubbub.protocol.errors import InvalidMessage
from hubbub.protocol.json_responses import PlainMessage, decode_response, read_response
from hubbub.protocol.messages import DataMessage

GROUP = {"sequenceId": 3, "type": "message", "from": "group", "group": "g", "fromUserId": "u"}
SERVER = {"type": "message", "from": "server"}
PLAIN: list[dict[str, Any]] = [
    {**GROUP, "dataType": "text", "data": "hällo 🎈"},
    {**GROUP, "dataType": "text", "data": "", "fromUserId": ""},
    {**GROUP, "dataType": "json", "data": {"a": [1, 2.5, None, 2**70]}, "metadata": {"k": "v"}},
    {**GROUP, "dataType": "json", "data": None, "metadata": {}},
    {**GROUP, "data": "no type is json"},
    {**GROUP, "dataType": "binary", "data": "AAEC/w=="},
    {**GROUP, "dataType": "protobuf", "data": ""},
    {**GROUP, "dataType": "text", "data": "x", "later": {"unknown": [1]}},
    {**SERVER, "dataType": "text", "data": "x", "sequenceId": 1},
    {**SERVER, "dataType": "json", "data": 5, "group": "not meant"},
]
UNUSUAL: list[dict[str, Any]] = [
    {**GROUP, "dataType": "TEXT", "data": "letters"},
    {**GROUP, "dataType": "text", "data": 5},
    {**GROUP, "dataType": "binary", "data": "?"},
    {**GROUP, "dataType": "binary", "data": [1]},
    {**GROUP, "dataType": "newer", "data": "x"},
    {**GROUP, "dataType": "json"},
    {"type": "message", "from": "group", "dataType": "json", "data": 1},
    {"type": "message", "from": "somebody", "data": 1},
    {**GROUP, "data": 1, "stream": {"streamId": "s", "streamSequenceId": 1}},
    {**GROUP, "data": 1, "sequenceId": -1},
]


def text_of(frame: dict[str, Any]) -> bytes:
    return json.dumps(frame).encode()


def the_long_way(text: bytes) -> list[Any]:
    """What the application gets of a message that the session has let through."""
    client, got = Client("ws://unused"), list[Any]()
    client.on("group-message", got.append)
    client.on("server-message", got.append)
    message = decode_response(text)
    assert isinstance(message, DataMessage)
    client._dispatcher.deliver(message)
    return got


@pytest.mark.parametrize("frame", PLAIN, ids=str)
async def test_plain_message_becomes_the_same_event_as_the_long_way(frame: dict[str, Any]) -> None:
    text = text_of(frame)
    message = read_response(text)
    assert isinstance(message, PlainMessage)
    event = plain_event(message)
    assert [event] == the_long_way(text)
    assert type(event) is (GroupMessageEvent if frame["from"] == "group" else ServerMessageEvent)


@pytest.mark.parametrize("frame", UNUSUAL, ids=str)
def test_unusual_message_is_left_to_the_long_way(frame: dict[str, Any]) -> None:
    text = text_of(frame)
    message = outcome(read_response, text)
    if isinstance(message, PlainMessage):
        assert plain_event(message) is None
    else:
        assert message == outcome(decode_response, text)


def outcome(read: Callable[[bytes], object], text: bytes) -> object:
    try:
        return read(text)
    except InvalidMessage as error:
        return str(error)


def test_text_that_is_no_utf_8_is_refused_in_both_ways() -> None:
    text = text_of({**GROUP, "dataType": "text", "data": "x"}).replace(b"x", b"\xff")
    with pytest.raises(InvalidMessage):
        read_response(text)


async def test_plain_handler_is_called_from_the_reader_without_task_and_queue() -> None:
    """Nothing is made that could be late: when the handler runs, no task is new, no queue used."""
    tasks: list[set[str]] = []
    calls: list[int] = []
    got_all = asyncio.Event()

    async def script(peer: Peer) -> None:
        join = await peer.read("joinGroup")
        await peer.ack(join)
        for number in range(1, 31):
            await peer.message(number, "x")
        await peer.read("never")

    async with Scripted(script) as service:
        client = Client(service.url)

        def handler(event: ServerMessageEvent) -> None:
            calls.append(len(registration))
            tasks.append({t.get_name() for t in asyncio.all_tasks() if "hubbub" in t.get_name()})
            if len(calls) == 30:
                got_all.set()

        registration = client.on("server-message", handler)
        async with client:
            await client.join_group("g")
            async with asyncio.timeout(10):
                await got_all.wait()
    assert calls == [0] * 30
    assert all("hubbub server-message" not in names for names in tasks)
    assert len({frozenset(names) for names in tasks}) == 1


async def test_ping_of_the_service_is_answered_also_behind_messages_of_one_read() -> None:
    answered = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.message(1, "x")
        answer = await peer.socket.ping()
        await answer
        answered.set()
        ack = await peer.read("sequenceAck")
        assert ack["sequenceId"] == 1
        await peer.read("never")

    async with Scripted(script) as service, Client(service.url) as client:
        async with asyncio.timeout(10):
            await answered.wait()
        assert client.is_connected


async def test_messages_of_many_groups_reach_the_lanes_of_their_group_in_any_order_of_lanes() -> (
    None
):
    got: list[tuple[str, str]] = []
    got_all = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.ack(await peer.read("joinGroup"))
        for number, group in enumerate(["a", "b", "c", "a"], 1):
            await peer.write({**GROUP, "group": group, "sequenceId": number, "data": number})
        await peer.write({**SERVER, "data": "end", "sequenceId": 5})
        await peer.read("never")

    async with Scripted(script) as service:
        client = Client(service.url)
        client.on("group-message", lambda m: got.append(("b", m.group)), group="b")
        client.on("group-message", lambda m: got.append(("all", m.group)))
        client.on("group-message", lambda m: got.append(("a", m.group)), group="a")
        client.on("server-message", lambda _: got_all.set())
        async with client:
            await client.join_group("a")
            async with asyncio.timeout(10):
                await got_all.wait()
    assert got == [
        ("all", "a"), ("a", "a"),
        ("b", "b"), ("all", "b"),
        ("all", "c"),
        ("all", "a"), ("a", "a"),
    ]  # fmt: skip


async def test_cl_029_ten_thousand_sends_in_flight_need_no_task_and_no_timer_each() -> None:
    """Their acks come in another order; each call gets its own."""
    count = 10_000
    asked: list[int] = []

    async def script(peer: Peer) -> None:
        while len(asked) < count:
            asked.append((await peer.read("sendToGroup"))["ackId"])
            if len(asked) % 500 == 0:  # the client waits for the oldest of 1,000
                for ack_id in reversed(asked[-500:]):
                    await peer.ack({"ackId": ack_id})
        await peer.read("never")

    loop: Any = asyncio.get_running_loop()
    async with Scripted(script) as service, Client(service.url) as client:
        timers, tasks = len(loop._scheduled), len(asyncio.all_tasks())
        calls = [asyncio.create_task(client.send_to_group("g", "x")) for _ in range(count)]
        await asyncio.sleep(0)
        assert client.stats.pending_acks == count
        assert len(asyncio.all_tasks()) - tasks - count < 10, "only those of the caller"
        assert len(loop._scheduled) - timers < 10
        async with asyncio.timeout(60):
            results = await asyncio.gather(*calls)
    assert sorted(result.ack_id or 0 for result in results) == list(range(1, count + 1))
    assert [result.ack_id for result in results] == sorted(asked)
