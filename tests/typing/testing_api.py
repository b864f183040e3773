"""The test kit as a stranger's tests use it. Only type-checked, never run."""

from typing import assert_type

from hubbub import Client
from hubbub.appserver import EventHandler, ServiceClient
from hubbub.service import Service
from hubbub.testing import (
    FakePeer,
    FakeService,
    FaultProxy,
    HandlerServer,
    History,
    Hub,
    VirtualClock,
    VirtualTimeLoop,
    eventually,
    expect_event,
    run_virtual,
    virtual_clock,
)
from hubbub.testing.plugin import Hubbub


async def real_service(hubbub: Hubbub) -> None:
    handler = EventHandler("chat")
    async with hubbub.hub("chat", event_handler=handler, settings={"max_connections": 1}) as hub:
        assert_type(hub, Hub)
        assert_type(hub.url(user_id="u", groups=["g"]), str)
        assert_type(hub.service, Service)
        assert_type(hub.backend, ServiceClient)
        assert_type(hub.proxy, FaultProxy)
        assert_type(hub.handler, HandlerServer)
        async with hub.client(groups=["g"], keep_alive_interval=5.0) as client:
            assert_type(client, Client)
            hub.proxy.is_silent = True
            hub.proxy.refuse(503, retry_after_s=7)
            await expect_event(client, "recovered", resent=0)
            async with expect_event(client, "gap", within=30) as gap:
                await hub.restart()
            print(gap.event.cause)
            await hub.expect(connections=1, groups={"g": 1})
        await eventually(lambda: hub.proxy.links, 1)
    assert_type(hubbub.clock, VirtualClock)
    assert_type(hubbub.history(), History)


async def script(peer: FakePeer) -> None:
    join = await peer.expect("joinGroup", group="g")
    await peer.ack(join, error="Forbidden")
    await peer.write_raw(b"\x00")
    assert_type(await peer.read_raw(), str | bytes)


async def scripted() -> float:
    async with FakeService(script, says_connected=False) as service:
        assert_type(service.executed[1], int)
        assert_type(service.peers[0].query, dict[str, str])
    virtual_clock().suspend(60)
    return VirtualTimeLoop(limit_s=60).time()


assert_type(run_virtual(scripted()), float)
