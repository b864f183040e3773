"""`azure-messaging-webpubsubservice` 1.3.0, sync, unmodified: every public method but plain sends.

Tokens and sends without a filter are in `test_python_server.py`.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from azure.core.rest import HttpRequest
from azure.messaging.webpubsubservice import WebPubSubServiceClient
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from hubbub.service import Service

pytestmark = pytest.mark.asyncio(loop_scope="session")

TEXT = Path(__file__).read_text()
TIMEOUT_S = 20
GROUP = "g/1 +é"


class Receiver:
    """A JSON client that the SDK's token lets in."""

    def __init__(self, socket: ClientConnection, hello: dict[str, Any]) -> None:
        self.id = str(hello["connectionId"])
        self._socket = socket

    async def message(self) -> dict[str, Any]:
        async with asyncio.timeout(TIMEOUT_S):
            return dict(json.loads(await self._socket.recv()))

    async def data(self) -> Any:
        return (await self.message())["data"]

    async def closed(self) -> tuple[str, int]:
        """What `disconnected` said, and the close code."""
        message = await self.message()
        assert (message["type"], message["event"]) == ("system", "disconnected")
        with pytest.raises(ConnectionClosed) as caught:
            await self.message()
        assert caught.value.rcvd is not None
        return message["message"], caught.value.rcvd.code

    async def expect_silence(self) -> None:
        await self._socket.send('{"type":"ping"}')
        assert await self.message() == {"type": "pong"}


class Sdk:
    """The SDK for a hub of its own, each call in a thread, and clients that it lets in."""

    def __init__(self, client: WebPubSubServiceClient, stack: AsyncExitStack) -> None:
        self.client = client
        self._stack = stack

    async def call(self, name: str, *arguments: Any, **options: Any) -> Any:
        return await asyncio.to_thread(getattr(self.client, name), *arguments, **options)

    async def connect(self, **token: Any) -> Receiver:
        access = await self.call("get_client_access_token", **token)
        subprotocol = Subprotocol("json.webpubsub.azure.v1")
        socket = await self._stack.enter_async_context(
            connect(access["url"], subprotocols=[subprotocol], compression=None, proxy=None)
        )
        return Receiver(socket, json.loads(await socket.recv()))


@pytest_asyncio.fixture(loop_scope="session")
async def sdk(service: Service, request: pytest.FixtureRequest) -> AsyncIterator[Sdk]:
    hub = request.node.name.partition("[")[0]
    async with AsyncExitStack() as stack:
        text = service.connection_string
        client = stack.enter_context(WebPubSubServiceClient.from_connection_string(text, hub))
        yield Sdk(client, stack)


async def test_ra_039_ra_043_sends_with_a_filter(sdk: Sdk) -> None:
    ann = await sdk.connect(user_id="a b'c", groups=[GROUP, "vip"])
    bob = await sdk.connect(user_id="bob", groups=[GROUP])
    text = "userId eq 'a b''c' and 'g/1 +é' in groups"
    plain: dict[str, Any] = {"content_type": "text/plain"}
    await sdk.call("send_to_all", "all", filter=text, **plain)
    await sdk.call("send_to_group", GROUP, "group", filter=text, **plain)
    await sdk.call("send_to_user", "a b'c", "user", filter="'vip' in groups", **plain)
    await sdk.call("send_to_user", "bob", "user", filter="'vip' in groups", **plain)
    await sdk.call("send_to_group", GROUP, "both", excluded=[ann.id], filter="true", **plain)
    await sdk.call("send_to_all", "end", filter="", **plain)
    assert [await ann.data() for _ in range(4)] == ["all", "group", "user", "end"]
    assert [await bob.data() for _ in range(2)] == ["both", "end"]


async def test_ra_040_filter_at_fault_is_an_error_with_its_text(sdk: Sdk) -> None:
    with pytest.raises(HttpResponseError) as caught:
        await sdk.call("send_to_all", "x", filter="not length(userId) gt 5")
    assert caught.value.status_code == 400
    assert "Invalid syntax for 'not length(userId)'" in str(caught.value)


async def test_ra_052_ra_053_close_connection(sdk: Sdk) -> None:
    client, other = await sdk.connect(), await sdk.connect()
    await sdk.call("close_connection", client.id, reason="bye é")
    await sdk.call("close_connection", client.id)
    assert await client.closed() == ("bye é", 1000)
    await other.expect_silence()


async def test_ra_054_close_all_connections(sdk: Sdk) -> None:
    client, spared = await sdk.connect(), await sdk.connect()
    await sdk.call("close_all_connections", excluded=[spared.id], reason="bye")
    assert await client.closed() == ("bye", 1000)
    await spared.expect_silence()


async def test_ra_055_close_connections_of_a_group_and_of_a_user(sdk: Sdk) -> None:
    member, user = await sdk.connect(groups=[GROUP]), await sdk.connect(user_id="u/1")
    spared = await sdk.connect(user_id="u/1", groups=[GROUP])
    await sdk.call("close_group_connections", GROUP, excluded=[spared.id], reason="group")
    assert await member.closed() == ("group", 1000)
    await sdk.call("close_user_connections", "u/1", excluded=[spared.id], reason="user")
    assert await user.closed() == ("user", 1000)
    await spared.expect_silence()


async def test_ra_056_ra_057_ra_058_existence(sdk: Sdk) -> None:
    client = await sdk.connect(user_id="u/1", groups=[GROUP])
    questions = (("connection_exists", client.id), ("user_exists", "u/1"), ("group_exists", GROUP))
    assert [await sdk.call(*question) for question in questions] == [True] * 3
    await sdk.call("close_connection", client.id)
    assert [await sdk.call(*question) for question in questions] == [False] * 3


