"""Each kind of page is opened once and looked at from all sides; tests ask for what was seen."""

import gzip
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, Page

from pkgstats.site import Site
from pkgstats.web import quality

MODEL = "/pkg:@azure/web-pubsub-client"
KINDS = {
    "home": "/",
    "results": "/?search=demo",
    "no results": "/?search=zzzzzz",
    "package": f"{MODEL}/v/1.0.4",
    "package, 18 months": "/pkg:express?range=18m",
    "package, old version": "/pkg:left-pad/v/1.0.0",
    "user": "/@demo-team",
    "user and scope": "/@azure",
    "scope": "/org:demo",
    "compare": "/compare/react,express,ws,left-pad,@azure/web-pubsub-client,demo-notch",
    "compare form": "/compare",
    "watch list": "/watch",
    "feed": "/feed",
    "about": "/about",
    "credits": "/credits",
    "sources": "/sources",
    "quality": "/quality",
    "no package": "/pkg:no-such-package",
}
THEMES = ("light", "dark")
AXE_TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
COLOUR_RULES = ["color-contrast", "link-in-text-block"]
ARTIFACTS = Path(__file__).parents[4] / ".artifacts" / "pkgstats"
README_PICTURES = {
    "page": ("package", "light", ""),
    "home": ("home", "light", ""),
    "compare": ("compare", "dark", ".block:has(svg)"),
}
"""The name of each: kind of page, theme, and which part (none: the upper end)."""
PICTURES = Path(__file__).parents[2] / "pictures"
REPORT = Path(__file__).parents[2] / "src" / "pkgstats" / "data" / "quality.json"
TRIES = 3
"""A busy machine makes one load slow, but hardly three: the best of them counts."""

_OBSERVE = """
window.seen = {lcp: 0, cls: 0, long: 0};
const observe = (type, take) =>
  new PerformanceObserver((list) => list.getEntries().forEach(take)).observe({type, buffered: true});
observe("largest-contentful-paint", (e) => { seen.lcp = e.startTime; });
observe("layout-shift", (e) => { if (!e.hadRecentInput) seen.cls += e.value; });
observe("longtask", (e) => { seen.long += e.duration; });
"""


@dataclass
class Seen:
    """What a visit of one kind of page showed."""

    page: str
    violations: list[str] = field(default_factory=list)
    axe: str = ""
    hosts: set[str] = field(default_factory=set)
    complaints: list[str] = field(default_factory=list)
    nodes: int = 0
    headings: int = 0
    width_at_320: int = 0
    html: int = 0
    whole_html: int = 0


@dataclass
class Speed:
    """The best of a few loads with a slow processor and a slow line."""

    lcp_ms: float
    cls: float
    long_tasks_ms: float


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def context(browser: Browser, demo_site: Site) -> AsyncIterator[BrowserContext]:
    """A visitor who watches one package."""
    context = await browser.new_context(viewport={"width": 1280, "height": 900})
    context.set_default_timeout(15_000)
    page = await context.new_page()
    await page.goto(demo_site.url + MODEL)
    await page.get_by_role("button", name="Watch").click()
    await page.get_by_role("button", name="Watched").wait_for()
    await page.close()
    yield context
    await context.close()


Look = Callable[[str], Awaitable[Seen]]


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def look(context: BrowserContext, demo_site: Site) -> AsyncIterator[Look]:
    """`await look(kind)`: what a visit showed; each kind is visited once."""
    axe = (resources.files("axe_playwright_python") / "axe.min.js").read_text("utf-8")
    known: dict[str, Seen] = {}

    async def look(kind: str) -> Seen:
        if kind not in known:
            page = await context.new_page()
            known[kind] = await _visit(page, kind, demo_site, axe)
            await page.close()
        return known[kind]

    yield look


async def _visit(page: Page, kind: str, site: Site, axe: str) -> Seen:
    seen = Seen(kind)
    page.on("request", lambda request: seen.hosts.add(urlsplit(request.url).netloc))
    page.on("websocket", lambda socket: seen.hosts.add(urlsplit(socket.url).netloc))
    page.on("pageerror", lambda error: seen.complaints.append(str(error)))
    page.on(
        "console",
        lambda message: (
            seen.complaints.append(message.text)
            if message.type in ("error", "warning") and "status of 404" not in message.text
            else None
        ),
    )
    answer = await page.goto(site.url + KINDS[kind])
    assert answer is not None
    html = await answer.text()
    seen.whole_html = len(gzip.compress(html.encode()))
    seen.html = len(gzip.compress(re.sub(r"<article.*?</article>", "", html, flags=re.S).encode()))
    if await page.locator("#live").count():
        await page.locator("#live[data-state=live], #live[hidden]").first.wait_for(state="attached")
    seen.nodes = await page.evaluate("document.querySelectorAll('*').length")
    seen.headings = await page.locator("h1").count()
    await page.evaluate(axe)
    for theme in THEMES:
        await page.emulate_media(color_scheme=theme)  # type: ignore[arg-type]
        await shoot(page, kind, theme, 1280)
        # The themes differ in colours alone, so the second one is held against these rules only.
        rules = AXE_TAGS if theme == THEMES[0] else {"type": "rule", "values": COLOUR_RULES}
        found = await page.evaluate(
            "(rules) => axe.run(document, {runOnly: rules, resultTypes: ['violations']})", rules
        )
        seen.axe = found["testEngine"]["version"]
        seen.violations += [
            f"{theme}: {rule['id']} at {node['target']}: {node['failureSummary']}"
            for rule in found["violations"]
            for node in rule["nodes"]
        ]
    await page.set_viewport_size({"width": 320, "height": 700})
    seen.width_at_320 = await page.evaluate("document.documentElement.scrollWidth")
    return seen


