"""Packages in the database, written: each change with the messages that tell of it."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime

import msgspec

from pkgstats import urls
from pkgstats.models import Readme, package_group
from pkgstats.sources.base import Contents, Found, Packument, Release
from pkgstats.store import outbox


def save_packument(
    db: sqlite3.Connection, packument: Packument, *, now: datetime, simulated: bool
) -> bool:
    """Store what a source said; nothing is written or told when nothing changed.

    Returns whether anything changed. Messages: "release" when `latest` moved (to the package's
    group, to everybody who starred it, and to the newest column), "deprecated" when a notice
    appeared, else "package".
    """
    bare = replace(packument, etag=None, last_modified=None)
    digest = hashlib.sha256(msgspec.json.encode(bare)).hexdigest()
    old = db.execute(
        "SELECT level, latest, deprecated, slim_hash FROM package WHERE name = ?",
        (packument.name,),
    ).fetchone()
    if old is not None and old["slim_hash"] == digest:
        touch(db, packument.name, now, packument.etag, packument.last_modified)
        return False
    latest = packument.release(packument.latest)
    _save_package(db, packument, latest, digest, now)
    _save_parts(db, packument, latest, now)
    _index(db, packument.name, latest)
    known = old is not None and old["level"] == "seen"
    _tell(db, packument, latest, old if known else None, now, simulated)
    return True


def touch(
    db: sqlite3.Connection,
    name: str,
    now: datetime,
    etag: str | None,
    last_modified: str | None,
) -> None:
    """What is stored was confirmed by the source."""
    db.execute(
        "UPDATE package SET fetched_at = ?, etag = ?, last_modified = ?, last_error = NULL,"
        " last_error_at = NULL, is_outdated = 0 WHERE name = ?",
        (now.isoformat(), etag, last_modified, name),
    )


def save_error(db: sqlite3.Connection, name: str, reason: str, now: datetime) -> None:
    """The source did not answer: the page says so beside the copy it shows."""
    db.execute(
        "UPDATE package SET last_error = ?, last_error_at = ? WHERE name = ?",
        (reason, now.isoformat(), name),
    )


def save_contents(
    db: sqlite3.Connection,
    name: str,
    version: str,
    found: Contents,
    readme: Readme | None,
    renderer: str,
    *,
    now: datetime,
    simulated: bool,
) -> None:
    """Store a release's readme and files and tell the package's group."""
    packed = None if found.readme is None else zlib.compress(found.readme.encode("utf-8"))
    db.execute(
        "INSERT OR REPLACE INTO contents VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            name,
            version,
            found.integrity,
            packed,
            readme and readme.html,
            readme and msgspec.json.encode(readme.headings),
            renderer,
            found.readme_truncated,
            found.packed_size,
            found.unpacked_size,
            msgspec.json.encode(found.files),
            now.isoformat(),
        ),
    )
    db.execute(
        "UPDATE version SET unpacked = coalesce(unpacked, ?), files = coalesce(files, ?)"
        " WHERE name = ? AND version = ?",
        (found.unpacked_size, found.file_count, name, version),
    )
    db.execute("UPDATE package SET changed_at = ? WHERE name = ?", (now.isoformat(), name))
    data = {"name": name, "version": version, "href": urls.package_path(name, version)}
    outbox.add(db, "group", package_group(name), "readme", data, now=now, simulated=simulated)


def save_rendered(
    db: sqlite3.Connection, name: str, version: str, readme: Readme, renderer: str
) -> None:
    """The same text, rendered anew by a newer renderer."""
    db.execute(
        "UPDATE contents SET html = ?, headings = ?, renderer = ? WHERE name = ? AND version = ?",
        (readme.html, msgspec.json.encode(readme.headings), renderer, name, version),
    )


def save_names(db: sqlite3.Connection, names: Iterable[str], now: datetime) -> None:
    """Names heard of, without anything else: not loaded until somebody opens them."""
    for name in names:
        row = db.execute(
            "INSERT INTO package (name, level, scope, first_seen_at, changed_at)"
            " VALUES (?, 'named', ?, ?, ?) ON CONFLICT DO NOTHING RETURNING id",
            (name, _scope(name), now.isoformat(), now.isoformat()),
        ).fetchone()
        if row is not None:
            db.execute("INSERT INTO name_index (rowid, name) VALUES (?, ?)", (row["id"], name))


def save_found(db: sqlite3.Connection, found: Sequence[Found], now: datetime) -> None:
    """What the registry's search told of packages; what was loaded here is worth more."""
    save_names(db, (item.name for item in found), now)
    for item in found:
        published = item.published_at.isoformat() if item.published_at else None
        db.execute(
            "UPDATE package SET description = ?, latest = ?, published_at = ?,"
            " published_source = 'registry', license = ?, publisher = ?, keywords = ?,"
            " weekly = coalesce(?, weekly) WHERE name = ? AND level = 'named'",
            (
                item.description,
                item.version,
                published,
                item.license,
                item.publisher,
                json.dumps(item.keywords),
                item.weekly_downloads,
                item.name,
            ),
        )


