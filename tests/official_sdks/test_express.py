"""`@azure/web-pubsub-express` 1.1.0, unmodified, as application server, and beside it our own.

Both applications are written alike; the clients of both find the same.
"""

import base64
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
import pytest_asyncio
from tests.official_sdks.handlers import Application, ExpressApplication, our_application
from tests.official_sdks.node_process import NodeProcess
from tests.official_sdks.receiver import JSON, Receiver, receiver
from websockets.exceptions import InvalidStatus

from hubbub.appserver import ServiceClient
from hubbub.service import EventHandlerSettings, HubSettings, Service, Settings

pytestmark = [pytest.mark.node, pytest.mark.asyncio(loop_scope="session")]

BYTES = b"\x00\x01\xff"
BASE64 = base64.b64encode(BYTES).decode()


def _hub(url_template: str) -> HubSettings:
    handler = EventHandlerSettings(
        url_template,
        user_event_pattern="*",
        system_events=("connect", "connected", "disconnected"),
        retry_pauses_s=(),
    )
    return HubSettings(event_handlers=(handler,))


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def applications() -> AsyncIterator[dict[str, Application]]:
    async with NodeProcess("express.mjs") as node, our_application() as ours:
        express = ExpressApplication(node)
        yield {express.hub: express, ours.hub: ours}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def event_service(applications: dict[str, Application]) -> AsyncIterator[Service]:
    hubs = {hub: _hub(application.url_template(hub)) for hub, application in applications.items()}
    for hub in ("bare", "allowed", "foreign"):
        hubs[hub] = _hub(applications["express"].url_template(hub))
    async with Service(Settings(port=0, hubs=hubs)) as service:
        yield service


class Stage:
    """One application, and clients of its hub."""

    def __init__(self, application: Application, server: ServiceClient) -> None:
        self.heard = application.heard
        self.server = server
        self.stack = AsyncExitStack()

    async def connect(
        self, answer: str, *subprotocols: str, user_id: str | None = "ann"
    ) -> Receiver:
        """A client that is let in as `answer` says."""
        access = self.server.get_client_access_token(
            user_id=user_id, roles=["webpubsub.sendToGroup"], groups=["all"]
        )
        url = f"{access.url}&as={answer}"
        return await self.stack.enter_async_context(receiver(url, *subprotocols))

    async def members(self, group: str) -> list[tuple[str, str | None]]:
        found = self.server.list_connections(group)
        return [(member.connection_id, member.user_id) async for member in found]


@pytest_asyncio.fixture(loop_scope="session", params=["express", "hubbub"])
async def stage(
    request: pytest.FixtureRequest, applications: dict[str, Application], event_service: Service
) -> AsyncIterator[Stage]:
    hub = request.param
    text = event_service.connection_string
    async with ServiceClient.from_connection_string(text, hub) as server:
        stage = Stage(applications[hub], server)
        async with stage.stack:
            yield stage


# --- clients come and go ---------------------------------------------------------------------


async def test_ue_003_ue_019_accepted_client_is_what_its_token_says(stage: Stage) -> None:
    client = await stage.connect("plain", JSON)
    assert client.hello["userId"] == "ann"
    assert (client.id, "ann") in await stage.members("all")
    assert await stage.heard("connect", client.id) == {"userId": "ann", "states": {}}
    assert await stage.heard("connected", client.id) == {"userId": "ann", "states": {}}


async def test_ue_021_ue_025_accepted_client_is_what_the_answer_says(stage: Stage) -> None:
    client = await stage.connect("changed", JSON)
    assert client.hello["userId"] == "changed"
    assert await stage.members("vip") == [(client.id, "changed")]
    assert client.id not in dict(await stage.members("all"))
    message: dict[str, Any] = {"type": "sendToGroup", "data": "x", "noEcho": True}
    assert (await client.ask(**message, ackId=1, group="vip"))["success"] is True
    assert (await client.ask(**message, ackId=2, group="all"))["success"] is False


async def test_ue_022_ue_023_client_can_lose_its_user_and_its_roles(stage: Stage) -> None:
    client = await stage.connect("anonymous", JSON)
    assert client.hello.get("userId") is None
    answer = await client.ask(type="sendToGroup", group="all", data="x", ackId=1)
    assert answer["success"] is False
    assert (await stage.heard("connected", client.id))["userId"] is None


async def test_ue_027_subprotocol_that_the_answer_names_is_selected(stage: Stage) -> None:
    client = await stage.connect("custom", "custom", JSON)
    assert client.socket.subprotocol == "custom"
    await client.socket.send("hi")
    assert await client.frame() == "hi"


@pytest.mark.parametrize(
    ("answer", "status"), [("denied", 401), ("bad", 400), ("broken", 500), ("raises", 500)]
)
async def test_ue_030_refused_client_gets_the_status(
    stage: Stage, answer: str, status: int
) -> None:
    with pytest.raises(InvalidStatus) as caught:
        await stage.connect(answer, JSON)
    assert caught.value.response.status_code == status


async def test_ue_066_user_outside_ascii_arrives(stage: Stage) -> None:
    client = await stage.connect("plain", JSON, user_id="Zoë 张")
    assert (await stage.heard("connected", client.id))["userId"] == "Zoë 张"


async def test_ue_043_ue_044_end_is_told_with_its_reason(stage: Stage) -> None:
    client, other = await stage.connect("plain", JSON), await stage.connect("plain", JSON)
    await stage.server.close_connection(client.id, reason="bye é")
    assert await client.end() == ("bye é", 1000)
    assert (await stage.heard("disconnected", client.id))["reason"] == "bye é"
    await other.socket.close()
    assert (await stage.heard("disconnected", other.id))["userId"] == "ann"


