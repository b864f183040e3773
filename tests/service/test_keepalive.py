"""The timer that pings all sockets of a hub; its sweeps are called by hand, no time passes."""

import pytest

from hubbub.service.keepalive import _BUCKETS, KeepAlive


class FakeSocket:
    def __init__(self) -> None:
        self.was_heard = True
        self.silent_s = 0.0
        self.is_reading = True
        self.pings = 0

    def ping(self) -> None:
        self.pings += 1


@pytest.fixture
async def keep_alive() -> KeepAlive[FakeSocket]:
    return KeepAlive(10, 30, on_silent=lambda _socket: None)


def sweep_all(keep_alive: KeepAlive[FakeSocket]) -> None:
    """One interval: each socket is looked at once."""
    for _ in range(_BUCKETS):
        keep_alive._sweep()
    keep_alive.stop()


async def test_silent_socket_is_reported_after_the_time_out_and_not_before() -> None:
    silent: list[FakeSocket] = []
    keep_alive = KeepAlive[FakeSocket](10, 30, silent.append)
    socket = FakeSocket()
    keep_alive.add(socket)
    for _ in range(3):
        sweep_all(keep_alive)
        assert silent == []
    sweep_all(keep_alive)
    assert silent == [socket]
    assert socket.pings == 3


async def test_any_frame_is_life(keep_alive: KeepAlive[FakeSocket]) -> None:
    socket = FakeSocket()
    keep_alive.add(socket)
    for _ in range(10):
        sweep_all(keep_alive)
        sweep_all(keep_alive)
        socket.was_heard = True
    assert socket.pings == 20


async def test_silence_clock_stands_still_while_we_do_not_read() -> None:
    silent: list[FakeSocket] = []
    keep_alive = KeepAlive[FakeSocket](10, 30, silent.append)
    socket = FakeSocket()
    socket.is_reading = False
    keep_alive.add(socket)
    for _ in range(10):
        sweep_all(keep_alive)
    assert silent == []
    assert socket.pings == 10


async def test_sockets_are_spread_over_the_interval(keep_alive: KeepAlive[FakeSocket]) -> None:
    sockets = [FakeSocket() for _ in range(8)]
    for socket in sockets:
        keep_alive.add(socket)
    keep_alive._sweep()
    keep_alive.stop()
    assert sum(socket.pings for socket in sockets) == 2
    for socket in sockets:
        keep_alive.discard(socket)
    sweep_all(keep_alive)
    assert sum(socket.pings for socket in sockets) == 2
