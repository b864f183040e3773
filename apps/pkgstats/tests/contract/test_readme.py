"""The readme pipeline: from a tarball to safe HTML."""

import io
import json
import tarfile
import time
from collections.abc import Iterator
from html.parser import HTMLParser
from importlib import resources

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pkgstats.readme import tarball
from pkgstats.readme.render import Images, render
from pkgstats.readme.sanitise import clean, resolver
from pkgstats.sources.recorded import data_json, data_text

REPO = "https://code.example/o/n"
DEMO = data_text("readmes/azure-web-pubsub-client-1.0.4.demo.md")
HEAVY = data_text("readmes/made-up.html-heavy.md")
HOSTILE = data_text("readmes/made-up.hostile.md") + "[" * 10_000 + "\n\n" + "> " * 10_000


class Seen(HTMLParser):
    """Tags and attributes of a rendered text, as a browser would meet them."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))

    def every(self, tag: str) -> Iterator[dict[str, str]]:
        return (attributes for name, attributes in self.tags if name == tag)


def rendered(text: str, images: Images = "click") -> Seen:
    return Seen(render(text, images=images, repo_url=REPO, repo_dir="packages/x").html)


def test_s13_the_demonstration_readme_has_the_recorded_outline() -> None:
    outline = data_json("readmes/azure-web-pubsub-client-1.0.4.headings.json")
    readme = render(DEMO, images="off")
    assert [{"level": h.level, "text": h.text} for h in readme.headings] == outline
    assert len(readme.headings) == 31
    seen = Seen(readme.html)
    assert {"ul", "ol", "table", "pre", "hr", "a", "blockquote"} <= {tag for tag, _ in seen.tags}
    assert not list(seen.every("h1"))


def test_s15_js_ts_and_bash_are_highlighted_by_classes() -> None:
    for language in ("js", "ts snippet:Name", "bash"):
        seen = rendered(f"```{language}\nconst a = 'x' # y\n```")
        assert any("class" in attributes for attributes in seen.every("span")), language
        assert not any("style" in attributes for _tag, attributes in seen.tags)
    assert not list(rendered("```no-such-language\nplain\n```").every("span"))


def test_s16_links_inside_the_readme_lead_to_its_headings() -> None:
    seen = rendered(DEMO)
    ids = {attributes["id"] for _tag, attributes in seen.tags if "id" in attributes}
    inside = {a["href"][1:] for a in seen.every("a") if a.get("href", "").startswith("#")}
    assert "user-content-key-concepts" in inside
    assert inside <= ids


def test_s14_images_are_loaded_only_when_the_setting_says_so() -> None:
    text = "![the picture](a.png) [![badge](b.svg)](https://x.example/) ![](c.png)"
    direct = list(rendered(text, "direct").every("img"))
    assert [image["alt"] for image in direct] == ["the picture", "badge", ""]
    assert {image["loading"] for image in direct} == {"lazy"}
    for images in ("off", "click"):
        seen = rendered(text, images)
        assert not list(seen.every("img"))
        first = next(seen.every("a"))
        assert first["class"] == "readme-image"
        assert first["href"] == f"{REPO}/raw/HEAD/packages/x/a.png"
        html = render(text, images=images, repo_url=REPO).html
        assert "the picture" in html
        assert "badge" in html


def test_f05_tables_logos_and_pictures_in_html_appear() -> None:
    seen = rendered(HEAVY, "direct")
    tags = [tag for tag, _ in seen.tags]
    for tag in ("table", "picture", "source", "img", "details", "summary", "kbd", "h2"):
        assert tag in tags, tag
    sources = [source["srcset"] for source in seen.every("source")]
    base = f"{REPO}/raw/HEAD/packages/x/docs"
    assert sources == [f"{base}/dark.png 1x, {base}/dark-2x.png 2x"]
    assert [cell.get("align") for cell in seen.every("th")] == ["left", "right", "center"]
    html = render(HEAVY, images="direct", repo_url=REPO).html
    assert "☑ done" in html
    assert "☐ to do" in html
    assert "<input" not in html


@pytest.mark.parametrize(
    ("written", "address"),
    [
        ("docs/a.md#b", f"{REPO}/blob/HEAD/packages/x/docs/a.md#b"),
        ("./a.md", f"{REPO}/blob/HEAD/packages/x/a.md"),
        ("../y/a.md", f"{REPO}/blob/HEAD/packages/y/a.md"),
        ("/LICENSE", f"{REPO}/blob/HEAD/LICENSE"),
        ("../../../../../etc/passwd", None),
        ("https://x.example/a b", "https://x.example/ab"),
        ("//x.example/y", "https://x.example/y"),
        ("mailto:role", "mailto:role"),
        ("javascript:alert(1)", None),
        ("java\tscript:alert(1)", None),
        ("data:text/html,x", None),
        ("vbscript:x", None),
        ("https://[bad", None),
        ("", None),
    ],
)
def test_r09_relative_links_lead_into_the_repository_or_nowhere(
    written: str, address: str | None
) -> None:
    assert resolver(REPO, "packages/x")(written, False) == address


def test_r09_without_a_repository_relative_links_are_dropped() -> None:
    assert resolver(None, None)("docs/a.md", False) is None


def test_r10_every_link_of_a_readme_says_what_it_is() -> None:
    links = list(rendered(DEMO + HEAVY).every("a"))
    assert len(links) > 5
    assert {link["rel"] for link in links} == {"nofollow ugc noopener noreferrer"}


def test_hostile_readme_comes_out_harmless_within_its_time() -> None:
    began = time.perf_counter()
    for images in ("off", "click", "direct"):
        seen = rendered(HOSTILE, images)
        for tag, attributes in seen.tags:
            assert tag not in {"script", "style", "svg", "math", "form", "input", "button"}, tag
            assert tag not in {"iframe", "object", "embed", "base", "meta", "link"}, tag
            assert not any(name.startswith("on") for name in attributes), attributes
            assert "style" not in attributes
            assert attributes.get("class", "readme-image") in {"readme-image", "readme-scroll"}
            assert attributes.get("id", "user-content-").startswith("user-content-")
            assert "name" not in attributes
            for name in ("href", "src", "srcset"):
                value = attributes.get(name, "#")
                assert value.startswith(("https://", "#")), value
    assert time.perf_counter() - began < 30


@pytest.mark.parametrize("text", [DEMO, HEAVY, HOSTILE], ids=["demo", "heavy", "hostile"])
@pytest.mark.parametrize("images", ["off", "click", "direct"])
def test_rendered_readme_is_a_fixed_point_of_the_sanitiser(text: str, images: Images) -> None:
    html = render(text, images=images, repo_url=REPO, repo_dir="packages/x").html
    assert clean(html, resolver(REPO, "packages/x")) == html


PIECES = st.sampled_from(
    "< > </ <a_href= <img_src= <h1> <table> <svg> <math> <style> &#x6A; javascript: onerror= \" ' <!--"
    " --> <![CDATA[ <p> <pre> <td> </table> x _".replace("_", " ").split(" ")
)


@given(st.lists(PIECES, max_size=25).map("".join))
@settings(max_examples=300, deadline=None)
def test_cleaned_html_is_a_fixed_point_whatever_came_in(html: str) -> None:
    resolve = resolver(REPO, None)
    once = clean(html, resolve)
    assert clean(once, resolve) == once


def test_html_nested_without_end_is_shown_as_text() -> None:
    began = time.perf_counter()
    html = render("<div>" * 20_000, images="off").html
    assert "&lt;div&gt;" in html
    assert time.perf_counter() - began < 20


def test_headings_with_the_same_text_have_different_anchors() -> None:
    readme = render("# Use\n# Use\n<h2 id='use'>Use</h2>\n\n- # in a list", images="off")
    assert [h.id for h in readme.headings] == [
        "user-content-use",
        "user-content-use-1",
        "user-content-use-2",
    ]


def test_scrolling_blocks_can_be_reached_by_keyboard() -> None:
    seen = rendered("```\nx\n```\n\n| a |\n| - |\n| b |")
    assert next(seen.every("pre"))["tabindex"] == "0"
    assert next(seen.every("div"))["tabindex"] == "0"
    assert next(seen.every("div"))["aria-label"] == "Table 1 of the readme"


# Tarballs


def packed(*members: tuple[str, bytes], kind: bytes = tarfile.REGTYPE) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, data in members:
            member = tarfile.TarInfo(name)
            member.type = kind
            member.size = len(data) if kind == tarfile.REGTYPE else 0
            member.linkname = "/etc/passwd"
            tar.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


@pytest.fixture(autouse=True)
def unchecked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Checksums have their own tests (test_http.py)."""
    monkeypatch.setattr(tarball, "check_integrity", lambda data, integrity: "sha512-x")


