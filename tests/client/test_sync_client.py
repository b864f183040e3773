"""The blocking twin: the same surface, from threads, and its own dangers."""

import asyncio
import inspect
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest
from tests.client.conftest import Near

from hubbub.client import Client, Portal, State
from hubbub.client.sync_client import SyncClient, connect_sync
from hubbub.protocol.errors import ClientStateError, ConnectTimeoutError, SendMessageError
from hubbub.testing import FakePeer, FakeService


async def in_thread(work: Callable[[], Any]) -> Any:
    async with asyncio.timeout(60):
        return await asyncio.to_thread(work)


def test_cl_083_signatures_are_those_of_the_asyncio_client() -> None:
    def public(kind: type) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name, member in inspect.getmembers(kind):
            if name.startswith("_") and name != "__init__":
                continue
            if isinstance(member, property):
                found[name] = "property"
            elif callable(member) and name != "__init__":
                found[name] = [
                    (p.name, p.kind, p.default)
                    for p in inspect.signature(member).parameters.values()
                ]
        return found

    ours, theirs = public(SyncClient), public(Client)
    own_of_theirs = {"stop_from", "is_handler", "is_handling", "register_streams"}
    own = {"stop_at_exit"}
    assert {k: v for k, v in ours.items() if k not in own} == {
        k: v for k, v in theirs.items() if k not in own_of_theirs
    }


async def test_with_block_starts_and_gives_the_client(near: Near) -> None:
    url = near.url()

    def work() -> None:
        with connect_sync(url) as client:
            assert isinstance(client, SyncClient)
            assert client.is_connected
            assert (client.user_id, bool(client.connection_id)) == ("u1", True)
            assert client.join_group("g").ack_id == 1
            assert client.groups == client.joined_groups == {"g"}
        assert client.state is State.STOPPED

    await in_thread(work)
    assert not [t for t in threading.enumerate() if t.name.startswith("hubbub")]


async def test_messages_come_in_order_to_iterators_and_handlers(near: Near) -> None:
    url = near.url()

    def work() -> None:
        with connect_sync(url) as client:
            got: list[Any] = []
            done = threading.Event()

            @client.on("group-message")
            def handle(event: Any) -> None:
                client.send_to_group("other", event.data)  # an own call inside a handler
                got.append(event.data)
                if len(got) == 50:
                    done.set()

            client.join_group("g")
            with client.messages(group="g") as messages:
                for i in range(50):
                    client.send_to_group("g", i, fire_and_forget=True)
                assert [next(messages).data for _ in range(50)] == list(range(50))
                with pytest.raises(queue.Empty):
                    messages.get(timeout=0.01)
            assert done.wait(30)
            assert got == list(range(50))

    await in_thread(work)


