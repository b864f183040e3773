"""One hub for one test: a service in the test's own loop, a backend, clients through a proxy."""

import contextlib
import secrets
from collections.abc import Iterable, Mapping
from typing import Any, Self

from hubbub.appserver import ServiceClient
from hubbub.client import Client, RecoveryOptions, RetryOptions
from hubbub.service import EventHandlerSettings, HubSettings, Service, Settings
from hubbub.testing.faults import FaultProxy

ALL_ROLES = ("webpubsub.joinLeaveGroup", "webpubsub.sendToGroup")


class Hub:
    """`async with Hub() as hub`. A name of its own, so that tests cannot meet.

    `backend`: a `ServiceClient` of the hub. `proxy`: the switches of the link between clients and
    service. `url(…)`: a Client Access URL through the proxy. `client(…)`: a `Client` with quick
    retries, to be started by `async with`.
    """

    def __init__(
        self,
        name: str | None = None,
        *,
        event_handler: str | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        """`event_handler`: URL of a handler that gets all events of the hub. `settings`: of the
        service, by the names of `hubbub.service.Settings`."""
        self.name = name or f"test{secrets.token_hex(6)}"
        hub = HubSettings()
        if event_handler is not None:
            everything = EventHandlerSettings(
                event_handler,
                user_event_pattern="*",
                system_events=("connect", "connected", "disconnected"),
            )
            hub = HubSettings(event_handlers=(everything,))
        self.service = Service(Settings(port=0, hubs={self.name: hub}, **(settings or {})))
        self._stack = contextlib.AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with contextlib.AsyncExitStack() as stack:
            await stack.enter_async_context(self.service)
            self.proxy = await stack.enter_async_context(FaultProxy(self.service.url))
            text = self.service.connection_string
            self.backend = await stack.enter_async_context(
                ServiceClient.from_connection_string(text, self.name)
            )
            # Clients see the proxy's address only, so their tokens are made for it.
            near = text.replace(self.service.url, self.proxy.url)
            self._tokens = await stack.enter_async_context(
                ServiceClient.from_connection_string(near, self.name)
            )
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    def url(
        self,
        *,
        user_id: str | None = None,
        roles: Iterable[str] = ALL_ROLES,
        groups: Iterable[str] = (),
    ) -> str:
        """A fresh Client Access URL, by default with every right."""
        access = self._tokens.get_client_access_token(user_id=user_id, roles=roles, groups=groups)
        return access.url

    def client(
        self,
        *,
        user_id: str | None = None,
        roles: Iterable[str] = ALL_ROLES,
        groups: Iterable[str] = (),
        **options: Any,
    ) -> Client:
        """A client that recovers and reconnects within milliseconds; `options` as of `Client`."""
        options.setdefault("recovery", RecoveryOptions(window=30, delay=0.01, probe_timeout=1.0))
        options.setdefault("reconnect_retry", RetryOptions(None, 0.01, 0.1, "exponential", 1.0))
        options.setdefault("message_retry", RetryOptions(3, 0.01, 0.1))
        roles, groups = tuple(roles), tuple(groups)
        return Client(lambda: self.url(user_id=user_id, roles=roles, groups=groups), **options)

    # --- faults ------------------------------------------------------------------------------

    def cut(self) -> None:
        """Break every client's link now; reliable ones recover."""
        self.proxy.cut()

    async def lose_sessions(self, *, reason: str = "lost by the test") -> None:
        """End every connection for good: clients cannot recover and connect anew."""
        await self.backend.close_all_connections(reason=reason)
