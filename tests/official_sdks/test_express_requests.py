"""Single requests to the official Express middleware and to our event handler: the same answers.

Where the two differ on purpose, the test names both answers.
"""

import base64
import json
from collections.abc import AsyncIterator
from itertools import count

import httpx2
import pytest
import pytest_asyncio
from tests.official_sdks.handlers import Application, ExpressApplication, our_application
from tests.official_sdks.node_process import WAIT_S, NodeProcess

from hubbub.appserver import EventHandler

pytestmark = [pytest.mark.node, pytest.mark.asyncio(loop_scope="session")]

ORIGIN = {"WebHook-Request-Origin": "service.example"}
VERSION = {"ce-awpsversion": "1.0"}
_numbers = count()


class Middleware:
    def __init__(self, application: Application, http: httpx2.AsyncClient) -> None:
        self.hub = application.hub
        self.heard, self.release = application.heard, application.release
        self._template = application.url_template(application.hub)
        self._http = http

    def is_express(self) -> bool:
        return self.hub == "express"

    async def ask(self, headers: dict[str, str]) -> httpx2.Response:
        url = self._template.replace("{event}", "validate")
        return await self._http.request("OPTIONS", url, headers=headers)

    async def post(
        self, kind: str, body: bytes, *, content_type: str = "application/json", **more: str
    ) -> tuple[httpx2.Response, str]:
        """The answer to an event, and the connection that it was about."""
        connection_id = f"c{next(_numbers)}"
        headers = {
            **ORIGIN,
            **VERSION,
            "ce-type": f"azure.webpubsub.{kind}",
            "ce-eventName": kind.partition(".")[2],
            "ce-hub": self.hub,
            "ce-connectionId": connection_id,
            "Content-Type": content_type,
            **{f"ce-{name}": value for name, value in more.items()},
        }
        url = self._template.replace("{event}", "event")
        return await self._http.post(url, headers=headers, content=body), connection_id


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def applications() -> AsyncIterator[dict[str, Application]]:
    async with NodeProcess("express.mjs") as node, our_application() as ours:
        express = ExpressApplication(node)
        yield {express.hub: express, ours.hub: ours}


@pytest_asyncio.fixture(loop_scope="session", params=["express", "hubbub"])
async def middleware(
    request: pytest.FixtureRequest, applications: dict[str, Application]
) -> AsyncIterator[Middleware]:
    async with httpx2.AsyncClient(timeout=WAIT_S, trust_env=False) as http:
        yield Middleware(applications[request.param], http)


async def test_validation_without_allowed_endpoints_allows_all(middleware: Middleware) -> None:
    answer = await middleware.ask(ORIGIN | VERSION)
    assert answer.status_code == 200
    assert answer.headers.get_list("WebHook-Allowed-Origin") == ["*"]


async def test_ue_072_validation_without_version_is_passed_on(middleware: Middleware) -> None:
    answer = await middleware.ask(ORIGIN)
    assert answer.status_code == 404
    assert "WebHook-Allowed-Origin" not in answer.headers


async def test_ue_073_validation_without_origin_is_400(middleware: Middleware) -> None:
    assert (await middleware.ask(VERSION)).status_code == 400


async def test_ue_074_validation_with_allowed_endpoints_names_each_host(
    applications: dict[str, Application],
) -> None:
    url = applications["express"].url_template("allowed").replace("{event}", "validate")
    async with httpx2.AsyncClient(timeout=WAIT_S, trust_env=False) as http:
        answer = await http.request("OPTIONS", url, headers=ORIGIN | VERSION)
    theirs = answer.headers.get_list("WebHook-Allowed-Origin")
    assert (answer.status_code, theirs) == (200, ["other.example:444", "127.0.0.1"])
    endpoints = ["https://Other.example:444/x", "http://127.0.0.1"]
    ours = await EventHandler("allowed", allowed_endpoints=endpoints).handle(
        "OPTIONS", ORIGIN | VERSION
    )
    lines = [value for name, value in ours.headers if name == "WebHook-Allowed-Origin"]
    # A service gives its host without port: ours allows that too.
    assert lines == ["other.example:444", "other.example", "127.0.0.1"]


