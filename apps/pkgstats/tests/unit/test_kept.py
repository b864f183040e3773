"""Rendered pages are kept while they show the very same."""

import gzip

import pytest

from pkgstats.web import kept
from pkgstats.web.kept import KeptPages, Rendered


def test_kept_page_is_given_for_the_very_same_value_only() -> None:
    pages = KeptPages()
    first, equal = [1], [1]
    page = Rendered(b"x")
    pages.put(("/a", "dark"), first, page)
    assert pages.get(("/a", "dark"), first) is page
    assert pages.get(("/a", "dark"), equal) is None
    assert pages.get(("/a", "light"), first) is None


def test_kept_pages_have_a_limit_in_number_and_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "MAX_PAGES", 3)
    monkeypatch.setattr(kept, "MAX_BYTES", 100)
    pages, shown = KeptPages(), object()
    for name in "abc":
        pages.put((name,), shown, Rendered(b"x" * 10))
    assert pages.get(("a",), shown) is not None  # asked for last, so it stays longest
    pages.put(("d",), shown, Rendered(b"x" * 10))
    assert [name for name in "abcd" if pages.get((name,), shown)] == ["a", "c", "d"]
    pages.put(("d",), shown, Rendered(b"x" * 95))
    assert [name for name in "abcd" if pages.get((name,), shown)] == ["d"]
    pages.put(("e",), shown, Rendered(b"x" * 101))
    assert pages.get(("e",), shown) is None


def test_rendered_page_is_compressed_to_the_same_bytes() -> None:
    page = Rendered(b"words " * 500)
    assert gzip.decompress(page.compressed) == page.body
    assert page.compressed == Rendered(page.body).compressed
    assert page.etag == Rendered(page.body).etag != Rendered(b"").etag
