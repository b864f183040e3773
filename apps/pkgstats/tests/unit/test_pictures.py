"""Choices of charts, lines side by side, and pictures that leave the site."""

import re
from dataclasses import replace
from datetime import date, timedelta
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pkgstats.charts import lines, standalone, svg
from pkgstats.models import By, Point, Series
from pkgstats.web.choices import Chosen, Picker
from pkgstats.web.credits import credits
from pkgstats.web.static_files import StaticFiles, _light

WEEK = timedelta(days=7)


def weeks(name: str, counts: list[int | None], missing: int = 0) -> Series:
    first = date(2026, 1, 5)
    points = tuple(
        Point(first + i * WEEK, first + i * WEEK + timedelta(days=6), count, missing)
        for i, count in enumerate(counts)
    )
    return Series(name, "6m", By.WEEK, points, sum(c or 0 for c in counts), 0)


def lines_of(series: list[Series], **more: Any) -> str:
    options = {"as_index": False, "simulated": False, "size": "l"} | more
    return lines.line_chart(series, By.WEEK, **options)


@pytest.mark.parametrize(
    ("query", "chosen"),
    [
        ({}, Chosen("30d", By.DAY)),
        ({"range": "6m"}, Chosen("6m", By.WEEK)),
        ({"range": "18m", "by": "month"}, Chosen("18m", By.MONTH)),
        ({"range": "9 years", "by": "hour"}, Chosen("30d", By.DAY)),
    ],
)
def test_a10_choice_of_a_query(query: dict[str, str], chosen: Chosen) -> None:
    assert Picker("/p", "x").read(query) == chosen


def test_a10_address_of_a_choice_names_only_what_is_not_usual() -> None:
    picker = Picker("/p", "x")
    assert picker.href(Chosen("30d", By.DAY)) == "/p#x"
    assert picker.href(Chosen("12m", By.WEEK)) == "/p?range=12m#x"
    assert picker.href(Chosen("12m", By.MONTH)) == "/p?range=12m&by=month#x"
    assert Picker("/c", "x", usual="6m").href(Chosen("6m", By.WEEK), "index") == "/c?scale=index#x"
    for choice in picker.ranges(Chosen("30d", By.DAY)) + picker.units(Chosen("6m", By.DAY)):
        query = dict(re.findall(r"(range|by)=(\w+)", choice.href))
        assert picker.href(picker.read(query)) == choice.href


def test_r01_lines_differ_by_dash_and_say_their_facts() -> None:
    chart = lines_of([weeks(name, [10, 20, 15]) for name in "abcdef"])
    dashes = re.findall(r'class="ln" d="[^"]+"([^/]*)/>', chart)
    assert len(set(dashes)) == 6
    assert "a: from 10 to 15, low 10, high 20." in chart
    assert chart.count('font-weight="600"') == 0
    ElementTree.fromstring(chart)


def test_line_with_a_missing_day_lifts_the_pen_and_starts_at_zero() -> None:
    one = weeks("a", [10, 20, 30, 40, 50])
    holed = replace(
        one, points=tuple(replace(p, missing=int(i == 2)) for i, p in enumerate(one.points))
    )
    path = re.search(r'class="ln" d="([^"]+)"', lines_of([holed]))
    assert path
    assert path[1].count("M") == 2
    assert re.findall(r'text-anchor="end">([^<]+)<', lines_of([one]))[0] == "0"


def test_first_figure_as_100_is_the_same_for_all() -> None:
    series = [weeks("a", [10, 20]), weeks("b", [None, 500]), weeks("c", [0, 0])]
    assert lines.indexed(series) == [[100.0, 200.0], [None, 100.0], [None, None]]


@given(
    st.lists(
        st.lists(st.one_of(st.none(), st.integers(0, 10**9)), min_size=2, max_size=2), max_size=6
    )
)
def test_lines_of_any_counts_are_well_formed(many: list[list[int | None]]) -> None:
    for size in lines.SIZES:
        chart = lines_of([weeks("<&>", counts) for counts in many], size=size) if many else ""
        if chart:
            ElementTree.fromstring(chart)


def test_columns_that_are_not_whole_are_open() -> None:
    points = list(weeks("a", [10, 20, 30]).points)
    points[1] = replace(points[1], missing=2)
    points[2] = replace(points[2], partial=True)
    chart = svg.column_chart("a", points, By.WEEK, simulated=False, size="ml")
    opened = re.search(r'fill="none" stroke-dasharray="3 2" d="([^"]+)"', chart)
    assert opened
    assert opened[1].count("M") == 2
    assert "2 days without a figure. The last week is not over." in chart
    points[0] = replace(points[0], partial=True)
    assert [p.count for p in svg.drawn(points)] == [20, 30]


@pytest.mark.parametrize("dark", [False, True])
def test_a10_chart_to_embed_needs_no_style_sheet(dark: bool) -> None:
    points = weeks("<b>", [10, 20, 30]).points
    picture = standalone.chart(
        svg.column_chart("<b>", points, By.WEEK, simulated=True, size="ml"), "<b> a week", dark=dark
    )
    root = ElementTree.fromstring(picture)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert root.find("{*}text").text == "<b> a week"  # type: ignore[union-attr]
    assert 'class="' not in picture
    assert "style" not in picture
    assert ("#111719" in picture) is dark


def test_a10_badge_is_escaped_and_as_wide_as_its_words() -> None:
    badge = standalone.badge("downloads", "<1,000>")
    root = ElementTree.fromstring(badge)
    assert root.find("{*}title").text == "downloads: <1,000>"  # type: ignore[union-attr]
    assert int(root.get("width", "0")) > 90


def test_r14_card_of_any_package_is_well_formed_and_labelled(sample_catalog: Any) -> None:
    data = sample_catalog().packages["@azure/web-pubsub-client"]
    long = replace(data, description="words " * 60, name="@scope/" + "n" * 200, deprecated="no")
    bare = replace(data, downloads=None, description="", license=None, simulated=False)
    for one in (data, long, bare):
        card = standalone.card(one)
        ElementTree.fromstring(card)
        assert ("simulated data" in card) is one.simulated
    assert "…" in standalone.card(long)
    assert "120,113" in standalone.card(data)


def test_s22_credits_are_direct_needs_first_then_theirs() -> None:
    found = credits()
    direct = [item.name.lower() for item in found if item.is_direct]
    assert {"hubbub", "jinja2", "nh3", "starlette"} <= set(direct)
    assert [item.is_direct for item in found] == sorted((i.is_direct for i in found), reverse=True)
    assert "markupsafe" in {item.name.lower() for item in found if not item.is_direct}
    assert all(item.licence and "\n" not in item.licence for item in found)
    assert all(item.url.startswith("https://") or not item.url for item in found)


def test_scripts_are_served_without_comments_and_say_the_same() -> None:
    script = b"/* a\n b */\nconst a = 1; // goes\n  // goes\n\n  f(a, '; // stays');\n"
    assert _light(script) == b"const a = 1;\nf(a, '; // stays');\n"
    files = StaticFiles()
    assert files.packed_size("page.js") < 5_000


def test_no_script_of_ours_has_a_text_over_several_lines() -> None:
    from importlib import resources

    from hubbub.browser import client_source

    folder = resources.files("pkgstats.web") / "static"
    for source in (item for item in folder.iterdir() if item.name.endswith(".js")):
        for line in source.read_text("utf-8").splitlines():
            assert line.count("`") % 2 == 0, line
    code = re.sub(r"/\*.*?\*/|//[^\n]*", "", client_source().decode(), flags=re.DOTALL)
    assert all(line.count("`") % 2 == 0 for line in code.splitlines())
