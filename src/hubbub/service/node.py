"""This process: its keys, its hubs, its engine; what the front door and REST ask."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace

from hubbub import clock
from hubbub.protocol import names, tokens
from hubbub.service.connection import Connection
from hubbub.service.engine.interface import Engine
from hubbub.service.hub import Hub
from hubbub.service.observe import Counts
from hubbub.service.requests import Requests
from hubbub.service.settings import Settings
from hubbub.service.upstream import Upstream

log = logging.getLogger("hubbub.service")

_CLOSES_PER_S = 1000
"""At a drain, so that clients do not come back in one instant."""


class Node:
    def __init__(
        self,
        settings: Settings,
        keys: tuple[str, ...],
        engine: Engine,
        upstream: Upstream,
        *,
        now: Callable[[], float] = clock.wall,
    ) -> None:
        """`keys`: the primary one, then the secondary if there is one. `now`: Unix seconds."""
        self.settings = settings
        self.keys = keys
        self.engine = engine
        self.upstream = upstream
        self.now = now
        self.counts = Counts()
        self.is_draining = False
        self.pending_handshakes = 0
        self._hubs: dict[str, tuple[Hub, Requests]] = {}

    def reload(self, settings: Settings) -> None:
        """Other hub settings and event handlers; all else in `settings` stays as it was.

        Raises `SettingsError` with every fault; then nothing has changed.
        """
        settings = replace(self.settings, hubs=settings.hubs)
        self.upstream.reload(settings)
        self.settings = settings

    # --- hubs --------------------------------------------------------------------------------

    def hub(self, name: str) -> Hub:
        """The hub of this lower-case name; it exists as soon as somebody uses it."""
        return self._hub_and_requests(name)[0]

    def requests(self, name: str) -> Requests:
        return self._hub_and_requests(name)[1]

    def find_hub(self, name: str) -> Hub | None:
        entry = self._hubs.get(name)
        return None if entry is None else entry[0]

    def _hub_and_requests(self, name: str) -> tuple[Hub, Requests]:
        entry = self._hubs.get(name)
        if entry is None:
            name = names.hub_name(name)
            hub = Hub(
                name,
                self.settings,
                self.engine,
                self.upstream,
                self.counts,
                self._make_reconnection_token,
            )
            requests = Requests(
                hub,
                self.upstream,
                self.counts,
                drop_on_event_failure=self.settings.drop_on_event_failure,
            )
            entry = self._hubs[name] = (hub, requests)
        return entry

    @property
    def connection_count(self) -> int:
        return sum(len(hub.connections) for hub, _ in self._hubs.values())

    @property
    def is_full(self) -> bool:
        limit = self.settings.max_connections
        return limit > 0 and self.connection_count + self.pending_handshakes >= limit

    # --- tokens ------------------------------------------------------------------------------

    def client_audiences(self, scheme: str, authority: str, hub: str) -> tuple[str, ...]:
        """What `aud` of a client token may be. `scheme`, `authority`: as the client saw them."""
        bases = [f"{scheme}://{authority}"]
        default_port = {"http": ":80", "https": ":443"}[scheme]
        if authority.endswith(default_port):
            bases.append(f"{scheme}://{authority.removesuffix(default_port)}")
        if self.settings.public_endpoint is not None:
            bases.append(self.settings.public_endpoint.rstrip("/"))
        return tuple(f"{base}/client/hubs/{hub}" for base in bases)

    def _make_reconnection_token(self, hub: str, connection_id: str) -> str:
        expires_at = self.now() + self.settings.reconnection_token_life_s
        return tokens.make_reconnection_token(
            self.keys[0], hub=hub, connection_id=connection_id, expires_at=expires_at
        )

    def is_reconnection_token(self, token: str, hub: str, connection_id: str) -> bool:
        return tokens.check_reconnection_token(
            token, self.keys, hub=hub, connection_id=connection_id, now=self.now()
        )

    # --- the end -----------------------------------------------------------------------------

    async def drain(self, timeout_s: float) -> None:
        """Stop kindly: no new clients, pending answers out, then `disconnected` and 1001.

        Back when every connection is told and every event handler has heard, at the latest after
        `timeout_s`.
        """
        self.is_draining = True
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        for _, requests in list(self._hubs.values()):
            await requests.finish(max(0.0, deadline - loop.time()) / 2)
        await self._close_all(max(0.0, deadline - loop.time()) / 2)
        await self.upstream.drain(max(0.0, deadline - loop.time()))

    async def close(self) -> None:
        """Stop now: cancel what runs for clients, forget them without a word."""
        for hub, requests in list(self._hubs.values()):
            await requests.finish(0)
            hub.close()

    async def _close_all(self, time_s: float) -> None:
        everybody = [(hub, c) for hub, _ in self._hubs.values() for c in hub.connections.values()]
        log.info("draining connections=%d", len(everybody))
        pause_s = min(0.1, time_s * 100 / len(everybody)) if everybody else 0.0
        per_pause = max(1, round(_CLOSES_PER_S * 0.1))
        for i, (hub, connection) in enumerate(everybody, 1):
            self._close_for_drain(hub, connection)
            if i % per_pause == 0:
                await asyncio.sleep(pause_s)

    def _close_for_drain(self, hub: Hub, connection: Connection) -> None:
        self.counts["closed.ServiceReload"] += 1
        hub.close_connection(connection, 1001, "the service is restarting", cause="ServiceReload")
