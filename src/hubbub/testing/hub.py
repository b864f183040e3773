"""One hub for one test: a service in the test's own loop, a backend, clients through a proxy."""

import asyncio
import contextlib
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, replace
from typing import Any, Self, Unpack

from hubbub.appserver import ServiceClient
from hubbub.client import Client, ClientOptions, RecoveryOptions, RetryOptions
from hubbub.client.credential import CredentialProvider
from hubbub.service import EventHandlerSettings, HubSettings, Service, Settings
from hubbub.service.auth import random_access_key
from hubbub.testing.clock import VirtualTimeLoop
from hubbub.testing.expect import WITHIN_S, eventually
from hubbub.testing.faults import FaultProxy
from hubbub.testing.handler import HandlerServer

ALL_ROLES = ("webpubsub.joinLeaveGroup", "webpubsub.sendToGroup")
_QUICK: ClientOptions = {
    "recovery": RecoveryOptions(window=30, delay=0.01, probe_timeout=1.0),
    "reconnect_retry": RetryOptions(None, 0.01, 0.1, "exponential", 1.0),
    "message_retry": RetryOptions(3, 0.01, 0.1),
}


class Hub:
    """`async with Hub() as hub`. A name of its own, so that tests cannot meet.

    `backend`: a `ServiceClient` of the hub. `proxy`: the switches of the link between clients and
    service. `handler`: those of the event handler, if it was given one to serve. `url(…)`: a
    Client Access URL through the proxy. `client(…)`: a `Client`, to be started by `async with`.
    """

    service: Service
    proxy: FaultProxy
    backend: ServiceClient

    def __init__(
        self,
        name: str | None = None,
        *,
        event_handler: Any = None,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        """`event_handler`: gets all events of the hub; an `EventHandler` or ASGI app, which is
        served in this loop, or the URL of one that runs already. `settings`: by the names of
        `hubbub.service.Settings` and `HubSettings`."""
        self.name = name or f"test{secrets.token_hex(6)}"
        of_hub = {field.name for field in fields(HubSettings)}
        given = settings or {}
        self._hub_settings = HubSettings(**{key: given[key] for key in given if key in of_hub})
        others = {key: given[key] for key in given if key not in of_hub}
        defaults: dict[str, Any] = {"port": 0, "access_key": random_access_key()}
        self._settings = Settings(**(defaults | others))
        self._event_handler = event_handler
        self._handler: HandlerServer | None = None
        self._stack = contextlib.AsyncExitStack()
        self._issued: set[str] = set()

    async def __aenter__(self) -> Self:
        async with contextlib.AsyncExitStack() as stack:
            if self._event_handler is not None:
                url = await self._handler_url(stack)
                everything = EventHandlerSettings(
                    url,
                    user_event_pattern="*",
                    system_events=("connect", "connected", "disconnected"),
                )
                self._hub_settings = replace(self._hub_settings, event_handlers=(everything,))
            self._settings = replace(self._settings, hubs={self.name: self._hub_settings})
            await self.start_service()
            stack.push_async_callback(self.stop_service)
            self.proxy = await stack.enter_async_context(FaultProxy(self.service.url))
            self.backend = await stack.enter_async_context(
                ServiceClient.from_connection_string(self.connection_string, self.name)
            )
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    def __getattr__(self, name: str) -> Any:
        """What a hub has only while it runs."""
        if name in ("service", "proxy", "backend"):
            raise RuntimeError(f"this hub has no {name} yet; use it as `async with … as hub`")
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    async def _handler_url(self, stack: contextlib.AsyncExitStack) -> str:
        if isinstance(self._event_handler, str):
            return self._event_handler
        self._handler = HandlerServer(self._event_handler)
        await stack.enter_async_context(self._handler)
        return self._handler.url

    # --- addresses and clients ---------------------------------------------------------------

    @property
    def connection_string(self) -> str:
        """For a backend of your own: its calls go to the service, its clients to the proxy."""
        return f"{self.service.connection_string}ClientEndpoint={self.proxy.url};"

    @property
    def handler(self) -> HandlerServer:
        """What can go wrong with the event handler; see `HandlerServer`.

        Raises: RuntimeError where the hub was given none to serve.
        """
        if self._handler is None:
            raise RuntimeError("this hub serves no event handler; give it one as event_handler=…")
        return self._handler

    def url(
        self,
        *,
        user_id: str | None = None,
        roles: Iterable[str] = ALL_ROLES,
        groups: Iterable[str] = (),
    ) -> str:
        """A fresh Client Access URL, by default with every right."""
        minutes = 60
        while True:
            access = self.backend.get_client_access_token(
                user_id=user_id, roles=roles, groups=groups, minutes_to_expire=minutes
            )
            if access.token not in self.proxy.expired_tokens:
                self._issued.add(access.token)
                return access.url
            minutes += 1  # two tokens of the same second would be the same one

    def client(
        self,
        *,
        user_id: str | None = None,
        roles: Iterable[str] = ALL_ROLES,
        groups: Iterable[str] = (),
        credential: str | CredentialProvider | None = None,
        **options: Unpack[ClientOptions],
    ) -> Client:
        """A client that recovers and reconnects within milliseconds; `options` as of `Client`.

        In virtual time it has the usual pauses, which take no time there.
        `credential`: an address or provider of your own, in place of a fresh address each time.
        """
        if not _is_time_virtual():
            options = {**_QUICK, **options}
        roles, groups = tuple(roles), tuple(groups)
        if credential is None:

            async def credential() -> str:
                return self.url(user_id=user_id, roles=roles, groups=groups)

        return Client(credential, **options)

    # --- what the service should see ------------------------------------------------------------

    async def expect(
        self,
        *,
        connections: int | None = None,
        groups: Mapping[str, int] | None = None,
        counts: Mapping[str, int] | None = None,
        events: Sequence[str] | None = None,
        within: float = WITHIN_S,
    ) -> None:
        """Wait until the service has so many connections (lost ones that may still recover count),
        members of groups, counts (see `Service.counts`), and its handler has had these events.

        Raises: AssertionError with each number that was expected and what it was instead.
        """

        async def check() -> None:
            found = [("connections", connections, self.service.connection_count)]
            for group, members in (groups or {}).items():
                listing = self.backend.list_connections(group)
                found.append(
                    (f"members of {group!r}", members, len([one async for one in listing]))
                )
            for name, number in (counts or {}).items():
                found.append((name, number, self.service.counts.get(name, 0)))
            wrong = [
                f"expected {wanted} {name}, got {got}"
                for name, wanted, got in found
                if wanted not in (None, got)
            ]
            if events is not None and self.handler.events != list(events):
                wrong.append(f"expected the events {list(events)}, got {self.handler.events}")
            assert not wrong, "; ".join(wrong)

        await eventually(check, None, within=within)

    # --- faults; those of the link are in `proxy` ----------------------------------------------

    def cut(self) -> None:
        """Break every client's link now; reliable ones recover."""
        self.proxy.cut()

    async def close_clients(self, code: int, reason: str = "") -> None:
        """Tell every client this close code; after 1008 none recovers, after 1001 reliable ones do."""
        await self.proxy.close_clients(code, reason)

    def expire_tokens(self) -> None:
        """Every address given out so far is refused with 401 when a client connects anew."""
        self.proxy.expired_tokens |= self._issued

    async def lose_sessions(self, *, reason: str = "lost by the test") -> None:
        """End every connection for good: clients cannot recover and connect anew."""
        await self.backend.close_all_connections(reason=reason)

    async def drain(self) -> None:
        """The service stops kindly: clients hear 1001, newcomers get 503 until `restart`."""
        await self.service.drain()

    async def restart(self) -> None:
        """Stop the service and start it again: same port and keys, all sessions lost."""
        await self.stop_service()
        await self.start_service()

    async def stop_service(self) -> None:
        """The service is gone: links break, nobody gets in. Idempotent."""
        await self.service.stop()

    async def start_service(self) -> None:
        """After `stop_service`: a new service with the same port and keys, without sessions."""
        self.service = Service(self._settings)
        await self.service.start()
        port = int(self.service.url.rpartition(":")[2])
        self._settings = replace(self._settings, port=port)


def _is_time_virtual() -> bool:
    try:
        return isinstance(asyncio.get_running_loop(), VirtualTimeLoop)
    except RuntimeError:  # a client may be made before its loop runs
        return False
