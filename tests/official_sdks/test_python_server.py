"""`azure-messaging-webpubsubservice` 1.3.0, sync and aio, unmodified: tokens and sends."""

import asyncio
import io
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
import pytest_asyncio
from azure.core.credentials import AzureKeyCredential
from azure.core.exceptions import ClientAuthenticationError
from azure.messaging.webpubsubclient.models import SendMessageError, WebPubSubDataType
from azure.messaging.webpubsubservice import WebPubSubServiceClient as SyncServer
from azure.messaging.webpubsubservice.aio import WebPubSubServiceClient as AsyncServer
from tests.official_sdks.python_clients import AsyncTester, until

from hubbub.service import Service

pytestmark = pytest.mark.asyncio(loop_scope="session")


class Server:
    """The sync or the aio SDK for one hub, behind one face, and clients that it lets in."""

    def __init__(self, kind: str, connection_string: str) -> None:
        hub = f"Python_{kind}"
        self._sync = SyncServer.from_connection_string(connection_string, hub)
        self._aio = AsyncServer.from_connection_string(connection_string, hub)
        self._is_sync = kind == "sync"
        self._clients: list[AsyncTester] = []
        # The aio SDK announces the characters of a text as its bytes: only ASCII gets through.
        text = "hi 🎈" if self._is_sync else "hi"
        self.messages: list[Any] = [{"a": [1, "ü"]}, "quoted", text, b"\x00\x01\xff"]

    async def call(self, name: str, *arguments: Any, **options: Any) -> Any:
        if self._is_sync:
            return await asyncio.to_thread(getattr(self._sync, name), *arguments, **options)
        return await getattr(self._aio, name)(*arguments, **options)

    async def send_each(self, name: str, *target: str, **options: Any) -> None:
        """One message of each kind."""
        kinds = ["application/json", "application/json", "text/plain", "application/octet-stream"]
        for message, content_type in zip(self.messages, kinds, strict=True):
            body = io.BytesIO(message) if isinstance(message, bytes) else message
            await self.call(name, *target, body, content_type=content_type, **options)

    async def connect(self, **token: Any) -> AsyncTester:
        access = await self.call("get_client_access_token", **token)
        client = AsyncTester(access["url"], message_retry_total=0)
        self._clients.append(client)
        await client.open()
        await until(lambda: len(client.log.connected) == 1)
        return client

    async def close(self) -> None:
        await asyncio.gather(*(client.close() for client in self._clients))
        self._sync.close()
        await self._aio.close()


@pytest_asyncio.fixture(scope="module", loop_scope="session", params=["sync", "aio"])
async def server(request: pytest.FixtureRequest, service: Service) -> AsyncIterator[Server]:
    async with AsyncExitStack() as stack:
        server = Server(request.param, service.connection_string)
        stack.push_async_callback(server.close)
        yield server


def _values(events: list[Any]) -> list[Any]:
    in_order = sorted(events, key=lambda event: event.sequence_id)
    values = [event.data for event in in_order]
    return [bytes(value) if isinstance(value, memoryview) else value for value in values]


async def test_token_carries_user_groups_and_roles(server: Server) -> None:
    client = await server.connect(
        user_id="ann", groups=["vip"], roles=["webpubsub.sendToGroup.out"], minutes_to_expire=5
    )
    assert client.log.connected[0].user_id == "ann"
    await server.call("send_to_group", "vip", "welcome", content_type="text/plain")
    await until(lambda: len(client.log.group) == 1)
    await client.call("send_to_group", "out", "x", WebPubSubDataType.TEXT)
    with pytest.raises(SendMessageError):
        await client.call("send_to_group", "other", "x", WebPubSubDataType.TEXT)


async def test_cp_042_send_to_connection(server: Server) -> None:
    client, bystander = await server.connect(), await server.connect()
    await server.send_each("send_to_connection", client.log.connected[0].connection_id)
    await until(lambda: len(client.log.server) == 4)
    assert _values(client.log.server) == server.messages
    assert bystander.log.server == []


async def test_send_to_user(server: Server) -> None:
    both = [await server.connect(user_id="two/of them") for _ in range(2)]
    bystander = await server.connect(user_id="one")
    await server.send_each("send_to_user", "two/of them")
    await until(lambda: all(len(client.log.server) == 4 for client in both))
    assert [_values(client.log.server) for client in both] == [server.messages] * 2
    assert bystander.log.server == []


async def test_cp_041_send_to_group(server: Server) -> None:
    group = "a b/@c:d"
    client, excluded = await server.connect(groups=[group]), await server.connect(groups=[group])
    connection_id = excluded.log.connected[0].connection_id
    await server.send_each("send_to_group", group, excluded=[connection_id])
    await until(lambda: len(client.log.group) == 4)
    assert _values(client.log.group) == server.messages
    assert (client.log.group[0].group, client.log.group[0].from_user_id) == (group, None)
    assert excluded.log.group == []


async def test_send_to_all(server: Server) -> None:
    clients = [await server.connect() for _ in range(3)]
    excluded = clients.pop()
    await server.send_each("send_to_all", excluded=[excluded.log.connected[0].connection_id])
    await until(lambda: all(len(client.log.server) == 4 for client in clients))
    assert [_values(client.log.server) for client in clients] == [server.messages] * 2
    assert excluded.log.server == []


async def test_wrong_key_is_refused(service: Service) -> None:
    with SyncServer(service.url, "h", AzureKeyCredential("not-the-key-" * 4)) as server:
        with pytest.raises(ClientAuthenticationError):
            await asyncio.to_thread(server.send_to_all, "x", content_type="text/plain")
