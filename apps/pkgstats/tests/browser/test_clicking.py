"""What a reader does with the pages of the demonstration: choose, compare, watch, scroll."""

from typing import Any

import pytest
from playwright.async_api import expect

from pkgstats.site import Site

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_s24_package_is_watched_without_script(new_tab: Any, demo_site: Site) -> None:
    page = await new_tab("/pkg:ws", demo_site.url, java_script_enabled=False)
    await page.get_by_role("button", name="Watch ws").click()
    await expect(page).to_have_url(f"{demo_site.url}/pkg:ws")
    await expect(page.get_by_role("button", name="Watched ws")).to_be_visible()
    await page.get_by_role("link", name="Watch list").click()
    await expect(page.locator(".result")).to_have_count(1)
    await page.get_by_role("button", name="Watched ws").click()
    await expect(page.get_by_text("You watch no package yet.")).to_be_visible()


async def test_r04_results_go_on_by_themselves_and_the_next_page_is_a_real_link(
    new_tab: Any, demo_site: Site
) -> None:
    page = await new_tab("/?search=demo", demo_site.url, java_script_enabled=False)
    await expect(page.locator(".result")).to_have_count(50)
    await page.get_by_role("link", name="Next page").click()
    await expect(page.locator(".result")).to_have_count(6)
    page = await new_tab("/?search=demo", demo_site.url)
    await page.get_by_role("link", name="Next page").scroll_into_view_if_needed()
    await expect(page.locator(".result")).to_have_count(56)
    await expect(page.get_by_text("Page 2 of 2")).to_be_visible()
    await expect(page.get_by_role("link", name="Next page")).to_have_count(0)
    assert len(set(await page.locator(".result h3").all_inner_texts())) == 56


async def test_colours_change_without_a_reload_and_stay(new_tab: Any, demo_site: Site) -> None:
    page = await new_tab("/about", demo_site.url, color_scheme="light")
    paper = "getComputedStyle(document.body).backgroundColor"
    light = await page.evaluate(paper)
    await page.evaluate("window.isSamePage = true")
    await page.get_by_role("button", name="dark").click()
    await expect(page.get_by_role("button", name="dark")).to_have_attribute("aria-pressed", "true")
    assert await page.evaluate("window.isSamePage")
    assert await page.evaluate(paper) != light
    await page.goto(f"{demo_site.url}/compare")
    assert await page.evaluate(paper) != light
    await page.get_by_role("button", name="as the system").click()
    await expect(page.locator("html")).not_to_have_attribute("data-theme", "dark")
    assert await page.evaluate(paper) == light


async def test_a10_chosen_range_stays_in_view_and_in_the_address(
    new_tab: Any, demo_site: Site
) -> None:
    page = await new_tab("/pkg:ws", demo_site.url, viewport={"width": 1280, "height": 700})
    await page.get_by_role("link", name="12 months", exact=True).click()
    await expect(page).to_have_url(f"{demo_site.url}/pkg:ws?range=12m#downloads")
    chart = page.locator("svg.chart.at-ml")
    await expect(chart).to_be_in_viewport()
    await expect(chart.locator("title")).to_contain_text("Downloads of ws a week, ")
    await page.get_by_role("link", name="months", exact=True).click()
    await expect(chart.locator("title")).to_contain_text("Downloads of ws a month, ")


async def test_r01_compare_starts_at_a_package_and_adds_another(
    new_tab: Any, demo_site: Site
) -> None:
    page = await new_tab("/pkg:ws", demo_site.url)
    await page.get_by_role("link", name="Compare with other packages").click()
    field = page.get_by_label("Packages, up to six, with commas between")
    await expect(field).to_have_value("ws, ")
    await field.press("End")
    await field.type("react")
    await field.press("Enter")
    await expect(page).to_have_url(f"{demo_site.url}/compare/ws,react")
    await expect(page.get_by_role("heading", level=1)).to_have_text("Compare two packages")
    await expect(page.locator("svg.chart.at-l")).to_be_visible()
    await expect(page.locator("svg.chart.at-m")).to_be_hidden()


async def test_s08_s09_version_in_the_table_opens_its_page(new_tab: Any, demo_site: Site) -> None:
    page = await new_tab("/pkg:demo-notch", demo_site.url)
    link = page.locator("#versions tbody a").last
    version = await link.inner_text()
    await link.click()
    await expect(page.locator(".meta b").first).to_have_text(f"v{version}")
    await expect(page.locator("#release")).to_contain_text("is the latest version")


async def test_s17_quality_page_says_what_this_browser_has_seen(
    new_tab: Any, demo_site: Site
) -> None:
    page = await new_tab("/quality", demo_site.url)
    await expect(page.locator("#measured")).to_contain_text("requests, 0 to other hosts, ")
