"""Programs of the official Python package run on ours with another import, and do the same."""

import asyncio
import threading
from types import ModuleType
from typing import Any

import pytest
from azure.messaging.webpubsubclient import aio as official_aio
from azure.messaging.webpubsubclient import models as official_models

from hubbub.client import RejoinGroupFailedEvent, SubProtocol, compat
from hubbub.client.compat import aio, models
from hubbub.protocol.errors import ConnectError, SendMessageError
from hubbub.testing import Hub


async def program(package: ModuleType, names: ModuleType, hub: Hub) -> list[Any]:
    """What a program of theirs hears."""
    heard: list[Any] = []
    news = asyncio.Condition()

    async def until(count: int) -> None:
        async with asyncio.timeout(20), news:
            await news.wait_for(lambda: len(heard) >= count)

    def listener(kind: str) -> Any:
        async def hear(*args: Any) -> None:
            async with news:
                heard.append((kind, *(_facts(arg) for arg in args)))
                news.notify_all()

        return hear

    credential = package.WebPubSubClientCredential(lambda: _url(hub))
    if package is official_aio:

        async def provide() -> str:
            return _url(hub)

        credential = package.WebPubSubClientCredential(provide)
    client = package.WebPubSubClient(credential, message_retry_total=2, reconnect_retry_total=1)
    for kind in ("CONNECTED", "DISCONNECTED", "STOPPED", "GROUP_MESSAGE", "SERVER_MESSAGE"):
        await client.subscribe(names.CallbackType[kind], listener(kind))
    removed = listener("removed")
    await client.subscribe(names.CallbackType.GROUP_MESSAGE, removed)
    await client.unsubscribe(names.CallbackType.GROUP_MESSAGE, removed)
    async with client:
        assert client.is_connected()
        await until(1)
        await client.join_group("room")
        await client.send_to_group("room", "text", names.WebPubSubDataType.TEXT)
        await until(2)
        await client.send_to_group("room", {"a": [1]}, names.WebPubSubDataType.JSON, ack=False)
        await until(3)
        await client.send_to_group("room", memoryview(b"\x00\xff"), names.WebPubSubDataType.BINARY)
        await until(4)
        await client.send_to_group("room", "mine", names.WebPubSubDataType.TEXT, no_echo=True)
        await client.send_event("order", {"id": 1}, names.WebPubSubDataType.JSON, ack=False)
        await hub.backend.send_to_all("to all")
        await until(5)
        await client.leave_group("room")
    await until(7)
    return heard


def _url(hub: Hub) -> str:
    return hub.url(user_id="alice")


def _facts(args: Any) -> dict[str, Any]:
    names = ("group", "data_type", "data", "from_user_id", "user_id", "message")
    found = {name: getattr(args, name) for name in names if hasattr(args, name)}
    if isinstance(found.get("data"), memoryview | bytearray):
        found["data"] = bytes(found["data"])
    if "data_type" in found:
        found["data_type"] = models.text_of(found["data_type"])
    return found


async def test_program_on_ours_hears_what_it_hears_on_the_official_client() -> None:
    async with Hub() as hub:
        ours = await program(aio, models, hub)
        theirs = await program(official_aio, official_models, hub)
    assert [kind for kind, *_ in ours] == [
        *("CONNECTED", "GROUP_MESSAGE", "GROUP_MESSAGE", "GROUP_MESSAGE", "SERVER_MESSAGE"),
        *("DISCONNECTED", "STOPPED"),
    ]
    assert ours == theirs


async def test_blocking_program_does_the_same() -> None:
    async with Hub() as hub:
        heard: list[Any] = []
        came = threading.Event()

        def hear(e: Any) -> None:
            heard.append((e.group, e.data_type, e.data, e.from_user_id))
            came.set()

        def run() -> None:
            with compat.WebPubSubClient(hub.url(user_id="alice")) as client:
                client.subscribe(models.CallbackType.GROUP_MESSAGE, hear)
                client.join_group("room")
                client.send_to_group("room", "hello", models.WebPubSubDataType.TEXT)
                assert came.wait(20)
                client.unsubscribe(models.CallbackType.GROUP_MESSAGE, hear)
                client.send_to_group("room", "unheard", models.WebPubSubDataType.TEXT)
                client.send_event("order", {}, models.WebPubSubDataType.JSON, ack=False)
                client.leave_group("room")
                assert client.is_connected()
            assert not client.is_connected()

        await asyncio.to_thread(run)
    assert heard == [("room", models.WebPubSubDataType.TEXT, "hello", "alice")]


async def test_errors_have_the_official_names() -> None:
    async with Hub() as hub:
        client = aio.WebPubSubClient(hub.url(roles=()))
        async with client:
            with pytest.raises(SendMessageError) as failed:
                await client.join_group("room")
        assert failed.value.error_detail is not None
        assert failed.value.error_detail.name == "Forbidden"
        hub.proxy.is_refusing = True
        with pytest.raises(models.OpenClientError):
            await client.open()
    assert issubclass(models.OpenClientError, ConnectError)


def test_options_become_those_of_ours() -> None:
    options = models.client_options(
        message_retry_total=5,
        message_retry_mode="Fixed",
        reconnect_retry_total=0,
        protocol_type=official_models.WebPubSubProtocolType.JSON,
        ack_timeout=7,
        user_agent="shop/1",
    )
    assert options["message_retry"].max_retries == 5
    assert options["message_retry"].mode == "fixed"
    assert options["auto_reconnect"] is False
    assert options["protocol"] is SubProtocol.JSON
    assert options["operation_timeout"] == 7
    transport = options["transport"]
    assert transport is not None
    assert transport.headers == {"User-Agent": "shop/1"}
    assert models.client_options()["reconnect_retry"].max_retries is None
    assert models.client_options(reconnect_retry_total=4)["reconnect_retry"].max_retries == 4


def test_option_that_does_not_exist_is_refused() -> None:
    options: Any = {"retries": 3}
    with pytest.raises(TypeError, match="retries"):
        aio.WebPubSubClient("ws://127.0.0.1:1/client/hubs/chat", **options)


async def test_refused_rejoin_tells_an_error() -> None:
    event = RejoinGroupFailedEvent("room", None, True)
    heard: list[Any] = []
    models.Listener(heard.append)(event)
    assert heard[0].group == "room"
    assert "in time" in str(heard[0].error)
