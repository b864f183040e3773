import asyncio

import pytest

from hubbub.service.upstream.notifications import Lane, Notification


class Sender:
    """Notifications that end when told to, and what happened to them."""

    def __init__(self) -> None:
        self.started: list[int] = []
        self.done: list[int] = []
        self.gate = asyncio.Event()
        self._news = asyncio.Event()

    def make(self, number: int) -> Notification:
        async def send() -> None:
            self.started.append(number)
            await self.gate.wait()

        return Notification(send, lambda: self.note_done(number))

    def note_done(self, number: int) -> None:
        self.done.append(number)
        self._news.set()

    async def wait_done(self, count: int) -> None:
        while len(self.done) < count:
            self._news.clear()
            await self._news.wait()


async def test_lane_starts_in_order_and_few_at_a_time() -> None:
    sender = Sender()
    lane = Lane("h", max_queued=10, max_running=2)
    for number in range(5):
        lane.put(sender.make(number))
    await asyncio.sleep(0)
    assert sender.started == [0, 1]
    sender.gate.set()
    await sender.wait_done(5)
    assert sender.started == sender.done == [0, 1, 2, 3, 4]
    await lane.close()


async def test_lane_that_is_full_drops_the_oldest_and_counts(
    caplog: pytest.LogCaptureFixture,
) -> None:
    sender = Sender()
    lane = Lane("h", max_queued=2, max_running=1)
    for number in range(6):
        lane.put(sender.make(number))
    assert sender.done == [1, 2, 3]
    assert lane.dropped == 3
    assert len(caplog.records) == 1
    sender.gate.set()
    await sender.wait_done(6)
    assert sender.started == [0, 4, 5]
    await lane.close()


async def test_lane_with_a_faulty_notification_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    sender = Sender()
    sender.gate.set()

    async def fail() -> None:
        raise RuntimeError("a fault")

    lane = Lane("h", max_queued=2, max_running=1)
    lane.put(Notification(fail, lambda: sender.note_done(0)))
    lane.put(sender.make(1))
    await sender.wait_done(2)
    assert sender.done == [0, 1]
    assert "a fault" in caplog.text
    await lane.close()


async def test_closed_lane_gives_up_all_and_takes_no_more() -> None:
    sender = Sender()
    lane = Lane("h", max_queued=5, max_running=1)
    lane.put(sender.make(0))
    lane.put(sender.make(1))
    await lane.close()
    lane.put(sender.make(2))
    assert sorted(sender.done) == [0, 1, 2]
    assert sender.started == []
