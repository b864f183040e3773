"""The web application put together: routes, headers, error pages."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from urllib.parse import urlsplit

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hubbub.appserver import EventHandler, ServiceClient
from pkgstats.catalog import Catalog
from pkgstats.charts import svg
from pkgstats.grammar import HomeQuery, NameQuery, PackageQuery, ScopeQuery, SearchQuery, UserQuery
from pkgstats.live import negotiate
from pkgstats.models import AbilityState, NotFound, NotFoundReason
from pkgstats.settings import Settings
from pkgstats.urls import address, package_path, read_path, search_path
from pkgstats.web import api, feeds, pages, words
from pkgstats.web.static_files import StaticFiles

_log = logging.getLogger(__name__)

NOTE_NO_PEOPLE = "Users and scopes have no page here yet, so the name was searched for."
MAX_PAGE = 10_000

_STATE_MARKS = {
    AbilityState.ON: "",
    AbilityState.STALE: "stale",
    AbilityState.LIMITED: "stale",
    AbilityState.FAILING: "fail",
    AbilityState.SIMULATED: "sim",
}


@dataclass(frozen=True, slots=True)
class Live:
    """What the pages need of hubbub."""

    client: ServiceClient
    handler: EventHandler

    def socket_origin(self) -> str:
        """Scheme, host and port to which pages connect."""
        parts = urlsplit(self.client.get_client_access_token(minutes_to_expire=1).base_url)
        return f"{parts.scheme}://{parts.netloc}"


def create_app(catalog: Catalog, live: Live, settings: Settings) -> ASGIApp:
    """The site as an ASGI app; catalog and live parts belong to the caller."""
    site = _Site(catalog, live)
    app = Starlette(
        routes=[
            Route("/static/{name}", site.static),
            Route("/healthz", site.healthz),
            Route("/sources", site.sources),
            Route("/about", site.about),
            Route("/negotiate", site.negotiate),
            *api.routes(catalog),
            *feeds.routes(catalog),
            Route("/eventhandler", live.handler.asgi()),
            Route("/{path:path}", site.page),
        ],
        middleware=[
            Middleware(GZipMiddleware, minimum_size=1000),
        ],
        exception_handlers={HTTPException: site.http_error, Exception: site.failure},
    )
    # Outside of everything, so that the answer to a fault of ours has the headers too.
    return _SafeHeaders(app, _policy(live.socket_origin(), settings))


class _Site:
    """The pages. Each answers from what the catalog knows; none waits for more than it does."""

    def __init__(self, catalog: Catalog, live: Live) -> None:
        self._catalog = catalog
        self._live = live
        self._static = StaticFiles()
        self._templates = _environment(self._static, catalog.now)

    async def page(self, request: Request) -> Response:
        """Every address that the box can lead to."""
        raw_path = _raw_path(request)
        route = read_path(raw_path, request.url.query)
        match route:
            case HomeQuery():
                return await self._home(request)
            case PackageQuery(name, version) if raw_path == "/":
                return RedirectResponse(package_path(name, version), HTTPStatus.SEE_OTHER)
            case PackageQuery(name, version):
                if raw_path != address(route):
                    return RedirectResponse(address(route), HTTPStatus.PERMANENT_REDIRECT)
                return await self._package(request, name, version)
            case SearchQuery(text, note):
                return await self._results(request, text, note)
            case NameQuery(name) | UserQuery(name) | ScopeQuery(name) if raw_path == "/":
                return await self._results(request, name, NOTE_NO_PEOPLE)
            case _:
                raise HTTPException(HTTPStatus.NOT_FOUND)

    async def _home(self, request: Request) -> Response:
        return self._html(request, "home.html", home=await self._catalog.home())

    async def _results(self, request: Request, text: str, note: str) -> Response:
        page = _page_number(request.query_params.get("page"))
        result = await self._catalog.search(text, page)
        notes = " ".join(filter(None, (note, result.note)))
        box = request.query_params.get("search", "")
        return self._html(request, "results.html", result=result, note=notes, text=box)

    async def _package(self, request: Request, name: str, version: str | None) -> Response:
        data = await self._catalog.package(name, version)
        box = f"pkg:{name}" + (f"@{version}" if version else "")
        if isinstance(data, NotFound):
            is_down = data.reason is NotFoundReason.NO_ANSWER
            status = HTTPStatus.SERVICE_UNAVAILABLE if is_down else HTTPStatus.NOT_FOUND
            page = pages.not_found_page(data)
            return self._html(request, "not_found.html", status, page=page, text=box)
        return self._html(request, "package.html", page=pages.package_page(data), text=box)

    async def sources(self, request: Request) -> Response:
        return self._html(request, "sources.html", sources=await self._catalog.sources())

    async def about(self, request: Request) -> Response:
        return self._html(request, "about.html")

    async def healthz(self, request: Request) -> Response:
        return PlainTextResponse("ok\n", headers={"cache-control": "no-store"})

    async def static(self, request: Request) -> Response:
        answer = self._static.answer(request)
        if answer is None:
            raise HTTPException(HTTPStatus.NOT_FOUND)
        return answer

    async def negotiate(self, request: Request) -> Response:
        """`{"url": …}`: a Client Access URL for the page that asks."""
        if not negotiate.is_same_origin(request.headers, request.url.netloc):
            raise HTTPException(HTTPStatus.FORBIDDEN, "Only pages of this site may ask.")
        known = negotiate.visitor_id(request.cookies.get(negotiate.VISITOR_COOKIE))
        visitor = known or negotiate.new_visitor_id()
        group = negotiate.group_of(request.query_params.get("for", "/"))
        url = negotiate.access_url(self._live.client, visitor, group)
        answer = JSONResponse({"url": url}, headers={"cache-control": "no-store"})
        if known is None:
            answer.set_cookie(
                negotiate.VISITOR_COOKIE,
                visitor,
                max_age=negotiate.VISITOR_COOKIE_LIFE_S,
                secure=request.url.scheme == "https",
                httponly=True,
                samesite="lax",
            )
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
        answer = self._html(request, "not_found.html", status, page=page)
        answer.headers.update(error.headers or {})
        return answer

    async def failure(self, request: Request, error: Exception) -> Response:
        """A fault of ours; Starlette logs it. The page needs nothing that may be broken."""
        page = pages.NotFoundPage(
            "Something is broken here", "This page could not be made. The fault is ours."
        )
        return self._html(request, "not_found.html", HTTPStatus.INTERNAL_SERVER_ERROR, page=page)

    def _html(
        self, request: Request, template: str, status: int = HTTPStatus.OK, **values: object
    ) -> Response:
        """A page with an ETag; a reader that has the same bytes already gets 304."""
        html = self._templates.get_template(template).render(
            values, simulated=self._catalog.simulated, year=datetime.now(UTC).year
        )
        body = html.encode()
        # Asked again each time: a copy kept for a minute would hide a live change on reload.
        headers = {"cache-control": "no-cache"}
        if status == HTTPStatus.OK:
            headers["etag"] = f'W/"{hashlib.sha256(body).hexdigest()[:32]}"'
            if request.headers.get("if-none-match") == headers["etag"]:
                return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
        return Response(body, status, headers, "text/html; charset=utf-8")


def _environment(static: StaticFiles, now: Callable[[], datetime]) -> Environment:
    """The templates. `now`: the time that ages are told by."""
    environment = Environment(
        loader=PackageLoader("pkgstats.web"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
    )
    environment.filters |= {
        "age": lambda value: words.age(value, now()),
        "block_words": lambda block: words.BLOCK_WORDS[block],
        "day": words.day,
        "mark": lambda state: words.MARKS[state],
        "moment": words.moment,
        "origin_words": lambda origin: words.origin_words(origin, now()),
        "packages": words.packages,
        "package_url": package_path,
        "search_url": search_path,
        "short": words.short,
        "size": words.size,
        "sparkline": _sparkline,
        "state_mark": lambda state: _STATE_MARKS.get(state, "none"),
        "static": static.address,
        "thousands": words.thousands,
        "weekday": svg.day_words,
    }
    return environment


def _sparkline(sums: tuple[int | None, ...], width: int, height: int) -> Markup:
    return Markup(svg.sparkline(sums, width=width, height=height))


def _raw_path(request: Request) -> str:
    """The path as it came, percent-encoding and all: `%2F` and `/` differ."""
    raw: bytes = request.scope["raw_path"]
    return raw.decode("latin-1").partition("?")[0]


def _page_number(text: str | None) -> int:
    return min(int(text), MAX_PAGE) if text and text.isdecimal() and int(text) else 1


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
    """Puts the security headers on every answer."""

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
                MutableHeaders(scope=message).update(self._headers)
            await send(message)

        await self._app(scope, receive, send_with_headers)
