"""Lost links against the real service through a proxy that cuts: recovery, reconnect, rejoin."""

import asyncio
import itertools
from typing import Any

import pytest
from tests.client.conftest import Near
from tests.client.test_client import names_of, tasks, watch

from hubbub.client import Client, RecoveryOptions, RetryOptions, State, SubProtocol, connect
from hubbub.protocol.errors import ClientStoppedError, SendMessageError
from hubbub.service import Service, Settings

QUICK = RecoveryOptions(window=30, delay=0.02, probe_timeout=5)
SOON = RetryOptions(None, 0.01, 0.05, "exponential", 1.0)


async def until(condition: Any) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.001)


async def test_cl_035_cut_link_is_recovered_with_the_same_id(near: Near) -> None:
    client = Client(near.url, recovery=QUICK)
    seen = watch(client)
    async with client:
        connection_id = client.connection_id
        near.proxy.cut()
        await until(lambda: "Recovered" in names_of(seen))
        assert client.connection_id == connection_id
        assert names_of(seen) == ["Connected", "Recovering", "Recovered"]
        assert near.asked == 1, "the credential is not asked for a recovery"
        assert near.service.counts["connections.recovered"] == 1
    assert tasks() == set()


async def test_cl_036_messages_arrive_once_and_in_order_over_many_cuts(near: Near) -> None:
    near.proxy._cut_after = [3_000, 9_000, 1_500, 20_000, 4_000, 30_000, 2_500, 12_000]
    client = Client(near.url, recovery=QUICK)
    seen = watch(client)
    async with client, client.messages(group="g") as messages:
        await client.join_group("g")

        async def publish() -> None:
            for i in range(1_000):
                await near.backend.send_to_group("g", i)

        publishing = asyncio.ensure_future(publish())
        got = [(await anext(messages)).data for _ in range(1_000)]
        await publishing
        assert got == list(range(1_000))
    assert near.proxy.cuts >= 5
    assert "Gap" not in names_of(seen)


async def test_cl_037_pending_sends_are_repeated_with_their_ids_and_done_once(near: Near) -> None:
    async with connect(near.url, recovery=QUICK) as client, client.messages(group="g") as messages:
        await client.join_group("g")
        for _ in range(5):
            sending = [asyncio.ensure_future(client.send_to_group("g", i)) for i in range(20)]
            await asyncio.sleep(0)
            near.proxy.cut()
            await asyncio.gather(*sending)
            got = [(await anext(messages)).data for _ in range(20)]
            assert got == list(range(20))


async def test_cl_039_send_while_down_waits_for_the_recovery(near: Near) -> None:
    client = Client(near.url, recovery=QUICK)
    async with client, client.messages(group="g") as messages:
        await client.join_group("g")
        near.proxy.is_refusing = True
        near.proxy.cut()
        await until(lambda: client.state is State.RECOVERING)
        sending = asyncio.ensure_future(client.send_to_group("g", "late"))
        await asyncio.sleep(0.05)
        assert not sending.done()
        near.proxy.is_refusing = False
        await sending
        assert (await anext(messages)).data == "late"


async def test_cl_043_cl_052_lost_session_is_reconnected_and_groups_are_rejoined(
    near: Near,
) -> None:
    client = Client(near.url, recovery=QUICK, reconnect_retry=SOON)
    seen = watch(client)
    async with client, client.messages(group="g") as messages:
        await client.join_group("g")
        old = client.connection_id
        assert old is not None
        await near.backend.add_connection_to_group("by-the-server", old)
        await near.backend.close_connection(old, reason="out")
        await until(lambda: "Gap" in names_of(seen))
        assert client.connection_id != old
        assert client.joined_groups == {"g"}
        await near.backend.send_to_group("g", "again here")
        assert (await anext(messages)).data == "again here"
        assert not await near.backend.group_exists("by-the-server")
    words = [n for n in names_of(seen) if n != "Reconnecting"]
    assert words[:5] == ["Connected", "Recovering", "Disconnected", "Connected", "Gap"]
    disconnected = next(e for e in seen if type(e).__name__ == "DisconnectedEvent")
    assert disconnected.message == "out"
    assert near.asked == 2


