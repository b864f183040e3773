"""The asyncio client against the real service: life, operations, handlers, iterators."""

import asyncio
import socket
from typing import Any

import pytest
from tests.client.conftest import Near
from tests.wire.upstream_helpers import RecordingHandler, Reply

from hubbub.client import Client, RetryOptions, State, SubProtocol, connect
from hubbub.protocol.errors import (
    AckTimeoutError,
    AuthenticationError,
    ClientStateError,
    ConnectError,
    CredentialError,
    InvocationError,
    SendMessageError,
)
from hubbub.service import EventHandlerSettings, HubSettings, Service, Settings

FAST = RetryOptions(max_retries=3, delay=0.01, max_delay=0.1)


def names_of(seen: list[Any]) -> list[str]:
    return [type(event).__name__.removesuffix("Event") for event in seen]


def watch(client: Client) -> list[Any]:
    """Every event that is not a message, in order."""
    seen: list[Any] = []
    for name in (
        "connected",
        "disconnected",
        "stopped",
        "recovering",
        "recovered",
        "reconnecting",
        "gap",
        "rejoin-group-failed",
        "handler-error",
        "slow-consumer",
    ):
        client.on(name, seen.append)
    return seen


def tasks() -> set[asyncio.Task[Any]]:
    return {task for task in asyncio.all_tasks() if task.get_name().startswith("hubbub")}


# --- life -------------------------------------------------------------------------------------


async def test_cl_001_start_returns_connected_with_ids_and_one_event(near: Near) -> None:
    client = Client(near.url())
    seen = watch(client)
    await client.start()
    assert client.state is State.CONNECTED
    assert client.is_connected
    assert (client.user_id, bool(client.connection_id)) == ("u1", True)
    assert names_of(seen) == ["Connected"]
    assert seen[0].connection_id == client.connection_id
    await client.stop()
    assert tasks() == set()


async def test_cl_003_closed_port_is_a_connect_error_and_start_works_again(near: Near) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    urls = iter([f"ws://127.0.0.1:{port}/client/hubs/chat?access_token=secret", near.url()])
    client = Client(lambda: next(urls))
    seen = watch(client)
    with pytest.raises(ConnectError) as failed:
        await client.start()
    assert "secret" not in str(failed.value)
    assert client.state is State.STOPPED
    assert seen == []
    await client.start()
    await client.stop()


async def test_cl_004_refused_token_is_an_authentication_error_without_the_token(
    near: Near,
) -> None:
    url = near.url() + "broken"
    with pytest.raises(AuthenticationError) as failed:
        await Client(url).start()
    assert failed.value.status == 401
    assert url.partition("access_token=")[2] not in str(failed.value)


async def test_cl_005_cl_006_second_start_is_refused_and_harms_nothing(near: Near) -> None:
    client = Client(near.url)
    first = asyncio.ensure_future(client.start())
    await asyncio.sleep(0)
    with pytest.raises(ClientStateError):
        await client.start()
    await first
    connection_id = client.connection_id
    with pytest.raises(ClientStateError):
        await client.start()
    assert client.connection_id == connection_id
    assert near.asked == 1
    await client.stop()


async def test_cl_008_cancelled_start_leaves_nothing(near: Near) -> None:
    asked = asyncio.Event()

    async def never() -> str:
        asked.set()
        await asyncio.Event().wait()
        raise AssertionError("cancelled before")

    client = Client(never)
    starting = asyncio.ensure_future(client.start())
    await asked.wait()
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert client.state is State.STOPPED
    await asyncio.sleep(0)
    assert tasks() == set()


async def test_cl_009_stop_says_goodbye_and_the_service_forgets_at_once(near: Near) -> None:
    client = Client(near.url())
    seen = watch(client)
    await client.start()
    await client.stop()
    assert names_of(seen) == ["Connected", "Disconnected", "Stopped"]
    assert seen[-1].reason == "requested"
    assert near.service.counts["connections.ended"] == 1
    assert near.service.counts.get("connections.lost") is None


async def test_cl_013_stop_is_for_everybody_and_for_a_client_that_never_ran(near: Near) -> None:
    client = Client(near.url())
    seen = watch(client)
    await client.stop()
    assert seen == []
    await client.start()
    await asyncio.gather(client.stop(), client.stop(), client.stop())
    assert names_of(seen).count("Stopped") == 1


