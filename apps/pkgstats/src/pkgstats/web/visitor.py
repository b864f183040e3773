"""What a visitor decides: stars and the theme. Plain forms, so that all works without script."""

from __future__ import annotations

from http import HTTPStatus
from urllib.parse import parse_qs

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from pkgstats.catalog import Catalog
from pkgstats.live import negotiate
from pkgstats.web.render import THEME_COOKIE, THEMES, Renderer, own_path

MAX_FORM = 4_096
_YEAR_S = 365 * 24 * 3600


class VisitorPages:
    """The watch list and the switches. A visitor is a random id in a cookie, nothing more."""

    def __init__(self, catalog: Catalog, renderer: Renderer) -> None:
        self._catalog = catalog
        self._renderer = renderer

    def routes(self) -> list[Route]:
        return [
            Route("/watch", self.watch, methods=["GET"]),
            Route("/watch", self.change, methods=["POST"]),
            Route("/theme", self.theme, methods=["POST"]),
        ]

    async def watch(self, request: Request) -> Response:
        """The visitor's stars, newest change first."""
        visitor = visitor_of(request)
        stars = await self._catalog.stars(visitor) if visitor else []
        return self._renderer.html(request, "watch.html", stars=stars, visitor=visitor)

    async def change(self, request: Request) -> Response:
        """Star or unstar one package, then back to where the visitor was."""
        form = await read_form(request)
        name, back = form.get("name", ""), own_path(form.get("back", "/watch"))
        answer = RedirectResponse(back, HTTPStatus.SEE_OTHER)
        visitor = visitor_of(request)
        if form.get("do") == "unstar":
            if visitor:
                await self._catalog.unstar(visitor, name)
            return answer
        if visitor is None:
            visitor = negotiate.new_visitor_id()
            remember(request, answer, visitor)
        if not await self._catalog.star(visitor, name):
            raise HTTPException(HTTPStatus.BAD_REQUEST, "No package name, or too many stars.")
        return answer

    async def theme(self, request: Request) -> Response:
        """Light, dark, or what the system says."""
        form = await read_form(request)
        answer = RedirectResponse(own_path(form.get("back", "/")), HTTPStatus.SEE_OTHER)
        chosen = form.get("theme", "")
        if chosen in THEMES:
            answer.set_cookie(THEME_COOKIE, chosen, max_age=_YEAR_S, httponly=True, samesite="lax")
        else:
            answer.delete_cookie(THEME_COOKIE)
        return answer


def visitor_of(request: Request) -> str | None:
    """The visitor's anonymous id; None: somebody without a cookie."""
    return negotiate.visitor_id(request.cookies.get(negotiate.VISITOR_COOKIE))


def remember(request: Request, answer: Response, visitor: str) -> None:
    """Let the browser keep the visitor's id."""
    answer.set_cookie(
        negotiate.VISITOR_COOKIE,
        visitor,
        max_age=negotiate.VISITOR_COOKIE_LIFE_S,
        secure=request.url.scheme == "https",
        httponly=True,
        samesite="lax",
    )


async def read_form(request: Request) -> dict[str, str]:
    """The fields of a small form of one of our own pages."""
    if not negotiate.is_same_origin(request.headers, request.url.netloc):
        raise HTTPException(HTTPStatus.FORBIDDEN, "Only pages of this site may do that.")
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > MAX_FORM:
            raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "The form is too large.")
    fields = parse_qs(body.decode("utf-8", "replace"), keep_blank_values=True)
    return {name: values[0] for name, values in fields.items()}
