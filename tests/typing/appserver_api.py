"""The SDK for a backend in a stranger's hands: only type-checked, never run."""

from collections.abc import Mapping, Sequence
from typing import Any, assert_type

from hubbub.appserver import (
    ClientAccessToken,
    ConnectedRequest,
    ConnectRequest,
    ConnectResponse,
    DataType,
    DisconnectedRequest,
    EventContext,
    EventHandler,
    HandlerAnswer,
    InvalidConnectionString,
    InvalidName,
    Refused,
    RequestError,
    ServiceClient,
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


async def what_is_decorated_keeps_its_type(request: UserEventRequest) -> None:
    assert_type(await suggest(request), UserEventResponse)
    assert_type(await everything_else(request), dict[str, str] | None)


def what_is_refused(client: ServiceClient) -> None:
    EventHandler("chat", access_keys=1)  # type: ignore[arg-type]
    client.get_client_access_token(roles=1)  # type: ignore[arg-type]
    client.get_client_access_token("u")  # type: ignore[call-arg]

    @handler.on_connect  # type: ignore[type-var]
    def not_async(request: ConnectRequest) -> None: ...
