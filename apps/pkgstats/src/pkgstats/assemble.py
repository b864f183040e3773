"""From rows of the database to what a page shows. Reads only; one snapshot per page."""

from __future__ import annotations

import json
import sqlite3
import zlib
from collections.abc import Callable
from datetime import date, datetime, timedelta

from pkgstats import series
from pkgstats.models import (
    DATE_NOT_KNOWN,
    NOT_AVAILABLE,
    Block,
    Downloads,
    Link,
    Origin,
    OriginState,
    PackageData,
    PublishedSource,
    ResultCard,
)
from pkgstats.sources.base import Release
from pkgstats.store import counts, outbox, packages, states
from pkgstats.store.packages import StoredContents, StoredPackage
from pkgstats.store.states import BlockState, Ended

LOADING_WORDS = "being loaded"
COUNTS_SHOWN_FOR = timedelta(days=7)
"""Without an answer for longer than this there is no block: old counts would pass for new ones."""
NO_ANSWER_WORDS = "no answer from this source"
_TELLS_DATES = (PublishedSource.REGISTRY, PublishedSource.SIMULATED)


class Assembler:
    """Knows what holds for every page: is it simulated, and where the npm site is."""

    def __init__(self, *, simulated: bool, npm_site: str, now: Callable[[], datetime]) -> None:
        self._simulated = simulated
        self._npm_site = npm_site
        self._now = now

    def counts(
        self, db: sqlite3.Connection, name: str, length: int, last: date | None = None
    ) -> Downloads | None:
        """The last days (up to `last`) that have counts; None: there are none, or only old ones."""
        found = counts.load(db, name, length, simulated=self._simulated, last=last)
        if found is None or found.as_of is None:
            return found
        return None if self._now() - found.as_of > COUNTS_SHOWN_FOR else found

    def page(self, db: sqlite3.Connection, stored: StoredPackage, release: Release) -> PackageData:
        """The page of one release."""
        name, version = stored.name, release.version
        contents = packages.contents(db, name, version)
        downloads = self.counts(db, name, series.MONTH)
        dated = stored.published_source in _TELLS_DATES
        rows = packages.versions(db, name, dated=dated)
        published_at = release.published_at if dated else None
        origins = self._origins(db, stored, release, contents, downloads, published_at)
        return PackageData(
            name=name,
            version=version,
            latest=stored.latest or version,
            description=release.description,
            published_at=published_at,
            published_source=stored.published_source,
            license=release.license,
            keywords=release.keywords,
            deprecated=release.deprecated,
            homepage=release.homepage,
            repo_url=release.repo_url,
            repo_dir=release.repo_dir,
            links=self.links(name, release.repo_url, release.homepage, release.bugs_url),
            engines=release.engines,
            module=release.module,
            has_types=release.has_types,
            dist_tags=tuple(packages.dist_tags(db, name)),
            versions=tuple(rows),
            dependencies=release.dependencies,
            maintainers=tuple(packages.maintainers(db, name)),
            install=_install(name, version, stored.latest),
            readme=contents.readme if contents else None,
            files=contents.files if contents else (),
            unpacked_size=contents.unpacked if contents else release.unpacked_size,
            packed_size=contents.packed if contents else None,
            file_count=len(contents.files) if contents else release.file_count,
            downloads=downloads,
            origins=origins,
            data_version=_data_version(stored, version, origins, contents),
            last_outbox_id=outbox.last_id(db),
            dependents=stored.dependents,
            simulated=self._simulated,
        )

    def card(self, db: sqlite3.Connection, name: str, *, exact: bool = False) -> ResultCard | None:
        """A package in a list; None when it is neither seen nor named."""
        row = db.execute("SELECT * FROM package WHERE name = ?", (name,)).fetchone()
        if row is None:
            return None
        downloads = self.counts(db, name, series.MONTH)
        dated = row["published_at"] and row["published_source"] in _TELLS_DATES
        return ResultCard(
            name=name,
            version=row["latest"],
            description=row["description"],
            publisher=row["publisher"] or next(iter(packages.maintainers(db, name)), None),
            published_at=datetime.fromisoformat(row["published_at"]) if dated else None,
            license=row["license"],
            keywords=tuple(json.loads(row["keywords"])),
            deprecated=row["deprecated"],
            downloads=downloads,
            spark=series.running_sums(downloads.days) if downloads else (),
            links=self.links(name, row["repo_url"], row["homepage"], row["bugs_url"]),
            is_exact=exact,
        )

    def cards(self, db: sqlite3.Connection, names: list[str], exact: str = "") -> list[ResultCard]:
        """Cards in the order of the names; unknown ones are left out."""
        found = (self.card(db, name, exact=name == exact) for name in names)
        return [card for card in found if card is not None]

    def links(
        self, name: str, repo: str | None, homepage: str | None, bugs: str | None
    ) -> tuple[Link, ...]:
        links = []
        if repo:
            links.append(Link("repository", repo))
        if homepage and homepage != repo:
            links.append(Link("homepage", homepage))
        if bugs:
            links.append(Link("issues", bugs))
        if self._npm_site:
            links.append(Link("npm", f"{self._npm_site}/package/{name}"))
        return tuple(links)

    def origin(
        self, block: Block, state: BlockState | None, *, as_of: datetime | None, has_copy: bool
    ) -> Origin:
        """What a reader is told about a block, given how the last request ended."""
        if state is None or (state.ended is Ended.OK and not has_copy):
            told = OriginState.LOADING if state is None else OriginState.NO_DATA
            return Origin(block, told, as_of, LOADING_WORDS if state is None else "")
        if has_copy and state.ended in (Ended.OK, Ended.NO_DATA):
            known = OriginState.SIMULATED if self._simulated else OriginState.KNOWN
            return Origin(block, known, as_of)
        if has_copy:
            return Origin(block, OriginState.STALE, as_of, _refusal_words(state))
        match state.ended:
            case Ended.NOT_OFFERED | Ended.NOT_SET:
                return Origin(block, OriginState.NOT_AVAILABLE, state.at, NOT_AVAILABLE)
            case Ended.NO_DATA:
                return Origin(block, OriginState.NO_DATA, state.at)
        return Origin(block, OriginState.FAILING, state.at, _refusal_words(state))

    def _origins(
        self,
        db: sqlite3.Connection,
        stored: StoredPackage,
        release: Release,
        contents: StoredContents | None,
        downloads: Downloads | None,
        published_at: datetime | None,
    ) -> tuple[Origin, ...]:
        known = OriginState.SIMULATED if self._simulated else OriginState.KNOWN
        registry = Origin(Block.REGISTRY, known, stored.fetched_at)
        if stored.last_error is not None:
            words = f"{NO_ANSWER_WORDS} ({stored.last_error})"
            registry = Origin(Block.REGISTRY, OriginState.STALE, stored.fetched_at, words)
        date = Origin(Block.DATE, known, stored.fetched_at)
        if published_at is None:
            date = Origin(Block.DATE, OriginState.NOT_AVAILABLE, stored.fetched_at, DATE_NOT_KNOWN)
        counted = self.origin(
            Block.DOWNLOADS,
            states.block(db, stored.name, Block.DOWNLOADS),
            as_of=downloads.as_of if downloads else None,
            has_copy=downloads is not None,
        )
        tarball = states.block(db, stored.name, Block.README, release.version)
        as_of = contents.fetched_at if contents else None
        has_readme = contents is not None and contents.readme is not None
        readme = self.origin(Block.README, tarball, as_of=as_of, has_copy=has_readme)
        files = self.origin(Block.FILES, tarball, as_of=as_of, has_copy=contents is not None)
        return (registry, date, counted, readme, files)


def pause_words(until: datetime, *, is_ours: bool = False) -> str:
    """What a reader is told while a source is left alone, and who wants it so."""
    if is_ours:
        return f"asked often enough for now, again from {until:%H:%M} UTC"
    return f"this source asks for a pause until {until:%H:%M} UTC"


def _refusal_words(state: BlockState) -> str:
    match state.ended:
        case Ended.NOT_OFFERED | Ended.NOT_SET:
            return NOT_AVAILABLE
        case Ended.LIMITED:
            return pause_words(state.until)
    return f"{NO_ANSWER_WORDS} ({state.detail})" if state.detail else NO_ANSWER_WORDS


def _install(name: str, version: str, latest: str | None) -> str:
    return f"npm install {name}" if version == latest else f"npm install {name}@{version}"


def _data_version(
    stored: StoredPackage,
    version: str,
    origins: tuple[Origin, ...],
    contents: StoredContents | None,
) -> str:
    told = ";".join(f"{origin.state}{origin.words}" for origin in origins)
    renderer = contents.renderer if contents else ""
    text = f"{stored.changed_at.isoformat()}/{version}/{renderer}/{told}"
    return f"{zlib.crc32(text.encode()):08x}-{stored.changed_at:%y%m%d%H%M%S%f}"
