"""Series of daily counts: holes, totals, sparklines."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta

from pkgstats.models import DayCount, Downloads

MONTH = 30
WEEK = 7

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
