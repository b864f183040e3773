"""What a reader sees move on lists, home and every page: figures, picks, notices, a closed line."""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Page, expect

from hubbub.testing import Hub
from pkgstats.live import negotiate
from pkgstats.live.publisher import publish_notice
from pkgstats.site import Site

pytestmark = pytest.mark.asyncio(loop_scope="session")

NAME = "@azure/web-pubsub-client"
NEWEST = {"name": "ws", "version": "9.0.0", "href": "/pkg:ws"}
CURATOR_KEY = "key of the curators"


async def live(page: Page, words: str = "live") -> Page:
    await expect(page.locator("#live")).to_have_text(words)
    return page


async def visitor(page: Page) -> str:
    cookies = await page.context.cookies()
    return next(str(c["value"]) for c in cookies if c["name"] == "pkgstats_visitor")


# --- lists ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/?search=web", "/@azure", "/"])
async def test_l04_l05_figure_of_a_card_moves_without_a_reload(
    new_tab: Any, catalog: Any, path: str
) -> None:
    page = await live(await new_tab(path))
    await page.evaluate("window.isSamePage = true")
    box = page.locator(f'[data-name="{NAME}"] [data-total]').first
    before = await box.text_content()
    catalog.commit("downloads", {"name": NAME, "total": 12_345_678, "at_least": False})
    await expect(box).to_have_text("12.3 M")
    await expect(box).to_have_class("num r changed" if path == "/" else "num changed")
    assert before != "12.3 M"
    assert await page.evaluate("window.isSamePage")


async def test_l04_comparison_is_drawn_anew_when_one_of_its_packages_changes(
    new_tab: Any, catalog: Any
) -> None:
    page = await live(await new_tab(f"/compare/{NAME},ws"))
    await page.evaluate("window.isSamePage = true")
    before = catalog.packages["ws"]
    catalog.packages["ws"] = replace(before, version="7.7.7", latest="7.7.7")
    catalog.commit("release", {"name": "ws", "version": "7.7.7"}, name="ws")
    await expect(page.locator("#c-facts")).to_contain_text("7.7.7")
    assert await page.evaluate("window.isSamePage")
    catalog.packages["ws"] = before


async def test_l05_columns_and_the_latest_pick_move_and_pause(new_tab: Any, catalog: Any) -> None:
    page = await live(await new_tab("/"))
    newest = page.locator("[data-feed=newest] li")
    catalog.commit_to("feed.newest", "newest", NEWEST)
    await expect(newest.first).to_have_text("ws9.0.0just now")
    pick = {"kind": "random", "name": "react", "reason": "drawn", "href": "/pkg:react"}
    for group in ("feed.bot", "feed.random"):
        catalog.commit_to(group, "pick", pick)
    await expect(page.locator("#ticker")).to_have_text("react random: drawn")
    await expect(page.locator("[data-feed=random] li").first).to_contain_text("react")
    await page.get_by_role("button", name="Pause what moves").click()
    await live(page, "paused")
    catalog.commit_to("feed.bot", "pick", pick | {"name": "ws"})
    catalog.commit_to(await visitor(page), "release", NEWEST, "user")  # comes behind it
    await expect(page.locator("#notices")).to_contain_text("ws 9.0.0 has just been published.")
    await expect(page.locator("#ticker")).to_have_text("react random: drawn")
    await page.get_by_role("button", name="Pause what moves").click()
    await live(page)


async def test_l05_messages_that_are_not_as_agreed_change_nothing(
    new_tab: Any, catalog: Any, site: Site
) -> None:
    page = await live(await new_tab("/"))
    before = await page.locator("main").inner_text()
    evil = "javascript:alert(1)"
    for data in (
        NEWEST | {"href": evil},
        NEWEST | {"href": "//evil.example"},
        NEWEST | {"version": "<b>"},
        NEWEST | {"name": 7},
        {},
        None,
    ):
        await site.client.send_to_group("feed.newest", {"t": "newest", "data": data})
        await site.client.send_to_group("feed.bot", {"t": "pick", "data": data})
    assert before == await page.locator("main").inner_text()
    catalog.commit_to("feed.newest", "newest", NEWEST)
    await expect(page.locator("[data-feed=newest] li").first).to_contain_text("9.0.0")
    assert await page.locator("#notices p").count() == 0


# --- this visitor, everybody --------------------------------------------------------------------------


async def test_l07_s24_notice_shows_in_all_tabs_of_the_visitor(
    new_tab: Any, site: Site, catalog: Any
) -> None:
    first = await live(await new_tab("/about"))
    second = await first.context.new_page()
    await second.goto(f"{site.url}/pkg:react")
    await live(second)
    stranger = await live(await new_tab("/about"))
    catalog.commit_to(await visitor(first), "release", NEWEST, "user")
    for tab in (first, second):
        notice = tab.locator("#notices p")
        await expect(notice).to_contain_text("ws 9.0.0 has just been published.")
        await expect(notice.get_by_role("link")).to_have_attribute("href", "/pkg:ws")
    await publish_notice(site.client, "To everybody.")
    await expect(stranger.locator("#notices p")).to_have_text("To everybody.Close")
    await first.get_by_role("button", name="Close").first.click()
    await expect(first.locator("#notices p")).to_have_text("To everybody.Close")


