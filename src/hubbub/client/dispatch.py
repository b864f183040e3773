"""From the session to the lanes of the application, and back: how fast the socket is read."""

import asyncio
import logging

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
from hubbub.client.inbox import EventStream, Lane, Registration
from hubbub.clock import boottime
from hubbub.protocol import client_events as ce
from hubbub.protocol import values
from hubbub.protocol.messages import DataMessage

log = logging.getLogger("hubbub.client")


class Dispatcher:
    """Owner of all lanes of a client and of the tasks of its handlers."""

    def __init__(self, driver: Driver, calls: Calls) -> None:
        self._driver = driver
        self._calls = calls
        self.lanes: list[Lane] = []
        self._full_lanes: set[Lane] = set()
        self.is_paused = False
        self.handlers: set[asyncio.Task[None]] = set()

    def add(self, lane: Lane) -> None:
        self.lanes = [*self.lanes, lane]

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
            data = values.decode(payload)
        except (ValueError, RecursionError) as error:
            log.warning("the data of a message cannot be decoded: %s", type(error).__name__)
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
        for lane in self.lanes:
            if not lane.is_closed and lane.wants(name, event):
                lane.offer(name, event, size)

    def begin(self) -> None:
        """The client is started: iterators may go on."""
        for lane in self.lanes:
            if isinstance(lane, EventStream):
                lane.begin()

    def end(self) -> None:
        """The client is stopped: iterators end after what they hold."""
        for lane in self.lanes:
            if isinstance(lane, EventStream):
                lane.end()

    def _report_gap(self, cause: str, dropped: int = 0) -> None:
        session = self._driver.session
        here, joined = session.connection_id, frozenset(session.groups.joined)
        self.dispatch(ce.GapEvent(cause, here, here, 0, 0, joined, dropped))

    # --- what lanes say ----------------------------------------------------------------------

    def lane_filled(self, lane: Lane) -> None:
        if lane.buffer.overflow == "block":
            self._full_lanes.add(lane)
        name = next(iter(lane.names)) if lane.names else "events"
        self.dispatch(SlowConsumerEvent(name, len(lane), lane.size))
        self.regulate_reading()

    def lane_overfilled(self, lane: Lane) -> None:
        self.regulate_reading()

    def lane_drained(self, lane: Lane) -> None:
        self._full_lanes.discard(lane)
        self.regulate_reading()
        if lane.dropped:
            self._report_dropped(lane)

    def lane_dropped(self, lane: Lane) -> None:
        """Say so at once, then once in a second: a lane that stays full never drains."""
        time = boottime()
        if time >= lane.report_at:
            lane.report_at = time + 1
            self._report_dropped(lane)

    def _report_dropped(self, lane: Lane) -> None:
        dropped, lane.dropped = lane.dropped, 0
        log.warning("a full queue of events dropped %d messages", dropped)
        self._report_gap("overflow", dropped)

    def lane_closed(self, lane: Lane) -> None:
        self.lanes = [other for other in self.lanes if other is not lane]

    def handler_runs(self, task: asyncio.Task[None]) -> None:
        self.handlers.add(task)
        task.add_done_callback(self.handlers.discard)

    def handler_failed(self, event: str, error: BaseException) -> None:
        log.error("a handler of %r failed", event, exc_info=error)
        if event != "handler-error":
            self.dispatch(HandlerErrorEvent(event, error))

    # --- back-pressure -----------------------------------------------------------------------

    def regulate_reading(self) -> None:
        """Read, or leave it to TCP to slow the service down; see BufferOptions."""
        session = self._driver.session
        is_paused = (
            bool(self._full_lanes)
            and session.state is ce.State.CONNECTED
            and not session.groups.is_rejoining
            and (not self._calls or any(lane.is_overfull for lane in self._full_lanes))
        )
        if is_paused is self.is_paused:
            return
        self.is_paused = is_paused
        if is_paused:
            self._driver.pause_reading()
        else:
            self._driver.resume_reading()
