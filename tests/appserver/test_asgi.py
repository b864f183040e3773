"""The ASGI app: bodies, header bytes, lifespan, and life below a path of another app."""

import asyncio
from collections.abc import Iterable
from typing import Any

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from hubbub.appserver import ConnectedRequest, ConnectRequest, EventHandler, UserEventRequest
from hubbub.appserver.asgi import MAX_BODY_BYTES
from hubbub.protocol import cloudevents

HEADERS = {
    "WebHook-Request-Origin": "service.example",
    "ce-awpsversion": "1.0",
    "ce-hub": "chat",
    "ce-connectionId": "c1",
}


@pytest.fixture
def handler() -> EventHandler:
    handler = EventHandler(
        "chat", allowed_endpoints=["https://service.example", "https://b.example"]
    )

    @handler.on_event("*")
    async def event(request: UserEventRequest) -> str:
        return f"{request.context.user_id}: {request.data}"

    return handler


def event_headers(**more: str) -> dict[str, str]:
    return HEADERS | {"ce-type": "azure.webpubsub.user.e", "Content-Type": "text/plain"} | more


def client(app: Any) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(
        transport=httpx2.ASGITransport(app), base_url="http://handler.example"
    )


async def test_app_alone_answers_on_every_path(handler: EventHandler) -> None:
    async with client(handler.asgi()) as http:
        for path in ("/", "/api/chat/e", "/x?code=s"):
            answer = await http.post(path, headers=event_headers(), content=b"hi")
            assert (answer.status_code, answer.text) == (200, "None: hi")
            assert answer.headers["content-length"] == "8"


async def test_app_mounted_in_starlette_answers_below_its_path(handler: EventHandler) -> None:
    app = Starlette(routes=[Mount("/eventhandler", handler.asgi())])
    async with client(app) as http:
        answer = await http.request(
            "OPTIONS",
            "/eventhandler/validate",
            headers=cloudevents.validation_headers("service.example"),
        )
        assert answer.status_code == 200
        assert answer.headers.get_list("webhook-allowed-origin") == ["service.example", "b.example"]
        answer = await http.post("/eventhandler/e", headers=event_headers(), content=b"hi")
        assert answer.text == "None: hi"
        assert (await http.post("/elsewhere", headers=event_headers())).status_code == 404


async def test_ue_066_user_id_of_raw_utf8_bytes_is_read(handler: EventHandler) -> None:
    pairs = [(name.encode(), value.encode()) for name, value in event_headers().items()]
    pairs.append((b"ce-userId", "Zoë".encode()))
    async with client(handler.asgi()) as http:
        answer = await http.post("/", headers=pairs, content=b"hi")
    assert answer.text == "Zoë: hi"


async def test_answer_without_body_is_204_without_length(handler: EventHandler) -> None:
    @handler.on_connect
    async def connect(request: ConnectRequest) -> None:
        return None

    async with client(handler.asgi()) as http:
        answer = await http.post(
            "/", headers=HEADERS | {"ce-type": "azure.webpubsub.sys.connect"}, content=b"{}"
        )
    assert answer.status_code == 204
    assert "content-length" not in answer.headers


# --- the protocol itself ---------------------------------------------------------------------


async def run(app: Any, scope: dict[str, Any], messages: Iterable[dict[str, Any]]) -> list[Any]:
    """Run the app on given messages; what it sends."""
    incoming = iter(messages)
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return next(incoming)

    async def send(message: Any) -> None:
        sent.append(message)

    await app(scope, receive, send)
    return sent


def http_scope(headers: dict[str, str]) -> dict[str, Any]:
    pairs = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    return {"type": "http", "method": "POST", "headers": pairs}


async def test_body_in_parts_is_put_together(handler: EventHandler) -> None:
    sent = await run(
        handler.asgi(),
        http_scope(event_headers()),
        [
            {"type": "http.request", "body": b"h", "more_body": True},
            {"type": "http.request", "more_body": True},
            {"type": "http.request", "body": b"i"},
        ],
    )
    assert sent[0]["status"] == 200
    assert sent[1]["body"] == b"None: hi"


async def test_body_at_the_limit_is_read_and_beyond_it_is_413(handler: EventHandler) -> None:
    half = b"x" * (MAX_BODY_BYTES // 2)
    full: list[dict[str, Any]] = [
        {"type": "http.request", "body": half, "more_body": True},
        {"type": "http.request", "body": half},
    ]
    sent = await run(handler.asgi(), http_scope(event_headers()), full)
    assert sent[0]["status"] == 200
    # The rest of a body that is too large is not waited for: the script has no third message.
    full[1] = {"type": "http.request", "body": half + b"x", "more_body": True}
    sent = await run(handler.asgi(), http_scope(event_headers()), full)
    assert sent[0]["status"] == 413


async def test_caller_that_goes_away_gets_no_answer_and_no_callback_runs(
    handler: EventHandler,
) -> None:
    messages: list[dict[str, Any]] = [
        {"type": "http.request", "body": b"h", "more_body": True},
        {"type": "http.disconnect"},
    ]
    assert await run(handler.asgi(), http_scope(event_headers()), messages) == []


async def test_shutdown_waits_for_notification_callbacks(handler: EventHandler) -> None:
    may_end, ended = asyncio.Event(), asyncio.Event()

    @handler.on_connected
    async def connected(request: ConnectedRequest) -> None:
        await may_end.wait()
        ended.set()

    app = handler.asgi()
    headers = HEADERS | {"ce-type": "azure.webpubsub.sys.connected"}
    sent = await run(app, http_scope(headers), [{"type": "http.request", "body": b"{}"}])
    assert sent[0]["status"] == 204
    asyncio.get_running_loop().call_soon(may_end.set)
    sent = await run(
        app, {"type": "lifespan"}, [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]
    )
    assert [message["type"] for message in sent] == [
        "lifespan.startup.complete",
        "lifespan.shutdown.complete",
    ]
    assert ended.is_set()


async def test_websocket_on_the_handler_is_closed(handler: EventHandler) -> None:
    sent = await run(handler.asgi(), {"type": "websocket"}, [{"type": "websocket.connect"}])
    assert sent == [{"type": "websocket.close", "code": 1000}]