async def test_ue_075_hub_of_another_name_is_not_taken_but_of_another_case_is(
    middleware: Middleware,
) -> None:
    answer, connection_id = await middleware.post("sys.connect", b"{}", hub=middleware.hub.upper())
    assert answer.status_code == 204
    assert await middleware.heard("connect", connection_id) == {"userId": None, "states": {}}
    answer, _ = await middleware.post("sys.connect", b"{}", hub="other")
    assert answer.status_code == 404


async def test_event_of_an_unknown_type_is_not_taken(middleware: Middleware) -> None:
    answer, _ = await middleware.post("sys.unknown", b"{}")
    assert answer.status_code == 404


async def test_ue_076_user_event_in_an_unknown_form_is_not_taken(middleware: Middleware) -> None:
    answer, _ = await middleware.post("user.echo", b"<a/>", content_type="application/xml")
    assert answer.status_code == (404 if middleware.is_express() else 415)


@pytest.mark.parametrize(
    ("kind", "body"), [("sys.connect", b"{bad"), ("user.echo", b"{bad"), ("user.echo", b"")]
)
async def test_event_with_broken_json_fails(middleware: Middleware, kind: str, body: bytes) -> None:
    answer, _ = await middleware.post(kind, body)
    assert answer.status_code == (500 if middleware.is_express() else 400)


async def test_ue_077_accepted_connect_carries_answer_and_states(middleware: Middleware) -> None:
    body = json.dumps({"query": {"as": ["changed"]}}).encode()
    answer, _ = await middleware.post("sys.connect", body)
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "application/json; charset=utf-8"
    assert answer.json() == {
        "userId": "changed",
        "groups": ["vip"],
        "roles": ["webpubsub.sendToGroup.vip"],
    }
    states = base64.b64decode(answer.headers["ce-connectionState"], validate=True)
    assert json.loads(states) == {"k": 1, "who": "Zoë"}


@pytest.mark.parametrize(
    "state", ["not-base64-json", base64.b64encode(b"[1]").decode(), base64.b64encode(b"{").decode()]
)
async def test_ue_078_state_of_somebody_else_reads_as_empty(
    middleware: Middleware, state: str
) -> None:
    answer, _ = await middleware.post(
        "user.count", b"x", content_type="text/plain", connectionState=state
    )
    assert answer.json() == {"count": 1}
    states = base64.b64decode(answer.headers["ce-connectionState"], validate=True)
    assert json.loads(states) == {"count": 1}


async def test_ue_080_connected_is_answered_before_its_callback_ends(
    middleware: Middleware,
) -> None:
    answer, connection_id = await middleware.post("sys.connected", b"{}", userId="slow")
    assert answer.is_success
    assert answer.content == b""
    await middleware.heard("began", connection_id)
    await middleware.release(connection_id)
    assert await middleware.heard("connected", connection_id) == {"userId": "slow", "states": {}}


@pytest.mark.parametrize(
    ("sent_as", "answered_as", "body"),
    [
        ("text/plain", "text/plain; charset=utf-8", "hé".encode()),
        ("text/plain; charset=utf-8", "text/plain; charset=utf-8", "hé".encode()),
        ("application/json", "application/json; charset=utf-8", b'{"a":[1,"x",null]}'),
        ("application/json; charset=utf-8", "application/json; charset=utf-8", b'"x"'),
        ("application/octet-stream", "application/octet-stream", b"\x00\x01\xff"),
    ],
)
async def test_user_event_is_answered_in_its_form(
    middleware: Middleware, sent_as: str, answered_as: str, body: bytes
) -> None:
    answer, _ = await middleware.post("user.echo", body, content_type=sent_as)
    assert (answer.status_code, answer.content) == (200, body)
    assert answer.headers["Content-Type"] == answered_as


async def test_user_event_that_is_refused_has_status_and_text(middleware: Middleware) -> None:
    answer, _ = await middleware.post("user.refuse", b"x", content_type="text/plain")
    assert (answer.status_code, answer.text) == (400, "no")
    assert "ce-connectionState" not in answer.headers
    answer, _ = await middleware.post("user.nothing", b"x", content_type="text/plain")
    assert answer.is_success
    assert answer.content == b""
