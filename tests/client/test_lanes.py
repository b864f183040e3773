"""Handlers and iterators: whatever they do, nobody else is harmed and nothing stands still."""

import asyncio
import contextlib
from collections.abc import Awaitable
from typing import Any

import pytest
from tests.client.conftest import Near
from tests.client.scripted import Peer, Scripted
from tests.client.test_client import names_of, tasks, watch
from tests.client.test_healing import QUICK, SOON, until

from hubbub.client import BufferOptions, Client, State, SubProtocol, connect, dispatch
from hubbub.client.events import NAMES
from hubbub.protocol.errors import InvocationError
from hubbub.testing import FakePeer, FakeService


async def soon(work: Awaitable[Any]) -> Any:
    async with asyncio.timeout(20):
        return await work


# --- handlers ---------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [RuntimeError, asyncio.CancelledError, GeneratorExit])
async def test_cl_074_handlers_of_each_kind_of_event_may_raise(
    near: Near, error: type[BaseException]
) -> None:
    client = Client(near.url, recovery=QUICK, reconnect_retry=SOON)
    seen = watch(client)

    def fail(_: object) -> None:
        raise error("mine")

    async def fail_later(_: object) -> None:
        await asyncio.sleep(0)
        raise error("mine")

    on: Any = client.on
    for name in NAMES.values():
        on(name, fail)
        if error is not GeneratorExit:  # in a coroutine it means something else
            on(name, fail_later)
    await client.start()
    await client.join_group("g")
    async with client.messages() as messages:
        for i in range(3):
            await client.send_to_group("g", i)
        assert [(await soon(anext(messages))).data for _ in range(3)] == [0, 1, 2]
    near.proxy.cut()
    await until(lambda: "Recovered" in names_of(seen))
    assert client.connection_id is not None
    await near.backend.close_connection(client.connection_id)
    await until(lambda: "Gap" in names_of(seen))
    await client.stop()
    failed = {e.event for e in seen if type(e).__name__ == "HandlerErrorEvent"}
    assert {"connected", "group-message", "recovered", "disconnected", "gap", "stopped"} <= failed
    assert tasks() == set()


async def test_cl_074_handler_that_raises_cancelled_error_gets_what_is_queued(near: Near) -> None:
    async with connect(near.url()) as client:
        got: list[int] = []

        async def handle(event: Any) -> None:
            got.append(event.data)
            await until(lambda: event.data > 0 or len(registration) == 4)
            raise asyncio.CancelledError

        registration = client.on("group-message", handle)
        await client.join_group("g")
        for i in range(5):
            await client.send_to_group("g", i)
        await until(lambda: len(got) == 5)


async def test_plain_function_around_a_coroutine_is_awaited_in_order(near: Near) -> None:
    async with connect(near.url()) as client:
        order: list[int] = []

        async def handle(event: Any) -> None:
            await asyncio.sleep(0)
            order.append(event.data)

        client.on("group-message", lambda event: handle(event))
        await client.join_group("g")
        for i in range(20):
            await client.send_to_group("g", i, fire_and_forget=True)
        await until(lambda: len(order) == 20)
        assert order == list(range(20))


async def test_cl_075_cl_079_handler_may_wait_for_answers_while_its_queue_is_full(
    near: Near,
) -> None:
    async with connect(near.url(), buffer=BufferOptions(max_messages=1)) as client:
        done: list[int] = []

        async def handle(event: Any) -> None:
            await client.send_to_group("other", event.data)
            await client.join_group("other")
            with pytest.raises(InvocationError):
                await client.invoke_event("nobody-answers")
            done.append(event.data)

        client.on("group-message", handle, group="g")
        await client.join_group("g")
        for i in range(30):
            await near.backend.send_to_group("g", i)
        await until(lambda: len(done) == 30)
        assert done == list(range(30))


@pytest.mark.virtual_time
async def test_cl_079_at_the_hard_limit_the_link_is_left_until_the_queue_has_drained() -> None:
    async def script(peer: FakePeer) -> None:
        asked = await peer.read("sendToGroup")
        for i in range(1, 3_000):
            await peer.message("x" * 1_000, sequence_id=i)
        await peer.ack(asked)

    async with FakeService(script) as service:
        client = Client(service.url, buffer=BufferOptions(max_messages=10), recovery=QUICK)
        seen = watch(client)
        async with client, client.messages() as messages:
            sending = asyncio.ensure_future(client.send_to_group("g", "answered at the very end"))
            await until(lambda: "Recovering" in names_of(seen))
            assert len(messages) < 1_100
            await asyncio.sleep(10)
            assert len(service.peers) == 1, "not recovered before there is room"
            got = [(await soon(anext(messages))).sequence_id for _ in range(2_999)]
            assert got == list(range(1, 3_000))
            assert (await soon(sending)).ack_id == 1
    assert "Gap" not in names_of(seen)


