"""From the session to the lanes of the application, and back: how fast the socket is read."""

import asyncio

from hubbub.client.calls import Calls
from hubbub.client.driver import Driver
from hubbub.client.events import (
    NAMES,
    ClientEvent,
    GroupMessageEvent,
    HandlerErrorEvent,
    ServerMessageEvent,
    SlowConsumerEvent,
)
from hubbub.client.inbox import Lane, Registration
from hubbub.client.iterators import StreamLane
from hubbub.client.payloads import Payloads
from hubbub.client.streams import Desk
from hubbub.clock import boottime
from hubbub.protocol import client_events as ce
from hubbub.protocol.messages import DataMessage

_MAX_GROUPS = 1000
"""Of which the lanes are remembered: the names come from the service."""
_STUCK_S = 0.25
"""How long a full lane may take to drain while a handler waits for an answer."""
PAUSE_LIMIT_S = 10.0
"""Longest pause in reading: the service would take the link for dead sooner or later."""


class Dispatcher:
    """Owner of all lanes of a client and of the tasks of its handlers."""

    def __init__(self, driver: Driver, calls: Calls, payloads: Payloads) -> None:
        self._driver = driver
        self._calls = calls
        self.log = driver.log
        self._payloads = payloads
        self.desk = Desk(driver, payloads, self)
        self.lanes: list[Lane] = []
        self._lanes_by_name = _by_name([])
        self._lanes_by_group: dict[str, tuple[Lane, ...]] | None = None
        """Who gets messages of a group, found once and not for each message. None: no lane is for
        one group only."""
        self.dropped = 0
        self._depth_max = 0
        """Of lanes that are closed."""
        self._full_lanes: set[Lane] = set()
        self.is_paused = False
        self.is_debug = False
        self._pause_limit: asyncio.TimerHandle | None = None
        self._room: asyncio.Event = asyncio.Event()
        self._room.set()
        self.handlers: set[asyncio.Task[None]] = set()

    def add(self, lane: Lane) -> None:
        self._set_lanes([*self.lanes, lane])

    def _set_lanes(self, lanes: list[Lane]) -> None:
        self.lanes = lanes
        self._lanes_by_name = _by_name(lanes)
        self._lanes_by_group = {} if any(lane.group is not None for lane in lanes) else None

    def find(self, event: str, handler: object) -> Registration | None:
        """The oldest registration of this handler."""
        for lane in self.lanes:
            if isinstance(lane, Registration) and lane.name == event and lane.handler == handler:
                return lane
        return None

    # --- events ------------------------------------------------------------------------------

    def deliver(self, message: DataMessage) -> None:
        """A message, to whom it may concern."""
        if not self.lanes:
            return
        payload = message.payload
        try:
            data = self._payloads.decode(payload)
        except (ValueError, RecursionError) as error:
            name = type(error).__name__
            self._driver.log.warning("the data of a message cannot be decoded: %s", name)
            self._report_gap("unparsable")
            return
        event: ClientEvent
        if message.group is not None:
            event = GroupMessageEvent(
                message.group,
                data,
                payload.data_type,
                message.from_user_id,
                message.sequence_id,
                message.metadata,
                message.stream,
            )
        else:
            event = ServerMessageEvent(
                data, payload.data_type, message.sequence_id, message.metadata
            )
        self.dispatch(event, len(payload.token))

    def dispatch(self, event: ClientEvent, size: int = 0) -> None:
        name = NAMES[type(event)]
        lanes = self._lanes_by_name[name]
        if self._lanes_by_group is not None and type(event) is GroupMessageEvent:
            lanes = self._lanes_by_group.get(event.group) or self._find_lanes(event.group, lanes)
        for lane in lanes:
            if not lane.is_closed:
                lane.offer(name, event, size)

    def _find_lanes(self, group: str, listening: tuple[Lane, ...]) -> tuple[Lane, ...]:
        lanes = tuple(lane for lane in listening if lane.group is None or lane.group == group)
        found = self._lanes_by_group
        if lanes and found is not None:
            if len(found) >= _MAX_GROUPS:
                found.clear()
            found[group] = lanes
        return lanes

    @property
    def iterators(self) -> list[StreamLane]:
        """The lanes of iterators."""
        return [lane for lane in self.lanes if isinstance(lane, StreamLane)]

    @property
    def depth_max(self) -> int:
        """The most events that one lane has held."""
        return max([self._depth_max, *(lane.depth_max for lane in self.lanes)])

    def _report_gap(self, cause: str, dropped: int = 0) -> None:
        session = self._driver.session
        here, joined = session.connection_id, frozenset(session.groups.joined)
        self.dispatch(ce.GapEvent(cause, here, here, 0, 0, joined, dropped))

    # --- what lanes say ----------------------------------------------------------------------

    def lane_half_full(self, lane: Lane) -> None:
        self._tell_slow(lane, is_full=False)

    def lane_filled(self, lane: Lane) -> None:
        if lane.buffer.overflow == "block":
            self._full_lanes.add(lane)
            if self._room.is_set():
                self._room = asyncio.Event()  # a new one: the loop may be another
        self._tell_slow(lane, is_full=True)
        self.regulate_reading()

    def _tell_slow(self, lane: Lane, *, is_full: bool) -> None:
        name = next(iter(lane.names)) if lane.names else "events"
        self.dispatch(SlowConsumerEvent(name, len(lane), lane.size, is_full))

    def lane_overfilled(self, lane: Lane) -> None:
        """Where reading is paused, only the rest of what was read before comes: that has an end."""
        if lane in self._full_lanes and self._is_up and not self.is_paused:
            self._relieve()

    def lane_gives_up(self, lane: Lane) -> None:
        self._driver.feed(ce.Stop(reason="slow-consumer"))

    def lane_drained(self, lane: Lane) -> None:
        self._full_lanes.discard(lane)
        if not self._full_lanes:
            self._room.set()
        self.regulate_reading()
        if lane.dropped:
            self._report_dropped(lane)

    def lane_dropped(self, lane: Lane) -> None:
        """Say so at once, then once in a second: a lane that stays full never drains."""
        self.dropped += 1
        time = boottime()
        if time >= lane.report_at:
            lane.report_at = time + 1
            self._report_dropped(lane)

    def _report_dropped(self, lane: Lane) -> None:
        dropped, lane.dropped = lane.dropped, 0
        self._driver.log.warning("a full queue of events dropped %d messages", dropped)
        self._report_gap("overflow", dropped)

    def lane_closed(self, lane: Lane) -> None:
        self._depth_max = self.depth_max
        self._set_lanes([other for other in self.lanes if other is not lane])

    def rest(self) -> None:
        """The client is stopped and its handlers are done: their threads may end."""
        for lane in self.lanes:
            if isinstance(lane, Registration):
                lane.rest()

    def handler_runs(self, task: asyncio.Task[None]) -> None:
        self.handlers.add(task)
        task.add_done_callback(self.handlers.discard)

    def handler_failed(self, event: str, error: BaseException) -> None:
        self._driver.log.error("a handler of %r failed", event, exc_info=error)
        if event != "handler-error":
            self.dispatch(HandlerErrorEvent(event, error))

    # --- back-pressure -----------------------------------------------------------------------

    @property
    def _is_up(self) -> bool:
        session = self._driver.session
        return session.state is ce.State.CONNECTED and not session.groups.is_rejoining

    @property
    def _is_asking(self) -> bool:
        """Somebody waits for an answer, a handler perhaps."""
        return bool(self._calls) or self._driver.awaited > 0

    def note_idle(self) -> None:
        """All that was asked for has been done."""
        self.is_debug = self._driver.is_debug
        self.regulate_reading()

    def regulate_reading(self) -> None:
        """Read, or leave it to TCP to slow the service down; see BufferOptions."""
        is_full = any(not lane.is_dropping for lane in self._full_lanes)
        is_paused = is_full and self._is_up and not self._is_asking
        if is_paused is self.is_paused:
            return
        self.is_paused = is_paused
        if self._pause_limit is not None:
            self._pause_limit.cancel()
            self._pause_limit = None
        if is_paused:
            loop = asyncio.get_running_loop()
            self._pause_limit = loop.call_later(PAUSE_LIMIT_S, self._relieve)
            self._driver.pause_reading()
        else:
            self._driver.resume_reading()

    def _relieve(self) -> None:
        """Nothing more fits, or the service was kept waiting too long.

        What a reliable service holds comes again after a recovery. From any other one the newest
        messages are dropped, for as long as the lane needs to drain.
        """
        if self._driver.session.is_recoverable:
            self._driver.lose_link("a queue of events was full for too long")
            return
        for lane in self._full_lanes:
            lane.is_dropping = True
        self.regulate_reading()

    async def ready_to_recover(self) -> None:
        """Back when no lane is full any more, or when a handler waits for an answer that comes
        only after the recovery."""
        while not self._room.is_set():
            try:
                async with asyncio.timeout(_STUCK_S):
                    await self._room.wait()
            except TimeoutError:
                if self._calls.of_handlers and all(
                    [lane.allow_more() for lane in self._full_lanes]
                ):
                    return


def _by_name(lanes: list[Lane]) -> dict[str, tuple[Lane, ...]]:
    """Who wants events of this name; of which group, a message itself has to be asked."""
    return {name: tuple(lane for lane in lanes if lane.wants(name)) for name in NAMES.values()}
