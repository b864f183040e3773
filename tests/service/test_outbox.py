"""The send queue of one socket."""

import asyncio
from typing import cast

import pytest

from hubbub.service.outbox import Outbox


class FakeTransport:
    """Takes `room` writes, then says that it is full, as a transport does."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.room = 1_000_000
        self.outbox: Outbox | None = None

    def write(self, data: bytes) -> None:
        self.written.append(data)
        self.room -= 1
        if self.room == 0 and self.outbox is not None:
            self.outbox.pause()


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def transport() -> FakeTransport:
    return FakeTransport()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def outbox(transport: FakeTransport, clock: Clock) -> Outbox:
    outbox = Outbox(cast(asyncio.Transport, transport), max_messages=3, max_bytes=100, now=clock)
    transport.outbox = outbox
    return outbox


def test_open_outbox_writes_through(outbox: Outbox, transport: FakeTransport) -> None:
    assert outbox.write(b"a" * 1000)
    assert transport.written == [b"a" * 1000]
    assert outbox.queued_bytes == 0


def test_paused_outbox_queues_and_keeps_order(outbox: Outbox, transport: FakeTransport) -> None:
    outbox.pause()
    assert outbox.write(b"a")
    assert outbox.write(b"b")
    assert transport.written == []
    outbox.resume()
    outbox.write(b"c")
    assert transport.written == [b"a", b"b", b"c"]
    assert (outbox.queued_messages, outbox.queued_bytes) == (0, 0)


def test_transport_that_fills_up_again_stops_the_resume(
    outbox: Outbox, transport: FakeTransport
) -> None:
    outbox.pause()
    for data in (b"a", b"b", b"c"):
        outbox.write(data)
    transport.room = 1
    outbox.resume()
    assert transport.written == [b"a"]
    assert outbox.queued_messages == 2
    outbox.resume()
    assert transport.written == [b"a", b"b", b"c"]


@pytest.mark.parametrize(("messages", "is_taken"), [(2, True), (3, True), (4, False)])
def test_queue_is_bounded_in_messages(outbox: Outbox, messages: int, is_taken: bool) -> None:
    outbox.pause()
    assert outbox.write(b"joined", messages) is is_taken


@pytest.mark.parametrize(("size", "is_taken"), [(99, True), (100, True), (101, False)])
def test_queue_is_bounded_in_bytes(outbox: Outbox, size: int, is_taken: bool) -> None:
    outbox.pause()
    assert outbox.write(b"x" * size) is is_taken
    assert outbox.queued_bytes == (size if is_taken else 0)


def test_expired_data_is_dropped_when_its_turn_comes(
    outbox: Outbox, transport: FakeTransport, clock: Clock
) -> None:
    outbox.pause()
    outbox.write(b"old", expires_at=5.0)
    outbox.write(b"kept", expires_at=5.1)
    clock.now = 5.0
    outbox.resume()
    assert transport.written == [b"kept"]
    assert outbox.expired == 1


def test_expired_data_makes_room_before_the_reader_is_too_slow(
    outbox: Outbox, transport: FakeTransport, clock: Clock
) -> None:
    outbox.pause()
    for data, expires_at in ((b"a", 5.0), (b"b", None), (b"c", 5.0)):
        assert outbox.write(data, expires_at=expires_at)
    assert not outbox.write(b"d")
    clock.now = 5.0
    assert outbox.write(b"d")
    assert outbox.write(b"e")
    assert not outbox.write(b"f")
    assert (outbox.queued_messages, outbox.queued_bytes, outbox.expired) == (3, 3, 2)
    outbox.resume()
    assert transport.written == [b"b", b"d", b"e"]


def test_finish_is_the_last_write(outbox: Outbox, transport: FakeTransport) -> None:
    outbox.pause()
    outbox.write(b"a")
    outbox.finish(b"close")
    outbox.finish(b"close again")
    assert outbox.write(b"late")
    outbox.resume()
    assert transport.written == [b"a", b"close"]


def test_finish_fits_even_when_the_queue_is_full(outbox: Outbox, transport: FakeTransport) -> None:
    outbox.pause()
    outbox.write(b"x" * 100)
    outbox.drop_queue()
    outbox.finish(b"close")
    outbox.resume()
    assert transport.written == [b"close"]
