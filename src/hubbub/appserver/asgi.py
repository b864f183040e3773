"""Event handlers and negotiators as ASGI apps, alone or mounted in any framework."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from hubbub.appserver.answers import MAX_BODY_BYTES, HandlerAnswer, HttpHandler

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class HandlerApp:
    """Answers on whatever path it is mounted.

    Served alone it ends the handler's tasks at shutdown; where it is mounted, the program calls
    the handler's `aclose`.
    """

    def __init__(self, handler: HttpHandler) -> None:
        self._handler = handler

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await self._answer(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1000})

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = await _read_body(receive)
        if isinstance(body, HandlerAnswer):
            answer = body
        elif body is None:
            return
        else:
            headers = [(_text(name), _text(value)) for name, value in scope["headers"]]
            query = _text(scope.get("query_string", b""))
            answer = await self._handler.answer_http(scope["method"], query, headers, body)
        lines = [(name.lower().encode(), value.encode()) for name, value in answer.headers]
        if answer.status != 204:
            lines.append((b"content-length", str(len(answer.body)).encode()))
        await send({"type": "http.response.start", "status": answer.status, "headers": lines})
        await send({"type": "http.response.body", "body": answer.body})

    async def _live(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                await send({"type": "lifespan.startup.complete"})
            elif message["type"] == "lifespan.shutdown":
                await self._handler.aclose()
                await send({"type": "lifespan.shutdown.complete"})
                return


async def _read_body(receive: Receive) -> bytes | HandlerAnswer | None:
    """The body; an answer when it is too large; None when the caller has gone."""
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        body += message.get("body", b"")
        if len(body) > MAX_BODY_BYTES:
            return HandlerAnswer(413)
        if not message.get("more_body", False):
            return bytes(body)


def _text(data: bytes) -> str:
    return data.decode("latin-1")
