"""The web application put together: routes, headers, error pages."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hubbub.appserver import EventHandler, ServiceClient
from pkgstats.catalog import Catalog
from pkgstats.live import negotiate
from pkgstats.live.groups import Watchers
from pkgstats.settings import Settings
from pkgstats.web import api, feeds, pages
from pkgstats.web.about import AboutPages
from pkgstats.web.curator import CuratorPages
from pkgstats.web.pictures import Pictures
from pkgstats.web.reading import ReadingPages
from pkgstats.web.render import Renderer
from pkgstats.web.visitor import VisitorPages, remember, visitor_of


@dataclass(frozen=True, slots=True)
class Live:
    """What the pages need of hubbub."""

    client: ServiceClient
    handler: EventHandler
    watchers: Watchers

    def socket_origin(self) -> str:
        """Scheme, host and port to which pages connect."""
        parts = urlsplit(self.client.get_client_access_token(minutes_to_expire=1).base_url)
        return f"{parts.scheme}://{parts.netloc}"


def create_app(catalog: Catalog, live: Live, settings: Settings) -> ASGIApp:
    """The site as an ASGI app; catalog and live parts belong to the caller."""
    renderer = Renderer(catalog, official_client=settings.official_client)
    curators = CuratorPages(settings.curator, renderer, live.client, live.watchers)
    site = _Site(live, renderer, curators)
    reading = ReadingPages(catalog, renderer)
    app = Starlette(
        routes=[
            Route("/static/{name}", site.static),
            *AboutPages(catalog, renderer).routes(),
            *VisitorPages(catalog, renderer).routes(),
            *curators.routes(),
            *feeds.routes(catalog),
            *Pictures(catalog).routes(),
            Route("/compare", reading.compare_form),
            Route("/negotiate", site.negotiate),
            *api.routes(catalog),
            Route("/eventhandler", live.handler.asgi()),
            Route("/{path:path}", reading.page),
        ],
        middleware=[
            Middleware(GZipMiddleware, minimum_size=1000),
        ],
        exception_handlers={HTTPException: site.http_error, Exception: site.failure},
    )
    # Outside of everything, so that the answer to a fault of ours has the headers too.
    return _SafeHeaders(app, _policy(live.socket_origin(), settings))


class _Site:
    """What is no page: files, tokens, errors."""

    def __init__(self, live: Live, renderer: Renderer, curators: CuratorPages) -> None:
        self._live = live
        self._renderer = renderer
        self._curators = curators

    async def static(self, request: Request) -> Response:
        answer = self._renderer.static.answer(request)
        if answer is None:
            raise HTTPException(HTTPStatus.NOT_FOUND)
        return answer

    async def negotiate(self, request: Request) -> Response:
        """`{"url": …}`: a Client Access URL for the page that asks."""
        if not negotiate.is_same_origin(request.headers, request.url.netloc):
            raise HTTPException(HTTPStatus.FORBIDDEN, "Only pages of this site may ask.")
        grant = negotiate.grant_for(
            request.query_params.get("for", "/"), is_curator=self._curators.is_curator(request)
        )
        known = visitor_of(request)
        is_terminal = request.query_params.get("as") == "terminal"
        visitor = known or negotiate.new_visitor_id()
        user_id = negotiate.TERMINAL + visitor if is_terminal else visitor
        url = negotiate.access_url(self._live.client, user_id, grant)
        answer = JSONResponse({"url": url}, headers={"cache-control": "no-store"})
        if known is None and not is_terminal:
            remember(request, answer, visitor)
        return answer

    async def http_error(self, request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        status = HTTPStatus(error.status_code)
        if request.url.path.startswith(("/api/", "/negotiate")):
            return api.error_response(status, error.detail, status.name.lower(), error.headers)
        if status == HTTPStatus.NOT_FOUND:
            page = pages.NotFoundPage("No such page", "There is no page at", request.url.path)
        else:
            page = pages.NotFoundPage(status.phrase, error.detail)
        answer = self._renderer.html(request, "not_found.html", status, page=page)
        answer.headers.update(error.headers or {})
        return answer

    async def failure(self, request: Request, error: Exception) -> Response:
        """A fault of ours; Starlette logs it. The page needs nothing that may be broken."""
        page = pages.NotFoundPage(
            "Something is broken here", "This page could not be made. The fault is ours."
        )
        status = HTTPStatus.INTERNAL_SERVER_ERROR
        return self._renderer.html(request, "not_found.html", status, page=page)


def _policy(socket_origin: str, settings: Settings) -> str:
    """Content-Security-Policy: everything from here, and the socket to hubbub."""
    images = "'self' https:" if settings.images == "direct" else "'self'"
    return "; ".join(
        [
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            f"img-src {images}",
            f"connect-src 'self' {socket_origin}",
            "form-action 'self'",
            "base-uri 'none'",
            "frame-ancestors 'none'",
        ]
    )


class _SafeHeaders:
    """Puts the security headers on every answer; pictures to embed may say otherwise for one."""

    def __init__(self, app: ASGIApp, policy: str) -> None:
        self._app = app
        self._headers = {
            "content-security-policy": policy,
            "x-content-type-options": "nosniff",
            "referrer-policy": "same-origin",
            "cross-origin-opener-policy": "same-origin",
            "cross-origin-resource-policy": "same-origin",
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self._headers.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, send_with_headers)
