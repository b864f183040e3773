"""Faults that other clients have when they start, stop and are started again.

docs/known-faults.md tells each fault. On real sockets: here the fault is in tasks and threads.
"""

import asyncio
import dataclasses
import gc
import socket
import threading
from pathlib import Path
from typing import Any

import pytest
from tests.client.certificates import make_certificate
from tests.client.scripted import Peer, Scripted
from tests.client.test_client import names_of, tasks, watch
from tests.client.test_healing import QUICK, until

from hubbub.client import (
    BufferOptions,
    Client,
    RecoveryOptions,
    RetryOptions,
    SequenceAckOptions,
    State,
    SubProtocol,
    SyncClient,
    TransportOptions,
    connect_sync,
)
from hubbub.protocol.errors import ClientStoppedError, ConnectError
from hubbub.testing import Hub

AT_ONCE = RetryOptions(None, 0.001, 0.001, "exponential", 1.0)


async def nothing(_: Peer) -> None:
    pass


# --- start ------------------------------------------------------------------------------------


async def test_f10_blocking_with_block_gives_the_client() -> None:
    def use(url: str) -> None:
        with SyncClient(url) as client:
            assert isinstance(client, SyncClient)
            assert client.is_connected
        with connect_sync(url) as client:
            assert client.is_connected

    async with Scripted(nothing) as service:
        await asyncio.to_thread(use, service.url)


async def test_f15_start_waits_for_the_connected_message() -> None:
    go_on = asyncio.Event()
    async with Scripted(nothing, connected_after=go_on) as service:
        client = Client(service.url)
        starting = asyncio.ensure_future(client.start())
        await until(lambda: service.peers)
        await until(lambda: client._driver.session._link.step.value == "connected")
        assert not starting.done()
        assert client.connection_id is None
        go_on.set()
        await starting
        assert client.connection_id == "c1"
        await client.stop()


def test_f31_options_cannot_be_changed_nor_be_nonsense() -> None:
    for options in (
        RetryOptions(), RecoveryOptions(), SequenceAckOptions(), BufferOptions(), TransportOptions()
    ):  # fmt: skip
        name = dataclasses.fields(options)[0].name
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(options, name, 1)
    for wrong in (-1, -0.5):
        with pytest.raises(ValueError):
            RetryOptions(delay=wrong)
        with pytest.raises(ValueError):
            Client("ws://127.0.0.1/", keep_alive_interval=wrong)
    shared: dict[str, Any] = {"message_retry": RetryOptions(5), "recovery": RecoveryOptions(7)}
    before = repr(shared)
    Client("ws://127.0.0.1/", **shared)
    Client("ws://127.0.0.1/", **shared)
    assert repr(shared) == before


# --- stop -------------------------------------------------------------------------------------


@pytest.mark.parametrize("turns", range(20))
async def test_f12_stop_at_any_point_of_the_start_leaves_nothing(turns: int) -> None:
    """`turns`: so often the event loop went round between the two calls."""
    async with Scripted(nothing) as service:
        client = Client(service.url)
        starting = asyncio.ensure_future(client.start())
        for _ in range(turns + 1):
            await asyncio.sleep(0)
        async with asyncio.timeout(20):
            await client.stop()
            try:
                await starting
            except ClientStoppedError:
                pass
            assert client.state is State.STOPPED
            await until(lambda: tasks() == set())
            for peer in service.peers:
                await peer.socket.wait_closed()
            made = len(service.peers)
            await client.start()  # it may be used again, also the number of its socket
        assert len(service.peers) == made + 1
        await client.stop()


@pytest.mark.parametrize("state", [State.RECOVERING, State.RECONNECTING])
async def test_f17_stopped_client_never_comes_back(state: State) -> None:
    protocol = SubProtocol.JSON_RELIABLE if state is State.RECOVERING else SubProtocol.JSON
    async with Hub() as hub:
        client = hub.client(protocol=protocol)
        seen = watch(client)
        await client.start()
        hub.proxy.is_refusing = True
        hub.cut()
        await until(lambda: client.state is state)
        await client.stop()
        hub.proxy.is_refusing = False
        assert names_of(seen)[-2:] == ["Disconnected", "Stopped"]
        await until(lambda: tasks() == set())
        assert client._driver._timer is None, "nothing is left that could bring it back"
        assert all(link.task is None or link.task.done() for link in client._driver.links.values())


