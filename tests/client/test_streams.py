"""Group streams of the client: with a scripted service, and with a real one."""

import asyncio
import gc
import queue
import threading
import weakref
from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.client.scripted import Peer, Scripted
from tests.client.test_client import names_of, watch

from hubbub.client import (
    BufferOptions,
    Client,
    GroupStream,
    RecoveryOptions,
    SlowConsumerEvent,
    State,
    StreamClosedError,
    StreamError,
    StreamTimeoutError,
    SyncGroupStream,
    connect_sync,
)
from hubbub.protocol.errors import ClientStateError
from hubbub.testing import FakePeer, FakeService, Hub

LIMIT_S = 60


@pytest.fixture
async def hub() -> AsyncIterator[Hub]:
    async with Hub() as hub:
        yield hub


async def joined(stream: GroupStream) -> str:
    return "".join([part.data async for part in stream])


async def error_of(stream: GroupStream) -> StreamError:
    with pytest.raises(StreamError) as caught:
        await joined(stream)
    return caught.value


async def until(condition: Any) -> None:
    """Outcome that nothing tells of: look after each turn of the loop."""
    async with asyncio.timeout(LIMIT_S):
        while not condition():
            await asyncio.sleep(0.001)


# --- with a real service ------------------------------------------------------------------------


async def test_cl_090_stream_reaches_the_members_whole(hub: Hub) -> None:
    async with hub.client(user_id="u1") as publisher, hub.client() as member:
        await member.join_group("g")
        async with member.group_streams("g", from_start=True) as streams:
            async with publisher.open_group_stream("g", stream_id="s1") as writer:
                assert (writer.group, writer.stream_id, writer.closed) == ("g", "s1", False)
                await writer.write("hello ", "text")
                await writer.write("big ")
                await writer.write("world")
            assert writer.closed
            assert writer.error is None
            stream = await anext(streams)
            assert (stream.group, stream.stream_id, stream.from_user_id) == ("g", "s1", "u1")
            assert await joined(stream) == "hello big world"
            assert not stream.is_active
            async with publisher.open_group_stream("g", stream_id="s1") as writer:
                await writer.write({"a": [1]})
                await writer.write(b"\x00\xff")
            parts = [part async for part in await anext(streams)]
            assert [part.data for part in parts] == [{"a": [1]}, b"\x00\xff"]
            assert [part.data_type.value for part in parts] == ["json", "binary"]
            assert [part.stream.sequence_id for part in parts] == [1, 2]


async def test_cl_090_refused_start_is_an_error_with_the_name(hub: Hub) -> None:
    async with hub.client(roles=()) as publisher:
        for _ in range(2):
            with pytest.raises(StreamError) as caught:
                await publisher.open_group_stream("g", stream_id="s1")
            assert (caught.value.name, caught.value.stream_id) == ("Forbidden", "s1")
            assert not isinstance(caught.value, StreamClosedError)


async def test_cl_092_cut_links_lose_and_double_no_part(hub: Hub) -> None:
    async with hub.client() as publisher, hub.client() as member:
        await member.join_group("g")
        numbers = list(range(300))
        async with member.group_streams() as streams:
            async with publisher.open_group_stream("g", max_unacked=20) as writer:
                for number in numbers:
                    if number % 50 == 25:
                        hub.cut()
                    await writer.write(number)
            stream = await anext(streams)
            async with asyncio.timeout(LIMIT_S):
                assert [part.data async for part in stream] == numbers
        assert hub.proxy.cuts >= 6


async def test_cl_093_lost_session_ends_writers_and_readers(hub: Hub) -> None:
    async with hub.client() as client:
        await client.join_group("g")
        async with client.group_streams() as streams:
            writer = await client.open_group_stream("g")
            errors: list[StreamError] = []
            writer.on_error(errors.append)
            await writer.write("a")
            stream = await anext(streams)
            await hub.lose_sessions()
            assert (await error_of(stream)).name == "ConnectionLost"
            await writer.wait_closed()
            for call in (writer.write("b"), writer.keep_alive(), writer.end()):
                with pytest.raises(StreamError) as caught:
                    await call
                assert caught.value.name == "ConnectionLost"
            assert [error.name for error in errors] == ["ConnectionLost"]
            writer.on_error(errors.append)
            assert len(errors) == 2, "who comes late hears at once"
            await client.wait_connected()
            async with client.open_group_stream("g") as writer:
                await writer.write("again")
            assert await joined(await anext(streams)) == "again", "the reader goes on"


