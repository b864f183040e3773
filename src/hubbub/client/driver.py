"""Carries out what the session says: the sockets, the clock, the credential.

All rules are in `hubbub.protocol.client_session`. What the application is to hear of goes to a
`Listener`; what it asks for comes in as inputs (`feed`).
"""

import asyncio
import contextlib
import logging
import random
import secrets
from collections import deque
from collections.abc import Callable, Coroutine, Generator
from functools import partial
from typing import Any, Literal, Protocol

from hubbub.client.credential import (
    CredentialContext,
    CredentialProvider,
    access_url,
    hub_of,
    masked,
    recovery_url,
)
from hubbub.client.events import MessageEvent
from hubbub.client.failures import retry_after_s
from hubbub.client.link import Link
from hubbub.client.logs import ClientLog, describe, frames_log
from hubbub.client.observer import Observer, Watch
from hubbub.client.pings import Pings
from hubbub.client.stats import Counters
from hubbub.client.transport import Transport, TransportOptions
from hubbub.clock import boottime
from hubbub.protocol import client_events as ce
from hubbub.protocol import client_options as session_options
from hubbub.protocol.client_session import ClientSession
from hubbub.protocol.client_stream_events import StreamBegan, StreamNews
from hubbub.protocol.codecs import Codec, JsonCodec
from hubbub.protocol.errors import ConnectError, CredentialError
from hubbub.protocol.json_responses import PlainMessage, read_response
from hubbub.protocol.messages import (
    DataMessage,
    Ping,
    Request,
    Response,
    SendEvent,
    SendToGroup,
)

_LARGEST_HEAD_BYTES = 8192
"""What a send has beside its data and metadata: a name of 1,024 characters, each escaped."""
_TICK_S = 1.0
"""How soon after a wake-up of the machine its timers are looked at."""
_BLOCKED_S = 1.0
"""A timer later than this is worth a line in the log."""


class Listener(Protocol):
    """Who hears of what the session says. Called in its order, never for user code."""

    def on_event(self, event: ce.Event) -> None: ...

    def on_data(self, message: DataMessage) -> None: ...

    def on_settled(self, result: ce.OperationDone | ce.OperationFailed) -> None: ...

    def on_stream(self, news: StreamBegan | StreamNews) -> None: ...

    def on_start_ended(self, result: ce.Started | ce.StartFailed | ce.StartRefused) -> None: ...

    def on_state(self) -> None:
        """The state of the session is another one."""

    def on_idle(self) -> None:
        """All inputs so far have been carried out."""

    def on_broken(self, error: Exception) -> None:
        """A fault of ours ended the session; the driver holds a new one, which is stopped."""

    async def ready_to_recover(self) -> None:
        """Back when there is room for what a recovered connection brings."""


