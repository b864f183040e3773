"""Our server SDK and the official ones: the same calls have the same results.

`@azure/web-pubsub` 1.2.0 and `azure-messaging-webpubsubservice` 1.3.0 (sync and aio) run unmodified;
what a call does is seen by clients of the tests' own, or by the next call.
"""

import base64
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import jwt
import pytest
import pytest_asyncio
from azure.messaging.webpubsubservice import WebPubSubServiceClient as AzureSync
from azure.messaging.webpubsubservice.aio import WebPubSubServiceClient as AzureAio
from tests.official_sdks import server_sdks
from tests.official_sdks.conftest import HERE
from tests.official_sdks.node_process import NodeProcess
from tests.official_sdks.receiver import JSON as JSON_PROTOCOL
from tests.official_sdks.receiver import Receiver, receiver
from tests.official_sdks.server_sdks import Sdk, Target, open_sdk

from hubbub.appserver import ServiceClient
from hubbub.service import Service

on_session_loop = pytest.mark.asyncio(loop_scope="session")

GROUP = "g/1 +é"
USER = "a b/ü"
JSON: dict[str, Any] = {"content_type": "application/json"}
TEXT: dict[str, Any] = {"content_type": "text/plain"}
BINARY: dict[str, Any] = {"content_type": "application/octet-stream"}
HAVING_TIME_TO_LIVE = [
    "hubbub",
    "hubbub_sync",
    pytest.param("azure_js", marks=pytest.mark.node),
]
SDKS = [*HAVING_TIME_TO_LIVE, "azure_sync", "azure_aio"]


class Script:
    """The JavaScript SDK, started when it is first needed."""

    def __init__(self, stack: AsyncExitStack) -> None:
        self._stack = stack
        self._node: NodeProcess | None = None

    async def node(self) -> NodeProcess:
        if self._node is None:
            self._node = await self._stack.enter_async_context(NodeProcess("server_sdk.mjs"))
        return self._node


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def script() -> AsyncIterator[Script]:
    async with AsyncExitStack() as stack:
        yield Script(stack)


class Stage:
    """One SDK for a hub of its own, and clients that its tokens let in."""

    def __init__(self, kind: str, sdk: Sdk, target: Target, stack: AsyncExitStack) -> None:
        self.kind = kind
        self.target = target
        self.call, self.status = sdk.call, sdk.status
        self._stack = stack

    async def connect(self, **token: Any) -> Receiver:
        access = await self.call("get_client_access_token", **token)
        return await self._stack.enter_async_context(receiver(access["url"], JSON_PROTOCOL))

    async def answers(self, *questions: tuple[str, str]) -> list[Any]:
        return [await self.call(name, item) for name, item in questions]


@pytest_asyncio.fixture(loop_scope="session", params=SDKS)
async def stage(
    request: pytest.FixtureRequest, service: Service, script: Script
) -> AsyncIterator[Stage]:
    kind = request.param
    node = await script.node() if kind == "azure_js" else None
    hub = re.sub(r"\W", "_", request.node.name)
    target = Target(hub, service.connection_string)
    async with AsyncExitStack() as stack:
        sdk = await stack.enter_async_context(open_sdk(kind, target, node))
        yield Stage(kind, sdk, target, stack)


# --- tokens ----------------------------------------------------------------------------------


@on_session_loop
async def test_token_says_the_same(stage: Stage) -> None:
    grant = {"user_id": USER, "roles": ["webpubsub.sendToGroup", "r2"], "groups": [GROUP, "g2"]}
    access = await stage.call("get_client_access_token", **grant, minutes_to_expire=5)
    endpoint = stage.target.made_by_hand().endpoint
    path = f"/client/hubs/{stage.target.hub}"
    assert access["baseUrl"].lower() == endpoint.replace("http", "ws") + path
    assert access["url"] == f"{access['baseUrl']}?access_token={access['token']}"
    claims = jwt.decode(access["token"], options={"verify_signature": False})
    assert claims.pop("exp") - claims.pop("iat") == 300
    claims.pop("nbf", None)
    assert claims.pop("aud").lower() == endpoint + path
    assert claims == {"sub": USER, "role": grant["roles"], "webpubsub.group": grant["groups"]}


