"""Ranges, bins, comparisons and badges over the simulated world."""

from collections.abc import AsyncIterator
from datetime import date, timedelta

import pytest
import pytest_asyncio

from pkgstats import series
from pkgstats.catalog import Catalog, open_catalog
from pkgstats.models import By, DayCount, Downloads, NotFoundReason
from pkgstats.settings import Settings
from pkgstats.sources.recorded import MODEL


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def demo() -> AsyncIterator[Catalog]:
    async with open_catalog(Settings(world_day_s=0), demo=True) as catalog:
        yield catalog


in_module_loop = pytest.mark.asyncio(loop_scope="module")


def counts(*values: int | None, end: date = date(2026, 6, 30)) -> Downloads:
    first = end - timedelta(days=len(values) - 1)
    days = tuple(DayCount(first + timedelta(days=i), v) for i, v in enumerate(values))
    known = [value for value in values if value is not None]
    return Downloads(days, sum(known), len(values) - len(known))


def test_a10_weeks_are_counted_back_from_the_newest_day() -> None:
    found = series.binned("x", counts(*range(1, 17)), "30d", By.WEEK)
    assert [(point.count, point.partial) for point in found.points] == [
        (1 + 2, True),
        (sum(range(3, 10)), False),
        (sum(range(10, 17)), False),
    ]
    assert sum(point.count or 0 for point in found.points) == found.total
    assert found.end == date(2026, 6, 30)


def test_a10_months_are_those_of_the_calendar_and_partial_ones_say_so() -> None:
    found = series.binned("x", counts(*[1] * 75), "90d", By.MONTH)
    assert [(p.start.month, p.count, p.partial) for p in found.points] == [
        (4, 14, True),
        (5, 31, False),
        (6, 30, False),
    ]


def test_a10_a_bin_without_any_figure_is_unknown_and_with_some_is_at_least() -> None:
    found = series.binned("x", counts(*[None] * 7, 5, None, *[1] * 5), "30d", By.WEEK)
    assert [(point.count, point.missing) for point in found.points] == [(None, 7), (10, 1)]
    assert found.is_at_least


@in_module_loop
@pytest.mark.parametrize("range_", list(series.RANGES))
async def test_a10_every_range_has_its_days_and_what_suits_it(demo: Catalog, range_: str) -> None:
    found = await demo.series("react", range_)
    assert found is not None
    days = (found.end - found.start).days + 1
    assert days == min(series.RANGES[range_], 400)
    assert found.by is (By.DAY if series.RANGES[range_] <= 90 else By.WEEK)
    assert len(found.points) <= 92


@in_module_loop
async def test_s11_r03_total_of_the_model_is_the_same_however_it_is_cut(demo: Catalog) -> None:
    for by in By:
        found = await demo.series(MODEL, "30d", by)
        assert found is not None
        assert found.total == sum(point.count or 0 for point in found.points) == 134_113
        assert found.simulated


@in_module_loop
async def test_a10_no_counts_are_no_series(demo: Catalog) -> None:
    assert await demo.series("not-known-here") is None
    with pytest.raises(KeyError):
        await demo.series("react", "3d")


@in_module_loop
async def test_r01_compared_packages_share_one_calendar(demo: Catalog) -> None:
    found = await demo.compare(["react", MODEL, "react", "no-such-demo"], "12m")
    assert found.names == ("react", MODEL, "no-such-demo")
    assert [card.name for card in found.cards] == ["react", MODEL]
    assert [missing.reason for missing in found.missing] == [NotFoundReason.NO_PACKAGE]
    calendars = [[(p.start, p.end) for p in one.points] for one in found.series if one]
    assert len(calendars) == 2
    assert calendars[0] == calendars[1]
    assert found.by is By.WEEK
    assert {origin.block for origin in found.origins} == {"registry", "downloads"}
    assert found.simulated


@in_module_loop
async def test_r01_compared_packages_end_on_the_same_day_even_if_one_lags_behind(
    demo: Catalog,
) -> None:
    await demo._store.write(
        lambda db: db.execute(
            "DELETE FROM downloads WHERE name = 'left-pad' AND day > '2026-06-27'"
        )
    )
    react, late = (await demo.compare(["react", "left-pad"])).series
    assert react is not None
    assert late is not None
    assert [(p.start, p.end) for p in react.points] == [(p.start, p.end) for p in late.points]
    assert [point.count is None for point in late.points[-4:]] == [False, True, True, True]
    assert late.is_at_least
    assert late.total == sum(point.count or 0 for point in late.points)


@in_module_loop
async def test_r01_no_more_than_six_packages_are_compared(demo: Catalog) -> None:
    names = [item.card.name for item in (await demo.home()).popular]
    assert len((await demo.compare(names)).cards) == 6


@in_module_loop
async def test_a09_a10_badges_say_one_fact_each(demo: Catalog) -> None:
    found = {show: await demo.badge(MODEL, show) for show in ("downloads", "version", "module")}
    values = {show: badge and (badge.value, badge.simulated) for show, badge in found.items()}
    assert values == {
        "downloads": ("134,113 in 30 days", True),
        "version": ("v1.0.4", True),
        "module": ("ESM + CJS", True),
    }
    license_ = await demo.badge(MODEL, "license")
    assert license_ is not None
    assert (license_.label, license_.value) == ("licence", "MIT")
    assert await demo.badge("no-such-demo") is None


@in_module_loop
async def test_lists_come_in_pages_with_the_sum_of_all(demo: Catalog) -> None:
    found = await demo.scope("demo")
    assert (found.listed, found.page, found.pages) == (len(found.cards), 1, 1)
    assert found.total is not None
    assert found.counted == found.listed
    assert found.total.total == sum(c.downloads.total for c in found.cards if c.downloads)
    assert (await demo.scope("demo", 7)).page == 1
