"""Every page of the demonstration over HTTP: what it says, what it links to, how it is found."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from importlib.metadata import distribution
from typing import Any
from urllib.parse import urlsplit
from xml.etree import ElementTree

import httpx2
import pytest
import pytest_asyncio

from pkgstats.site import Site

pytestmark = pytest.mark.asyncio(loop_scope="session")

MODEL = "/pkg:@azure/web-pubsub-client"
TAG_LINE = "npm package discovery and stats viewer"
OWN = ["/", "/about", "/quality", "/feed", "/compare", "/watch", "/sources", "/?search=demo"]
PAGES = [*OWN, "/credits", MODEL, "/@demo-team", "/org:demo", "/compare/react,ws", "/pkg:none-such"]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def http(demo_site: Site) -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(base_url=demo_site.url, trust_env=False) as client:
        yield client


def meta(html: str, name: str) -> str:
    found = re.search(rf'<meta (?:name|property)="{name}" content="([^"]*)">', html)
    return found[1] if found else ""


async def test_s01_tag_line_stands_in_title_heading_and_description(http: Any) -> None:
    html = (await http.get("/")).text
    assert f"<title>pkgstats: {TAG_LINE}</title>" in html
    assert f'<h1 class="words">{TAG_LINE}</h1>' in html
    assert meta(html, "description").startswith(TAG_LINE)


async def test_s02_s23_every_page_has_tips_and_a_footer_that_says_who_it_is(http: Any) -> None:
    for path in PAGES:
        html = (await http.get(path)).text
        assert html.count('<dl class="key">') == 1, path
        assert '<a href="/pkg:react">pkg:react</a>' in html
        foot = html[html.index("<footer") :]
        assert re.search(r"© 20\d\d pkgstats, .*Not affiliated with npm\.", foot), path


async def test_s09_f03_date_is_that_of_the_shown_version_absolute_and_relative(
    http: Any, demo_site: Site
) -> None:
    data: Any = await demo_site.catalog.package("demo-notch")
    first = data.versions[-1]
    html = (await http.get(f"/pkg:demo-notch/v/{first.version}")).text
    shown = re.search(r'Published <time datetime="([^"]+)">([^<]+)</time>, ([^<]+)</span>', html)
    assert shown
    assert shown[1] == first.published_at.isoformat()
    assert shown[2] == f"{first.published_at.day} {first.published_at:%B %Y}"
    assert shown[3].endswith(" ago")
    assert "version date not known from this source" in (await http.get(MODEL)).text


async def test_s17_every_page_leads_to_how_it_is_checked(http: Any) -> None:
    for path in PAGES:
        assert '<a href="/quality">How this page is checked</a>' in (await http.get(path)).text
    html = (await http.get("/quality")).text
    assert "no sideways scrolling at 320 px" in html
    assert 'id="measured"' in html


async def test_s18_about_leads_to_the_watch_list(http: Any) -> None:
    html = (await http.get("/about")).text
    assert "decide what to do next" in html
    assert '<a href="/watch">watch list</a>' in html


async def test_s21_pages_of_our_own_link_to_this_site_only(http: Any) -> None:
    for path in set(OWN) - {"/?search=demo"}:
        html = (await http.get(path)).text
        links = re.findall(r'<a [^>]*href="([^"]+)"', html)
        assert all(link.startswith(("/", "#")) for link in links), path


async def test_s22_credits_name_what_is_installed_with_its_licence(http: Any) -> None:
    html = (await http.get("/credits")).text
    for name in ("hubbub", "Jinja2", "markdown-it-py", "nh3", "Pygments", "starlette"):
        row = re.search(
            rf">{name}</(?:a|span)></th><td class=\"num\">([^<]+)</td><td>([^<]+)<", html
        )
        assert row, name
        assert row[1] == distribution(name).version
        assert row[2].strip()
    assert ">pytest<" not in html


async def test_s24_star_is_kept_for_the_visitor_and_taken_back(demo_site: Site) -> None:
    async with httpx2.AsyncClient(base_url=demo_site.url, trust_env=False) as visitor:
        form = {"name": "ws", "do": "star", "back": "/pkg:ws"}
        answer = await visitor.post("/watch", data=form)
        assert (answer.status_code, answer.headers["location"]) == (303, "/pkg:ws")
        assert 'aria-pressed="true"><span' in (await visitor.get("/pkg:ws")).text
        html = (await visitor.get("/watch")).text
        assert '<a class="name" href="/pkg:ws">ws</a>' in html
        assert "Nothing has changed." in html
        await visitor.post("/watch", data={"name": "ws", "do": "unstar"})
        assert "You watch no package yet." in (await visitor.get("/watch")).text


@pytest.mark.parametrize("path", ["/watch", "/theme"])
async def test_forms_of_other_sites_are_refused(http: Any, path: str) -> None:
    for headers in ({"sec-fetch-site": "cross-site"}, {"origin": "https://other.example"}):
        answer = await http.post(path, data={"name": "ws"}, headers=headers)
        assert answer.status_code == 403
    assert (await http.post(path, content=b"x" * 5_000)).status_code == 413


@pytest.mark.parametrize("back", ["//other.example", "https://other.example/", "/\\other.example"])
async def test_form_leads_back_to_this_site_only(http: Any, back: str) -> None:
    answer = await http.post("/theme", data={"theme": "", "back": back})
    assert (answer.status_code, answer.headers["location"]) == (303, "/")


async def test_theme_of_the_visitor_is_in_the_page_from_the_server(demo_site: Site) -> None:
    async with httpx2.AsyncClient(base_url=demo_site.url, trust_env=False) as visitor:
        assert '<html lang="en">' in (await visitor.get("/about")).text
        await visitor.post("/theme", data={"theme": "dark"})
        assert '<html lang="en" data-theme="dark">' in (await visitor.get("/about")).text
        await visitor.post("/theme", data={"theme": ""})
        assert '<html lang="en">' in (await visitor.get("/about")).text


async def test_a07_versions_dependencies_and_files_are_tables_with_links(http: Any) -> None:
    html = (await http.get(f"{MODEL}/v/1.0.4")).text
    jump = html[html.index('<nav class="jump"') : html.index("</nav>", html.index('class="jump"'))]
    assert re.findall(r'href="#(\w+)"', jump) == [
        "downloads",
        "readme",
        "dependencies",
        "versions",
        "files",
    ]
    assert f'href="{MODEL}/v/1.0.2">1.0.2</a>' in html
    assert '<span class="badge">latest</span>' in html
    assert '<a class="name" href="/pkg:ws">ws</a></th><td class="r wants">^8.18.0</td>' in html
    assert "264 files, 935.4 kB unpacked." in html


async def test_a09_badges_say_licence_modules_types_and_engines(http: Any) -> None:
    html = (await http.get(f"{MODEL}/v/1.0.4")).text
    assert re.findall(r'<span class="badge">([^<]+)</span>', html)[:4] == [
        "MIT",
        "ESM + CJS",
        "types included",
        "Node ≥ 20",
    ]


async def test_a10_range_and_unit_are_links_and_pictures_have_addresses(http: Any) -> None:
    html = (await http.get(f"{MODEL}?range=12m")).text
    assert '<span id="total">134,113</span>' in html
    current = re.findall(r'<a href="([^"]+)" aria-current="true">([^<]+)<', html)
    assert [text for _, text in current] == ["12 months", "weeks"]
    assert current[0][0] == f"{MODEL}?range=12m#downloads"
    for path in re.findall(r'<a href="(/(?:chart|badge)/[^"]+)"', html):
        answer = await http.get(path.replace("&amp;", "&"))
        assert answer.status_code == 200, path
        assert answer.headers.get("etag")
        if path.partition("?")[0].endswith(".svg"):
            ElementTree.fromstring(answer.text)
            assert answer.headers["cross-origin-resource-policy"] == "cross-origin"
            assert "simulated" in answer.text
            assert " style=" not in answer.text
            assert "<style" not in answer.text
    assert (await http.get("/chart/no-such-package.svg")).status_code == 404


async def test_r14_package_page_says_what_it_is_to_those_who_link_to_it(
    http: Any, demo_site: Site
) -> None:
    html = (await http.get(f"{MODEL}/v/1.0.4?range=90d")).text
    assert "<title>@azure/web-pubsub-client 1.0.4: downloads, versions, readme | pkgstats" in html
    assert meta(html, "og:title") == "@azure/web-pubsub-client 1.0.4"
    assert "134,113 downloads in 30 days (simulated)." in meta(html, "description")
    assert f'<link rel="canonical" href="{demo_site.url}{MODEL}">' in html
    told = re.search(r'<script type="application/ld\+json">(.*?)</script>', html)
    assert told
    machine = json.loads(told[1])
    assert machine["@type"] == "SoftwareSourceCode"
    assert (machine["name"], machine["version"]) == ("@azure/web-pubsub-client", "1.0.4")
    image = await http.get(urlsplit(meta(html, "og:image")).path)
    assert image.headers["content-type"] == "image/png"
    assert image.content[:8] == b"\x89PNG\r\n\x1a\n"
    assert int.from_bytes(image.content[16:20]), int.from_bytes(image.content[20:24]) == (1200, 630)


async def test_r14_robots_and_sitemap_lead_to_what_may_be_found(http: Any, demo_site: Site) -> None:
    robots = (await http.get("/robots.txt")).text
    assert f"Sitemap: {demo_site.url}/sitemap.xml" in robots
    assert "Disallow: /?search=" in robots
    tree = ElementTree.fromstring((await http.get("/sitemap.xml")).text)
    places = [element.text for element in tree.iterfind("{*}url/{*}loc")]
    assert f"{demo_site.url}{MODEL}" in places
    assert len(places) == len(set(places)) > 60
    for path in ("/?search=demo", "/watch", "/pkg:none-such"):
        assert meta((await http.get(path)).text, "robots") == "noindex"


async def test_r01_every_kind_of_page_answers_and_others_spell_308(http: Any) -> None:
    for path in ("/@demo-team", "/org:demo", "/compare/react,ws", "/share/ws.svg", "/feed"):
        assert (await http.get(path)).status_code == 200, path
    for asked, canonical in {
        "/~demo-team": "/@demo-team",
        "/scope:demo": "/org:demo",
        "/compare/react%2Cws?range=30d": "/compare/react,ws?range=30d",
    }.items():
        answer = await http.get(asked)
        assert (answer.status_code, answer.headers["location"]) == (308, canonical)


async def test_r02_home_shows_popular_newest_and_random(http: Any) -> None:
    html = (await http.get("/")).text
    assert re.findall(r'data-feed="(\w+)"', html) == ["popular", "newest", "random"]
    assert len(re.findall(r"<li[ >]", html)) == 30
    assert "Drawn evenly from the packages here" in html


async def test_r03_card_has_publisher_version_date_total_sparkline_and_links(http: Any) -> None:
    html = (await http.get("/?search=demo-notch")).text
    card = html[html.index('<li class="result"') :].partition("</li>")[0]
    assert '<a class="name" href="/pkg:demo-notch">demo-notch</a>' in card
    assert '<span class="badge">exact match</span>' in card
    assert re.search(r'<a href="/@demo-\w+">demo-\w+</a>', card)
    assert re.search(r"<b data-version>v\d+\.\d+\.\d+</b><time datetime=", card)
    assert re.search(r'<b class="num" data-total>.*386 k</b><svg class="spark" role="img"', card)
    assert 'rel="nofollow ugc noopener noreferrer" href="https://code-host.example/' in card


async def test_s05_user_page_adds_up_its_packages_and_says_what_may_be_missing(http: Any) -> None:
    html = (await http.get("/@demo-team")).text
    assert html.count("<h2 id=") == 2
    assert "Packages in scope @demo-team" in html
    assert re.search(r"downloads in the last 30 days,<br>\d+ packages of \d+ added up", html)
    assert '<svg class="chart at-ml" role="img" aria-labelledby="user-ml-t' in html
    assert "list may be incomplete" in html
    assert "packages of a user: not available from this source" in html


async def test_r01_comparison_has_a_dash_for_each_package_and_says_what_is_missing(
    http: Any,
) -> None:
    html = (await http.get("/compare/react,express,none-such")).text
    assert "No package found for: <code>none-such</code>" in html
    chart = html[html.index('<svg class="chart at-l"') :].partition("</svg>")[0]
    assert re.findall(r'<g class="(q\d)">', chart) == ["q1", "q2"]
    assert len(set(re.findall(r'class="ln" d="[^"]+"([^/]*)/>', chart))) == 2
    assert "first week = 100" in html
    assert (await http.get("/compare/none-such,nor-this")).status_code == 404


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("react, ws", 303),
        ("react,", "value=&#34;react, &#34;"),
        ("a b c d e f g", "At most 6 packages fit one chart."),
        ("<b>", "“&lt;b&gt;” is no package name."),
    ],
)
async def test_r01_form_to_compare(http: Any, text: str, answer: int | str) -> None:
    got = await http.get("/compare", params={"packages": text})
    if isinstance(answer, int):
        assert (got.status_code, got.headers["location"]) == (answer, "/compare/react,ws")
    else:
        assert answer.replace("&#34;", '"') in got.text


async def test_r15_nothing_found_names_what_is_near(http: Any) -> None:
    answer = await http.get("/pkg:demo-not")
    assert answer.status_code == 404
    assert "No package found for: <code>demo-not</code>" in answer.text
    assert '<a class="name" href="/pkg:demo-notch">demo-notch</a>' in answer.text
    html = (await http.get("/?search=zzzzzz")).text
    assert "No results found for: <code>zzzzzz</code>" in html


async def test_a04_a03_results_say_among_how_many_and_what_no_source_offers(http: Any) -> None:
    html = (await http.get("/?search=demo")).text
    assert "among 60 packages known here" in html
    assert "search of the whole registry: not available from this source" in html


async def test_s20_feed_page_lists_the_picks_and_names_its_feeds(http: Any) -> None:
    html = (await http.get("/feed")).text
    assert html.count('<time class="quiet num"') == 3
    for kind in ("popular", "newest", "random"):
        assert f'href="/feed?kind={kind}"' in html
        assert (await http.get(f"/feed/{kind}.atom")).status_code == 200
    assert (await http.get("/feed?kind=other")).status_code == 404


async def test_a06_every_page_and_picture_is_labelled(http: Any) -> None:
    answers = await asyncio.gather(*(http.get(path) for path in PAGES))
    for path, answer in zip(PAGES, answers, strict=True):
        assert "<body data-simulated" in answer.text, path
        assert "simulated data</span>" in answer.text, path
    for path in ("/chart/ws.svg", "/badge/ws.svg", "/share/ws.svg", "/chart/ws.csv"):
        assert "simulated" in (await http.get(path)).text, path
