"""Addresses: canonical forms, other spellings, and names made of awkward parts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pkgstats import grammar, urls
from pkgstats.grammar import NameQuery, PackageQuery, ScopeQuery, SearchQuery, UserQuery

MODEL = "@azure/web-pubsub-client"


def test_s06_package_path_keeps_at_and_slash_as_they_are() -> None:
    assert urls.package_path(MODEL) == f"/pkg:{MODEL}"
    assert urls.package_path(MODEL, "1.0.4") == f"/pkg:{MODEL}/v/1.0.4"


@pytest.mark.parametrize(
    "path",
    [
        "/pkg:%40azure%2Fweb-pubsub-client",
        "/pkg:@azure%2fweb-pubsub-client",
        "/package/@azure/web-pubsub-client",
        "/@azure/web-pubsub-client",
        "/PKG:@azure/web-pubsub-client/",
    ],
)
def test_f02_read_path_when_spelled_otherwise_is_the_same_package(path: str) -> None:
    assert urls.read_path(path) == PackageQuery(MODEL)


@pytest.mark.parametrize(
    ("path", "route"),
    [
        ("/pkg:v", PackageQuery("v")),
        ("/pkg:v/v/1.0.0", PackageQuery("v", "1.0.0")),
        ("/pkg:@x/v", PackageQuery("@x/v")),
        ("/pkg:@x/v/v/1.0.0", PackageQuery("@x/v", "1.0.0")),
        ("/pkg:@v/v/v/v", PackageQuery("@v/v", "v")),
        ("/pkg:a@1.0.0", PackageQuery("a", "1.0.0")),
        ("/@azure", NameQuery("azure")),
        ("/%40azure", NameQuery("azure")),
        ("/~azure", UserQuery("azure")),
        ("/org:azure", ScopeQuery("azure")),
        ("/@azure/", ScopeQuery("azure")),
        ("/compare/ws,@x/v", urls.CompareQuery(("ws", "@x/v"))),
    ],
)
def test_read_path_reads_segment_by_segment(path: str, route: urls.Route) -> None:
    assert urls.read_path(path) == route


@pytest.mark.parametrize(
    "path",
    [
        "/pkg:",
        "/pkg:..",
        "/pkg:@../x",
        "/pkg:%40..%2Fx",
        "/pkg:%2e%2e%2f%2e%2e",
        "/pkg:@x",
        "/pkg:a/b",
        "/pkg:a/v/",
        "/pkg:a/v/../b",
        "/pkg:a/v/1/2",
        "/pkg:a@1/v/2",
        "/pkg:%2540x%2Fy",
        "/pkg:%ff",
        "/@..",
        "/org:a/b",
        "/compare/a,..",
        "/compare/a,b,c,d,e,f,g",
        "/other",
    ],
)
def test_read_path_when_no_page_is_meant_is_none(path: str) -> None:
    assert urls.read_path(path) is None


def test_f04_search_path_encodes_the_text() -> None:
    assert urls.search_path("a&b=c #d", 2) == "/?search=a%26b%3Dc+%23d&page=2"
    assert urls.read_path("/", "search=a%26b%3Dc+%23d") == SearchQuery("a&b=c #d")


SEGMENTS = st.text("abzAZ09-._~!'()*", min_size=1, max_size=12).filter(grammar.is_segment)
NAMES = (
    SEGMENTS.filter(grammar.is_package_name)
    | st.builds("@{}/{}".format, SEGMENTS, SEGMENTS)
    | st.sampled_from(["v", "@v/v", "@x/package", "package", "-"])
)
VERSIONS = st.none() | st.text("019.-+abv~_", min_size=1, max_size=12).filter(grammar.is_version)


@given(NAMES, VERSIONS)
def test_s04_s06_package_address_read_back_is_the_package(name: str, version: str | None) -> None:
    path = urls.package_path(name, version)
    assert urls.read_path(path) == PackageQuery(name, version)
    assert urls.address(PackageQuery(name, version)) == path


@given(NAMES)
def test_read_name_finds_the_name_in_chart_addresses(name: str) -> None:
    path = urls.chart_path(name).partition("?")[0]
    assert urls.read_name(path, "/chart/", ".svg") == name


@given(st.lists(NAMES, min_size=1, max_size=6, unique=True))
def test_compare_address_read_back_has_the_same_names(names: list[str]) -> None:
    assert urls.read_path(urls.compare_path(names)) == urls.CompareQuery(tuple(names))