_PARTS = ("version", "dist_tag", "dependency", "maintainer", "contents", "version_downloads")


def forget_withdrawn(db: sqlite3.Connection, name: str) -> None:
    """The registry no longer has the package: it leaves lists and search."""
    row = db.execute("SELECT id FROM package WHERE name = ?", (name,)).fetchone()
    if row is None:
        return
    targets = _targets(db, name)
    for table in _PARTS:
        db.execute(f"DELETE FROM {table} WHERE name = ?", (name,))
    _count_dependents(db, targets)
    for table in ("search_index", "name_index"):
        db.execute(f"DELETE FROM {table} WHERE rowid = ?", (row["id"],))
    db.execute("DELETE FROM package WHERE name = ?", (name,))


def _save_package(
    db: sqlite3.Connection,
    packument: Packument,
    latest: Release | None,
    digest: str,
    now: datetime,
) -> None:
    shown = latest or Release(version="")
    name = packument.name
    values = {
        "name": name,
        "level": "seen",
        "scope": name[1:].partition("/")[0] if name.startswith("@") else None,
        "description": shown.description,
        "latest": packument.latest,
        "published_at": shown.published_at and shown.published_at.isoformat(),
        "published_source": packument.published_source.value,
        "license": shown.license,
        "publisher": shown.publisher,
        "homepage": shown.homepage,
        "bugs_url": shown.bugs_url,
        "repo_url": shown.repo_url,
        "keywords": json.dumps(shown.keywords),
        "deprecated": shown.deprecated,
        "slim_hash": digest,
        "etag": packument.etag,
        "last_modified": packument.last_modified,
        "changed_at": now.isoformat(),
        "fetched_at": now.isoformat(),
        "last_error": None,
        "last_error_at": None,
        "is_outdated": 0,
    }
    updates = ", ".join(f"{column} = excluded.{column}" for column in values if column != "name")
    columns = (*values, "first_seen_at")
    db.execute(
        f"INSERT INTO package ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"
        f" ON CONFLICT (name) DO UPDATE SET {updates}",
        (*values.values(), now.isoformat()),
    )
    # A date in the future is no date: what was seen first here then is as new as that.
    db.execute(
        "UPDATE package SET newest_at = iif(published_at <= ?1, published_at, first_seen_at)"
        " WHERE name = ?2",
        (now.isoformat(), name),
    )