async def test_many_threads_may_send_at_once(near: Near) -> None:
    url = near.url()

    def work() -> None:
        with connect_sync(url) as client:
            ids: list[int | None] = []

            def send() -> None:
                ids.extend(client.send_to_group("g", i).ack_id for i in range(20))

            threads = [threading.Thread(target=send) for _ in range(8)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert len(set(ids)) == 160

    await in_thread(work)


async def test_errors_come_out_as_they_are(near: Near) -> None:
    url = near.url(roles=())

    def work() -> None:
        client = SyncClient(url)
        with pytest.raises(ClientStateError):
            client.join_group("g")
        with client:
            with pytest.raises(SendMessageError) as refused:
                client.join_group("g")
            assert refused.value.error_name == "Forbidden"
            with pytest.raises(TypeError):
                client.on("connected", _coroutine)

    await in_thread(work)


async def _coroutine(_: object) -> None:
    pass


async def test_cl_084_handler_may_stop_the_client(near: Near) -> None:
    url = near.url()

    def work() -> None:
        client = SyncClient(url, close_timeout=30)
        stopped = threading.Event()

        def stop(_: object) -> None:
            client.stop()
            stopped.set()

        client.on("server-message", stop)
        client.start()
        asyncio.run_coroutine_threadsafe(near.backend.send_to_all("enough"), loop)
        assert stopped.wait(25), "it waited for itself"
        assert client.state is State.STOPPED
        client.stop()

    loop = asyncio.get_running_loop()
    await in_thread(work)


async def test_iterator_ends_when_the_client_is_stopped(near: Near) -> None:
    url = near.url()

    def work() -> None:
        client = SyncClient(url)
        client.start()
        with client.events("stopped") as events:
            threading.Timer(0.05, client.stop).start()
            assert [type(event).__name__ for event in events] == ["StoppedEvent"]

    await in_thread(work)


async def test_calls_of_a_stopped_client_leave_no_thread_behind(near: Near) -> None:
    url = near.url()

    def work() -> None:
        before = set(threading.enumerate())
        got: queue.Queue[str] = queue.Queue()
        client = SyncClient(url)
        registration = client.on("stopped", lambda event: got.put(event.reason))
        assert set(threading.enumerate()) == before
        for _ in range(2):
            with client, client.events("stopped") as events:
                client.stop()
                assert got.get(timeout=20) == "requested"
                assert [type(event).__name__ for event in events] == ["StoppedEvent"]
        with pytest.raises(ClientStateError):
            client.join_group("g")
        client.wait_stopped()
        registration.close()
        left = set(threading.enumerate()) - before
        assert not [thread for thread in left if thread.name == "hubbub client"]

    await in_thread(work)


async def test_call_of_a_stopped_client_that_still_waits_keeps_the_thread(near: Near) -> None:
    url = near.url()

    def work() -> None:
        client = SyncClient(url)
        got: queue.Queue[object] = queue.Queue()
        with client.events("stopped", forever=True) as events:
            waiting = threading.Thread(target=lambda: got.put(events.get(timeout=20)))
            waiting.start()
            while not client._portal.is_running:
                pass
            with pytest.raises(ClientStateError):
                client.join_group("g")
            assert got.empty()
            client.start()
            client.stop()
            assert got.get(timeout=20) is not None
            waiting.join(20)

    await in_thread(work)


async def test_call_that_comes_while_the_thread_ends_is_not_left_waiting(near: Near) -> None:
    url = near.url()

    def work() -> None:
        client = SyncClient(url)
        client.start()
        ended: list[BaseException] = []

        def wait() -> None:
            try:
                client._portal.call(asyncio.Event().wait())
            except ClientStateError as error:
                ended.append(error)

        waiting = threading.Thread(target=wait, daemon=True)
        waiting.start()
        waiting.join(0.05)
        client.stop()
        waiting.join(20)
        assert len(ended) == 1

    await in_thread(work)


async def test_call_in_the_loop_thread_says_what_is_wrong(near: Near) -> None:
    url = near.url()

    def work() -> None:
        with connect_sync(url) as client:

            async def inside() -> None:
                client.join_group("g")

            with pytest.raises(RuntimeError, match="own thread"):
                client._portal.call(inside())

    await in_thread(work)


async def test_callback_in_the_loop_thread_cannot_end_the_loop() -> None:
    async def refuse(peer: FakePeer) -> None:
        await peer.read()  # and say nothing

    async with FakeService(refuse) as service:
        url = service.url

        def work() -> None:
            with connect_sync(url) as client:
                with pytest.raises(RuntimeError, match="own thread"):
                    asyncio.run_coroutine_threadsafe(inside(client), loop_of(client)).result(20)
                assert client.is_connected

        async def inside(client: SyncClient) -> None:
            client.stop()

        await in_thread(work)


def loop_of(client: SyncClient) -> asyncio.AbstractEventLoop:
    loop = client._portal._loop
    assert loop is not None
    return loop


async def test_client_that_does_not_run_has_no_thread(near: Near) -> None:
    url = near.url()

    def count() -> int:
        return sum(t.name.startswith("hubbub") for t in threading.enumerate())

    def work() -> None:
        client = SyncClient(url)
        before = count()
        heard: list[Any] = []
        registration = client.on("connected", heard.append)
        stopped = client.on("stopped", heard.append)
        client.on_group_stream(heard.append)
        assert count() == before
        with client, client.messages() as messages:
            pass
        assert count() == before
        assert len(heard) == 2
        registration.close()
        stopped.close()
        client.off("connected", heard.append)
        assert (client.groups, len(messages)) == (frozenset(), 0)
        assert count() == before

    await in_thread(work)


@pytest.mark.parametrize("forever", [False, True])
async def test_iterator_goes_on_after_a_stop_and_a_start(near: Near, forever: bool) -> None:
    url = near.url

    def work() -> None:
        client = SyncClient(url)
        with client.messages(forever=forever) as messages:
            for number in range(2):
                client.start()
                with pytest.raises(queue.Empty):
                    messages.get(timeout=0.01)
                client.join_group("g")
                client.send_to_group("g", number)
                assert messages.get(timeout=20).data == number
                client.leave_group("g")
                client.stop()

    await in_thread(work)


async def test_streams_are_read_on_after_a_stop_and_a_start(near: Near) -> None:
    url = near.url

    def work() -> None:
        client = SyncClient(url)
        with client.group_streams() as streams:
            for number in range(2):
                client.start()
                with pytest.raises(queue.Empty):
                    streams.get(timeout=0.01)
                client.join_group("g")
                with client.open_group_stream("g") as writer:
                    writer.write(number)
                assert [part.data for part in streams.get(timeout=20)] == [number]
                client.stop()
                assert list(streams) == []

    await in_thread(work)


async def test_portal_is_shared_by_clients_and_closed_by_its_owner(near: Near) -> None:
    urls = [near.url(), near.url()]

    def work() -> None:
        with Portal() as portal:
            with (
                connect_sync(urls[0], portal=portal) as a,
                connect_sync(urls[1], portal=portal) as b,
            ):
                a.join_group("g")
                b.join_group("g")
                with b.messages(group="g") as messages:
                    a.send_to_group("g", "hello")
                    assert messages.get(timeout=20).data == "hello"
                names = [t.name for t in threading.enumerate()]
                assert names.count("hubbub client") == 1
            assert portal.is_running
        assert not portal.is_running
        assert a.state is State.STOPPED
        portal.close()
        with pytest.raises(ClientStateError):
            a.join_group("g")
        portal.close()

    await in_thread(work)


async def test_everything_of_the_asyncio_client_is_there(near: Near) -> None:
    url = near.url()

    def work() -> None:
        client = connect_sync(url, name="twin")
        assert client.stats.frames_in == 0
        with pytest.raises(ConnectTimeoutError):
            SyncClient(lambda: str(threading.Event().wait()), start_timeout=0.05).start()
        names = [thread.name for thread in threading.enumerate()]
        assert "hubbub client" not in names
        client.start(timeout=20)
        client.wait_connected(timeout=20)
        assert client.ping() > 0
        assert client.stats.frames_out >= 1
        got: list[Any] = []
        first = client.on("server-message", got.append)
        with pytest.raises(TypeError):
            client.on("server-message", asyncio.sleep)  # type: ignore[call-overload]
        with pytest.raises(ValueError):
            client.on("no-such-event", print)  # type: ignore[call-overload]

        @client.on("stopped")
        def stopped(event: Any) -> None:
            got.append(event.reason)

        client.off("server-message", got.append)
        first.close()
        with client.events("stopped", forever=True) as events:
            client.stop(drain=True, timeout=20)
            assert len(events) == 1
        assert got == ["requested"]

    await in_thread(work)


async def test_slow_handler_holds_up_neither_others_nor_the_reader(near: Near) -> None:
    url = near.url()

    def work() -> None:
        go_on = threading.Event()
        slow: list[int] = []
        quick: queue.Queue[int] = queue.Queue()

        def wait(event: Any) -> None:
            go_on.wait(20)
            slow.append(event.data)

        with connect_sync(url) as client:
            client.on("group-message", wait, max_concurrency=1)
            client.on("group-message", lambda e: quick.put(e.data))
            client.join_group("g")
            for i in range(20):
                client.send_to_group("g", i)
            assert [quick.get(timeout=20) for _ in range(20)] == list(range(20))
            assert slow == []
            go_on.set()
        assert slow == list(range(20))
        assert client._portal.is_running is False

    await in_thread(work)


async def test_handler_of_one_client_may_stop_another(near: Near) -> None:
    urls = [near.url(), near.url()]

    def work() -> None:
        done = threading.Event()
        with connect_sync(urls[0]) as first, connect_sync(urls[1]) as second:

            def handle(_: object) -> None:
                second.stop()
                done.set()

            first.on("group-message", handle)
            first.join_group("g")
            first.send_to_group("g", "stop the other one")
            assert done.wait(20)
            assert second.state is State.STOPPED
            assert first.is_connected

    await in_thread(work)


PROGRAM = """
import sys, threading
from hubbub.client.sync_client import SyncClient
client = SyncClient(sys.argv[1])
client.start()
print("started", flush=True)
{then}
"""


async def run(near: Near, then: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", PROGRAM.format(then=then), near.url()]
    process = await asyncio.to_thread(
        lambda: subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    )
    assert process.stdout is not None
    assert await in_thread(process.stdout.readline) == "started\n"
    return process


async def test_cl_084_interpreter_exit_says_goodbye_by_itself(near: Near) -> None:
    process = await run(near, "")
    _, err = await in_thread(process.communicate)
    assert (process.returncode, err) == (0, "")
    assert near.service.counts["connections.ended"] == 1


async def test_cl_084_handler_that_never_ends_does_not_hold_up_the_exit(near: Near) -> None:
    then = """
begun = threading.Event()
def hang(_):
    begun.set()
    threading.Event().wait()
client.on("group-message", hang)
client.join_group("g")
client.send_to_group("g", "x")
begun.wait()
"""
    process = await run(near, then)
    _, err = await in_thread(process.communicate)
    assert (process.returncode, err) == (0, "")
    assert near.service.counts["connections.ended"] == 1


async def test_cl_084_ctrl_c_ends_a_waiting_call(near: Near) -> None:
    then = """
with client.messages() as messages:
    try:
        print("waiting", flush=True)
        messages.get()
    except KeyboardInterrupt:
        print("interrupted", client.is_connected)
client.stop()
"""
    process = await run(near, then)
    assert process.stdout is not None
    assert await in_thread(process.stdout.readline) == "waiting\n"
    process.send_signal(signal.SIGINT)
    out, err = await in_thread(process.communicate)
    assert (out, err, process.returncode) == ("interrupted True\n", "", 0)


async def test_cl_084_forked_child_is_told_to_make_its_own(near: Near) -> None:
    then = """
import os
pid = os.fork()
if pid == 0:
    try:
        client.join_group("g")
    except RuntimeError as error:
        os._exit(0 if "forked" in str(error) else 3)
    os._exit(4)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
client.stop()
"""
    process = await run(near, then)
    out, err = await in_thread(process.communicate)
    assert (out, err, process.returncode) == ("0\n", "", 0)