async def test_error_in_the_block_is_told_to_the_members(hub: Hub) -> None:
    async with hub.client() as client:
        await client.join_group("g")
        async with client.group_streams() as streams:
            with pytest.raises(LookupError, match="mine"):
                async with client.open_group_stream("g") as writer:
                    await writer.write("a")
                    raise LookupError("mine")
            assert writer.closed
            stream = await anext(streams)
            assert (await anext(stream)).data == "a"
            error = await error_of(stream)
            assert error.name == "UserError"
            assert "mine" not in str(error)


async def test_abort_tells_message_and_code(hub: Hub) -> None:
    async with hub.client() as client:
        await client.join_group("g")
        async with client.group_streams() as streams:
            async with client.open_group_stream("g") as writer:
                await writer.write("a")
                with pytest.raises(ValueError, match="1024"):
                    await writer.abort("x" * 1025)
                await writer.abort("source failed", "E42")
                with pytest.raises(StreamClosedError):
                    await writer.write("b")
                with pytest.raises(StreamClosedError):
                    await writer.keep_alive()
            error = await error_of(await anext(streams))
            assert (error.name, error.message) == ("UserError", "source failed")
            assert error.user_error_code == "E42"
            async with client.open_group_stream("g") as writer:
                await writer.end()
                with pytest.raises(StreamClosedError):
                    await writer.write("b")


async def test_handler_gets_each_stream_and_many_at_once(hub: Hub) -> None:
    async with hub.client() as client:
        await client.join_group("g")
        together = asyncio.Barrier(3)
        got: list[str] = []

        async def handle(stream: GroupStream) -> None:
            async with asyncio.timeout(LIMIT_S):
                await together.wait()
            got.append(await joined(stream))

        with client.on_group_stream(handle, groups=["g"]):
            for text in "abc":
                async with client.open_group_stream("g") as writer:
                    await writer.write(text)
            await until(lambda: sorted(got) == ["a", "b", "c"])
        async with client.open_group_stream("g") as writer:
            await writer.write("d")
        assert len(got) == 3


async def test_handler_that_fails_is_told_and_its_stream_is_closed(hub: Hub) -> None:
    async with hub.client() as client:
        await client.join_group("g")

        async def handle(stream: GroupStream) -> None:
            seen.append(stream)
            raise LookupError

        seen: list[GroupStream] = []
        client.on_group_stream(handle)
        async with client.events("handler-error") as faults:
            async with client.open_group_stream("g") as writer:
                await writer.write("a")
                fault: Any = await anext(faults)
                assert (fault.event, type(fault.error)) == ("group-stream", LookupError)
                await until(lambda: not seen[0].is_active)
                await writer.write("b")
        assert isinstance(await error_of(seen[0]), StreamClosedError)


async def test_parts_are_group_messages_too(hub: Hub) -> None:
    async with hub.client() as client, client.messages(group="g") as messages:
        await client.join_group("g")
        async with client.open_group_stream("g", stream_id="s1") as writer:
            await writer.write("a")
        await client.send_to_group("g", "b")
        got = [await anext(messages) for _ in range(3)]
        assert [message.data for message in got] == ["a", "", "b"]
        streams = [message.stream for message in got]
        assert streams[0] is not None
        assert (streams[0].stream_id, streams[0].sequence_id) == ("s1", 1)
        assert streams[1] is not None
        assert streams[1].is_end
        assert streams[2] is None


async def test_slow_reader_loses_its_stream_alone(hub: Hub) -> None:
    async with hub.client() as client:
        await client.join_group("g")
        few = BufferOptions(max_messages=2)
        async with client.group_streams(buffer=few) as slow, client.group_streams() as quick:
            async with client.open_group_stream("g") as writer:
                for number in range(5):
                    await writer.write(str(number))
            assert await joined(await anext(quick)) == "01234"
            stream = await anext(slow)
            assert [(await anext(stream)).data for _ in range(2)] == ["0", "1"]
            assert (await error_of(stream)).name == "Overflow"


