"""Threads that take from the queue of a handler or an iterator themselves, without the loop."""

import asyncio
import contextvars
import queue
import threading
from collections.abc import Callable
from typing import Any

import pytest
from tests.client.conftest import Near
from tests.client.scripted import Peer, Scripted
from tests.client.test_client import names_of, watch
from tests.client.test_healing import until
from tests.client.test_lanes import soon
from tests.client.test_sync_client import in_thread

from hubbub.client import BufferOptions, Client, SyncClient, connect, dispatch
from hubbub.client.driver import Driver
from hubbub.client.inbox import present_handler
from hubbub.client.sync_client import connect_sync
from hubbub.protocol.errors import ClientStateError
from hubbub.testing import FakePeer, FakeService

MANY = 20_000
SMALL = BufferOptions(max_messages=50)


async def send_many(peer: FakePeer) -> None:
    for number in range(1, MANY + 1):
        await peer.message("x" * 100, sequence_id=number)


class Gate:
    """A handler that waits at its first event until it may go on."""

    def __init__(self) -> None:
        self.got: list[Any] = []
        self.began = threading.Event()
        self.opened = threading.Event()

    def __call__(self, event: Any) -> None:
        self.began.set()
        assert self.opened.wait(20)
        self.got.append(event.data)


# --- handlers ---------------------------------------------------------------------------------


async def test_handler_in_a_thread_gets_all_that_is_queued_while_the_loop_stands_still(
    near: Near,
) -> None:
    async with connect(near.url()) as client:
        gate, done = Gate(), threading.Event()

        def handle(event: Any) -> None:
            gate(event)
            if len(gate.got) == 100:
                done.set()

        registration = client.on("server-message", handle, thread=True)
        for number in range(100):
            await near.backend.send_to_all(number)
        await until(lambda: gate.began.is_set() and len(registration) == 99)
        gate.opened.set()
        assert done.wait(20), "it waited for the loop"
        assert gate.got == list(range(100))


async def test_off_leaves_the_thread_nothing_to_take(near: Near) -> None:
    async with connect(near.url()) as client:
        gate = Gate()
        registration = client.on("server-message", gate, thread=True)
        for number in range(5):
            await near.backend.send_to_all(number)
        await until(lambda: gate.began.is_set() and len(registration) == 4)
        client.off("server-message", gate)
        gate.opened.set()
        await until(lambda: not client._dispatcher.handlers)
        assert gate.got == [0]
        assert client.stats.lane_depth_max == 4


async def test_thread_of_a_cancelled_handler_takes_no_more_and_the_next_start_begins_anew(
    near: Near,
) -> None:
    client = Client(near.url, close_timeout=0.05)
    gate = Gate()
    callers: dict[int, asyncio.Task[None] | None] = {}

    def handle(event: Any) -> None:
        callers[event.data] = present_handler()
        gate(event)

    registration = client.on("server-message", handle, thread=True)
    await client.start()
    for number in range(5):
        await near.backend.send_to_all(number)
    await until(lambda: gate.began.is_set() and len(registration) == 4)
    await soon(client.stop())
    assert len(registration) == 0, "what was queued is dropped"
    await client.start()
    for number in range(5, 8):
        await near.backend.send_to_all(number)
    await until(lambda: 5 in callers and len(registration) == 2)
    gate.opened.set()
    await until(lambda: len(gate.got) == 4)
    assert [number for number in gate.got if number] == [5, 6, 7]
    assert callers[0] not in [callers[number] for number in (5, 6, 7)]
    assert registration.size == 0
    await client.stop()


async def test_cl_074_each_error_in_a_thread_is_told_and_the_rest_is_handled(near: Near) -> None:
    client = Client(near.url)
    seen = watch(client)
    gate = Gate()

    def fail(event: Any) -> None:
        gate(event)
        if event.data % 3 == 0:
            raise KeyError(event.data)

    registration = client.on("server-message", fail, thread=True)
    async with client:
        for number in range(10):
            await near.backend.send_to_all(number)
        await until(lambda: gate.began.is_set() and len(registration) == 9)
        gate.opened.set()
        await until(lambda: names_of(seen).count("HandlerError") == 4)
        await until(lambda: not client._dispatcher.handlers)
    assert gate.got == list(range(10))
    told = [str(event.error) for event in seen if type(event).__name__ == "HandlerErrorEvent"]
    assert told == ["0", "3", "6", "9"]


async def test_what_one_call_sets_in_its_context_the_next_does_not_see(near: Near) -> None:
    variable: contextvars.ContextVar[int] = contextvars.ContextVar("variable", default=-1)
    seen: list[int] = []
    gate = Gate()

    def handle(event: Any) -> None:
        gate(event)
        seen.append(variable.get())
        variable.set(event.data)

    async with connect(near.url()) as client:
        registration = client.on("server-message", handle, thread=True)
        for number in range(5):
            await near.backend.send_to_all(number)
        await until(lambda: gate.began.is_set() and len(registration) == 4)
        gate.opened.set()
        await until(lambda: len(seen) == 5)
    assert seen == [-1] * 5


