"""The blocking twin: the asyncio client in a thread of its own, for programs without asyncio.

Every method hands its work to that thread and waits. Handlers are plain functions; each has its own
thread, where its events come one at a time, so that a slow one delays neither the reader nor another
handler and may call the client, `stop()` included.
"""

import atexit
import concurrent.futures
import inspect
import weakref
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack, cast, overload

from hubbub.client.async_client import Client, State
from hubbub.client.client_options import ClientOptions
from hubbub.client.credential import CredentialProvider
from hubbub.client.events import ClientEvent, GroupMessageEvent, ServerMessageEvent
from hubbub.client.inbox import Registration, present_handler
from hubbub.client.listening import HandlerOptions, Listening
from hubbub.client.operations import InvokeResult, SendResult
from hubbub.client.options import DEFAULT, BufferOptions, Default
from hubbub.client.portal import Portal
from hubbub.client.stats import ClientStats
from hubbub.client.sync_group_streams import SyncGroupStates, SyncGroupStreaming
from hubbub.client.sync_streams import SyncEventStream, SyncRegistration
from hubbub.protocol.client_events import StoppedEvent

_T = TypeVar("_T")
_EXIT_S = 1.0
"""How long the end of the interpreter may take for clients that nobody has stopped."""


class SyncClient(Listening[SyncRegistration], SyncGroupStreaming, SyncGroupStates):
    """One connection to a hub; any thread may call. Options, events and errors as of `Client`."""

    def __init__(
        self,
        credential: str | CredentialProvider,
        *,
        portal: Portal | None = None,
        **options: Unpack[ClientOptions],
    ) -> None:
        """`portal`: a thread that is shared with other clients; its owner closes it."""
        client = self._client = Client(credential, **options)
        self._portal = portal or Portal()
        if portal is None:
            self._portal.is_needed = lambda: client.state is not State.STOPPED or client.is_handling
        self._owns_portal = portal is None
        _open_clients.add(self)

    # --- what is known -----------------------------------------------------------------------

    @property
    def state(self) -> State:
        return self._client.state

    @property
    def is_connected(self) -> bool:
        return self._client.is_connected

    @property
    def connection_id(self) -> str | None:
        return self._client.connection_id

    @property
    def user_id(self) -> str | None:
        return self._client.user_id

    @property
    def groups(self) -> frozenset[str]:
        return self._read(lambda: self._client.groups)

    @property
    def joined_groups(self) -> frozenset[str]:
        return self._read(lambda: self._client.joined_groups)

    @property
    def stats(self) -> ClientStats:
        return self._read(lambda: self._client.stats)

    def _read(self, what: Callable[[], _T]) -> _T:
        return self._portal.run(what)

    def __repr__(self) -> str:
        return f"Sync{self._client!r}"

    # --- life --------------------------------------------------------------------------------

    def start(self, *, timeout: float | Default | None = DEFAULT) -> None:
        """As `Client.start`; one that fails leaves no thread behind."""
        self._portal.call(self._client.start(timeout=timeout))

    def stop(self, *, drain: bool = False, timeout: float | Default | None = DEFAULT) -> None:
        """As `Client.stop`; in a handler too. Ends the thread of the client's loop."""
        if not self._portal.is_running:
            return
        caller = present_handler()
        is_inside = caller is not None and self._client.is_handler(caller)
        own = caller if is_inside else None
        try:
            self._portal.call(self._client.stop_from(own, drain=drain, timeout=timeout))
        finally:
            if not is_inside:
                self._end_portal()

    def _end_portal(self) -> None:
        if self._owns_portal:
            self._portal.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def wait_connected(self, *, timeout: float | None = None) -> None:
        """As `Client.wait_connected`."""
        self._portal.call(self._client.wait_connected(timeout=timeout))

    def wait_stopped(self) -> StoppedEvent | None:
        """As `Client.wait_stopped`."""
        return self._portal.call(self._client.wait_stopped())

    # --- operations --------------------------------------------------------------------------

    def join_group(
        self,
        group: str,
        *,
        ack_id: int | None = None,
        timeout: float | Default | None = DEFAULT,
    ) -> SendResult:
        """As `Client.join_group`."""
        return self._portal.call(self._client.join_group(group, ack_id=ack_id, timeout=timeout))

    def leave_group(
        self,
        group: str,
        *,
        ack_id: int | None = None,
        timeout: float | Default | None = DEFAULT,
    ) -> SendResult:
        """As `Client.leave_group`."""
        return self._portal.call(self._client.leave_group(group, ack_id=ack_id, timeout=timeout))

    def send_to_group(
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
        """As `Client.send_to_group`."""
        return self._portal.call(
            self._client.send_to_group(
                group,
                data,
                data_type,
                no_echo=no_echo,
                fire_and_forget=fire_and_forget,
                ack_id=ack_id,
                ttl=ttl,
                metadata=metadata,
                timeout=timeout,
            )
        )

    def send_event(
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
        """As `Client.send_event`."""
        return self._portal.call(
            self._client.send_event(
                name,
                data,
                data_type,
                fire_and_forget=fire_and_forget,
                ack_id=ack_id,
                metadata=metadata,
                timeout=timeout,
            )
        )

    def invoke_event(
        self,
        name: str,
        data: object = None,
        data_type: str | None = None,
        *,
        invocation_id: str | None = None,
        timeout: float | Default | None = DEFAULT,
    ) -> InvokeResult:
        """As `Client.invoke_event`."""
        return self._portal.call(
            self._client.invoke_event(
                name, data, data_type, invocation_id=invocation_id, timeout=timeout
            )
        )

    def ping(self, *, timeout: float = 5.0) -> float:
        """As `Client.ping`."""
        return self._portal.call(self._client.ping(timeout=timeout))

    # --- handlers and iterators --------------------------------------------------------------

    def _register(
        self, event: str, handler: Callable[[Any], object], options: HandlerOptions
    ) -> SyncRegistration:
        if inspect.iscoroutinefunction(handler):
            raise TypeError("a handler of SyncClient is a plain function; see Client")
        options["thread"] = True
        on = cast("Callable[..., Registration]", self._client.on)  # whatever event it is
        registration = self._portal.run(lambda: on(event, handler, **options))
        return SyncRegistration(self._portal, registration)

    def _unregister(self, event: str, handler: Callable[[Any], object]) -> None:
        self._portal.run(lambda: self._client.off(event, handler))

    @overload
    def messages(
        self, *, group: str, buffer: BufferOptions | None = None, forever: bool = False
    ) -> SyncEventStream[GroupMessageEvent]: ...
    @overload
    def messages(
        self, *, group: None = None, buffer: BufferOptions | None = None, forever: bool = False
    ) -> SyncEventStream[GroupMessageEvent | ServerMessageEvent]: ...

    def messages(
        self,
        *,
        group: str | None = None,
        buffer: BufferOptions | None = None,
        forever: bool = False,
    ) -> SyncEventStream[Any]:
        """As `Client.messages`: `with client.messages() as ms: for m in ms: …`."""
        if group is None:
            return SyncEventStream(
                self._portal, lambda: self._client.messages(buffer=buffer, forever=forever)
            )
        return SyncEventStream(
            self._portal,
            lambda: self._client.messages(group=group, buffer=buffer, forever=forever),
        )

    def events(
        self, *wanted: str, buffer: BufferOptions | None = None, forever: bool = False
    ) -> SyncEventStream[ClientEvent]:
        """As `Client.events`."""
        return SyncEventStream(
            self._portal, lambda: self._client.events(*wanted, buffer=buffer, forever=forever)
        )

    def stop_at_exit(self) -> "concurrent.futures.Future[None] | None":
        """The interpreter ends: say goodbye where there is somebody to say it to."""
        if not self._portal.is_running:
            return None
        return self._portal.submit(self._client.stop())


def connect_sync(
    credential: str | CredentialProvider,
    *,
    portal: Portal | None = None,
    **options: Unpack[ClientOptions],
) -> SyncClient:
    """`with connect_sync(url) as client: …`; options as of `Client`."""
    return SyncClient(credential, portal=portal, **options)


_open_clients: "weakref.WeakSet[SyncClient]" = weakref.WeakSet()


@atexit.register
def _stop_all() -> None:
    stopping = [client.stop_at_exit() for client in list(_open_clients)]
    concurrent.futures.wait([end for end in stopping if end is not None], timeout=_EXIT_S)