async def test_loop_ends_with_the_client_and_goes_on_after_a_start(hub: Hub) -> None:
    client = hub.client()
    async with client.group_streams() as streams:
        async with client:
            await client.join_group("g")
            writer = await client.open_group_stream("g")
            await writer.write("a")
            stream = await anext(streams)
        assert (await error_of(stream)).name == "ClientStopped"
        with pytest.raises(StreamError) as caught:
            await writer.write("b")
        assert caught.value.name == "ClientStopped"
        assert [s async for s in streams] == []
        async with client:
            async with client.open_group_stream("g") as writer:
                await writer.write("c")
            assert await joined(await anext(streams)) == "c"
        with pytest.raises(ClientStateError):
            await client.open_group_stream("g")


async def test_leaving_the_block_closes_what_is_open_and_frees_it(hub: Hub) -> None:
    async with hub.client() as client:
        await client.join_group("g")
        async with client.open_group_stream("g") as writer:
            async with client.group_streams() as streams:
                await writer.write("a")
                stream = await anext(streams)
            assert isinstance(await error_of(stream), StreamClosedError)
            with pytest.raises(StopAsyncIteration):
                await anext(streams)
            with pytest.raises(RuntimeError):
                await streams.__aenter__()
        gone = weakref.ref(stream)
        del stream
        gc.collect()
        assert gone() is None
    with pytest.raises(RuntimeError):
        await anext(client.group_streams())


async def test_streams_of_a_plain_client_work_without_recovery(hub: Hub) -> None:
    async with hub.client(recovery=RecoveryOptions(window=0)) as client:
        await client.join_group("g")
        async with client.group_streams() as streams:
            writer = await client.open_group_stream("g")
            await writer.write("a")
            stream = await anext(streams)
            hub.cut()
            assert (await error_of(stream)).name == "ConnectionLost"
            await writer.wait_closed()
            assert writer.error is not None
            assert writer.error.name == "ConnectionLost"


async def test_wrong_arguments_are_refused_before_anything_is_sent(hub: Hub) -> None:
    client = hub.client()
    with pytest.raises(ClientStateError):
        await client.open_group_stream("g")
    wrong: tuple[dict[str, Any], ...] = (
        {"group": ""},
        {"stream_id": ""},
        {"stream_id": "x" * 257},
        {"stream_id": "\ud800"},
        {"idle_timeout": 0},
        {"idle_timeout": 90_000},
        {"max_unacked": 0},
        {"max_unacked_bytes": 0},
    )
    async with client:
        for options in wrong:
            group = options.pop("group", "g")
            with pytest.raises(ValueError):
                await client.open_group_stream(group, **options)
        async with client.open_group_stream("g", stream_id="s1") as writer:
            with pytest.raises(ValueError, match="open"):
                await client.open_group_stream("g", stream_id="s1")
            with pytest.raises(TypeError):
                await writer.write(b"x", "text")
            with pytest.raises(ValueError, match="larger"):
                await writer.write("x" * 1_048_576)
            with pytest.raises(ValueError):
                await writer.write("x", timeout=-1)
            for texts in (("\ud800",), ("", "\ud800"), ("x" * 1025,)):
                with pytest.raises(ValueError):
                    await writer.abort(*texts)
    for idle_timeout in (0, -1):
        with pytest.raises(ValueError):
            client.group_streams(idle_timeout=idle_timeout)

    async def handle(stream: GroupStream) -> None: ...

    with pytest.raises(ValueError):
        client.on_group_stream(handle, max_concurrency=0)


async def test_client_that_is_about_to_stop_opens_no_stream(hub: Hub) -> None:
    async with hub.client() as client:
        hub.proxy.is_silent = True
        sending = asyncio.ensure_future(client.send_to_group("g", "pending"))
        stopping = asyncio.ensure_future(client.stop(drain=True, timeout=0.2))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        with pytest.raises(ClientStateError, match="stop"):
            await client.open_group_stream("g")
        hub.proxy.is_silent = False
        await asyncio.gather(sending, stopping, return_exceptions=True)