@pytest.mark.parametrize("name", ["package/README.md", "package/Readme.md", "left-pad/readme.MD"])
def test_r08_the_readme_is_found_in_any_case_and_any_top_folder(name: str) -> None:
    contents = tarball.read_contents(packed((name, b"\xef\xbb\xbf# Hi"), ("package/a", b"x")), None)
    assert contents.readme == "# Hi"


def test_read_contents_prefers_markdown_and_ignores_deeper_readmes() -> None:
    data = packed(
        ("p/docs/README.md", b"deep"), ("p/README", b"plain"), ("p/readme.markdown", b"no")
    )
    assert tarball.read_contents(data, None).readme == "plain"
    data = packed(("p/README", b"plain"), ("p/README.md", b"md"))
    assert tarball.read_contents(data, None).readme == "md"
    assert tarball.read_contents(packed(("p/a.js", b"")), None).readme is None


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE]
)
def test_read_contents_counts_regular_files_only(kind: bytes) -> None:
    contents = tarball.read_contents(packed(("p/README.md", b""), kind=kind), None)
    assert contents.files == ()
    assert contents.readme is None


def test_read_contents_leaves_out_paths_that_lead_elsewhere() -> None:
    data = packed(("p/../../etc/passwd", b"x"), ("/p/a", b"x"), ("p/ok", b"x"), ("p/a\nb", b"x"))
    assert [row.path for row in tarball.read_contents(data, None).files] == ["ok"]


