"""Membership and filtered sends of a hub, in ticks that have messages pending."""

import asyncio
import json
from types import SimpleNamespace
from typing import Any, cast

import pytest
from tests.service.kinds import JSON, RELIABLE

from hubbub.protocol.filters import compile_filter
from hubbub.protocol.messages import text_payload
from hubbub.protocol.roles import Permissions
from hubbub.protocol.service_session import ServiceSession
from hubbub.service.connection import Connection, Socket
from hubbub.service.engine.interface import Engine, HealthState
from hubbub.service.forms import Form
from hubbub.service.hub import Hub
from hubbub.service.observe import Counts
from hubbub.service.outbox import Outbox
from hubbub.service.settings import Settings
from hubbub.service.upstream import EventSource, Upstream


class Wire:
    """A socket that keeps what is written. `is_slow`: it takes nothing, and two messages wait."""

    def __init__(self, is_slow: bool) -> None:
        self.written = b""
        self.closed: int | None = None
        self.outbox = Outbox(
            cast(asyncio.Transport, self), max_messages=2, max_bytes=100_000, now=lambda: 0.0
        )
        if is_slow:
            self.outbox.pause()

    def write(self, data: bytes) -> None:
        self.written += data

    def close(self, code: int, reason: str) -> None:
        self.closed = code

    @property
    def data(self) -> list[str]:
        """Data of the messages, in order."""
        rest, found = self.written, []
        while rest:
            size, start = rest[1], 2
            if size == 126:
                size, start = int.from_bytes(rest[2:4], "big"), 4
            message = json.loads(rest[start : start + size])
            if message["type"] == "message":
                found.append(message["data"])
            rest = rest[start + size :]
        return found


@pytest.fixture
async def hub() -> Hub:
    ignore = SimpleNamespace(connected=lambda source: None, disconnected=lambda *_: None)
    engine = SimpleNamespace(health=HealthState.UP)
    return Hub(
        "h", Settings(), cast(Engine, engine), cast(Upstream, ignore), Counts(), lambda *_: "t"
    )


def connect(
    hub: Hub, name: str, *groups: str, is_slow: bool = False, form: Form = JSON, **source: Any
) -> tuple[Connection, Wire]:
    session = ServiceSession(name, Permissions(()), is_reliable=form.is_reliable)
    origin = EventSource(hub="h", connection_id=name, origin="localhost", **source)
    connection = Connection(session, origin, form=form, subprotocol="json")
    wire = Wire(is_slow)
    hub.admit(connection, cast(Socket, wire), groups)
    return connection, wire


def overflow(hub: Hub, group: str) -> None:
    """More than a slow member takes, still pending."""
    for data in ("1", "2", "3"):
        hub.send_to_group(group, text_payload(data))


async def test_join_when_the_last_member_is_turned_out_meanwhile_gets_later_messages(hub):
    connect(hub, "slow", "g", is_slow=True)
    member, wire = connect(hub, "member")
    overflow(hub, "g")
    hub.join_group(member, "g")
    assert list(hub.connections) == ["member"]
    hub.send_to_group("g", text_payload("later"))
    hub.flush()
    assert wire.data == ["later"]
    hub.leave_group(member, "g")
    assert hub.groups == {}


@pytest.mark.parametrize("act", ["join", "leave", "leave all"])
async def test_slow_client_that_is_turned_out_by_its_own_change_is_in_no_group(hub, act):
    slow, wire = connect(hub, "slow", "g", "h", is_slow=True)
    overflow(hub, "g")
    if act == "join":
        hub.join_group(slow, "g")
    elif act == "leave":
        hub.leave_group(slow, "h")
    else:
        hub.leave_all_groups(slow)
    assert wire.closed == 1008
    assert (hub.connections, hub.groups, slow.groups) == ({}, {}, set())


async def test_who_has_left_the_hub_joins_no_group(hub):
    gone, _ = connect(hub, "gone")
    hub.close_for_app_server(gone, "bye")
    hub.join_group(gone, "g")
    assert hub.groups == {}


async def test_close_for_app_server_when_it_has_ended_counts_nothing(hub):
    gone, wire = connect(hub, "gone")
    for _ in range(2):
        hub.close_for_app_server(gone, "bye")
    assert wire.closed == 1000
    assert (hub._counts["closed.ClosedByAppServer"], hub._counts["connections.ended"]) == (1, 1)


async def test_leave_all_groups_comes_after_what_was_sent_before(hub):
    member, wire = connect(hub, "member", "g", "h")
    hub.send_to_group("g", text_payload("before"))
    hub.leave_all_groups(member)
    hub.send_to_group("g", text_payload("after"))
    hub.flush()
    assert wire.data == ["before"]


# --- filters ---------------------------------------------------------------------------------


async def test_filtered_send_keeps_its_place_among_the_messages_of_the_group(hub):
    _, wire_u = connect(hub, "c1", "g", user_id="u")
    _, wire_v = connect(hub, "c2", "g", user_id="v")
    only_u = compile_filter("userId eq 'u'")
    for data, matches in (("1", None), ("2", only_u), ("3", None), ("4", only_u), ("5", None)):
        hub.send_to_group("g", text_payload(data), matches=matches)
    hub.flush()
    assert wire_u.data == ["1", "2", "3", "4", "5"]
    assert wire_v.data == ["1", "3", "5"]


async def test_filter_asks_the_candidates_of_the_operation_only(hub):
    for name, groups, user in (("c1", ("g",), "u"), ("c2", ("g",), "v"), ("c3", (), "u")):
        connect(hub, name, *groups, user_id=user)
    asked: list[str] = []

    def matches(attributes):
        asked.append(attributes.connection_id)
        return True

    hub.send_to_group("g", text_payload("x"), excluded=frozenset(["c2"]), matches=matches)
    assert asked == ["c1"]
    asked.clear()
    hub.send_to_user("u", text_payload("x"), matches=matches)
    assert asked == ["c1", "c3"]
    asked.clear()
    hub.send_to_all(text_payload("x"), excluded=frozenset(["c1"]), matches=matches)
    assert asked == ["c2", "c3"]
    asked.clear()
    hub.send_to_group("nobody", text_payload("x"), matches=matches)
    assert asked == []


async def test_filter_sees_the_connection_as_it_is_now(hub):
    member, _ = connect(hub, "c1", user_id="u")
    anonymous, _ = connect(hub, "c2")
    assert member.attributes == ("c1", "u", set(), "json")
    assert anonymous.attributes == ("c2", None, set(), "json")
    hub.join_group(member, "g")
    assert member.attributes.groups == {"g"}
    hub.leave_group(member, "g")
    assert member.attributes.groups == set()


async def test_filtered_send_reaches_a_reliable_client_that_is_away(hub):
    member, wire = connect(hub, "c1", "g", form=RELIABLE, user_id="u")
    member.detach()
    hub.send_to_group("g", text_payload("x"), matches=compile_filter("userId eq 'u'"))
    hub.send_to_group("g", text_payload("y"), matches=compile_filter("userId ne 'u'"))
    unacknowledged = member.session.unacknowledged
    assert unacknowledged is not None
    assert [number for number, _ in unacknowledged.replay(0)] == [1]
    assert wire.data == []


async def test_filtered_send_turns_out_a_slow_client(hub):
    _, wire = connect(hub, "slow", "g", is_slow=True, user_id="u")
    for data in ("1", "2", "3"):
        hub.send_to_group("g", text_payload(data), matches=compile_filter("true"))
    assert wire.closed == 1008
    assert hub.connections == {}
