"""Daily download counts in the database."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from datetime import date, datetime, timedelta

from pkgstats import series, urls
from pkgstats.models import DayCount, Downloads, package_group
from pkgstats.store import outbox

RANGE_DAYS = 548
"""18 months: the downloads API gives no longer ranges."""
ASKED_AGAIN_DAYS = 7
KEPT_DAYS = 560


def save(
    db: sqlite3.Connection,
    name: str,
    days: Sequence[DayCount],
    *,
    now: datetime,
    simulated: bool,
) -> bool:
    """Store counts; tells the package's group when a figure is new. Returns whether one was."""
    old = _counts(db, name)
    fresh = [item for item in days if item.day not in old or old[item.day] != item.count]
    if not fresh:
        return False
    db.executemany(
        "INSERT OR REPLACE INTO downloads VALUES (?, ?, ?)",
        [(name, item.day.isoformat(), item.count) for item in fresh],
    )
    newest = max(item.day for item in days)
    db.execute(
        "DELETE FROM downloads WHERE name = ? AND day < ?",
        (name, (newest - timedelta(days=KEPT_DAYS)).isoformat()),
    )
    week = load(db, name, series.WEEK, simulated=simulated)
    db.execute(
        "UPDATE package SET weekly = ?, changed_at = ? WHERE name = ?",
        (week and week.total, now.isoformat(), name),
    )
    month = load(db, name, series.MONTH, simulated=simulated)
    if month is not None:
        data = {
            "name": name,
            "total": month.total,
            "at_least": month.is_at_least,
            "start": month.days[0].day.isoformat(),
            "end": month.days[-1].day.isoformat(),
            "spark": series.running_sums(month.days),
            "href": urls.package_path(name),
        }
        group = package_group(name)
        outbox.add(db, "group", group, "downloads", data, now=now, simulated=simulated)
    return True


def first_wanted(db: sqlite3.Connection, names: Sequence[str], end: date) -> date:
    """The first day to ask for: the holes of the last days may be filled by now."""
    newest = [
        db.execute("SELECT max(day) FROM downloads WHERE name = ?", (name,)).fetchone()[0]
        for name in names
    ]
    if not newest or None in newest:
        return end - timedelta(days=RANGE_DAYS - 1)
    return min(date.fromisoformat(min(newest)), end) - timedelta(days=ASKED_AGAIN_DAYS)


def load(
    db: sqlite3.Connection,
    name: str,
    length: int,
    *,
    simulated: bool,
    last: date | None = None,
) -> Downloads | None:
    """The last `length` days that the source has (up to `last`); None when it has none."""
    counts = _counts(db, name, length)
    if not counts:
        return None
    state = db.execute(
        "SELECT ok_at FROM block_state WHERE name = ? AND version = '' AND block = 'downloads'",
        (name,),
    ).fetchone()
    told = state["ok_at"] if state is not None else None
    as_of = None if told is None else datetime.fromisoformat(told)
    newest = last or _last(counts)
    return series.summed(counts, newest, length, as_of=as_of, simulated=simulated)


def newest_day(db: sqlite3.Connection, names: Sequence[str]) -> date | None:
    """The newest day for which any of the packages has a figure."""
    rows = [
        db.execute(
            "SELECT max(day) AS day FROM downloads WHERE name = ? AND count IS NOT NULL", (name,)
        ).fetchone()["day"]
        for name in names
    ]
    days = [date.fromisoformat(day) for day in rows if day is not None]
    return max(days, default=None)


def _last(counts: dict[date, int | None]) -> date:
    """The newest day with a figure: days not counted yet are no part of a total."""
    known = [day for day, count in counts.items() if count is not None]
    return max(known or counts)


def _counts(
    db: sqlite3.Connection, name: str, length: int = KEPT_DAYS + 1
) -> dict[date, int | None]:
    # A few days more than asked: the newest ones may be holes.
    rows = db.execute(
        "SELECT day, count FROM downloads WHERE name = ? ORDER BY day DESC LIMIT ?",
        (name, length + 14),
    )
    return {date.fromisoformat(row["day"]): row["count"] for row in rows}
