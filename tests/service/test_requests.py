"""Requests of one connection where something inside goes wrong."""

import asyncio
from typing import Any

import pytest
from tests.service.kinds import JSON
from tests.service.test_hub_recovery import FakeSocket, make_connection

from hubbub.protocol import limits
from hubbub.protocol.json_codec import decode_response
from hubbub.protocol.messages import (
    Ack,
    Invoke,
    InvokeResponse,
    JoinGroup,
    SendEvent,
    SendToGroup,
    SetGroupState,
    SubscribeGroupState,
    text_payload,
)
from hubbub.protocol.roles import Permissions
from hubbub.protocol.service_session import State
from hubbub.service.engine.interface import NodeInfo
from hubbub.service.engine.memory import MemoryEngine
from hubbub.service.hub import Hub
from hubbub.service.observe import Counts
from hubbub.service.requests import Requests
from hubbub.service.settings import Settings
from hubbub.service.upstream import EventAnswer, EventSource, Upstream


class BrokenUpstream(Upstream):
    pause_s = 0.0

    async def user_event(self, source: EventSource, *_: Any, **__: Any) -> EventAnswer:
        await asyncio.sleep(self.pause_s)
        raise ZeroDivisionError("a fault of ours")


async def make_requests() -> tuple[Hub, Requests]:
    settings = Settings()
    engine = MemoryEngine()
    await engine.open(NodeInfo("n1", "1"))
    upstream = BrokenUpstream(settings, ("key",))
    hub = Hub("hub1", settings, engine, upstream, Counts(), lambda hub, connection_id: "token")
    return hub, Requests(hub, upstream, Counts(), drop_on_event_failure=False)


async def test_event_that_fails_for_a_fault_of_ours_ends_the_connection() -> None:
    """Else the requests behind it would be lost, and a full lane never read again."""
    hub, requests = await make_requests()
    connection, socket = make_connection(JSON), FakeSocket()
    hub.admit(connection, socket, ())
    for ack_id in range(3):
        requests.take(connection, SendEvent("e", text_payload("x"), ack_id), 600_000)
    assert not socket.is_reading
    await requests.finish(1)
    assert socket.closed == 1011
    assert connection.session.state is State.ENDED
    assert connection.lane is None


async def test_nothing_overtakes_an_event_that_a_drain_has_cancelled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(BrokenUpstream, "pause_s", 60)
    hub, requests = await make_requests()
    connection, socket = make_connection(JSON), FakeSocket()
    connection.session.permissions = Permissions(("webpubsub.joinLeaveGroup",))
    hub.admit(connection, socket, ())
    requests.take(connection, SendEvent("e", text_payload("x"), 1), 10)
    requests.take(connection, JoinGroup("before", 2), 10)
    await requests.finish(0)
    requests.take(connection, JoinGroup("after", 3), 10)
    assert hub.groups == {}
    assert len(socket.transport.written) == 1, "only `connected`"


async def test_invocation_that_fails_for_a_fault_of_ours_is_answered() -> None:
    hub, requests = await make_requests()
    connection, socket = make_connection(JSON), FakeSocket()
    hub.admit(connection, socket, ())
    requests.take(connection, Invoke("i1", "e"), 10)
    await requests.finish(1)
    last = socket.transport.written[-1]
    response = decode_response(last[last.index(b"{") :])
    assert isinstance(response, InvokeResponse)
    assert response.error is not None
    assert response.error.name == "InternalServerError"
    assert not connection.session.invocations
    assert not connection.invocation_tasks


async def test_subscription_whose_ack_is_too_much_for_the_client_leaves_nothing() -> None:
    hub, requests = await make_requests()
    connection, socket = make_connection(JSON), FakeSocket()
    connection.session.permissions = Permissions(("webpubsub.joinLeaveGroup",))
    hub.admit(connection, socket, ())
    socket.outbox.pause()
    while socket.outbox.write(b"x"):
        pass
    requests.take(connection, SubscribeGroupState("g", 1), 10)
    assert socket.closed == 1008
    assert hub._states._groups == {}
    assert hub._states._groups_of == {}


async def test_group_state_beyond_the_bounds_is_refused_and_changes_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "MAX_GROUP_STATES", 1)
    hub, requests = await make_requests()
    connection, socket = make_connection(JSON), FakeSocket()
    connection.session.permissions = Permissions(("webpubsub.joinLeaveGroup",))
    hub.admit(connection, socket, ("g", "h"))
    requests.take(connection, SetGroupState("g", {"k": "v"}, 1), 10)
    for request in (SetGroupState("h", {}, 2), SubscribeGroupState("h", 2)):
        requests.take(connection, request, 10)
        last = socket.transport.written[-1]
        ack = decode_response(last[last.index(b"{") :])
        assert isinstance(ack, Ack)
        assert (ack.ack_id, ack.error and ack.error.name) == (2, "BadRequest")
    assert hub._states._groups.keys() == {"g"}


async def test_change_of_group_state_comes_after_what_was_sent_before_it() -> None:
    hub, requests = await make_requests()
    connection, socket = make_connection(JSON), FakeSocket()
    connection.session.permissions = Permissions(
        ("webpubsub.joinLeaveGroup", "webpubsub.sendToGroup")
    )
    hub.admit(connection, socket, ("g",))
    requests.take(connection, SubscribeGroupState("g"), 10)
    requests.take(connection, SendToGroup("g", text_payload("typed")), 10)
    requests.take(connection, SetGroupState("g", {"typing": "no"}), 10)
    await asyncio.sleep(0)
    assert [b"typed" in data for data in socket.transport.written[-2:]] == [True, False]
