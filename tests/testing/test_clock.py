"""Virtual time: what waits takes none, what is under way is never overtaken."""

import asyncio
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Executor, Future
from typing import Any

import pytest

from hubbub import clock, connect_sync
from hubbub.client import State
from hubbub.testing import Hub, VirtualTimeLoop, run_virtual, virtual_clock
from hubbub.testing.plugin import Hubbub

virtual_time = pytest.mark.virtual_time


@virtual_time
async def test_sleeping_takes_no_time_and_keeps_the_order_of_timers(hubbub: Hubbub) -> None:
    began = time.monotonic()
    woken: list[int] = []

    async def sleeper(seconds: int) -> None:
        await asyncio.sleep(seconds)
        woken.append(seconds)

    async with asyncio.TaskGroup() as tasks:
        for seconds in (3600, 1, 60):
            tasks.create_task(sleeper(seconds))
    assert woken == [1, 60, 3600]
    assert hubbub.clock.time() == 3600
    assert time.monotonic() - began < 600


@virtual_time
async def test_timeout_fires_at_its_moment() -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(30):
            await asyncio.Event().wait()
    assert asyncio.get_running_loop().time() == 30


@virtual_time
async def test_idle_hour_with_service_and_client_loses_nothing(hubbub: Hubbub) -> None:
    settings = {"web_socket_keep_alive_interval_s": 120}
    async with hubbub.hub(settings=settings) as hub, hub.client() as client:
        connection = client.connection_id
        async with client.events() as events:
            await asyncio.sleep(3600)
            await hub.backend.send_to_all("still there")
            assert (await anext(events)).data == "still there"
        assert client.connection_id == connection
        assert hub.service.counts["connections.opened"] == 1
        assert "connections.lost" not in hub.service.counts
        assert hubbub.clock.time() == 3600


@virtual_time
async def test_recovery_window_of_the_service_ends_in_virtual_time(hubbub: Hubbub) -> None:
    async with hubbub.hub() as hub, hub.client() as client:
        await client.join_group("g")
        async with client.events("recovering", "disconnected", "gap") as events:
            hub.proxy.is_refusing = True
            hub.cut()
            assert type(await anext(events)).__name__ == "RecoveringEvent"
            assert type(await anext(events)).__name__ == "DisconnectedEvent"
            assert 30 <= hubbub.clock.time() < 32
            hub.proxy.is_refusing = False
            assert type(await anext(events)).__name__ == "GapEvent"
        assert client.state is State.CONNECTED


@virtual_time
async def test_token_expires_in_virtual_time_but_its_connection_stays(hubbub: Hubbub) -> None:
    async with hubbub.hub() as hub:
        url = hub.url()
        async with hub.client() as client:
            await asyncio.sleep(2 * 3600)
            await client.send_to_group("g", "x")  # the token of this one expired too
        with pytest.raises(Exception, match="401"):
            await hub.client(credential=url).start()


def test_time_stands_still_while_anything_is_on_its_way_200_times() -> None:
    """A timer of 1 ms is always pending: a moment with nothing to read would let it fire."""

    async def exchange() -> float:
        loop = asyncio.get_running_loop()
        timer = loop.call_later(0.001, lambda: None)
        async with Hub() as hub, hub.client(groups=["g"]) as client:
            async with client.messages() as messages:
                for size in (1, 70_000, 900_000):
                    await hub.backend.send_to_group("g", "x" * size)
                    assert len((await anext(messages)).data) == size
                hub.cut()
                await client.send_to_group("g", "back")
                assert (await anext(messages)).data == "back"
        timer.cancel()
        return loop.time()

    assert [run_virtual(exchange()) for _ in range(200)] == [0.0] * 200


@virtual_time
async def test_time_stands_still_while_a_thread_works(hubbub: Hubbub) -> None:
    go = threading.Event()
    ticks: list[float] = []
    asyncio.get_running_loop().call_later(3600, ticks.append, 1)
    work = asyncio.ensure_future(asyncio.to_thread(go.wait, 60))
    await asyncio.to_thread(time.sleep, 0.01)
    assert not work.done()
    assert await asyncio.to_thread(clock.monotonic) == 0
    assert hubbub.clock.time() == 0
    go.set()
    assert await work
    assert ticks == []


