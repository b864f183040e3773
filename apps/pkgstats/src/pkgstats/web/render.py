"""From a template to an answer: filters, the values that every page needs, ETags."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import Response

from pkgstats.catalog import Catalog
from pkgstats.charts import lines, svg
from pkgstats.sources.state import AbilityState
from pkgstats.urls import package_path, search_path, user_path
from pkgstats.web import words
from pkgstats.web.kept import Rendered
from pkgstats.web.static_files import StaticFiles

THEME_COOKIE = "pkgstats_theme"
THEMES = ("light", "dark")
"""What the switch can say against the system; no cookie: the system decides."""

_STATE_MARKS = {
    AbilityState.ON: "",
    AbilityState.STALE: "stale",
    AbilityState.LIMITED: "stale",
    AbilityState.FAILING: "fail",
    AbilityState.SIMULATED: "sim",
}


class Renderer:
    """Makes the pages; holds the templates and the static files."""

    def __init__(self, catalog: Catalog, official_client: str = "") -> None:
        """`official_client`: file of another client module, see `Settings`."""
        self._catalog = catalog
        self.static = StaticFiles(official_client)
        self._templates = _environment(self.static, catalog.now)

    def html(
        self, request: Request, template: str, status: int = HTTPStatus.OK, **values: Any
    ) -> Response:
        """A page with an ETag; a reader that has the same bytes already gets 304."""
        page = self.render(request, template, **values)
        return self.answer(request, page, status)

    def render(self, request: Request, template: str, **values: Any) -> Rendered:
        """The bytes of a page."""
        html = self._templates.get_template(template).render(
            values,
            simulated=self._catalog.simulated,
            year=datetime.now(UTC).year,
            theme=theme(request),
            here=here(request),
            base=base(request),
        )
        return Rendered(html.encode())

    def answer(
        self, request: Request, page: Rendered, status: int = HTTPStatus.OK, *, kept: bool = False
    ) -> Response:
        """A rendered page as the reader takes it; `kept`: compress it once for everybody."""
        # Asked again each time: a copy kept for a minute would hide a live change on reload.
        headers = {"cache-control": "no-cache", "vary": "Cookie"}
        if status == HTTPStatus.OK:
            headers["etag"] = page.etag
            if request.headers.get("if-none-match") == page.etag:
                return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
        body = page.body
        if kept and "gzip" in request.headers.get("accept-encoding", ""):
            headers |= {"content-encoding": "gzip", "vary": "Cookie, Accept-Encoding"}
            body = page.compressed
        return Response(body, status, headers, "text/html; charset=utf-8")


def theme(request: Request) -> str:
    """What the visitor chose, "" when the system decides."""
    chosen = request.cookies.get(THEME_COOKIE, "")
    return chosen if chosen in THEMES else ""


def here(request: Request) -> str:
    """The address of this page, to come back to after a form."""
    query = request.url.query
    return raw_path(request) + (f"?{query}" if query else "")


def base(request: Request) -> str:
    """Scheme and host as the reader sees them."""
    return f"{request.url.scheme}://{request.url.netloc}"


def raw_path(request: Request) -> str:
    """The path as it came, percent-encoding and all: `%2F` and `/` differ."""
    raw: bytes = request.scope["raw_path"]
    return raw.decode("latin-1").partition("?")[0]


def own_path(text: str) -> str:
    """An address of this site, else home: a form must not lead to another one."""
    is_own = text.startswith("/") and not text.startswith(("//", "/\\")) and text.isprintable()
    return text if is_own and len(text) < 2_000 else "/"


def page_number(request: Request, most: int = 10_000) -> int:
    """The page of a list that is asked for; whatever is no number is the first."""
    text = request.query_params.get("page", "")
    is_number = text.isascii() and text.isdecimal() and len(text) < 10
    return min(max(int(text), 1), most) if is_number else 1


def _environment(static: StaticFiles, now: Callable[[], datetime]) -> Environment:
    """The templates. `now`: the time that ages are told by."""
    environment = Environment(
        loader=PackageLoader("pkgstats.web"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
    )
    environment.globals["has_official"] = static.has("official.js")
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
        "swatch": lambda position: Markup(lines.swatch(position)),
        "thousands": words.thousands,
        "user_url": user_path,
        "weekday": svg.day_words,
    }
    return environment


def _sparkline(sums: tuple[int | None, ...], width: int, height: int) -> Markup:
    return Markup(svg.sparkline(sums, width=width, height=height))