@pytest.mark.parametrize("switch", ["is_silent", "is_deaf", "is_mute"])
async def test_f43_stop_does_not_wait_for_a_peer_that_says_nothing(switch: str) -> None:
    async with Hub() as hub:
        client = hub.client(close_timeout=0.1)
        await client.start()
        setattr(hub.proxy, switch, True)
        async with asyncio.timeout(20):
            await client.stop()
        assert client.state is State.STOPPED
        setattr(hub.proxy, switch, False)
        await until(lambda: tasks() == set())


async def test_f11_handlers_are_held_finish_and_may_stop_the_client() -> None:
    """Three faults in one: handlers lost to the garbage collector, cut after a second, waiting
    for themselves."""
    go_on = asyncio.Event()
    begun: list[str] = []
    done: list[str] = []
    async with Hub() as hub:
        client = hub.client()

        async def slow(_: object) -> None:
            begun.append("slow")
            await go_on.wait()
            done.append("slow")

        async def stopping(_: object) -> None:
            begun.append("stopping")
            await go_on.wait()
            await client.stop()
            done.append("stopping")

        client.on("server-message", slow)
        client.on("server-message", stopping)
        await client.start()
        await client.stop()
        await client.start()  # the fault appears after a restart
        await hub.backend.send_to_all("x")
        await until(lambda: len(begun) == 2)
        for _ in range(3):
            gc.collect()
            await asyncio.sleep(0)
        go_on.set()
        async with asyncio.timeout(20):
            await until(lambda: len(done) == 2)
        assert client.state is State.STOPPED


async def test_f46_blocking_client_stops_in_a_handler_and_leaves_no_thread() -> None:
    def ours() -> set[str]:
        return {t.name for t in threading.enumerate() if t.name.startswith("hubbub")}

    def use(url: str) -> None:
        stopped = threading.Event()
        client = SyncClient(url)

        def stop(_: object) -> None:
            client.stop()
            stopped.set()

        client.on("server-message", stop)
        client.start()
        assert stopped.wait(20)
        client.stop()

    def fail(url: str) -> None:
        client = SyncClient(url)
        with pytest.raises(ConnectError):
            client.start()
        client.stop()

    async def greet(peer: Peer) -> None:
        await peer.message(1, "x")

    async with Scripted(greet) as service:
        await asyncio.to_thread(use, service.url)
        url = service.url
    await asyncio.to_thread(fail, url)  # nobody is there any more
    await until(lambda: not ours())


# --- ends of the link that only a socket has ----------------------------------------------------


@pytest.mark.parametrize("end", ["end of stream", "reset"])
async def test_f40_end_of_a_tls_link_without_a_close_is_a_loss_and_does_not_spin(
    end: str, tmp_path: Path
) -> None:
    server_side, client_side = make_certificate(tmp_path)

    async def script(peer: Peer) -> None:
        if len(service.peers) > 1:
            return
        if end == "reset":
            peer.socket.transport.abort()
        else:  # below TLS, so without its goodbye
            peer.socket.transport.get_extra_info("socket").shutdown(socket.SHUT_WR)

    transport = TransportOptions(ssl_context=client_side)
    async with Scripted(script, ssl_context=server_side) as service:
        client = Client(service.url, recovery=QUICK, transport=transport)
        seen = watch(client)
        await client.start()
        await until(lambda: "Recovered" in names_of(seen))
        assert names_of(seen) == ["Connected", "Recovering", "Recovered"]
        await client.stop()


@pytest.mark.parametrize("switch", ["is_silent", "is_deaf", "is_mute"])
async def test_f37_half_open_link_is_cut_and_recovered(switch: str) -> None:
    async with Hub() as hub:
        client = hub.client(keep_alive_interval=0.1, keep_alive_timeout=0.2)
        seen = watch(client)
        async with client:
            before = client.connection_id
            setattr(hub.proxy, switch, True)
            await until(lambda: "Recovering" in names_of(seen))
            setattr(hub.proxy, switch, False)
            await until(lambda: "Recovered" in names_of(seen))
            assert client.connection_id == before


async def test_f35_two_hundred_connections_leave_as_many_tasks_as_one() -> None:
    async def script(peer: Peer) -> None:
        if len(service.peers) <= 200:
            peer.socket.transport.abort()

    async with Scripted(script) as service:
        at_start = len(asyncio.all_tasks())
        client = Client(service.url, protocol=SubProtocol.JSON, reconnect_retry=AT_ONCE)
        await client.start()
        async with asyncio.timeout(60):
            await until(lambda: len(service.peers) == 201 and client.is_connected)
        assert len(client._driver.links) == 1
        assert len(tasks()) <= 1
        await client.stop()
        await until(lambda: tasks() == set())
        await until(lambda: len(asyncio.all_tasks()) <= at_start)
