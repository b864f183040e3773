"""Pages about the site itself, and what machines read about it."""

from __future__ import annotations

from http import HTTPStatus
from xml.sax.saxutils import escape

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from pkgstats.catalog import Catalog
from pkgstats.urls import package_path
from pkgstats.web import quality
from pkgstats.web.credits import credits
from pkgstats.web.feeds import FEED_ITEMS, FEED_KINDS
from pkgstats.web.render import Renderer, base

_FIXED = ("/", "/about", "/credits", "/sources", "/quality", "/feed", "/compare")


class AboutPages:
    """About, credits, sources, quality, feed; robots, sitemap, health."""

    def __init__(self, catalog: Catalog, renderer: Renderer) -> None:
        self._catalog = catalog
        self._renderer = renderer

    def routes(self) -> list[Route]:
        return [
            Route("/about", self.about),
            Route("/credits", self.credits),
            Route("/sources", self.sources),
            Route("/quality", self.quality),
            Route("/feed", self.feed),
            Route("/robots.txt", self.robots),
            Route("/sitemap.xml", self.sitemap),
            Route("/healthz", self.healthz),
        ]

    async def about(self, request: Request) -> Response:
        return self._renderer.html(request, "about.html")

    async def credits(self, request: Request) -> Response:
        return self._renderer.html(request, "credits.html", credits=credits())

    async def sources(self, request: Request) -> Response:
        sources = await self._catalog.sources()
        return self._renderer.html(request, "sources.html", sources=sources)

    async def quality(self, request: Request) -> Response:
        static = self._renderer.static
        return self._renderer.html(
            request,
            "quality.html",
            gates=quality.GATES,
            report=quality.report(),
            weights=[(name, static.packed_size(name)) for name in quality.WEIGHED],
        )

    async def feed(self, request: Request) -> Response:
        """The picks, newest first."""
        asked = request.query_params.get("kind", "all")
        kind = next((kind for kind in FEED_KINDS if kind == asked), None)
        if kind is None:
            raise HTTPException(HTTPStatus.NOT_FOUND)
        items = await self._catalog.feed(kind, FEED_ITEMS)
        return self._renderer.html(
            request, "feed.html", items=items, kind=kind, kinds=("all", *FEED_KINDS[:-1])
        )

    async def robots(self, request: Request) -> Response:
        lines = [
            "User-agent: *",
            "Disallow: /?search=",
            "Disallow: /watch",
            "Disallow: /negotiate",
            "Disallow: /api/",
            f"Sitemap: {base(request)}/sitemap.xml",
        ]
        return PlainTextResponse("\n".join(lines) + "\n")

    async def sitemap(self, request: Request) -> Response:
        """The fixed pages and every package that was seen here."""
        site = base(request)
        entries = [f"<url><loc>{escape(site + path)}</loc></url>" for path in _FIXED]
        entries += [
            f"<url><loc>{escape(site + package_path(name))}</loc>"
            f"<lastmod>{changed:%Y-%m-%d}</lastmod></url>"
            for name, changed in await self._catalog.known_names()
        ]
        body = (
            '<?xml version="1.0" encoding="UTF-8"?>\n'
            '<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">'
            + "".join(entries)
            + "</urlset>\n"
        )
        headers = {"cache-control": "public, max-age=3600"}
        return Response(body, headers=headers, media_type="application/xml")

    async def healthz(self, request: Request) -> Response:
        return PlainTextResponse("ok\n", headers={"cache-control": "no-store"})
