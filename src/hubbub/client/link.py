"""The socket of one try, and the way of what it reads."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Mapping
from typing import Protocol

from hubbub.client.events import MessageEvent, plain_event
from hubbub.client.logs import ClientLog, frames_log
from hubbub.client.observer import Watch
from hubbub.client.pings import Pings
from hubbub.client.stats import Counters
from hubbub.client.transport import Transport
from hubbub.clock import boottime
from hubbub.protocol import client_events as ce
from hubbub.protocol.client_session import ClientSession
from hubbub.protocol.codecs import Codec
from hubbub.protocol.errors import InvalidMessage
from hubbub.protocol.json_responses import PlainMessage
from hubbub.protocol.messages import Pong, Request, Response


class Owner(Protocol):
    """The driver, as a link sees it."""

    codec: Codec
    read: Callable[[bytes], PlainMessage | Response | None]
    session: ClientSession
    counters: Counters
    pings: Pings
    log: ClientLog
    watch: Watch | None
    inputs: deque[ce.Input]
    is_feeding: bool
    dispatch: Callable[[MessageEvent, int], None]

    def feed(self, received: ce.Input) -> None: ...

    def run_inputs(self) -> None: ...

    def break_down(self, error: Exception) -> None: ...

    def log_frame(self, word: str, message: Request | Response | None) -> None: ...


class Link:
    """What a closed one still says is known by its number."""

    def __init__(self, driver: Owner, number: int) -> None:
        self._driver = driver
        self.log_fields: Mapping[str, object] = driver.log.fields
        self.number = number
        self._read = driver.read
        self._counters = driver.counters
        self._is_logged = frames_log.isEnabledFor(logging.DEBUG)
        self._frames_read = 0
        """Of the counter of frames, at the last `on_read`."""
        self.transport: Transport | None = None
        self.task: asyncio.Task[None] | None = None

    def on_open(self) -> None:
        self._driver.feed(ce.SocketOpened(self.number))

    def on_message(self, data: bytes) -> None:
        """Nearly all are data messages that ask for nothing but to be delivered. They go a short
        way, without input and action: it runs for each of them, so it is written for speed."""
        driver, counters, size = self._driver, self._counters, len(data)
        counters.frames_in += 1
        counters.bytes_in += size
        try:
            message = self._read(data)
        except InvalidMessage as error:
            self._refuse(error, size)
            return
        if not isinstance(message, PlainMessage):
            self._take(message, size)
            return
        session = driver.session
        if (
            session.steady_link == self.number
            and not driver.is_feeding
            and not self._is_logged
            and (event := plain_event(message)) is not None
            and session.inbound.take(message.sequence_id, size)
        ):
            driver.is_feeding = True  # what handlers cause comes after
            try:
                driver.dispatch(event, size)
            except Exception as error:
                driver.break_down(error)
            finally:
                driver.is_feeding = False
            if driver.inputs:
                driver.run_inputs()
        else:
            self._take_long_way(data)

    def _take_long_way(self, data: bytes) -> None:
        try:
            message = self._driver.codec.decode(data)
        except InvalidMessage as error:
            self._refuse(error, len(data))
        else:
            self._take(message, len(data))

    def _refuse(self, error: InvalidMessage, size: int) -> None:
        self._counters.bad += 1
        self._driver.log.warning("a frame is no message: %s", error)
        if self._driver.watch is not None:
            self._driver.watch.invalid(size)
        self._driver.feed(ce.Undecodable(self.number))

    def _take(self, message: Response | None, size: int) -> None:
        if self._is_logged:
            self._driver.log_frame("received", message)
        if self._driver.watch is not None:
            self._driver.watch.received(message, size)
        if message is None:
            self._counters.unknown += 1
        elif type(message) is Pong:
            self._driver.pings.answered(boottime())
        self._driver.feed(ce.Received(self.number, message, size))

    def on_read(self) -> None:
        """What the messages of the short way ask for together, if there was one."""
        if self._counters.frames_in == self._frames_read:
            return
        self._frames_read = self._counters.frames_in
        if self._driver.session.heard(self.number, boottime()):
            self._driver.feed(ce.Received(self.number, None))
        self._is_logged = frames_log.isEnabledFor(logging.DEBUG)

    def on_pong(self) -> None:
        self._driver.pings.answered(boottime())
        self._driver.feed(ce.Received(self.number, None))

    def on_lost(self, close_code: int | None, reason: str, *, is_too_large: bool) -> None:
        self._driver.feed(ce.SocketLost(self.number, close_code, "", is_too_large, reason))

    def drop(self) -> None:
        if self.task is not None:
            self.task.cancel()
        if self.transport is not None:
            self.transport.abort()
