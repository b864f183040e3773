"""Bounds of the database: anybody can ask for any package, so what nobody asks for again goes."""

from __future__ import annotations

import sqlite3
from datetime import datetime, timedelta

from pkgstats.store import saving

MAX_SEEN = 20_000
"""Packages with all their releases: 30 KB each on average, some of 300 KB."""
MAX_CONTENTS = 10_000
"""Readmes and file lists of releases: some tens of KB each."""
AT_ONCE = 200
"""So many in one transaction: others want to write, too."""
STATES_KEPT = timedelta(days=30)


def trim(db: sqlite3.Connection, now: datetime) -> bool:
    """Forget what is beyond the bounds, the longest unasked first, starred ones last.

    Returns whether there may be more to forget.
    """
    seen = int(db.execute("SELECT count(*) FROM package WHERE level = 'seen'").fetchone()[0])
    too_many = min(seen - MAX_SEEN, AT_ONCE)
    if too_many > 0:
        rows = db.execute(
            "SELECT p.name FROM package p"
            " LEFT JOIN (SELECT name, max(day) AS day FROM visit GROUP BY name) v USING (name)"
            " WHERE p.level = 'seen'"
            " ORDER BY EXISTS (SELECT 1 FROM star s WHERE s.name = p.name),"
            " coalesce(v.day, ''), p.fetched_at LIMIT ?",
            (too_many,),
        ).fetchall()
        for row in rows:
            saving.forget_withdrawn(db, row["name"])
            db.execute("DELETE FROM downloads WHERE name = ?", (row["name"],))
            db.execute("DELETE FROM block_state WHERE name = ?", (row["name"],))
    read = int(db.execute("SELECT count(*) FROM contents").fetchone()[0])
    if read > MAX_CONTENTS:
        db.execute(
            "DELETE FROM contents WHERE (name, version) IN"
            " (SELECT name, version FROM contents ORDER BY fetched_at LIMIT ?)",
            (min(read - MAX_CONTENTS, AT_ONCE),),
        )
    db.execute("DELETE FROM block_state WHERE until < ?", ((now - STATES_KEPT).isoformat(),))
    return seen - MAX_SEEN > AT_ONCE or read - MAX_CONTENTS > AT_ONCE