async def test_cl_017_drain_waits_for_parts_and_ends_of_streams() -> None:
    ended, confirmed = asyncio.Event(), asyncio.Event()
    got: list[Any] = []

    async def script(peer: Peer) -> None:
        for name in ("open", "ending"):
            assert (await peer.read())["stream"]["streamId"] == name
            await peer.write(stream_ack(1) | {"streamId": name})
        for _ in range(3):  # "c" and "d" have no room yet
            got.append(await peer.read())
        await confirmed.wait()
        await peer.write(stream_ack(3) | {"streamId": "open"})
        await peer.write(stream_ack(2) | {"streamId": "ending"})
        for _ in range(3):
            got.append(await peer.read())
        await peer.write(stream_ack(5) | {"streamId": "open"})
        await ended.wait()
        await peer.write({"type": "streamClosed", "streamId": "ending"})

    async with Scripted(script) as service:
        client = Client(service.url)
        await client.start()
        open_ = await client.open_group_stream("g", stream_id="open", max_unacked=2)
        ending = await client.open_group_stream("g", stream_id="ending")
        writes = [asyncio.ensure_future(open_.write(text)) for text in "abcd"]
        await ending.write("x")
        end = asyncio.ensure_future(ending.end())
        await asyncio.sleep(0)
        stopping = asyncio.ensure_future(client.stop(drain=True, timeout=LIMIT_S))
        await until(lambda: len(got) == 3)
        with pytest.raises(ClientStateError, match="stop"):
            await open_.write("too late")
        confirmed.set()
        await until(lambda: len(got) == 6)
        await asyncio.gather(*writes)
        assert not stopping.done()
        ended.set()
        await end
        await stopping
        assert ending.error is None
        assert client.state is State.STOPPED
    parts = [frame["data"] for frame in got if frame["streamId"] == "open"]
    assert parts == ["a", "b", "c", "d"]


async def test_cl_017_drain_with_an_unconfirmed_part_ends_at_its_time_limit() -> None:
    async def script(peer: Peer) -> None:
        await peer.read()
        await peer.write(stream_ack(1))
        while True:
            await peer.read()

    async with Scripted(script) as service:
        client = Client(service.url)
        await client.start()
        writer = await client.open_group_stream("g", stream_id="s1")
        await writer.write("never confirmed")
        await client.stop(drain=True, timeout=0.05)
        assert writer.error is not None
        assert writer.error.name == "ClientStopped"


async def test_streams_that_nobody_takes_stop_the_reading_and_lose_nothing(hub: Hub) -> None:
    async with hub.client() as publisher, hub.client() as member:
        await member.join_group("g")
        few = BufferOptions(max_messages=4, overflow="drop-oldest")
        async with member.group_streams(buffer=few) as streams:
            texts = [str(number) for number in range(20)]
            for text in texts:
                async with publisher.open_group_stream("g") as writer:
                    await writer.write(text)
            await until(lambda: member._dispatcher.is_paused)
            got = [await joined(await anext(streams)) for _ in texts]
            assert got == texts


# --- with a scripted service --------------------------------------------------------------------


def stream_ack(expected: int) -> dict[str, Any]:
    return {"type": "streamAck", "streamId": "s1", "expectedSequenceId": expected}


async def test_cl_090_frames_are_those_of_the_protocol() -> None:
    got: list[Any] = []

    async def script(peer: Peer) -> None:
        got.append(await peer.read())
        await peer.write(stream_ack(1))
        for number in range(2, 5):
            got.append(await peer.read())
            await peer.write(stream_ack(number))
        got.append(await peer.read())
        await peer.write({"type": "streamClosed", "streamId": "s1"})

    async with Scripted(script) as service, Client(service.url) as client:
        async with client.open_group_stream(
            "g", stream_id="s1", no_echo=True, idle_timeout=60
        ) as writer:
            for text in "abc":
                await writer.write(text)
    start = {"streamId": "s1", "idleTimeoutMs": 60_000}
    assert got[0] == {"type": "sendToGroup", "group": "g", "noEcho": True, "stream": start}
    assert got[1] == {
        "type": "streamData",
        "streamId": "s1",
        "streamSequenceId": 1,
        "dataType": "text",
        "data": "a",
    }
    assert [frame["streamSequenceId"] for frame in got[1:4]] == [1, 2, 3]
    assert got[4] == {"type": "streamEnd", "streamId": "s1"}


