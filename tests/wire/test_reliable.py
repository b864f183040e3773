"""Sequence ids, acks, recovery (cases CP-084 to CP-100, CP-140, CP-142, CP-143, CP-145)."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from tests.wire.client import (
    JR,
    TEXT,
    Closed,
    J,
    RawClient,
    access_token,
    error_name,
    is_success,
    until,
)

from hubbub.service import HubSettings, Service, Settings

Connect = Callable[..., Awaitable[RawClient]]
StartService = Callable[..., Awaitable[Service]]


def text(data: str, **more: Any) -> dict[str, Any]:
    return {"type": "sendToGroup", "group": "g1", "dataType": "text", "data": data, **more}


async def publish(client: RawClient, *texts: str) -> None:
    """Send and wait until each is accepted."""
    for i, data in enumerate(texts):
        client.hello["acks"] = client.hello.get("acks", 0) + 1
        ack_id = client.hello["acks"]
        assert is_success(await client.ask(text(data, ackId=ack_id))), i


async def numbered(client: RawClient, count: int) -> list[tuple[int, str]]:
    messages = [await client.json() for _ in range(count)]
    assert {m["type"] for m in messages} <= {"message"}
    return [(m["sequenceId"], m["data"]) for m in messages]


async def test_cp_084_cp_085_messages_are_numbered_and_nothing_else_is(
    service: Service, connect: Connect
) -> None:
    client = await connect(service, JR, groups=("g1",))
    assert client.hello["reconnectionToken"]
    sender = await connect(service)
    await publish(sender, "a", "b", "c")
    assert await numbered(client, 3) == [(1, "a"), (2, "b"), (3, "c")]
    assert await client.ask({"type": "ping"}) == {"type": "pong"}
    ack = await client.ask({"type": "joinGroup", "group": "g2", "ackId": 1})
    assert "sequenceId" not in ack


async def test_cp_086_cp_100_recovery_replays_what_is_unacknowledged(
    service: Service, connect: Connect, recover: Connect
) -> None:
    client = await connect(service, JR, groups=("g1",), user_id="u1")
    sender = await connect(service)
    await publish(sender, "1", "2", "3", "4", "5")
    await numbered(client, 5)
    await client.send({"type": "sequenceAck", "sequenceId": 3})
    await client.expect_silence()
    client.cut()
    again = await recover(service, client)
    hello = await again.json()
    assert hello["event"] == "connected"
    assert hello["connectionId"] == client.hello["connectionId"]
    assert hello["userId"] == "u1"
    assert hello["reconnectionToken"]
    assert await numbered(again, 2) == [(4, "4"), (5, "5")]
    await publish(sender, "6")
    assert await numbered(again, 1) == [(6, "6")]


async def test_cp_087_messages_of_the_absence_are_delivered(
    service: Service, connect: Connect, recover: Connect
) -> None:
    client = await connect(service, JR, groups=("g1",))
    sender = await connect(service)
    client.cut()
    await until(lambda: service.counts.get("connections.lost"))
    await publish(sender, "while away")
    again = await recover(service, client)
    await again.json()
    assert await numbered(again, 1) == [(1, "while away")]
    await publish(sender, "back")
    assert await numbered(again, 1) == [(2, "back")]


@pytest.mark.parametrize("query", ["", "expired", "&access_token=garbage"])
async def test_cp_088_recovery_needs_no_access_token(
    service: Service, connect: Connect, recover: Connect, query: str
) -> None:
    if query == "expired":
        query = f"&access_token={access_token(service, now=1e9)}"
    client = await connect(service, JR)
    client.cut()
    assert (await (await recover(service, client, query=query)).json())["event"] == "connected"


async def test_cp_089_wrong_proof_gets_101_and_1008(
    service: Service, connect: Connect, recover: Connect
) -> None:
    client = await connect(service, JR)
    other = await connect(service, JR)
    for options in (
        {"token": "wrong"},
        {"token": other.hello["reconnectionToken"]},
        {"connection_id": "unknown"},
        {"hub": "hub2"},
    ):
        refused = await recover(service, client, **options)
        assert refused.headers["sec-websocket-protocol"] == JR
        with pytest.raises(Closed) as closed:
            await refused.next()
        assert closed.value.code == 1008
    await client.expect_silence()


async def test_cp_090_recovery_after_the_window_is_refused(
    start_service: StartService, connect: Connect, recover: Connect
) -> None:
    service = await start_service(recovery_window_s=0.05)
    client = await connect(service, JR)
    client.cut()
    await until(lambda: service.counts.get("connections.ended"))
    assert (await (await recover(service, client)).expect_close()).code == 1008


async def test_cp_091_connection_that_is_not_reliable_is_not_recovered(
    service: Service, connect: Connect, recover: Connect
) -> None:
    client = await connect(service, J)
    reliable = await connect(service, JR)
    client.cut()
    token = reliable.hello["reconnectionToken"]
    assert (await (await recover(service, client, token=token)).expect_close()).code == 1008


async def test_cp_092_close_1000_ends_the_session_at_once(
    service: Service, connect: Connect, recover: Connect
) -> None:
    client = await connect(service, JR)
    await client.close(1000)
    assert service.counts["connections.ended"] == 1
    assert (await (await recover(service, client)).expect_close()).code == 1008


@pytest.mark.parametrize("code", [None, 1001, 3000, 4999])
async def test_cp_093_other_close_codes_keep_the_session(
    service: Service, connect: Connect, recover: Connect, code: int | None
) -> None:
    client = await connect(service, JR)
    await client.close(code)
    assert (await (await recover(service, client)).json())["event"] == "connected"


async def test_cp_094_new_socket_takes_over(
    service: Service, connect: Connect, recover: Connect
) -> None:
    client = await connect(service, JR, groups=("g1",))
    again = await recover(service, client)
    assert (await again.json())["event"] == "connected"
    assert (await client.expect_close()).code == 1006
    await publish(await connect(service), "x")
    assert await numbered(again, 1) == [(1, "x")]


async def test_cp_095_too_many_unacknowledged_messages_end_with_1008(
    start_service: StartService, connect: Connect, recover: Connect
) -> None:
    service = await start_service()
    client = await connect(service, JR, groups=("g1",))
    sender = await connect(service)
    await publish(sender, *("x" for _ in range(1000)))
    await numbered(client, 1000)
    await client.expect_silence()
    await publish(sender, "one too many")
    await client.expect_rejection(1008)
    assert (await (await recover(service, client)).expect_close()).code == 1008
    await sender.expect_silence()


async def test_cp_095_too_many_unacknowledged_bytes_end_with_1008(
    start_service: StartService, connect: Connect
) -> None:
    service = await start_service(outbound_queue_bytes=100_000)
    client = await connect(service, JR, groups=("g1",))
    sender = await connect(service)
    await publish(sender, *("x" * 24_000 for _ in range(4)))
    await numbered(client, 4)
    await client.send({"type": "sequenceAck", "sequenceId": 4})
    await client.expect_silence()
    await publish(sender, *("x" * 24_000 for _ in range(5)))
    assert (await client.expect_close()).code == 1008


async def test_overflow_while_away_ends_the_session(
    start_service: StartService, connect: Connect, recover: Connect
) -> None:
    service = await start_service(outbound_queue_messages=10)
    client = await connect(service, JR, groups=("g1",))
    client.cut()
    await until(lambda: service.counts.get("connections.lost"))
    await publish(await connect(service), *("x" for _ in range(11)))
    assert service.counts["closed.SlowClient"] == 1
    assert (await (await recover(service, client)).expect_close()).code == 1008


async def test_cp_096_ack_id_is_remembered_over_a_recovery(
    service: Service, connect: Connect, recover: Connect
) -> None:
    member = await connect(service, J, groups=("g1",))
    client = await connect(service, JR)
    await client.send(text("once", ackId=7))
    await member.json()
    client.cut()
    again = await recover(service, client)
    await again.json()
    assert error_name(await again.ask(text("once", ackId=7))) == "Duplicate"
    await member.expect_silence()


async def test_cp_098_ack_beyond_the_highest_id_counts_as_the_highest(
    service: Service, connect: Connect, recover: Connect
) -> None:
    client = await connect(service, JR, groups=("g1",))
    sender = await connect(service)
    await publish(sender, "1", "2", "3")
    await numbered(client, 3)
    await client.send({"type": "sequenceAck", "sequenceId": 1000})
    await client.expect_silence()
    await publish(sender, "4")
    client.cut()
    again = await recover(service, client)
    await again.json()
    assert await numbered(again, 1) == [(4, "4")]


async def test_cp_099_smaller_ack_has_no_effect(
    service: Service, connect: Connect, recover: Connect
) -> None:
    client = await connect(service, JR, groups=("g1",))
    await publish(await connect(service), "1", "2", "3", "4")
    await numbered(client, 4)
    for sequence_id in (3, 2):
        await client.send({"type": "sequenceAck", "sequenceId": sequence_id})
    await client.expect_silence()
    client.cut()
    again = await recover(service, client)
    await again.json()
    assert await numbered(again, 1) == [(4, "4")]


async def test_cp_140_restarted_service_refuses_recovery(
    connect: Connect, recover: Connect
) -> None:
    key = "a key that outlives the service, 32 bytes"
    async with Service(Settings(port=0, access_key=key)) as service:
        client = await connect(service, JR)
    async with Service(Settings(port=0, access_key=key)) as service:
        assert (await (await recover(service, client)).expect_close()).code == 1008


async def test_cp_142_expired_copy_leaves_a_hole(
    service: Service, connect: Connect, recover: Connect
) -> None:
    client = await connect(service, JR, groups=("g1",))
    sender = await connect(service)
    client.cut()
    await until(lambda: service.counts.get("connections.lost"))
    assert is_success(await sender.ask(text("short-lived", ttlSeconds=1, ackId=1)))
    assert is_success(await sender.ask(text("lasting", ackId=2)))
    loop = asyncio.get_running_loop()
    over = loop.time() + 1
    await until(lambda: loop.time() > over)
    again = await recover(service, client)
    await again.json()
    assert await numbered(again, 1) == [(2, "lasting")]


async def test_cp_143_silent_peer_is_cut_and_may_recover(
    start_service: StartService, connect: Connect, recover: Connect
) -> None:
    hub = HubSettings(web_socket_keep_alive_interval_s=0.05, web_socket_keep_alive_timeout_s=0.15)
    service = await start_service(hubs={"hub1": hub})
    silent = await connect(service, JR)
    lively = await connect(service, J)

    async def stay_alive() -> None:
        await lively.next()  # answers pings

    task = asyncio.ensure_future(stay_alive())
    pings = 0
    with pytest.raises(Closed) as closed:
        while True:
            await silent.next_frame()
            pings += 1
    assert closed.value.code == 1006
    assert pings >= 2
    assert service.counts["closed.PingTimeout"] == 1
    assert not task.done()
    task.cancel()
    again = await recover(service, silent)
    assert (await again.json())["connectionId"] == silent.hello["connectionId"]


async def test_recovery_twice_in_a_row_keeps_order_and_numbers(
    service: Service, connect: Connect, recover: Connect
) -> None:
    client = await connect(service, JR, groups=("g1",))
    sender = await connect(service)
    await publish(sender, "1", "2")
    for _ in range(3):
        client.cut()
        again = await recover(service, client)
        again.hello = await again.json()
        assert await numbered(again, 2) == [(1, "1"), (2, "2")]
        client = again


async def test_broken_frame_ends_the_session_for_good(
    service: Service, connect: Connect, recover: Connect
) -> None:
    client = await connect(service, JR)
    await client.send_frame(TEXT, b"{}", masked=False)
    assert (await client.expect_close()).code == 1002
    assert (await (await recover(service, client)).expect_close()).code == 1008
