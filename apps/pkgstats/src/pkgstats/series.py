"""Series of daily counts: holes, totals, sparklines."""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta
from itertools import groupby

from pkgstats.models import By, DayCount, Downloads, Point, Series

MONTH = 30
WEEK = 7

RANGES = {"30d": 30, "90d": 90, "6m": 182, "12m": 365, "18m": 548}
"""Ranges of charts, in days; the downloads API knows no more than 18 months."""
DEFAULT_RANGE = "30d"

LARGE = 100
"""A zero between days of at least this many is a missing figure and no count of zero."""


def mark_holes(days: Sequence[DayCount]) -> tuple[DayCount, ...]:
    """Zeros that can only mean "missing" become None.

    The downloads API publishes days it has not counted as 0: between two large days, and at the
    newest end. Small packages keep their true zeros.
    """
    return tuple(
        DayCount(item.day, None) if item.count == 0 and _is_hole(days, i) else item
        for i, item in enumerate(days)
    )


def _is_hole(days: Sequence[DayCount], index: int) -> bool:
    before = next((day.count for day in reversed(days[:index]) if day.count), None)
    after = next((day.count for day in days[index + 1 :] if day.count), None)
    if before is None:
        return False
    return before >= LARGE and (after is None or after >= LARGE)


def summed(
    counts: Mapping[date, int | None],
    last: date,
    length: int,
    *,
    as_of: datetime | None,
    simulated: bool,
) -> Downloads | None:
    """The `length` days up to `last` as a series; None when no day has a figure."""
    first = last - timedelta(days=length - 1)
    days = [
        DayCount(day, counts.get(day))
        for day in (first + timedelta(days=offset) for offset in range(length))
    ]
    while days and days[0].day not in counts:
        days.pop(0)  # before the source's first day: not a hole
    known = [day.count for day in days if day.count is not None]
    if not known:
        return None
    return Downloads(tuple(days), sum(known), len(days) - len(known), as_of, simulated)


def added(many: Sequence[Downloads]) -> Downloads | None:
    """The sum of several series, day by day; a hole in any of them makes the total "at least"."""
    days: dict[date, list[int | None]] = {}
    for one in many:
        for item in one.days:
            days.setdefault(item.day, []).append(item.count)
    if not days:
        return None
    sums = [
        DayCount(day, None if all(c is None for c in found) else sum(c or 0 for c in found))
        for day, found in sorted(days.items())
    ]
    holes = sum(item.count is None for item in sums)
    has_gaps = any(None in found for found in days.values())
    total = sum(item.count or 0 for item in sums)
    newest = max((one.as_of for one in many if one.as_of), default=None)
    simulated = any(one.simulated for one in many)
    return Downloads(tuple(sums), total, max(holes, int(has_gaps)), newest, simulated)


def running_sums(days: Iterable[DayCount], width: int = WEEK) -> tuple[int | None, ...]:
    """Sums over `width` days, so that weekends do not drown the trend; None touches a hole."""
    counts = [day.count for day in days]
    sums: list[int | None] = []
    for end in range(width, len(counts) + 1):
        known = [count for count in counts[end - width : end] if count is not None]
        sums.append(sum(known) if len(known) == width else None)
    return tuple(sums)


def default_by(range_: str) -> By:
    """Days while they can be told apart in a chart, else weeks."""
    return By.DAY if RANGES[range_] <= RANGES["90d"] else By.WEEK


def binned(name: str, counts: Downloads, range_: str, by: By) -> Series:
    """A series with one point for each day, week or calendar month.

    Weeks are counted back from the newest day, so that the last one is whole; months are those of
    the calendar, so that their first and last one may be partial.
    """
    days = counts.days
    groups = [list(days[i : i + 1]) for i in range(len(days))]
    if by is By.WEEK:
        first = len(days) % WEEK or WEEK
        starts = [0, *range(first, len(days), WEEK)]
        groups = [list(days[i:j]) for i, j in zip(starts, [*starts[1:], len(days)], strict=True)]
    elif by is By.MONTH:
        groups = [list(found) for _, found in groupby(days, lambda item: item.day.replace(day=1))]
    return Series(
        name=name,
        range=range_,
        by=by,
        points=tuple(_point(group, by) for group in groups),
        total=counts.total,
        holes=counts.holes,
        as_of=counts.as_of,
        simulated=counts.simulated,
    )


def _point(days: Sequence[DayCount], by: By) -> Point:
    known = [item.count for item in days if item.count is not None]
    start, end = days[0].day, days[-1].day
    whole = {By.DAY: 1, By.WEEK: WEEK, By.MONTH: monthrange(start.year, start.month)[1]}[by]
    return Point(
        start=start,
        end=end,
        count=sum(known) if known else None,
        missing=len(days) - len(known),
        partial=len(days) < whole,
    )
