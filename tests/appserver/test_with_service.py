"""The SDK and a real service on loopback: sends arrive, and both speak the same event protocol."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvicorn
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Subprotocol

from hubbub.appserver import (
    ConnectedRequest,
    ConnectRequest,
    ConnectResponse,
    DisconnectedRequest,
    EventHandler,
    Refused,
    RequestError,
    ServiceClient,
    UserEventRequest,
    UserEventResponse,
)
from hubbub.service import EventHandlerSettings, HubSettings, Service, Settings

JSON = [Subprotocol("json.webpubsub.azure.v1")]
KEY = "k" * 40


@asynccontextmanager
async def serving(app: Any) -> AsyncIterator[str]:
    """Serve an ASGI app on a free port; its address."""
    config = uvicorn.Config(app, port=0, log_config=None, lifespan="on")
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        await task


async def receive(client: ClientConnection) -> Any:
    """The next message of a JSON client that is not about the connection itself."""
    while True:
        message = json.loads(await asyncio.wait_for(client.recv(), 20))
        if message["type"] != "system":
            return message


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    async with Service(Settings(port=0, access_key=KEY)) as service:
        yield service


@pytest.mark.parametrize("group", ["plain", "g/1 +é", ".", "..", "a%2Fb", "?#;=&", ":send"])
async def test_send_to_group_of_any_name_arrives(service: Service, group: str) -> None:
    async with ServiceClient.from_connection_string(service.connection_string, "Chat") as client:
        access = client.get_client_access_token(groups=[group])
        async with connect(access.url, subprotocols=JSON) as socket:
            await client.send_to_group(group, {"a": [1]})
            message = await receive(socket)
            assert (message["group"], message["data"]) == (group, {"a": [1]})


async def test_send_to_each_target_in_each_form_arrives(service: Service) -> None:
    async with ServiceClient.from_connection_string(service.connection_string, "chat") as client:
        access = client.get_client_access_token(user_id="a/é")
        async with connect(access.url, subprotocols=JSON) as socket:
            connection_id = json.loads(await socket.recv())["connectionId"]
            await client.send_to_all("hé")
            await client.send_to_user("a/é", b"\x00\x01", ttl_seconds=300)
            await client.send_to_connection(connection_id, "x", content_type="application/json")
            await client.send_to_all("not for you", excluded=[connection_id])
            await client.send_to_all([1])
            messages = [await receive(socket) for _ in range(4)]
    assert [(message["dataType"], message["data"]) for message in messages] == [
        ("text", "hé"),
        ("binary", "AAE="),
        ("json", "x"),
        ("json", [1]),
    ]


async def test_send_with_wrong_key_is_told(service: Service) -> None:
    async with ServiceClient(service.url, "chat", "w" * 40) as client:
        with pytest.raises(RequestError) as caught:
            await client.send_to_all("x")
    assert caught.value.status == 401


# --- event handler ---------------------------------------------------------------------------


class App:
    """A handler that keeps what it is told."""

    def __init__(self, **options: Any) -> None:
        self.told: list[str] = []
        self.gone = asyncio.Event()
        self.handler = handler = EventHandler("chat", **options)

        @handler.on_connect
        async def connect(request: ConnectRequest) -> ConnectResponse:
            if request.query.get("refuse"):
                raise Refused(403, "not you")
            assert request.claims["sub"] == ["Zoë"]
            return ConnectResponse(user_id="Ann ü", states={"n": 0})

        @handler.on_connected
        async def connected(request: ConnectedRequest) -> None:
            self.told.append(f"connected {request.context.user_id}")

        @handler.on_disconnected
        async def disconnected(request: DisconnectedRequest) -> None:
            self.told.append(f"disconnected {request.context.states}")
            self.gone.set()

        @handler.on_event("count")
        async def count(request: UserEventRequest) -> UserEventResponse:
            n = request.context.states["n"] + 1
            return UserEventResponse({"n": n, "got": request.data}, states={"n": n})

        @handler.on_event("*")
        async def other(request: UserEventRequest) -> str:
            return f"{request.event} of {request.context.user_id}"


@asynccontextmanager
async def service_with(url: str) -> AsyncIterator[Service]:
    handler = EventHandlerSettings(
        url_template=url + "/events/{event}",
        user_event_pattern="*",
        system_events=("connect", "connected", "disconnected"),
        retry_pauses_s=(),
    )
    hubs = {"chat": HubSettings(event_handlers=(handler,))}
    async with Service(Settings(port=0, access_key=KEY, hubs=hubs)) as service:
        yield service


async def test_events_of_a_connection_reach_the_handler_and_its_answers_the_client() -> None:
    app = App(access_keys=[KEY], allowed_endpoints=["http://127.0.0.1:8080"])
    async with serving(app.handler.asgi()) as url, service_with(url) as service:
        client = ServiceClient.from_connection_string(service.connection_string, "chat")
        access = client.get_client_access_token(user_id="Zoë")
        async with connect(access.url, subprotocols=JSON) as socket:
            for n, data in enumerate(({"a": 1}, "text"), start=1):
                await socket.send(
                    json.dumps(
                        {
                            "type": "event",
                            "event": "count",
                            "dataType": "text" if isinstance(data, str) else "json",
                            "data": data,
                            "ackId": n,
                        }
                    )
                )
                assert (await receive(socket))["data"] == {"n": n, "got": data}
                assert await receive(socket) == {"type": "ack", "ackId": n, "success": True}
            await socket.send('{"type":"event","event":"e","dataType":"text","data":""}')
            assert (await receive(socket))["data"] == "e of Ann ü"
        await asyncio.wait_for(app.gone.wait(), 20)
        await client.aclose()
    assert app.told == ["connected Ann ü", "disconnected {'n': 2}"]


async def test_client_that_the_handler_refuses_gets_status_and_text() -> None:
    app = App()
    async with serving(app.handler.asgi()) as url, service_with(url) as service:
        client = ServiceClient.from_connection_string(service.connection_string, "chat")
        access = client.get_client_access_token(user_id="Zoë")
        with pytest.raises(InvalidStatus) as caught:
            await connect(access.url + "&refuse=1")
        await client.aclose()
    assert caught.value.response.status_code == 403
    assert caught.value.response.body == b"not you"
    assert app.told == []


@pytest.mark.parametrize(
    "options", [{"access_keys": ["w" * 40]}, {"allowed_endpoints": ["https://other.example"]}]
)
async def test_handler_that_does_not_trust_the_service_keeps_clients_out(
    options: dict[str, Any],
) -> None:
    app = App(**options)
    async with serving(app.handler.asgi()) as url, service_with(url) as service:
        client = ServiceClient.from_connection_string(service.connection_string, "chat")
        access = client.get_client_access_token(user_id="Zoë")
        with pytest.raises(InvalidStatus) as caught:
            await connect(access.url)
        await client.aclose()
    status = 401 if "access_keys" in options else 500
    assert caught.value.response.status_code == status


async def test_simple_client_gets_the_answer_as_a_frame_and_closes_on_failure() -> None:
    app = App()

    async with serving(app.handler.asgi()) as url, service_with(url) as service:
        client = ServiceClient.from_connection_string(service.connection_string, "chat")
        access = client.get_client_access_token(user_id="Zoë")
        async with connect(access.url) as socket:
            await socket.send("hi")
            assert await asyncio.wait_for(socket.recv(), 20) == "message of Ann ü"

            async def fail(request: UserEventRequest) -> None:
                raise Refused(422, "no")

            app.handler.on_event("message")(fail)
            await socket.send("hi")
            with pytest.raises(ConnectionClosed) as caught:
                await asyncio.wait_for(socket.recv(), 20)
            assert caught.value.rcvd is not None
            assert caught.value.rcvd.code == 1011
        await client.aclose()
