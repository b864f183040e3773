"""What a reader sees change: figures, releases, suggestions, lost and healed connections."""

import asyncio
import json
import re
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Page, WebSocket, expect

from hubbub.service import EventHandlerSettings, HubSettings, Service, Settings
from hubbub.testing import eventually
from pkgstats.site import Site

pytestmark = pytest.mark.asyncio(loop_scope="session")

NAME = "@azure/web-pubsub-client"
GROUP = f"pkg:{NAME}"
PAGE = f"/pkg:{NAME}"
KEY = "k" * 44
BEFORE = "120,113"


async def live(page: Page) -> Page:
    await expect(page.locator("#live")).to_have_text("live")
    return page


async def test_s04_l02_typed_name_opens_the_page_and_a_message_changes_its_figure(
    new_tab: Any, site: Site
) -> None:
    page = await new_tab("/")
    await page.get_by_role("combobox").fill(f"pkg:{NAME}")
    await page.keyboard.press("Enter")
    await expect(page).to_have_url(site.url + PAGE)
    await expect(page.get_by_role("heading", level=1)).to_have_text(NAME)
    await live(page)
    await page.evaluate("window.isSamePage = true")
    await expect(page.locator("#total")).to_have_text(BEFORE)
    message = {"t": "downloads", "data": {"total": 134226}}
    await site.client.send_to_group(GROUP, message)
    await expect(page.locator("#total")).to_have_text("134,226")
    await expect(page.locator("#total")).to_have_class("changed")
    await expect(page.locator("#said")).to_have_text("Downloads in the last 30 days: 134,226.")
    assert await page.evaluate("window.isSamePage")


async def test_l02_two_tabs_see_the_same_committed_change(new_tab: Any, catalog: Any) -> None:
    tabs = [await live(await new_tab("/pkg:ws")), await live(await new_tab("/pkg:ws"))]
    catalog.commit("downloads", {"total": 134300}, name="ws")
    for tab in tabs:
        await expect(tab.locator("#total")).to_have_text("134,300")
        await expect(tab.locator("#watchers")).to_have_text("2 people watch this page")


async def test_l03_release_offers_the_version_and_does_not_jump(new_tab: Any, catalog: Any) -> None:
    page = await live(await new_tab(PAGE))
    await expect(page.locator("#release")).to_be_hidden()
    catalog.commit("release", {"version": "1.1.0"})
    await expect(page.locator("#release")).to_be_visible()
    words = "1.1.0 has just been published. You are reading 1.0.4."
    await expect(page.locator("#release > span")).to_have_text(words)
    link = page.get_by_role("link", name="Show 1.1.0")
    await expect(link).to_have_attribute("href", f"{PAGE}/v/1.1.0")
    await expect(page.get_by_text("v1.0.4")).to_be_visible()


async def test_l02_messages_that_are_old_or_not_as_agreed_change_nothing(
    new_tab: Any, site: Site
) -> None:
    page = await live(await new_tab(PAGE))
    await page.evaluate(
        """() => {
          window.figures = [];
          const note = () => figures.push(document.getElementById("total").textContent);
          new MutationObserver(note).observe(document.getElementById("total"), {childList: true});
        }"""
    )
    evil = "<img src=x onerror=alert(1)>"
    for message in (
        {"id": 1, "t": "downloads", "data": {"total": 1}},
        {"id": "x", "t": "downloads", "data": {"total": 2}},
        {"t": "downloads", "data": {"total": "3"}},
        {"t": "downloads", "data": {"total": -4}},
        {"t": "downloads", "data": None},
        {"t": "constructor", "data": {}},
        {"t": "release", "data": {"version": evil}},
        {"t": "watchers", "data": {"count": evil}},
        "words",
    ):
        await site.client.send_to_group(GROUP, message)
    await site.client.send_to_group(GROUP, {"t": "downloads", "data": {"total": 5000}})
    await expect(page.locator("#total")).to_have_text("5,000")
    assert await page.evaluate("figures") == ["5,000"]
    await expect(page.locator("#release")).to_be_hidden()
    await expect(page.locator("#watchers")).to_have_text(re.compile(r"^\d+ pe\w+ watch"))
    assert await page.locator("img").count() == 0


async def test_l06_suggestions_come_over_the_socket_and_obey_the_keys(
    new_tab: Any, site: Site, catalog: Any
) -> None:
    page = await live(await new_tab(PAGE))
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    await page.keyboard.press("/")
    box = page.get_by_role("combobox")
    await expect(box).to_be_focused()
    await page.keyboard.type("rea")
    options = page.get_by_role("option")
    await expect(options).to_have_count(1)
    await expect(options.locator("mark")).to_have_text("rea")
    await expect(box).to_have_attribute("aria-expanded", "true")
    await page.keyboard.press("ArrowDown")
    await expect(options.first).to_have_attribute("aria-selected", "true")
    await expect(box).to_have_attribute("aria-activedescendant", "s0")
    await page.keyboard.press("Escape")
    await expect(box).to_have_attribute("aria-expanded", "false")
    assert "rea" in catalog.asked
    assert not [url for url in requests if "/api/" in url]
    await page.keyboard.press("ArrowDown")
    await page.keyboard.press("Enter")
    await expect(page).to_have_url(site.url + "/pkg:react")


