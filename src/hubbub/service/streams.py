"""Group streams of a hub's clients: fragments out to members, answers back, idle ones ended."""

import asyncio
import logging

from hubbub.protocol.errors import EngineError
from hubbub.protocol.messages import StreamData, StreamEnd, StreamStart
from hubbub.protocol.service_streams import Outcome, PublishedStreams
from hubbub.service.connection import Connection
from hubbub.service.hub import Hub

log = logging.getLogger("hubbub.service")

_LOOK_AGAIN_S = 1.0
"""At the streams of a publisher that waits for its event handler."""


class Streams:
    """The streams themselves are kept by their connections; this moves them."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._loop = asyncio.get_running_loop()

    def take(self, connection: Connection, request: StreamStart | StreamData | StreamEnd) -> None:
        streams = connection.streams
        if streams is None:
            maximum = self._hub.settings.max_streams_per_connection
            streams = connection.streams = PublishedStreams(maximum)
        outcome = streams.receive(
            request,
            connection.session.permissions,
            self._loop.time(),
            is_accepting=self._hub.is_accepting,
        )
        self._carry_out(connection, outcome)
        self._arm(connection)

    def _carry_out(self, connection: Connection, outcome: Outcome) -> None:
        if outcome.fragment is not None:
            try:
                self._hub.send_fragment(connection, outcome.fragment)
            except EngineError as error:
                # Only the end of a stream comes here: members will miss it, and end it when idle.
                log.warning("the end of a stream was not sent hub=%s: %s", self._hub.name, error)
        if outcome.answer is not None and not connection.respond(outcome.answer):
            self._hub.close_slow((connection,))

    def _arm(self, connection: Connection) -> None:
        """One timer for all streams of a connection, never later than the first that may end."""
        streams = connection.streams
        idle_at = streams.idle_at if streams is not None else None
        timer = connection.stream_timer
        if idle_at is None:
            if timer is not None:
                timer.cancel()
                connection.stream_timer = None
        elif timer is None or timer.when() > idle_at:
            if timer is not None:
                timer.cancel()
            connection.stream_timer = self._loop.call_at(idle_at, self._look_for_idle, connection)

    def _look_for_idle(self, connection: Connection) -> None:
        connection.stream_timer = None
        if connection.streams is None:
            return
        if connection.lane is not None:
            # What it sends waits behind its own event: the silence is ours.
            connection.stream_timer = self._loop.call_later(
                _LOOK_AGAIN_S, self._look_for_idle, connection
            )
            return
        for outcome in connection.streams.expire(self._loop.time()):
            self._carry_out(connection, outcome)
        self._arm(connection)
