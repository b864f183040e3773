"""Encoding once, joining, sharing: what reaches whom in which bytes."""

import asyncio
import json
from typing import cast

import pytest
from tests.service.kinds import JSON, KINDS, PROTOBUF, PROTOBUF_RELIABLE, RELIABLE

from hubbub.protocol.messages import DataMessage, DataType, Payload, text_payload
from hubbub.protocol.protobuf_codec import decode_response
from hubbub.protocol.roles import Permissions
from hubbub.protocol.service_session import ServiceSession
from hubbub.service.connection import Connection, Socket
from hubbub.service.delivery import Batch, Group, batches, fan_out
from hubbub.service.forms import PLAIN, Form, Outgoing
from hubbub.service.outbox import Outbox
from hubbub.service.upstream import EventSource


class Wire:
    """A socket that keeps what is written, buffer by buffer."""

    def __init__(self) -> None:
        self.buffers: list[bytes] = []
        self.outbox = Outbox(
            cast(asyncio.Transport, self), max_messages=5, max_bytes=10_000, now=lambda: 0.0
        )

    def write(self, data: bytes) -> None:
        self.buffers.append(data)

    @property
    def frames(self) -> list[bytes]:
        """Payloads, frame by frame."""
        data, found = b"".join(self.buffers), []
        while data:
            size, start = data[1], 2
            if size == 126:
                size, start = int.from_bytes(data[2:4], "big"), 4
            found.append(data[start : start + size])
            data = data[start + size :]
        return found


def member(name: str, form: Form) -> tuple[Connection, Wire]:
    source = EventSource(hub="h", connection_id=name, origin="localhost")
    session = ServiceSession(
        name, Permissions(()), is_reliable=form.is_reliable, max_unacknowledged=5
    )
    connection = Connection(session, source, form=form, subprotocol=None)
    wire = Wire()
    connection.attach(cast(Socket, wire))
    return connection, wire


def text(data: str, expires_at: float | None = None) -> Outgoing:
    return Outgoing(DataMessage(text_payload(data), "g"), expires_at=expires_at)


def group_of(*members: Connection) -> Group:
    group = Group("g")
    for connection in members:
        group.members[connection.id] = connection
    return group


NOBODY: frozenset[str] = frozenset()


def test_members_of_one_kind_share_one_joined_buffer() -> None:
    (a, wire_a), (b, wire_b) = member("a", JSON), member("b", JSON)
    group = group_of(a, b)
    for data in ("1", "2", "3"):
        group.add(text(data), NOBODY)
    assert group.flush() == []
    assert len(wire_a.buffers) == 1
    assert wire_a.buffers[0] is wire_b.buffers[0]
    assert [json.loads(frame)["data"] for frame in wire_a.frames] == ["1", "2", "3"]
    assert group.flush() == []
    assert len(wire_a.buffers) == 1


def test_reliable_members_in_step_share_and_others_get_their_own_numbers() -> None:
    (a, wire_a), (b, wire_b), (late, wire_late) = (member(n, RELIABLE) for n in "abl")
    group = group_of(a, b)
    group.add(text("1"), NOBODY)
    group.flush()
    group.members["l"] = late
    group.add(text("2"), NOBODY)
    group.flush()
    assert wire_a.buffers[1] is wire_b.buffers[1]
    assert [json.loads(f)["sequenceId"] for f in wire_a.frames] == [1, 2]
    assert [json.loads(f)["sequenceId"] for f in wire_late.frames] == [1]


def test_protobuf_members_share_and_reliable_ones_get_their_own_numbers() -> None:
    (a, wire_a), (b, wire_b) = member("a", PROTOBUF), member("b", PROTOBUF)
    (early, wire_early), (late, wire_late) = (member(n, PROTOBUF_RELIABLE) for n in "el")
    group = group_of(a, b, early)
    group.add(text("1"), NOBODY)
    group.flush()
    group.members["l"] = late
    group.add(text("2"), NOBODY)
    group.add(text("3"), NOBODY)
    group.flush()
    assert len(wire_a.buffers) == 2
    assert wire_a.buffers[1] is wire_b.buffers[1]
    assert wire_early.buffers[1] is not wire_late.buffers[0]

    def got(wire: Wire) -> list[tuple[int | None, bytes]]:
        messages = [decode_response(frame) for frame in wire.frames]
        assert all(isinstance(m, DataMessage) for m in messages)
        return [(m.sequence_id, m.payload.raw) for m in messages if isinstance(m, DataMessage)]

    assert got(wire_a) == [(None, b"1"), (None, b"2"), (None, b"3")]
    assert got(wire_early) == [(1, b"1"), (2, b"2"), (3, b"3")]
    assert got(wire_late) == [(1, b"2"), (2, b"3")]


