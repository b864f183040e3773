"""Other hub settings while clients are connected."""

import asyncio
from dataclasses import replace

import pytest
from tests.wire.client import PING, RawClient, Refusal
from tests.wire.conftest import Connect, StartService
from tests.wire.upstream_helpers import RecordingHandler, Reply

from hubbub.protocol.errors import SettingsError
from hubbub.service import EventHandlerSettings, HubSettings, Service, ServiceStateError, Settings


def answering(text: str) -> Reply:
    return Reply(200, text.encode(), "text/plain")


async def test_reload_takes_new_handlers_and_policy_and_drops_no_client(
    start_service: StartService, connect: Connect
) -> None:
    async with RecordingHandler() as first, RecordingHandler() as second:
        first.answers["*"], second.answers["*"] = answering("first"), answering("second")
        handlers = (EventHandlerSettings(f"{first.url}/", "*"),)
        service = await start_service(hubs={"hub1": HubSettings(event_handlers=handlers)})
        client = await connect(service)
        with pytest.raises(Refusal) as refused:
            await RawClient.open(service, "/client/hubs/hub1", subprotocols=None)
        assert refused.value.status == 401

        async def ask(number: int) -> str:
            await client.send(
                {"type": "event", "event": "e", "dataType": "text", "data": "x", "ackId": number}
            )
            heard = [await client.json(), await client.json()]
            return next(message["data"] for message in heard if message["type"] == "message")

        assert await ask(1) == "first"
        handlers = (EventHandlerSettings(f"{second.url}/", "*"),)
        changed = HubSettings(anonymous_connect_policy="allow", event_handlers=handlers)
        assert service.reload(replace(service.settings, hubs={"hub1": changed})) == ()
        assert await ask(2) == "second"
        stranger = await RawClient.open(service, "/client/hubs/hub1", subprotocols=None)
        stranger.writer.transport.abort()


async def test_reload_of_keep_alive_reaches_connected_clients(
    start_service: StartService, connect: Connect
) -> None:
    slow = HubSettings(web_socket_keep_alive_interval_s=2)
    service = await start_service(hubs={"hub1": slow})
    client = await connect(service)
    fast = HubSettings(web_socket_keep_alive_interval_s=0.02, web_socket_keep_alive_timeout_s=60)
    service.reload(Settings(port=0, hubs={"hub1": fast}))
    async with asyncio.timeout(5):  # with the old interval five pings would take ten seconds
        for _ in range(5):
            opcode, _ = await client.next_frame()
            assert opcode == PING


async def test_reload_names_settings_that_need_a_new_start_and_never_a_key(
    start_service: StartService, caplog: pytest.LogCaptureFixture
) -> None:
    service = await start_service(access_key="k" * 40)
    new = Settings(port=0, max_connections=5, log_level="debug", access_key="s" * 40)
    expected = ("service.max_connections", "observe.log_level", "HUBBUB_ACCESS_KEY")
    assert service.reload(new) == expected
    assert service.settings.max_connections == 0
    assert all(name in caplog.text for name in expected)
    assert "s" * 40 not in caplog.text


async def test_reload_when_faulty_keeps_the_old_settings(start_service: StartService) -> None:
    service = await start_service()
    faulty = HubSettings("allow", event_handlers=(EventHandlerSettings("ftp://x"),))
    with pytest.raises(SettingsError, match="http"):
        service.reload(Settings(hubs={"hub1": faulty}))
    with pytest.raises(Refusal):
        await RawClient.open(service, "/client/hubs/hub1", subprotocols=None)


async def test_reload_before_the_start_is_a_call_at_the_wrong_time() -> None:
    with pytest.raises(ServiceStateError):
        Service(Settings(port=0)).reload(Settings())
