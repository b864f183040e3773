"""The asyncio client: what an application holds.

All rules are in `hubbub.protocol.client_session`; `driver` carries out what it says, `calls` holds
the futures of the callers, `dispatch` the lanes of handlers and iterators, `life` start and stop.
"""

import asyncio
from collections.abc import Callable, Generator
from types import TracebackType
from typing import Any, Literal, Self, Unpack

from hubbub.client.calls import Calls, WatchedCalls
from hubbub.client.client_options import (
    BUFFER,
    MAX_IN_FLIGHT,
    MESSAGE_RETRY,
    RECONNECT_RETRY,
    RECOVERY,
    RETRYABLE,
    SEQUENCE_ACK,
    ClientOptions,
    check_options,
    codec_of,
)
from hubbub.client.credential import CredentialProvider
from hubbub.client.dispatch import Dispatcher
from hubbub.client.driver import Driver
from hubbub.client.group_states import GroupStates
from hubbub.client.group_streaming import GroupStreaming
from hubbub.client.life import Life
from hubbub.client.observer import Observer
from hubbub.client.operations import Timeouts
from hubbub.client.options import (
    DEFAULT,
    BufferOptions,
    Default,
    RecoveryOptions,
    RetryOptions,
    SequenceAckOptions,
    SubProtocol,
)
from hubbub.client.payloads import Payloads
from hubbub.client.stats import ClientStats
from hubbub.client.subscriptions import Subscriptions
from hubbub.client.transport import TransportOptions
from hubbub.clock import boottime
from hubbub.protocol import client_events as ce
from hubbub.protocol import client_options as session_options
from hubbub.protocol.codecs import Codec

State = ce.State