def test_payload_is_encoded_for_the_kinds_that_are_there_alone() -> None:
    """A group of protobuf clients costs no base64, one of JSON clients no protobuf."""
    message = Outgoing(DataMessage(Payload(DataType.BINARY, raw=b"x"), "g"))
    fan_out([member("p", PROTOBUF)[0]], Batch((message,)))
    assert (message.json_tail, message.protobuf_body is None) == (None, False)
    message = Outgoing(DataMessage(Payload(DataType.BINARY, raw=b"x"), "g"))
    fan_out([member("j", JSON)[0], member("r", RELIABLE)[0]], Batch((message,)))
    assert (message.json_tail is None, message.protobuf_body) == (False, None)


@pytest.mark.parametrize("form", KINDS)
def test_size_of_a_message_is_about_that_of_its_frames(form: Form) -> None:
    """Bounds of queues count it before any frame is made."""
    metadata = {"k" * 200: "v" * 1000}
    message = Outgoing(DataMessage(text_payload("x" * 1000), "g" * 500, metadata=metadata))
    around = 0 if form is PLAIN else 1700
    assert 1000 + around <= len(message.frame(form)) <= message.size <= 2850


def test_plain_members_get_bare_payloads_in_the_right_frames() -> None:
    plain, wire = member("p", PLAIN)
    payloads = [
        Payload(DataType.JSON, raw=b'{"a": 1}'),
        text_payload("hi"),
        Payload(DataType.BINARY, raw=b"\x00"),
        Payload(DataType.PROTOBUF, raw=b"\x01"),
    ]
    fan_out([plain], Batch(tuple(Outgoing(DataMessage(p, "g")) for p in payloads)))
    assert wire.frames == [b'{"a": 1}', b"hi", b"\x00", b"\x01"]
    heads = [0x81, 0x81, 0x82, 0x82]
    assert wire.buffers[0].startswith(bytes([heads[0]]))
    assert [head in wire.buffers[0] for head in heads] == [True] * 4


def test_excluded_member_misses_only_what_it_must_not_get() -> None:
    (a, wire_a), (b, wire_b) = member("a", JSON), member("b", RELIABLE)
    group = group_of(a, b)
    group.add(text("1"), frozenset("a"))
    group.add(text("2"), NOBODY)
    group.add(text("3"), frozenset(("b", "stranger")))
    group.flush()
    assert [json.loads(frame)["data"] for frame in wire_a.frames] == ["2", "3"]
    got = [json.loads(frame) for frame in wire_b.frames]
    assert [(m["sequenceId"], m["data"]) for m in got] == [(1, "1"), (2, "2")]


def test_messages_that_expire_stand_alone_and_order_is_kept() -> None:
    messages = [text("1"), text("2"), text("3", 5.0), text("4")]
    parts = batches(messages)
    assert [part.messages for part in parts] == [
        (messages[0], messages[1]),
        (messages[2],),
        (messages[3],),
    ]
    assert [part.expires_at for part in parts] == [None, 5.0, None]


def test_slow_member_is_named_and_the_others_get_everything() -> None:
    (slow, slow_wire), (quick, wire) = member("s", JSON), member("q", JSON)
    slow_wire.outbox.pause()
    group = group_of(slow, quick)
    found = []
    for i in range(6):
        group.add(text(str(i)), NOBODY)
        found.append(group.flush())
    assert found == [[], [], [], [], [], [slow]]
    assert len(wire.frames) == 6
    assert slow_wire.buffers == []


def test_away_member_keeps_messages_and_overflows_at_its_limit() -> None:
    away, wire = member("a", RELIABLE)
    away.detach()
    group = group_of(away)
    for i in range(5):
        group.add(text(str(i)), NOBODY)
        assert group.flush() == []
    group.add(text("one too many"), NOBODY)
    assert group.flush() == [away]
    assert wire.buffers == []


@pytest.mark.parametrize("size", [0, 125, 126, 65_535, 65_536])
def test_frame_head_fits_every_size(size: int) -> None:
    frame = Outgoing(DataMessage(Payload(DataType.BINARY, raw=b"x" * size))).frame(PLAIN)
    assert frame.endswith(b"x" * size)
    assert len(frame) - size == (2 if size < 126 else 4 if size < 65_536 else 10)
