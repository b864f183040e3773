"""Every page over HTTP, from a real site around the sample catalog."""

import re
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import httpx2
import pytest
import pytest_asyncio

from pkgstats.site import Site

MODEL = "/pkg:@azure/web-pubsub-client"
PAGES = ["/", MODEL, MODEL + "/v/1.0.2", "/pkg:left-pad", "/?search=web", "/?search=nothing"]
OTHERS = ["/sources", "/about", "/pkg:reakt", "/no/such/page", "/pkg:down"]


pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def http(site: Site) -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(base_url=site.url, trust_env=False) as client:
        yield client


async def test_s06_s07_package_page_has_name_as_only_h1_version_and_install_line(http: Any) -> None:
    html = (await http.get(MODEL)).text
    assert re.findall(r"<h1.*?</h1>", html) == [
        '<h1><span class="scope">@azure/</span><span>web-pubsub-client</span></h1>'
    ]
    assert "<b>v1.0.4</b>" in html
    assert '<code id="install">npm install @azure/web-pubsub-client</code>' in html
    assert "version date not known from this source" in html


async def test_s11_downloads_total_with_hole_is_at_least_the_sum(http: Any) -> None:
    html = (await http.get(MODEL)).text
    assert '<span class="vh">at least </span>' in html
    assert '<span id="total">120,113</span>' in html
    assert "1 day without a figure." in html
    assert "1 to 30 June 2026" in html


async def test_s12_package_without_counts_has_no_downloads_block_but_the_reason(http: Any) -> None:
    html = (await http.get("/pkg:left-pad")).text
    assert 'id="downloads"' not in html
    assert "NaN" not in html
    assert "downloads: not available from this source" in html


async def test_a8_texts_of_others_are_escaped(http: Any) -> None:
    html = (await http.get("/pkg:left-pad")).text
    assert "use &lt;b&gt;padStart&lt;/b&gt;" in html
    assert "A client for &lt;b&gt;tests&lt;/b&gt; &amp; more" in html
    html = (await http.get("/", params={"search": "<script>x</script>"})).text
    assert "<script>x" not in html
    assert "&lt;script&gt;x" in html


@pytest.mark.parametrize(
    ("asked", "status", "location"),
    [
        ("/pkg:%40azure%2Fweb-pubsub-client", 308, MODEL),
        ("/package/@azure/web-pubsub-client", 308, MODEL),
        ("/@azure/web-pubsub-client", 308, MODEL),
        ("/?search=pkg:react", 303, "/pkg:react"),
        ("/?search=@azure/web-pubsub-client@1.0.2", 303, MODEL + "/v/1.0.2"),
    ],
)
async def test_s04_other_spellings_lead_to_the_canonical_address(
    http: Any, asked: str, status: int, location: str
) -> None:
    answer = await http.get(asked)
    assert (answer.status_code, answer.headers["location"]) == (status, location)


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        ("/pkg:reakt", 404, "No package found for: <code>reakt</code>"),
        ("/pkg:react/v/9.9.9", 404, "No version found for: <code>react@9.9.9</code>"),
        ("/pkg:down", 503, "Nothing is known here yet about: <code>down</code>"),
        ("/pkg:withdrawn", 410, "withdrawn every version of: <code>withdrawn</code>"),
        ("/api/v1/package?name=withdrawn", 410, '"code":"withdrawn"'),
        ("/no/such/page", 404, "There is no page at <code>/no/such/page</code>"),
        ("/@nobody", 404, "No packages found for: <code>@nobody</code>"),
        ("/compare/a,", 404, "There is no page at"),
    ],
)
async def test_r15_what_is_not_there_is_said_with_the_right_status(
    http: Any, path: str, status: int, words: str
) -> None:
    answer = await http.get(path)
    assert answer.status_code == status
    assert words in answer.text


async def test_s05_r01_name_in_the_box_leads_to_users_and_scopes(http: Any) -> None:
    answer = await http.get("/?search=@azure")
    assert (answer.status_code, answer.headers["location"]) == (303, "/@azure")
    html = (await http.get("/@azure")).text
    assert "Packages in scope @azure" in html
    assert "User azure" in html
    assert "list may be incomplete" in html
    assert (await http.get("/~azure")).headers["location"] == "/@azure"
    assert "User azure" not in (await http.get("/org:azure")).text


async def test_fault_of_ours_answers_500_as_a_page_with_headers(
    http: Any, caplog: pytest.LogCaptureFixture
) -> None:
    answer = await http.get("/pkg:fault")
    assert answer.status_code == 500
    assert "The fault is ours." in answer.text
    assert "content-security-policy" in answer.headers
    assert "a fault for the test" in caplog.text


async def test_a6_every_page_and_answer_is_labelled_simulated(http: Any) -> None:
    for path in PAGES + OTHERS:
        html = (await http.get(path)).text
        assert "<body data-simulated" in html, path
        assert "simulated data</span>" in html, path
    assert (await http.get("/api/v1/suggest?q=web")).json()["simulated"] is True