class Client(GroupStates, Subscriptions, GroupStreaming):
    """One connection to a hub, kept alive, recovered and reconnected for as long as it runs.

    A recovered connection loses and doubles nothing; where that promise ends, after a reconnect,
    a `gap` event says so. All methods belong to the event loop in which the client is started.
    """

    def __init__(
        self,
        credential: str | CredentialProvider,
        *,
        protocol: SubProtocol | Codec = SubProtocol.JSON_RELIABLE,
        auto_reconnect: bool = True,
        auto_rejoin_groups: bool = True,
        message_retry: RetryOptions = MESSAGE_RETRY,
        reconnect_retry: RetryOptions = RECONNECT_RETRY,
        recovery: RecoveryOptions = RECOVERY,
        keep_alive_interval: float | None = 15.0,
        keep_alive_timeout: float | None = 30.0,
        sequence_ack: SequenceAckOptions = SEQUENCE_ACK,
        start_timeout: float | None = 30.0,
        credential_timeout: float = 10.0,
        connected_timeout: float = 10.0,
        operation_timeout: float | None = 60.0,
        invoke_timeout: float | None = 30.0,
        close_timeout: float = 5.0,
        retry_first_connect: bool = False,
        max_auth_failures: int = 5,
        stable_after: float = 10.0,
        duplicate_policy: Literal["raise", "resend"] = "raise",
        retryable_ack_errors: frozenset[str] = RETRYABLE,
        max_in_flight: int = MAX_IN_FLIGHT,
        buffer: BufferOptions = BUFFER,
        transport: TransportOptions | None = None,
        json_loads: Callable[[str], Any] | None = None,
        json_dumps: Callable[[Any], str] | None = None,
        log_payloads: bool = False,
        name: str | None = None,
        observer: Observer | None = None,
    ) -> None:
        """`credential`: a Client Access URL, or a function or object that gives one; asked again
        for every new connection.

        Times are in seconds and above 0; `operation_timeout`, `invoke_timeout` and `stable_after`
        may be 0. None, where it is allowed, means no limit, and no keep-alive. `stable_after`: a
        connection that was up so long lets the pauses start small again. `max_in_flight`:
        requests without an answer; more wait in their order. `json_loads`, `json_dumps`: for the
        `data` of messages. `name`: for logs and task names. `observer`: is told of states, frames
        and calls. Raises: ValueError.
        """
        check_options(
            keep_alive_interval=keep_alive_interval,
            keep_alive_timeout=keep_alive_timeout,
            start_timeout=start_timeout,
            credential_timeout=credential_timeout,
            connected_timeout=connected_timeout,
            operation_timeout=operation_timeout,
            invoke_timeout=invoke_timeout,
            close_timeout=close_timeout,
            max_auth_failures=max_auth_failures,
            stable_after=stable_after,
            duplicate_policy=duplicate_policy,
            max_in_flight=max_in_flight,
        )
        codec = codec_of(protocol)
        transport = transport or TransportOptions()
        options = session_options.ClientOptions(
            is_reliable=codec.is_reliable,
            auto_reconnect=auto_reconnect,
            auto_rejoin_groups=auto_rejoin_groups,
            has_static_url=isinstance(credential, str),
            retry_first_connect=retry_first_connect,
            resend_after_reconnect=duplicate_policy == "resend",
            message_retry=message_retry.for_session(),
            reconnect_retry=reconnect_retry.for_session(),
            recovery_window_s=recovery.window,
            recovery_pause_s=recovery.delay,
            recovery_jitter=recovery.jitter,
            recovery_try_s=recovery.probe_timeout,
            keep_alive_interval_s=keep_alive_interval,
            keep_alive_timeout_s=keep_alive_timeout,
            sequence_ack_s=sequence_ack.interval,
            sequence_ack_messages=sequence_ack.max_messages,
            sequence_ack_bytes=sequence_ack.max_bytes,
            credential_s=credential_timeout,
            open_s=transport.open_timeout,
            connected_s=connected_timeout,
            start_s=start_timeout,
            close_s=close_timeout,
            max_auth_failures=max_auth_failures,
            stable_after_s=stable_after,
            retryable_errors=frozenset(retryable_ack_errors),
            max_in_flight=max_in_flight,
        )
        self._driver = Driver(
            credential,
            codec,
            options,
            transport,
            name=name,
            log_payloads=log_payloads,
            decodes_data=json_loads is None,
            observer=observer,
        )
        self._payloads = Payloads(json_loads, json_dumps)
        watch = self._driver.watch
        self._calls = Calls(self._driver) if watch is None else WatchedCalls(self._driver, watch)
        self._dispatcher = Dispatcher(self._driver, self._calls, self._payloads)
        self._life = Life(self._driver, self._calls, self._dispatcher, close_timeout)
        self._timeouts = Timeouts(operation_timeout, invoke_timeout)
        self._buffer = buffer

    # --- what is known -----------------------------------------------------------------------

    @property
    def state(self) -> State:
        return self._driver.state

    @property
    def is_connected(self) -> bool:
        return self._driver.state is State.CONNECTED

    @property
    def connection_id(self) -> str | None:
        """Of the present connection, or of one that is being recovered."""
        return self._driver.session.connection_id

    @property
    def user_id(self) -> str | None:
        return self._driver.session.user_id

    @property
    def groups(self) -> frozenset[str]:
        """The groups this client wants to be in; they are joined again after a reconnect."""
        return frozenset(self._driver.session.groups.wished)

    @property
    def joined_groups(self) -> frozenset[str]:
        """Those that the service has confirmed on this connection."""
        return frozenset(self._driver.session.groups.joined)

    @property
    def stats(self) -> ClientStats:
        """What has happened so far, in numbers. Cheap enough to be read each second."""
        driver, dispatcher = self._driver, self._dispatcher
        session, counters = driver.session, driver.counters
        operations = session.operations
        invocations = operations.pending_invocations
        heard_at = session.heard_at
        age = None if heard_at is None else boottime() - heard_at
        return ClientStats(
            frames_in=counters.frames_in,
            frames_out=counters.frames_out,
            bytes_in=counters.bytes_in,
            bytes_out=counters.bytes_out,
            pending_acks=operations.pending - invocations,
            pending_invocations=invocations,
            retries=operations.retried,
            resent=self._life.resent,
            recoveries=self._life.recoveries,
            reconnects=self._life.reconnects,
            connect_failures=session.failed_tries,
            duplicates_dropped=session.inbound.duplicates,
            sequence_jumps=session.inbound.jumps,
            unknown_frames=counters.unknown,
            bad_frames=counters.bad,
            lane_depth_max=dispatcher.depth_max,
            messages_dropped=dispatcher.dropped,
            last_rtt=counters.last_rtt,
            last_inbound_age=age,
            connected_since=self._life.connected_since,
        )

    def __repr__(self) -> str:
        return f"Client({self.state.value}, connection_id={self.connection_id!r})"

    # --- life --------------------------------------------------------------------------------

    async def start(self, *, timeout: float | Default | None = DEFAULT) -> None:
        """Connect; back when the connection can be used and the groups are rejoined.

        `timeout`: of the whole, in place of `start_timeout`. Raises: ClientStateError if it is not
        stopped; ConnectError and its kinds; then it is stopped again and may be started once more.
        """
        await self._life.start(timeout)

    async def stop(self, *, drain: bool = False, timeout: float | Default | None = DEFAULT) -> None:
        """End the connection, in whatever state it is; back within `close_timeout` or so.

        `drain`: wait first until pending operations are answered, handlers and iterators have
        taken what is queued, and the service has confirmed what was written of group streams and
        every `end()` of one; new operations, streams and parts are refused meanwhile. A stream
        that is not ended before is cut. `timeout`: of this wait, and of
        the end after it, in place of `close_timeout`; None: drain for as long as it takes.
        From a handler: does not wait for the handler that calls.
        """
        await self._life.stop(None, drain=drain, timeout=timeout)

    async def stop_from(
        self, caller: "asyncio.Task[None] | None", *, drain: bool, timeout: float | Default | None
    ) -> None:
        """As `stop`, called from a handler that runs in a thread: it is not waited for."""
        await self._life.stop(caller, drain=drain, timeout=timeout)

    def is_handler(self, task: "asyncio.Task[None]") -> bool:
        """It is one of this client's, and not one of another client in the same program."""
        return task in self._dispatcher.handlers

    @property
    def is_handling(self) -> bool:
        """A handler runs, or has events to take."""
        return bool(self._dispatcher.handlers)

    async def wait_connected(self, *, timeout: float | None = None) -> None:
        """Back when it is connected.

        Raises: ClientStoppedError when it is or gets stopped; ConnectTimeoutError.
        """
        await self._life.wait_connected(timeout)

    async def wait_stopped(self) -> ce.StoppedEvent | None:
        """Back when it is stopped, with why; None if it never ran."""
        return await self._life.wait_stopped()

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


def connect(credential: str | CredentialProvider, **options: Unpack[ClientOptions]) -> Connect:
    """`async with connect(url) as client: …`; options as of `Client`."""
    return Connect(Client(credential, **options))