async def test_cl_014_stopped_handler_may_start_again(near: Near) -> None:
    client = Client(near.url)
    seen = watch(client)
    again = asyncio.Event()

    async def restart(_: object) -> None:
        if near.asked < 3:
            await client.start()
            again.set()

    client.on("stopped", restart)
    await client.start()
    for _ in range(2):
        again.clear()
        await client.stop()
        await again.wait()
    assert names_of(seen).count("Connected") == 3
    await client.stop()


async def test_cl_015_message_handler_may_stop_the_client(near: Near) -> None:
    client = Client(near.url())
    finished = asyncio.Event()

    async def stop(_: object) -> None:
        await client.stop()
        finished.set()

    client.on("server-message", stop)
    await client.start()
    await near.backend.send_to_all("enough")
    async with asyncio.timeout(10):
        await finished.wait()
    assert client.state is State.STOPPED


async def test_cl_016_error_in_the_block_comes_out_and_the_client_is_stopped(near: Near) -> None:
    with pytest.raises(KeyError, match="mine"):
        async with connect(near.url()) as client:
            raise KeyError("mine")
    assert client.state is State.STOPPED
    with pytest.raises(CredentialError):
        async with connect("http://not-a-websocket"):
            pass
    assert tasks() == set()


@pytest.mark.parametrize("result", [None, "", "https://x"])
async def test_credential_that_gives_no_address_is_named(result: object) -> None:
    with pytest.raises(CredentialError):
        await Client(lambda: result).start()  # type: ignore[arg-type]


# --- operations -------------------------------------------------------------------------------


async def test_cl_018_cl_032_values_go_there_and_back(near: Near) -> None:
    async with connect(near.url()) as client, client.messages(group="g") as messages:
        assert (await client.join_group("g")).ack_id == 1
        values: list[tuple[Any, str | None]] = [
            ("ü€😀", None),
            ("", None),
            (b"", None),
            (b"\x00\xff", None),
            (memoryview(b"abc"), None),
            ({"a": [1, None, {"b": "c"}]}, None),
            ("json text", "json"),
            (None, "json"),
            (b"\x0a\x01x", "protobuf"),
        ]
        for value, data_type in values:
            if value is None:
                continue  # the service takes no null as data
            await client.send_to_group("g", value, data_type)
            message = await anext(messages)
            expected = bytes(value) if isinstance(value, memoryview) else value
            assert message.data == expected
            assert type(message.data) is type(expected)
            assert message.from_user_id == "u1"


async def test_cl_020_forbidden_is_rejected_at_once(near: Near) -> None:
    async with connect(near.url(roles=())) as client:
        with pytest.raises(SendMessageError) as refused:
            await client.join_group("g")
        assert (refused.value.outcome, refused.value.error_name) == ("rejected", "Forbidden")
        assert refused.value.attempts == 1
        assert client.groups == frozenset(), "a rejected wish is taken back"


async def test_cl_019_cl_027_same_ack_id_is_done_once(near: Near) -> None:
    async with connect(near.url()) as client, client.messages(group="g") as messages:
        await client.join_group("g")
        first = await client.send_to_group("g", "once", ack_id=77)
        second = await client.send_to_group("g", "once", ack_id=77)
        assert (first.is_duplicated, second.is_duplicated) == (False, True)
        await client.send_to_group("g", "after")
        assert [(await anext(messages)).data for _ in range(2)] == ["once", "after"]


async def test_cl_025_wrong_arguments_write_nothing(near: Near) -> None:
    async with connect(near.url()) as client:
        for data, data_type, error in (
            (b"x", "text", TypeError),
            (object(), "json", TypeError),
            (float("nan"), "json", ValueError),
            ({"a": [float("inf")]}, None, ValueError),
            ("x" * 2_000_000, "text", ValueError),
            ("x", "yaml", ValueError),
        ):
            with pytest.raises(error):
                await client.send_to_group("g", data, data_type)
        with pytest.raises(ValueError):
            await client.send_to_group("g", "x", ack_id=0)
        halves: Any = 5.5
        with pytest.raises(ValueError, match="whole"):
            await client.send_to_group("g", "x", ack_id=halves)
        with pytest.raises(ValueError, match="whole"):
            await client.send_to_group("g", "x", ttl=halves)
        with pytest.raises(ValueError):
            await client.join_group("  ")
        assert near.service.counts.get("messages.accepted") is None