async def test_cl_090_start_without_an_answer_times_out_and_the_id_can_be_used_again() -> None:
    async def script(peer: Peer) -> None:
        assert (await peer.read())["type"] == "sendToGroup"
        assert (await peer.read())["type"] == "streamEnd"
        assert (await peer.read())["type"] == "sendToGroup"
        await peer.write(stream_ack(1))

    async with Scripted(script) as service:
        async with Client(service.url, operation_timeout=0.05) as client:
            with pytest.raises(StreamTimeoutError):
                await client.open_group_stream("g", stream_id="s1")
            writer = await client.open_group_stream("g", stream_id="s1")
            assert not writer.closed


async def test_cl_094_mute_service_makes_the_writer_wait() -> None:
    frames = 0

    async def script(peer: Peer) -> None:
        nonlocal frames
        await peer.read()
        await peer.write(stream_ack(1))
        while True:
            await peer.read()
            frames += 1

    part = b"x" * 500_000
    async with Scripted(script) as service, Client(service.url) as client:
        writer = await client.open_group_stream("g", stream_id="s1")
        for _ in range(8):
            await writer.write(part)
        written = [asyncio.ensure_future(writer.write(part, timeout=0.05)) for _ in range(192)]
        results = await asyncio.gather(*written, return_exceptions=True)
        assert {type(result) for result in results} == {StreamTimeoutError}
        cancelled = asyncio.ensure_future(writer.write(part))
        await asyncio.sleep(0)
        cancelled.cancel()
        with pytest.raises(asyncio.CancelledError):
            await cancelled
        await until(lambda: frames == 8)
        with pytest.raises(StreamTimeoutError):
            await writer.end(timeout=0.01)
        with pytest.raises(StreamClosedError):
            await writer.write("x")
        assert frames == 8


async def test_writes_of_several_tasks_keep_their_order(hub: Hub) -> None:
    async with hub.client() as client:
        await client.join_group("g")
        async with client.group_streams() as streams:
            async with client.open_group_stream("g", max_unacked=3) as writer:
                await asyncio.gather(*(writer.write(number) for number in range(100)))
            parts = [part.data async for part in await anext(streams)]
            assert parts == list(range(100))


async def test_small_write_does_not_pass_a_large_one_that_waits(hub: Hub) -> None:
    async with hub.client() as client:
        await client.join_group("g")
        async with client.group_streams() as streams:
            async with client.open_group_stream("g", max_unacked_bytes=10) as writer:
                await asyncio.gather(*(writer.write(text) for text in ("a" * 8, "b" * 8, "c")))
            assert await joined(await anext(streams)) == "a" * 8 + "b" * 8 + "c"


async def test_handler_may_write_a_stream_and_ping_while_its_queue_is_full() -> None:
    has_full_queue = asyncio.Event()

    async def script(peer: FakePeer) -> None:
        await peer.ack(await peer.expect("joinGroup"))
        for number in range(6):
            await peer.message(number)
        start = await peer.expect("sendToGroup")
        stream_id = start["stream"]["streamId"]
        for expected in (1, 2):
            await peer.write(
                {"type": "streamAck", "streamId": stream_id, "expectedSequenceId": expected}
            )
            await peer.read()
        await peer.write({"type": "streamClosed", "streamId": stream_id})

    async with FakeService(script) as service, Client(service.url) as client:
        seen = watch(client)
        got: list[int] = []

        async def handle(event: Any) -> None:
            if not got:
                await has_full_queue.wait()
                await client.ping()
                async with client.open_group_stream("g", max_unacked=1) as writer:
                    await writer.write("a")
            got.append(event.data)

        @client.on("slow-consumer")
        def note(event: SlowConsumerEvent) -> None:
            if event.is_full:
                has_full_queue.set()

        client.on("server-message", handle, buffer=BufferOptions(max_messages=2))
        await client.join_group("g")
        await until(lambda: len(got) == 6)
        assert got == list(range(6))
        assert names_of(seen) == ["SlowConsumer"] * len(seen)


async def test_call_that_ends_early_leaves_the_stream_usable(hub: Hub) -> None:
    async with hub.client() as client:
        await client.join_group("g")
        async with client.group_streams() as streams:
            async with client.open_group_stream("g") as writer:
                hub.proxy.is_silent = True
                hub.cut()
                await until(lambda: client.state is State.RECOVERING)
                with pytest.raises(StreamTimeoutError):
                    await writer.write("never", timeout=0.05)
                hub.proxy.is_silent = False
                await writer.write("a")
            assert await joined(await anext(streams)) == "a"