@on_session_loop
async def test_token_lets_in_as_it_says(stage: Stage) -> None:
    token = {"user_id": USER, "roles": ["webpubsub.sendToGroup.out"], "groups": [GROUP]}
    client = await stage.connect(**token)
    assert client.hello["userId"] == USER
    assert await stage.call("list_connections", GROUP) == [(client.id, USER)]
    message: dict[str, Any] = {"type": "sendToGroup", "data": "x", "ackId": 1}
    assert (await client.ask(**message, group="out"))["success"] is True
    assert (await client.ask(**message | {"ackId": 2}, group="other"))["success"] is False


@on_session_loop
async def test_client_by_address_and_key_is_the_same_client(stage: Stage, script: Script) -> None:
    client = await stage.connect()
    node = await script.node() if stage.kind == "azure_js" else None
    target = stage.target.made_by_hand()
    async with open_sdk(stage.kind, target, node) as sdk:
        await sdk.call("send_to_all", "hi", **TEXT)
        assert await client.data() == ("text", "hi")
        access = await sdk.call("get_client_access_token", user_id="key")
        async with receiver(access["url"], JSON_PROTOCOL) as other:
            assert other.hello["userId"] == "key"
    stranger = Target(target.hub, None, target.endpoint, "not-the-key-" * 4)
    async with open_sdk(stage.kind, stranger, node) as sdk:
        assert await sdk.status("send_to_all", "hi", **TEXT) == 401
        assert await sdk.status("connection_exists", client.id) == 401
    await client.expect_silence()


# --- sends -----------------------------------------------------------------------------------


@on_session_loop
async def test_ra_024_ra_026_ra_037_ra_047_ra_048_ra_049_sends_reach_the_same_clients(
    stage: Stage,
) -> None:
    one = await stage.connect(user_id=USER, groups=[GROUP])
    two = await stage.connect(groups=[GROUP])
    await stage.call("send_to_all", {"a": [1, "ü", None]}, **JSON)
    await stage.call("send_to_all", "for one", excluded=[two.id], **TEXT)
    await stage.call("send_to_group", GROUP, "quoted", **JSON)
    await stage.call("send_to_group", GROUP, "for two", excluded=[one.id, "nobody"], **TEXT)
    await stage.call("send_to_user", USER, b"\x00\x01\xff", **BINARY)
    await stage.call("send_to_connection", two.id, [], **JSON)
    await stage.call("send_to_user", "nobody", "x", **TEXT)
    await stage.call("send_to_group", "nobody", "x", **TEXT)
    await stage.call("send_to_connection", "nobody", "x", **TEXT)
    everyone = ("json", {"a": [1, "ü", None]})
    expected = [everyone, ("text", "for one"), ("json", "quoted"), ("binary", "AAH/")]
    assert [await one.data() for _ in expected] == expected
    expected = [everyone, ("json", "quoted"), ("text", "for two"), ("json", [])]
    assert [await two.data() for _ in expected] == expected
    await one.expect_silence()
    await two.expect_silence()