def _save_parts(
    db: sqlite3.Connection, packument: Packument, latest: Release | None, now: datetime
) -> None:
    name = packument.name
    sizes = {
        row["version"]: (row["unpacked"], row["files"])
        for row in db.execute(
            "SELECT version, unpacked, files FROM version WHERE name = ?", (name,)
        )
    }
    targets = _targets(db, name)
    for table in ("version", "dist_tag", "dependency", "maintainer"):
        db.execute(f"DELETE FROM {table} WHERE name = ?", (name,))
    db.executemany(
        "INSERT INTO version VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            _version_values(name, position, item, sizes.get(item.version, (None, None)))
            for position, item in enumerate(packument.releases)
        ],
    )
    db.executemany(
        "INSERT INTO dist_tag VALUES (?, ?, ?)",
        [(name, tag, version) for tag, version in packument.dist_tags],
    )
    people = packument.maintainers or (latest.maintainers if latest else ())
    db.executemany("INSERT INTO maintainer VALUES (?, ?)", [(name, person) for person in people])
    needed = latest.dependencies if latest else ()
    db.executemany(
        "INSERT INTO dependency VALUES (?, ?, ?)", [(name, item.kind, item.name) for item in needed]
    )
    save_names(db, (item.name for item in needed), now)
    _count_dependents(db, targets ^ _targets(db, name))


def _version_values(
    name: str, position: int, item: Release, sizes: tuple[int | None, int | None]
) -> Sequence[object]:
    return (
        name,
        item.version,
        position,
        item.published_at and item.published_at.isoformat(),
        item.license,
        sum(dependency.kind == "dependencies" for dependency in item.dependencies),
        sizes[0] if item.unpacked_size is None else item.unpacked_size,
        sizes[1] if item.file_count is None else item.file_count,
        item.integrity,
        item.deprecated,
        msgspec.json.encode(item),
    )


def _index(db: sqlite3.Connection, name: str, latest: Release | None) -> None:
    """Own search index: the package itself; what it depends on is indexed by name alone."""
    identity = db.execute("SELECT id FROM package WHERE name = ?", (name,)).fetchone()["id"]
    for table in ("search_index", "name_index"):
        db.execute(f"DELETE FROM {table} WHERE rowid = ?", (identity,))
    shown = latest or Release(version="")
    db.execute(
        "INSERT INTO search_index (rowid, name, keywords, description) VALUES (?, ?, ?, ?)",
        (identity, name, " ".join(shown.keywords), shown.description),
    )
    db.execute("INSERT INTO name_index (rowid, name) VALUES (?, ?)", (identity, name))


def _targets(db: sqlite3.Connection, name: str) -> set[str]:
    rows = db.execute("SELECT DISTINCT target FROM dependency WHERE name = ?", (name,))
    return {row["target"] for row in rows}


def _count_dependents(db: sqlite3.Connection, names: Iterable[str]) -> None:
    db.executemany(
        "UPDATE package SET dependents = (SELECT count(DISTINCT d.name) FROM dependency d"
        " WHERE d.target = ?1) WHERE name = ?1",
        [(name,) for name in names],
    )


def _scope(name: str) -> str | None:
    return name[1:].partition("/")[0] if name.startswith("@") else None


def _tell(
    db: sqlite3.Connection,
    packument: Packument,
    latest: Release | None,
    old: sqlite3.Row | None,
    now: datetime,
    simulated: bool,
) -> None:
    name = packument.name
    data = {
        "name": name,
        "version": packument.latest,
        "description": latest.description if latest else "",
        "href": urls.package_path(name),
    }
    group = package_group(name)
    if old is not None and latest is not None and old["latest"] != packument.latest:
        data["previous"] = old["latest"]
        outbox.add(db, "group", group, "release", data, now=now, simulated=simulated)
        outbox.add(db, "group", "feed.newest", "newest", data, now=now, simulated=simulated)
        for row in db.execute("SELECT visitor FROM star WHERE name = ?", (name,)).fetchall():
            outbox.add(db, "user", row["visitor"], "release", data, now=now, simulated=simulated)
    elif old is not None and latest and latest.deprecated and not old["deprecated"]:
        notice = data | {"text": latest.deprecated}
        outbox.add(db, "group", group, "deprecated", notice, now=now, simulated=simulated)
    else:
        outbox.add(db, "group", group, "package", data, now=now, simulated=simulated)
