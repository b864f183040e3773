"""The shapes of the JSON API: what is encoded is what the served schema describes."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime

import msgspec

from pkgstats import urls
from pkgstats.models import (
    Downloads,
    Link,
    Origin,
    PackageData,
    ResultCard,
    SearchResult,
    Series,
    Suggestion,
    VersionRow,
)

MAX_VERSIONS = 500
MAX_FILES = 1000


class Struct(msgspec.Struct, frozen=True, omit_defaults=True):
    """A JSON object; `simulated` and empty extras are left out."""


class OriginInfo(Struct, frozen=True):
    """Where a part of the answer comes from, as of when, and the words for a reader."""

    block: str
    state: str
    as_of: datetime | None = None
    words: str = ""


class Total(Struct, frozen=True):
    """A sum of daily counts; with `at_least` some days have no figure."""

    total: int
    start: date
    end: date
    missing_days: int
    at_least: bool


class LinkInfo(Struct, frozen=True):
    kind: str
    url: str


class DependencyInfo(Struct, frozen=True):
    kind: str
    name: str
    range: str


class VersionInfo(Struct, frozen=True):
    version: str
    published_at: datetime | None
    license: str | None
    dependencies: int
    unpacked_size: int | None
    file_count: int | None
    deprecated: str | None
    tags: list[str]
    weekly_downloads: int | None


class FileInfo(Struct, frozen=True):
    path: str
    size: int


class PackageAnswer(Struct, frozen=True):
    """One version of a package. `null` means "not available from this source", never zero."""

    name: str
    version: str
    latest: str
    description: str
    href: str
    published_at: datetime | None
    license: str | None
    keywords: list[str]
    deprecated: str | None
    install: str
    links: list[LinkInfo]
    engines: dict[str, str]
    module: str | None
    has_types: bool
    dist_tags: dict[str, str]
    maintainers: list[str]
    dependencies: list[DependencyInfo]
    dependents_known_here: int
    unpacked_size: int | None
    packed_size: int | None
    file_count: int | None
    downloads: Total | None
    version_count: int
    versions: list[VersionInfo]
    """The newest 500 and those with a tag."""
    files: list[FileInfo]
    """The first 1,000 by path."""
    origins: list[OriginInfo]
    simulated: bool = False


class PointInfo(Struct, frozen=True):
    start: date
    end: date
    count: int | None
    missing_days: int
    partial: bool


class DownloadsAnswer(Struct, frozen=True):
    """Counts of a range; without any, `total` is null and `points` is empty."""

    name: str
    range: str
    by: str
    total: int | None
    at_least: bool
    missing_days: int
    points: list[PointInfo]
    origins: list[OriginInfo]
    simulated: bool = False


class CardInfo(Struct, frozen=True):
    name: str
    version: str | None
    description: str
    href: str
    publisher: str | None
    published_at: datetime | None
    license: str | None
    keywords: list[str]
    deprecated: str | None
    downloads: Total | None
    links: list[LinkInfo]
    exact: bool = False


class SearchAnswer(Struct, frozen=True):
    """A page of 50 results; `upstream` tells whether the registry's own search is part of it."""

    text: str
    note: str
    page: int
    pages: int
    total: int
    known_packages: int
    upstream: bool
    items: list[CardInfo]
    origins: list[OriginInfo]
    simulated: bool = False


class SuggestionInfo(Struct, frozen=True):
    kind: str
    text: str
    href: str
    description: str
    version: str | None


class SuggestAnswer(Struct, frozen=True):
    """Suggestions for a text being typed; nothing found is an empty list."""

    items: list[SuggestionInfo]
    simulated: bool = False


class ErrorAnswer(Struct, frozen=True):
    """Why there is no answer: `error` for people, `code` for programs."""

    error: str
    code: str
    suggestions: list[SuggestionInfo] = []
    origins: list[OriginInfo] = []
    simulated: bool = False


def package_answer(page: PackageData) -> PackageAnswer:
    return PackageAnswer(
        name=page.name,
        version=page.version,
        latest=page.latest,
        description=page.description,
        href=urls.package_path(page.name, None if page.is_latest else page.version),
        published_at=page.published_at,
        license=page.license,
        keywords=list(page.keywords),
        deprecated=page.deprecated,
        install=page.install,
        links=_links(page.links),
        engines={engine.name: engine.range for engine in page.engines},
        module=page.module and page.module.value,
        has_types=page.has_types,
        dist_tags={tag.tag: tag.version for tag in page.dist_tags},
        maintainers=list(page.maintainers),
        dependencies=[DependencyInfo(d.kind, d.name, d.range) for d in page.dependencies],
        dependents_known_here=page.dependents,
        unpacked_size=page.unpacked_size,
        packed_size=page.packed_size,
        file_count=page.file_count,
        downloads=_total(page.downloads),
        version_count=len(page.versions),
        versions=[
            _version(row) for i, row in enumerate(page.versions) if i < MAX_VERSIONS or row.tags
        ],
        files=[FileInfo(file.path, file.size) for file in page.files[:MAX_FILES]],
        origins=origins(page.origins),
        simulated=page.simulated,
    )


def downloads_answer(page: PackageData, found: Series | None, asked: Series) -> DownloadsAnswer:
    """`asked` stands for the range when nothing was found."""
    told = found or asked
    return DownloadsAnswer(
        name=page.name,
        range=told.range,
        by=told.by.value,
        total=found.total if found else None,
        at_least=told.is_at_least,
        missing_days=told.holes,
        points=[
            PointInfo(point.start, point.end, point.count, point.missing, point.partial)
            for point in told.points
        ],
        origins=origins([origin for origin in page.origins if origin.block == "downloads"]),
        simulated=page.simulated,
    )


def search_answer(result: SearchResult) -> SearchAnswer:
    return SearchAnswer(
        text=result.text,
        note=result.note,
        page=result.page,
        pages=result.pages,
        total=result.total,
        known_packages=result.known_packages,
        upstream=result.upstream,
        items=[_card(card) for card in result.cards],
        origins=origins(result.origins),
        simulated=result.simulated,
    )


def suggestion(item: Suggestion) -> SuggestionInfo:
    return SuggestionInfo(item.kind, item.text, item.href, item.description, item.version)


def origins(many: Sequence[Origin]) -> list[OriginInfo]:
    return [OriginInfo(o.block.value, o.state.value, o.as_of, o.words) for o in many]


def _card(card: ResultCard) -> CardInfo:
    return CardInfo(
        name=card.name,
        version=card.version,
        description=card.description,
        href=urls.package_path(card.name),
        publisher=card.publisher,
        published_at=card.published_at,
        license=card.license,
        keywords=list(card.keywords),
        deprecated=card.deprecated,
        downloads=_total(card.downloads),
        links=_links(card.links),
        exact=card.is_exact,
    )


def _version(row: VersionRow) -> VersionInfo:
    return VersionInfo(
        row.version,
        row.published_at,
        row.license,
        row.dependencies,
        row.unpacked_size,
        row.file_count,
        row.deprecated,
        list(row.tags),
        row.weekly,
    )


def _links(links: Sequence[Link]) -> list[LinkInfo]:
    return [LinkInfo(link.kind, link.url) for link in links]


def _total(found: Downloads | None) -> Total | None:
    if found is None or found.start is None or found.end is None:
        return None
    return Total(found.total, found.start, found.end, found.holes, found.is_at_least)