async def test_cl_029_many_sends_in_flight_all_get_their_own_answer(near: Near) -> None:
    async with connect(near.url()) as client:
        results = await asyncio.gather(*(client.send_to_group("g", i) for i in range(2_000)))
        assert len({result.ack_id for result in results}) == 2_000
        assert len(tasks()) <= 1


async def test_cl_031_cancelled_send_is_forgotten(near: Near) -> None:
    async with connect(near.url()) as client:
        sending = asyncio.ensure_future(client.send_to_group("g", "x"))
        await asyncio.sleep(0)
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        await client.send_to_group("g", "still works")


async def test_cl_033_operations_need_a_running_client(near: Near) -> None:
    client = Client(near.url())
    with pytest.raises(ClientStateError):
        await client.join_group("g")
    await client.start()
    await client.stop()
    with pytest.raises(ClientStateError):
        await client.send_event("e", "x")


async def test_fire_and_forget_has_no_ack_id(near: Near) -> None:
    async with connect(near.url()) as client, client.messages(group="g") as messages:
        await client.join_group("g")
        result = await client.send_to_group("g", "x", fire_and_forget=True, metadata={"k": "v"})
        assert result.ack_id is None
        assert (await anext(messages)).metadata == {"k": "v"}


async def test_events_and_invocations_reach_the_handler() -> None:
    async with RecordingHandler() as handler:
        handler.answers["ask"] = Reply(200, b'{"n":1}', "application/json")
        handler.answers["refuse"] = Reply(403, b"not you", "text/plain")
        rule = EventHandlerSettings(url_template=handler.url, user_event_pattern="*")
        settings = Settings(port=0, hubs={"chat": HubSettings(event_handlers=(rule,))})
        async with Service(settings) as service:
            from hubbub.appserver import ServiceClient

            text = service.connection_string
            async with ServiceClient.from_connection_string(text, "chat") as backend:
                url = backend.get_client_access_token().url
            async with connect(url) as client:
                assert (await client.send_event("tell", {"a": 1})).ack_id == 1
                answer = await client.invoke_event("ask", "?")
                assert (answer.data, answer.data_type) == ({"n": 1}, "json")
                empty = await client.invoke_event("tell")
                assert (empty.data, empty.data_type) == (None, None)
                with pytest.raises(InvocationError) as refused:
                    await client.invoke_event("refuse")
                assert (refused.value.error_name, refused.value.error_message) == (
                    "Forbidden",
                    "not you",
                )


async def test_operation_that_waits_for_the_link_times_out_as_not_sent(near: Near) -> None:
    async with connect(near.url()) as client:
        near.proxy.is_refusing = True
        near.proxy.cut()
        while client.is_connected:
            await asyncio.sleep(0.001)
        with pytest.raises(AckTimeoutError) as late:
            await client.send_to_group("g", "x", timeout=0.05)
        assert late.value.outcome == "not-sent"


# --- handlers and iterators -------------------------------------------------------------------


async def test_plain_handler_gets_messages_in_order_and_group_filter_holds(near: Near) -> None:
    async with connect(near.url()) as client:
        all_, only_a = [], []
        client.on("group-message", lambda e: all_.append((e.group, e.data)))
        client.on("group-message", lambda e: only_a.append(e.data), group="a")
        for group in ("a", "b"):
            await client.join_group(group)
        async with client.messages(group="b") as b:
            for i in range(100):
                await client.send_to_group("ab"[i % 2], i, fire_and_forget=True)
            assert [(await anext(b)).data for _ in range(50)] == list(range(1, 100, 2))
        assert all_ == [("ab"[i % 2], i) for i in range(100)]
        assert only_a == list(range(0, 100, 2))


