"""Charts say in words what they show, start at zero, and leave holes empty."""

import re
from collections.abc import Sequence
from datetime import date, timedelta
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pkgstats.charts import svg
from pkgstats.models import By, Point

JUNE = date(2026, 6, 1)
counts = st.one_of(st.none(), st.integers(0, 10**9))


def days(values: Sequence[int | None], start: date = JUNE) -> list[Point]:
    dates = [start + timedelta(days=i) for i in range(len(values))]
    return [Point(d, d, v, int(v is None)) for d, v in zip(dates, values, strict=True)]


def daily(name: str, values: Sequence[int | None], *, simulated: bool, size: str) -> str:
    return svg.column_chart(name, days(values), By.DAY, simulated=simulated, size=size)


def columns(chart: str) -> list[str]:
    shape = re.search(r'class="col" fill="[^"]*" d="([^"]*)"', chart)
    assert shape
    return shape[1].split("M")[1:]


def test_daily_chart_with_hole_draws_a_column_less_and_says_so() -> None:
    chart = daily("ws", [10, None, 30], simulated=False, size="ml")
    assert len(columns(chart)) == 2
    assert "3 days, 40 in all." in chart
    assert "Low 10 on Mon 1 June, high 30 on Wed 3 June. 1 day without a figure." in chart


def test_daily_chart_of_simulated_counts_is_hatched_and_says_so() -> None:
    simulated = daily("ws", [1, 2], simulated=True, size="s")
    recorded = daily("ws", [1, 2], simulated=False, size="s")
    assert 'fill="url(#dl-s-h)"' in simulated
    assert "(simulated)</title>" in simulated
    assert 'fill="currentColor"' in recorded
    assert "simulated" not in recorded


def test_daily_chart_starts_at_zero_and_grey_bands_are_weekends() -> None:
    chart = daily("ws", [90, 100, 95, 98, 99, 97, 96], simulated=False, size="ml")
    assert re.findall(r'text-anchor="end">([^<]+)<', chart) == ["0", "50", "100"]
    assert chart.count('class="we"') == 2


def test_chart_name_is_escaped() -> None:
    chart = daily("<b>", [1], simulated=False, size="ml")
    assert "<b>" not in chart


@pytest.mark.parametrize("size", sorted(svg.FRAMES))
@given(values=st.lists(counts, min_size=1, max_size=60))
def test_daily_chart_of_any_counts_is_well_formed_and_inside_its_frame(
    size: str, values: list[int | None]
) -> None:
    chart = daily("ws", values, simulated=True, size=size)
    if not [v for v in values if v is not None]:
        assert chart == ""
        return
    ElementTree.fromstring(chart)
    frame = svg.FRAMES[size]
    tops = [float(y) for column in columns(chart) for y in re.findall(r"V([\d.]+)h", column)]
    assert all(frame.top - 0.1 <= y <= frame.height - frame.bottom + 0.1 for y in tops)


@given(st.integers(0, 10**12), st.integers(2, 6))
def test_ticks_reach_the_top_in_few_round_steps(top: int, want: int) -> None:
    marks = svg.ticks(top, want)
    assert marks[0] == 0
    assert marks[-1] >= top
    assert 2 <= len(marks) <= want + 1


@pytest.mark.parametrize("sums", [(), (1,), (None, None), (None, 5, None)])
def test_sparkline_of_too_few_sums_is_empty(sums: tuple[int | None, ...]) -> None:
    assert svg.sparkline(sums) == ""


def test_sparkline_with_hole_lifts_the_pen() -> None:
    line = svg.sparkline([10, 20, None, 20, 10])
    path = re.search(r' d="([^"]+)"', line)
    assert path
    assert path[1].count("M") == 2
    assert "5 seven-day sums, 10 to 20" in line


@pytest.mark.parametrize(
    ("first", "last", "words"),
    [
        (date(2026, 6, 1), date(2026, 6, 30), "1 to 30 June 2026"),
        (date(2026, 5, 31), date(2026, 6, 29), "31 May to 29 June 2026"),
        (date(2025, 12, 20), date(2026, 1, 18), "20 December 2025 to 18 January 2026"),
    ],
)
def test_span_in_words(first: date, last: date, words: str) -> None:
    assert svg.span_words(first, last) == words
