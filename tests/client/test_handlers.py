"""Ways to be called: several at once, in threads, for ever; and what is told of bad manners."""

import asyncio
import contextvars
import gc
import logging
import threading
import time
from typing import Any

import pytest
from tests.client.conftest import Near
from tests.client.scripted import Peer, Scripted
from tests.client.test_client import names_of, tasks, watch
from tests.client.test_healing import QUICK, until
from tests.client.test_lanes import soon

from hubbub.client import Client, Registration, State, connect
from hubbub.client.threads import Worker
from hubbub.protocol.errors import ClientStoppedError


async def test_max_concurrency_runs_so_many_at_once_started_in_order(near: Near) -> None:
    async with connect(near.url()) as client:
        started: list[int] = []
        running = most = 0
        go_on = asyncio.Event()

        async def handle(event: Any) -> None:
            nonlocal running, most
            started.append(event.data)
            running += 1
            most = max(most, running)
            await go_on.wait()
            running -= 1

        with client.on("group-message", handle, max_concurrency=3) as registration:
            assert isinstance(registration, Registration)
            await client.join_group("g")
            for i in range(10):
                await client.send_to_group("g", i)
            await until(lambda: running == 3 and len(registration) == 7)
            go_on.set()
            await until(lambda: len(started) == 10 and running == 0)
        assert started == list(range(10))
        assert most == 3
        with pytest.raises(ValueError):
            client.on("gap", print, max_concurrency=0)


async def test_thread_runs_a_blocking_handler_beside_the_loop_one_at_a_time(near: Near) -> None:
    async with connect(near.url()) as client:
        got: list[tuple[int, str]] = []
        go_on = threading.Event()

        def handle(event: Any) -> None:
            go_on.wait()
            got.append((event.data, threading.current_thread().name))

        client.on("group-message", handle, thread=True)
        await client.join_group("g")
        for i in range(20):
            await client.send_to_group("g", i)  # the loop lives on while it blocks
        assert got == []
        go_on.set()
        await until(lambda: len(got) == 20)
        assert [i for i, _ in got] == list(range(20))
        assert {name for _, name in got} == {"hubbub group-message"}

        async def coroutine(_: object) -> None: ...

        with pytest.raises(TypeError):
            client.on("gap", coroutine, thread=True)
    await until(lambda: not any(t.name.startswith("hubbub") for t in threading.enumerate()))


async def test_handler_in_a_thread_that_raises_is_reported(near: Near) -> None:
    client = Client(near.url())
    seen = watch(client)

    def fail(event: Any) -> None:
        raise KeyError(event.data)

    client.on("server-message", fail, thread=True)
    async with client:
        await near.backend.send_to_all("x")
        await until(lambda: "HandlerError" in names_of(seen))
        await near.backend.send_to_all("y")
        await until(lambda: names_of(seen).count("HandlerError") == 2)


async def test_off_takes_the_oldest_of_two_registrations_of_one_handler(near: Near) -> None:
    async with connect(near.url()) as client:
        got: list[Any] = []
        handler = got.append
        client.on("server-message", handler)
        client.on("server-message", handler)
        client.off("server-message", handler)
        client.off("gap", handler)
        async with client.messages() as messages:
            await near.backend.send_to_all("x")
            await soon(anext(messages))
        assert len(got) == 1


async def test_handler_runs_in_the_context_of_its_registration(near: Near) -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="none")
    got: list[str] = []

    async def handle(_: object) -> None:
        got.append(variable.get())

    async with connect(near.url()) as client:
        variable.set("registered")
        client.on("server-message", handle)
        client.on("server-message", lambda _: got.append(variable.get()))
        client.on("server-message", lambda _: got.append(variable.get()), thread=True)
        variable.set("later")
        await near.backend.send_to_all("x")
        await until(lambda: len(got) == 3)
    assert got == ["registered"] * 3


