"""Faults that other clients have with what the application asks for: ids, repeats, outcomes.

docs/known-faults.md tells each fault. On the session alone where that says enough.
"""

import asyncio
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from tests.client.scripted import Peer, Scripted
from tests.client.test_healing import QUICK, until
from tests.client.test_known_faults_links import connected, joined
from tests.protocol.test_client_session import FORBIDDEN, PASSING, events, of, send, written

from hubbub.client import Client, RetryOptions, State, SyncClient, connect
from hubbub.protocol.client_events import (
    Cause,
    OperationDone,
    OperationFailed,
    OperationRequest,
    Outcome,
    Stop,
)
from hubbub.protocol.client_events import State as SessionState
from hubbub.protocol.client_options import ClientOptions
from hubbub.protocol.errors import AckTimeoutError, SendMessageError
from hubbub.protocol.json_codec import encode_request
from hubbub.protocol.messages import (
    Ack,
    Invoke,
    JoinGroup,
    LeaveGroup,
    SendEvent,
    SendToGroup,
    text_payload,
)
from hubbub.testing import Hub

AT_ONCE = RetryOptions(max_retries=3, delay=0.001, max_delay=0.001)


@pytest.fixture
def quick_switches() -> Iterator[None]:
    """Threads take turns often, so that an answer may overtake whoever is to wait for it."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


async def answer_all(peer: Peer) -> None:
    while True:
        frame = await peer.read()
        if "ackId" in frame:
            await peer.ack(frame)
        elif frame["type"] == "invoke":
            done = {"invocationId": frame["invocationId"], "success": True}
            await peer.write({"type": "invokeResponse", **done})


# --- one operation, one frame -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("request_", "more"),
    [
        (SendToGroup("g", text_payload("x"), no_echo=True), {"ack_id": 77}),
        (SendToGroup("g", text_payload("x"), no_echo=True), {}),
        (SendToGroup("g", text_payload("x"), ttl_seconds=5, metadata={"k": "v"}), {}),
        (SendEvent("e", text_payload("x"), metadata={"k": "v"}), {"ack_id": 78}),
    ],
)
def test_f04_f16_repeat_is_the_same_frame_to_the_byte(
    request_: SendToGroup | SendEvent, more: dict[str, int]
) -> None:
    driver = connected()
    (first,) = written(driver.ask("s", request_, **more))
    assert isinstance(first, SendToGroup | SendEvent)
    ack_id = first.ack_id
    assert ack_id == more.get("ack_id", 1)
    frames = [encode_request(first)]
    for _ in range(2):
        driver.receive(Ack(ack_id, PASSING))
        frames += [encode_request(request) for request in written(driver.wait(1))]
    driver.lose()
    frames += [
        encode_request(r) for r in written(driver.recover()) if isinstance(r, type(request_))
    ]
    assert len(frames) == 4
    assert set(frames) == {frames[0]}
    assert of(driver.receive(Ack(ack_id)), OperationDone)


def test_f04_fire_and_forget_never_becomes_an_operation_with_an_ack() -> None:
    driver = connected()
    driver.lose()
    request = SendToGroup("g", text_payload("x"), no_echo=True)
    driver.ask("s", request, is_acked=False)
    actions = driver.recover()
    assert request in written(actions)
    driver.lose()
    assert request not in written(driver.recover())


async def test_f16_send_that_was_executed_before_the_drop_arrives_once() -> None:
    async with Hub() as hub, hub.client() as sender, hub.client() as receiver:
        async with receiver.messages(group="g") as messages:
            await receiver.join_group("g")
            for number in range(5):
                hub.proxy.is_deaf = True  # the answer gets lost
                sending = asyncio.ensure_future(sender.send_to_group("g", number))
                await until(
                    lambda n=number: hub.service.counts.get("messages.accepted", 0) == n + 1
                )
                hub.cut()
                hub.proxy.is_deaf = False
                async with asyncio.timeout(20):
                    result = await sending
                assert result.is_duplicated, "the service took the repeat for what it is"
            await sender.send_to_group("g", "end")
            async with asyncio.timeout(20):
                got = [(await anext(messages)).data for _ in range(6)]
            assert got == [0, 1, 2, 3, 4, "end"]


# --- errors say what happened -------------------------------------------------------------------


async def test_f05_error_after_a_drop_has_the_id_with_which_to_ask_again() -> None:
    async with Hub() as hub, hub.client(close_timeout=0.2) as client:
        async with client.messages(group="g") as messages:
            await client.join_group("g")
            hub.proxy.is_deaf = True
            with pytest.raises(AckTimeoutError) as failed:
                await client.send_to_group("g", "once", timeout=0.2)
            hub.cut()
            hub.proxy.is_deaf = False
            assert failed.value.outcome == "unknown"
            assert failed.value.retryable
            again = await client.send_to_group("g", "once", ack_id=failed.value.ack_id)
            assert (again.ack_id, again.is_duplicated) == (failed.value.ack_id, True)
            await client.send_to_group("g", "end")
            assert [(await anext(messages)).data for _ in range(2)] == ["once", "end"]
            hub.proxy.is_deaf = True
            with pytest.raises(SendMessageError) as lost:
                sending = asyncio.ensure_future(client.send_to_group("g", "x"))
                await asyncio.sleep(0)
                await client.stop()
                await sending
            assert lost.value.ack_id is not None


async def test_f07_time_out_of_an_ack_has_a_class_an_id_and_leaves_nothing() -> None:
    frames: list[Any] = []

    async def silent(peer: Peer) -> None:
        while True:
            frames.append(await peer.read())

    async with Scripted(silent) as service, connect(service.url, message_retry=AT_ONCE) as client:
        with pytest.raises(AckTimeoutError) as late:
            await client.send_to_group("g", "x", timeout=0.1)
        assert isinstance(late.value, TimeoutError)
        assert (late.value.ack_id, late.value.outcome, late.value.attempts) == (1, "unknown", 1)
        assert client._driver.session.operations.pending == 0
        await until(lambda: frames)
        assert [frame["ackId"] for frame in frames] == [1]


@pytest.mark.parametrize("error", [FORBIDDEN, PASSING])
def test_f26_only_what_may_pass_is_tried_again(error: Any) -> None:
    driver = connected()
    driver.ask("s", send())
    actions = driver.receive(Ack(1, error)) + driver.wait(10)
    if error is PASSING:
        assert len(written(driver.actions)) == 2
        return
    (failed,) = of(actions, OperationFailed)
    assert (failed.cause, failed.outcome, failed.attempts) == (
        Cause.REJECTED,
        Outcome.REJECTED,
        1,
    )
    assert len([r for r in written(driver.actions) if isinstance(r, SendToGroup)]) == 1


async def test_f26_wrong_argument_is_told_at_once_and_nothing_is_written() -> None:
    frames: list[Any] = []

    async def script(peer: Peer) -> None:
        while True:
            frames.append(frame := await peer.read())
            await peer.ack(frame)

    async with Scripted(script) as service, connect(service.url) as client:
        for data, data_type in ((b"x", "text"), (object(), "json"), (float("nan"), "json")):
            with pytest.raises((TypeError, ValueError)):
                await client.send_to_group("g", data, data_type)
        await client.send_to_group("g", "good")
        assert [frame["data"] for frame in frames] == ["good"]


# --- waiting ------------------------------------------------------------------------------------


async def test_f06_answer_that_is_quicker_than_the_wait_is_not_missed(
    quick_switches: None,
) -> None:
    """A missed one would wait for its time-out, and fail."""

    def send_many(url: str) -> int:
        with SyncClient(url, operation_timeout=20) as client:
            return sum(client.send_to_group("g", n).ack_id is not None for n in range(1_000))

    async with Scripted(answer_all) as service:
        async with asyncio.timeout(60):
            assert await asyncio.to_thread(send_many, service.url) == 1_000


def test_f47_whatever_waits_is_released_when_the_connection_is_replaced_or_ends() -> None:
    waiting: dict[str, OperationRequest] = {
        "join": JoinGroup("g"),
        "leave": LeaveGroup("h"),
        "send": send(),
        "event": SendEvent("e", text_payload("x")),
        "invoke": Invoke("", "e"),
    }
    driver = connected()
    for key, asked in waiting.items():
        driver.ask(key, asked)
    driver.lose(1008)
    driver.ask("later", send("later"))
    driver.reconnect()
    for request in written(driver.actions):
        if isinstance(request, JoinGroup) and request.ack_id:
            driver.receive(Ack(request.ack_id))
    driver.do(Stop())
    driver.lose(1000)
    settled = [a.key for a in driver.actions if isinstance(a, OperationDone | OperationFailed)]
    assert sorted(map(str, settled)) == sorted([*waiting, "later"])
    assert driver.session.operations.pending == 0
    assert driver.session.state is SessionState.STOPPED


# --- ids of the caller --------------------------------------------------------------------------


async def test_f25_ids_of_the_caller_and_of_the_client_never_meet() -> None:
    async with Hub() as hub, hub.client() as client:
        async with client.messages(group="g") as messages:
            await client.join_group("g", ack_id=1_000)
            results = [await client.send_to_group("g", n, ack_id=n) for n in range(1, 51)]
            results += [await client.send_to_group("g", n) for n in range(51, 151)]
            assert len({result.ack_id for result in results}) == 150
            assert not any(result.is_duplicated for result in results)
            async with asyncio.timeout(20):
                got = [(await anext(messages)).data for _ in range(150)]
            assert got == list(range(1, 151))


# --- groups -------------------------------------------------------------------------------------


def test_f28_join_without_its_ack_is_rejoined_and_a_leave_while_down_is_not_undone() -> None:
    driver = connected()
    driver.ask("join", JoinGroup("a"))
    driver.lose(1008)  # executed perhaps, its ack is lost
    actions = driver.reconnect()
    assert written(actions) == [JoinGroup("a", 1)]
    assert of(driver.receive(Ack(1)), OperationDone) == [OperationDone("join", 1)]
    driver.lose(1008)
    (done,) = of(driver.ask("leave", LeaveGroup("a")), OperationDone)
    assert done.key == "leave"
    actions = driver.reconnect("c3")
    assert written(actions) == []
    assert driver.session.groups.wished == frozenset()


def test_f28_refused_join_does_not_come_back_by_itself() -> None:
    driver = connected()
    driver.ask("join", JoinGroup("a"))
    driver.receive(Ack(1, FORBIDDEN))
    driver.lose(1008)
    assert written(driver.reconnect()) == []


def test_f28_rejoin_that_is_refused_is_tried_again_on_the_next_connection() -> None:
    driver = connected(ClientOptions())
    joined(driver, "a")
    for connection_id, ack_id in (("c2", 2), ("c3", 3)):
        driver.lose(1008)
        assert written(driver.reconnect(connection_id)) == [JoinGroup("a", ack_id)]
        assert events(driver.receive(Ack(ack_id, FORBIDDEN)))


# --- two clients, one core ----------------------------------------------------------------------


async def test_f03_blocking_client_writes_the_same_frames_as_the_asyncio_client() -> None:
    """Refusals, a cut and a repeat included: the blocking one has no rules of its own."""

    async def script(peer: Peer) -> None:
        frames = logs[-1]
        while True:
            frame = await peer.read()
            frames.append({k: v for k, v in frame.items() if k != "invocationId"})
            first = frames.count(frames[-1]) == 1
            if frame.get("data") == "refused" and first:
                error = {"name": "InternalServerError", "message": ""}
                await peer.write(
                    {"type": "ack", "ackId": frame["ackId"], "success": False, "error": error}
                )
            elif frame.get("data") == "cut" and first:
                peer.socket.transport.abort()
                return
            elif "ackId" in frame:
                await peer.ack(frame)
            elif frame["type"] == "invoke":
                done = {"invocationId": frame["invocationId"], "success": True}
                await peer.write({"type": "invokeResponse", **done})

    logs: list[list[Any]] = [[]]
    options: dict[str, Any] = {"message_retry": AT_ONCE, "recovery": QUICK}

    def blocking(url: str) -> None:
        with SyncClient(url, **options) as client:
            client.join_group("g")
            client.send_to_group("g", "refused", no_echo=True)
            client.send_event("e", "cut", ack_id=70)
            client.send_to_group("g", "x", fire_and_forget=True)
            client.invoke_event("ask", {"a": 1})
            client.leave_group("g")

    async with Scripted(script) as service:
        async with Client(service.url, **options) as client:
            await client.join_group("g")
            await client.send_to_group("g", "refused", no_echo=True)
            await client.send_event("e", "cut", ack_id=70)
            await client.send_to_group("g", "x", fire_and_forget=True)
            await client.invoke_event("ask", {"a": 1})
            await client.leave_group("g")
            assert client.state is State.CONNECTED
        logs.append([])
        async with asyncio.timeout(30):
            await asyncio.to_thread(blocking, service.url)
    assert logs[0] == logs[1]
    assert len(logs[0]) == 8, "six calls and two repeats"
