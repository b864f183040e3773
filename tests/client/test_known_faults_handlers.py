"""Faults that other clients have where they call the application: order, errors, dead-locks.

docs/known-faults.md tells each fault.
"""

import asyncio
import logging
import random
import time
from typing import Any

import pytest
from tests.client.scripted import Peer, Scripted, message
from tests.client.test_client import names_of, tasks, watch
from tests.client.test_healing import until
from tests.client.test_known_faults_operations import answer_all

from hubbub.client import BufferOptions, Client, SyncClient
from hubbub.testing import Hub

MESSAGES = 10_000


async def send_many(peer: Peer) -> None:
    for number in range(1, MESSAGES + 1):
        await peer.message(number, number)


# --- order and bounds -------------------------------------------------------------------------


async def test_f02_messages_reach_a_slow_handler_in_order_one_at_a_time_and_bounded() -> None:
    draw = random.Random(2)
    got: list[str] = []
    running = most = deepest = 0
    done = asyncio.Event()

    async def handle(event: Any) -> None:
        nonlocal running, most, deepest
        running += 1
        most = max(most, running)
        deepest = max(deepest, len(registration))
        for _ in range(draw.randrange(3)):
            await asyncio.sleep(0)
        running -= 1
        got.append(event.data)
        if len(got) == MESSAGES:
            done.set()

    async def script(peer: Peer) -> None:
        for number in range(1, MESSAGES + 1):
            await peer.message(number, str(number).rjust(2_000))

    async with Scripted(script) as service:
        client = Client(service.url)
        registration = client.on("server-message", handle, buffer=BufferOptions(max_messages=100))
        await client.start()
        async with asyncio.timeout(60):
            await done.wait()
        assert len(tasks()) <= 3, "one for the handler, however many messages there are"
        await client.stop()
    assert [int(text) for text in got] == list(range(1, MESSAGES + 1))
    assert most == 1
    assert deepest < MESSAGES / 2, "its limit, and what one read from the socket brings"


async def test_f45_blocking_client_hands_messages_to_its_thread_in_order() -> None:
    def use(url: str) -> list[int]:
        got: list[int] = []
        client = SyncClient(url)
        client.on("server-message", lambda event: got.append(event.data))
        with client:
            while len(got) < MESSAGES:
                time.sleep(0.005)
        return got

    async with Scripted(send_many) as service:
        async with asyncio.timeout(60):
            got = await asyncio.to_thread(use, service.url)
    assert got == list(range(1, MESSAGES + 1))


# --- what comes is no reason to fail ------------------------------------------------------------


async def test_f13_unknown_frames_are_no_warning_and_have_no_effect(
    caplog: pytest.LogCaptureFixture,
) -> None:
    unknown = (
        {"type": "pong"},
        {"type": "new", "a": 1},
        {"type": "system", "event": "new"},
        {"type": "message", "from": "elsewhere", "dataType": "text", "data": "x"},
        {"type": "ack", "ackId": 99, "success": True},
        {"type": "invokeResponse", "invocationId": "of nobody", "success": True},
        {"type": "streamAck", "streamId": "of nobody", "expectedSequenceId": 1},
    )

    async def script(peer: Peer) -> None:
        await peer.write(*unknown)
        await peer.message(1, "good")

    caplog.set_level(logging.DEBUG, "hubbub")
    async with Scripted(script) as service:
        client = Client(service.url)
        seen = watch(client)
        async with client.messages() as messages:
            await client.start()
            async with asyncio.timeout(20):
                assert (await anext(messages)).data == "good"
        assert names_of(seen) == ["Connected"]
        await client.stop()
    assert [r for r in caplog.records if r.levelno >= logging.WARNING] == []


@pytest.mark.parametrize("seed", range(5))
async def test_f19_random_bytes_harm_nothing(seed: int) -> None:
    draw = random.Random(seed)

    async def noise(peer: Peer) -> None:
        for _ in range(200):
            data = draw.randbytes(draw.randrange(40))
            await peer.socket.send(data if draw.random() < 0.5 else data.decode("latin-1"))
        await peer.write({"type": "message"}, [], {"type": {"type": 1}})
        await peer.message(1, "good")

    async with Scripted(noise) as service:
        client = Client(service.url)
        async with client.messages() as messages:
            await client.start()
            async with asyncio.timeout(20):
                assert (await anext(messages)).data == "good"
        await client.stop()


