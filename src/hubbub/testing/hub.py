"""One hub for one test: a service in the test's own loop, a backend, clients through a proxy."""

import asyncio
import contextlib
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import fields, replace
from typing import Any, Self

from hubbub.appserver import ServiceClient
from hubbub.client import Client, RecoveryOptions, RetryOptions
from hubbub.client.credential import CredentialProvider
from hubbub.service import EventHandlerSettings, HubSettings, Service, Settings
from hubbub.testing.clock import VirtualTimeLoop
from hubbub.testing.faults import FaultProxy

ALL_ROLES = ("webpubsub.joinLeaveGroup", "webpubsub.sendToGroup")

_QUICK = {
    "recovery": RecoveryOptions(window=30, delay=0.01, probe_timeout=1.0),
    "reconnect_retry": RetryOptions(None, 0.01, 0.1, "exponential", 1.0),
    "message_retry": RetryOptions(3, 0.01, 0.1),
}


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
        """`event_handler`: URL of a handler that gets all events of the hub. `settings`: by the
        names of `hubbub.service.Settings` and `HubSettings`."""
        self.name = name or f"test{secrets.token_hex(6)}"
        of_hub = {field.name for field in fields(HubSettings)}
        given = settings or {}
        hub = HubSettings(**{key: given[key] for key in given if key in of_hub})
        if event_handler is not None:
            everything = EventHandlerSettings(
                event_handler,
                user_event_pattern="*",
                system_events=("connect", "connected", "disconnected"),
            )
            hub = replace(hub, event_handlers=(everything,))
        others = {key: given[key] for key in given if key not in of_hub}
        self.service = Service(Settings(port=0, hubs={self.name: hub}, **others))
        self._stack = contextlib.AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with contextlib.AsyncExitStack() as stack:
            await stack.enter_async_context(self.service)
            self.proxy = await stack.enter_async_context(FaultProxy(self.service.url))
            self.backend = await stack.enter_async_context(
                ServiceClient.from_connection_string(self.connection_string, self.name)
            )
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    @property
    def connection_string(self) -> str:
        """For a backend of your own: its calls go to the service, its clients to the proxy."""
        return f"{self.service.connection_string}ClientEndpoint={self.proxy.url};"

    def url(
        self,
        *,
        user_id: str | None = None,
        roles: Iterable[str] = ALL_ROLES,
        groups: Iterable[str] = (),
    ) -> str:
        """A fresh Client Access URL, by default with every right."""
        access = self.backend.get_client_access_token(user_id=user_id, roles=roles, groups=groups)
        return access.url

    def client(
        self,
        *,
        user_id: str | None = None,
        roles: Iterable[str] = ALL_ROLES,
        groups: Iterable[str] = (),
        credential: str | CredentialProvider | None = None,
        **options: Any,
    ) -> Client:
        """A client that recovers and reconnects within milliseconds; `options` as of `Client`.

        In virtual time it has the usual pauses, which take no time there.
        `credential`: an address or provider of your own, in place of a fresh address each time.
        """
        if not isinstance(asyncio.get_running_loop(), VirtualTimeLoop):
            for option, value in _QUICK.items():
                options.setdefault(option, value)
        roles, groups = tuple(roles), tuple(groups)
        if credential is None:

            def credential() -> str:
                return self.url(user_id=user_id, roles=roles, groups=groups)

        return Client(credential, **options)

    # --- faults ------------------------------------------------------------------------------

    def cut(self) -> None:
        """Break every client's link now; reliable ones recover."""
        self.proxy.cut()

    async def lose_sessions(self, *, reason: str = "lost by the test") -> None:
        """End every connection for good: clients cannot recover and connect anew."""
        await self.backend.close_all_connections(reason=reason)
