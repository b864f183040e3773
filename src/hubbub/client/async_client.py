"""The asyncio client: carries out what the session says, and lets the application speak.

All rules are in `hubbub.protocol.client_session`; here are the socket, the clock, the credential,
the futures of the callers and the lanes of the handlers.
"""

import asyncio
import logging
import random
import secrets
import time
from collections import deque
from collections.abc import Callable, Coroutine, Generator, Mapping
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Any, Literal, Self

from hubbub.client import failures, payloads
from hubbub.client.credential import (
    CredentialContext,
    CredentialProvider,
    access_url,
    recovery_url,
)
from hubbub.client.events import (
    MESSAGES,
    NAMES,
    ClientEvent,
    GroupMessageEvent,
    HandlerErrorEvent,
    ServerMessageEvent,
    SlowConsumerEvent,
)
from hubbub.client.inbox import EventStream, Handler, Lane, Registration, present_handler
from hubbub.client.options import (
    DEFAULT,
    BufferOptions,
    Default,
    RecoveryOptions,
    RetryOptions,
    SequenceAckOptions,
    SubProtocol,
    check_client_options,
    check_limit,
)
from hubbub.client.transport import (
    RefusedHandshake,
    Transport,
    TransportOptions,
)
from hubbub.protocol import client_events as ce
from hubbub.protocol import names, values
from hubbub.protocol.client_session import ClientSession
from hubbub.protocol.errors import (
    ClientStateError,
    ClientStoppedError,
    ConnectError,
    CredentialError,
    InvalidMessage,
)
from hubbub.protocol.json_codec import decode_response, encode_request
from hubbub.protocol.messages import (
    DataMessage,
    DataType,
    Invoke,
    InvokeResponse,
    JoinGroup,
    LeaveGroup,
    SendEvent,
    SendToGroup,
)

log = logging.getLogger("hubbub.client")

State = ce.State


@dataclass(frozen=True, slots=True)
class SendResult:
    """`ack_id` None: fire and forget. `is_duplicated`: an earlier try had already done it."""

    ack_id: int | None
    is_duplicated: bool = False


@dataclass(frozen=True, slots=True)
class InvokeResult:
    """`data_type` None: the answer has no data."""

    invocation_id: str
    data_type: DataType | None
    data: Any


class _Link:
    """The socket of one try; what a closed one still says is known by its number."""

    def __init__(self, feed: Callable[[ce.Input], None], number: int) -> None:
        self._feed = feed
        self._number = number
        self.transport: Transport | None = None
        self.task: asyncio.Task[None] | None = None

    def on_open(self) -> None:
        self._feed(ce.SocketOpened(self._number))

    def on_message(self, data: bytes) -> None:
        try:
            message = decode_response(data)
        except InvalidMessage as error:
            log.warning("a frame is no message: %s", error)
            self._feed(ce.Undecodable(self._number))
        else:
            self._feed(ce.Received(self._number, message, len(data)))

    def on_life(self) -> None:
        self._feed(ce.Received(self._number, None))

    def on_lost(self, close_code: int | None, error: str, *, is_too_large: bool) -> None:
        lost = ce.SocketLost(self._number, close_code, error, is_too_large)
        self._feed(lost)

    def drop(self) -> None:
        if self.task is not None:
            self.task.cancel()
        if self.transport is not None:
            self.transport.abort()


