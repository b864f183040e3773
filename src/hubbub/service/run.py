"""The whole program, put together top to bottom; the only file that picks an engine."""

import asyncio
import gc
import logging
import secrets
from collections.abc import Awaitable, Callable
from email.utils import formatdate
from types import TracebackType
from typing import Self

from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.config import Config

from hubbub import __version__, clock
from hubbub.protocol import connection_string
from hubbub.protocol.errors import HubbubError, SettingsError
from hubbub.service.auth import KEY_VARIABLE, SECONDARY_KEY_VARIABLE, random_access_key
from hubbub.service.engine.interface import Engine, NodeInfo
from hubbub.service.engine.memory import MemoryEngine
from hubbub.service.front_door import FrontDoor
from hubbub.service.handshake import client_hub
from hubbub.service.node import Node
from hubbub.service.oidc import Oidc
from hubbub.service.picows_seam import WebSocketFactory
from hubbub.service.rest.app import create_app
from hubbub.service.settings import Settings
from hubbub.service.settings_table import SETTINGS
from hubbub.service.upstream import Upstream

log = logging.getLogger("hubbub.service")

_BACKLOG = 4096
"""Reconnect waves come all at once."""
_KEEP_ALIVE_S = 30
"""How long an idle HTTP connection is kept, seconds."""


class ServiceStateError(HubbubError):
    """A call at the wrong time: an address before the start, a second start."""

    code = "ServiceState"


class Service:
    """A hubbub service in this process and event loop.

    async with Service(Settings(port=0)) as service:
        service.url, service.connection_string
    """

    def __init__(
        self, settings: Settings | None = None, *, now: Callable[[], float] = clock.wall
    ) -> None:
        """Without a key in the settings a random one is drawn. `now`: Unix seconds, for tokens.

        Raises: SettingsError.
        """
        self.settings = settings if settings is not None else Settings()
        primary = self.settings.access_key or random_access_key()
        secondary = self.settings.access_key_secondary
        self._keys = (primary,) if secondary is None else (primary, secondary)
        self._now = now
        self._oidc = _make_oidc(self.settings, now)
        self._port: int | None = None
        self._node: Node | None = None
        self._front: FrontDoor | None = None
        self._server: asyncio.Server | None = None
        self._date_timer: asyncio.TimerHandle | None = None

    # --- what to tell others -----------------------------------------------------------------

    @property
    def url(self) -> str:
        """Base address, for example "http://127.0.0.1:8080"; without a trailing slash."""
        if self._port is None:
            raise ServiceStateError("the service has no address before it is started")
        host = self.settings.host
        host = {"0.0.0.0": "127.0.0.1", "": "127.0.0.1", "::": "::1"}.get(host, host)
        return f"http://[{host}]:{self._port}" if ":" in host else f"http://{host}:{self._port}"

    @property
    def connection_string(self) -> str:
        """For `hubbub.appserver` and the official SDKs. Holds the key: keep it secret."""
        endpoint = self.settings.public_endpoint or self.url
        return connection_string.build(endpoint.rstrip("/"), self._keys[0])

    @property
    def counts(self) -> dict[str, int]:
        """What happened since the start, by name; for tests and operators."""
        return {} if self._node is None else dict(self._node.counts)

    @property
    def connection_count(self) -> int:
        """Connections now, in all hubs; those that are lost and may still recover count too."""
        return 0 if self._node is None else self._node.connection_count

    # --- life --------------------------------------------------------------------------------

    async def start(self) -> None:
        """Listen. Afterwards `GET /api/health` answers 200. Raises: OSError (port in use)."""
        if self._node is not None:
            raise ServiceStateError("the service is already started")
        engine = _make_engine(self.settings)
        upstream = Upstream(self.settings, self._keys)
        node = Node(self.settings, self._keys, engine, upstream, now=self._now)
        websockets = await WebSocketFactory.create(
            # One byte more than allowed is still handed to us, so that we answer it ourselves.
            max_frame_bytes=self.settings.max_message_bytes + 1
        )
        front = FrontDoor(node, websockets)
        app = _without_client_paths(create_app(node, now=self._now, oidc=self._oidc))
        front.http_config = Config(
            app,
            ws=front.upgrade_door(),
            http="httptools",
            interface="asgi3",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_keep_alive=_KEEP_ALIVE_S,
        )
        front.http_config.load()
        loop = asyncio.get_running_loop()
        server = await loop.create_server(
            front.make_door,
            self.settings.host or None,
            self.settings.port,
            backlog=_BACKLOG,
            start_serving=False,
        )
        try:
            await engine.open(NodeInfo(secrets.token_hex(4), __version__))
            await upstream.open()
            if self._oidc is not None:
                await self._oidc.open()
            self._node, self._front, self._server = node, front, server
            self._port = _port_of(server)
            self._keep_date()
            await server.start_serving()
        except BaseException:
            self._node = self._front = self._server = None
            if self._date_timer is not None:
                self._date_timer.cancel()
            server.close()
            await self._close_parts(node)
            raise
        log.info("listening at %s", self.url)

    def reload(self, settings: Settings) -> tuple[str, ...]:
        """Take the hub settings and event handlers of `settings` for whatever comes next.

        No client is dropped, calls under way come to their end. Nothing else changes.
        Returns: the names of other settings that differ; they need a new start.
        Raises: SettingsError, then all stays as it was. ServiceStateError: not started.
        """
        if self._node is None or self._front is None:
            raise ServiceStateError("the service is not started; there is nothing to reload")
        self._node.reload(settings)
        self._front.settings_changed()
        waiting = _changed(self.settings, settings)
        log.info("settings reloaded hubs=%d", len(settings.hubs))
        if waiting:
            log.warning("these settings have changed and need a new start: %s", ", ".join(waiting))
        return waiting

    async def drain(self) -> None:
        """Stop kindly, for SIGTERM: pending answers go out, clients hear 1001. Then call `stop`."""
        node, front = self._node, self._front
        if node is None or front is None:
            return
        node.is_draining = True
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self.settings.drain_timeout_s
        running = list(front.http_state.tasks)
        if running:
            await asyncio.wait(running, timeout=self.settings.drain_timeout_s / 2)
        await node.drain(max(0.0, deadline - loop.time()))
        left_s = max(0.0, deadline - loop.time())
        await front.close(min(left_s, self.settings.close_flush_timeout_s))

    async def stop(self) -> None:
        """Stop now: whatever is open is cut. Idempotent."""
        node, front, server = self._node, self._front, self._server
        if node is None or front is None or server is None:
            return
        self._node = self._front = self._server = None
        if self._date_timer is not None:
            self._date_timer.cancel()
        server.close()
        node.is_draining = True
        await node.close()
        await front.close(0)
        for connection in list(front.http_state.connections):
            connection.transport.abort()
        await asyncio.sleep(0)  # so that running requests see their client gone and end quietly
        for task in list(front.http_state.tasks):
            task.cancel()
        await self._close_parts(node)
        await server.wait_closed()

    async def _close_parts(self, node: Node) -> None:
        """What a start opens, in the order back."""
        if self._oidc is not None:
            await self._oidc.close()
        await node.upstream.close()
        await node.engine.close(0)

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

    def _keep_date(self) -> None:
        """The `Date` header of HTTP answers, made once a second instead of once an answer."""
        assert self._front is not None, "called after the start only"
        date = formatdate(clock.wall(), usegmt=True).encode()
        self._front.http_state.default_headers = [(b"date", date)]
        self._date_timer = asyncio.get_running_loop().call_later(1, self._keep_date)