async def test_cl_079_handler_whose_answer_comes_only_after_the_recovery_gets_it() -> None:
    async def overfill(peer: FakePeer) -> None:
        await peer.ack(await peer.expect("joinGroup"))
        for number in range(1100):
            await peer.message(number)
        await peer.read("never")

    async def answer(peer: FakePeer) -> None:
        await peer.ack(await peer.expect("event"))

    async with FakeService(overfill, answer) as service, Client(service.url) as client:
        seen = watch(client)
        got: list[int] = []

        async def handle(event: Any) -> None:
            if not got:
                await client.send_event("e", 1)
            got.append(event.data)

        client.on("server-message", handle, buffer=BufferOptions(max_messages=2))
        await client.join_group("g")
        await until(lambda: len(got) >= 1000)
        assert got == list(range(len(got)))
        assert [n for n in names_of(seen) if n != "SlowConsumer"] == ["Recovering", "Recovered"]


async def test_cl_076_slow_handler_of_one_group_delays_no_other(near: Near) -> None:
    async with connect(near.url()) as client:
        slow: list[int] = []
        quick: list[int] = []
        gate = asyncio.Event()

        async def wait(event: Any) -> None:
            await gate.wait()
            slow.append(event.data)

        client.on("group-message", wait, group="a")
        client.on("group-message", lambda event: quick.append(event.data), group="b")
        for group in ("a", "b"):
            await client.join_group(group)
        for i in range(100):
            for group in ("a", "b"):
                await client.send_to_group(group, i, fire_and_forget=True)
        await until(lambda: len(quick) == 100)
        assert slow == []
        gate.set()
        await until(lambda: len(slow) == 100)
        assert slow == quick == list(range(100))


async def test_cl_077_registering_and_removing_during_delivery_counts_from_the_next_event(
    near: Near,
) -> None:
    async with connect(near.url()) as client:
        added: list[Any] = []
        once: list[Any] = []
        left: list[Any] = []

        def add(event: Any) -> None:
            if event.data == 0:
                client.on("group-message", lambda later: added.append(later.data))

        def only_once(event: Any) -> None:
            once.append(event.data)
            own.close()

        async def remove_after_queueing(event: Any) -> None:
            left.append(event.data)
            await until(lambda: len(added) == 4)
            other.close()
            left.append("finished")

        client.on("group-message", add)
        own = client.on("group-message", only_once)
        other = client.on("group-message", remove_after_queueing)
        await client.join_group("g")
        for i in range(5):
            await client.send_to_group("g", i, fire_and_forget=True)
        await until(lambda: "finished" in left)
        await client.send_to_group("g", 5)
        await until(lambda: len(added) == 5)
    assert (added, once, left) == ([1, 2, 3, 4, 5], [0], [0, "finished"])


# --- stop and handlers ------------------------------------------------------------------------


async def test_cl_015_handlers_that_all_stop_the_client_do_not_wait_for_each_other(
    near: Near,
) -> None:
    client = Client(near.url(), close_timeout=60)
    ended: list[str] = []

    async def stop(_: object) -> None:
        await client.stop()
        ended.append("stop")

    async def stop_in_a_task(_: object) -> None:
        await asyncio.wait_for(client.stop(), 60)
        ended.append("task")

    for handler in (stop, stop, stop_in_a_task):
        client.on("server-message", handler)
    client.on("stopped", stop)
    await client.start()
    await near.backend.send_to_all("enough")
    await until(lambda: len(ended) == 4)
    await soon(client.stop())
    assert tasks() == set()


async def test_stop_cancels_a_handler_that_does_not_end_also_one_that_was_removed(
    near: Near,
) -> None:
    client = Client(near.url(), close_timeout=0.1)
    began: list[Any] = []

    async def never(event: Any) -> None:
        began.append(event.data)
        await asyncio.Event().wait()

    kept = client.on("server-message", never)
    removed = client.on("server-message", never)
    await client.start()
    async with client.messages() as messages:
        for i in range(2):
            await near.backend.send_to_all(i)
            await anext(messages)
        await until(lambda: len(began) == 2)
        removed.close()
    await soon(client.stop())
    assert tasks() == set()
    assert len(kept) == 0, "what was queued is dropped"
    assert began == [0, 0]


# --- iterators and back-pressure --------------------------------------------------------------


