"""What other programs follow: picks as Atom and JSON Feed, the numbers of a chart as CSV."""

from __future__ import annotations

import csv
import io
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, Literal, get_args
from xml.etree import ElementTree

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from pkgstats import urls
from pkgstats.catalog import Catalog
from pkgstats.models import SIMULATED, FeedItem, NotFound, Series
from pkgstats.web.api import BadQuestion, conditional, read_range

FeedKind = Literal["popular", "newest", "random", "all"]
FEED_KINDS: tuple[FeedKind, ...] = get_args(FeedKind)
FEED_ITEMS = 50
FEED_FOR = "public, max-age=300"
CHART_FOR = "public, max-age=3600"
ATOM = "http://www.w3.org/2005/Atom"
JSON_FEED = "https://jsonfeed.org/version/1.1"

_IDS = uuid.UUID("7f1c1f5e-6b0e-5a3e-9a53-6a1f5d1f0c11")
"""Namespace of the entries' ids: the same pick has the same id, wherever the site stands."""
_EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


def routes(catalog: Catalog) -> list[Route]:
    """Feeds and tables; the page /feed itself is the web application's."""
    feeds = _Feeds(catalog)
    return [
        Route("/feed/{kind}.atom", feeds.atom),
        Route("/feed.json", feeds.json),
        Route("/chart/{name:path}.csv", feeds.csv),
    ]


class _Feeds:
    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    async def atom(self, request: Request) -> Response:
        kind = request.path_params["kind"]
        if kind not in FEED_KINDS:
            raise HTTPException(HTTPStatus.NOT_FOUND)
        items = await self._catalog.feed(kind, FEED_ITEMS)
        body = atom(items, kind, site_of(request), simulated=self._catalog.simulated)
        return conditional(request, body, "application/atom+xml", FEED_FOR)

    async def json(self, request: Request) -> Response:
        items = await self._catalog.feed("all", FEED_ITEMS)
        body = json_feed(items, site_of(request), simulated=self._catalog.simulated)
        return conditional(request, body, "application/feed+json", FEED_FOR)

    async def csv(self, request: Request) -> Response:
        raw: bytes = request.scope["raw_path"]
        name = urls.read_name(raw.decode("latin-1").partition("?")[0], "/chart/", ".csv")
        if name is None:
            raise HTTPException(HTTPStatus.NOT_FOUND)
        try:
            range_, by = read_range(request.query_params)
        except BadQuestion as error:
            return PlainTextResponse(f"{error}\n", HTTPStatus.BAD_REQUEST)
        page = await self._catalog.package(name)
        found = await self._catalog.series(name, range_, by)
        if isinstance(page, NotFound) or found is None:
            raise HTTPException(HTTPStatus.NOT_FOUND)
        file = f"{name.removeprefix('@').replace('/', '-')}-{range_}-{by}.csv"
        return conditional(
            request,
            series_csv(found).encode(),
            "text/csv",
            CHART_FOR,
            **{"content-disposition": f'attachment; filename="{file}"'},
        )


def site_of(request: Request) -> str:
    """Scheme and host under which the reader knows this site."""
    return f"{request.url.scheme}://{request.url.netloc}"


def entry_id(item: FeedItem) -> str:
    """A stable id: does not change with the site's address, the title or the order."""
    return uuid.uuid5(_IDS, f"{item.kind}/{item.name}/{item.created_at.isoformat()}").urn


def atom(items: Sequence[FeedItem], kind: FeedKind, site: str, *, simulated: bool) -> bytes:
    """An Atom feed (RFC 4287). `site`: scheme and host, for absolute links."""
    label = f" ({SIMULATED})" if simulated else ""
    feed = ElementTree.Element("feed", {"xmlns": ATOM})
    _add(feed, "id", uuid.uuid5(_IDS, kind).urn)
    _add(feed, "title", f"pkgstats: {_KIND_WORDS[kind]}{label}")
    _add(feed, "updated", _time(max((item.created_at for item in items), default=_EPOCH)))
    _add(feed, "link", rel="self", type="application/atom+xml", href=site + urls.feed_path(kind))
    _add(feed, "link", rel="alternate", type="text/html", href=f"{site}/feed")
    author = _add(feed, "author")
    _add(author, "name", "pkgstats")
    for item in items:
        entry = _add(feed, "entry")
        _add(entry, "id", entry_id(item))
        _add(entry, "title", _plain(item.title + label))
        _add(entry, "updated", _time(item.created_at))
        _add(entry, "link", rel="alternate", href=site + urls.package_path(item.name))
        _add(entry, "category", term=item.kind)
        _add(entry, "summary", _plain(item.reason))
    text: bytes = ElementTree.tostring(feed, encoding="utf-8", xml_declaration=True)
    return text


def json_feed(items: Sequence[FeedItem], site: str, *, simulated: bool) -> bytes:
    """A JSON Feed, version 1.1."""
    feed: dict[str, Any] = {
        "version": JSON_FEED,
        "title": "pkgstats: " + _KIND_WORDS["all"] + (f" ({SIMULATED})" if simulated else ""),
        "home_page_url": f"{site}/feed",
        "feed_url": f"{site}/feed.json",
        "items": [
            {
                "id": entry_id(item),
                "url": site + urls.package_path(item.name),
                "title": item.title,
                "content_text": item.reason,
                "date_published": _time(item.created_at),
                "tags": [item.kind],
            }
            for item in items
        ],
    }
    if simulated:
        feed["_pkgstats"] = {"simulated": True}
    return msgspec.json.encode(feed)


def series_csv(found: Series) -> str:
    """Start, end, downloads, days without a figure; a point without any figure is left empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    columns = ["start", "end", "downloads", "missing_days"]
    writer.writerow([*columns, "simulated"] if found.simulated else columns)
    for point in found.points:
        row = [point.start, point.end, "" if point.count is None else point.count, point.missing]
        writer.writerow([*row, "true"] if found.simulated else row)
    return text.getvalue()


_KIND_WORDS: dict[FeedKind, str] = {
    "popular": "popular packages",
    "newest": "newest packages",
    "random": "random packages",
    "all": "every pick",
}


def _add(
    parent: ElementTree.Element, tag: str, text: str = "", **values: str
) -> ElementTree.Element:
    element = ElementTree.SubElement(parent, tag, values)
    element.text = text or None
    return element


def _plain(text: str) -> str:
    """Without the control characters that XML cannot hold at all."""
    return "".join(char if char.isprintable() else " " for char in text)


def _time(value: datetime) -> str:
    return value.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
