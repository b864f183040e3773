"""Event handlers and negotiators as request handlers of aiohttp's web server."""

from aiohttp import web
from multidict import CIMultiDict

from hubbub.appserver.answers import MAX_BODY_BYTES, HttpHandler


class AiohttpRoute:
    """Call `handler.aclose` in the application's `on_cleanup`."""

    def __init__(self, handler: HttpHandler) -> None:
        self._handler = handler

    async def __call__(self, request: web.Request) -> web.Response:
        body = bytearray()
        async for chunk in request.content.iter_any():
            body += chunk
            if len(body) > MAX_BODY_BYTES:
                return web.Response(status=413)
        answer = await self._handler.answer_http(
            request.method, request.query_string, list(request.headers.items()), bytes(body)
        )
        headers = CIMultiDict(answer.headers)
        return web.Response(status=answer.status, headers=headers, body=answer.body or None)
