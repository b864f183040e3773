"""Which versions a page shows, and in which columns."""

from dataclasses import replace
from typing import Any

from pkgstats.models import VersionRow
from pkgstats.web import pages, tables


def row(version: str, *tags: str, weekly: int | None = None) -> VersionRow:
    return VersionRow(version, None, "MIT", 0, None, None, None, tags, weekly)


def test_versions_of_which_too_many_are_trials_show_releases_first(
    sample_catalog: Any,
) -> None:
    trials = [row(f"2.0.0-canary.{n}") for n in range(200, 100, -1)]
    many = (row("2.0.0", "latest"), *trials, row("1.0.0+build-7"), row("0.9.0-rc.1", "next"))
    data = replace(sample_catalog().packages["ws"], version="2.0.0-canary.101", versions=many)
    shown = [one.version for one in pages._version_rows(data)]
    assert shown[:2] == ["2.0.0", "2.0.0-canary.200"]
    assert shown[-3:] == ["2.0.0-canary.101", "1.0.0+build-7", "0.9.0-rc.1"]
    assert len(shown) == pages.MAX_VERSION_ROWS + 2


def test_versions_without_counts_have_no_column_and_a_missing_one_is_no_zero() -> None:
    heads = [column.head for column in tables.columns([row("1.0.0")])[0]]
    assert "Last 7 days" not in heads
    rows = [row("1.1.0", weekly=12_345), row("1.0.0")]
    column = tables.columns(rows)[0][-1]
    assert [column.head, *map(column.cell, rows)] == ["Last 7 days", "12,345", ""]