async def test_l06_each_key_cancels_the_question_before_it(
    new_tab: Any, site: Site, catalog: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = await new_tab("/about")
    sent: list[dict[str, Any]] = []

    def listen(link: WebSocket) -> None:
        link.on("framesent", lambda text: sent.append(json.loads(text)))

    page.on("websocket", listen)
    await page.reload()
    await live(page)
    answer, suggest = asyncio.Event(), catalog.suggest

    async def slow(text: str, limit: int = 8) -> Any:
        if text == "rea":
            await answer.wait()
        return await suggest(text, limit)

    monkeypatch.setattr(catalog, "suggest", slow)
    box = page.get_by_role("combobox")
    await box.fill("rea")
    await eventually(lambda: any(frame["type"] == "invoke" for frame in sent))
    await box.fill("reac")
    await expect(page.get_by_role("option").locator("mark")).to_have_text("reac")
    answer.set()
    asked = [frame for frame in sent if frame["type"] in ("invoke", "cancelInvocation")]
    assert [frame["type"] for frame in asked] == ["invoke", "cancelInvocation", "invoke"]
    assert asked[0]["data"] == {"q": "rea", "limit": 8}
    assert asked[1]["invocationId"] == asked[0]["invocationId"]
    await expect(page.get_by_role("option").locator("mark")).to_have_text("reac")


@pytest_asyncio.fixture(loop_scope="session")
async def cut_site(start_site: Any, catalog: Any, wire: Any) -> AsyncIterator[Site]:
    """A site whose browsers reach hubbub through `wire` only."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        web_port = probe.getsockname()[1]
    async with Service(_service_settings(web_port)) as service:
        wire.target = int(service.url.rpartition(":")[2])
        text = f"{service.connection_string}ClientEndpoint=http://127.0.0.1:{await wire.start()};"
        async with start_site(catalog, web_port, text) as site:
            yield site


def _service_settings(web_port: int) -> Settings:
    handler = EventHandlerSettings(
        url_template=f"http://127.0.0.1:{web_port}/eventhandler",
        user_event_pattern="*",
        system_events=("connect", "disconnected"),
    )
    hubs = {"pkgstats": HubSettings(event_handlers=(handler,))}
    return Settings(port=0, access_key=KEY, hubs=hubs)


async def test_l12_cut_connection_heals_and_nothing_is_missed(
    cut_site: Site, new_tab: Any, wire: Any
) -> None:
    page = await live(await new_tab(PAGE, cut_site.url, may_say="Closed with"))
    target, wire.target = wire.target, None
    await wire.cut()
    await expect(page.locator("#live")).to_have_text("reconnecting")
    await cut_site.client.send_to_group(GROUP, {"t": "downloads", "data": {"total": 140000}})
    wire.target = target
    await expect(page.locator("#total")).to_have_text("140,000")
    await live(page)


async def test_l13_restarted_hubbub_is_joined_again_and_the_page_catches_up(
    cut_site: Site, new_tab: Any, wire: Any, catalog: Any
) -> None:
    page = await live(await new_tab(PAGE, cut_site.url, may_say="Closed with"))
    web_port = int(cut_site.url.rpartition(":")[2])
    async with Service(_service_settings(web_port)) as another:
        wire.target = int(another.url.rpartition(":")[2])
        await wire.cut()
        await expect(page.locator("#live")).to_have_text("reconnecting")
        # Meanwhile a release: its message goes to nobody, the page must find it by itself.
        data = catalog.packages[NAME]
        catalog.packages[NAME] = type(data)(**_fields(data) | {"latest": "1.2.0"})
        await live(page)
        await expect(page.locator("#release b")).to_have_text("1.2.0")
        await expect(page.locator("#watchers")).to_have_text("1 person watches this page")
        catalog.packages[NAME] = data


def _fields(data: Any) -> dict[str, Any]:
    return {name: getattr(data, name) for name in data.__dataclass_fields__}


async def test_l06_suggestions_come_over_http_while_there_is_no_socket(
    cut_site: Site, new_tab: Any, wire: Any
) -> None:
    wire.target = None
    page = await new_tab("/", cut_site.url, may_say="no live connection yet")
    await page.get_by_role("combobox").press_sequentially("react")
    await expect(page.get_by_role("option")).to_have_text(["reactv1.0.4"])
