"""Holes, totals and running sums of daily counts."""

from datetime import UTC, date, datetime, timedelta

import pytest

from pkgstats import series
from pkgstats.models import DayCount
from pkgstats.sources.recorded import data_json, recorded_counts

NOW = datetime(2026, 7, 1, tzinfo=UTC)


def days(counts: list[int | None]) -> list[DayCount]:
    first = date(2026, 6, 1)
    return [DayCount(first + timedelta(days=i), count) for i, count in enumerate(counts)]


def holes_of(file: str) -> list[int]:
    rows = data_json(f"http/downloads/{file}.json")["response"]["body"]["downloads"]
    marked = series.mark_holes(days([row["downloads"] for row in rows]))
    return [i for i, item in enumerate(marked) if item.count is None]


@pytest.mark.parametrize(
    ("file", "holes"),
    [
        ("range-zero-holes", [3, 9, 17, 23]),
        ("range-zero-at-end", [6]),
        ("range-true-zeros", []),
        ("range-all-zero", []),
        ("range-week", []),
    ],
)
def test_mark_holes_on_recorded_series_finds_what_is_missing(file: str, holes: list[int]) -> None:
    assert holes_of(file) == holes


def test_s11_total_is_the_sum_of_thirty_days() -> None:
    counts = {item.day: item.count for item in recorded_counts()}
    month = series.summed(counts, date(2026, 6, 30), 30, as_of=NOW, simulated=True)
    assert month is not None
    assert (month.total, len(month.days), month.holes) == (134_113, 30, 0)
    assert not month.is_at_least


def test_s12_no_count_at_all_is_no_series() -> None:
    assert series.summed({}, date(2026, 6, 30), 30, as_of=NOW, simulated=False) is None
    only_holes = {date(2026, 6, 30): None}
    assert series.summed(only_holes, date(2026, 6, 30), 30, as_of=NOW, simulated=False) is None


def test_summed_with_holes_is_at_least_the_sum() -> None:
    counts = {date(2026, 6, 28): 5, date(2026, 6, 29): None, date(2026, 6, 30): 7}
    found = series.summed(counts, date(2026, 6, 30), 30, as_of=NOW, simulated=False)
    assert found is not None
    assert (found.total, found.holes, len(found.days)) == (12, 1, 3)
    assert found.is_at_least


def test_running_sums_touching_a_hole_are_unknown() -> None:
    assert series.running_sums(days([1] * 9)) == (7, 7, 7)
    assert series.running_sums(days([1] * 7 + [None] + [1])) == (7, None, None)
    assert series.running_sums(days([1] * 6)) == ()


def test_added_sums_day_by_day_and_remembers_holes() -> None:
    one = series.summed(
        {date(2026, 6, 29): 1, date(2026, 6, 30): 2},
        date(2026, 6, 30),
        2,
        as_of=None,
        simulated=False,
    )
    other = series.summed(
        {date(2026, 6, 29): None, date(2026, 6, 30): 5},
        date(2026, 6, 30),
        2,
        as_of=NOW,
        simulated=True,
    )
    assert one is not None
    assert other is not None
    both = series.added([one, other])
    assert both is not None
    assert [item.count for item in both.days] == [1, 7]
    assert (both.total, both.is_at_least, both.simulated, both.as_of) == (8, True, True, NOW)
    assert series.added([]) is None