def _changed(old: Settings, new: Settings) -> tuple[str, ...]:
    """Names of settings that differ, without those of hubs. Never a value: it may be a key."""
    names = [(row.path, row.field) for row in SETTINGS if row.field]
    names += [(KEY_VARIABLE, "access_key"), (SECONDARY_KEY_VARIABLE, "access_key_secondary")]
    return tuple(name for name, field in names if getattr(old, field) != getattr(new, field))


def freeze_garbage() -> None:
    """For a process that is a service alone: what was loaded at start is never collected.

    A full collection with many live connections would stop the loop for tens of milliseconds.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


def _make_engine(settings: Settings) -> Engine:
    scheme = settings.engine_url.partition(":")[0]
    if scheme == "memory":
        return MemoryEngine()
    raise SettingsError([f"engine.url: there is no engine {scheme!r} in this version; use memory:"])


def _make_oidc(settings: Settings, now: Callable[[], float]) -> Oidc | None:
    if settings.oidc_issuer is None:
        return None
    return Oidc(settings.oidc_issuer, settings.oidc_audience, skew_s=settings.clock_skew_s, now=now)


def _port_of(server: asyncio.Server) -> int:
    address = server.sockets[0].getsockname()
    port: int = address[1]
    return port


def _without_client_paths(rest: ASGIApp) -> ASGIApp:
    """A plain request on a client path is a handshake without an upgrade: 400."""

    def app(scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        path: str = scope["path"]
        if path.startswith("/client") and client_hub(path, {"hub": ["x"]}) is not None:
            answer = PlainTextResponse("expected a WebSocket upgrade", status_code=400)
            return answer(scope, receive, send)
        return rest(scope, receive, send)

    return app
