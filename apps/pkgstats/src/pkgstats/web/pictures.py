"""Pictures by address: charts and badges to embed, cards to share."""

from __future__ import annotations

import asyncio
import hashlib
import importlib
import importlib.util
from http import HTTPStatus
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from pkgstats.catalog import Catalog
from pkgstats.charts import standalone, svg
from pkgstats.figures import BADGE_FACTS
from pkgstats.models import SIMULATED, PackageData
from pkgstats.urls import read_name
from pkgstats.web.choices import Picker
from pkgstats.web.render import raw_path

SVG = "image/svg+xml"
_HOUR_S, _DAY_S = 3_600, 86_400


def can_draw_png() -> bool:
    """Whether the optional drawing library is there; without it there are SVG cards only."""
    return importlib.util.find_spec("resvg_py") is not None


class Pictures:
    """Made from the store alone; each may be embedded by any site."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    def routes(self) -> list[Route]:
        return [
            Route("/chart/{name:path}", self.chart),
            Route("/badge/{name:path}", self.badge),
            Route("/share/{name:path}", self.share),
        ]

    async def chart(self, request: Request) -> Response:
        """`/chart/NAME.svg?range=…&by=…&theme=dark`."""
        chosen = Picker("", "").read(request.query_params)
        name = _name(request, "/chart/", ".svg")
        series = await self._catalog.series(name, chosen.range, chosen.by)
        if series is None:
            raise HTTPException(HTTPStatus.NOT_FOUND)
        points = svg.drawn(series.points)
        drawn = svg.column_chart(
            series.name, points, series.by, simulated=series.simulated, size="ml"
        )
        is_dark = request.query_params.get("theme") == "dark"
        heading = svg.title_words(series.name, points, series.by, series.simulated)
        return _answer(request, standalone.chart(drawn, heading, dark=is_dark), SVG, _HOUR_S)

    async def badge(self, request: Request) -> Response:
        """`/badge/NAME.svg`, `?show=version` for another fact than the downloads."""
        show = request.query_params.get("show", "downloads")
        fact = next((known for known in BADGE_FACTS if known == show), None)
        if fact is None:
            raise HTTPException(HTTPStatus.NOT_FOUND)
        found = await self._catalog.badge(_name(request, "/badge/", ".svg"), fact)
        if found is None:
            raise HTTPException(HTTPStatus.NOT_FOUND)
        value = f"{found.value} ({SIMULATED})" if found.simulated else found.value
        return _answer(request, standalone.badge(found.label, value), SVG, _HOUR_S)

    async def share(self, request: Request) -> Response:
        """`/share/NAME.png` (404 where nothing can draw it) and `.svg`."""
        is_png = raw_path(request).endswith(".png")
        if is_png and not can_draw_png():
            raise HTTPException(HTTPStatus.NOT_FOUND)
        name = _name(request, "/share/", ".png" if is_png else ".svg")
        data = await self._catalog.package(name)
        if not isinstance(data, PackageData):
            raise HTTPException(HTTPStatus.NOT_FOUND)
        card = standalone.card(data)
        if not is_png:
            return _answer(request, card, SVG, _DAY_S)
        return _answer(request, await asyncio.to_thread(_png, card), "image/png", _DAY_S)


def _name(request: Request, prefix: str, suffix: str) -> str:
    name = read_name(raw_path(request), prefix, suffix)
    if name is None:
        raise HTTPException(HTTPStatus.NOT_FOUND)
    return name


def _png(card: str) -> bytes:
    drawer: Any = importlib.import_module("resvg_py")
    return bytes(
        drawer.svg_to_bytes(
            svg_string=card, font_family="Liberation Sans", monospace_family="Liberation Mono"
        )
    )


def _answer(request: Request, content: str | bytes, media_type: str, age_s: int) -> Response:
    body = content.encode() if isinstance(content, str) else content
    headers = {
        "cache-control": f"public, max-age={age_s}",
        "etag": f'W/"{hashlib.sha256(body).hexdigest()[:32]}"',
        "cross-origin-resource-policy": "cross-origin",
    }
    if request.headers.get("if-none-match") == headers["etag"]:
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    return Response(body, headers=headers, media_type=media_type)
