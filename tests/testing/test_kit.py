"""The test kit, used as its users would."""

import asyncio
from typing import Any

import pytest

from hubbub.client import State, SubProtocol
from hubbub.testing import FaultProxy, History, Hub
from hubbub.testing.plugin import Hubbub


async def test_client_gets_what_it_missed(hubbub: Hubbub) -> None:
    async with hubbub.hub() as hub, hub.client(groups=["news"]) as client:
        async with client.messages() as messages:
            hub.cut()
            await hub.backend.send_to_group("news", "while it was away")
            assert (await anext(messages)).data == "while it was away"


async def test_lost_session_reconnects_and_says_so(hubbub: Hubbub) -> None:
    async with hubbub.hub() as hub, hub.client() as client:
        await client.join_group("news")
        async with client.events("gap", "group-message") as events:
            await hub.lose_sessions()
            assert type(await anext(events)).__name__ == "GapEvent"
            await hub.backend.send_to_group("news", "again here")
            assert (await anext(events)).data == "again here"


async def test_history_over_many_cuts(hubbub: Hubbub) -> None:
    history = hubbub.history()
    async with hubbub.hub() as hub, hub.client(groups=["news"]) as client:
        async with client.messages() as messages:
            for i in range(200):
                if i % 40 == 20:
                    hub.cut()
                history.sent(i)
                await hub.backend.send_to_group("news", i)
            for _ in range(200):
                history.got((await anext(messages)).data)
    history.check()
    assert hub.proxy.cuts >= 1


async def test_two_hubs_do_not_meet(hubbub: Hubbub) -> None:
    async with hubbub.hub() as one, hubbub.hub() as other:
        assert one.name != other.name
        async with one.client() as client, client.messages() as messages:
            await other.backend.send_to_all("not for it")
            await one.backend.send_to_all("for it")
            assert (await anext(messages)).data == "for it"


@pytest.mark.parametrize("switch", ["is_silent", "is_deaf", "is_mute"])
async def test_half_open_link_is_noticed_and_healed(hubbub: Hubbub, switch: str) -> None:
    async with hubbub.hub() as hub:
        quick: Any = {"keep_alive_interval": 0.05, "keep_alive_timeout": 0.1}
        async with hub.client(groups=["g"], **quick) as client, client.messages() as messages:
            setattr(hub.proxy, switch, True)
            async with asyncio.timeout(20):
                while client.state is State.CONNECTED:
                    await asyncio.sleep(0.005)
            await hub.backend.send_to_group("g", "later")
            setattr(hub.proxy, switch, False)
            assert (await anext(messages)).data == "later"


async def test_refusing_proxy_keeps_a_client_out(hubbub: Hubbub) -> None:
    async with hubbub.hub() as hub, hub.client(protocol=SubProtocol.JSON) as client:
        hub.proxy.is_refusing = True
        hub.cut()
        async with asyncio.timeout(20):
            while client.state is not State.RECONNECTING:
                await asyncio.sleep(0.001)
            hub.proxy.is_refusing = False
            await client.wait_connected()


async def test_settings_and_rights_reach_the_service(hubbub: Hubbub) -> None:
    async with hubbub.hub("named", settings={"max_connections": 1}) as hub:
        assert hub.name == "named"
        async with hub.client(user_id="u", roles=()) as client:
            assert client.user_id == "u"
            with pytest.raises(Exception, match="429"):
                await hub.client().start()


async def test_address_without_a_port_is_refused() -> None:
    with pytest.raises(ValueError):
        FaultProxy("http://example")


@pytest.mark.parametrize(
    ("sent", "got", "problem"),
    [
        ([1, 2, 3], [1, 3], "lost: 2"),
        ([1, 2], [1, 2, 2], "doubled: 2"),
        ([1, 2, 3], [1, 3, 2], "reordered: 2"),
        ([1], [1, 9], "never sent: 9"),
        (list(range(30)), [], "and 20 more"),
    ],
)
def test_history_names_what_is_wrong(sent: list[int], got: list[int], problem: str) -> None:
    history = History()
    history.sent(*sent)
    history.got(*got)
    with pytest.raises(AssertionError, match=problem):
        history.check()


def test_history_that_is_whole_passes() -> None:
    history = History()
    history.sent(1, 2, 3)
    history.got(1, 2, 3)
    history.check()


def test_history_of_nothing_proves_nothing() -> None:
    with pytest.raises(AssertionError, match="nothing to check"):
        History().check()


def test_hub_that_does_not_run_says_how_to_run_it() -> None:
    hub = Hub()
    for use in (hub.url, hub.cut, lambda: hub.connection_string):
        with pytest.raises(RuntimeError, match="use it as `async with"):
            use()
    with pytest.raises(AttributeError, match="no attribute 'prox'"):
        _ = hub.prox


def test_hub_can_be_used_without_pytest() -> None:
    async def main() -> Any:
        async with Hub() as hub, hub.client() as client:
            return (await client.send_to_group("g", "x")).ack_id

    assert asyncio.run(main()) == 1