@pytest.mark.parametrize("is_async", [False, True])
async def test_f18_raising_handler_does_not_stop_the_reconnect(is_async: bool) -> None:
    raised: list[str] = []

    def bad(event: object) -> None:
        raised.append(type(event).__name__)
        raise RuntimeError("a fault of the application")

    async def async_bad(event: object) -> None:
        bad(event)

    async with Hub() as hub:
        client = hub.client()
        for name in ("connected", "disconnected", "recovering", "reconnecting", "gap", "stopped"):
            client.on(name, async_bad if is_async else bad)
        await client.start()
        await client.join_group("g")
        for _ in range(3):
            before = client.connection_id
            await hub.lose_sessions()
            await until(
                lambda b=before: (
                    client.is_connected and client.connection_id != b and client.joined_groups
                )
            )
        async with client.messages(group="g") as messages:
            await hub.backend.send_to_group("g", "in order")
            async with asyncio.timeout(20):
                assert (await anext(messages)).data == "in order"
        await client.stop()
    assert raised.count("ConnectedEvent") == 4
    assert raised.count("DisconnectedEvent") == 4
    assert raised.count("StoppedEvent") == 1


# --- dead-locks ---------------------------------------------------------------------------------


async def test_f32_handler_of_each_kind_may_wait_for_answers_three_deep() -> None:
    """An answer sets off the next handler while the one before still waits for its own."""
    deep: list[str] = []

    async def script(peer: Peer) -> None:
        while True:
            frame = await peer.read()
            if frame.get("event") == "first":
                await peer.message(1, "second")
            elif frame["type"] == "joinGroup":
                third = {**message(2, "third"), "from": "group", "group": "g"}
                await peer.write(third)
            if frame["type"] == "invoke":
                done = {"invocationId": frame["invocationId"], "success": True}
                await peer.write({"type": "invokeResponse", **done})
                await peer.ack(held[0])
                await peer.ack(held[1])
            else:
                held.append(frame)

    held: list[Any] = []
    async with Scripted(script) as service:
        client = Client(service.url)

        async def on_connected(_: object) -> None:
            await client.send_event("first", "x")
            deep.append("connected")

        async def on_server_message(_: object) -> None:
            await client.join_group("g")
            deep.append("server-message")

        async def on_group_message(_: object) -> None:
            await client.invoke_event("ask")
            deep.append("group-message")

        client.on("connected", on_connected)
        client.on("server-message", on_server_message)
        client.on("group-message", on_group_message)
        await client.start()
        async with asyncio.timeout(20):
            await until(lambda: len(deep) == 3)
        assert deep[0] == "group-message", "the innermost ends first"
        await client.stop()


async def test_f32_handlers_of_the_links_life_may_wait_for_answers_too() -> None:
    done: set[str] = set()

    async def script(peer: Peer) -> None:
        async with asyncio.TaskGroup() as both:
            answering = both.create_task(answer_all(peer))
            if len(service.peers) == 1:
                await until(lambda: "connected" in done)
                answering.cancel()
                peer.socket.transport.abort()

    async with Scripted(script) as service:
        client = Client(service.url)
        for name in ("connected", "recovering", "recovered"):

            async def handle(_: object, name: str = name) -> None:
                await client.send_to_group("g", name)
                await client.invoke_event("ask", name)
                done.add(name)

            client.on(name, handle)
        await client.start()
        async with asyncio.timeout(20):
            await until(lambda: done == {"connected", "recovering", "recovered"})
        await client.stop()


# --- the loop -----------------------------------------------------------------------------------


async def test_f01_ping_of_the_service_is_answered_while_a_handler_is_busy() -> None:
    answered = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.message(1, "x")
        await until(lambda: running)
        waiter = await peer.socket.ping()
        await waiter
        answered.set()

    running: list[object] = []

    async def busy(event: object) -> None:
        running.append(event)
        await answered.wait()

    async with Scripted(script) as service:
        client = Client(service.url)
        client.on("server-message", busy)
        async with client, asyncio.timeout(20):
            await answered.wait()
            assert client.is_connected


async def test_f42_handler_that_blocks_the_loop_costs_no_link() -> None:
    """Ten times as long as silence may last; what came meanwhile is read before any verdict."""
    async with Hub() as hub:
        client = hub.client(keep_alive_interval=0.05, keep_alive_timeout=0.1)
        seen = watch(client)
        blocked: list[object] = []

        def block(event: object) -> None:
            time.sleep(1)
            blocked.append(event)

        client.on("server-message", block)
        async with client:
            await hub.backend.send_to_all("x")
            await until(lambda: blocked)
            for _ in range(3):
                await client.send_to_group("g", "still the same link")
            assert names_of(seen) == ["Connected"]