async def test_no_page_has_a_dead_link(http: Any) -> None:
    seen: set[str] = set()
    for path in PAGES + OTHERS:
        html = (await http.get(path)).text
        ids = set(re.findall(r'id="([^"]+)"', html))
        for link in re.findall(r'(?:href|src)="([^"]+)"', html):
            if link.startswith("#"):
                assert link[1:] in ids, f"{link} on {path}"
            elif link.startswith("/"):
                seen.add(link.replace("&amp;", "&"))
    assert MODEL in seen
    for link in seen:
        assert (await http.get(link)).status_code < 400, link


async def test_page_asked_again_with_its_etag_answers_304(http: Any, catalog: Any) -> None:
    first = await http.get(MODEL)
    headers = {"if-none-match": first.headers["etag"]}
    assert (await http.get(MODEL, headers=headers)).status_code == 304
    catalog.packages["@azure/web-pubsub-client"] = replace(
        catalog.packages["@azure/web-pubsub-client"], last_outbox_id=99
    )
    assert (await http.get(MODEL, headers=headers)).status_code == 200


async def test_r16_policy_lets_pages_talk_to_this_site_and_its_hubbub_only(
    http: Any, site: Site
) -> None:
    headers = (await http.get("/")).headers
    policy = headers["content-security-policy"]
    socket_origin = site.hubbub_url.replace("http", "ws")
    assert f"connect-src 'self' {socket_origin};" in policy
    assert "script-src 'self';" in policy
    assert "unsafe" not in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "same-origin"


async def test_static_file_under_its_own_version_is_kept_for_ever(http: Any) -> None:
    html = (await http.get("/")).text
    address = re.search(r'src="(/static/home\.js\?v=[0-9a-f]+)"', html)
    assert address
    answer = await http.get(address[1])
    assert answer.headers["content-type"] == "text/javascript; charset=utf-8"
    assert "immutable" in answer.headers["cache-control"]
    plain = await http.get("/static/home.js")
    assert plain.headers["cache-control"] == "no-cache"
    again = await http.get("/static/home.js", headers={"if-none-match": plain.headers["etag"]})
    assert again.status_code == 304
    assert (await http.get("/static/no.js")).status_code == 404
    assert "WebPubSubClient" in (await http.get("/static/hubbub.js")).text


@pytest.mark.parametrize(
    "query", ["", "q=a&limit=0", "q=a&limit=x", "q=a&limit=21", "q=" + "a" * 501]
)
async def test_r13_suggest_with_a_bad_question_answers_400(http: Any, query: str) -> None:
    answer = await http.get(f"/api/v1/suggest?{query}")
    assert answer.status_code == 400
    assert answer.json()["error"]


async def test_r13_suggest_gives_address_and_version_of_each(http: Any) -> None:
    items = (await http.get("/api/v1/suggest?q=pubsub&limit=3")).json()["items"]
    assert [(item["text"], item["href"], item["version"]) for item in items] == [
        ("@azure/web-pubsub-client", MODEL, "1.0.4")
    ]
    assert (await http.get("/api/v1/suggest?q=zzz")).json()["items"] == []


async def test_r04_results_have_a_real_next_page_link(http: Any) -> None:
    html = (await http.get("/?search=web")).text
    assert '<a rel="next" href="/?search=web&amp;page=2">Next page</a>' in html
    assert "Page 2 of 2" in (await http.get("/?search=web&page=2")).text
    for odd in ("-3", "0", "x", "9" * 5_000, "\u0663"):
        assert "Page 1 of 2" in (await http.get("/", params={"search": "web", "page": odd})).text


async def test_post_to_a_page_answers_405(http: Any) -> None:
    assert (await http.post("/about")).status_code == 405
    assert (await http.get("/healthz")).text == "ok\n"


async def test_r12_a_kept_page_differs_by_theme_stars_range_and_host(
    http: Any, catalog: Any
) -> None:
    """The second reader gets the kept bytes, and nobody gets those of somebody else."""
    plain = (await http.get(MODEL)).text
    assert (await http.get(MODEL)).text == plain
    packed = await http.get(MODEL, headers={"accept-encoding": "gzip"})
    assert (packed.headers["content-encoding"], packed.text) == ("gzip", plain)
    assert packed.headers["vary"] == "Cookie, Accept-Encoding"
    bare = await http.get(MODEL, headers={"accept-encoding": "identity"})
    assert "content-encoding" not in bare.headers
    others = [
        await http.get(MODEL, headers={"cookie": "pkgstats_theme=dark"}),
        await http.get(MODEL + "?range=90d"),
        await http.get(MODEL, headers={"host": "other.example"}),
    ]
    texts = {plain, *(answer.text for answer in others)}
    assert len(texts) == 4
    assert (await http.get(MODEL)).text == plain