class Client:
    """One connection to a hub, kept alive, recovered and reconnected for as long as it runs.

    A recovered connection loses and doubles nothing; where that promise ends, after a reconnect,
    a `gap` event says so. All methods belong to the event loop in which the client is started.
    """

    def __init__(
        self,
        credential: str | CredentialProvider,
        *,
        protocol: SubProtocol = SubProtocol.JSON_RELIABLE,
        auto_reconnect: bool = True,
        auto_rejoin_groups: bool = True,
        message_retry: RetryOptions | None = None,
        reconnect_retry: RetryOptions | None = None,
        recovery: RecoveryOptions | None = None,
        keep_alive_interval: float | None = 15.0,
        keep_alive_timeout: float | None = 30.0,
        sequence_ack: SequenceAckOptions | None = None,
        start_timeout: float | None = 30.0,
        operation_timeout: float | None = 60.0,
        invoke_timeout: float | None = 30.0,
        close_timeout: float = 5.0,
        retry_first_connect: bool = False,
        max_auth_failures: int = 5,
        duplicate_policy: Literal["raise", "resend"] = "raise",
        buffer: BufferOptions | None = None,
        transport: TransportOptions | None = None,
    ) -> None:
        """`credential`: a Client Access URL, or a function or object that gives one; asked again
        for every new connection.

        Times are in seconds and above 0; `operation_timeout` and `invoke_timeout` may be 0. None,
        where it is allowed, means no limit, and no keep-alive. Raises: ValueError.
        """
        check_client_options(
            keep_alive_interval=keep_alive_interval,
            keep_alive_timeout=keep_alive_timeout,
            start_timeout=start_timeout,
            close_timeout=close_timeout,
            max_auth_failures=max_auth_failures,
            duplicate_policy=duplicate_policy,
        )
        check_limit("operation_timeout", operation_timeout)
        check_limit("invoke_timeout", invoke_timeout)
        recovery = recovery or RecoveryOptions()
        acks = sequence_ack or SequenceAckOptions()
        reconnect = reconnect_retry or RetryOptions(None, 1.0, 30.0, "exponential", 1.0)
        self._credential = credential
        self._subprotocol = protocol
        self._operation_timeout = operation_timeout
        self._invoke_timeout = invoke_timeout
        self._close_timeout = close_timeout
        self._buffer = buffer or BufferOptions()
        self._transport_options = transport or TransportOptions()
        options = ce.ClientOptions(
            is_reliable=protocol is SubProtocol.JSON_RELIABLE and recovery.window > 0,
            auto_reconnect=auto_reconnect,
            auto_rejoin_groups=auto_rejoin_groups,
            has_static_url=isinstance(credential, str),
            retry_first_connect=retry_first_connect,
            resend_after_reconnect=duplicate_policy == "resend",
            message_retry=(message_retry or RetryOptions()).for_session(),
            reconnect_retry=reconnect.for_session(),
            recovery_window_s=recovery.window,
            recovery_pause_s=recovery.delay,
            recovery_jitter=recovery.jitter,
            recovery_try_s=recovery.probe_timeout,
            keep_alive_interval_s=keep_alive_interval,
            keep_alive_timeout_s=keep_alive_timeout,
            sequence_ack_s=acks.interval,
            sequence_ack_messages=acks.max_messages,
            sequence_ack_bytes=acks.max_bytes,
            start_s=start_timeout,
            close_s=close_timeout,
            max_auth_failures=max_auth_failures,
        )
        self._options = options
        self._session = self._new_session()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._inputs: deque[ce.Input] = deque()
        self._is_feeding = False
        self._url = ""
        self._links: dict[int, _Link] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._lanes: list[Lane] = []
        self._full_lanes: set[Lane] = set()
        self._is_paused = False
        self._handlers: set[asyncio.Task[None]] = set()
        self._is_handler_waiting = False
        self._starting: asyncio.Future[None] | None = None
        self._stopping: asyncio.Future[None] | None = None
        self._pending: dict[
            ce.OperationKey, asyncio.Future[ce.OperationDone | ce.OperationFailed]
        ] = {}
        self._last_key = 0
        self._changed = asyncio.Event()
        self._last_stop: ce.StoppedEvent | None = None

    def _new_session(self) -> ClientSession:
        prefix = secrets.token_hex(4) + "-"
        return ClientSession(self._options, draw=random.random, invocation_prefix=prefix)

    # --- what is known -----------------------------------------------------------------------

    @property
    def state(self) -> State:
        return self._session.state

    @property
    def is_connected(self) -> bool:
        return self._session.state is State.CONNECTED

    @property
    def connection_id(self) -> str | None:
        """Of the present connection, or of one that is being recovered."""
        return self._session.connection_id

    @property
    def user_id(self) -> str | None:
        return self._session.user_id

    @property
    def groups(self) -> frozenset[str]:
        """The groups this client wants to be in; they are joined again after a reconnect."""
        return frozenset(self._session.groups.wished)

    @property
    def joined_groups(self) -> frozenset[str]:
        """Those that the service has confirmed on this connection."""
        return frozenset(self._session.groups.joined)

    def __repr__(self) -> str:
        return f"Client({self.state.value}, connection_id={self.connection_id!r})"

    # --- life --------------------------------------------------------------------------------

    async def start(self) -> None:
        """Connect; back when the connection can be used and the groups are rejoined.

        Raises: ClientStateError if it is not stopped; ConnectError and its kinds; then it is
        stopped again and may be started once more.
        """
        self._bind()
        if self._session.state is not State.STOPPED or self._starting is not None:
            raise ClientStateError(f"the client is {self._session.state.value}, not stopped")
        loop = asyncio.get_running_loop()
        starting = self._starting = loop.create_future()
        for lane in self._lanes:
            if isinstance(lane, EventStream):
                lane.begin()
        self._feed(ce.Start())
        try:
            await starting
        except asyncio.CancelledError:
            if not starting.cancelled():
                starting.exception()  # it has been looked at
            self._feed(ce.CancelStart())
            if self._session.state is not State.STOPPED:  # it came up at this very moment
                await self.stop()
            raise
        finally:
            self._starting = None

    async def stop(self) -> None:
        """End the connection, in whatever state it is; back within `close_timeout` or so.

        From a handler: does not wait for the handler that calls.
        """
        await self.stop_from(None)

    async def stop_from(self, caller: Registration | None) -> None:
        """As `stop`, called from a handler that runs in a thread: it is not waited for."""
        if self._session.state is not State.STOPPED or self._stopping is not None:
            self._bind()
            stopping = self._stopping
            if stopping is None:
                stopping = self._stopping = asyncio.get_running_loop().create_future()
                self._feed(ce.Stop())
            await asyncio.shield(stopping)
        await self._finish_handlers(present_handler() if caller is None else caller.task)

    async def _finish_handlers(self, own: asyncio.Task[None] | None) -> None:
        """Handlers get what was queued for them; what does not end in time is cancelled.

        Two handlers that both stop the client must not wait for each other: the second goes on.
        """
        is_inside = own in self._handlers
        if is_inside and self._is_handler_waiting:
            return
        self._is_handler_waiting |= is_inside
        try:
            async with asyncio.timeout(self._close_timeout):
                while others := self._others(own):
                    await asyncio.wait(others)
        except TimeoutError:
            late = self._others(own)
            for task in late:
                log.warning("cancelling a handler that does not end: %s", task.get_name())
                task.cancel()
            if late:
                await asyncio.wait(late, timeout=_CANCEL_S)
        finally:
            if is_inside:
                self._is_handler_waiting = False

    def _others(self, own: asyncio.Task[None] | None) -> set[asyncio.Task[None]]:
        """Running handlers of a stopped client; those of one that runs again are its own."""
        if self._session.state is not State.STOPPED:
            return set()
        return {task for task in self._handlers if task is not own}

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.stop()

    async def wait_connected(self) -> None:
        """Back when it is connected. Raises: ClientStoppedError when it is or gets stopped."""
        self._bind()
        while self._session.state is not State.CONNECTED:
            if self._session.state is State.STOPPED:
                raise ClientStoppedError("the client is stopped")
            self._changed.clear()
            await self._changed.wait()

    async def wait_stopped(self) -> ce.StoppedEvent | None:
        """Back when it is stopped, with why; None if it never ran."""
        self._bind()
        while self._session.state is not State.STOPPED:
            self._changed.clear()
            await self._changed.wait()
        return self._last_stop

    def _bind(self) -> None:
        loop = asyncio.get_running_loop()
        if self._loop is not None and self._loop is not loop:
            if self._session.state is not State.STOPPED:
                raise RuntimeError(
                    "a client belongs to the event loop in which it was started; SyncClient is for"
                    " any thread"
                )
        if self._loop is not loop:
            self._changed = asyncio.Event()  # it belongs to the loop in which it was waited for
        self._loop = loop

    # --- operations --------------------------------------------------------------------------

    async def join_group(
        self,
        group: str,
        *,
        ack_id: int | None = None,
        timeout: float | Default | None = DEFAULT,
    ) -> SendResult:
        """Be in a group, also after reconnects, until `leave_group`. Raises: SendMessageError."""
        request = JoinGroup(names.group_name(group))
        return await self._send(request, ack_id, timeout)

    async def leave_group(
        self,
        group: str,
        *,
        ack_id: int | None = None,
        timeout: float | Default | None = DEFAULT,
    ) -> SendResult:
        """Be in the group no more. Raises: SendMessageError."""
        request = LeaveGroup(names.group_name(group))
        return await self._send(request, ack_id, timeout)

    async def send_to_group(
        self,
        group: str,
        data: object,
        data_type: str | None = None,
        *,
        no_echo: bool = False,
        fire_and_forget: bool = False,
        ack_id: int | None = None,
        ttl: int = 0,
        metadata: Mapping[str, str] | None = None,
        timeout: float | Default | None = DEFAULT,
    ) -> SendResult:
        """Send to the members of a group; back when the service has acknowledged it.

        `data_type` None: str is text, bytes are binary, anything else JSON. `fire_and_forget`:
        back when it is written and the socket has taken all but 64 KiB. `ttl`: 0 to 300 s. Raises: SendMessageError, ValueError.
        """
        if not 0 <= ttl <= 300:
            raise ValueError("ttl is 0 to 300 seconds")
        request = SendToGroup(
            names.group_name(group),
            payloads.encode_payload(data, data_type),
            no_echo=no_echo,
            ttl_seconds=ttl,
            metadata=payloads.checked(metadata),
        )
        return await self._send(request, ack_id, timeout, is_acked=not fire_and_forget)

    async def send_event(
        self,
        name: str,
        data: object,
        data_type: str | None = None,
        *,
        fire_and_forget: bool = False,
        ack_id: int | None = None,
        metadata: Mapping[str, str] | None = None,
        timeout: float | Default | None = DEFAULT,
    ) -> SendResult:
        """Send an event to the application server. Raises: SendMessageError, ValueError."""
        request = SendEvent(
            names.event_name(name),
            payloads.encode_payload(data, data_type),
            metadata=payloads.checked(metadata),
        )
        return await self._send(request, ack_id, timeout, is_acked=not fire_and_forget)

    async def invoke_event(
        self,
        name: str,
        data: object = None,
        data_type: str | None = None,
        *,
        invocation_id: str | None = None,
        timeout: float | Default | None = DEFAULT,
    ) -> InvokeResult:
        """Ask the application server and wait for its answer; at most once.

        Cancelling the call, or its time-out, tells the service to give up.
        Raises: InvocationError.
        """
        payload = None
        if data is not None or data_type is not None:
            payload = payloads.encode_payload(data, data_type)
        request = Invoke(invocation_id or "", names.event_name(name), payload)
        limit = self._invoke_timeout if isinstance(timeout, Default) else timeout
        done = await self._operate(request, None, limit, is_acked=True)
        response = done.response
        assert response is not None, "an invocation ends with a response"
        if response.error is not None:
            raise failures.invocation_error(response)
        return _invoke_result(response)

    async def _drain(self, limit: float | None) -> None:
        """Wait while the socket is too slow for what is written. Raises: TimeoutError."""
        async with asyncio.timeout(limit):
            for link in list(self._links.values()):
                if link.transport is not None:
                    await link.transport.drained()

    async def _send(
        self,
        request: ce.OperationRequest,
        ack_id: int | None,
        timeout: float | Default | None,
        *,
        is_acked: bool = True,
    ) -> SendResult:
        if ack_id is not None and not 1 <= ack_id < 2**64:
            raise ValueError("ack_id is 1 to 2^64 - 1")
        limit = self._operation_timeout if isinstance(timeout, Default) else timeout
        done = await self._operate(request, ack_id, limit, is_acked=is_acked)
        return SendResult(done.ack_id, done.is_duplicated)

    async def _operate(
        self,
        request: ce.OperationRequest,
        ack_id: int | None,
        limit: float | None,
        *,
        is_acked: bool,
    ) -> ce.OperationDone:
        """One operation until it is settled."""
        if self._session.state in (State.STOPPED, State.STOPPING):
            raise ClientStateError(f"the client is {self._session.state.value}")
        self._bind()
        check_limit("timeout", limit)
        if len(encode_request(request)) > self._transport_options.max_send_bytes:
            raise ValueError("the message is larger than the service takes")
        self._last_key += 1
        key = self._last_key
        settled: asyncio.Future[ce.OperationDone | ce.OperationFailed] = (
            asyncio.get_running_loop().create_future()
        )
        self._pending[key] = settled
        deadline = None if limit is None else _now() + limit
        self._feed(ce.Submit(key, request, deadline, is_acked, ack_id))
        try:
            result = await settled
        except asyncio.CancelledError:
            self._feed(ce.Cancel(key))
            raise
        finally:
            self._pending.pop(key, None)
            self._regulate_reading()
        if isinstance(result, ce.OperationFailed):
            raise failures.operation_error(request, result)
        if not is_acked:
            try:
                await self._drain(limit)
            except TimeoutError:
                late = ce.OperationFailed(key, ce.Cause.TIMED_OUT, ce.Outcome.UNKNOWN, attempts=1)
                raise failures.operation_error(request, late) from None
        return result

    # --- handlers and iterators --------------------------------------------------------------

    def on(
        self,
        event: str,
        handler: Handler | None = None,
        *,
        group: str | None = None,
        buffer: BufferOptions | None = None,
    ) -> Any:
        """Call `handler` for each event of this name; also as a decorator.

        `async def` or a plain, quick function. `group`: only messages of this group. Returns the
        registration (the decorator returns the handler). Raises: ValueError for unknown names.
        """
        if event not in NAMES.values():
            known = ", ".join(sorted(NAMES.values()))
            raise ValueError(f"there is no event {event!r}; there are {known}")
        if handler is None:

            def register(function: Handler) -> Handler:
                self.on(event, function, group=group, buffer=buffer)
                return function

            return register
        registration = Registration(self, event, handler, group, buffer or self._buffer)
        self._lanes = [*self._lanes, registration]
        return registration

    def off(self, event: str, handler: Handler) -> None:
        """Take off the oldest registration of this handler; nothing happens without one."""
        for lane in self._lanes:
            if isinstance(lane, Registration) and lane.name == event and lane.handler == handler:
                lane.close()
                return

    def messages(
        self, *, group: str | None = None, buffer: BufferOptions | None = None
    ) -> EventStream:
        """Messages as an async iterator: of one group, or all, those of the server included."""
        wanted = MESSAGES if group is None else frozenset({"group-message"})
        return self._stream(wanted, group, buffer)

    def events(self, *wanted: str, buffer: BufferOptions | None = None) -> EventStream:
        """Events as an async iterator, in one order; without names all of them."""
        unknown = set(wanted) - set(NAMES.values())
        if unknown:
            raise ValueError(f"there is no event {sorted(unknown)[0]!r}")
        return self._stream(frozenset(wanted) or None, None, buffer)

    def _stream(
        self, wanted: frozenset[str] | None, group: str | None, buffer: BufferOptions | None
    ) -> EventStream:
        def open_(stream: EventStream) -> None:
            self._lanes = [*self._lanes, stream]

        return EventStream(self, wanted, group, buffer or self._buffer, open_=open_)

    # --- lanes' owner ------------------------------------------------------------------------

    def lane_filled(self, lane: Lane) -> None:
        if lane.buffer.overflow == "block":
            self._full_lanes.add(lane)
        name = next(iter(lane.names)) if lane.names else "events"
        self._dispatch(SlowConsumerEvent(name, len(lane), lane.size), 0)
        self._regulate_reading()

    def lane_overfilled(self, lane: Lane) -> None:
        self._regulate_reading()

    def lane_drained(self, lane: Lane) -> None:
        self._full_lanes.discard(lane)
        self._regulate_reading()
        if lane.dropped:
            self._report_dropped(lane)

    def lane_dropped(self, lane: Lane) -> None:
        """Say so at once, then once in a second: a lane that stays full never drains."""
        now = _now()
        if now >= lane.report_at:
            lane.report_at = now + 1
            self._report_dropped(lane)

    def _report_dropped(self, lane: Lane) -> None:
        dropped, lane.dropped = lane.dropped, 0
        log.warning("a full queue of events dropped %d messages", dropped)
        here = self.connection_id
        self._dispatch(ce.GapEvent("overflow", here, here, 0, 0, self.joined_groups, dropped), 0)

    def _regulate_reading(self) -> None:
        """Read, or leave it to TCP to slow the service down; see BufferOptions."""
        is_paused = (
            bool(self._full_lanes)
            and self._session.state is State.CONNECTED
            and not self._session.groups.is_rejoining
            and (not self._pending or any(lane.is_overfull for lane in self._full_lanes))
        )
        if is_paused is self._is_paused:
            return
        self._is_paused = is_paused
        for link in self._links.values():
            if link.transport is not None:
                if is_paused:
                    link.transport.pause_reading()
                else:
                    link.transport.resume_reading()

    def handler_runs(self, task: asyncio.Task[None]) -> None:
        self._handlers.add(task)
        task.add_done_callback(self._handlers.discard)

    def lane_closed(self, lane: Lane) -> None:
        self._lanes = [other for other in self._lanes if other is not lane]

    def handler_failed(self, event: str, error: BaseException) -> None:
        log.error("a handler of %r failed", event, exc_info=error)
        if event != "handler-error":
            self._dispatch(HandlerErrorEvent(event, error), 0)

    def _dispatch(self, event: ClientEvent, size: int) -> None:
        name = NAMES[type(event)]
        for lane in self._lanes:
            if not lane.is_closed and lane.wants(name, event):
                lane.offer(name, event, size)

    # --- the session -------------------------------------------------------------------------

    def _feed(self, received: ce.Input) -> None:
        """Give the session an input and carry out what it says; what that causes comes after."""
        self._inputs.append(received)
        if self._is_feeding:
            return
        self._is_feeding = True
        try:
            while self._inputs:
                try:
                    for action in self._session.handle(self._inputs.popleft(), _now()):
                        self._carry_out(action)
                except Exception as error:
                    self._break_down(error)
            self._regulate_reading()
        finally:
            self._is_feeding = False

    def _break_down(self, error: Exception) -> None:
        """A fault of ours: stop and say so, rather than live on by half."""
        log.critical("internal error, the client stops", exc_info=error)
        self._inputs.clear()
        self._arm(None)
        links, self._links = self._links, {}
        for link in links.values():
            link.drop()
        self._session = self._new_session()
        self._changed.set()
        starting, name = self._starting, type(error).__name__
        if starting is not None and not starting.done():
            starting.set_exception(ClientStoppedError(f"the client stopped: {name}"))
        for key in list(self._pending):
            self._settle(ce.OperationFailed(key, ce.Cause.STOPPED, ce.Outcome.UNKNOWN))
        self._emit(ce.StoppedEvent("internal-error", name))

    def _carry_out(self, action: ce.Action) -> None:
        match action:
            case ce.Deliver():
                self._deliver(action.message)
            case ce.Write():
                self._write(action)
            case ce.OperationDone() | ce.OperationFailed():
                self._settle(action)
            case ce.ArmTimer():
                self._arm(action.at)
            case ce.Emit():
                self._emit(action.event)
            case ce.StateChanged():
                log.info("state=%s cause=%s", action.state.value, action.cause)
                self._changed.set()
            case ce.GetUrl():
                self._run_link(action.link, partial(self._get_url, action))
            case ce.OpenSocket():
                self._run_link(action.link, partial(self._open_socket, action))
            case ce.CloseSocket():
                link = self._links.get(action.link)
                if link is not None and link.transport is not None:
                    link.transport.close(action.code)
            case ce.AbandonUrl() | ce.AbortSocket():
                link = self._links.pop(action.link, None)
                if link is not None:
                    link.drop()
            case ce.Started() | ce.StartFailed() | ce.StartRefused():
                self._end_start(action)

    def _run_link(self, number: int, work: Callable[[_Link], Coroutine[Any, Any, None]]) -> None:
        link = self._links.get(number)
        if link is None:
            link = _Link(self._feed, number)
            self._links = {number: link}

        async def run() -> None:
            try:
                await work(link)
            except Exception as error:
                self._break_down(error)

        link.task = asyncio.get_running_loop().create_task(run(), name=f"hubbub link {number}")

    async def _get_url(self, asked: ce.GetUrl, link: _Link) -> None:
        reason: Literal["start", "reconnect"] = "reconnect" if asked.is_reconnect else "start"
        context = CredentialContext(reason, asked.attempt)
        try:
            url = await access_url(self._credential, context)
        except CredentialError as error:
            failed: ce.Input = ce.UrlFailed(asked.link, str(error))
            if error.status in (401, 403):
                failed = ce.SocketFailed(asked.link, str(error), error.status)
            self._feed(failed)
        else:
            if self._links.get(asked.link) is link:  # a credential may outlive its cancellation
                self._url = url
                self._feed(ce.UrlObtained(asked.link))

    async def _open_socket(self, asked: ce.OpenSocket, link: _Link) -> None:
        url = self._url
        if asked.recovery is not None:
            url = recovery_url(url, asked.recovery, without_access_token=asked.without_access_token)
        transport = Transport(link, self._subprotocol.value, self._transport_options)
        link.transport = transport
        try:
            await transport.open(url)
        except RefusedHandshake as error:
            retry_after_s = error.retry_after_s
            self._feed(ce.SocketFailed(asked.link, str(error), error.status, retry_after_s))
        except ConnectError as error:
            self._feed(ce.SocketFailed(asked.link, str(error)))

    def _write(self, action: ce.Write) -> None:
        link = self._links.get(action.link)
        if link is not None and link.transport is not None:
            link.transport.send(encode_request(action.request))

    def _arm(self, at: float | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if at is not None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(max(0.0, at - _now()), self._time_is_up)

    def _time_is_up(self) -> None:
        self._timer = None
        self._feed(ce.TimerDue())

    def _deliver(self, message: DataMessage) -> None:
        if not self._lanes:
            return
        payload = message.payload
        try:
            data = values.decode(payload)
        except (ValueError, RecursionError) as error:
            log.warning("the data of a message cannot be decoded: %s", type(error).__name__)
            here = self.connection_id
            self._emit(ce.GapEvent("unparsable", here, here, 0, 0, self.joined_groups))
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
            )
        else:
            event = ServerMessageEvent(
                data, payload.data_type, message.sequence_id, message.metadata
            )
        self._dispatch(event, len(payload.token))

    def _emit(self, event: ce.Event) -> None:
        if isinstance(event, ce.StoppedEvent):
            self._last_stop = event
            stopping, self._stopping = self._stopping, None
            if stopping is not None and not stopping.done():
                stopping.set_result(None)
        self._dispatch(event, 0)
        if isinstance(event, ce.StoppedEvent):
            for lane in self._lanes:
                if isinstance(lane, EventStream):
                    lane.end()

    def _settle(self, result: ce.OperationDone | ce.OperationFailed) -> None:
        settled = self._pending.get(result.key)
        if settled is not None and not settled.done():
            settled.set_result(result)

    def _end_start(self, result: ce.Started | ce.StartFailed | ce.StartRefused) -> None:
        starting = self._starting
        if starting is None or starting.done():
            return
        match result:
            case ce.Started():
                starting.set_result(None)
            case ce.StartFailed():
                starting.set_exception(failures.start_error(result))
            case ce.StartRefused():
                starting.set_exception(ClientStateError(f"the client is {result.state.value}"))


class Connect:
    """What `connect` gives: awaitable (a started client) and an async context manager."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def __await__(self) -> Generator[Any, None, Client]:
        return self._start().__await__()

    async def _start(self) -> Client:
        await self._client.start()
        return self._client

    async def __aenter__(self) -> Client:
        return await self._start()

    async def __aexit__(self, *_: object) -> None:
        await self._client.stop()


def connect(credential: str | CredentialProvider, **options: Any) -> Connect:
    """`async with connect(url) as client: …`; options as of `Client`."""
    return Connect(Client(credential, **options))


# --- pure helpers -----------------------------------------------------------------------------

_CANCEL_S = 1.0
"""How long a handler may take to end after it was cancelled."""
_BOOT_CLOCK: int | None = getattr(time, "CLOCK_BOOTTIME", None)


def _now() -> float:
    """Goes on while the machine sleeps, so that a recovery window can run out meanwhile."""
    return time.monotonic() if _BOOT_CLOCK is None else time.clock_gettime(_BOOT_CLOCK)


def _invoke_result(response: InvokeResponse) -> InvokeResult:
    payload = response.payload
    if payload is None:
        return InvokeResult(response.invocation_id, None, None)
    return InvokeResult(response.invocation_id, payload.data_type, values.decode(payload))