async def test_cl_078_full_queue_of_a_thread_pauses_and_goes_on_at_one_half(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The loop hears of the room that a thread has made, though nothing comes meanwhile."""
    monkeypatch.setattr(dispatch, "PAUSE_LIMIT_S", 60.0)
    count = 3_000

    async def script(peer: FakePeer) -> None:
        for number in range(1, count + 1):
            await peer.message("x" * 5_000, sequence_id=number)

    async with FakeService(script) as service:
        client = Client(service.url, buffer=SMALL)
        got: list[Any] = []
        steps = threading.Semaphore(0)

        def handle(event: Any) -> None:
            assert steps.acquire(timeout=20)
            got.append(event.sequence_id)

        registration = client.on("server-message", handle, thread=True)
        async with client:
            await until(lambda: client._dispatcher.is_paused)
            first = len(registration) - 24
            for _ in range(first):
                steps.release()
            await until(lambda: len(got) == first and len(registration) > 25)
            for _ in range(count):
                steps.release()
            await until(lambda: len(got) == count)
            assert got == list(range(1, count + 1))
            assert client.stats.lane_depth_max < count / 4


# --- iterators of the blocking twin -----------------------------------------------------------


async def test_blocking_iterator_takes_what_is_queued_while_the_loop_stands_still(
    near: Near,
) -> None:
    url = near.url()

    def work() -> None:
        with connect_sync(url) as client, client.messages() as messages:
            client.join_group("g")
            for number in range(50):
                client.send_to_group("g", number)
            while len(messages) < 50:
                client.ping()
            go_on = threading.Event()

            async def block() -> None:
                assert go_on.wait(20)

            blocked = client._portal.submit(block())
            try:
                assert [messages.get().data for _ in range(25)] == list(range(25))
                assert [next(messages).data for _ in range(25)] == list(range(25, 50))
                assert len(messages) == 0
            finally:
                go_on.set()
            blocked.result(20)

    await in_thread(work)


async def test_cl_078_blocking_iterator_that_is_slow_loses_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """How much one read brings beyond the limit, the kernel decides; then no more is read."""
    pauses: list[int] = []
    pause = Driver.pause_reading

    def note(driver: Driver) -> None:
        pauses.append(1)
        pause(driver)

    monkeypatch.setattr(Driver, "pause_reading", note)
    async with FakeService(send_many) as service:

        def work() -> None:
            client = SyncClient(service.url, buffer=SMALL)
            with client.messages() as messages, client:
                got = [next(messages).sequence_id for _ in range(MANY)]
                assert got == list(range(1, MANY + 1))
                assert client.stats.recoveries == 0, "a pause is no lost link"

        await in_thread(work)
    assert pauses


async def test_cl_080_drop_oldest_counts_all_while_a_thread_takes() -> None:
    async def script(peer: Peer) -> None:
        for number in range(1, MANY + 1):
            await peer.message(number, number)
        await peer.read("never")

    async with Scripted(script) as service:

        def work() -> None:
            client = SyncClient(service.url)
            buffer = BufferOptions(max_messages=10, overflow="drop-oldest")
            with client.messages(buffer=buffer) as messages, client:
                got = [next(messages).data]
                while got[-1] != MANY:
                    got.append(messages.get(timeout=20).data)
                assert got == sorted(set(got))
                assert len(got) + client.stats.messages_dropped == MANY

        await in_thread(work)


async def test_threads_that_share_an_iterator_get_each_message_once(near: Near) -> None:
    url = near.url()

    def work() -> None:
        got: queue.Queue[int] = queue.Queue()
        with connect_sync(url) as client, client.messages(group="g") as messages:

            def take() -> None:
                for message in messages:
                    got.put(message.data)

            threads = [threading.Thread(target=take) for _ in range(4)]
            for thread in threads:
                thread.start()
            client.join_group("g")
            for number in range(200):
                client.send_to_group("g", number, fire_and_forget=True)
            assert sorted(got.get(timeout=20) for _ in range(200)) == list(range(200))
            client.stop()
            for thread in threads:
                thread.join(20)
                assert not thread.is_alive()

    await in_thread(work)


async def test_stop_that_drains_waits_for_the_thread_that_iterates(near: Near) -> None:
    url = near.url()

    def work() -> None:
        client = SyncClient(url)
        client.start()
        with client.messages() as messages:
            client.join_group("g")
            for number in range(20):
                client.send_to_group("g", number)
            stopping = threading.Thread(target=lambda: client.stop(drain=True, timeout=20))
            stopping.start()
            got = [message.data for message in messages]
            stopping.join(20)
            assert not stopping.is_alive()
            assert got == list(range(20))

    await in_thread(work)


async def test_blocking_iterator_after_the_stop_gives_the_rest_and_goes_on_after_a_start(
    near: Near,
) -> None:
    def work() -> None:
        client = SyncClient(near.url)
        with client.messages() as messages:
            for _ in range(2):
                client.start()
                client.join_group("g")
                waiting = _ask(lambda: messages.get(timeout=20).data)
                client.send_to_group("g", "a")
                assert waiting.get(timeout=20) == "a"
                for text in "bc":
                    client.send_to_group("g", text)
                client.stop()
                assert [message.data for message in messages] == ["b", "c"]
                with pytest.raises(ClientStateError):
                    messages.get()
                assert not client._portal.is_running, "no thread was needed for that"

    await in_thread(work)


def _ask(work: Callable[[], Any]) -> "queue.Queue[Any]":
    answer: queue.Queue[Any] = queue.Queue()
    threading.Thread(target=lambda: answer.put(work()), daemon=True).start()
    return answer


async def test_blocking_iterator_in_the_loops_own_thread_says_what_is_wrong(near: Near) -> None:
    url = near.url()

    def work() -> None:
        with connect_sync(url) as client, client.messages() as messages:
            client.join_group("g")
            client.send_to_group("g", "x")

            async def inside() -> None:
                next(messages)

            with pytest.raises(RuntimeError, match="own thread"):
                client._portal.call(inside())
            assert messages.get(timeout=20).data == "x"

    await in_thread(work)
