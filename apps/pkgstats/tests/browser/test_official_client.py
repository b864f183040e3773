"""The same pages with the public JavaScript client, unmodified: the judge of compatibility.

The package is made for bundlers. Here its modules are served one by one, with full addresses in
their imports, and the few CommonJS ones in a wrapper.
"""

import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Page, Route, expect

from hubbub.testing import Hub
from pkgstats.site import Site

MODULES = Path(__file__).parents[4] / "tests" / "node" / "node_modules"
CLIENTS = ("wps-client-104", "wps-client-110")
BASE = "/static/official/"
NAME = "@azure/web-pubsub-client"
IMPORT = re.compile(r"""(\bfrom\s*|^import\s*)["']([^"']+)["']""", re.MULTILINE)
REQUIRE = re.compile(r"""require\(["']([^"']+)["']\)""")
EXPORT = re.compile(r"^exports\.(\w+) = ", re.MULTILINE)
NO_MODULES = "install the packages of tests/node to run pages with the official client"

pytestmark = [
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.skipif(not (MODULES / CLIENTS[0]).exists(), reason=NO_MODULES),
]


def entry(package: Path, part: str = ".") -> Path:
    """The file that a browser gets of a package or of a part of it."""
    facts = json.loads((package / "package.json").read_text())
    usual = facts.get("module") or facts.get("main") or "index.js" if part == "." else part
    found = facts.get("exports", {}).get(part, usual)
    while isinstance(found, dict):
        found = next(found[key] for key in ("browser", "import", "default") if key in found)
    return package / found


def resolve(name: str, asking: Path) -> str:
    """The address of what a module imports."""
    if name.startswith("."):
        path = asking.parent / name
    else:
        names = name.rstrip("/").split("/")
        size = 2 if name.startswith("@") else 1
        part = "/".join([".", *names[size:]])
        path = entry(MODULES.resolve() / "/".join(names[:size]), part)
    if not path.suffix:
        path = path.with_suffix(".js")
    return BASE + path.resolve().relative_to(MODULES.resolve()).as_posix()


def module(path: Path) -> str:
    """A module as a browser takes it."""
    text = path.read_text("utf-8")
    if re.search(r"^(import|export)\b", text, re.MULTILINE):
        return IMPORT.sub(lambda m: f'{m[1]}"{resolve(m[2], path)}"', text)
    needs = dict.fromkeys(REQUIRE.findall(text))
    lines = [f'import n{i} from "{resolve(name, path)}";' for i, name in enumerate(needs)]
    table = ", ".join(f'"{name}": n{i}' for i, name in enumerate(needs))
    lines += [
        f"const module = {{exports: {{}}}}, exports = module.exports, needs = {{{table}}};",
        "const require = (name) => needs[name];",
        f"(function () {{\n{text}\n}})();",
        "export default module.exports;",
        *(
            f"const e{i} = module.exports.{name}; export {{e{i} as {name}}};"
            for i, name in enumerate(dict.fromkeys(EXPORT.findall(text)))
        ),
    ]
    return "\n".join(lines)


async def serve(route: Route) -> None:
    path = MODULES / route.request.url.partition(BASE)[2]
    assert path.resolve().is_relative_to(MODULES.resolve())
    await route.fulfill(body=module(path), content_type="text/javascript")


@pytest_asyncio.fixture(loop_scope="session", params=CLIENTS)
async def official(
    request: Any,
    start_site: Any,
    sample_catalog: Any,
    unused_tcp_port_factory: Any,
    tmp_path: Path,
) -> AsyncIterator[tuple[Site, Any, Hub]]:
    """A site that has been given the official client, its catalog, and a hub with a shaky link."""
    start = entry(MODULES.resolve() / request.param).relative_to(MODULES.resolve()).as_posix()
    file = tmp_path / "official.js"
    file.write_text(f'export * from "{BASE}{start}";\n')
    port, catalog = unused_tcp_port_factory(), sample_catalog()
    async with (
        Hub("pkgstats", event_handler=f"http://127.0.0.1:{port}/eventhandler") as hub,
        start_site(catalog, port, hub.connection_string, official_client=str(file)) as site,
    ):
        yield site, catalog, hub


async def open_with_it(new_tab: Any, site: Site, path: str) -> Page:
    page: Page = await new_tab("/about", site.url)
    await page.context.route(f"**{BASE}**", serve)
    await page.goto(f"{site.url}{path}{'&' if '?' in path else '?'}client=official")
    await expect(page.locator("#live")).to_have_text("live")
    loaded = await page.evaluate("performance.getEntriesByType('resource').map((e) => e.name)")
    assert any(BASE in name for name in loaded)
    assert not any("/static/hubbub.js" in name for name in loaded)
    return page


async def test_l01_l02_l03_l06_l12_package_page_lives_on_the_official_client(
    official: Any, new_tab: Any
) -> None:
    site, catalog, hub = official
    page = await open_with_it(new_tab, site, f"/pkg:{NAME}")
    catalog.commit("downloads", {"total": 134_226})
    await expect(page.locator("#total")).to_have_text("134,226")
    await expect(page.locator("#watchers")).to_have_text("1 person watches this page")
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    await page.get_by_role("combobox").fill("rea")
    await expect(page.get_by_role("option").locator("mark")).to_have_text("rea")
    assert not [url for url in requests if "/api/" in url]
    hub.proxy.is_refusing = True
    hub.cut()
    catalog.commit("release", {"version": "1.1.0"})
    hub.proxy.is_refusing = False
    await expect(page.locator("#release b")).to_have_text("1.1.0")


async def test_l04_l05_l07_l13_lists_and_notices_live_on_the_official_client(
    official: Any, new_tab: Any
) -> None:
    site, catalog, hub = official
    home = await open_with_it(new_tab, site, "/")
    results = await open_with_it(new_tab, site, "/?search=web")
    catalog.commit("downloads", {"name": NAME, "total": 12_345_678})
    for page in (home, results):
        card = page.locator(f'[data-name="{NAME}"] [data-total]').first
        await expect(card).to_have_text("12.3 M")
    newest = {"name": "ws", "version": "9.0.0", "href": "/pkg:ws"}
    catalog.commit_to("feed.newest", "newest", newest)
    await expect(home.locator("[data-feed=newest] li").first).to_have_text("ws9.0.0just now")
    cookies = await results.context.cookies()
    visitor = next(c["value"] for c in cookies if c["name"] == "pkgstats_visitor")
    catalog.commit_to(visitor, "release", newest, "user")
    await expect(results.locator("#notices p")).to_contain_text("ws 9.0.0 has just been published.")
    await results.evaluate(
        """() => {
          const badge = document.getElementById("live");
          const note = () => (document.body.dataset.states += ` ${badge.textContent}`);
          new MutationObserver(note).observe(badge, {childList: true});
        }"""
    )
    await hub.lose_sessions()
    back = re.compile("reconnecting.* live$")
    await expect(results.locator("body")).to_have_attribute("data-states", back, timeout=15_000)
    catalog.commit("downloads", {"name": NAME, "total": 45_000_000})
    await expect(results.locator(f'[data-name="{NAME}"] [data-total]').first).to_have_text("45.0 M")
