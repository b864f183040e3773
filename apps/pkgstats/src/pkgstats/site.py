"""The running site: catalog, web server, hubbub and the tasks between them, put together here."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import AsyncIterator, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace

import uvicorn
from starlette.types import ASGIApp

from hubbub.appserver import ServiceClient
from hubbub.service import (
    EventHandlerSettings,
    HubSettings,
    Service,
    local_access_key,
)
from hubbub.service import (
    Settings as ServiceSettings,
)
from pkgstats.catalog import Catalog, open_catalog
from pkgstats.live.bot import Bot, LogPoster
from pkgstats.live.groups import Watchers
from pkgstats.live.negotiate import HUB
from pkgstats.live.notices import tell_of_pauses
from pkgstats.live.publisher import publish_changes, publish_notice, publish_watchers
from pkgstats.live.upstream import make_handler
from pkgstats.settings import InvalidSetting, Settings
from pkgstats.web.app import Live, create_app

LOOPBACK = "127.0.0.1"
BACKLOG = 1024
_SHUTDOWN_S = 3
"""How long running answers may take once the site is told to stop."""


class PortInUse(Exception):
    """A port is taken; the text says what to do."""


@dataclass(frozen=True, slots=True)
class Site:
    """A site that answers."""

    url: str
    hubbub_url: str
    client: ServiceClient
    catalog: Catalog
    service: Service | None
    """The site's own hubbub; None: one that was there before."""


@asynccontextmanager
async def running_site(
    settings: Settings,
    *,
    demo: bool,
    port: int,
    hubbub_port: int,
    origins: Sequence[str] = (),
) -> AsyncIterator[Site]:
    """A site on loopback. Port 0: any free one. `origins`: further addresses of its pages.

    Raises PortInUse, InvalidSetting, HubbubError.
    """
    web_socket = _bind(port)
    web_port = web_socket.getsockname()[1]
    own_origins = {f"http://{host}:{web_port}" for host in (LOOPBACK, "localhost")}
    with web_socket:
        async with (
            # The site itself lets days pass, and only while somebody looks.
            open_catalog(replace(settings, world_day_s=0), demo=demo) as catalog,
            _hubbub(settings, web_port, hubbub_port) as (connection_string, service),
            ServiceClient.from_connection_string(connection_string, HUB) as client,
        ):
            watchers = Watchers(
                lambda name, count: publish_watchers(client, name, count), catalog.watching
            )
            handler = make_handler(
                catalog,
                watchers,
                client,
                access_keys=[access_key(connection_string)],
                origins=own_origins | set(origins),
            )
            app = create_app(catalog, Live(client, handler, watchers), settings)
            bot = Bot(catalog, [LogPoster()])
            jobs = [
                publish_changes(catalog, client),
                watchers.run(),
                tell_of_pauses(catalog, lambda text: publish_notice(client, text)),
            ]
            if demo:
                jobs.append(_pass_days(catalog, bot, watchers, settings.world_day_s))
            else:
                jobs.append(bot.run())
            async with _tasks(app, web_socket, jobs, service):
                yield Site(
                    url=f"http://{LOOPBACK}:{web_port}",
                    hubbub_url=client.endpoint,
                    client=client,
                    catalog=catalog,
                    service=service,
                )
            await handler.aclose()


def access_key(connection_string: str) -> str:
    """The key in a connection string: hubbub signs its events with it."""
    for field in connection_string.split(";"):
        name, _, value = field.strip().partition("=")
        if name.lower() == "accesskey" and value:
            return value
    raise InvalidSetting("PKGSTATS_HUBBUB holds no AccessKey")


@asynccontextmanager
async def _hubbub(
    settings: Settings, web_port: int, hubbub_port: int
) -> AsyncIterator[tuple[str, Service | None]]:
    """The hubbub of the settings, or an own one that sends its events to our port."""
    if settings.hubbub:
        yield settings.hubbub, None
        return
    hub = HubSettings(
        event_handlers=(
            EventHandlerSettings(
                url_template=f"http://{LOOPBACK}:{web_port}/eventhandler",
                user_event_pattern="*",
                system_events=("connect", "connected", "disconnected"),
            ),
        )
    )
    service = Service(
        ServiceSettings(
            host=LOOPBACK, port=hubbub_port, access_key=local_access_key(), hubs={HUB: hub}
        )
    )
    try:
        await service.start()
    except OSError as error:
        raise _port_in_use(error, hubbub_port, "--hubbub-port") from error
    try:
        yield service.connection_string, service
    finally:
        await service.stop()


@asynccontextmanager
async def _tasks(
    app: ASGIApp,
    web_socket: socket.socket,
    jobs: Sequence[Coroutine[None, None, None]],
    service: Service | None,
) -> AsyncIterator[None]:
    """The web server and the site's jobs; one that fails ends the site with its error."""
    server = _Server(
        uvicorn.Config(
            app, log_config=None, access_log=False, timeout_graceful_shutdown=_SHUTDOWN_S
        )
    )
    async with asyncio.TaskGroup() as group:
        serving = group.create_task(server.serve([web_socket]), name="web")
        others = [group.create_task(job) for job in jobs]
        try:
            yield
        finally:
            if service is not None:
                await service.drain()
            server.should_exit = True
            for task in others:
                task.cancel()
            await asyncio.wait([serving])


async def _pass_days(catalog: Catalog, bot: Bot, watchers: Watchers, day_s: float) -> None:
    """Move the simulated world while somebody looks; whoever comes first sees all of it."""
    while True:
        await watchers.present.wait()
        await asyncio.sleep(day_s)
        await pass_demo_day(catalog, bot)


async def pass_demo_day(catalog: Catalog, bot: Bot) -> None:
    """A day of the simulated world: new counts, releases, and a pick."""
    await catalog.pass_day()
    await bot.pick_next()


class _Server(uvicorn.Server):
    """A web server that leaves signals to the program."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _bind(port: int) -> socket.socket:
    # With its protocol named, asyncio sends each answer at once: else every second packet of an
    # answer waits 40 ms for the acknowledgement of the first.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((LOOPBACK, port))
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise _port_in_use(error, port, "--port") from error
    return listener


def _port_in_use(error: OSError, port: int, option: str) -> Exception:
    """The same error in words, when it is about a port that is taken."""
    if error.errno != errno.EADDRINUSE:
        return error
    return PortInUse(f"port {port} is in use; choose another one with {option} (0: any free one)")
