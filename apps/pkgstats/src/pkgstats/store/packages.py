"""Packages in the database, read: what pages and the refresher need."""

from __future__ import annotations

import sqlite3
import zlib
from dataclasses import dataclass
from datetime import datetime

import msgspec

from pkgstats.models import DistTag, FileRow, Heading, PublishedSource, Readme, VersionRow
from pkgstats.sources.base import Release

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
    is_outdated: bool
    """The changes feed has named it since it was fetched."""
    dependents: int


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
        is_outdated=bool(row["is_outdated"]),
        dependents=row["dependents"],
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


def versions(db: sqlite3.Connection, name: str, *, dated: bool = True) -> list[VersionRow]:
    """All releases, newest first. Dates are as `time` said: see `published_source`.

    `dated` False leaves them out. There are packages with thousands of releases, so each row is
    made in one step.
    """
    tags: dict[str, tuple[str, ...]] = {}
    for tag in dist_tags(db, name):
        tags[tag.version] = (*tags.get(tag.version, ()), tag.tag)
    counted = db.execute("SELECT version, count FROM version_downloads WHERE name = ?", (name,))
    weekly = {row["version"]: row["count"] for row in counted}
    cursor = db.cursor()
    cursor.row_factory = None
    rows = cursor.execute(
        "SELECT version, iif(?2, published_at, NULL), license, dependencies, unpacked, files,"
        " deprecated FROM version WHERE name = ?1 ORDER BY position",
        (name, dated),
    )
    return [
        VersionRow(
            version,
            published and datetime.fromisoformat(published),
            license_,
            dependencies,
            unpacked,
            files,
            deprecated,
            tags.get(version, ()),
            weekly.get(version),
        )
        for version, published, license_, dependencies, unpacked, files, deprecated in rows
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


def seen_names(db: sqlite3.Connection) -> list[str]:
    rows = db.execute("SELECT name FROM package WHERE level = 'seen' ORDER BY name")
    return [row["name"] for row in rows]


def _time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
