"""The whole way with the real source: recorded exchanges behind the addresses that are asked.

Unlike the demonstration this is what `serve` does when every source offers everything.
"""

import json
import logging
import re
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import httpx2
import pytest
from starlette.applications import Starlette

from pkgstats import catalog as catalog_module
from pkgstats.catalog import Catalog, open_catalog
from pkgstats.models import Block, OriginState, PackageData
from pkgstats.settings import Settings
from pkgstats.sources.choose import ABILITIES, Chosen, Place
from pkgstats.sources.http import HttpSource
from pkgstats.sources.npmrc import Found, NpmConfig
from pkgstats.sources.recorded import data_json
from pkgstats.sources.state import AbilityState
from pkgstats.web import api, feeds

NOW = datetime(2026, 7, 1, 6, 0, tzinfo=UTC)
REGISTRY, DOWNLOADS = "https://registry.example", "https://downloads.example"
AT = "@"
MAIL = re.compile(r"[A-Za-z0-9._+-]+@[A-Za-z0-9-]+\.[A-Za-z]{2,}")

ROUTES = {
    r"/-/v1/search\?text=maintainer%3A.*": "search/maintainer",
    r"/-/v1/search\?.*from=0": "search/two-results",
    r"/-/v1/search\?.*": "search/page-2",
    r"/-/org/demo/package": "search/org-packages",
    r"/downloads/range/.*/@demo/widget": "downloads/range-true-zeros",
    r"/downloads/range/.*/demo-popular": "downloads/range-zero-holes",
    r"/versions/@demo%2[fF]widget/last-week": "versions/last-week.scoped",
    r"/downloads/.*": "downloads/unknown-404",
}
"""The first address that fits; everything else is the registry's empty 404."""

Network = Callable[[Callable[[httpx2.Request], httpx2.Response]], httpx2.MockTransport]
Opened = Callable[[httpx2.MockTransport], AbstractAsyncContextManager[Catalog]]


def recorded(request: httpx2.Request) -> httpx2.Response:
    asked = request.url.raw_path.decode()
    if asked.lower() == "/@demo%2fwidget":
        return httpx2.Response(200, json=data_json("packuments/made-up.full-form.json"))
    case = next((c for address, c in ROUTES.items() if re.fullmatch(address, asked)), None)
    answer = data_json(f"http/{case or 'registry/packument-404-empty'}.json")["response"]
    headers = {k: v for k, v in answer["headers"].items() if k != "content-length"}
    if "body" in answer:
        return httpx2.Response(answer["status"], headers=headers, json=answer["body"])
    return httpx2.Response(answer["status"], headers=headers, text=answer["body_text"])


@pytest.fixture
def opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Opened:
    """`serve` over a network that is a function."""

    @asynccontextmanager
    async def opening(transport: httpx2.MockTransport) -> AsyncIterator[Catalog]:
        async def choose(settings: Settings, *, demo: bool) -> Chosen:
            config = NpmConfig(Found(REGISTRY, "PKGSTATS_REGISTRY"))
            source = HttpSource(config, DOWNLOADS, now=lambda: NOW, transport=transport)
            places = dict.fromkeys(ABILITIES, Place(REGISTRY, "PKGSTATS_REGISTRY"))
            return Chosen(source, places, "https://site.example", config.is_public)

        monkeypatch.setattr(catalog_module, "choose_source", choose)
        monkeypatch.setattr(catalog_module, "wall_clock", lambda: NOW)
        async with open_catalog(Settings(db=str(tmp_path / "x.db"), starter=())) as catalog:
            yield catalog

    return opening


async def test_s06_s09_s11_f03_a_full_registry_gives_date_counts_and_people(
    opened: Opened, network: Network
) -> None:
    async with opened(network(recorded)) as catalog:
        page = await catalog.package("@demo/widget")
        assert isinstance(page, PackageData)
        assert page.published_at is not None
        assert page.origin(Block.DATE) is not None
        assert page.downloads is not None
        assert page.downloads.holes == 0  # a small package keeps its true zeros
        assert page.maintainers
        assert not page.simulated
        states = {origin.block: origin.state for origin in page.origins}
        assert states[Block.REGISTRY] is states[Block.DOWNLOADS] is OriginState.KNOWN
        assert [link.url for link in page.links if link.kind == "npm"] == [
            "https://site.example/package/@demo/widget"
        ]