@virtual_time
async def test_work_in_another_kind_of_executor_is_handed_over_as_it_is() -> None:
    """A pool of processes can only take what can be pickled."""
    taken: list[object] = []

    class Elsewhere(Executor):
        def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
            taken.append(fn)
            done: Future[Any] = Future()
            done.set_result(fn(*args))
            return done

    loop = asyncio.get_running_loop()
    assert await loop.run_in_executor(Elsewhere(), abs, -3) == 3
    assert taken == [abs]


@virtual_time
async def test_blocking_client_in_a_thread_gets_the_time_it_needs(hubbub: Hubbub) -> None:
    async with hubbub.hub() as hub:

        def talk(url: str) -> list[object]:
            with connect_sync(url) as client, client.messages() as messages:
                client.join_group("g")
                client.send_to_group("g", "from a thread")
                return [next(iter(messages)).data]

        assert await asyncio.to_thread(talk, hub.url()) == ["from a thread"]
        assert hubbub.clock.time() < 5


@virtual_time
async def test_held_clock_runs_in_real_time(hubbub: Hubbub) -> None:
    with hubbub.clock.held():
        began = time.monotonic()
        await asyncio.sleep(0.02)
        assert time.monotonic() - began >= 0.019
    assert hubbub.clock.time() == pytest.approx(0.02)


@virtual_time
async def test_suspended_machine_moves_two_clocks_and_no_timer(hubbub: Hubbub) -> None:
    wall, boot, loop = clock.wall(), clock.boottime(), clock.monotonic()
    hubbub.clock.suspend(900)
    assert (clock.wall() - wall, clock.boottime() - boot) == pytest.approx((900, 900))
    assert clock.monotonic() == loop == asyncio.get_running_loop().time()
    with pytest.raises(ValueError):
        hubbub.clock.suspend(-1)


@virtual_time
async def test_cl_069_client_that_slept_too_long_reconnects(hubbub: Hubbub) -> None:
    async with hubbub.hub() as hub, hub.client() as client:
        async with client.events("disconnected", "connected") as events:
            hubbub.clock.suspend(900)
            hub.cut()
            await hub.lose_sessions()
            assert type(await anext(events)).__name__ == "DisconnectedEvent"
            assert type(await anext(events)).__name__ == "ConnectedEvent"
        assert hubbub.clock.time() <= 12


@virtual_time
async def test_cl_070_wall_clock_that_is_set_changes_nothing(hubbub: Hubbub) -> None:
    async with hubbub.hub() as hub, hub.client() as client:
        heard: list[object] = []
        for event in ("recovering", "disconnected", "gap"):
            client.on(event, heard.append)
        for day in (1, -1):
            hubbub.clock.set_wall(clock.wall() + day * 86_400)
            await asyncio.sleep(60)
            await client.send_to_group("g", "x")
        assert heard == []


def test_run_virtual_gives_the_result_and_no_other_loop_is_touched() -> None:
    async def main() -> float:
        await asyncio.sleep(86_000)
        return virtual_clock().time()

    assert run_virtual(main()) == 86_000
    assert abs(clock.wall() - time.time()) < 60
    assert not clock._clocks


def test_what_waits_for_ever_ends_with_a_word() -> None:
    async def main() -> None:
        while True:
            await asyncio.sleep(60)

    with pytest.raises(RuntimeError, match="waits for what never"):
        run_virtual(main(), limit_s=3600)


async def test_clock_of_a_loop_in_real_time_is_refused(hubbub: Hubbub) -> None:
    with pytest.raises(RuntimeError, match="virtual_time"):
        _ = hubbub.clock


@pytest.fixture
def own_loop() -> Iterator[VirtualTimeLoop]:
    loop = VirtualTimeLoop()
    yield loop
    loop.close()


def test_loop_by_itself(own_loop: VirtualTimeLoop) -> None:
    own_loop.run_until_complete(asyncio.sleep(5))
    assert own_loop.time() == own_loop.clock.time() == 5


def test_cleanup_after_the_limit_may_take_time() -> None:
    """Else what an endless test had open would end in the next one."""
    closed_at: list[float] = []

    async def main() -> None:
        try:
            while True:
                await asyncio.sleep(50)
        finally:
            await asyncio.sleep(5)
            closed_at.append(virtual_clock().time())

    with pytest.raises(RuntimeError, match="100 s of virtual time are over"):
        run_virtual(main(), limit_s=100)
    assert closed_at == [155]
