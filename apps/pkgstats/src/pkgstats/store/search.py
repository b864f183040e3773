"""The own index: full text over everything seen, and the names of everything named.

Rank: exact name, name prefix, part of a name, then full text by bm25; among equals weekly
downloads where known, else dependents. Deprecated packages sink.
"""

from __future__ import annotations

import difflib
import re
import sqlite3
from dataclasses import dataclass

MAX_CANDIDATES = 500
MAX_WORDS = 12
MAX_NEAR_CANDIDATES = 200
MAX_NEAR_LENGTH = 80
NEAR = 0.7
"""So alike (difflib's ratio) are names that somebody may have meant: one letter of four differs."""

_WORD = re.compile(r"\w+")
_QUALIFIER = re.compile(
    r"(keywords|maintainer|author|scope|not|is|boost-exact):(\S+)", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Wanted:
    """A search text, taken apart."""

    text: str
    keywords: tuple[str, ...] = ()
    maintainers: tuple[str, ...] = ()
    scopes: tuple[str, ...] = ()
    without_deprecated: bool = False

    @property
    def words(self) -> list[str]:
        return _WORD.findall(self.text.lower())[:MAX_WORDS]


def wanted(text: str) -> Wanted:
    """Read the qualifiers that the registry's search knows; unknown ones stay words."""
    found: dict[str, list[str]] = {}
    for kind, value in _QUALIFIER.findall(text):
        found.setdefault(kind.lower(), []).append(value)
    rest = " ".join(_QUALIFIER.sub(" ", text).split())
    keywords = [word for value in found.get("keywords", ()) for word in value.split(",") if word]
    return Wanted(
        text=rest,
        keywords=tuple(word.lower() for word in keywords),
        maintainers=tuple(found.get("maintainer", []) + found.get("author", [])),
        scopes=tuple(value.removeprefix("@") for value in found.get("scope", ())),
        without_deprecated="deprecated" in found.get("not", ()),
    )


BY_PREFIX = (
    "SELECT name FROM package WHERE id IN ("
    " SELECT id FROM package WHERE lower(name) >= ?1 AND lower(name) < ?2"
    " UNION SELECT id FROM package WHERE scope IS NOT NULL"
    "  AND lower(substr(name, instr(name, '/') + 1)) >= ?1"
    "  AND lower(substr(name, instr(name, '/') + 1)) < ?2)"
    " ORDER BY level <> 'seen', deprecated IS NOT NULL, lower(name) <> ?1,"
    " coalesce(weekly, 0) DESC, dependents DESC, name LIMIT ?3"
)


def search(db: sqlite3.Connection, text: str, limit: int = MAX_CANDIDATES) -> list[str]:
    """Names that match, best first, at most `limit`; seen packages before named ones."""
    want = wanted(text)
    scores = _text_matches(db, want, limit) if want.text else None
    rows = _rows(db, want, None if scores is None else list(scores))
    needle = want.text.lower()

    def rank(row: sqlite3.Row) -> tuple[object, ...]:
        score = 0.0 if scores is None else scores[row["id"]]
        return (
            row["level"] != "seen",
            row["deprecated"] is not None,
            _name_class(row["name"].lower(), needle),
            round(score, 1),
            -(row["weekly"] or 0),
            -row["dependents"],
            row["name"],
        )

    return [row["name"] for row in sorted(rows, key=rank)][:limit]


def by_prefix(db: sqlite3.Connection, text: str, limit: int) -> list[str]:
    """Names for suggestions while somebody types: cheaper than `search`, same order of names.

    The own part of a scoped name counts as its beginning, too.
    """
    needle = text.lower()
    if not needle:
        return []
    rows = db.execute(BY_PREFIX, (needle, needle + chr(0x10FFFF), limit))
    return [row["name"] for row in rows]


def near(db: sqlite3.Connection, text: str, limit: int) -> list[str]:
    """Names that are spelt nearly so, nearest first; none that only has a few letters in common."""
    needle = text.lower()[:MAX_NEAR_LENGTH]
    pieces = {needle[i : i + 3] for i in range(len(needle) - 2)}
    if not pieces:
        return []
    match = " OR ".join('"' + piece.replace('"', '""') + '"' for piece in sorted(pieces))
    rows = db.execute(
        "SELECT name FROM name_index WHERE name_index MATCH ? ORDER BY rank LIMIT ?",
        (match, MAX_NEAR_CANDIDATES),
    )
    return difflib.get_close_matches(needle, [row[0] for row in rows], limit, NEAR)


def count_seen(db: sqlite3.Connection) -> int:
    return int(db.execute("SELECT count(*) FROM package WHERE level = 'seen'").fetchone()[0])


def names_of_maintainer(db: sqlite3.Connection, username: str) -> list[str]:
    rows = db.execute(
        "SELECT p.name FROM maintainer m JOIN package p USING (name)"
        " WHERE m.username = ? ORDER BY p.weekly DESC, p.name",
        (username,),
    )
    return [row["name"] for row in rows]


def names_in_scope(db: sqlite3.Connection, scope: str) -> list[str]:
    rows = db.execute(
        "SELECT name FROM package WHERE scope = ? ORDER BY level <> 'seen', weekly DESC, name",
        (scope,),
    )
    return [row["name"] for row in rows]


_SELECT = (
    "SELECT p.id, p.name, p.level, p.deprecated, p.weekly, p.keywords, p.scope, p.dependents"
    " FROM package p"
)


def _text_matches(db: sqlite3.Connection, want: Wanted, limit: int) -> dict[int, float]:
    """Package id → bm25 (0 for a match of the name alone; smaller is better)."""
    scores: dict[int, float] = {}
    if len(want.text) >= 3:
        phrase = '"' + want.text.replace('"', '""') + '"'
        names = db.execute(
            "SELECT rowid FROM name_index WHERE name_index MATCH ? LIMIT ?",
            (phrase, limit),
        )
        scores.update((row[0], 0.0) for row in names)
    else:
        like = "%" + _like(want.text.lower()) + "%"
        names = db.execute(
            "SELECT id FROM package WHERE name LIKE ? ESCAPE '\\' LIMIT ?", (like, limit)
        )
        scores.update((row[0], 0.0) for row in names)
    if words := want.words:
        match = " ".join(f'"{word}"' for word in words[:-1]) + f' "{words[-1]}"*'
        found = db.execute(
            "SELECT rowid, bm25(search_index, 10.0, 4.0, 1.0) AS score FROM search_index"
            " WHERE search_index MATCH ? ORDER BY score LIMIT ?",
            (match, limit),
        )
        scores.update((row[0], row[1]) for row in found)
    return scores


def _rows(db: sqlite3.Connection, want: Wanted, ids: list[int] | None) -> list[sqlite3.Row]:
    if ids is None and not (want.scopes or want.maintainers or want.keywords):
        return []
    conditions, values = ["1"], list[object]()
    if ids is not None:
        conditions.append(f"p.id IN ({', '.join('?' * len(ids))})")
        values += ids
    for scope in want.scopes:
        conditions.append("p.scope = ?")
        values.append(scope)
    for person in want.maintainers:
        conditions.append(
            "EXISTS (SELECT 1 FROM maintainer m WHERE m.name = p.name AND username = ?)"
        )
        values.append(person)
    if want.keywords:
        marks = ", ".join("?" * len(want.keywords))
        conditions.append(
            f"EXISTS (SELECT 1 FROM json_each(p.keywords) WHERE lower(value) IN ({marks}))"
        )
        values += want.keywords
    if want.without_deprecated:
        conditions.append("p.deprecated IS NULL")
    return db.execute(
        f"{_SELECT} WHERE {' AND '.join(conditions)} LIMIT {2 * MAX_CANDIDATES}", values
    ).fetchall()


def _name_class(name: str, needle: str) -> int:
    if not needle:
        return 3
    own = name.partition("/")[2] if name.startswith("@") else name
    if needle in (name, name.removeprefix("@")):
        return 0
    if name.startswith(needle) or own.startswith(needle):
        return 1
    return 2 if needle in name else 3


def _like(text: str) -> str:
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
