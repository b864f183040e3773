"""What a reader meets on every page: without script, on a small screen, with the keyboard."""

from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.async_api import expect

from pkgstats.readme.render import Images, render
from pkgstats.site import Site
from pkgstats.sources.recorded import data_text

pytestmark = pytest.mark.asyncio(loop_scope="session")

NAME = "@azure/web-pubsub-client"


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


async def test_a11_links_of_the_head_follow_the_box(new_tab: Any) -> None:
    page = await new_tab(f"/pkg:{NAME}")
    await page.get_by_role("button", name="Search").focus()
    for name in ("Compare", "Watch list"):
        await page.keyboard.press("Tab")
        if name == "Compare":  # the tips come first; they open and close by key
            await expect(page.locator(":focus")).to_have_text("Tips")
            await page.keyboard.press("Enter")
            await expect(page.get_by_role("link", name="pkg:react")).to_be_visible()
            await page.keyboard.press("Enter")
            await page.keyboard.press("Tab")
        await expect(page.locator(":focus")).to_have_accessible_name(name)


async def test_skip_link_moves_the_focus_to_the_content(new_tab: Any) -> None:
    page = await new_tab("/about")
    await page.keyboard.press("Tab")
    await page.keyboard.press("Enter")
    await expect(page.locator("main")).to_be_focused()


@pytest.mark.parametrize("images", ["off", "click"])
async def test_s13_hostile_readme_runs_nothing_and_asks_nobody(
    new_tab: Any, site: Site, catalog: Any, images: Images
) -> None:
    text = data_text("readmes/made-up.hostile.md")
    readme = render(text, images=images, repo_url="https://code.example/o/n")
    model = catalog.packages[NAME]
    catalog.packages["hostile"] = replace(model, name="hostile", readme=readme)
    page = await new_tab("/about")
    asked: set[str] = set()
    opened: list[str] = []
    page.on("request", lambda request: asked.add(urlsplit(request.url).netloc))
    page.on("dialog", lambda dialog: opened.append(dialog.message))
    known = await page.evaluate("Object.keys(window)")
    await page.goto(f"{site.url}/pkg:hostile")
    await expect(page.locator("#live")).to_have_text("live")
    for link in await page.locator(".readme a[href^='#']").all():
        await link.click()
    assert opened == []
    assert await page.evaluate("Object.keys(window)") == known
    assert await page.evaluate("document.forms.length") == 3  # box, star, colours
    assert asked == {urlsplit(site.url).netloc}
