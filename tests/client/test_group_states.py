"""Group states of the client against the real service."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.client.scripted import Peer, Scripted

from hubbub.client import Client, GroupMemberState, connect_sync
from hubbub.protocol.errors import SendMessageError
from hubbub.testing import Hub

LIMIT_S = 60


@pytest.fixture
async def hub() -> AsyncIterator[Hub]:
    async with Hub() as hub:
        yield hub


def listed(client: Client, group: str = "g") -> dict[str, dict[str, str]]:
    return {item.connection_id: dict(item.state) for item in client.list_group_states(group)}


async def until_listed(client: Client, changes: Any, expected: dict[str, dict[str, str]]) -> None:
    """Look after each change, as an application does."""
    async with asyncio.timeout(LIMIT_S):
        while listed(client) != expected:
            assert (await anext(changes)).group == "g"


def here(client: Client) -> str:
    assert client.connection_id is not None
    return client.connection_id


async def test_cl_097_states_of_others_come_and_go(hub: Hub) -> None:
    async with hub.client(user_id="a") as alice, hub.client(user_id="b") as bob:
        async with alice.events("group-states-changed") as changes:
            await bob.join_group("g")
            assert (await bob.set_group_state("g", {"status": "typing"})).ack_id == 2
            assert bob.get_group_state("g") == {"status": "typing"}
            await alice.subscribe_group_states("g")
            await until_listed(alice, changes, {here(bob): {"status": "typing"}})
            (item,) = alice.list_group_states("g")
            assert isinstance(item, GroupMemberState)
            assert (item.user_id, item.updated_at > 0) == ("b", True)
            await bob.set_group_state("g", {"status": "away"})
            await until_listed(alice, changes, {here(bob): {"status": "away"}})
            await bob.clear_group_state("g")
            assert bob.get_group_state("g") == {}
            await until_listed(alice, changes, {})
            await bob.set_group_state("g", {})
            await until_listed(alice, changes, {here(bob): {}})
            await alice.unsubscribe_group_states("g")
            with pytest.raises(KeyError):
                alice.list_group_states("g")


async def test_cl_097_cut_link_changes_nothing_and_what_happened_meanwhile_comes(hub: Hub) -> None:
    async with hub.client() as alice, hub.client() as bob:
        async with alice.events("group-states-changed") as changes:
            await alice.join_group("g")
            await bob.join_group("g")
            await alice.set_group_state("g", {"n": "0"})
            await bob.set_group_state("g", {"n": "0"})
            await alice.subscribe_group_states("g")
            both = {here(alice): {"n": "0"}, here(bob): {"n": "0"}}
            await until_listed(alice, changes, both)
            for number in range(1, 10):
                if number % 3 == 0:
                    hub.cut()
                await bob.set_group_state("g", {"n": str(number)})
            await until_listed(alice, changes, both | {here(bob): {"n": "9"}})
            assert alice.get_group_state("g") == {"n": "0"}
        assert hub.proxy.cuts >= 3


async def test_cl_097_reconnect_forgets_states_and_subscribes_again(hub: Hub) -> None:
    async with hub.client() as alice, hub.client() as bob:
        async with alice.events("group-states-changed") as changes:
            for client in (alice, bob):
                await client.join_group("g")
                await client.set_group_state("g", {"n": "0"})
            await alice.subscribe_group_states("g")
            before = here(alice)
            await until_listed(alice, changes, {c: {"n": "0"} for c in (before, here(bob))})
            await hub.lose_sessions()
            await until_listed(alice, changes, {})
            assert alice.get_group_state("g") == {}
            await asyncio.gather(alice.wait_connected(), bob.wait_connected())
            assert here(alice) != before
            await bob.set_group_state("g", {"n": "1"})
            await until_listed(alice, changes, {here(bob): {"n": "1"}})


async def test_refusals_and_wrong_arguments(hub: Hub) -> None:
    async with hub.client() as member, hub.client(roles=()) as stranger:
        for call in (member.set_group_state("g", {}), stranger.subscribe_group_states("g")):
            with pytest.raises(SendMessageError) as caught:
                await call
            assert (caught.value.error_name, caught.value.outcome) == ("Forbidden", "rejected")
        for client in (member, stranger):
            with pytest.raises(KeyError):
                client.get_group_state("g")
            with pytest.raises(KeyError):
                client.list_group_states("g")
        wrong: Any = {"a": 1}
        with pytest.raises(TypeError):
            await member.set_group_state("g", wrong)
        with pytest.raises(ValueError):
            await member.set_group_state("", {})


async def test_leaving_ends_state_and_subscription(hub: Hub) -> None:
    async with hub.client() as client:
        await client.join_group("g")
        await client.set_group_state("g", {"a": "1"})
        await client.subscribe_group_states("g")
        await client.leave_group("g")
        with pytest.raises(KeyError):
            client.get_group_state("g")
        with pytest.raises(KeyError):
            client.list_group_states("g")
        await client.join_group("g")
        assert client.get_group_state("g") == {}


async def test_results_are_copies(hub: Hub) -> None:
    async with hub.client() as client, client.events("group-states-changed") as changes:
        await client.join_group("g")
        mine = {"a": "1"}
        await client.set_group_state("g", mine)
        mine["a"] = "2"
        client.get_group_state("g")["a"] = "3"
        assert client.get_group_state("g") == {"a": "1"}
        await client.subscribe_group_states("g")
        await until_listed(client, changes, {here(client): {"a": "1"}})
        (item,) = client.list_group_states("g")
        state: Any = item.state
        state["a"] = "4"
        assert listed(client) == {here(client): {"a": "1"}}


async def test_fault_of_ours_forgets_states_and_keeps_subscriptions() -> None:
    # The service lets go of the abandoned connection when its window is over.
    async with Hub(settings={"recovery_window_s": 0.1}) as hub:
        client = hub.client()
        async with client.events("group-states-changed", forever=True) as changes:
            await client.start()
            await client.join_group("g")
            await client.set_group_state("g", {"a": "1"})
            await client.subscribe_group_states("g")
            await until_listed(client, changes, {here(client): {"a": "1"}})
            client._driver.break_down(RuntimeError("a fault"))
            assert (client.get_group_state("g"), listed(client)) == ({}, {})
            async with client:
                await client.set_group_state("g", {"a": "2"})
                await until_listed(client, changes, {here(client): {"a": "2"}})


async def test_cl_105_states_are_confirmed_like_messages() -> None:
    async def script(peer: Peer) -> None:
        await peer.ack(await peer.read())
        items = [{"connectionId": "c2", "updatedAt": 1, "state": {"a": "1"}}]
        kind = {"group": "g", "items": items}
        await peer.write({"type": "groupStateSnapshot", **kind, "sequenceId": 1})
        await peer.write({"type": "groupStateUpdate", **kind, "sequenceId": 2})
        confirmed.set_result((await peer.read("sequenceAck"))["sequenceId"])

    confirmed: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    async with Scripted(script) as service, Client(service.url) as client:
        await client.subscribe_group_states("g")
        async with asyncio.timeout(LIMIT_S):
            assert await confirmed == 2
        assert listed(client) == {"c2": {"a": "1"}}


async def test_cl_097_blocking_twin_has_the_same_calls(hub: Hub) -> None:
    url = hub.url(user_id="u1")

    def work() -> None:
        with connect_sync(url) as client:
            client.join_group("g")
            assert client.set_group_state("g", {"a": "1"}).ack_id == 2
            assert client.get_group_state("g") == {"a": "1"}
            with client.events("group-states-changed") as changes:
                client.subscribe_group_states("g")
                assert changes.get(timeout=LIMIT_S)
                (item,) = client.list_group_states("g")
                assert (item.user_id, item.state) == ("u1", {"a": "1"})
                client.clear_group_state("g")
                assert changes.get(timeout=LIMIT_S)
                assert client.list_group_states("g") == []
            client.unsubscribe_group_states("g")
            with pytest.raises(KeyError):
                client.list_group_states("g")

    async with asyncio.timeout(LIMIT_S):
        await asyncio.to_thread(work)
