"""The box: each rule of the grammar, and names that try to escape."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pkgstats import grammar, urls
from pkgstats.grammar import (
    HomeQuery,
    NameQuery,
    PackageQuery,
    Query,
    ScopeQuery,
    SearchQuery,
    UserQuery,
)

MODEL = "@azure/web-pubsub-client"


@pytest.mark.parametrize("text", ["", "   ", "pkg:", "  PKG:  ", "\x00\t"])
def test_parse_when_nothing_is_asked_is_home(text: str) -> None:
    assert grammar.parse(text) == HomeQuery()


@pytest.mark.parametrize(
    ("text", "query"),
    [
        ("pkg:react", PackageQuery("react")),
        ("PKG: react", PackageQuery("react")),
        ("pkg:react@18.2.0", PackageQuery("react", "18.2.0")),
        ("pkg:react@next", PackageQuery("react", "next")),
        (f"pkg:{MODEL}", PackageQuery(MODEL)),
        (f"pkg:{MODEL}@1.0.4", PackageQuery(MODEL, "1.0.4")),
        ("pkg:JSONStream", PackageQuery("JSONStream")),
        ("pkg:v", PackageQuery("v")),
        ("q", PackageQuery("q")),
    ],
)
def test_s04_s06_parse_when_a_package_is_named_is_that_package(text: str, query: Query) -> None:
    assert grammar.parse(text) == query


@pytest.mark.parametrize(
    ("text", "query"),
    [
        ("@azure", NameQuery("azure")),
        ("user:azure", UserQuery("azure")),
        ("~azure", UserQuery("azure")),
        ("@azure/", ScopeQuery("azure")),
        ("scope:azure", ScopeQuery("azure")),
        ("ORG:@azure", ScopeQuery("azure")),
    ],
)
def test_s05_parse_when_a_user_or_scope_is_named_is_that(text: str, query: Query) -> None:
    assert grammar.parse(text) == query


@pytest.mark.parametrize(
    "text", ["express @types", "how to use pkg:react", "a@b", "react user:x", "scope:azure client"]
)
def test_f01_parse_when_a_prefix_is_in_the_middle_is_free_text(text: str) -> None:
    assert grammar.parse(text) == SearchQuery(text)


@pytest.mark.parametrize(
    ("text", "query"),
    [
        (MODEL, PackageQuery(MODEL)),
        (f"{MODEL}@1.2.3", PackageQuery(MODEL, "1.2.3")),
        (f"  {MODEL} ", PackageQuery(MODEL)),
    ],
)
def test_f02_parse_when_scope_and_name_are_given_is_the_package(text: str, query: Query) -> None:
    assert grammar.parse(text) == query


@pytest.mark.parametrize(
    "text",
    ["pkg:@../x", "pkg:@x/..", "pkg:..", "pkg:.hidden", "pkg:_private", "pkg:a/b", "pkg:a b"],
)
def test_parse_when_pkg_holds_no_name_searches_with_a_note(text: str) -> None:
    query = grammar.parse(text)
    assert isinstance(query, SearchQuery)
    assert query.note == grammar.NOTE_NOT_A_NAME


@pytest.mark.parametrize("text", ["@..", "@.", "@../x", "@x/..", "@", "@a/b/c", "@a@1"])
def test_parse_when_a_path_escape_is_typed_is_only_text(text: str) -> None:
    assert isinstance(grammar.parse(text), SearchQuery)


def test_parse_when_the_text_is_long_cuts_at_a_word_with_a_note() -> None:
    query = grammar.parse("word " * 20)
    assert query == SearchQuery(("word " * 12 + "word")[:64].strip(), grammar.NOTE_CUT)
    assert len(grammar.parse("x" * 65).text) == 64  # type: ignore[union-attr]


@pytest.mark.parametrize("first", ["@azure", "q", "~azure", "scope:azure"])
def test_f04_a_cut_never_turns_a_search_into_something_else(first: str) -> None:
    query = grammar.parse(f"{first} {'x' * 80}")
    assert isinstance(query, SearchQuery)
    assert grammar.parse(query.text) == SearchQuery(query.text)


@pytest.mark.parametrize(
    "text", ["@" + "a" * 80 + "!?", "pkg:" + "a" * 80 + "?", "@" * 80, "~" + "a" * 300]
)
def test_f04_cut_of_one_endless_word_is_still_a_search(text: str) -> None:
    query = grammar.parse(text)
    assert isinstance(query, SearchQuery)
    assert grammar.parse(query.text) == SearchQuery(query.text)


@pytest.mark.parametrize(
    ("name", "valid"),
    [
        ("a" * 214, True),
        ("a" * 215, False),
        ("@s/" + "a" * 211, True),
        ("@s/" + "a" * 212, False),
        ("@s/.x", True),
        ("-", True),
        ("", False),
        ("@/x", False),
        ("@s/", False),
        ("na%2Fme", False),
        ("näme", False),
    ],
)
def test_is_package_name_at_its_limits(name: str, valid: bool) -> None:
    assert grammar.is_package_name(name) is valid


def meant(query: Query) -> Query:
    """A user page is also the scope's: the address keeps only the name."""
    if isinstance(query, UserQuery):
        return NameQuery(query.name)
    return SearchQuery(query.text) if isinstance(query, SearchQuery) else query


def read(address: str) -> Query | urls.CompareQuery | None:
    path, _mark, query_string = address.partition("?")
    route = urls.read_path(path, query_string)
    return meant(route) if isinstance(route, Query) else route


PIECES = st.sampled_from(
    ["pkg:", "@", "/", "@x", "scope:", "org:", "user:", "~", " ", "v", "..", "%2F", "a" * 40, "1.0"]
)
TEXTS = st.text(max_size=80) | st.lists(PIECES | st.text(max_size=3), max_size=8).map("".join)


@given(TEXTS)
@settings(max_examples=500, deadline=None)
def test_f04_any_text_survives_the_way_through_an_address(text: str) -> None:
    query = grammar.parse(text)
    assert read(urls.address(query)) == meant(query)
    assert urls.address(query).isascii()
    if isinstance(query, SearchQuery):
        assert len(query.text) <= grammar.MAX_SEARCH_LENGTH
