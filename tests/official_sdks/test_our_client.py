"""Our asyncio client with tokens that the official server SDKs have made, unmodified."""

import asyncio
from contextlib import AsyncExitStack
from typing import Any

import pytest
from tests.official_sdks.node_process import NodeProcess
from tests.official_sdks.proxy import CuttingProxy
from tests.official_sdks.server_sdks import Target, open_sdk
from tests.wire.upstream_helpers import RecordingHandler, Reply

from hubbub.client import Client, RecoveryOptions, RetryOptions
from hubbub.service import EventHandlerSettings, HubSettings, Service, Settings

QUICK = RecoveryOptions(window=30, delay=0.02)
SOON = RetryOptions(None, 0.01, 0.05, "exponential", 1.0)
ROLES = ["webpubsub.joinLeaveGroup", "webpubsub.sendToGroup"]


async def until(condition: Any) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.001)


@pytest.mark.parametrize(
    "kind", ["azure_sync", "azure_aio", pytest.param("azure_js", marks=pytest.mark.node)]
)
async def test_cl_100_cl_001_cl_018_cl_035_cl_052_cl_085_client_works_with_their_tokens(
    kind: str,
) -> None:
    async with AsyncExitStack() as stack:
        handler = await stack.enter_async_context(RecordingHandler())
        for name in ("one", "two"):
            handler.answers[name] = Reply(200, name.encode(), "text/plain")
        rule = EventHandlerSettings(url_template=handler.url, user_event_pattern="*")
        settings = Settings(port=0, hubs={"chat": HubSettings(event_handlers=(rule,))})
        service = await stack.enter_async_context(Service(settings))
        proxy = await stack.enter_async_context(CuttingProxy(service.url))
        node = None
        if kind == "azure_js":
            node = await stack.enter_async_context(NodeProcess("server_sdk.mjs"))
        target = Target("chat", proxy.through(service.connection_string))
        sdk = await stack.enter_async_context(open_sdk(kind, target, node))

        async def access_url() -> str:
            token = await sdk.call("get_client_access_token", user_id="u", roles=ROLES)
            return str(token["url"])

        client = Client(access_url, recovery=QUICK, reconnect_retry=SOON)
        seen: list[str] = []
        for name in ("connected", "recovered", "gap"):
            client.on(name, lambda _, name=name: seen.append(name))
        await client.start()
        connection_id = client.connection_id
        assert connection_id is not None
        assert client.user_id == "u"

        asked = [
            await client.join_group("a"),
            await client.join_group("b"),
            await client.leave_group("b"),
            await client.send_event("told", {"a": 1}),
        ]
        assert [result.ack_id for result in asked] == [1, 2, 3, 4]
        answers = await asyncio.gather(*(client.invoke_event(n) for n in ("one", "two")))
        assert [answer.data for answer in answers] == ["one", "two"]

        async with client.messages(group="a") as messages:
            proxy.cut()
            await until(lambda: "recovered" in seen)
            assert client.connection_id == connection_id
            await client.send_to_group("a", "hello")
            assert (await anext(messages)).data == "hello"
            await sdk.call("close_connection", connection_id)
            await until(lambda: "gap" in seen)
            assert client.connection_id != connection_id
            assert client.joined_groups == {"a"}
            await client.send_to_group("a", "again")
            assert (await anext(messages)).data == "again"
        await client.stop()
        assert seen == ["connected", "recovered", "connected", "gap"]
