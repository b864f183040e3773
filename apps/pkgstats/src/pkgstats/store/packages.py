"""Packages in the database: what sources said goes in, what pages need comes out."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import msgspec

from pkgstats import urls
from pkgstats.models import (
    DistTag,
    FileRow,
    Heading,
    PublishedSource,
    Readme,
    VersionRow,
    package_group,
)
from pkgstats.sources.base import Contents, Found, Packument, Release
from pkgstats.store import outbox

Database = sqlite3.Connection


@dataclass(frozen=True, slots=True)
class StoredContents:
    """A release's readme and files as stored."""

    integrity: str
    readme: Readme | None
    renderer: str | None
    truncated: bool
    packed: int | None
    unpacked: int
    files: tuple[FileRow, ...]
    fetched_at: datetime


@dataclass(frozen=True, slots=True)
class StoredPackage:
    """A package as stored, without its old releases' details."""

    name: str
    latest: str | None
    published_source: PublishedSource
    changed_at: datetime
    fetched_at: datetime
    last_error: str | None
    last_error_at: datetime | None
    etag: str | None
    last_modified: str | None


def find(db: sqlite3.Connection, name: str) -> StoredPackage | None:
    """The package, when its packument was ever loaded."""
    row = db.execute("SELECT * FROM package WHERE name = ? AND level = 'seen'", (name,)).fetchone()
    if row is None:
        return None
    return StoredPackage(
        name=name,
        latest=row["latest"],
        published_source=PublishedSource(row["published_source"]),
        changed_at=datetime.fromisoformat(row["changed_at"]),
        fetched_at=datetime.fromisoformat(row["fetched_at"]),
        last_error=row["last_error"],
        last_error_at=_time(row["last_error_at"]),
        etag=row["etag"],
        last_modified=row["last_modified"],
    )


def release(db: sqlite3.Connection, name: str, version: str) -> Release | None:
    """One release in full; `version` may be a dist-tag."""
    row = db.execute(
        "SELECT body FROM version WHERE name = ?1 AND version = coalesce("
        "(SELECT version FROM version WHERE name = ?1 AND version = ?2),"
        "(SELECT version FROM dist_tag WHERE name = ?1 AND tag = ?2))",
        (name, version),
    ).fetchone()
    return None if row is None else msgspec.json.decode(row["body"], type=Release)


def versions(db: sqlite3.Connection, name: str) -> list[VersionRow]:
    """All releases, newest first. Dates are as `time` said: see `published_source`."""
    tags: dict[str, list[str]] = {}
    for tag in dist_tags(db, name):
        tags.setdefault(tag.version, []).append(tag.tag)
    rows = db.execute("SELECT * FROM version WHERE name = ? ORDER BY position", (name,))
    return [
        VersionRow(
            version=row["version"],
            published_at=_time(row["published_at"]),
            license=row["license"],
            dependencies=row["dependencies"],
            unpacked_size=row["unpacked"],
            file_count=row["files"],
            deprecated=row["deprecated"],
            tags=tuple(tags.get(row["version"], ())),
        )
        for row in rows
    ]


def dist_tags(db: sqlite3.Connection, name: str) -> list[DistTag]:
    """`latest` first, then by name."""
    rows = db.execute(
        "SELECT tag, version FROM dist_tag WHERE name = ? ORDER BY tag <> 'latest', tag", (name,)
    )
    return [DistTag(row["tag"], row["version"]) for row in rows]


def maintainers(db: sqlite3.Connection, name: str) -> list[str]:
    rows = db.execute("SELECT username FROM maintainer WHERE name = ? ORDER BY username", (name,))
    return [row["username"] for row in rows]


def contents(db: sqlite3.Connection, name: str, version: str) -> StoredContents | None:
    """Readme and files of a release, when its tarball was read."""
    row = db.execute(
        "SELECT * FROM contents WHERE name = ? AND version = ?", (name, version)
    ).fetchone()
    if row is None:
        return None
    readme = None
    if row["html"] is not None:
        headings = msgspec.json.decode(row["headings"], type=tuple[Heading, ...])
        readme = Readme(row["html"], headings, bool(row["truncated"]))
    return StoredContents(
        integrity=row["integrity"],
        readme=readme,
        renderer=row["renderer"],
        truncated=bool(row["truncated"]),
        packed=row["packed"],
        unpacked=row["unpacked"],
        files=msgspec.json.decode(row["files"], type=tuple[FileRow, ...]),
        fetched_at=datetime.fromisoformat(row["fetched_at"]),
    )


def renderer(db: sqlite3.Connection, name: str, version: str) -> str | None:
    """Which renderer made the stored readme ("": there is no readme); None: nothing is stored."""
    row = db.execute(
        "SELECT iif(markdown IS NULL, '', renderer) AS renderer FROM contents"
        " WHERE name = ? AND version = ?",
        (name, version),
    ).fetchone()
    return None if row is None else str(row["renderer"])


def markdown(db: sqlite3.Connection, name: str, version: str) -> str | None:
    """The readme as its author wrote it."""
    row = db.execute(
        "SELECT markdown FROM contents WHERE name = ? AND version = ?", (name, version)
    ).fetchone()
    if row is None or row["markdown"] is None:
        return None
    return zlib.decompress(row["markdown"]).decode("utf-8")


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
    _save_parts(db, packument, latest)
    _index(db, packument.name, latest, now)
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
        " last_error_at = NULL WHERE name = ?",
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


def seen_names(db: sqlite3.Connection) -> list[str]:
    rows = db.execute("SELECT name FROM package WHERE level = 'seen' ORDER BY name")
    return [row["name"] for row in rows]


def forget_withdrawn(db: sqlite3.Connection, name: str) -> None:
    """The registry no longer has the package: it leaves lists and search."""
    row = db.execute("SELECT id FROM package WHERE name = ?", (name,)).fetchone()
    if row is None:
        return
    for table in ("version", "dist_tag", "dependency", "maintainer", "contents"):
        db.execute(f"DELETE FROM {table} WHERE name = ?", (name,))
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
    }
    updates = ", ".join(f"{column} = excluded.{column}" for column in values if column != "name")
    columns = (*values, "first_seen_at")
    db.execute(
        f"INSERT INTO package ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"
        f" ON CONFLICT (name) DO UPDATE SET {updates}",
        (*values.values(), now.isoformat()),
    )


def _save_parts(db: sqlite3.Connection, packument: Packument, latest: Release | None) -> None:
    name = packument.name
    sizes = {
        row["version"]: (row["unpacked"], row["files"])
        for row in db.execute(
            "SELECT version, unpacked, files FROM version WHERE name = ?", (name,)
        )
    }
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


def _index(db: sqlite3.Connection, name: str, latest: Release | None, now: datetime) -> None:
    """Own search index: the package itself, and the bare names of what it depends on."""
    identity = db.execute("SELECT id FROM package WHERE name = ?", (name,)).fetchone()["id"]
    for table in ("search_index", "name_index"):
        db.execute(f"DELETE FROM {table} WHERE rowid = ?", (identity,))
    shown = latest or Release(version="")
    db.execute(
        "INSERT INTO search_index (rowid, name, keywords, description) VALUES (?, ?, ?, ?)",
        (identity, name, " ".join(shown.keywords), shown.description),
    )
    db.execute("INSERT INTO name_index (rowid, name) VALUES (?, ?)", (identity, name))
    save_names(db, (dependency.name for dependency in shown.dependencies), now)


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


def _time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
