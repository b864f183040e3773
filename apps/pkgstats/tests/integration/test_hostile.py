"""What strangers can send: hostile words and names, too much of anything, cookies and forms."""

import re
from collections.abc import AsyncIterator
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import httpx2
import pytest
import pytest_asyncio

from pkgstats.models import DistTag, Engine, FileRow, Link
from pkgstats.site import Site

in_demo = pytest.mark.asyncio(loop_scope="session")
in_sample = pytest.mark.asyncio(loop_scope="module")

EVIL = "\"'></title></script><script>alert(1)</script><img src=x onerror=alert(1)>"
WORDS = [
    EVIL,
    "{{ 7 * 7 }}",
    "javascript:alert(1)",
    "' OR 1=1 --",
    "%00\x00\x01\x1b[31m",
    "‮ reversed",
    "keywords:" + ",".join("a" * 60),
    " ".join(["maintainer:x"] * 60),
    "x" * 20_000,
]


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def http(site: Site) -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(base_url=site.url, trust_env=False) as client:
        yield client


@pytest_asyncio.fixture(loop_scope="session", scope="session")
async def demo(demo_site: Site) -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(base_url=demo_site.url, trust_env=False) as client:
        yield client


class Markup(HTMLParser):
    """What of a page could run."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, str, str | None]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in ("img", "iframe", "object", "embed", "style", "base"):
            self.found.append((tag, "", None))
        for name, value in attrs:
            script = (value or "").strip().lower().startswith(("javascript:", "data:", "vbscript:"))
            is_address = name in ("href", "src", "action", "formaction", "content")
            if name.startswith("on") or name == "style" or (is_address and script):
                self.found.append((tag, name, value))
        if tag == "script":
            given = dict(attrs)
            ours = (given.get("src") or "").startswith("/static/")
            if not ours and given.get("type") != "application/ld+json":
                self.found.append((tag, "", None))


def is_harmless(html: str) -> bool:
    return Markup(html).found == []


@in_demo
@pytest.mark.parametrize("text", WORDS)
async def test_hostile_words_are_answered_and_become_no_markup(
    demo: httpx2.AsyncClient, text: str
) -> None:
    for path, field in (("/", "search"), ("/compare", "packages"), ("/api/v1/search", "q")):
        answer = await demo.get(path, params={field: text})
        assert answer.status_code in (200, 303, 400, 404), path
        if answer.headers.get("content-type", "").startswith("text/html"):
            assert is_harmless(answer.text)
            assert "49" not in re.findall(r"<h1.*?</h1>", answer.text, re.S)[0]


@in_demo
@pytest.mark.parametrize("path", ["/pkg:", "/@", "/org:", "/compare/", "/", "/static/", "/share/"])
async def test_hostile_addresses_are_answered_and_become_no_markup(
    demo: httpx2.AsyncClient, path: str
) -> None:
    for text in (EVIL, "..%2f..%2fetc%2fpasswd", "a" * 20_000, "%00", "%ff%fe"):
        answer = await demo.get(path + text)
        assert answer.status_code in (308, 400, 404), text[:20]
        assert is_harmless(answer.text)


@in_sample
async def test_a12_hostile_facts_of_a_registry_become_no_markup(
    http: httpx2.AsyncClient, catalog: Any
) -> None:
    safe = catalog.packages["ws"]
    usual = (await http.get("/pkg:ws")).text
    catalog.packages["ws"] = replace(
        safe,
        description=EVIL,
        license=EVIL,
        keywords=(EVIL,),
        deprecated=EVIL,
        maintainers=(EVIL,),
        engines=(Engine(EVIL, EVIL),),
        dist_tags=(DistTag(EVIL, "1.0.4"),),
        files=(FileRow(f"{EVIL}/x.js", 5),),
        links=(
            Link("homepage", "javascript:alert(1)"),
            Link("issues", f"https://x.example/{EVIL}"),
        ),
        repo_url=f"https://x.example/{EVIL}",
    )
    try:
        html = (await http.get("/pkg:ws")).text
        card = (await http.get("/share/ws.svg")).text
    finally:
        catalog.packages["ws"] = safe
    assert is_harmless(html)
    assert "javascript:" not in html
    assert html.count("</script>") == usual.count("</script>")
    assert "<script" not in card
    assert "onerror=alert(1)>" in html.replace("&gt;", ">")  # it is there, as text


@in_sample
@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/pkg:ws",
        "/no/such",
        "/pkg:fault",
        "/negotiate",
        "/robots.txt",
        "/feed/all.atom",
        "/api/v1/search?q=ws",
        "/chart/ws.svg",
        "/static/none",
        "/eventhandler",
        "/watch",
    ],
)
async def test_r16_every_answer_has_the_security_headers(
    http: httpx2.AsyncClient, path: str
) -> None:
    headers = (await http.get(path)).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "same-origin"
    assert headers["cross-origin-opener-policy"] == "same-origin"
    assert headers["cross-origin-resource-policy"] in ("same-origin", "cross-origin")
    policy = headers["content-security-policy"]
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy.replace("style-src 'unsafe-inline'", "")
    assert "script-src 'self'" in policy or "script-src" not in policy


@in_sample
async def test_cookies_are_for_this_site_and_out_of_reach_of_scripts(
    http: httpx2.AsyncClient,
) -> None:
    http.cookies.clear()
    answers = [
        await http.post("/theme", data={"theme": "dark", "back": "/"}),
        await http.get("/negotiate"),
    ]
    cookies = [line for answer in answers for line in answer.headers.get_list("set-cookie")]
    assert len(cookies) == 2
    for cookie in cookies:
        assert "HttpOnly" in cookie
        assert "SameSite=lax" in cookie


@in_sample
@pytest.mark.parametrize("path", ["/watch", "/theme"])
async def test_a_form_that_is_too_large_or_no_text_is_refused(
    http: httpx2.AsyncClient, path: str
) -> None:
    kind = {"content-type": "application/x-www-form-urlencoded"}
    answer = await http.post(path, content=b"name=" + b"x" * 10_000, headers=kind)
    assert answer.status_code == 413
    answer = await http.post(path, content=b"\xff\x00=%ff&do=star&name=%00", headers=kind)
    assert answer.status_code in (303, 400)
