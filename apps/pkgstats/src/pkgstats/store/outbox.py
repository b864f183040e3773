"""Live messages, written in the same transaction as the change they tell of.

A crash between sending and marking repeats a message; pages drop repeats by its id. Nothing is
ever sent that was not committed.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from pkgstats.models import OutboxRow, TargetKind

KEPT_FOR = timedelta(days=1)
MAX_KEPT = 100_000
"""Where nobody publishes for a long time the oldest messages go: a page that is read anew has them."""


def add(
    db: sqlite3.Connection,
    target_kind: TargetKind,
    target: str,
    t: str,
    data: Mapping[str, Any],
    *,
    now: datetime,
    simulated: bool,
) -> int:
    """Put a message into the outbox; returns its id."""
    cursor = db.execute(
        "INSERT INTO outbox (target_kind, target, t, at, data, simulated)"
        " VALUES (?, ?, ?, ?, ?, ?)",
        (target_kind, target, t, now.isoformat(), json.dumps(data), simulated),
    )
    assert cursor.lastrowid is not None
    db.execute("DELETE FROM outbox WHERE id <= ?", (cursor.lastrowid - MAX_KEPT,))
    return cursor.lastrowid


def pending(db: sqlite3.Connection, limit: int) -> list[OutboxRow]:
    """Messages not yet sent, oldest first."""
    rows = db.execute("SELECT * FROM outbox WHERE sent_at IS NULL ORDER BY id LIMIT ?", (limit,))
    return [
        OutboxRow(
            id=row["id"],
            target_kind=row["target_kind"],
            target=row["target"],
            t=row["t"],
            at=datetime.fromisoformat(row["at"]),
            data=json.loads(row["data"]),
            simulated=bool(row["simulated"]),
        )
        for row in rows
    ]


def mark_sent(db: sqlite3.Connection, ids: Iterable[int], now: datetime) -> None:
    """Mark messages as sent and forget those of long ago (ids are never used again)."""
    db.executemany(
        "UPDATE outbox SET sent_at = ? WHERE id = ?", [(now.isoformat(), i) for i in ids]
    )
    db.execute("DELETE FROM outbox WHERE sent_at < ?", ((now - KEPT_FOR).isoformat(),))


def last_id(db: sqlite3.Connection) -> int:
    """The highest id given out so far."""
    row = db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'outbox'").fetchone()
    return 0 if row is None else int(row[0])