@on_session_loop
async def test_ra_039_ra_040_ra_041_ra_042_ra_043_ra_044_filters_choose_the_same_clients(
    stage: Stage,
) -> None:
    one = await stage.connect(user_id="it's", groups=[GROUP, "vip"])
    two = await stage.connect(user_id="two", groups=[GROUP])
    text = f"userId eq 'it''s' and '{GROUP}' in groups"
    await stage.call("send_to_all", "all", filter=text, **TEXT)
    await stage.call("send_to_group", GROUP, "group", filter=text, **TEXT)
    await stage.call("send_to_user", "it's", "user", filter="'vip' in groups", **TEXT)
    await stage.call("send_to_user", "two", "user", filter="'vip' in groups", **TEXT)
    await stage.call("send_to_group", GROUP, "both", excluded=[one.id], filter="true", **TEXT)
    assert [(await one.data())[1] for _ in range(3)] == ["all", "group", "user"]
    assert await two.data() == ("text", "both")
    await stage.call("send_to_all", "end", filter="", **TEXT)
    assert [await one.data(), await two.data()] == [("text", "end")] * 2
    for wrong in ("userId eq 'x", "unknown eq 1", "not length(userId) gt 5"):
        assert await stage.status("send_to_all", "x", filter=wrong, **TEXT) == 400
        assert await stage.status("send_to_group", GROUP, "x", filter=wrong, **TEXT) == 400
        assert await stage.status("send_to_user", "two", "x", filter=wrong, **TEXT) == 400
    await one.expect_silence()
    await two.expect_silence()


@on_session_loop
async def test_ra_033_ra_034_message_that_is_too_large_is_refused(stage: Stage) -> None:
    client = await stage.connect()
    assert await stage.status("send_to_all", bytes(1_048_577), **BINARY) == 400
    await stage.call("send_to_all", bytes(1_048_576), **BINARY)
    _, data = await client.data()
    assert len(base64.b64decode(data)) == 1_048_576


@pytest.mark.parametrize("stage", HAVING_TIME_TO_LIVE, indirect=True)
@on_session_loop
async def test_ra_036_message_with_time_to_live_arrives_or_is_refused(stage: Stage) -> None:
    client = await stage.connect(user_id=USER, groups=[GROUP])
    for name, *to in (
        ["send_to_all"],
        ["send_to_group", GROUP],
        ["send_to_user", USER],
        ["send_to_connection", client.id],
    ):
        await stage.call(name, *to, name, ttl_seconds=60, **TEXT)
        assert await client.data() == ("text", name)
        assert await stage.status(name, *to, "x", ttl_seconds=301, **TEXT) == 400
    await client.expect_silence()


# --- connections -----------------------------------------------------------------------------


@on_session_loop
async def test_ra_056_ra_057_ra_058_existence(stage: Stage) -> None:
    client = await stage.connect(user_id=USER, groups=[GROUP])
    there = (("connection_exists", client.id), ("user_exists", USER), ("group_exists", GROUP))
    names = ("connection_exists", "user_exists", "group_exists")
    assert await stage.answers(*there) == [True] * 3
    assert await stage.answers(*((name, "nobody") for name in names)) == [False] * 3
    await stage.call("close_connection", client.id)
    assert await stage.answers(*there) == [False] * 3


@on_session_loop
async def test_ra_052_ra_053_ra_054_ra_055_closing_ends_the_same_clients(stage: Stage) -> None:
    one, user, member = (
        await stage.connect(),
        await stage.connect(user_id=USER),
        await stage.connect(groups=[GROUP]),
    )
    spared = await stage.connect(user_id=USER, groups=[GROUP])
    excluded = {"excluded": [spared.id]}
    await stage.call("close_connection", one.id, reason="bye é")
    await stage.call("close_connection", one.id)
    await stage.call("close_user_connections", USER, reason="user", **excluded)
    await stage.call("close_group_connections", GROUP, reason="group", **excluded)
    ends = [await client.end() for client in (one, user, member)]
    assert ends == [("bye é", 1000), ("user", 1000), ("group", 1000)]
    late = await stage.connect()
    await stage.call("close_all_connections", reason="all", **excluded)
    assert await late.end() == ("all", 1000)
    await spared.expect_silence()
    await stage.call("close_all_connections")
    assert (await spared.end())[1] == 1000


# --- groups ----------------------------------------------------------------------------------


