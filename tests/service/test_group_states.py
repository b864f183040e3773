"""States of connections in groups: what one of them may hold, and what a subscriber gets."""

from typing import Any

import pytest
from tests.service.kinds import JSON
from tests.service.test_hub_recovery import FakeSocket, make_connection

from hubbub.protocol import limits
from hubbub.protocol.json_codec import decode_response
from hubbub.protocol.messages import GroupStateSnapshot, GroupStateUpdate
from hubbub.service import group_states
from hubbub.service.connection import Connection
from hubbub.service.group_states import GroupStates


@pytest.fixture
def states() -> GroupStates:
    return GroupStates(lambda: None, now=lambda: 1.0)


def watcher() -> tuple[Connection, FakeSocket]:
    connection, socket = make_connection(JSON, "watcher"), FakeSocket()
    connection.attach(socket)
    return connection, socket


def heard(socket: FakeSocket) -> list[Any]:
    return [decode_response(data[data.index(b"{") :]) for data in socket.transport.written]


async def test_connection_has_states_and_subscriptions_in_so_many_groups_only(
    states: GroupStates, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "MAX_GROUP_STATES", 3)
    connection, _ = watcher()
    states.set(connection, "a", {"k": "v"})
    states.subscribe(connection, "a")
    states.subscribe(connection, "b")
    states.set(connection, "c", {})
    assert "3 groups" in states.fault(connection, "d")
    assert "3 groups" in states.fault(connection, "d", {})
    assert states.fault(connection, "a", {"k": "w"}) == ""
    assert states.fault(connection, "c") == ""
    states.unsubscribe(connection, "b")
    assert states.fault(connection, "d") == ""


async def test_what_is_cleared_and_unsubscribed_leaves_nothing(states: GroupStates) -> None:
    connection, _ = watcher()
    for group in ("a", "b"):
        states.subscribe(connection, group)
        states.set(connection, group, {"k": "v"})
        states.unsubscribe(connection, group)
        states.unsubscribe(connection, group)
        states.set(connection, group, None)
        states.set(connection, group, None)
    assert states._groups == {}
    assert states._groups_of == {}


async def test_states_of_a_group_have_a_bound_together(
    states: GroupStates, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "MAX_GROUP_STATES_BYTES", 1000)
    one, other = make_connection(JSON, "one"), make_connection(JSON, "other")
    for _ in range(5):
        assert states.fault(one, "g", {"k": "x" * 400}) == ""
        states.set(one, "g", {"k": "x" * 400})
    assert "together" in states.fault(other, "g", {"k": "x" * 400})
    assert "together" in states.fault(other, "g", {"k": "\0" * 70}), "as it is on the wire"
    assert states.fault(other, "g", {"k": "x" * 70}) == ""
    assert states.fault(other, "other group", {"k": "x" * 400}) == ""
    states.gone(one)
    assert states.fault(other, "g", {"k": "x" * 400}) == ""


async def test_state_of_many_short_keys_is_too_large() -> None:
    many = {f"{number:x}": "" for number in range(limits.MAX_GROUP_STATE_BYTES + 1)}
    assert "too large" in GroupStates(lambda: None).fault(make_connection(JSON), "g", many)


async def test_large_snapshot_goes_on_as_changes(
    states: GroupStates, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group_states, "PART_BYTES", 2000)
    members = [make_connection(JSON, f"c{number}") for number in range(20)]
    for member in members:
        states.set(member, "g", {"k": "x" * 200})
    connection, socket = watcher()
    assert states.subscribe(connection, "g") == []
    first, *others = heard(socket)
    assert isinstance(first, GroupStateSnapshot)
    assert len(others) == 3
    assert all(isinstance(message, GroupStateUpdate) for message in others)
    items = [item for message in (first, *others) for item in message.items]
    assert [item.connection_id for item in items] == [member.id for member in members]
    assert max(len(data) for data in socket.transport.written) <= 2100


async def test_large_snapshot_ends_at_a_reader_that_is_too_slow(
    states: GroupStates, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group_states, "PART_BYTES", 1)
    for number in range(20):
        states.set(make_connection(JSON, f"c{number}"), "g", {})
    connection, socket = watcher()
    socket.outbox.pause()
    assert states.subscribe(connection, "g") == [connection]
    assert socket.outbox.queued_messages == 3


async def test_changes_of_a_tick_are_told_together_and_in_order() -> None:
    calls: list[str] = []
    states = GroupStates(lambda: calls.append("changed"), now=lambda: 1.0)
    one, other = make_connection(JSON, "one"), make_connection(JSON, "other")
    states.set(one, "g", {"n": "0"})
    assert calls == [], "nobody subscribes"
    connection, socket = watcher()
    assert states.flush() == states.subscribe(connection, "g") == []
    for number in "12":
        states.set(one, "g", {"n": number})
        states.set(other, "g", {"n": number})
    states.gone(one)
    assert calls == ["changed"]
    assert states.flush() == []
    _, update = heard(socket)
    told = [(item.connection_id, item.state and item.state["n"]) for item in update.items]
    assert told == [("one", "1"), ("other", "1"), ("one", "2"), ("other", "2"), ("one", None)]
    stamps = [item.updated_at for item in update.items if item.connection_id == "one"]
    assert stamps == sorted(set(stamps))
    states.set(other, "g", None)
    assert calls == ["changed"] * 2


async def test_who_unsubscribes_in_the_tick_of_a_change_does_not_hear_of_it(
    states: GroupStates,
) -> None:
    connection, socket = watcher()
    states.subscribe(connection, "g")
    states.set(make_connection(JSON, "one"), "g", {})
    states.left(connection, "g")
    assert states.flush() == []
    assert len(heard(socket)) == 1


async def test_snapshot_is_made_once_for_all_who_subscribe_until_something_changes(
    states: GroupStates,
) -> None:
    member = make_connection(JSON, "one")
    states.set(member, "g", {"n": "1"})
    frames = []
    for change in (None, None, {"n": "2"}, {}):
        if change is not None:
            states.set(member, "g", change or None)
        connection, socket = watcher()
        states.subscribe(connection, "g")
        frames.append(socket.transport.written[0])
    assert frames[0] is frames[1]
    assert [b'"n":"2"' in data for data in frames] == [False, False, True, False]
    assert b'"items":[]' in frames[3]
