"""An object of the application hears of states, frames and calls."""

import asyncio
import logging
import threading
from typing import Any

import pytest
from tests.client.conftest import Near
from tests.client.test_healing import QUICK, until
from tests.client.test_lanes import soon

from hubbub import ClientStateError, SendMessageError
from hubbub.client import Client, Observer, State, SyncClient, connect
from hubbub.client.calls import Calls
from hubbub.protocol.json_responses import read_response


class Notes(Observer):
    def __init__(self) -> None:
        self.states: list[tuple[State, str]] = []
        self.frames: list[tuple[str, str, int]] = []
        self.calls: list[tuple[str, float, str]] = []
        self.threads: set[str] = set()

    def on_state(self, state: State, cause: str) -> None:
        self.states.append((state, cause))
        self.threads.add(threading.current_thread().name)

    def on_frame(self, direction: str, kind: str, size: int) -> None:
        self.frames.append((direction, kind, size))

    def on_operation(self, kind: str, duration: float, outcome: str) -> None:
        self.calls.append((kind, duration, outcome))


async def test_observer_hears_of_states_frames_and_calls(near: Near) -> None:
    notes = Notes()
    client = Client(near.url, observer=notes, recovery=QUICK)
    async with client, client.messages(group="g") as messages:
        await client.join_group("g")
        await client.send_to_group("g", "hello")
        assert (await soon(anext(messages))).data == "hello"
        near.proxy.cut()
        await until(lambda: client.stats.recoveries == 1)
        stats = client.stats
        frames = notes.frames.copy()
    assert [state for state, _ in notes.states] == [
        State.CONNECTING,
        State.CONNECTED,
        State.RECOVERING,
        State.CONNECTED,
        State.STOPPING,
        State.STOPPED,
    ]
    assert notes.states[0][1] == "start"
    assert [(kind, outcome) for kind, _, outcome in notes.calls] == [
        ("join-group", "done"),
        ("send-to-group", "done"),
    ]
    assert all(duration >= 0 for _, duration, _ in notes.calls)
    kinds = {(direction, kind) for direction, kind, _ in frames}
    assert {
        ("in", "connected"),
        ("out", "join-group"),
        ("in", "ack"),
        ("out", "send-to-group"),
        ("in", "data-message"),
        ("out", "ping"),
    } <= kinds
    assert sum(size for direction, _, size in frames if direction == "in") == stats.bytes_in
    assert sum(size for direction, _, size in frames if direction == "out") == stats.bytes_out


async def test_observer_hears_how_calls_that_fail_have_ended(near: Near) -> None:
    notes = Notes()
    client = Client(near.url(roles=()), observer=notes)
    with pytest.raises(ClientStateError):
        await client.join_group("g")
    async with client:
        with pytest.raises(SendMessageError):
            await client.send_to_group("g", "x")
        with pytest.raises(ValueError, match="ttl"):
            await client.send_to_group("g", "x", ttl=1000)
        sending = asyncio.ensure_future(client.send_event("e", 1))
        await asyncio.sleep(0)
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
    assert [(kind, outcome) for kind, _, outcome in notes.calls] == [
        ("join-group", "not-sent"),
        ("send-to-group", "rejected"),
        ("send-event", "cancelled"),
    ]


async def test_observer_that_raises_is_logged_once_and_harms_nothing(
    near: Near, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(Observer):
        def on_state(self, *_: object) -> None:
            raise RuntimeError("state")

        def on_frame(self, *_: object) -> None:
            raise RuntimeError("frame")

        def on_operation(self, *_: object) -> None:
            raise RuntimeError("operation")

    async with (
        connect(near.url(), observer=Broken(), name="orders") as client,
        client.messages(group="g") as messages,
    ):
        await client.join_group("g")
        assert (await client.send_to_group("g", "x")).ack_id == 2
        assert (await soon(anext(messages))).data == "x"
    lines = [r for r in caplog.records if r.levelno >= logging.ERROR]
    assert [r.getMessage() for r in lines] == [
        "[orders] the observer failed; further errors in it are not logged"
    ]
    assert lines[0].exc_info is not None
    assert str(lines[0].exc_info[1]) == "state"


async def test_observer_of_the_blocking_twin_hears_in_its_thread(near: Near) -> None:
    url, notes = near.url(), Notes()

    def work() -> None:
        with SyncClient(url, observer=notes) as client:
            client.send_to_group("g", "x")

    await asyncio.to_thread(work)
    assert [(kind, outcome) for kind, _, outcome in notes.calls] == [("send-to-group", "done")]
    assert notes.threads == {"hubbub client"}


def test_observer_of_a_fault_of_ours_hears_that_the_client_is_stopped() -> None:
    notes = Notes()

    async def work() -> None:
        client = Client("ws://127.0.0.1:1/client/hubs/chat", observer=notes)
        client._driver.break_down(RuntimeError("a fault"))
        assert client._driver.log.fields["state"] == "stopped"

    asyncio.run(work())
    assert notes.states == [(State.STOPPED, "internal-error")]


def test_observer_that_is_not_given_changes_nothing_of_the_short_way() -> None:
    plain: Any = Client("ws://127.0.0.1:1/client/hubs/chat")
    watched: Any = Client("ws://127.0.0.1:1/client/hubs/chat", observer=Observer())
    assert plain._driver.read is read_response
    assert type(plain._calls) is Calls
    assert plain._driver.watch is None
    assert watched._driver.read is not read_response