@on_session_loop
async def test_ra_051_ra_059_ra_060_ra_061_ra_062_connection_in_groups(stage: Stage) -> None:
    client = await stage.connect()
    for group in (GROUP, GROUP, "g2", "g3"):
        await stage.call("add_connection_to_group", group, client.id)
    assert await stage.call("list_connections", GROUP) == [(client.id, None)]
    await stage.call("send_to_group", GROUP, "hi", **TEXT)
    assert await client.data() == ("text", "hi")
    await stage.call("remove_connection_from_group", GROUP, client.id)
    await stage.call("remove_connection_from_group", GROUP, "nobody")
    exist = [("group_exists", group) for group in (GROUP, "g2", "g3")]
    assert await stage.answers(*exist) == [False, True, True]
    await stage.call("remove_connection_from_all_groups", client.id)
    await stage.call("remove_connection_from_all_groups", "nobody")
    assert await stage.answers(*exist) == [False, False, False]
    assert await stage.status("add_connection_to_group", GROUP, "nobody") == 404
    for name in ("x" * 1025, "  "):
        assert await stage.status("add_connection_to_group", name, client.id) == 400
        assert await stage.status("group_exists", name) == 400


@on_session_loop
async def test_ra_063_ra_064_ra_065_user_in_groups(stage: Stage) -> None:
    one, two = [await stage.connect(user_id=USER) for _ in range(2)]
    for group in (GROUP, "g2"):
        await stage.call("add_user_to_group", group, USER)
    late = await stage.connect(user_id=USER)
    both = sorted([(one.id, USER), (two.id, USER)])
    assert await stage.call("list_connections", GROUP) == both
    await stage.call("remove_user_from_group", GROUP, USER)
    assert await stage.call("list_connections", GROUP) == []
    assert await stage.call("list_connections", "g2") == both
    await stage.call("remove_user_from_all_groups", USER)
    assert await stage.call("list_connections", "g2") == []
    await stage.call("add_user_to_group", GROUP, "nobody")
    await stage.call("remove_user_from_group", GROUP, "nobody")
    await stage.call("remove_user_from_all_groups", "nobody")
    assert await stage.call("group_exists", GROUP) is False
    await late.expect_silence()


@on_session_loop
async def test_ra_066_ra_067_ra_068_ra_071_connections_in_groups_in_bulk(stage: Stage) -> None:
    one, two = await stage.connect(user_id="one"), await stage.connect(user_id="two")
    both = sorted([(one.id, "one"), (two.id, "two")])

    async def members() -> list[Any]:
        return await stage.answers(("list_connections", GROUP), ("list_connections", "g2"))

    groups = [GROUP, "g2"]
    await stage.call("add_connections_to_groups", groups, filter="userId eq 'nobody'")
    assert await members() == [[], []]
    await stage.call("add_connections_to_groups", groups, filter="userId eq 'one'")
    assert await members() == [[(one.id, "one")]] * 2
    await stage.call("add_connections_to_groups", groups)
    assert await members() == [both] * 2
    await stage.call("remove_connections_from_groups", groups, filter="userId eq 'nobody'")
    await stage.call("remove_connections_from_groups", ["g2"], filter="userId eq 'one'")
    assert await members() == [both, [(two.id, "two")]]
    await stage.call("remove_connections_from_groups", groups)
    assert await members() == [[], []]
    for name in ("add_connections_to_groups", "remove_connections_from_groups"):
        assert await stage.status(name, ["g2"], filter="userId eq") == 400
        assert await stage.status(name, []) == 400
    await one.expect_silence()
    await two.expect_silence()


@on_session_loop
async def test_ra_081_ra_082_ra_085_ra_086_members_are_listed_over_pages(stage: Stage) -> None:
    clients = [
        await stage.connect(user_id=f"u{n}" if n else None, groups=[GROUP]) for n in range(5)
    ]
    members = sorted((client.id, f"u{n}" if n else None) for n, client in enumerate(clients))
    assert await stage.call("list_connections", GROUP) == members
    assert await stage.call("list_connections", GROUP, page_size=2) == members
    assert await stage.call("list_connections", GROUP, page_size=2, top=3) == members[:3]
    assert await stage.call("list_connections", GROUP, top=4) == members[:4]
    assert await stage.call("list_connections", "nobody") == []


