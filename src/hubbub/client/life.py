"""Start and stop of a client, and who waits for them."""

import asyncio
import math
from typing import Any

from hubbub.client import failures
from hubbub.client.calls import Calls
from hubbub.client.dispatch import Dispatcher
from hubbub.client.driver import Driver
from hubbub.client.inbox import present_handler
from hubbub.client.options import Default, check_limit
from hubbub.clock import wall
from hubbub.protocol import client_events as ce
from hubbub.protocol.client_events import State
from hubbub.protocol.client_stream_events import StreamBegan, StreamNews
from hubbub.protocol.errors import ClientStateError, ClientStoppedError, ConnectTimeoutError
from hubbub.protocol.messages import DataMessage

_CANCEL_S = 1.0
"""How long a handler may take to end after it was cancelled."""


class Life:
    """The driver's listener: it also hands on what belongs to the calls and the lanes."""

    def __init__(
        self, driver: Driver, calls: Calls, dispatcher: Dispatcher, close_timeout: float
    ) -> None:
        self._driver = driver
        self._calls = calls
        self._dispatcher = dispatcher
        self._close_timeout = close_timeout
        self._is_handler_waiting = False
        self._starting: asyncio.Future[None] | None = None
        self._stopping: asyncio.Future[None] | None = None
        self._waiting: set[asyncio.Future[None]] = set()
        self._last_stop: ce.StoppedEvent | None = None
        self.resent = self.recoveries = self.reconnects = 0
        self.connected_since: float | None = None
        driver.listener = self
        driver.dispatch = dispatcher.dispatch

    # --- calls -------------------------------------------------------------------------------

    async def start(self, timeout: float | Default | None) -> None:
        driver = self._driver
        limit_s = _seconds(timeout)
        driver.bind()
        if driver.state is not State.STOPPED or self._starting is not None:
            raise ClientStateError(f"the client is {driver.state.value}, not stopped")
        starting = self._starting = asyncio.get_running_loop().create_future()
        for iterator in self._dispatcher.iterators:
            iterator.begin()
        driver.last_error = None
        driver.feed(ce.Start(limit_s))
        try:
            await starting
        except asyncio.CancelledError:
            if not starting.cancelled():
                starting.exception()  # it has been looked at
            driver.feed(ce.CancelStart())
            if driver.state is not State.STOPPED:  # it came up at this very moment
                await self.stop(None, drain=False, timeout=Default.DEFAULT)
            raise
        finally:
            self._starting = None

    async def stop(
        self,
        caller: asyncio.Task[None] | None,
        *,
        drain: bool,
        timeout: float | Default | None,
    ) -> None:
        """`caller`: the handler that calls from a thread; it is not waited for."""
        driver = self._driver
        own = present_handler() if caller is None else caller
        limit_s = _seconds(timeout)
        if drain and driver.state is not State.STOPPED:
            driver.bind()
            await self._drain(own, self._close_timeout if limit_s is None else limit_s)
        close_s = self._close_timeout if limit_s is None or limit_s == math.inf else limit_s
        if driver.state is not State.STOPPED or self._stopping is not None:
            driver.bind()
            stopping = self._stopping
            if stopping is None:
                stopping = self._stopping = asyncio.get_running_loop().create_future()
                driver.feed(ce.Stop(close_s))
            await asyncio.shield(stopping)
        await self._finish_handlers(own, close_s)
        if driver.state is State.STOPPED:
            self._dispatcher.rest()

    async def _drain(self, own: asyncio.Task[None] | None, limit_s: float) -> None:
        """Until what was asked is answered and what came is taken; nothing new is let in."""
        driver, dispatcher = self._driver, self._dispatcher
        self._calls.is_closed = dispatcher.desk.is_closing = True
        try:
            async with asyncio.timeout(None if limit_s == math.inf else limit_s):
                while driver.state is not State.STOPPED:
                    work: list[asyncio.Future[Any]] = [
                        *self._calls.waiting,
                        *(dispatcher.handlers - {own}),
                    ]
                    if work:
                        await asyncio.wait(work)
                    elif full := next((lane for lane in dispatcher.iterators if len(lane)), None):
                        await full.emptied()
                    elif writer := dispatcher.desk.unsettled:
                        await writer.settled()
                    else:
                        return
        except TimeoutError:
            driver.log.warning("stopping before all was done: %d calls wait", len(self._calls))
        finally:
            self._calls.is_closed = dispatcher.desk.is_closing = False

    async def _finish_handlers(self, own: asyncio.Task[None] | None, limit_s: float) -> None:
        """Handlers get what was queued for them; what does not end in time is cancelled.

        Two handlers that both stop the client must not wait for each other: the second goes on.
        """
        is_inside = own in self._dispatcher.handlers
        if is_inside and self._is_handler_waiting:
            return
        self._is_handler_waiting |= is_inside
        try:
            async with asyncio.timeout(limit_s):
                while others := self._others(own):
                    await asyncio.wait(others)
        except TimeoutError:
            late = self._others(own)
            for task in late:
                self._driver.log.warning(
                    "cancelling a handler that does not end: %s", task.get_name()
                )
                task.cancel()
            if late:
                await asyncio.wait(late, timeout=_CANCEL_S)
        finally:
            if is_inside:
                self._is_handler_waiting = False

    def _others(self, own: asyncio.Task[None] | None) -> set[asyncio.Task[None]]:
        """Running handlers of a stopped client; those of one that runs again are its own."""
        if self._driver.state is not State.STOPPED:
            return set()
        return {task for task in self._dispatcher.handlers if task is not own}

    async def wait_connected(self, timeout: float | None) -> None:
        check_limit("timeout", timeout)
        driver = self._driver
        driver.bind()
        try:
            async with asyncio.timeout(timeout):
                while driver.state is not State.CONNECTED:
                    if driver.state is State.STOPPED:
                        raise ClientStoppedError("the client is stopped")
                    await self._next_state()
        except TimeoutError:
            raise ConnectTimeoutError("not connected in time", phase="total") from None

    async def wait_stopped(self) -> ce.StoppedEvent | None:
        driver = self._driver
        driver.bind()
        while driver.state is not State.STOPPED:
            await self._next_state()
        return self._last_stop

    async def _next_state(self) -> None:
        changed = asyncio.get_running_loop().create_future()
        self._waiting.add(changed)
        try:
            await changed
        finally:
            self._waiting.discard(changed)

    # --- what the driver says ----------------------------------------------------------------

    def on_data(self, message: DataMessage) -> None:
        self._dispatcher.deliver(message)

    def on_settled(self, result: ce.OperationDone | ce.OperationFailed) -> None:
        self._calls.settle(result)

    def on_stream(self, news: StreamBegan | StreamNews) -> None:
        self._dispatcher.desk.on_stream(news)

    def on_idle(self) -> None:
        self._dispatcher.note_idle()

    def on_state(self) -> None:
        for changed in self._waiting:
            if not changed.done():
                changed.set_result(None)

    def on_event(self, event: ce.Event) -> None:
        self._count(event)
        if isinstance(event, ce.StoppedEvent):
            self._last_stop = event
            stopping, self._stopping = self._stopping, None
            if stopping is not None and not stopping.done():
                stopping.set_result(None)
        self._dispatcher.dispatch(event)
        if isinstance(event, ce.StoppedEvent):
            for iterator in self._dispatcher.iterators:
                iterator.end()

    def _count(self, event: ce.Event) -> None:
        match event:
            case ce.ConnectedEvent(is_reconnect=is_reconnect):
                self.reconnects += is_reconnect
                self.connected_since = wall()
            case ce.RecoveredEvent(resent=resent):
                self.recoveries += 1
                self.resent += resent
            case ce.DisconnectedEvent():
                self.connected_since = None
            case _:
                pass

    async def ready_to_recover(self) -> None:
        await self._dispatcher.ready_to_recover()

    def on_start_ended(self, result: ce.Started | ce.StartFailed | ce.StartRefused) -> None:
        starting = self._starting
        if starting is None or starting.done():
            return
        match result:
            case ce.Started():
                starting.set_result(None)
            case ce.StartFailed():
                starting.set_exception(failures.start_error(result, self._driver.last_error))
            case ce.StartRefused():
                starting.set_exception(ClientStateError(f"the client is {result.state.value}"))

    def on_broken(self, error: Exception) -> None:
        self.on_state()
        starting, name = self._starting, type(error).__name__
        if starting is not None and not starting.done():
            starting.set_exception(ClientStoppedError(f"the client stopped: {name}"))
        self._calls.fail_all()
        self._dispatcher.desk.on_broken()
        self.on_event(ce.StoppedEvent("internal-error", name))


def _seconds(timeout: float | Default | None) -> float | None:
    """None: as the option says; infinite: no limit. Raises: ValueError."""
    if isinstance(timeout, Default):
        return None
    check_limit("timeout", timeout)
    return math.inf if timeout is None else timeout
