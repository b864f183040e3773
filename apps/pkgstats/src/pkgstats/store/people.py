"""What visitors and the bot do: visits, stars, picks."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import Literal

from pkgstats import urls
from pkgstats.models import FeedItem
from pkgstats.store import outbox

PickKind = Literal["popular", "newest", "random"]

MAX_STARS = 500
MAX_ALL_STARS = 200_000
"""A visitor is only a cookie, so their number has no other bound."""
NO_REPEAT = timedelta(days=30)
VISITS_KEPT = timedelta(days=90)


def add_visits(db: sqlite3.Connection, counts: Mapping[str, int], day: date) -> None:
    """Count visits of pages; nothing about the visitors is kept."""
    db.executemany(
        "INSERT INTO visit VALUES (?1, ?2, ?3)"
        " ON CONFLICT DO UPDATE SET count = count + excluded.count",
        [(day.isoformat(), name, count) for name, count in counts.items()],
    )
    db.execute("DELETE FROM visit WHERE day < ?", ((day - VISITS_KEPT).isoformat(),))


def star(db: sqlite3.Connection, visitor: str, name: str, now: datetime) -> bool:
    """Star a package; False at MAX_STARS of this visitor, or MAX_ALL_STARS of all."""
    count = db.execute("SELECT count(*) FROM star WHERE visitor = ?", (visitor,)).fetchone()[0]
    if count >= MAX_STARS:
        return False
    if db.execute("SELECT count(*) FROM star").fetchone()[0] >= MAX_ALL_STARS:
        return False
    db.execute(
        "INSERT INTO star VALUES (?1, ?2, ?3, (SELECT latest FROM package WHERE name = ?2))"
        " ON CONFLICT DO NOTHING",
        (visitor, name, now.isoformat()),
    )
    return True


def unstar(db: sqlite3.Connection, visitor: str, name: str) -> None:
    db.execute("DELETE FROM star WHERE visitor = ? AND name = ?", (visitor, name))


def has_star(db: sqlite3.Connection, visitor: str, name: str) -> bool:
    found = db.execute("SELECT 1 FROM star WHERE visitor = ? AND name = ?", (visitor, name))
    return found.fetchone() is not None


def stars(db: sqlite3.Connection, visitor: str) -> list[sqlite3.Row]:
    """Rows (name, since, version when starred, latest, deprecated), newest change first."""
    return db.execute(
        "SELECT s.name, s.since, s.version, p.latest, p.deprecated FROM star s"
        " LEFT JOIN package p USING (name) WHERE visitor = ?"
        " ORDER BY p.changed_at DESC, s.name",
        (visitor,),
    ).fetchall()


def add_pick(
    db: sqlite3.Connection,
    kind: PickKind,
    name: str,
    reason: str,
    *,
    now: datetime,
    simulated: bool,
) -> FeedItem:
    """A pick, with its messages to the bot's group and to the group of its kind."""
    title = f"{name} is today's {kind} pick" if kind != "newest" else f"New: {name}"
    cursor = db.execute(
        "INSERT INTO feed_item (kind, name, title, reason, created_at) VALUES (?, ?, ?, ?, ?)",
        (kind, name, title, reason, now.isoformat()),
    )
    assert cursor.lastrowid is not None
    data = {
        "pick": cursor.lastrowid,
        "kind": kind,
        "name": name,
        "title": title,
        "reason": reason,
        "href": urls.package_path(name),
    }
    for group in ("feed.bot", f"feed.{kind}"):
        outbox.add(db, "group", group, "pick", data, now=now, simulated=simulated)
    return FeedItem(cursor.lastrowid, kind, name, title, reason, now)


def picked_lately(db: sqlite3.Connection, now: datetime) -> set[str]:
    rows = db.execute(
        "SELECT name FROM feed_item WHERE created_at > ?", ((now - NO_REPEAT).isoformat(),)
    )
    return {row["name"] for row in rows}


def feed(db: sqlite3.Connection, kind: str, limit: int) -> list[FeedItem]:
    """Picks, newest first; kind "all" for every kind."""
    rows = db.execute(
        "SELECT * FROM feed_item WHERE ?1 = 'all' OR kind = ?1 ORDER BY id DESC LIMIT ?2",
        (kind, limit),
    )
    return [
        FeedItem(
            row["id"],
            row["kind"],
            row["name"],
            row["title"],
            row["reason"],
            datetime.fromisoformat(row["created_at"]),
        )
        for row in rows
    ]


POPULAR = (
    "SELECT name, weekly FROM package WHERE level = 'seen' AND deprecated IS NULL"
    " AND weekly > 0 ORDER BY weekly DESC, name LIMIT ?"
)
NEWEST = (
    "SELECT name, latest FROM package WHERE level = 'seen' AND latest IS NOT NULL"
    " ORDER BY newest_at DESC, name LIMIT ?"
)


def popular(db: sqlite3.Connection, limit: int) -> tuple[list[tuple[str, str]], str]:
    """(name, reason) pairs and what the order stands on."""
    rows = db.execute(POPULAR, (limit,)).fetchall()
    if rows:
        found = [(row["name"], f"{row['weekly']:,} downloads in 7 days") for row in rows]
        return found, "by downloads in 7 days, among the packages known here"
    rows = db.execute(
        "SELECT p.name, coalesce(v.n, 0) AS n, dependents FROM package p"
        " LEFT JOIN (SELECT name, sum(count) AS n FROM visit GROUP BY name) v USING (name)"
        " WHERE level = 'seen' AND deprecated IS NULL"
        " ORDER BY n DESC, dependents DESC, p.name LIMIT ?",
        (limit,),
    ).fetchall()
    found = [(row["name"], _plural(row["n"], "visit", "here")) for row in rows]
    return found, "by visits and dependents here: download counts are not available"


def newest(db: sqlite3.Connection, limit: int) -> list[tuple[str, str]]:
    """(name, reason) pairs; dates of a mirror order the list but are not shown as publish dates."""
    rows = db.execute(NEWEST, (limit,))
    return [(row["name"], f"version {row['latest']}") for row in rows]


TRIES_EACH = 20
"""Then ids of packages that can be drawn are too rare among all ids."""
_DESCRIBABLE = "FROM package WHERE level = 'seen' AND description <> '' AND deprecated IS NULL"


def draw(db: sqlite3.Connection, choice: random.Random, count: int) -> list[str]:
    """So many names, each as likely as any other: known, described, not deprecated."""
    last = db.execute("SELECT max(id) FROM package").fetchone()[0] or 0
    drawn: dict[int, str] = {}
    # Finding one by its place among 20,000 takes a millisecond, by its id nothing.
    for _ in range(TRIES_EACH * count if last else 0):
        identity = choice.randint(1, last)
        row = db.execute(f"SELECT name {_DESCRIBABLE} AND id = ?", (identity,)).fetchone()
        if row is not None:
            drawn[identity] = row["name"]
        if len(drawn) == count:
            return list(drawn.values())
    there = db.execute(f"SELECT count(*) {_DESCRIBABLE}").fetchone()[0]
    return [
        db.execute(
            f"SELECT name {_DESCRIBABLE} ORDER BY name LIMIT 1 OFFSET ?", (position,)
        ).fetchone()["name"]
        for position in choice.sample(range(there), min(count, there))
    ]


def _plural(count: int, word: str, rest: str) -> str:
    return f"{count:,} {word}{'' if count == 1 else 's'} {rest}"