# --- permissions -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("permission", "request_type"),
    [("sendToGroup", "sendToGroup"), ("joinLeaveGroup", "joinGroup")],
)
@on_session_loop
async def test_ra_072_ra_074_ra_076_ra_078_ra_079_permission_counts_for_the_client(
    stage: Stage, permission: str, request_type: str
) -> None:
    client, numbers = await stage.connect(), iter(range(1, 100))

    async def may(group: str) -> tuple[bool, bool]:
        """What the service says, and what the client finds."""
        says = await stage.call("has_permission", permission, client.id, group=group)
        request = {"type": request_type, "group": group, "data": "x", "ackId": next(numbers)}
        return says, (await client.ask(**request))["success"]

    assert await may(GROUP) == (False, False)
    await stage.call("grant_permission", permission, client.id, group=GROUP)
    assert await may(GROUP) == (True, True)
    assert await may(GROUP.upper()) == (False, False)
    await stage.call("revoke_permission", permission, client.id, group=GROUP)
    assert await may(GROUP) == (False, False)
    await stage.call("grant_permission", permission, client.id, group="*")
    assert await may(GROUP) == (False, False)
    await stage.call("revoke_permission", permission, "nobody", group=GROUP)
    assert await stage.call("has_permission", permission, "nobody", group=GROUP) is False
    assert await stage.status("grant_permission", permission, "nobody", group=GROUP) == 404


@on_session_loop
async def test_ra_077_group_that_a_role_allows_can_be_forbidden(stage: Stage) -> None:
    client = await stage.connect(roles=["webpubsub.sendToGroup"], groups=[GROUP])
    await stage.call("revoke_permission", "sendToGroup", client.id, group=GROUP)
    outcomes = []
    for number, group in enumerate((GROUP, "other")):
        allowed = await stage.call("has_permission", "sendToGroup", client.id, group=group)
        message = {"type": "sendToGroup", "group": group, "data": "x", "ackId": number}
        outcomes.append((allowed, (await client.ask(**message))["success"]))
    assert outcomes == [(False, False), (True, True)]
    assert await stage.call("list_connections", GROUP) == [(client.id, None)]


# --- nothing left out ------------------------------------------------------------------------


def _public(kind: type) -> set[str]:
    return {name for name in dir(kind) if not name.startswith("_")}


def _called() -> set[str]:
    text = Path(__file__).read_text().partition("# --- nothing left out")[0]
    return {name for name in _public(ServiceClient) if f'"{name}"' in text}


def test_every_call_of_our_sdk_is_made_here() -> None:
    assert _public(ServiceClient) - _called() == {
        "aclose",
        "endpoint",
        "hub",
        "from_connection_string",
    }


@pytest.mark.parametrize("kind", [AzureSync, AzureAio])
def test_every_public_method_of_the_python_sdk_is_called(kind: type) -> None:
    text = Path(server_sdks.__file__).read_text()
    by_the_way = {"close", "from_connection_string", "send_request"}
    assert _public(kind) - by_the_way <= _called()
    # `close` is what leaving the context does.
    assert all(f".{name}(" in text for name in by_the_way - {"close"})


@pytest.mark.node
@on_session_loop
async def test_every_public_method_of_the_javascript_sdk_is_called(script: Script) -> None:
    hello = (await script.node()).hello
    assert set(hello["calls"]) <= _called()
    text = (HERE / "js" / "server_sdk.mjs").read_text()
    missing = [
        name
        for name in hello["methods"]
        if f".{name}(" not in text and f'permission("{name}")' not in text
    ]
    assert missing == []
