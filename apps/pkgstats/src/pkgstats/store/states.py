"""How the last requests ended: per block of a page, and per ability of the sources."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Ended(StrEnum):
    """How a request for a block ended."""

    OK = "ok"
    NO_DATA = "no_data"
    NOT_OFFERED = "not_offered"
    NOT_SET = "not_set"
    LIMITED = "limited"
    FAILING = "failing"


@dataclass(frozen=True, slots=True)
class BlockState:
    """`until`: when it is worth asking again."""

    ended: Ended
    at: datetime
    until: datetime
    detail: str


@dataclass(frozen=True, slots=True)
class Ability:
    """What is remembered about an ability of the sources, over restarts too."""

    name: str
    ended: Ended
    since: datetime
    until: datetime | None
    last_contact: datetime | None
    detail: str


def block(
    db: sqlite3.Connection, name: str, block_name: str, version: str = ""
) -> BlockState | None:
    row = db.execute(
        "SELECT * FROM block_state WHERE name = ? AND version = ? AND block = ?",
        (name, version, block_name),
    ).fetchone()
    if row is None:
        return None
    return BlockState(
        Ended(row["state"]),
        datetime.fromisoformat(row["at"]),
        datetime.fromisoformat(row["until"]),
        row["detail"],
    )


def save_block(
    db: sqlite3.Connection, name: str, block_name: str, state: BlockState, version: str = ""
) -> None:
    db.execute(
        "INSERT INTO block_state (name, version, block, state, at, until, detail, ok_at)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (name, version, block) DO UPDATE SET"
        " state = excluded.state, at = excluded.at, until = excluded.until,"
        " detail = excluded.detail, ok_at = coalesce(excluded.ok_at, ok_at)",
        (
            name,
            version,
            block_name,
            state.ended.value,
            state.at.isoformat(),
            state.until.isoformat(),
            state.detail,
            state.at.isoformat() if state.ended is Ended.OK else None,
        ),
    )


def forget_absences(db: sqlite3.Connection, now: datetime) -> None:
    """Drop refusals of whole packages whose time is over: anybody can ask for any name."""
    db.execute("DELETE FROM block_state WHERE block = 'registry' AND until < ?", (now.isoformat(),))


def abilities(db: sqlite3.Connection) -> dict[str, Ability]:
    return {
        row["ability"]: Ability(
            name=row["ability"],
            ended=Ended(row["state"]),
            since=datetime.fromisoformat(row["since"]),
            until=row["until"] and datetime.fromisoformat(row["until"]),
            last_contact=row["last_contact"] and datetime.fromisoformat(row["last_contact"]),
            detail=row["detail"],
        )
        for row in db.execute("SELECT * FROM source_state")
    }


def save_ability(
    db: sqlite3.Connection,
    name: str,
    ended: Ended,
    *,
    now: datetime,
    until: datetime | None = None,
    detail: str = "",
) -> None:
    """`since` stays while the state stays."""
    answered = ended not in (Ended.FAILING, Ended.NOT_SET)
    db.execute(
        "INSERT INTO source_state (ability, state, since, until, last_contact, detail)"
        " VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (ability) DO UPDATE SET"
        " since = iif(state = ?2, since, ?3), state = ?2, until = ?4,"
        " last_contact = coalesce(?5, last_contact), detail = ?6",
        (
            name,
            ended.value,
            now.isoformat(),
            until and until.isoformat(),
            now.isoformat() if answered else None,
            detail,
        ),
    )