async def test_fault_in_a_callback_of_an_error_harms_nothing(hub: Hub) -> None:
    async with hub.client() as client, client.events("handler-error") as faults:
        writer = await client.open_group_stream("g")

        def fail(error: StreamError) -> None:
            raise LookupError

        writer.on_error(fail)
        await hub.lose_sessions()
        await writer.wait_closed()
        fault: Any = await anext(faults)
        assert (fault.event, type(fault.error)) == ("group-stream", LookupError)


async def test_fault_of_ours_ends_streams_and_keeps_readers(
    hub: Hub, caplog: pytest.LogCaptureFixture
) -> None:
    client = hub.client()
    async with client.group_streams() as streams:
        await client.start()
        await client.join_group("g")
        writer = await client.open_group_stream("g")
        await writer.write("a")
        stream = await anext(streams)
        client._driver.break_down(RuntimeError("a fault"))
        assert (await error_of(stream)).name == "ClientStopped"
        with pytest.raises(StreamError):
            await writer.end()
        async with client:
            await client.join_group("g")
            async with client.open_group_stream("g") as writer:
                await writer.write("b")
            async for stream in streams:
                assert await joined(stream) == "b"
                break


# --- the blocking twin --------------------------------------------------------------------------


async def in_thread(work: Any) -> Any:
    async with asyncio.timeout(LIMIT_S):
        return await asyncio.to_thread(work)


async def test_cl_090_blocking_twin_writes_and_reads(hub: Hub) -> None:
    url = hub.url(user_id="u1")

    def work() -> None:
        with connect_sync(url) as client:
            client.join_group("g")
            with client.group_streams(["g"], from_start=True) as streams:
                with client.open_group_stream("g", stream_id="s1") as writer:
                    writer.write("a")
                    writer.keep_alive()
                    writer.write("b", timeout=10)
                assert (writer.group, writer.stream_id, writer.closed) == ("g", "s1", True)
                assert writer.error is None
                writer.wait_closed()
                stream = streams.get(timeout=30)
                assert (stream.group, stream.stream_id) == ("g", "s1")
                assert stream.from_user_id == "u1"
                assert [part.data for part in stream] == ["a", "b"]
                assert not stream.is_active
                with pytest.raises(queue.Empty):
                    streams.get(timeout=0.01)
                with pytest.raises(LookupError):
                    with client.open_group_stream("g") as writer:
                        raise LookupError
                with pytest.raises(StreamError) as caught:
                    list(next(streams))
                assert caught.value.name == "UserError"
                writer = client.open_group_stream("g")
                writer.abort("source failed", "E42")
                next(streams).close()
                writer = client.open_group_stream("g")
                errors: list[StreamError] = []
                writer.on_error(errors.append)
                client.stop()
                assert [error.name for error in errors] == ["ClientStopped"]
        assert writer.closed
        with connect_sync(url) as client, pytest.raises(StreamError):
            with client.open_group_stream("g"):
                client.stop()
        assert not [t for t in threading.enumerate() if t.name == "hubbub client"]
        with pytest.raises(RuntimeError):
            next(client.group_streams())

    await in_thread(work)


async def test_blocking_handler_may_take_its_time_and_call_the_client(hub: Hub) -> None:
    url = hub.url()

    def work() -> None:
        got: list[str] = []
        done = threading.Event()
        together = threading.Barrier(2, timeout=LIMIT_S)

        def handle(stream: SyncGroupStream) -> None:
            together.wait()
            text = "".join(part.data for part in stream)
            client.send_to_group("other", text)
            got.append(text)
            if len(got) == 2:
                done.set()

        async def wrong(stream: object) -> None: ...

        with connect_sync(url) as client:
            client.join_group("g")
            with pytest.raises(TypeError):
                client.on_group_stream(wrong)
            with client.on_group_stream(handle):
                for text in ("a", "b"):
                    with client.open_group_stream("g") as writer:
                        writer.write(text)
                assert done.wait(LIMIT_S)
        assert sorted(got) == ["a", "b"]

    await in_thread(work)