class Driver:
    """One session and its socket. All calls belong to one event loop."""

    listener: Listener

    def __init__(
        self,
        credential: str | CredentialProvider,
        codec: Codec,
        options: session_options.ClientOptions,
        transport_options: TransportOptions,
        *,
        name: str | None = None,
        log_payloads: bool = False,
        decodes_data: bool = True,
        observer: Observer | None = None,
    ) -> None:
        """`decodes_data` False: the application reads JSON in a way of its own. That, and an
        observer, lead every message the long way."""
        self.codec = codec
        is_short = isinstance(codec, JsonCodec) and decodes_data and observer is None
        self.read: Callable[[bytes], PlainMessage | Response | None] = (
            read_response if is_short else codec.decode
        )
        self.counters = Counters()
        self.log = ClientLog(name)
        self.watch = None if observer is None else Watch(observer, self.log)
        self.pings = Pings(self.counters)
        self.last_error: ConnectError | None = None
        """Why the last try to connect came to nothing."""
        self.dispatch: Callable[[MessageEvent, int], None] = _nobody
        """Where a link hands over a message and its size."""
        self.awaited = 0
        """Answers that somebody waits for, beside those of operations."""
        self._credential = credential
        self._options = options
        self._transport_options = transport_options
        self._log_payloads = log_payloads
        self._task_name = f"hubbub link {name}" if name else "hubbub link"
        self.session = self._new_session()
        self.inputs: deque[ce.Input] = deque()
        self.is_feeding = False
        self._url = ""
        self.links: dict[int, Link] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._loop: asyncio.AbstractEventLoop | None = None

    def _new_session(self, before: ClientSession | None = None) -> ClientSession:
        """`before`: the one whose wishes go on."""
        return ClientSession(
            self._options,
            draw=random.random,
            invocation_prefix=secrets.token_hex(4) + "-",
            groups=before.groups.wished if before is not None else (),
            subscriptions=before.states.subscribed if before is not None else (),
        )

    @property
    def state(self) -> ce.State:
        return self.session.state

    def bind(self) -> None:
        """Belong to the running loop. Raises: RuntimeError while it runs in another one."""
        loop = asyncio.get_running_loop()
        if self._loop is not None and self._loop is not loop:
            if self.state is not ce.State.STOPPED:
                raise RuntimeError(
                    "a client belongs to the event loop in which it was started; SyncClient is for"
                    " any thread"
                )
        self._loop = loop

    @property
    def is_debug(self) -> bool:
        """The event loop is in its debug mode."""
        return self._loop is not None and self._loop.get_debug()

    # --- in and out --------------------------------------------------------------------------

    def feed(self, received: ce.Input) -> None:
        """Give the session an input and carry out what it says; what that causes comes after."""
        self.inputs.append(received)
        if not self.is_feeding:
            self.run_inputs()

    def run_inputs(self) -> None:
        self.is_feeding = True
        try:
            while self.inputs:
                try:
                    for action in self.session.handle(self.inputs.popleft(), boottime()):
                        self._carry_out(action)
                except Exception as error:
                    self.break_down(error)
                if not self.inputs:
                    self.listener.on_idle()  # which may bring more
        finally:
            self.is_feeding = False

    def fits(self, request: Request) -> bool:
        """Whether the service takes a message of this size. Raises: UnsupportedFrame.

        Encoded for it only where that can tell more than the size of the data.
        """
        if isinstance(request, SendToGroup | SendEvent) and not request.metadata:
            size = len(request.payload.token)
            if size + _LARGEST_HEAD_BYTES <= self._transport_options.max_send_bytes:
                return True
        return len(self.codec.encode(request)) <= self._transport_options.max_send_bytes

    def ping(self) -> asyncio.Future[float]:
        """Ask for a sign of life; the round trip in seconds. Raises: ConnectError when down."""
        for link in self.links.values():
            if self.state is ce.State.CONNECTED and link.transport is not None:
                answer = self.pings.expect()
                self._write(ce.Write(link.number, Ping()))
                return answer
        raise ConnectError(f"there is no connection to ping: the client is {self.state.value}")

    @contextlib.contextmanager
    def awaiting(self) -> Generator[None]:
        """Somebody waits for an answer: it is read, however full a queue is."""
        self.awaited += 1
        self.listener.on_idle()
        try:
            yield
        finally:
            self.awaited -= 1
            self.listener.on_idle()

    def pause_reading(self) -> None:
        for transport in self._transports():
            transport.pause_reading()
        self.feed(ce.Reading(is_paused=True))

    def resume_reading(self) -> None:
        self.feed(ce.Reading(is_paused=False))
        for transport in self._transports():
            transport.resume_reading()

    def lose_link(self, reason: str) -> None:
        """Leave the socket without a word, as if the network had done it."""
        for link in list(self.links.values()):
            link.drop()
            self.feed(ce.SocketLost(link.number, error=reason))

    async def drained(self) -> None:
        """Back when the socket has taken all but 64 KiB of what was written."""
        for transport in self._transports():
            await transport.drained()

    def _transports(self) -> list[Transport]:
        return [link.transport for link in self.links.values() if link.transport is not None]

    def break_down(self, error: Exception) -> None:
        """A fault of ours: stop and say so, rather than live on by half. Wishes are kept."""
        self.log.critical("internal error, the client stops", exc_info=error)
        self.inputs.clear()
        self._arm(None)
        links, self.links = self.links, {}
        for link in links.values():
            link.drop()
        self.session = self._new_session(self.session)
        self._note_state(ce.StateChanged(ce.State.STOPPED, "internal-error"))
        self.listener.on_broken(error)

    # --- actions -----------------------------------------------------------------------------

    def _carry_out(self, action: ce.Action) -> None:
        match action:
            case ce.Deliver():
                self.listener.on_data(action.message)
            case ce.Write():
                self._write(action)
            case ce.OperationDone() | ce.OperationFailed():
                self.listener.on_settled(action)
            case StreamBegan() | StreamNews():
                self.listener.on_stream(action)
            case ce.ArmTimer():
                self._arm(action.at)
            case ce.Emit():
                if isinstance(action.event, ce.ReconnectingEvent) and self.last_error is None:
                    self.last_error = ConnectError(action.event.error)
                self.listener.on_event(action.event)
            case ce.StateChanged():
                self._note_state(action)
            case ce.GetUrl():
                self._run_link(action.link, partial(self._get_url, action))
            case ce.OpenSocket():
                self._run_link(action.link, partial(self._open_socket, action))
            case ce.CloseSocket():
                link = self.links.get(action.link)
                if link is not None and link.transport is not None:
                    link.transport.close(action.code)
            case ce.AbandonUrl() | ce.AbortSocket():
                link = self.links.pop(action.link, None)
                if link is not None:
                    link.drop()
            case ce.Started() | ce.StartFailed() | ce.StartRefused():
                self.listener.on_start_ended(action)

    def _note_state(self, change: ce.StateChanged) -> None:
        fields = self.log.fields
        fields["state"], fields["connection_id"] = change.state.value, self.session.connection_id
        self.log.info("state=%s cause=%s", change.state.value, change.cause)
        if change.state is not ce.State.CONNECTED:
            self.pings.give_up()
        if self.watch is not None:
            self.watch.state(change)
        self.listener.on_state()

    def _run_link(self, number: int, work: Callable[[Link], Coroutine[Any, Any, None]]) -> None:
        link = self.links.get(number)
        if link is None:
            link = Link(self, number)
            self.links = {number: link}

        async def run() -> None:
            try:
                await work(link)
            except Exception as error:
                self.break_down(error)

        loop = asyncio.get_running_loop()
        link.task = loop.create_task(run(), name=f"{self._task_name} {number}")

    async def _get_url(self, asked: ce.GetUrl, link: Link) -> None:
        reason: Literal["start", "reconnect"] = "reconnect" if asked.is_reconnect else "start"
        previous, self.last_error = self.last_error, None
        context = CredentialContext(reason, asked.attempt, previous if asked.attempt > 1 else None)
        try:
            url = await access_url(self._credential, context)
        except CredentialError as error:
            self.last_error = error
            pause_s = retry_after_s(error)
            failed: ce.Input = ce.UrlFailed(asked.link, str(error), pause_s)
            if error.status in (401, 403):
                failed = ce.SocketFailed(asked.link, str(error), error.status, pause_s)
            self.feed(failed)
        else:
            if self.links.get(asked.link) is link:  # a credential may outlive its cancellation
                self._take_url(url)
                self.feed(ce.UrlObtained(asked.link))

    def _take_url(self, url: str) -> None:
        hub, before = hub_of(url), hub_of(self._url)
        if before and hub != before:
            self.log.warning("the credential leads to hub %r now, not to %r", hub, before)
        self._url = url

    async def _open_socket(self, asked: ce.OpenSocket, link: Link) -> None:
        url = self._url
        if asked.recovery is not None:
            await self.listener.ready_to_recover()
            url = recovery_url(url, asked.recovery, without_access_token=asked.without_access_token)
        self.pings.give_up()  # those of a try before will never be answered
        transport = Transport(
            link, self.codec.name, self._transport_options, is_binary=self.codec.is_binary
        )
        link.transport = transport
        try:
            await transport.open(url)
        except ConnectError as error:
            error.url = masked(url)
            self.last_error = error
            pause_s = retry_after_s(error)
            self.feed(ce.SocketFailed(asked.link, str(error), error.status, pause_s))

    def _write(self, action: ce.Write) -> None:
        link = self.links.get(action.link)
        if link is None or link.transport is None:
            return
        request = action.request
        counters = self.counters
        counters.frames_out += 1
        if type(request) is Ping:
            self.pings.sent(boottime())
            if not self.codec.supports_ping:
                link.transport.ping()
                if self.watch is not None:
                    self.watch.sent(request, 0)
                return
        data = self.codec.encode(request)
        counters.bytes_out += len(data)
        link.transport.send(data)
        if self.watch is not None:
            self.watch.sent(request, len(data))
        if frames_log.isEnabledFor(logging.DEBUG):
            self.log_frame("sent", request)

    def log_frame(self, word: str, message: Request | Response | None) -> None:
        text = describe(message, with_payload=self._log_payloads)
        frames_log.debug("%s%s %s", self.log.prefix, word, text, extra=self.log.fields)

    def _arm(self, at: float | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if at is not None:
            loop = asyncio.get_running_loop()
            self._timer_at = at
            wait_s = max(0.0, at - boottime())
            if wait_s > _TICK_S:
                self._timer = loop.call_later(_TICK_S, self._tick)
            else:
                self._timer = loop.call_later(wait_s, self._time_is_up)

    def _tick(self) -> None:
        """The loop's own timers stand still while the machine sleeps: one that is far off would
        come as late after the wake-up as it was far before."""
        if boottime() < self._timer_at:
            self._arm(self._timer_at)
        else:
            self._time_is_up()

    def _time_is_up(self) -> None:
        self._timer = None
        late_s = boottime() - self._timer_at
        if late_s > _BLOCKED_S:
            self.log.warning("the event loop stood still for %.1f s, or the machine slept", late_s)
        self.feed(ce.TimerDue())


def _nobody(event: MessageEvent, size: int) -> None:
    raise AssertionError("the dispatcher takes its place before the start")