async def shoot(page: Page, kind: str, theme: str, width: int, *, whole: bool = False) -> None:
    """A picture for people, as build output."""
    ARTIFACTS.mkdir(parents=True, exist_ok=True)
    name = kind.replace(", ", "-").replace(" ", "-")
    await page.screenshot(path=ARTIFACTS / f"{name}-{theme}-{width}.png", full_page=whole)


Measure = Callable[[str], Awaitable[Speed]]


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def measure(context: BrowserContext, demo_site: Site) -> AsyncIterator[Measure]:
    """`await measure(kind)`: paint, shift and long tasks on a slow phone with a slow line."""
    known: dict[str, Speed] = {}
    page = await context.new_page()
    await page.set_viewport_size({"width": 412, "height": 823})
    await page.add_init_script(_OBSERVE)
    devtools = await context.new_cdp_session(page)
    await devtools.send("Emulation.setCPUThrottlingRate", {"rate": 4})
    await devtools.send("Network.enable")
    line = {"offline": False, "latency": 150, "downloadThroughput": 200_000}
    await devtools.send("Network.emulateNetworkConditions", line | {"uploadThroughput": 90_000})
    await devtools.send("Network.setCacheDisabled", {"cacheDisabled": True})

    async def measure(kind: str) -> Speed:
        if kind not in known:
            loads: list[Speed] = []
            while len(loads) < TRIES and not (loads and is_fast(best(loads))):
                loads.append(await _load(page, demo_site.url + KINDS[kind]))
            known[kind] = best(loads)
        return known[kind]

    yield measure
    await page.close()


def best(loads: list[Speed]) -> Speed:
    """A shift counts whenever it is seen; times are those that this machine can do."""
    return Speed(
        min(one.lcp_ms for one in loads),
        max(one.cls for one in loads),
        min(one.long_tasks_ms for one in loads),
    )


def is_fast(speed: Speed) -> bool:
    return (
        speed.lcp_ms <= quality.MAX_LCP_MS
        and speed.cls <= quality.MAX_CLS
        and speed.long_tasks_ms <= quality.MAX_LONG_TASKS_MS
    )


async def _load(page: Page, url: str) -> Speed:
    await page.goto("about:blank")
    await page.goto(url, wait_until="load")
    await page.evaluate(
        "new Promise((r) => { const t = () => seen.lcp > 0 ? r() : setTimeout(t, 20); t(); })"
    )
    # Two frames later whatever the load had to do is done and reported.
    await page.evaluate("new Promise((r) => requestAnimationFrame(() => requestAnimationFrame(r)))")
    found: dict[str, Any] = await page.evaluate("window.seen")
    return Speed(found["lcp"], found["cls"], found["long"])


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def write_report(
    look: Look, measure: Measure, browser: Browser
) -> Callable[[], Awaitable[None]]:
    """Measures every kind of page and writes it down for the page /quality."""

    async def write() -> None:
        pages = []
        axe = ""
        for kind in KINDS:
            seen, speed = await look(kind), await measure(kind)
            axe = seen.axe
            pages.append(
                {
                    "page": kind,
                    "violations": len(seen.violations),
                    "html": seen.html,
                    "nodes": seen.nodes,
                    "lcp_ms": round(speed.lcp_ms),
                    "cls": round(speed.cls, 4),
                    "long_tasks_ms": round(speed.long_tasks_ms),
                    "other_hosts": max(0, len(seen.hosts) - 2),
                }
            )
        report = {
            "at": datetime.now(UTC).date().isoformat(),
            "browser": f"Chromium {browser.version}",
            "axe": axe,
            "pages": pages,
        }
        text = json.dumps(report, indent=1) + "\n"
        REPORT.write_text(text, "utf-8")

    return write


@pytest_asyncio.fixture(loop_scope="session")
async def shots(context: BrowserContext, demo_site: Site) -> Callable[[], Awaitable[int]]:
    """Whole pages, both themes, at 360, 768 and 1280 px."""

    async def take() -> int:
        page = await context.new_page()
        count = 0
        for kind, path in KINDS.items():
            await page.goto(demo_site.url + path)
            for theme in THEMES:
                await page.emulate_media(color_scheme=theme)  # type: ignore[arg-type]
                for width in (360, 768, 1280):
                    await page.set_viewport_size({"width": width, "height": 900})
                    await shoot(page, kind, theme, width, whole=True)
                    count += 1
        await page.close()
        return count

    return take


@pytest.fixture(scope="session")
def addresses() -> list[str]:
    """One address for each kind of page."""
    return list(KINDS.values())


@pytest_asyncio.fixture(loop_scope="session")
async def readme_pictures(browser: Browser, demo_site: Site) -> Callable[[], Awaitable[list[Path]]]:
    """The pictures of the README: the upper part of a few pages, small and in few bytes."""

    async def take() -> list[Path]:
        context = await browser.new_context(viewport={"width": 780, "height": 430})
        made = []
        for name, (kind, theme, part) in README_PICTURES.items():
            page = await context.new_page()
            await page.emulate_media(color_scheme=theme)  # type: ignore[arg-type]
            await page.goto(demo_site.url + KINDS[kind])
            await page.locator("#live[data-state=live]").wait_for()
            made.append(PICTURES / f"{name}.png")
            shown = page.locator(part).first if part else page
            await shown.screenshot(path=made[-1])
        await context.close()
        return made

    return take