async def test_cl_078_full_queue_slows_the_service_down_and_loses_nothing() -> None:
    sent = 0

    async def script(peer: FakePeer) -> None:
        nonlocal sent
        for i in range(1, 20_001):
            await peer.message("x" * 1_000, sequence_id=i)
            sent = i

    async with FakeService(script) as service:
        client = Client(service.url, buffer=BufferOptions(max_messages=50))
        async with client.messages() as messages:
            await client.start()
            before = -1
            while before != sent:
                before = sent
                await asyncio.sleep(0.1)
            assert sent < 20_000
            assert len(messages) < 500
            got = [(await soon(anext(messages))).sequence_id for _ in range(20_000)]
            assert got == list(range(1, 20_001))
        await client.stop()


async def test_cl_078_pause_that_lasts_ends_in_a_recovery_and_loses_nothing(
    near: Near, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatch, "PAUSE_LIMIT_S", 0.05)
    client = Client(near.url, buffer=BufferOptions(max_messages=5), recovery=QUICK)
    seen = watch(client)
    async with client, client.messages(group="g") as messages:
        await client.join_group("g")
        for i in range(300):
            await near.backend.send_to_group("g", i)
        await until(lambda: "Recovering" in names_of(seen))
        got = [(await soon(anext(messages))).data for _ in range(300)]
        assert got == list(range(300))
        await until(lambda: client.is_connected)
    assert "Gap" not in names_of(seen)


async def test_cl_078_plain_client_drops_the_newest_after_a_pause_that_lasts(
    near: Near, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatch, "PAUSE_LIMIT_S", 0.05)
    buffer = BufferOptions(max_messages=5)
    client = Client(near.url(), protocol=SubProtocol.JSON, buffer=buffer)
    seen = watch(client)
    async with client, client.messages(group="g") as messages:
        await client.join_group("g")
        for i in range(300):
            await near.backend.send_to_group("g", "x" * 10_000 if i < 299 else "last")

        def dropped() -> int:
            return sum(e.dropped for e in seen if type(e).__name__ == "GapEvent")

        await until(lambda: client.stats.messages_dropped > 0)
        got = len(messages)
        for _ in range(got):
            await soon(anext(messages))
        await client.send_to_group("g", "after")
        while (await soon(anext(messages))).data != "after":
            got += 1
        assert got + client.stats.messages_dropped == 300
        assert dropped() == client.stats.messages_dropped
        assert "Disconnected" not in names_of(seen)


async def test_cl_071_pause_is_no_silence_and_pings_go_on(near: Near) -> None:
    client = Client(
        near.url,
        buffer=BufferOptions(max_messages=5),
        keep_alive_interval=0.02,
        keep_alive_timeout=0.04,
    )
    seen = watch(client)
    async with client, client.messages(group="g") as messages:
        await client.join_group("g")
        for i in range(50):
            await near.backend.send_to_group("g", i)
        await until(lambda: client._dispatcher.is_paused)
        before = client.stats.frames_out
        await until(lambda: client.stats.frames_out > before + 10)
        assert "Recovering" not in names_of(seen)
        got = [(await soon(anext(messages))).data for _ in range(50)]
        assert got == list(range(50))


async def test_cl_071_ping_of_the_service_during_a_pause_is_answered_after_it() -> None:
    is_full, answered = asyncio.Event(), asyncio.Event()

    async def script(peer: Peer) -> None:
        for number in range(1, 4):
            await peer.message(number, number)
        await is_full.wait()
        pong = await peer.socket.ping()
        is_full.clear()
        await pong
        answered.set()

    async with Scripted(script) as service:
        client = Client(service.url, buffer=BufferOptions(max_messages=2))
        seen = watch(client)
        async with client.messages() as messages, client:
            await until(lambda: client._dispatcher.is_paused)
            is_full.set()
            await until(lambda: not is_full.is_set())
            assert not answered.is_set()
            for number in range(1, 4):
                assert (await soon(anext(messages))).data == number
            await soon(answered.wait())
        assert "Recovering" not in names_of(seen)


async def test_cl_080_overflow_disconnect_stops_and_says_why(near: Near) -> None:
    client = Client(near.url(), buffer=BufferOptions(max_messages=5, overflow="disconnect"))
    seen = watch(client)
    async with client.messages(group="g") as messages:
        await client.start()
        await client.join_group("g")
        for i in range(50):
            await near.backend.send_to_group("g", i)
        stopped = await soon(client.wait_stopped())
        assert stopped is not None
        assert stopped.reason == "slow-consumer"
        assert [m.data async for m in messages] == list(range(5)), "what was queued is delivered"
    assert names_of(seen).count("Stopped") == 1


async def test_slow_consumer_is_told_at_one_half_and_at_the_limit_once_each(near: Near) -> None:
    client = Client(near.url())
    told: list[tuple[bool, int]] = []
    client.on("slow-consumer", lambda e: told.append((e.is_full, e.messages)))
    buffer = BufferOptions(max_messages=10, overflow="drop-newest")
    async with client, client.messages(group="g", buffer=buffer) as messages:
        await client.join_group("g")
        for _ in range(2):
            for i in range(15):
                await client.send_to_group("g", i)
            assert told == [(False, 5), (True, 10)]
            told.clear()
            for _ in range(10):
                await anext(messages)


