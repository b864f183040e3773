"""Event handlers and negotiators as request handlers of aiohttp's web server."""

from collections.abc import Awaitable, Callable

from aiohttp import web
from multidict import CIMultiDict

from hubbub.appserver.answers import MAX_BODY_BYTES, HttpHandler

AiohttpRoute = Callable[[web.Request], Awaitable[web.Response]]
"""Call the handler's `aclose` in the application's `on_cleanup`."""


def aiohttp_route(handler: HttpHandler) -> AiohttpRoute:
    """A coroutine function, as aiohttp's router wants it; of other callables it warns."""

    async def route(request: web.Request) -> web.Response:
        body = bytearray()
        async for chunk in request.content.iter_any():
            body += chunk
            if len(body) > MAX_BODY_BYTES:
                return web.Response(status=413)
        answer = await handler.answer_http(
            request.method, request.query_string, list(request.headers.items()), bytes(body)
        )
        headers = CIMultiDict(answer.headers)
        return web.Response(status=answer.status, headers=headers, body=answer.body or None)

    return route