async def test_slow_coroutine_handler_runs_one_at_a_time_in_order(near: Near) -> None:
    async with connect(near.url()) as client:
        order: list[int] = []
        running = 0
        done = asyncio.Event()

        @client.on("group-message")
        async def handle(event: Any) -> None:
            nonlocal running
            running += 1
            assert running == 1
            await client.send_to_group("other", event.data)  # an own call inside a handler
            order.append(event.data)
            running -= 1
            if len(order) == 50:
                done.set()

        await client.join_group("g")
        for i in range(50):
            await client.send_to_group("g", i, fire_and_forget=True)
        async with asyncio.timeout(20):
            await done.wait()
        assert order == list(range(50))


async def test_raising_handlers_are_reported_and_harm_nothing(near: Near) -> None:
    client = Client(near.url())
    seen = watch(client)

    def fail(_: object) -> None:
        raise RuntimeError("mine")

    async def fail_too(_: object) -> None:
        raise RuntimeError("mine too")

    for name in ("connected", "server-message", "disconnected", "handler-error"):
        client.on(name, fail)
        client.on(name, fail_too)
    await client.start()
    async with client.messages() as messages:
        await near.backend.send_to_all("x")
        assert (await anext(messages)).data == "x"
    await client.stop()
    failed = [event.event for event in seen if type(event).__name__ == "HandlerErrorEvent"]
    assert sorted(set(failed)) == ["connected", "disconnected", "server-message"]
    assert client.state is State.STOPPED


async def test_off_and_close_take_handlers_away(near: Near) -> None:
    async with connect(near.url()) as client:
        got: list[Any] = []
        client.on("server-message", got.append)
        client.off("server-message", got.append)
        with client.on("server-message", got.append):
            pass
        async with client.messages() as messages:
            await near.backend.send_to_all("x")
            await anext(messages)
        assert got == []
        with pytest.raises(ValueError):
            client.on("no-such-event", print)  # type: ignore[call-overload]


async def test_iterator_ends_when_the_client_stops_after_the_last_event(near: Near) -> None:
    async with connect(near.url()) as client, client.events() as events:
        await near.backend.send_to_all("last")
        async with client.messages() as messages:
            await anext(messages)
        await client.stop()
        names = [type(event).__name__ async for event in events]
        assert names == ["ServerMessageEvent", "DisconnectedEvent", "StoppedEvent"]
    with pytest.raises(RuntimeError):
        await anext(client.messages())


async def test_full_queue_blocks_the_reader_and_loses_nothing(near: Near) -> None:
    from hubbub.client import BufferOptions

    client = Client(near.url(), buffer=BufferOptions(max_messages=10))
    seen = watch(client)
    async with client, client.messages(group="g") as messages:
        await client.join_group("g")
        for i in range(500):
            await near.backend.send_to_group("g", i) if i % 100 == 0 else None
            await client.send_to_group("g", i, fire_and_forget=True)
        got: list[Any] = []
        while len(got) < 505:
            got.append((await anext(messages)).data)
        assert sorted(got) == sorted([*range(500), 0, 100, 200, 300, 400])
        assert [x for x in got if got.count(x) == 1] == [x for x in range(500) if x % 100]
    assert "SlowConsumer" in names_of(seen)


@pytest.mark.parametrize(
    ("overflow", "kept"), [("drop-oldest", range(90, 100)), ("drop-newest", range(10))]
)
async def test_cl_080_full_queue_may_drop_and_counts(
    near: Near, overflow: Any, kept: range
) -> None:
    from hubbub.client import BufferOptions

    client = Client(near.url(), buffer=BufferOptions(max_messages=10, overflow=overflow))
    seen = watch(client)
    async with client, client.messages(group="g") as messages:
        await client.join_group("g")
        for i in range(100):
            await client.send_to_group("g", i)
        got = [(await anext(messages)).data for _ in range(10)]
        assert got == list(kept)
    gaps = [event for event in seen if type(event).__name__ == "GapEvent"]
    assert {gap.cause for gap in gaps} == {"overflow"}
    assert sum(gap.dropped for gap in gaps) == 90


async def test_plain_json_subprotocol_has_no_sequence_ids(near: Near) -> None:
    async with connect(near.url(), protocol=SubProtocol.JSON) as client:
        async with client.messages() as messages:
            await near.backend.send_to_all("x")
            assert (await anext(messages)).sequence_id is None
