"""Hours in virtual time, with a real service on a real socket."""

import asyncio
from typing import Any

import pytest
from picows import WSMsgType

from hubbub.client import Client
from hubbub.client.transport import Transport
from hubbub.testing.plugin import Hubbub


@pytest.mark.virtual_time
async def test_cl_104_cl_066_idle_hour_is_no_loss_and_only_our_pings_are_sent(
    hubbub: Hubbub, monkeypatch: pytest.MonkeyPatch
) -> None:
    pings: list[Any] = []
    monkeypatch.setattr(Transport, "ping", lambda self: pings.append(self))
    kinds: set[Any] = set()
    seen = Transport.on_ws_frame

    def see(self: Transport, transport: Any, frame: Any) -> None:
        kinds.add(frame.msg_type)
        seen(self, transport, frame)

    monkeypatch.setattr(Transport, "on_ws_frame", see)
    settings = {"web_socket_keep_alive_interval_s": 120}
    async with hubbub.hub(settings=settings) as hub:
        client = Client(hub.url())
        lost: list[object] = []
        client.on("recovering", lost.append)
        async with client:
            began = client.stats
            await asyncio.sleep(3600)
            now = client.stats
            # One `ping` each 15 s and its `pong`.
            assert 3600 / 15 - 1 <= now.frames_out - began.frames_out <= 3600 / 15
            answered = now.frames_in - began.frames_in
            assert answered >= now.frames_out - began.frames_out - 1, "the last is on its way"
            assert client.is_connected
        assert lost == []
        assert pings == []
        assert WSMsgType.PONG not in kinds, "nothing that the library itself has asked for"
        assert hub.service.counts["connections.opened"] == 1


@pytest.mark.virtual_time
async def test_credential_in_a_thread_does_not_find_its_time_gone(hubbub: Hubbub) -> None:
    async with hubbub.hub() as hub, Client(hub.url, credential_timeout=0.01) as client:
        assert client.is_connected


@pytest.mark.virtual_time
@pytest.mark.parametrize("slept_s", [60, 900])
async def test_cl_069_machine_that_wakes_up_asks_at_once_and_is_soon_back(
    hubbub: Hubbub, slept_s: float
) -> None:
    async with hubbub.hub() as hub:
        client = Client(hub.url)
        seen: list[str] = []
        for name in ("recovering", "recovered", "disconnected", "connected", "gap"):
            client.on(name, lambda _, name=name: seen.append(name))
        async with client:
            await client.join_group("g")
            await asyncio.sleep(3)
            hub.proxy.is_silent = True  # the address it had before has no way any more
            await hub.lose_sessions()
            hubbub.clock.suspend(slept_s)
            woke_at = hubbub.clock.time()
            async with client.events("recovering") as events:
                await anext(events)
            assert hubbub.clock.time() - woke_at <= 1 + 5
            hub.proxy.cut()
            hub.proxy.is_silent = False
            while not client.is_connected or "gap" not in seen:
                await asyncio.sleep(0.1)
            assert hubbub.clock.time() - woke_at <= 12
        assert seen[:1] == ["connected"]
        assert seen.count("recovering") == 1
        assert seen[-3:] == ["connected", "gap", "disconnected"]


@pytest.mark.virtual_time
@pytest.mark.parametrize("fault", ["is_silent", "is_deaf", "is_mute"])
async def test_cl_067_link_that_carries_nothing_one_way_or_both_is_left_in_time(
    hubbub: Hubbub, fault: str
) -> None:
    # The pings of the service come through a link that is dead the other way: they are no answer.
    async with hubbub.hub() as hub:
        client = Client(hub.url)
        async with client, client.events("recovering", "recovered") as events:
            connection_id = client.connection_id
            setattr(hub.proxy, fault, True)
            began = hubbub.clock.time()
            assert type(await anext(events)).__name__ == "RecoveringEvent"
            assert hubbub.clock.time() - began <= 31
            setattr(hub.proxy, fault, False)
            assert type(await anext(events)).__name__ == "RecoveredEvent"
            assert client.connection_id == connection_id