# --- user events -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data_type", "data"),
    [
        ("text", "hi 🎈"),
        ("json", {"a": [1, "ü", None]}),
        ("json", "quoted"),
        ("binary", BASE64),
    ],
)
async def test_ue_047_ue_050_ue_051_event_is_answered_in_its_form_before_the_ack(
    stage: Stage, data_type: str, data: Any
) -> None:
    client = await stage.connect("plain", JSON)
    event = {"type": "event", "event": "echo", "dataType": data_type, "data": data, "ackId": 1}
    message = {"type": "message", "from": "server", "dataType": data_type, "data": data}
    assert await client.ask(**event) == message
    assert await client.message() == {"type": "ack", "ackId": 1, "success": True}


async def test_ue_053_event_without_an_answer_has_nothing_but_an_ack(stage: Stage) -> None:
    client = await stage.connect("plain", JSON)
    event = {"type": "event", "event": "nothing", "dataType": "text", "data": "x", "ackId": 1}
    assert await client.ask(**event) == {"type": "ack", "ackId": 1, "success": True}
    await client.expect_silence()


@pytest.mark.parametrize("name", ["refuse", "broken"])
async def test_ue_057_refused_event_is_told_by_its_ack(stage: Stage, name: str) -> None:
    client = await stage.connect("plain", JSON)
    event = {"type": "event", "event": name, "dataType": "text", "data": "x", "ackId": 1}
    ack = await client.ask(**event)
    assert (ack["success"], ack["error"]["name"]) == (False, "InternalServerError")
    await client.expect_silence()


async def test_ue_038_ue_039_states_go_with_the_connection(stage: Stage) -> None:
    client = await stage.connect("changed", JSON)
    start = {"k": 1, "who": "Zoë"}
    assert (await stage.heard("connected", client.id))["states"] == start
    event: dict[str, Any] = {"type": "event", "dataType": "text", "data": "x"}
    for count in (1, 2):
        answer = await client.ask(**event, event="count", ackId=count)
        assert answer["data"] == {**start, "count": count}
        assert (await client.message())["success"] is True
    assert (await client.ask(**event, event="refuse", ackId=3))["success"] is False
    await client.socket.close()
    assert (await stage.heard("disconnected", client.id))["states"] == {**start, "count": 2}


async def test_ue_084_invocation_is_answered(stage: Stage) -> None:
    client = await stage.connect("plain", JSON)
    call: dict[str, Any] = {"type": "invoke", "target": "event", "dataType": "json"}
    answer = await client.ask(**call, invocationId="1", event="echo", data={"a": 1})
    expected = {"type": "invokeResponse", "invocationId": "1", "success": True}
    assert answer == {**expected, "dataType": "json", "data": {"a": 1}}
    answer = await client.ask(**call, invocationId="2", event="nothing", data={})
    assert answer == {**expected, "invocationId": "2"}
    answer = await client.ask(**call, invocationId="3", event="refuse", data={})
    assert (answer["success"], answer["error"]["name"]) == (False, "BadRequest")


async def test_ue_046_ue_050_ue_051_simple_client_gets_frames(stage: Stage) -> None:
    client = await stage.connect("plain")
    for frame in ("hi 🎈", BYTES):
        await client.socket.send(frame)
        assert await client.frame() == frame
    await client.socket.send("nothing")
    for count in (1, 2):
        await client.socket.send("count")
        answer = await client.frame()
        assert isinstance(answer, str)
        assert json.loads(answer) == {"count": count}


async def test_ue_056_simple_client_is_closed_when_its_event_is_refused(stage: Stage) -> None:
    client = await stage.connect("plain")
    await client.socket.send("refuse")
    assert await client.close_code() == 1011
    assert client.socket.close_reason != "no"


# --- Express with hardly any options ---------------------------------------------------------


async def test_ue_071_ue_001_ue_002_ue_003_ue_019_ue_046_middleware_without_options(
    applications: dict[str, Application], event_service: Service
) -> None:
    express = applications["express"]
    assert isinstance(express, ExpressApplication)
    text = event_service.connection_string
    async with ServiceClient.from_connection_string(text, "bare") as server:
        url = server.get_client_access_token(user_id="ann").url
        async with receiver(url) as client:
            await client.socket.send("hi")
            await client.socket.send(BYTES)
            await client.socket.send("end")
            seen = await express.seen(6)
            assert await server.user_exists("ann")
    events = [(entry["method"], entry["path"]) for entry in seen]
    assert events[:2] == [("OPTIONS", "/validate"), ("POST", "/connect")]
    assert sorted(events[2:]) == [("POST", "/connected"), *[("POST", "/message")] * 3]
    headers = seen[0]["headers"]
    assert headers["webhook-request-origin"] == "127.0.0.1"
    assert headers["ce-awpsversion"] == "1.0"
    assert not {"ce-signature", "cookie"} & headers.keys()
    messages = [entry for entry in seen if entry["path"] == "/message"]
    assert [(entry["headers"]["content-type"], entry["body"]) for entry in messages] == [
        ("text/plain", base64.b64encode(b"hi").decode()),
        ("application/octet-stream", BASE64),
        ("text/plain", base64.b64encode(b"end").decode()),
    ]


@pytest.mark.parametrize(("hub", "status"), [("allowed", None), ("foreign", 500)])
async def test_ue_005_ue_007_allowed_endpoints_decide(
    event_service: Service, hub: str, status: int | None
) -> None:
    text = event_service.connection_string
    async with ServiceClient.from_connection_string(text, hub) as server:
        url = server.get_client_access_token().url
        if status is None:
            async with receiver(url, JSON) as client:
                assert client.id
        else:
            with pytest.raises(InvalidStatus) as caught:
                async with receiver(url, JSON):
                    pass
            assert caught.value.response.status_code == status