async def test_l10_bar_comes_moves_nothing_and_goes(new_tab: Any, site: Site) -> None:
    page = await live(await new_tab(f"/pkg:{NAME}"))
    place = await page.locator("h1").bounding_box()
    await publish_notice(site.client, "Data refresh is paused until 10:15 UTC.")
    await expect(page.locator("#notices")).to_contain_text("Data refresh is paused until 10:15")
    assert await page.locator("h1").bounding_box() == place
    await publish_notice(site.client, "")
    await expect(page.locator("#notices p")).to_have_count(0)


# --- closing ------------------------------------------------------------------------------------------


async def test_l15_closed_by_an_administrator_stops_and_a_button_connects_again(
    new_tab: Any, site: Site
) -> None:
    page = await live(await new_tab("/pkg:ws"))
    await site.client.close_user_connections(await visitor(page), reason="enough of it")
    await live(page, "stopped")
    notice = page.locator("#notices p")
    await expect(notice).to_contain_text("Disconnected by the site: enough of it.")
    await page.get_by_role("button", name="Connect again").click()
    await live(page)
    await expect(notice).to_have_count(0)
    await site.client.send_to_group("pkg:ws", {"t": "downloads", "data": {"total": 4321}})
    await expect(page.locator("#total")).to_have_text("4,321")


# --- curators -----------------------------------------------------------------------------------------


@pytest_asyncio.fixture(loop_scope="session")
async def curated(start_site: Any, sample_catalog: Any) -> AsyncIterator[Site]:
    async with start_site(sample_catalog(), curator=CURATOR_KEY) as site:
        yield site


async def test_l09_curators_pick_shows_on_home_and_then_the_refusal(
    curated: Site, new_tab: Any
) -> None:
    home = await live(await new_tab("/", curated.url))
    page = await new_tab("/curator", curated.url)
    await page.get_by_label("Key").fill(CURATOR_KEY)
    await page.get_by_role("button", name="Sign in").click()
    await live(page)
    for name in ("ws", "react"):
        await page.get_by_role("textbox", name="Package").fill(name)
        await page.get_by_label("Why").fill("small and sharp")
        await page.get_by_role("button", name="Post").click()
        await expect(page.locator("#outcome")).to_have_text(f"Posted: {name}.")
        await expect(home.locator("#ticker")).to_have_text(f"{name} curator: small and sharp")
    await page.get_by_role("button", name="Give the right back").click()
    await expect(page.locator("#outcome")).to_have_text("The right is given back.")
    await page.get_by_role("textbox", name="Package").fill("ws")
    await page.get_by_label("Why").fill("again")
    await page.get_by_role("button", name="Post").click()
    await expect(page.locator("#outcome")).to_have_text("Not posted: Forbidden.")


# --- bad networks -------------------------------------------------------------------------------------


@pytest_asyncio.fixture(loop_scope="session")
async def shaky(
    start_site: Any, sample_catalog: Any, unused_tcp_port_factory: Any
) -> AsyncIterator[tuple[Site, Hub]]:
    """A site and a hub whose links to browsers a test can break."""
    port = unused_tcp_port_factory()
    async with (
        Hub("pkgstats", event_handler=f"http://127.0.0.1:{port}/eventhandler") as hub,
        start_site(sample_catalog(), port, hub.connection_string) as site,
    ):
        yield site, hub


async def test_l12_ticker_shows_no_gap_and_no_repeat(shaky: Any, new_tab: Any) -> None:
    site, hub = shaky
    page = await live(await new_tab("/", site.url, may_say="Closed with"))
    await page.evaluate(
        """() => {
          window.shown = [];
          const ticker = document.getElementById("ticker");
          const note = (changes) => changes.filter((c) => c.addedNodes.length).forEach((c) =>
            shown.push([...c.addedNodes].map((node) => node.textContent).join("")));
          new MutationObserver(note).observe(ticker, {childList: true});
        }"""
    )
    sent = []
    for round in range(3):
        for i in range(4):
            pick = {"kind": "random", "name": f"p{round}{i}", "reason": "drawn", "href": "/pkg:p"}
            sent.append(f"p{round}{i} random: drawn")
            await hub.backend.send_to_group("feed.bot", {"t": "pick", "data": pick})
            if i == 1:
                hub.proxy.is_refusing = True
                hub.cut()
        hub.proxy.is_refusing = False
        await expect(page.locator("#ticker")).to_have_text(sent[-1])
    await live(page)
    assert await page.evaluate("shown") == sent
    assert hub.proxy.cuts >= 3


async def test_l13_list_asks_again_to_be_followed_and_a_lost_group_is_said(
    shaky: Any, new_tab: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    site, hub = shaky
    results = await live(await new_tab("/?search=web", site.url, may_say="Closed with"))
    package = await live(await new_tab("/pkg:ws", site.url, may_say="follow what it shows"))
    grant_for = negotiate.grant_for
    monkeypatch.setattr(
        negotiate,
        "grant_for",
        lambda page, **o: negotiate.Grant() if "ws" in page else grant_for(page, **o),
    )
    await hub.restart()
    await live(results, "reconnecting")
    await live(results)
    message = {"t": "downloads", "data": {"name": NAME, "total": 12_345_678}}
    await hub.backend.send_to_group(f"pkg:{NAME}", message)
    card = results.locator(f'[data-name="{NAME}"] [data-total]').first
    await expect(card).to_have_text("12.3 M")
    await live(package, "not live")
    await expect(package.locator("#notices")).to_contain_text("may miss changes")
