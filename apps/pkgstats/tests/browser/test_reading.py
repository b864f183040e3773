"""What a reader meets on every page: without script, on a small screen, with the keyboard."""

from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.async_api import expect

from pkgstats.site import Site

pytestmark = pytest.mark.asyncio(loop_scope="module")

NAME = "@azure/web-pubsub-client"
PATHS = ["/", f"/pkg:{NAME}", "/pkg:left-pad", "/?search=web", "/?search=nothing", "/pkg:reakt"]
EXPECTED = "status of 404"  # Chromium notes the page of a package that isn't there
OTHERS = ["/sources", "/about"]


async def test_without_script_the_box_leads_to_a_whole_page(new_tab: Any, site: Site) -> None:
    page = await new_tab("/", java_script_enabled=False)
    await page.get_by_role("combobox").fill(f"pkg:{NAME}")
    await page.keyboard.press("Enter")
    await expect(page).to_have_url(f"{site.url}/pkg:{NAME}")
    await expect(page.locator("#total")).to_have_text("120,113")
    await expect(page.locator(".readme h2")).to_have_text("Top")
    await expect(page.locator("svg.chart.at-ml")).to_be_visible()
    # What needs the script isn't there: no dead button, no claim to be live.
    for hidden in ("#live", "#copy", "#release", "#watchers"):
        await expect(page.locator(hidden)).to_be_hidden()
    await page.get_by_text("Tips").click()
    await expect(page.get_by_role("link", name="pkg:react")).to_be_visible()


async def test_r16_no_page_asks_another_host(new_tab: Any, site: Site) -> None:
    page = await new_tab("/", may_say=EXPECTED)
    asked: set[str] = set()
    page.on("request", lambda request: asked.add(urlsplit(request.url).netloc))
    page.on("websocket", lambda ws: asked.add(urlsplit(ws.url).netloc))
    for path in PATHS + OTHERS:
        await page.goto(site.url + path, wait_until="networkidle")
    assert asked == {urlsplit(url).netloc for url in (site.url, site.hubbub_url)}


async def test_every_page_fits_320_px_and_has_one_heading_of_the_first_level(
    new_tab: Any, site: Site
) -> None:
    page = await new_tab("/", may_say=EXPECTED, viewport={"width": 320, "height": 640})
    for path in PATHS + OTHERS:
        await page.goto(site.url + path)
        width, headings, nodes = await page.evaluate(
            "[document.documentElement.scrollWidth, document.querySelectorAll('h1').length,"
            " document.querySelectorAll('*').length]"
        )
        assert (width, headings) == (320, 1), path
        assert nodes <= 1500, path


async def test_a11_first_tab_stop_skips_to_the_content(new_tab: Any) -> None:
    page = await new_tab(f"/pkg:{NAME}")
    await page.keyboard.press("Tab")
    skip = page.get_by_role("link", name="Skip to content")
    await expect(skip).to_be_focused()
    await expect(skip).to_be_in_viewport()
    for name in ("pkgstats", "Package, user or words", "Search"):
        await page.keyboard.press("Tab")
        focused = page.locator(":focus")
        await expect(focused).to_have_accessible_name(name)


async def test_r06_copy_puts_the_install_line_on_the_clipboard(new_tab: Any) -> None:
    rights = ["clipboard-read", "clipboard-write"]
    page = await new_tab(f"/pkg:{NAME}", permissions=rights)
    await page.get_by_role("button", name="Copy the install line").click()
    await expect(page.locator("#copy")).to_have_text("Copied the install line")
    copied = await page.evaluate("navigator.clipboard.readText()")
    assert copied == f"npm install {NAME}"


async def test_s16_link_in_the_readme_jumps_below_the_row_that_sticks(new_tab: Any) -> None:
    page = await new_tab(f"/pkg:{NAME}", viewport={"width": 1280, "height": 400})
    await page.locator(".readme a").click()
    heading = page.locator("#user-content-use")
    await expect(heading).to_be_in_viewport()
    row, top = await page.locator(".jump").bounding_box(), await heading.bounding_box()
    assert top["y"] >= row["y"] + row["height"]
