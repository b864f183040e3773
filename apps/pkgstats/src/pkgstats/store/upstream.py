"""What the changes feed and the per-version counts tell, in the database."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from datetime import datetime

from pkgstats.sources.base import Change
from pkgstats.store import saving

MAX_NAMED = 50_000
"""Names without anything else; the feed of a whole registry would go on for ever."""

CURSOR = "changes_cursor"


def note(db: sqlite3.Connection, key: str) -> str | None:
    row = db.execute("SELECT value FROM note WHERE key = ?", (key,)).fetchone()
    return None if row is None else str(row["value"])


def save_note(db: sqlite3.Connection, key: str, value: str | None) -> None:
    """Keep a single value; None forgets it."""
    if value is None:
        db.execute("DELETE FROM note WHERE key = ?", (key,))
    else:
        db.execute("INSERT OR REPLACE INTO note VALUES (?, ?)", (key, value))


def save_changes(
    db: sqlite3.Connection, changed: Sequence[Change], cursor: str | None, now: datetime
) -> list[str]:
    """Take note of changes and the cursor in one go; returns the names that are new here.

    What was loaded here is outdated from now on. Names that are new are heard of, up to MAX_NAMED.
    """
    names = [change.name for change in changed if not change.is_deleted]
    db.executemany(
        "UPDATE package SET is_outdated = 1 WHERE name = ? AND level = 'seen'",
        [(change.name,) for change in changed],
    )
    named = db.execute("SELECT count(*) FROM package WHERE level = 'named'").fetchone()[0]
    new = [name for name in names if not _is_known(db, name)][: max(0, MAX_NAMED - named)]
    saving.save_names(db, new, now)
    save_note(db, CURSOR, cursor)
    return new


def save_version_downloads(db: sqlite3.Connection, name: str, counts: Mapping[str, int]) -> None:
    """Counts of the versions that are known here; those of before are gone."""
    db.execute("DELETE FROM version_downloads WHERE name = ?", (name,))
    db.executemany(
        "INSERT INTO version_downloads SELECT name, version, ?3 FROM version"
        " WHERE name = ?1 AND version = ?2",
        [(name, version, count) for version, count in counts.items()],
    )


def _is_known(db: sqlite3.Connection, name: str) -> bool:
    return db.execute("SELECT 1 FROM package WHERE name = ?", (name,)).fetchone() is not None
