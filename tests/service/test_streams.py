"""Streams of a publisher to which something happens in between."""

import asyncio
from typing import Any

import pytest
from tests.service.kinds import JSON, RELIABLE
from tests.service.test_hub_recovery import FakeSocket, lose, make_connection

from hubbub.protocol.json_codec import decode_response
from hubbub.protocol.messages import (
    Connected,
    DataMessage,
    StreamAck,
    StreamClosed,
    StreamData,
    StreamEnd,
    StreamError,
    StreamStart,
    text_payload,
)
from hubbub.protocol.roles import Permission, Permissions
from hubbub.protocol.service_session import State
from hubbub.service import streams as streams_module
from hubbub.service.connection import Connection, Lane
from hubbub.service.engine.interface import NodeInfo
from hubbub.service.engine.memory import MemoryEngine
from hubbub.service.forms import Form
from hubbub.service.hub import Hub
from hubbub.service.observe import Counts
from hubbub.service.settings import Settings
from hubbub.service.streams import Streams
from hubbub.service.upstream import Upstream


@pytest.fixture
async def hub() -> Hub:
    settings = Settings()
    engine = MemoryEngine()
    await engine.open(NodeInfo("n1", "1"))
    upstream = Upstream(settings, ("key",))
    return Hub("hub1", settings, engine, upstream, Counts(), lambda hub, connection_id: "token")


def join(hub: Hub, name: str, *groups: str, form: Form = JSON) -> tuple[Connection, FakeSocket]:
    connection, socket = make_connection(form, name), FakeSocket()
    connection.session.permissions = Permissions(("webpubsub.sendToGroup",))
    hub.admit(connection, socket, groups)
    return connection, socket


def heard(socket: FakeSocket) -> list[Any]:
    """What came behind `connected`."""
    found = [
        decode_response(one[one.index(b'{"') :])
        for data in socket.transport.written
        for one in data.replace(b"\x81", b"\n").split(b"\n")
        if b'{"' in one
    ]
    return [message for message in found if not isinstance(message, Connected)]


async def until(condition: Any) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.001)


async def test_idle_timer_ends_with_the_hub(hub: Hub) -> None:
    publisher, _ = join(hub, "p")
    Streams(hub).take(publisher, StreamStart("g", "s", 60_000))
    timer = publisher.stream_timer
    assert timer is not None
    hub.close()
    assert timer.cancelled()


async def test_publisher_that_may_send_no_more_ends_its_stream_as_forbidden(hub: Hub) -> None:
    publisher, socket = join(hub, "p")
    _, member = join(hub, "m", "g")
    streams = Streams(hub)
    streams.take(publisher, StreamStart("g", "s"))
    publisher.session.permissions.revoke(Permission.SEND_TO_GROUP, "g")
    streams.take(publisher, StreamEnd("s", StreamError("UserError", "what it may not say")))
    hub.flush()
    *_, closed = heard(socket)
    assert isinstance(closed, StreamClosed)
    assert closed.error is not None
    assert closed.error.name == "Forbidden"
    (end,) = heard(member)
    assert (end.stream.is_end, end.stream.error.name) == (True, "Forbidden")
    assert "may not say" not in end.stream.error.message


async def test_stream_that_is_idle_while_its_publisher_is_away_is_told_at_the_return(
    hub: Hub,
) -> None:
    publisher, _ = join(hub, "p", form=RELIABLE)
    streams = Streams(hub)
    streams.take(publisher, StreamStart("g", "short", 20))
    streams.take(publisher, StreamStart("g", "long"))
    lose(hub, publisher)
    await until(lambda: publisher.streams is not None and len(publisher.streams) == 1)
    again = FakeSocket()
    assert hub.recover(publisher, again)
    closed, stands_at = heard(again)
    assert isinstance(closed, StreamClosed)
    assert (closed.stream_id, closed.error and closed.error.name) == ("short", "IdleTimeout")
    assert stands_at == StreamAck("long", 1)
    hub.close()


async def test_stream_is_not_idle_while_its_publisher_waits_for_its_own_event(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams_module, "_LOOK_AGAIN_S", 0.01)
    publisher, socket = join(hub, "p")
    streams = Streams(hub)
    streams.take(publisher, StreamStart("g", "s", 20))
    publisher.lane = Lane()
    first = publisher.stream_timer
    await until(lambda: publisher.stream_timer is not first)
    assert heard(socket) == [StreamAck("s", 1)]
    publisher.lane = None
    await until(lambda: len(heard(socket)) == 2)
    assert heard(socket)[1].error.name == "IdleTimeout"


async def test_no_fragment_follows_the_end_when_its_own_message_turned_the_publisher_out(
    hub: Hub,
) -> None:
    publisher, socket = join(hub, "p", "slow")
    _, member = join(hub, "m", "g")
    streams = Streams(hub)
    streams.take(publisher, StreamStart("g", "s"))
    socket.outbox.pause()
    for _ in range(socket.outbox.max_messages + 1):
        hub.send_to_group("slow", text_payload("x"), publisher="p")
    streams.take(publisher, StreamData("s", 1, text_payload("late")))
    hub.flush()
    assert publisher.session.state is State.ENDED
    (end,) = heard(member)
    assert isinstance(end, DataMessage)
    assert end.stream is not None
    assert end.stream.is_end
