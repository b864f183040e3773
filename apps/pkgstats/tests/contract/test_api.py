"""The JSON API, the feeds and the tables, over the simulated world."""

import csv
import io
from collections.abc import AsyncIterator
from typing import Any
from xml.etree import ElementTree

import httpx2
import pytest
import pytest_asyncio
from starlette.applications import Starlette

from pkgstats.catalog import Catalog, open_catalog
from pkgstats.models import FeedItem
from pkgstats.settings import Settings
from pkgstats.sources.recorded import MODEL
from pkgstats.web import api, feeds

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def demo() -> AsyncIterator[Catalog]:
    async with open_catalog(Settings(world_day_s=0), demo=True) as catalog:
        for kind in ("popular", "newest", "random"):
            await catalog.pick(kind)
        yield catalog


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def http(demo: Catalog) -> AsyncIterator[httpx2.AsyncClient]:
    app = Starlette(routes=[*api.routes(demo), *feeds.routes(demo)])
    transport = httpx2.ASGITransport(app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://site.example") as client:
        yield client


def errors_against(schema: Any, value: Any, components: Any, path: str = "$") -> list[str]:
    """Where a value is not what the schema says: the parts of JSON Schema that are used here."""
    if "$ref" in schema:
        return errors_against(
            components[schema["$ref"].rpartition("/")[2]], value, components, path
        )
    if "anyOf" in schema:
        found = [errors_against(one, value, components, path) for one in schema["anyOf"]]
        return [] if [] in found else found[0]
    kinds = {
        "object": dict,
        "array": list,
        "string": str,
        "integer": int,
        "boolean": bool,
        "null": type(None),
    }
    if not isinstance(value, kinds[schema["type"]]):
        return [f"{path}: {value!r} is no {schema['type']}"]
    if isinstance(value, list):
        items = [(schema["items"], one, f"{path}[{i}]") for i, one in enumerate(value)]
    elif isinstance(value, dict):
        missing = [f"{path}: no {name}" for name in schema.get("required", ()) if name not in value]
        if missing:
            return missing
        known, rest = schema.get("properties", {}), schema.get("additionalProperties")
        if unknown := [name for name in value if name not in known and rest is None]:
            return [f"{path}: unknown {unknown}"]
        items = [(known.get(name, rest), one, f"{path}.{name}") for name, one in value.items()]
    else:
        return []
    return [text for one in items for text in errors_against(one[0], one[1], components, one[2])]


@pytest.mark.parametrize(
    ("operation", "query"),
    [
        ("package", {"name": MODEL}),
        ("package", {"name": "react", "version": "next"}),
        ("package", {"name": "demo-meter"}),
        ("downloads", {"name": MODEL}),
        ("downloads", {"name": "react", "range": "18m", "by": "month"}),
        ("search", {"q": "web", "page": "1"}),
        ("search", {"q": "zzzzzz"}),
        ("suggest", {"q": "re", "limit": "3"}),
        ("package", {"name": "no-such-demo"}),
        ("package", {}),
        ("downloads", {"name": "react", "range": "3d"}),
        ("downloads", {"name": "react", "by": "hour"}),
        ("search", {"q": " "}),
        ("search", {"q": "a", "page": "0"}),
        ("suggest", {"q": "a", "limit": "²"}),
        ("nothing", {}),
    ],
)
async def test_r13_every_answer_is_what_the_schema_says(
    http: httpx2.AsyncClient, operation: str, query: dict[str, str]
) -> None:
    described = (await http.get(api.SCHEMA_PATH)).json()
    answer = await http.get(f"/api/v1/{operation}", params=query)
    operations = described["paths"].get(
        f"/api/v1/{operation}", described["paths"]["/api/v1/package"]
    )
    told = operations["get"]["responses"][str(answer.status_code)]
    schema = told["content"]["application/json"]["schema"]
    body = answer.json()
    assert errors_against(schema, body, described["components"]["schemas"]) == []
    assert answer.headers["content-type"] == "application/json"
    if answer.status_code != 400:
        assert body["simulated"] is True  # also an answer that names no package is of the world


async def test_r13_package_has_the_facts_of_its_page(http: httpx2.AsyncClient) -> None:
    body = (await http.get("/api/v1/package", params={"name": MODEL})).json()
    assert (body["version"], body["module"], body["has_types"]) == ("1.0.4", "ESM+CJS", True)
    assert body["downloads"] == {
        "total": 134_113,
        "start": "2026-06-01",
        "end": "2026-06-30",
        "missing_days": 0,
        "at_least": False,
    }
    assert body["published_at"] is None
    assert {"block": "date", "words": "version date not known from this source"}.items() <= next(
        origin for origin in body["origins"] if origin["block"] == "date"
    ).items()
    assert len(body["files"]) == 264


async def test_r13_an_answer_asked_again_with_its_etag_is_304(http: httpx2.AsyncClient) -> None:
    for path in ("/api/v1/package?name=ws", "/api/v1/search?q=web", "/feed/all.atom", "/feed.json"):
        first = await http.get(path)
        again = await http.get(path, headers={"if-none-match": f'"x", {first.headers["etag"]}'})
        assert (again.status_code, again.content) == (304, b""), path
        assert (await http.get(path, headers={"if-none-match": '"x"'})).status_code == 200


async def test_r13_pages_of_other_sites_may_read_every_answer(http: httpx2.AsyncClient) -> None:
    for path in (
        "/api/v1/package?name=ws",
        "/api/v1/package?name=no-such-demo",
        "/api/v1/search",
        "/api/nothing",
        api.SCHEMA_PATH,
        "/feed.json",
        "/chart/ws.csv",
    ):
        headers = (await http.get(path, headers={"origin": "https://other.example"})).headers
        assert headers["access-control-allow-origin"] == "*", path
        assert headers["cross-origin-resource-policy"] == "cross-origin", path


async def test_r13_f06_an_unknown_package_is_404_with_suggestions(http: httpx2.AsyncClient) -> None:
    answer = await http.get("/api/v1/package", params={"name": "@azure/web-pubsub-cliend"})
    assert answer.status_code == 404
    body = answer.json()
    assert (body["code"], body["error"]) == (
        "no_package",
        "No package found for: @azure/web-pubsub-cliend",
    )


async def test_a10_csv_has_the_numbers_of_the_chart(http: httpx2.AsyncClient) -> None:
    answer = await http.get(f"/chart/{MODEL}.csv?range=30d&by=day")
    assert answer.headers["content-type"].startswith("text/csv")
    assert 'filename="azure-web-pubsub-client-30d-day.csv"' in answer.headers["content-disposition"]
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert sum(int(row["downloads"]) for row in rows) == 134_113
    assert {row["simulated"] for row in rows} == {"true"}
    assert (await http.get("/chart/react.csv?range=1d")).status_code == 400
    assert (await http.get("/chart/no-such-demo.csv")).status_code == 404
    assert (await http.get("/chart/..%2Fx.csv")).status_code == 404


async def test_s20_atom_read_back_has_every_pick_with_a_stable_id(
    http: httpx2.AsyncClient, demo: Catalog
) -> None:
    names = {"a": feeds.ATOM}
    feed = ElementTree.fromstring((await http.get("/feed/all.atom")).content)
    assert "simulated data" in (feed.findtext("a:title", "", names))
    for needed in ("id", "title", "updated"):
        assert feed.find(f"a:{needed}", names) is not None
    entries = feed.findall("a:entry", names)
    items = await demo.feed("all")
    assert [entry.findtext("a:id", "", names) for entry in entries] == [
        feeds.entry_id(item) for item in items
    ]
    for entry in entries:
        link = entry.find("a:link", names)
        assert link is not None
        assert link.get("href", "").startswith("http://site.example/pkg:")
        assert entry.findtext("a:updated", "", names).endswith("Z")
    assert len({feeds.entry_id(item) for item in items}) == 3
    for kind in ("popular", "newest", "random"):
        one = ElementTree.fromstring((await http.get(f"/feed/{kind}.atom")).content)
        assert len(one.findall("a:entry", names)) == 1
    assert (await http.get("/feed/none.atom")).status_code == 404


async def test_s20_json_feed_has_the_same_picks(http: httpx2.AsyncClient, demo: Catalog) -> None:
    feed = (await http.get("/feed.json")).json()
    assert feed["version"] == "https://jsonfeed.org/version/1.1"
    assert feed["_pkgstats"] == {"simulated": True}
    assert [item["id"] for item in feed["items"]] == [
        feeds.entry_id(item) for item in await demo.feed("all")
    ]


async def test_s20_atom_takes_texts_that_xml_cannot_hold(demo: Catalog) -> None:
    made = (await demo.feed("all"))[0]
    hostile = FeedItem(1, "random", "x", "a\x00b<c>&\x0b", "\ufffe]]>", made.created_at)
    feed = ElementTree.fromstring(feeds.atom([hostile], "all", "http://x.example", simulated=False))
    assert feed.findtext(f"{{{feeds.ATOM}}}entry/{{{feeds.ATOM}}}title") == "a b<c>& "
    assert ElementTree.fromstring(feeds.atom([], "all", "http://x.example", simulated=False))
