"""Every operation of both clients against the real service, and the twin against its source."""

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx2
import pytest
from tests.wire.client import J, RawClient, access_token, error_name, is_success
from tools import make_sync_service_client

from hubbub.appserver import (
    GroupMember,
    Permission,
    RequestError,
    ServiceClient,
    SyncServiceClient,
)
from hubbub.service import Service, Settings

Method = Callable[..., Awaitable[Any]]


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    async with Service(Settings(port=0)) as running:
        yield running
        for client in RawClient.opened:
            client.writer.transport.abort()
        RawClient.opened.clear()
        await asyncio.sleep(0)


@pytest.fixture(params=["async", "sync"])
async def call(service: Service, request: pytest.FixtureRequest) -> AsyncIterator[Method]:
    """`await call("send_to_all", …)` on the client or on its twin; lists become lists."""
    if request.param == "async":
        async with ServiceClient.from_connection_string(
            service.connection_string, "hub1"
        ) as client:

            async def run(name: str, *args: Any, **options: Any) -> Any:
                result = getattr(client, name)(*args, **options)
                if inspect.isasyncgen(result):
                    return [item async for item in result]
                return await result

            yield run
    else:
        text = service.connection_string
        with SyncServiceClient.from_connection_string(text, "hub1") as twin:

            def in_thread(name: str, *args: Any, **options: Any) -> Any:
                result = getattr(twin, name)(*args, **options)
                return list(result) if inspect.isgenerator(result) else result

            async def run_twin(name: str, *args: Any, **options: Any) -> Any:
                return await asyncio.to_thread(in_thread, name, *args, **options)

            yield run_twin


async def connect(service: Service, **claims: Any) -> tuple[RawClient, str]:
    token = access_token(service, **claims)
    target = f"/client/hubs/hub1?access_token={token}"
    client = await RawClient.open(service, target, subprotocols=J)
    hello = await client.json()
    return client, hello["connectionId"]


async def test_existence_follows_the_connections(service: Service, call: Method) -> None:
    client, connection_id = await connect(service, user_id="u", groups=("g",))
    assert await call("connection_exists", connection_id)
    assert await call("user_exists", "u")
    assert await call("group_exists", "g")
    await client.close()
    assert not await call("connection_exists", connection_id)
    assert not await call("user_exists", "u")
    assert not await call("group_exists", "g")


async def test_closing_reaches_exactly_those_that_are_meant(service: Service, call: Method) -> None:
    one, _ = await connect(service, user_id="u", groups=("g",))
    two, kept = await connect(service, user_id="u", groups=("g",))
    await call("close_user_connections", "u", excluded=[kept], reason="bye")
    message = await one.json()
    assert (message["event"], message["message"]) == ("disconnected", "bye")
    await call("close_group_connections", "g", excluded=[kept])
    await call("close_all_connections", excluded=[kept])
    await two.expect_silence()
    await call("close_connection", kept, reason="bye")
    assert (await two.json())["message"] == "bye"
    await call("close_connection", "nobody")


async def test_membership_by_connection_by_user_and_in_bulk(service: Service, call: Method) -> None:
    client, connection_id = await connect(service, user_id="u")
    other, other_id = await connect(service, user_id="v")

    async def members(group: str) -> set[GroupMember]:
        return set(await call("list_connections", group))

    me, them = GroupMember(connection_id, "u"), GroupMember(other_id, "v")
    await call("add_connection_to_group", "a/b", connection_id)
    assert await members("a/b") == {me}
    await call("send_to_group", "a/b", "hi")
    assert (await client.json())["data"] == "hi"
    await call("remove_connection_from_group", "a/b", connection_id)
    assert await members("a/b") == set()
    await call("add_user_to_group", "g", "u")
    assert await members("g") == {me}
    await call("remove_user_from_group", "g", "u")
    await call("add_connections_to_groups", ["g", "h"])
    assert await members("g") == await members("h") == {me, them}
    await call("remove_connections_from_groups", ["g"], filter="userId eq 'u'")
    assert await members("g") == {them}
    await call("remove_connection_from_all_groups", connection_id)
    await call("remove_user_from_all_groups", "v")
    assert await members("h") == set()
    with pytest.raises(RequestError) as missing:
        await call("add_connection_to_group", "g", "nobody")
    assert missing.value.status == 404
    assert missing.value.error_code == "Error.Connection.NotExisted"
    await other.expect_silence()


async def test_listing_goes_over_pages_up_to_the_top(service: Service, call: Method) -> None:
    ids = sorted([(await connect(service, groups=("g",)))[1] for _ in range(5)])
    assert [m.connection_id for m in await call("list_connections", "g", page_size=2)] == ids
    some = await call("list_connections", "g", page_size=2, top=3)
    assert [m.connection_id for m in some] == ids[:3]
    assert {m.user_id for m in some} == {None}


async def test_permissions_come_and_go(service: Service, call: Method) -> None:
    client, connection_id = await connect(service)
    join = {"type": "joinGroup", "group": "g", "ackId": 1}
    kind = Permission.JOIN_LEAVE_GROUP
    assert not await call("has_permission", kind, connection_id, group="g")
    assert error_name(await client.ask(join)) == "Forbidden"
    await call("grant_permission", "joinLeaveGroup", connection_id, group="g")
    assert await call("has_permission", kind, connection_id, group="g")
    assert is_success(await client.ask(join))
    await call("revoke_permission", kind, connection_id, group="g")
    assert error_name(await client.ask({**join, "ackId": 2})) == "Forbidden"


async def test_filters_choose_the_receivers_and_a_bad_one_is_named(
    service: Service, call: Method
) -> None:
    client, _ = await connect(service, user_id="a'b")
    other, _ = await connect(service, user_id="c")
    await call("send_to_all", "x", filter="userId eq 'a''b'")
    assert (await client.json())["data"] == "x"
    await other.expect_silence()
    with pytest.raises(RequestError) as bad:
        await call("send_to_all", "x", filter="userId eq")
    assert bad.value.status == 400


def test_twin_is_what_the_tool_makes_of_the_client() -> None:
    assert make_sync_service_client.TWIN.read_text() == make_sync_service_client.make()


def test_twin_has_the_same_signatures() -> None:
    def public(kind: type) -> dict[str, list[tuple[str, Any, Any]]]:
        return {
            name.replace("aclose", "close"): [
                (p.name, p.kind, p.default if p.name != "sleep" else None)
                for p in inspect.signature(member).parameters.values()
            ]
            for name, member in inspect.getmembers(kind, callable)
            if not name.startswith("_")
        }

    assert public(ServiceClient) == public(SyncServiceClient)


@pytest.mark.parametrize(("status", "tries"), [(502, 4), (504, 4), (500, 1), (404, 1)])
async def test_call_that_is_as_good_twice_is_repeated_after_a_gateway_error(
    status: int, tries: int
) -> None:
    seen = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        seen.append(request.method)
        return httpx2.Response(status)

    async def sleep(_: float) -> None:
        pass

    key = "k" * 40
    transport = httpx2.MockTransport(answer)
    async with ServiceClient("http://h", "hub1", key, transport=transport, sleep=sleep) as client:
        with pytest.raises(RequestError):
            await client.remove_user_from_all_groups("u")
        assert len(seen) == tries
        seen.clear()
        with pytest.raises(RequestError):
            await client.send_to_all("x")
        assert len(seen) == 1, "a send may have been done"
