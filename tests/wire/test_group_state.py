"""Group state (cases CP-129, CP-146)."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from tests.wire.client import JR, J, RawClient, error_name, is_success

from hubbub.service import Service

Connect = Callable[..., Awaitable[RawClient]]
StartService = Callable[..., Awaitable[Service]]


def set_state(state: dict[str, str] | None = None, **more: Any) -> dict[str, Any]:
    message: dict[str, Any] = {"type": "setGroupState", "group": "g1", "ackId": 1, **more}
    if state is not None:
        message["state"] = state
    return message


SUBSCRIBE = {"type": "subscribeGroupState", "group": "g1", "ackId": 100}


async def subscribe(client: RawClient) -> dict[str, Any]:
    """The snapshot, which comes after the ack."""
    assert is_success(await client.ask(SUBSCRIBE))
    snapshot = await client.json()
    assert (snapshot["type"], snapshot["group"]) == ("groupStateSnapshot", "g1")
    return snapshot


async def test_cp_129_subscriber_gets_a_snapshot_and_then_each_change(
    service: Service, connect: Connect
) -> None:
    first = await connect(service, J, groups=("g1",), user_id="early")
    assert is_success(await first.ask(set_state({"status": "here"})))
    a = await connect(service, J, groups=("g1",))
    b = await connect(service, J, groups=("g1",), user_id="bob")
    (item,) = (await subscribe(a))["items"]
    assert (item["connectionId"], item["userId"]) == (first.hello["connectionId"], "early")
    assert item["state"] == {"status": "here"}
    assert is_success(await b.ask(set_state({"status": "typing"})))
    assert is_success(await b.ask(set_state(ackId=2)))
    updates = [await a.json(), await a.json()]
    assert {u["type"] for u in updates} == {"groupStateUpdate"}
    (typing,), (cleared,) = (u["items"] for u in updates)
    assert (typing["connectionId"], typing["userId"]) == (b.hello["connectionId"], "bob")
    assert typing["state"] == {"status": "typing"}
    assert "state" not in cleared
    assert cleared["updatedAt"] > typing["updatedAt"] > 1_600_000_000_000
    await b.expect_silence()


async def test_state_needs_permission_and_membership_and_a_bound(
    service: Service, connect: Connect
) -> None:
    stranger = await connect(service, J, groups=("g1",), roles=())
    assert error_name(await stranger.ask(set_state({}))) == "Forbidden"
    assert error_name(await stranger.ask(SUBSCRIBE)) == "Forbidden"
    outside = await connect(service, J)
    assert error_name(await outside.ask(set_state({}))) == "Forbidden"
    member = await connect(service, J, groups=("g1",))
    assert error_name(await member.ask(set_state({"k": "x" * 8192}))) == "BadRequest"
    assert is_success(await member.ask(set_state({"k": "x" * 8191}, ackId=2)))


async def test_leaving_and_vanishing_clear_the_state_and_end_the_subscription(
    start_service: StartService, connect: Connect
) -> None:
    service = await start_service(recovery_window_s=0.05)
    watcher = await connect(service, J, groups=("g1",))
    await subscribe(watcher)
    leaver = await connect(service, J, groups=("g1",))
    lost = await connect(service, JR, groups=("g1",))
    for client in (leaver, lost):
        await subscribe(client)
        await client.send(set_state({"here": "yes"}))
        assert is_success(await client.ack(1))
    assert [(await watcher.json())["items"][0]["state"] for _ in range(2)] == [{"here": "yes"}] * 2
    await leaver.send({"type": "leaveGroup", "group": "g1", "ackId": 2})
    assert is_success(await leaver.ack(2))
    (item,) = (await watcher.json())["items"]
    assert item["connectionId"] == leaver.hello["connectionId"]
    assert "state" not in item
    lost.cut()
    (item,) = (await watcher.json())["items"]
    assert item["connectionId"] == lost.hello["connectionId"]
    await leaver.expect_silence()
    unsubscribe = {"type": "unsubscribeGroupState", "group": "g1", "ackId": 101}
    assert is_success(await watcher.ask(unsubscribe))
    assert is_success(await watcher.ask(set_state({}, ackId=3)))
    await watcher.expect_silence()


async def test_cp_146_subscription_lives_through_a_recovery(
    service: Service, connect: Connect, recover: Connect
) -> None:
    watcher = await connect(service, JR, groups=("g1",))
    snapshot = await subscribe(watcher)
    assert snapshot["sequenceId"] == 1
    member = await connect(service, J, groups=("g1",))
    await watcher.send({"type": "sequenceAck", "sequenceId": 1})
    await watcher.expect_silence()
    watcher.cut()
    assert is_success(await member.ask(set_state({"n": "1"})))
    again = await recover(service, watcher)
    assert (await again.json())["event"] == "connected"
    update = await again.json()
    assert (update["type"], update["sequenceId"]) == ("groupStateUpdate", 2)
    assert is_success(await member.ask(set_state({"n": "2"}, ackId=2)))
    assert (await again.json())["sequenceId"] == 3
    await again.expect_silence()


async def test_plain_member_hears_nothing_of_states(service: Service, connect: Connect) -> None:
    plain = await connect(service, None, groups=("g1",))
    member = await connect(service, J, groups=("g1",))
    assert is_success(await member.ask(set_state({"n": "1"})))
    await member.send({"type": "sendToGroup", "group": "g1", "dataType": "text", "data": "x"})
    assert await plain.text() == "x"


@pytest.mark.parametrize("count", [20])
async def test_nothing_is_left_when_everybody_is_gone(
    service: Service, connect: Connect, count: int
) -> None:
    clients = await asyncio.gather(*(connect(service, J, groups=("g1",)) for _ in range(count)))
    for client in clients:
        await client.send(SUBSCRIBE)
        await client.send(set_state({"n": "1"}))
        assert is_success(await client.ack(1))
    for client in clients:
        await client.close()
    watcher = await connect(service, J, groups=("g1",))
    assert (await subscribe(watcher))["items"] == []