async def test_cl_070_blocked_loop_is_told_and_the_handler_named(
    near: Near, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hubbub.client.inbox._BLOCKED_S", 0.02)
    monkeypatch.setattr("hubbub.client.driver._BLOCKED_S", 0.02)
    loop = asyncio.get_running_loop()
    loop.slow_callback_duration = 60
    loop.set_debug(True)
    try:
        client = Client(near.url, keep_alive_interval=0.01, keep_alive_timeout=5)
        seen = watch(client)
        async with client:
            client.on("server-message", lambda _: time.sleep(0.1))
            async with client.messages() as messages:
                await near.backend.send_to_all("x")
                await soon(anext(messages))
            await until(lambda: "stood still" in caplog.text)
            assert client.is_connected
        assert "Recovering" not in names_of(seen)
    finally:
        loop.set_debug(False)
    assert "a handler of 'server-message' blocked the event loop for 0.1 s" in caplog.text


# --- iterators --------------------------------------------------------------------------------


async def test_iterator_that_goes_on_for_ever_waits_for_the_next_start(near: Near) -> None:
    client = Client(near.url)
    async with client.events("connected", forever=True) as events:
        waiting = asyncio.ensure_future(anext(events))
        for _ in range(2):
            await client.start()
            await soon(waiting)
            await client.stop()
            waiting = asyncio.ensure_future(anext(events))
            await asyncio.sleep(0)
            assert not waiting.done()
        events.close()
        with pytest.raises(StopAsyncIteration):
            await soon(waiting)
    with pytest.raises(RuntimeError):
        await anext(events)
    with pytest.raises(RuntimeError):
        async with events:
            pass
    with pytest.raises(RuntimeError):
        async for _ in client.messages():
            pass
    with pytest.raises(ValueError):
        client.events("no-such-event")


async def test_cl_081_forgotten_iterator_is_told_and_closed(
    near: Near, caplog: pytest.LogCaptureFixture
) -> None:
    async with connect(near.url(), name="orders") as client:
        events = client.events()
        await events.__aenter__()
        assert len(client._dispatcher.lanes) == 1
        del events
        gc.collect()
        await until(lambda: client._dispatcher.lanes == [])
        line = next(r for r in caplog.records if "was forgotten" in r.getMessage())
        assert vars(line)["client"] == "orders"
        assert vars(line)["connection_id"] == client.connection_id
        caplog.clear()
        closed = client.events()
        await closed.__aenter__()
        await closed.aclose()
        del closed
        gc.collect()
        assert "was forgotten" not in caplog.text


# --- faults of our own ------------------------------------------------------------------------


async def test_wished_groups_survive_an_internal_error(
    near: Near, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    client = Client(near.url, recovery=QUICK)
    await client.start()
    await client.join_group("g")

    def fail(*_: object) -> None:
        raise ZeroDivisionError("a fault")

    monkeypatch.setattr(client._driver.session.operations, "on_ack", fail)
    sending = asyncio.ensure_future(client.send_to_group("g", "x"))
    stopped = await soon(client.wait_stopped())
    assert stopped is not None
    assert stopped.reason == "internal-error"
    with pytest.raises(Exception, match="stopped") as failed:
        await sending
    assert isinstance(failed.value.__cause__, ClientStoppedError)
    assert client.groups == {"g"}
    await client.start()
    assert client.joined_groups == {"g"}
    await client.stop()
    assert client.state is State.STOPPED
    assert tasks() == set()
    assert [r.levelno for r in caplog.records].count(logging.CRITICAL) == 1


async def test_disconnect_of_a_client_that_is_stopped_meanwhile_is_harmless() -> None:
    async def script(peer: Peer) -> None:
        for i in range(1, 100):
            await peer.message(i, i)

    async with Scripted(script) as service:
        from hubbub.client import BufferOptions

        client = Client(service.url, buffer=BufferOptions(max_messages=5, overflow="disconnect"))
        async with client.messages():
            await client.start()
            await soon(asyncio.gather(client.stop(), client.stop(drain=True), client.stop()))
            assert client.state is State.STOPPED


async def test_worker_that_was_closed_takes_jobs_while_an_old_one_still_runs() -> None:
    worker = Worker("hubbub test")
    has_begun, may_end = threading.Event(), threading.Event()

    def stay() -> None:
        has_begun.set()
        may_end.wait()

    old = worker.submit(stay)
    has_begun.wait()
    worker.close()
    async with asyncio.timeout(20):
        assert await worker.run(lambda: "new") == "new"
    assert not old.done()
    may_end.set()
    old.result(20)
    worker.close()
