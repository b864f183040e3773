"""A running service per test, and clients that are cut when the test ends."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

import pytest
from tests.wire.client import ALL_ROLES, JR, PB, PBR, J, RawClient, access_token

from hubbub.protocol.messages import Connected
from hubbub.service import Service, Settings

StartService = Callable[..., Awaitable[Service]]
Connect = Callable[..., Awaitable[RawClient]]
LoopFactory = Callable[[], asyncio.AbstractEventLoop]

_ON_BOTH_LOOPS = {"test_framing.py", "test_reliable.py", "test_hostile.py", "test_soak.py"}
_ALSO = {
    "test_cp_081_reader_that_never_reads_is_dropped_and_harms_nobody",
    "test_full_lane_stops_reading_and_goes_on_later",
}


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Function
) -> Mapping[str, LoopFactory]:
    """`hubbub serve` runs on uvloop where that is installed: tests of what transports do run on
    both loops, since they differ in when they write, pause and close."""
    factories: dict[str, LoopFactory] = {"asyncio": asyncio.new_event_loop}
    if item.path.name in _ON_BOTH_LOOPS or item.name in _ALSO:
        with contextlib.suppress(ImportError):  # there is none for Windows
            import uvloop

            factories["uvloop"] = uvloop.new_event_loop
    return factories


@pytest.fixture
async def start_service() -> AsyncIterator[StartService]:
    """`await start_service(recovery_window_s=0.2, …)`: any setting; stopped after the test."""
    async with contextlib.AsyncExitStack() as stack:

        async def start(**settings: Any) -> Service:
            service = Service(Settings(port=0, **settings))
            return await stack.enter_async_context(service)

        yield start


@pytest.fixture
async def service(start_service: StartService) -> Service:
    return await start_service()


@pytest.fixture(autouse=True)
async def no_client_left() -> AsyncIterator[None]:
    yield
    for client in RawClient.opened:
        client.writer.transport.abort()
    RawClient.opened.clear()
    await asyncio.sleep(0)


@pytest.fixture
def connect() -> Connect:
    """`await connect(service, J | JR | PB | PBR | None, hub=…, query=…, token=…, user_id=…, roles=…, groups=…)`.

    A PubSub client has read its `connected` message into `hello`.
    """

    async def open_client(
        service: Service,
        subprotocols: str | None = J,
        *,
        hub: str = "hub1",
        query: str = "",
        token: str | None = None,
        headers: dict[str, str] | None = None,
        roles: tuple[str, ...] = ALL_ROLES,
        **claims: Any,
    ) -> RawClient:
        if token is None:
            token = access_token(service, hub, roles=roles, **claims)
        target = f"/client/hubs/{hub}?access_token={token}{query}"
        client = await RawClient.open(service, target, subprotocols=subprotocols, headers=headers)
        chosen = client.headers.get("sec-websocket-protocol")
        if chosen in (J, JR):
            client.hello = await client.json()
            assert client.hello["event"] == "connected"
        elif chosen in (PB, PBR):
            connected = await client.response()
            assert isinstance(connected, Connected)
            client.hello = {
                "connectionId": connected.connection_id,
                "userId": connected.user_id,
                "reconnectionToken": connected.reconnection_token,
            }
        return client

    return open_client


@pytest.fixture
def recover() -> Connect:
    """`await recover(service, old_client, connection_id=…, token=…, hub=…)`: the raw socket."""

    async def open_client(
        service: Service,
        old: RawClient,
        *,
        connection_id: str | None = None,
        token: str | None = None,
        hub: str = "hub1",
        query: str = "",
        subprotocols: str = JR,
    ) -> RawClient:
        connection_id = connection_id or old.hello["connectionId"]
        token = token or old.hello.get("reconnectionToken", "none")
        target = (
            f"/client/hubs/{hub}?awps_connection_id={connection_id}"
            f"&awps_reconnection_token={token}{query}"
        )
        return await RawClient.open(service, target, subprotocols=subprotocols)

    return open_client