async def test_stop_with_a_full_queue_still_says_goodbye(near: Near) -> None:
    client = Client(near.url(), buffer=BufferOptions(max_messages=5), close_timeout=60)
    async with client.messages(group="g") as messages:
        await client.start()
        await client.join_group("g")
        for i in range(50):
            await near.backend.send_to_group("g", i)
        await until(lambda: client._dispatcher.is_paused)
        await soon(client.stop())
        assert near.service.counts["connections.ended"] == 1
        assert len([m async for m in messages]) >= 5


async def test_cl_080_drop_oldest_counts_all_and_stays_flat_while_nobody_drains() -> None:
    async def script(peer: FakePeer) -> None:
        for i in range(1, 1_101):
            await peer.message("x" * (10 if i < 1_100 else 5_000), sequence_id=i)
        await peer.message("end", sequence_id=1_101)

    buffer = BufferOptions(max_messages=100, max_bytes=50_000, overflow="drop-oldest")
    async with FakeService(script) as service:
        client = Client(service.url)
        seen = watch(client)
        ends: list[Any] = []
        client.on("server-message", lambda e: ends.append(e.data) if e.data == "end" else None)
        async with client.messages(buffer=buffer) as messages:
            await client.start()
            await until(lambda: bool(ends))
            gaps = [e for e in seen if type(e).__name__ == "GapEvent"]
            assert gaps, "told at once, not only when the queue is empty"
            assert len(messages) <= 100
            assert messages._lane is not None
            assert messages._lane.size <= 50_000
            kept = len(messages)
            got = [(await anext(messages)).sequence_id for _ in range(kept)]
            assert got == list(range(1_102 - kept, 1_102))
        gaps = [e for e in seen if type(e).__name__ == "GapEvent"]
        assert sum(gap.dropped for gap in gaps) == 1_101 - kept
        await client.stop()


async def test_cl_081_iterators_that_are_left_in_any_way_leave_nothing(near: Near) -> None:
    async with connect(near.url(), buffer=BufferOptions(max_messages=2)) as client:
        await client.join_group("g")

        async def leave(how: str) -> None:
            async with client.messages(group="g") as messages:
                async for _ in messages:
                    if how == "break":
                        break
                    if how == "raise":
                        raise KeyError(how)
                    await asyncio.Event().wait()

        for how in ("break", "raise", "cancel"):
            leaving = asyncio.ensure_future(leave(how))
            await until(lambda: len(client._dispatcher.lanes) == 1)
            for i in range(10):
                await near.backend.send_to_group("g", i)
            if how == "cancel":
                await until(lambda: client._dispatcher.is_paused)
                leaving.cancel()
            with contextlib.suppress(KeyError, asyncio.CancelledError):
                await soon(leaving)
            assert client._dispatcher.lanes == []
            assert not client._dispatcher._full_lanes
            await soon(client.send_to_group("g", "still read"))


async def test_cl_082_iterator_goes_on_over_recovery_and_reconnect(near: Near) -> None:
    client = Client(near.url, recovery=QUICK, reconnect_retry=SOON)
    async with client, client.events("group-message", "recovered", "gap") as events:
        await client.join_group("g")
        await client.send_to_group("g", 1)
        near.proxy.cut()
        await until(lambda: client.state is not State.CONNECTED)
        await soon(client.wait_connected())
        await client.send_to_group("g", 2)
        assert client.connection_id is not None
        await near.backend.close_connection(client.connection_id)
        await until(lambda: client.state is not State.CONNECTED)
        await soon(client.wait_connected())
        await client.send_to_group("g", 3)
        got = [await soon(anext(events)) for _ in range(5)]
    told = [getattr(event, "data", type(event).__name__) for event in got]
    assert told == [1, "RecoveredEvent", 2, "GapEvent", 3]


async def test_iterator_after_the_stop_stays_at_its_end_until_the_next_start(near: Near) -> None:
    client = Client(near.url)
    async with client.messages() as messages:
        await client.start()
        waiting = [asyncio.ensure_future(anext(messages, "end")) for _ in range(2)]
        await client.stop()
        assert await soon(asyncio.gather(*waiting)) == ["end", "end"]
        assert await soon(anext(messages, "end")) == "end"
        await client.start()
        await near.backend.send_to_all("again")
        assert (await soon(anext(messages))).data == "again"
        waiting = [asyncio.ensure_future(anext(messages, "closed"))]
        await asyncio.sleep(0)
        messages.close()
        assert await soon(waiting[0]) == "closed"
    with pytest.raises(RuntimeError):
        await messages.__aenter__()
    await client.stop()
