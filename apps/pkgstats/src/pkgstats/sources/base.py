"""What a source can be asked, and every answer it can give.

A source never raises for what an upstream host does: it answers with one of the kinds below, and
the reader of the answer decides what the page says.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Generic, Protocol, TypeVar

from pkgstats.models import DayCount, Dependency, Engine, FileRow, ModuleKind, PublishedSource

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Answer(Generic[T]):
    """The source has it."""

    value: T
    fetched_at: datetime
    complete: bool = True
    simulated: bool = False


@dataclass(frozen=True, slots=True)
class Unchanged:
    """What we hold is still right (304)."""

    fetched_at: datetime


@dataclass(frozen=True, slots=True)
class NoData:
    """The source offers this, but has none for this name."""

    was_withdrawn: bool = False
    """There was a package of this name, and its authors have withdrawn all of it."""


@dataclass(frozen=True, slots=True)
class NotOffered:
    """The source does not have this ability at all."""

    detail: str


@dataclass(frozen=True, slots=True)
class NotSet:
    """No address is set for this ability; `setting` says which one would do it."""

    setting: str


@dataclass(frozen=True, slots=True)
class Limited:
    """The source asks for a pause, or we have asked it often enough for now (`is_ours`)."""

    until: datetime
    is_ours: bool = False


@dataclass(frozen=True, slots=True)
class Failing:
    """No usable answer; `reason` is short and safe to show."""

    reason: str


Refusal = NoData | NotOffered | NotSet | Limited | Failing


@dataclass(frozen=True, slots=True)
class Release:
    """One version of a package, slimmed to what is shown, the same whatever form it came in."""

    version: str
    description: str = ""
    published_at: datetime | None = None
    """What `time` says; a publish date only where the packument's `published_source` says so."""
    license: str | None = None
    homepage: str | None = None
    bugs_url: str | None = None
    repo_url: str | None = None
    repo_dir: str | None = None
    keywords: tuple[str, ...] = ()
    deprecated: str | None = None
    engines: tuple[Engine, ...] = ()
    module: ModuleKind | None = None
    has_types: bool = False
    dependencies: tuple[Dependency, ...] = ()
    maintainers: tuple[str, ...] = ()
    publisher: str | None = None
    integrity: str | None = None
    """`sha512-…` (base64), or `sha1-…` where the registry has nothing better."""
    tarball: str | None = None
    """As the registry names it; only its path is used."""
    unpacked_size: int | None = None
    file_count: int | None = None


@dataclass(frozen=True, slots=True)
class Packument:
    """A package with its releases, newest first."""

    name: str
    latest: str | None
    """None: no version at all (all withdrawn)."""
    dist_tags: tuple[tuple[str, str], ...]
    releases: tuple[Release, ...]
    published_source: PublishedSource
    maintainers: tuple[str, ...] = ()
    etag: str | None = None
    last_modified: str | None = None

    def release(self, version: str | None) -> Release | None:
        return next((item for item in self.releases if item.version == version), None)


@dataclass(frozen=True, slots=True)
class Contents:
    """What is in a release's tarball: its readme and its files."""

    readme: str | None
    readme_truncated: bool
    files: tuple[FileRow, ...]
    packed_size: int | None
    unpacked_size: int
    integrity: str

    @property
    def file_count(self) -> int:
        return len(self.files)


@dataclass(frozen=True, slots=True)
class Found:
    """A result of an upstream search."""

    name: str
    version: str | None
    description: str
    publisher: str | None
    published_at: datetime | None
    license: str | None
    keywords: tuple[str, ...]
    maintainers: tuple[str, ...]
    weekly_downloads: int | None


@dataclass(frozen=True, slots=True)
class FoundPage:
    found: tuple[Found, ...]
    total: int


@dataclass(frozen=True, slots=True)
class Change:
    """A package that changed, appeared or was deleted."""

    name: str
    is_deleted: bool = False
    is_first: bool = False
    """True: the first revision there is of it, so it is new in the registry."""


@dataclass(frozen=True, slots=True)
class Changes:
    """A piece of the changes feed, each name once, and where to go on."""

    changed: tuple[Change, ...]
    cursor: str | None
    """Opaque; None: start again from now."""
    is_reset: bool = False
    """True: the numbers began anew, so something may have been missed."""
    has_more: bool = False


@dataclass(frozen=True, slots=True)
class Validators:
    """What a conditional request sends."""

    etag: str | None
    last_modified: str | None


class Source(Protocol):
    """Where packages come from. Methods may be called side by side and may be cancelled."""

    simulated: bool
    """True: everything this source says is invented and is labelled so."""

    async def packument(
        self, name: str, validators: Validators | None = None
    ) -> Answer[Packument] | Unchanged | Refusal:
        """All releases of a package."""
        ...

    async def latest(self, name: str) -> Answer[str] | Refusal:
        """The version of the tag `latest`: the cheap way to see a release."""
        ...

    async def contents(self, name: str, release: Release) -> Answer[Contents] | Refusal:
        """Readme and files of a release."""
        ...

    async def downloads(
        self, names: Sequence[str], start: date, end: date
    ) -> dict[str, Answer[tuple[DayCount, ...]] | Refusal]:
        """Daily counts, both ends inclusive; an answer for every name asked."""
        ...

    async def version_downloads(self, name: str) -> Answer[dict[str, int]] | Refusal:
        """Downloads of each version in the last seven days."""
        ...

    async def changes(self, since: str | None) -> Answer[Changes] | Refusal:
        """What has changed since a cursor; None: nothing but the cursor of now."""
        ...

    async def search(self, text: str, size: int, offset: int) -> Answer[FoundPage] | Refusal:
        """The source's own search; `maintainer:NAME` lists a user's packages."""
        ...

    async def scope_packages(self, scope: str) -> Answer[tuple[str, ...]] | Refusal:
        """Names of an organisation's packages (`scope` without the @)."""
        ...

    async def close(self) -> None:
        """Give back connections; calls after it fail."""
        ...