async def test_ra_059_ra_060_ra_061_ra_062_connection_in_groups(sdk: Sdk) -> None:
    client = await sdk.connect()
    for group in (GROUP, "g2", "g3"):
        await sdk.call("add_connection_to_group", group, client.id)
        await sdk.call("add_connection_to_group", group, client.id)
    await sdk.call("send_to_group", GROUP, "hi")
    assert await client.data() == "hi"
    await sdk.call("remove_connection_from_group", GROUP, client.id)
    await sdk.call("remove_connection_from_group", GROUP, "nobody")
    exists = [await sdk.call("group_exists", group) for group in (GROUP, "g2", "g3")]
    assert exists == [False, True, True]
    await sdk.call("remove_connection_from_all_groups", client.id)
    assert [await sdk.call("group_exists", group) for group in ("g2", "g3")] == [False, False]
    with pytest.raises(ResourceNotFoundError) as caught:
        await sdk.call("add_connection_to_group", GROUP, "nobody")
    assert "`nobody` is not found" in str(caught.value)


async def test_ra_063_ra_064_ra_065_user_in_groups(sdk: Sdk) -> None:
    clients = [await sdk.connect(user_id="u/1") for _ in range(2)]
    for group in (GROUP, "g2"):
        await sdk.call("add_user_to_group", group, "u/1")
    late = await sdk.connect(user_id="u/1")
    await sdk.call("send_to_group", GROUP, "hi")
    assert [await client.data() for client in clients] == ["hi", "hi"]
    await late.expect_silence()
    await sdk.call("remove_user_from_group", GROUP, "u/1")
    assert [await sdk.call("group_exists", group) for group in (GROUP, "g2")] == [False, True]
    await sdk.call("remove_user_from_all_groups", "u/1")
    assert await sdk.call("group_exists", "g2") is False
    await sdk.call("add_user_to_group", GROUP, "nobody")
    await sdk.call("remove_user_from_group", GROUP, "nobody")
    await sdk.call("remove_user_from_all_groups", "nobody")


async def test_ra_066_ra_071_bulk_operations_by_send_request(sdk: Sdk) -> None:
    """The package has no method of its own for these."""
    client = await sdk.connect(user_id="u")
    await sdk.connect()
    for verb, filter, exists in (
        ("addToGroups", "userId eq 'nobody'", False),
        ("addToGroups", "userId eq 'u'", True),
        ("removeFromGroups", None, False),
    ):
        hub = sdk.client._config.hub
        body = {"groups": [GROUP], "filter": filter}
        request = HttpRequest("POST", f"/api/hubs/{hub}/:{verb}?api-version=2024-12-01", json=body)
        answer = await sdk.call("send_request", request)
        assert answer.status_code == 200
        assert await sdk.call("group_exists", GROUP) is exists
    await client.expect_silence()


@pytest.mark.parametrize("permission", ["sendToGroup", "joinLeaveGroup"])
async def test_ra_072_ra_074_ra_078_ra_079_permissions(sdk: Sdk, permission: str) -> None:
    client = await sdk.connect()
    target = {"target_name": GROUP}
    assert await sdk.call("has_permission", permission, client.id, **target) is False
    await sdk.call("grant_permission", permission, client.id, **target)
    assert await sdk.call("has_permission", permission, client.id, **target) is True
    other = {"target_name": GROUP.upper()}
    assert await sdk.call("has_permission", permission, client.id, **other) is False
    await sdk.call("revoke_permission", permission, client.id, **target)
    assert await sdk.call("has_permission", permission, client.id, **target) is False
    await sdk.call("revoke_permission", permission, "nobody", **target)
    with pytest.raises(ResourceNotFoundError):
        await sdk.call("grant_permission", permission, "nobody", **target)
    with pytest.raises(HttpResponseError) as caught:
        await sdk.call("grant_permission", permission, client.id)
    assert caught.value.status_code == 400


async def test_ra_081_ra_082_ra_085_ra_086_members_are_listed_page_by_page(sdk: Sdk) -> None:
    members = [await sdk.connect(user_id=f"u{n}" if n else None, groups=[GROUP]) for n in range(5)]
    users = {member.id: f"u{n}" if n else None for n, member in enumerate(members)}
    ids = sorted(users)

    def listed(group: str = GROUP, **options: Any) -> list[tuple[str, str | None]]:
        found = sdk.client.list_connections(group=group, **options)
        return [(member.connection_id, member.user_id) for member in found]

    def pages(**options: Any) -> list[list[str]]:
        by_page = sdk.client.list_connections(group=GROUP, **options).by_page()
        return [[member.connection_id for member in page] for page in by_page]

    expected = [(id, users[id]) for id in ids]
    assert await asyncio.to_thread(listed) == expected
    assert await asyncio.to_thread(listed, maxpagesize=2) == expected
    assert await asyncio.to_thread(listed, maxpagesize=2, top=3) == expected[:3]
    assert await asyncio.to_thread(listed, "unknown") == []
    assert await asyncio.to_thread(pages, maxpagesize=2) == [ids[:2], ids[2:4], ids[4:]]
    assert await asyncio.to_thread(pages, maxpagesize=2, top=3) == [ids[:2], ids[2:3]]


async def test_every_public_method_is_called_by_a_test() -> None:
    text = TEXT.partition("class Sdk")[2]
    elsewhere = {"send_to_connection", "close"}  # `close`: by the context manager
    public = {name for name in dir(WebPubSubServiceClient) if not name.startswith("_")}
    assert [name for name in sorted(public - elsewhere) if name not in text] == []
