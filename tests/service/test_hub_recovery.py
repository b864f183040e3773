"""One hub without sockets: who is still in it when things come together in one tick."""

import asyncio
from typing import cast

import pytest
from tests.service.kinds import JSON, KINDS, RELIABLE

from hubbub.protocol.messages import Ack, DataType, Payload, SendToGroup, text_payload
from hubbub.protocol.roles import Permissions
from hubbub.protocol.service_session import Input, ServiceSession, State
from hubbub.service.connection import Connection, Lane
from hubbub.service.engine.interface import NodeInfo
from hubbub.service.engine.memory import MemoryEngine
from hubbub.service.forms import PLAIN, Form
from hubbub.service.frames import TEXT, frame
from hubbub.service.hub import Hub
from hubbub.service.observe import Counts
from hubbub.service.outbox import Outbox
from hubbub.service.settings import Settings
from hubbub.service.upstream import EventSource, Upstream

MAX_QUEUED = 3


class FakeTransport:
    def __init__(self) -> None:
        self.written: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.written.append(data)


class FakeSocket:
    """A socket whose outbox is real; `closed` holds the close code."""

    def __init__(self) -> None:
        self.transport = FakeTransport()
        self.outbox = Outbox(
            cast(asyncio.Transport, self.transport),
            max_messages=MAX_QUEUED,
            max_bytes=1_000_000,
            now=asyncio.get_running_loop().time,
        )
        self.closed: int | None = None
        self.is_aborted = False
        self.is_reading = True

    def close(self, code: int, reason: str) -> None:
        self.closed = code

    def abort(self) -> None:
        self.is_aborted = True

    def pause_reading(self) -> None:
        self.is_reading = False

    def resume_reading(self) -> None:
        self.is_reading = True


@pytest.fixture
async def hub() -> Hub:
    settings = Settings()
    engine = MemoryEngine()
    await engine.open(NodeInfo("n1", "1"))
    upstream = Upstream(settings, ("key",))
    return Hub("hub1", settings, engine, upstream, Counts(), lambda hub, connection_id: "token")


def make_connection(form: Form, connection_id: str = "c1") -> Connection:
    session = ServiceSession(
        connection_id,
        Permissions(()),
        is_reliable=form.is_reliable,
        max_unacknowledged=MAX_QUEUED,
    )
    source = EventSource(hub="hub1", connection_id=connection_id, origin="localhost")
    return Connection(session, source, form=form, subprotocol=None)


def lose(hub: Hub, connection: Connection) -> None:
    socket = connection.socket
    assert socket is not None
    hub.socket_ended(connection, socket, Input.SOCKET_LOST, "Normal")


async def test_recovery_when_the_tick_before_it_overflows_the_session_is_refused(hub: Hub) -> None:
    connection = make_connection(RELIABLE)
    hub.admit(connection, FakeSocket(), ("g",))
    lose(hub, connection)
    for _ in range(MAX_QUEUED + 1):
        hub.send_to_group("g", text_payload("x"))
    socket = FakeSocket()
    assert not hub.recover(connection, socket)
    assert connection.session.state is State.ENDED
    assert connection.socket is None
    assert socket.transport.written == []
    assert hub.connections == {}
    assert hub.groups == {}


async def test_recovery_when_the_waiting_acks_do_not_fit_ends_the_session(hub: Hub) -> None:
    """An ack is never left out: the client would wait for it."""
    connection = make_connection(RELIABLE)
    hub.admit(connection, FakeSocket(), ())
    lose(hub, connection)
    for ack_id in range(MAX_QUEUED + 1):
        connection.respond(Ack(ack_id))
    socket = FakeSocket()
    socket.outbox.pause()
    assert hub.recover(connection, socket)
    assert socket.closed == 1008
    assert hub.connections == {}


async def test_recovery_with_a_full_lane_does_not_read_the_new_socket(hub: Hub) -> None:
    connection = make_connection(RELIABLE)
    hub.admit(connection, FakeSocket(), ())
    connection.lane = Lane()
    connection.lane.append(SendToGroup("g", text_payload("x")), 1_048_576)
    lose(hub, connection)
    socket = FakeSocket()
    assert hub.recover(connection, socket)
    assert not socket.is_reading


@pytest.mark.parametrize("form", KINDS)
async def test_slow_client_loses_its_queue_so_that_the_close_frame_is_next(
    hub: Hub, form: Form
) -> None:
    connection, socket = make_connection(form), FakeSocket()
    hub.admit(connection, socket, ("g",))
    socket.outbox.pause()
    for _ in range(MAX_QUEUED + 1):
        hub.send_to_group("g", text_payload("x" * 100))
        hub.flush()
    assert socket.closed == 1008
    before = len(socket.transport.written)
    socket.outbox.resume()
    last = socket.transport.written[before:]
    assert frame(TEXT, b"x" * 100) not in last
    assert len(last) == (0 if form is PLAIN else 1)
    assert hub.connections == {}


async def test_message_that_cannot_be_written_harms_no_other_group(
    hub: Hub, caplog: pytest.LogCaptureFixture
) -> None:
    sockets = []
    for name in ("g1", "g2"):
        sockets.append(FakeSocket())
        hub.admit(make_connection(JSON, name), sockets[-1], (name,))
    hub.send_to_group("g1", Payload(DataType.TEXT, raw=b"\xff"))  # never checked: a fault of ours
    hub.send_to_group("g2", text_payload("after it"))
    hub.flush()
    hub.send_to_group("g1", text_payload("later"))
    hub.flush()
    assert b"later" in sockets[0].transport.written[-1]
    assert b"after it" in sockets[1].transport.written[-1]
    assert "messages of a group were lost" in caplog.text