async def test_s03_s05_r01_r04_upstream_lists_are_merged_and_say_how_complete_they_are(
    opened: Opened, network: Network
) -> None:
    async with opened(network(recorded)) as catalog:
        result = await catalog.search("widget")
        assert result.upstream
        assert "demo-widget" in [card.name for card in result.cards]
        assert result.origins[0].state is OriginState.KNOWN
        user = await catalog.user("demo-team")
        exchange = data_json("http/search/maintainer.json")["response"]["body"]
        assert user.listed >= len(exchange["objects"])
        assert user.complete == (exchange["total"] <= len(exchange["objects"]))
        scope = await catalog.scope("demo")
        organisation = data_json("http/search/org-packages.json")["response"]["body"]
        assert {card.name for card in scope.cards} >= set(organisation)
        assert scope.complete
        states = {row.ability: row.state for row in await catalog.sources()}
        assert states["search"] is states["organisation"] is AbilityState.ON


HOSTILE = {
    "name": "demo-hostile",
    "dist-tags": {"latest": "1.0.0", "../x": "1.0.0", f"a{AT}h.example": "1.0.0"},
    "time": {"created": "2020-01-01T00:00:00Z", "1.0.0": "2020-01-02T00:00:00Z"},
    "maintainers": [
        {"name": "team", "email": f"team{AT}mail.example"},
        {"name": f"person{AT}mail.example"},
        f"Somebody <some.body{AT}mail.example>",
    ],
    "readme": f"write to readme{AT}mail.example",
    "versions": {
        "1.0.0": {
            "name": "demo-hostile",
            "version": "1.0.0",
            "description": f"\u0000<script>alert(1)</script> ask author{AT}mail.example",
            "author": f"A <author{AT}mail.example>",
            "_npmUser": {"name": "team", "email": f"team{AT}mail.example"},
            "contributors": [f"C <c{AT}mail.example>"],
            "keywords": [f"k{AT}mail.example", "fine", "\u202eevil", 7],
            "homepage": "javascript:alert(1)",
            "bugs": {"url": "data:text/html,x", "email": f"bugs{AT}mail.example"},
            "repository": f"https://user:secret{AT}code.example/a/b.git",
            "license": f"see license{AT}mail.example",
            "deprecated": f"ask old{AT}mail.example",
            "engines": {"node": ">=1", "__proto__": "x"},
            "dependencies": {"../../etc/passwd": "1", "fine-name": f"git+ssh://g{AT}h.example/x"},
            "dist": {"tarball": "https://elsewhere.example/../../x.tgz", "integrity": "sha512-x"},
        },
        "__proto__": {"version": "__proto__"},
        "../../up": {"version": "1"},
    },
}


async def test_a12_f04_nothing_of_a_hostile_packument_gets_through(
    opened: Opened, network: Network, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """No mail address in store, page, API, feed or log; no address that runs, no name that climbs."""
    caplog.set_level(logging.DEBUG)

    def hostile(request: httpx2.Request) -> httpx2.Response:
        if request.url.path == "/demo-hostile":
            return httpx2.Response(200, content=json.dumps(HOSTILE))
        return httpx2.Response(404)

    async with opened(network(hostile)) as catalog:
        page = await catalog.package("demo-hostile")
        assert isinstance(page, PackageData)
        assert [row.version for row in page.versions] == ["1.0.0", "__proto__"]
        await catalog.pick("random")
        app = Starlette(routes=[*api.routes(catalog), *feeds.routes(catalog)])
        transport = httpx2.ASGITransport(app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://s.example") as http:
            answers = [
                (await http.get(path)).text
                for path in (
                    "/api/v1/package?name=demo-hostile",
                    "/api/v1/search?q=demo-hostile",
                    "/api/v1/suggest?q=demo",
                    "/feed/all.atom",
                    "/feed.json",
                )
            ]
        said = [repr(page), *answers, caplog.text]
        for text in said:
            assert not MAIL.search(text), MAIL.search(text)
            for gone in ("secret", "javascript:", "data:text", "etc/passwd", "../"):
                assert gone not in text, gone
        assert page.keywords[0] == "fine"
        assert "fine-name" in [item.name for item in page.dependencies]
        files = [tmp_path / f"x.db{end}" for end in ("", "-wal")]
        stored = b"".join(file.read_bytes() for file in files)
    assert b"mail.example" not in stored
    assert b"secret" not in stored
