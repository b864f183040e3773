"""The SDK for a backend in a stranger's hands: only type-checked, never run."""

from collections.abc import Mapping, Sequence
from typing import Any, assert_type

from hubbub.appserver import (
    ClientAccessToken,
    ClientGrant,
    ConnectedRequest,
    ConnectRequest,
    ConnectResponse,
    DataType,
    DisconnectedRequest,
    EventContext,
    EventHandler,
    GroupMember,
    HandlerAnswer,
    InvalidConnectionString,
    InvalidName,
    NegotiateRequest,
    Negotiator,
    Permission,
    Refused,
    RequestError,
    ServiceClient,
    SyncServiceClient,
    UserEventRequest,
    UserEventResponse,
)


class Chat(ServiceClient):
    """A subclass keeps its type where it is made and where it is entered."""


async def sends(text: str) -> None:
    async with Chat.from_connection_string(text, "chat", timeout=5) as client:
        assert_type(client, Chat)
        assert_type(await client.send_to_all({"a": 1}), None)
        await client.send_to_all([1, 2], excluded=["c1"], ttl_seconds=10)
        await client.send_to_group("g", "hi", content_type="text/plain", excluded={"c1"})
        await client.send_to_user("u", b"\x00")
        await client.send_to_connection("c1", {"a": 1}, ttl_seconds=0)
    client = Chat("http://127.0.0.1:8080", "chat", "key", client_endpoint="https://chat.example")
    await client.aclose()


async def operations(client: ServiceClient) -> None:
    assert_type(await client.connection_exists("c1"), bool)
    assert_type(await client.user_exists("u"), bool)
    assert_type(await client.group_exists("g"), bool)
    await client.close_connection("c1", reason="bye")
    await client.close_all_connections(excluded=("c1",))
    await client.close_group_connections("g", reason="bye")
    await client.close_user_connections("u")
    await client.add_connection_to_group("g", "c1")
    await client.remove_connection_from_group("g", "c1")
    await client.remove_connection_from_all_groups("c1")
    await client.add_user_to_group("g", "u")
    await client.remove_user_from_group("g", "u")
    await client.remove_user_from_all_groups("u")
    await client.add_connections_to_groups(["g"], filter="userId eq 'u'")
    await client.remove_connections_from_groups({"g"})
    await client.grant_permission(Permission.SEND_TO_GROUP, "c1", group="g")
    await client.revoke_permission("joinLeaveGroup", "c1", group="g")
    assert_type(await client.has_permission("sendToGroup", "c1", group="g"), bool)
    async for member in client.list_connections("g", page_size=2, top=3):
        assert_type(member, GroupMember)
        assert_type(member.user_id, str | None)


def without_await(text: str) -> list[str]:
    with SyncServiceClient.from_connection_string(text, "chat") as client:
        assert_type(client.send_to_all({"a": 1}, filter="userId eq 'u'"), None)
        assert_type(client.group_exists("g"), bool)
        return [member.connection_id for member in client.list_connections("g")]


async def failures(client: ServiceClient) -> None:
    try:
        await client.send_to_all("hi")
    except InvalidName as error:
        assert_type(error.retryable, bool)
    except InvalidConnectionString as error:
        assert_type(error.code, str)
    except RequestError as error:
        assert_type(error.status, int | None)
        assert_type(error.error_code, str)


def tokens(client: ServiceClient) -> str:
    access = client.get_client_access_token(
        user_id="u", roles=["webpubsub.sendToGroup"], groups=("g",), minutes_to_expire=5
    )
    assert_type(access, ClientAccessToken)
    assert_type(access.base_url, str)
    assert_type(access.token, str)
    return access.url


handler = EventHandler("chat", access_keys=["key"], allowed_endpoints=["https://chat.example"])


@handler.on_connect
async def connect(request: ConnectRequest) -> ConnectResponse | None:
    assert_type(request.context, EventContext)
    assert_type(request.claims, Mapping[str, Sequence[str]])
    if "guest" in request.query:
        raise Refused(401, "no guests")
    return ConnectResponse(user_id="u", groups=["g"], roles=[], states={"room": 1})


@handler.on_connected
async def connected(request: ConnectedRequest) -> None:
    assert_type(request.context.states, Mapping[str, Any])


@handler.on_disconnected
async def disconnected(request: DisconnectedRequest) -> None:
    assert_type(request.reason, str)


@handler.on_event("suggest")
async def suggest(request: UserEventRequest) -> UserEventResponse:
    assert_type(request.data_type, DataType)
    assert_type(request.body, bytes)
    assert_type(request.invocation_id, str | None)
    return UserEventResponse({"words": []}, DataType.JSON, states={"asked": True})


@handler.on_event("*")
async def everything_else(request: UserEventRequest) -> dict[str, str] | None:
    return {"event": request.event}


async def without_a_framework() -> HandlerAnswer:
    answer = await handler.handle("POST", {"ce-hub": "chat"}, b"{}")
    assert_type(answer.headers, Sequence[tuple[str, str]])
    answer = await handler.handle("POST", [("ce-hub", "chat")])
    await handler.aclose(timeout=1)
    return answer


app = handler.asgi()


async def decide(request: NegotiateRequest) -> ClientGrant:
    assert_type(request.query, Mapping[str, str])
    return ClientGrant(
        user_id=request.query["name"], roles=["webpubsub.sendToGroup"], groups=("g",)
    )


def routes(client: ServiceClient, twin: SyncServiceClient) -> list[object]:
    negotiator = Negotiator(client, decide)
    same = Negotiator(twin, decide)
    return [negotiator.asgi(), same.wsgi(), negotiator.aiohttp(), handler.wsgi(), handler.aiohttp()]


async def what_is_decorated_keeps_its_type(request: UserEventRequest) -> None:
    assert_type(await suggest(request), UserEventResponse)
    assert_type(await everything_else(request), dict[str, str] | None)


def what_is_refused(client: ServiceClient) -> None:
    EventHandler("chat", access_keys=1)  # type: ignore[arg-type]
    client.get_client_access_token(roles=1)  # type: ignore[arg-type]
    client.get_client_access_token("u")  # type: ignore[call-arg]
    client.close_connection("c1", "bye")  # type: ignore[call-arg, unused-coroutine]
    Negotiator(client, without_await)  # type: ignore[arg-type]

    @handler.on_connect  # type: ignore[type-var]
    def not_async(request: ConnectRequest) -> None: ...
