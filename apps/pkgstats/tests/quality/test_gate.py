"""The gate: every kind of page within the limits that the page /quality shows."""

import gzip
import os
import re
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest

from pkgstats.site import Site
from pkgstats.web import quality

KINDS = (
    "home",
    "results",
    "no results",
    "package",
    "package, 18 months",
    "package, old version",
    "user",
    "user and scope",
    "scope",
    "compare",
    "compare form",
    "watch list",
    "feed",
    "about",
    "credits",
    "sources",
    "quality",
    "no package",
)
HEAVIEST = ("home", "results", "package", "user", "compare")
pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest.mark.parametrize("kind", KINDS)
async def test_s19_page_is_accessible_light_in_weight_and_fits_320_px(look: Any, kind: str) -> None:
    seen = await look(kind)
    assert seen.violations == []
    assert seen.headings == 1
    assert seen.html <= quality.MAX_HTML
    assert seen.nodes <= quality.MAX_NODES
    assert seen.width_at_320 == quality.NARROW
    assert seen.complaints == []


@pytest.mark.parametrize("kind", HEAVIEST)
async def test_s19_page_paints_early_and_stays_where_it_is(measure: Any, kind: str) -> None:
    speed = await measure(kind)
    assert speed.lcp_ms <= quality.MAX_LCP_MS
    assert speed.cls <= quality.MAX_CLS
    assert speed.long_tasks_ms <= quality.MAX_LONG_TASKS_MS


async def test_r16_no_page_asks_another_host(look: Any, demo_site: Site) -> None:
    own = {urlsplit(url).netloc for url in (demo_site.url, demo_site.hubbub_url)}
    for kind in KINDS:
        assert (await look(kind)).hosts <= own, kind


async def test_s19_style_and_script_keep_their_budget(
    demo_site: Site, addresses: list[str]
) -> None:
    async with httpx2.AsyncClient(base_url=demo_site.url, trust_env=False) as http:
        used = set()
        for path in addresses:
            html = (await http.get(path)).text
            names = re.findall(r'="(/static/([\w.]+)\?v=\w+)"', html)
            sizes = {
                name: len(gzip.compress((await http.get(file)).content))
                for file, name in set(names)
            }
            assert _sum(sizes, ".css") <= quality.MAX_CSS, path
            assert _sum(sizes, ".js") <= quality.MAX_SCRIPT, path
            used |= set(sizes)
    assert used | {"curator.js"} == {*quality.WEIGHED, "quality.js", "icon.svg"}


def _sum(sizes: dict[str, int], ending: str) -> int:
    return sum(size for name, size in sizes.items() if name.endswith(ending))


@pytest.mark.skipif(
    os.environ.get("PKGSTATS_REPORT") != "1",
    reason="set PKGSTATS_REPORT=1 to measure every kind of page for the page /quality",
)
async def test_report_is_written(write_report: Any) -> None:
    await write_report()


async def test_s17_report_on_the_quality_page_is_of_these_pages_and_within_the_limits(
    demo_site: Site,
) -> None:
    shown = quality.report()
    assert shown is not None
    assert [page.page for page in shown.pages] == list(KINDS)
    for page in shown.pages:
        assert page.violations == page.other_hosts == 0
        assert page.html <= quality.MAX_HTML
        assert page.nodes <= quality.MAX_NODES
        assert page.lcp_ms <= quality.MAX_LCP_MS
        assert page.cls <= quality.MAX_CLS
        assert page.long_tasks_ms <= quality.MAX_LONG_TASKS_MS
    async with httpx2.AsyncClient(base_url=demo_site.url, trust_env=False) as http:
        html = (await http.get("/quality")).text
    assert all(gate.limit in html for gate in quality.GATES)
    assert f'<td class="r">{shown.pages[0].nodes:,}</td>' in html


@pytest.mark.skipif(
    os.environ.get("PKGSTATS_SHOTS") != "1",
    reason="set PKGSTATS_SHOTS=1 for pictures of every page in both themes at three widths",
)
async def test_pictures_of_every_page_are_made(context: Any, demo_site: Site, shots: Any) -> None:
    assert await shots() == len(KINDS) * 2 * 3


@pytest.mark.skipif(
    os.environ.get("PKGSTATS_README") != "1",
    reason="set PKGSTATS_README=1 to make the pictures of the README again",
)
async def test_pictures_of_the_readme_are_made_and_small(readme_pictures: Any) -> None:
    for path in await readme_pictures():
        assert path.stat().st_size < 60_000, path