async def test_cl_048_plain_json_is_never_recovered(near: Near) -> None:
    client = Client(near.url, protocol=SubProtocol.JSON, reconnect_retry=SOON)
    seen = watch(client)
    async with client:
        near.proxy.cut()
        await until(lambda: names_of(seen).count("Connected") == 2)
    assert "Recovering" not in names_of(seen)


async def test_cl_057_without_auto_reconnect_a_lost_client_stops_and_says_why(near: Near) -> None:
    client = Client(near.url, protocol=SubProtocol.JSON, auto_reconnect=False)
    seen = watch(client)
    await client.start()
    near.proxy.cut()
    async with asyncio.timeout(20):
        stopped = await client.wait_stopped()
    assert stopped is not None
    assert stopped.reason == "reconnect-disabled"
    assert names_of(seen) == ["Connected", "Disconnected", "Stopped"]
    assert seen[1].will_reconnect is False
    with pytest.raises(ClientStoppedError):
        await client.wait_connected()


async def test_cl_057_retries_end_at_their_limit(near: Near) -> None:
    retries = RetryOptions(3, 0.01, 0.02, "exponential", 1.0)
    client = Client(near.url, protocol=SubProtocol.JSON, reconnect_retry=retries)
    await client.start()
    near.proxy.is_refusing = True
    near.proxy.cut()
    async with asyncio.timeout(20):
        stopped = await client.wait_stopped()
    assert stopped is not None
    assert stopped.reason == "retries-exhausted"
    assert near.asked == 4, "one for the start, one for each try"


async def test_cl_011_cl_012_stop_ends_recovering_and_reconnecting(near: Near) -> None:
    for protocol, state in (
        (SubProtocol.JSON_RELIABLE, State.RECOVERING),
        (SubProtocol.JSON, State.RECONNECTING),
    ):
        near.proxy.is_refusing = False
        client = Client(near.url, protocol=protocol, recovery=QUICK, reconnect_retry=SOON)
        seen = watch(client)
        await client.start()
        near.proxy.is_refusing = True
        near.proxy.cut()
        await until(lambda client=client, state=state: client.state is state)
        await client.stop()
        links = near.proxy.links
        await asyncio.sleep(0.1)
        assert near.proxy.links == links
        assert names_of(seen).count("Disconnected") == names_of(seen).count("Stopped") == 1
        assert tasks() == set()


async def test_cl_056_unanswered_send_of_a_lost_session_has_an_unknown_outcome(
    near: Near,
) -> None:
    client = Client(near.url, protocol=SubProtocol.JSON, reconnect_retry=SOON)
    async with client:
        sending = asyncio.ensure_future(client.send_to_group("g", "x"))
        await asyncio.sleep(0)
        near.proxy.cut()
        with pytest.raises(SendMessageError) as failed:
            await sending
        assert (failed.value.outcome, failed.value.retryable) == ("unknown", False)
        assert failed.value.ack_id == 1
        await client.wait_connected()


async def test_cl_047_flapping_link_leaves_one_link_and_no_task_behind(near: Near) -> None:
    client = Client(near.url, recovery=QUICK, reconnect_retry=SOON)
    seen = watch(client)
    async with client:
        for n in itertools.count(1):
            near.proxy.cut()
            await until(lambda n=n: names_of(seen).count("Recovered") == n)
            assert len(client._driver.links) == 1
            assert len(tasks()) <= 1
            if n == 5:
                break
    assert tasks() == set()


async def test_service_that_comes_back_is_found_again() -> None:
    """A restart: recovery is refused with 1008, then a new connection and the groups again."""
    key = "a key that outlives the service, 32 bytes"
    from hubbub.appserver import ServiceClient

    async with Service(Settings(port=0, access_key=key)) as service:
        port = int(service.url.rpartition(":")[2])
        backend = ServiceClient.from_connection_string(service.connection_string, "chat")
        roles = ["webpubsub.joinLeaveGroup"]
        client = Client(
            lambda: backend.get_client_access_token(roles=roles).url,
            recovery=QUICK,
            reconnect_retry=SOON,
        )
        seen = watch(client)
        await client.start()
        await client.join_group("g")
    async with Service(Settings(port=port, access_key=key)):
        await until(lambda: "Gap" in names_of(seen))
        async with client.messages(group="g") as messages:
            await backend.send_to_group("g", "after the restart")
            assert (await anext(messages)).data == "after the restart"
        await client.stop()
    await backend.aclose()
