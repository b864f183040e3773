"""The asyncio client: what an application holds.

All rules are in `hubbub.protocol.client_session`; `driver` carries out what it says, `calls` holds
the futures of the callers, `dispatch` the lanes of handlers and iterators, `life` start and stop.
"""

from collections.abc import Generator
from types import TracebackType
from typing import Any, Literal, Self

from hubbub.client.calls import Calls
from hubbub.client.credential import CredentialProvider
from hubbub.client.dispatch import Dispatcher
from hubbub.client.driver import Driver
from hubbub.client.inbox import Registration
from hubbub.client.life import Life
from hubbub.client.operations import Operations, Timeouts
from hubbub.client.options import (
    BufferOptions,
    RecoveryOptions,
    RetryOptions,
    SequenceAckOptions,
    SubProtocol,
    check_client_options,
    check_limit,
)
from hubbub.client.subscriptions import Subscriptions
from hubbub.client.transport import TransportOptions
from hubbub.protocol import client_events as ce

State = ce.State


class Client(Operations, Subscriptions):
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
        self._driver = Driver(credential, protocol.value, options, transport or TransportOptions())
        self._calls = Calls(self._driver)
        self._dispatcher = Dispatcher(self._driver, self._calls)
        self._life = Life(self._driver, self._calls, self._dispatcher, close_timeout)
        self._timeouts = Timeouts(operation_timeout, invoke_timeout)
        self._buffer = buffer or BufferOptions()

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

    def __repr__(self) -> str:
        return f"Client({self.state.value}, connection_id={self.connection_id!r})"

    # --- life --------------------------------------------------------------------------------

    async def start(self) -> None:
        """Connect; back when the connection can be used and the groups are rejoined.

        Raises: ClientStateError if it is not stopped; ConnectError and its kinds; then it is
        stopped again and may be started once more.
        """
        await self._life.start()

    async def stop(self) -> None:
        """End the connection, in whatever state it is; back within `close_timeout` or so.

        From a handler: does not wait for the handler that calls.
        """
        await self._life.stop(None)

    async def stop_from(self, caller: Registration | None) -> None:
        """As `stop`, called from a handler that runs in a thread: it is not waited for."""
        await self._life.stop(caller)

    async def wait_connected(self) -> None:
        """Back when it is connected. Raises: ClientStoppedError when it is or gets stopped."""
        await self._life.wait_connected()

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


def connect(credential: str | CredentialProvider, **options: Any) -> Connect:
    """`async with connect(url) as client: …`; options as of `Client`."""
    return Connect(Client(credential, **options))