def test_read_contents_cuts_a_long_readme(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tarball, "MAX_TEXT", 10)
    contents = tarball.read_contents(packed(("p/README.md", b"0123456789ab")), None)
    assert (contents.readme, contents.readme_truncated) == ("0123456789", True)


def test_read_contents_stops_when_it_unpacks_to_too_much(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tarball, "MAX_UNPACKED", 100_000)
    monkeypatch.setattr(tarball, "MAX_FILES", 10)
    with pytest.raises(tarball.BadTarball, match="unpacks to more"):
        tarball.read_contents(packed(("p/zeros", bytes(2_000_000))), None)
    with pytest.raises(tarball.BadTarball, match="more than 10 files"):
        tarball.read_contents(packed(*((f"p/{i}", b"") for i in range(20))), None)


@pytest.mark.parametrize("data", [b"", b"no gzip", packed(("p/a", b"x" * 5000))[:-40]])
def test_read_contents_of_rubbish_is_a_bad_tarball(data: bytes) -> None:
    with pytest.raises(tarball.BadTarball):
        tarball.read_contents(data, None)


def test_the_recorded_outline_and_files_are_in_the_package() -> None:
    data = resources.files("pkgstats") / "data"
    listed = json.loads((data / "files/azure-web-pubsub-client-1.0.4.json").read_text("utf-8"))
    assert (listed["count"], listed["unpacked"]) == (264, 935_414)
    assert len(listed["files"]) == 264
