"""What the pages, the JSON API and the live messages are made of.

Frozen values without behaviour beyond small derived facts. Times are aware datetimes in UTC.
`None` means "not known from this source" and is never written as zero.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum
from typing import Any, Literal

NOT_AVAILABLE = "not available from this source"
DATE_NOT_KNOWN = "version date not known from this source"
SIMULATED = "simulated data"


class OriginState(StrEnum):
    """How much a block of a page can be relied on."""

    KNOWN = "known"
    STALE = "stale"
    """An older copy: the source did not answer the last time it was asked."""
    LOADING = "loading"
    """Asked for, not here yet: comes with a live message or at the next visit."""
    NO_DATA = "no_data"
    """The source was asked and has none for this name."""
    NOT_AVAILABLE = "not_available"
    """No source offers it: the words for readers are always NOT_AVAILABLE."""
    FAILING = "failing"
    """The source did not answer and there is no older copy."""
    SIMULATED = "simulated"


class Block(StrEnum):
    """The parts of a page that have an origin of their own, in the order they are told."""

    REGISTRY = "registry"
    DATE = "date"
    DOWNLOADS = "downloads"
    README = "readme"
    FILES = "files"
    SEARCH = "search"
    USER_PACKAGES = "user_packages"
    ORG_PACKAGES = "org_packages"
    CHANGES = "changes"


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a block comes from, as of when, and the words a reader sees ("" when all is well)."""

    block: Block
    state: OriginState
    as_of: datetime | None = None
    words: str = ""


class ModuleKind(StrEnum):
    ESM = "ESM"
    CJS = "CJS"
    BOTH = "ESM+CJS"


class PublishedSource(StrEnum):
    """Who says when a version was published."""

    REGISTRY = "registry"
    MIRROR = "mirror"
    """A lean mirror tells only when it first held the file: not shown as "published"."""
    UNKNOWN = "unknown"
    SIMULATED = "simulated"


@dataclass(frozen=True, slots=True)
class DistTag:
    tag: str
    version: str


@dataclass(frozen=True, slots=True)
class VersionRow:
    """One release in the versions tab; newest first in lists."""

    version: str
    published_at: datetime | None
    license: str | None
    dependencies: int
    unpacked_size: int | None
    file_count: int | None
    deprecated: str | None
    tags: tuple[str, ...] = ()
    weekly: int | None = None
    """Downloads of this version in the last seven days, where a source counts them."""


DependencyKind = Literal["dependencies", "peerDependencies", "optionalDependencies"]


@dataclass(frozen=True, slots=True)
class Dependency:
    kind: DependencyKind
    name: str
    range: str


@dataclass(frozen=True, slots=True)
class Engine:
    name: str
    range: str


@dataclass(frozen=True, slots=True)
class Heading:
    """A heading of a readme: `level` as its author wrote it (1 to 6), `id` the anchor in the page.

    In the rendered text it is one level lower, because a page has one h1.
    """

    level: int
    text: str
    id: str


@dataclass(frozen=True, slots=True)
class Readme:
    """A readme as safe HTML: put into the page as it is, nowhere else."""

    html: str
    headings: tuple[Heading, ...]
    truncated: bool = False


@dataclass(frozen=True, slots=True)
class FileRow:
    path: str
    size: int


@dataclass(frozen=True, slots=True)
class DayCount:
    """Downloads of one day (UTC); `None` is a hole: the source has no figure for that day."""

    day: date
    count: int | None


@dataclass(frozen=True, slots=True)
class Downloads:
    """A series of days without gaps in the calendar, oldest first, and its sum."""

    days: tuple[DayCount, ...]
    total: int
    """Sum of the days that have a figure."""
    holes: int
    """Days without a figure: with any, the total is "at least" so much."""
    as_of: datetime | None = None
    simulated: bool = False

    @property
    def start(self) -> date | None:
        return self.days[0].day if self.days else None

    @property
    def end(self) -> date | None:
        return self.days[-1].day if self.days else None

    @property
    def is_at_least(self) -> bool:
        return self.holes > 0


class By(StrEnum):
    """What one point of a chart adds up."""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"


@dataclass(frozen=True, slots=True)
class Point:
    """Downloads from `start` to `end`, both inclusive."""

    start: date
    end: date
    count: int | None
    """None: no day of it has a figure; with `missing` days it is "at least" so much."""
    missing: int = 0
    partial: bool = False
    """True: the range begins (or the figures end) inside this week or month."""


@dataclass(frozen=True, slots=True)
class Series:
    """Downloads of one package over a range, oldest first."""

    name: str
    range: str
    by: By
    points: tuple[Point, ...]
    total: int
    holes: int
    """Days without a figure: with any, the total is "at least" so much."""
    as_of: datetime | None = None
    simulated: bool = False

    @property
    def start(self) -> date:
        return self.points[0].start

    @property
    def end(self) -> date:
        return self.points[-1].end

    @property
    def is_at_least(self) -> bool:
        return self.holes > 0


@dataclass(frozen=True, slots=True)
class Badge:
    """A label and what it says, for an image that other pages embed."""

    label: str
    value: str
    simulated: bool = False


@dataclass(frozen=True, slots=True)
class Link:
    """A link for people: `kind` is repository, homepage, issues or npm."""

    kind: Literal["repository", "homepage", "issues", "npm"]
    url: str


@dataclass(frozen=True, slots=True)
class PackageData:
    """Everything the package page of one version shows."""

    name: str
    version: str
    latest: str
    description: str
    published_at: datetime | None
    """Only what a registry tells as the publish date; else None and DATE_NOT_KNOWN is shown."""
    published_source: PublishedSource
    license: str | None
    keywords: tuple[str, ...]
    deprecated: str | None
    """Text of the notice, not escaped; None when there is none."""
    homepage: str | None
    repo_url: str | None
    repo_dir: str | None
    links: tuple[Link, ...]
    engines: tuple[Engine, ...]
    module: ModuleKind | None
    has_types: bool
    dist_tags: tuple[DistTag, ...]
    versions: tuple[VersionRow, ...]
    dependencies: tuple[Dependency, ...]
    maintainers: tuple[str, ...]
    """User names only."""
    install: str
    readme: Readme | None
    files: tuple[FileRow, ...]
    unpacked_size: int | None
    packed_size: int | None
    file_count: int | None
    downloads: Downloads | None
    """The last 30 available days; None: heading, total and chart are left out."""
    origins: tuple[Origin, ...]
    data_version: str
    """Changes when anything of the page changes: good for an ETag."""
    last_outbox_id: int
    """Highest message id this page already contains."""
    dependents: int = 0
    """Packages known here whose latest release depends on this one."""
    vulnerabilities: tuple[str, ...] = ()
    """A slot; empty while no source fills it."""
    simulated: bool = False

    @property
    def is_latest(self) -> bool:
        return self.version == self.latest

    def origin(self, block: Block) -> Origin | None:
        return next((origin for origin in self.origins if origin.block is block), None)


class NotFoundReason(StrEnum):
    NOT_A_NAME = "not_a_name"
    NO_PACKAGE = "no_package"
    NO_VERSION = "no_version"
    WITHDRAWN = "withdrawn"
    """There was one, and its authors have withdrawn every version of it: a 410."""
    NO_ANSWER = "no_answer"
    """Nothing known here and the source does not answer (now): not a 404, rather a 503."""


@dataclass(frozen=True, slots=True)
class NotFound:
    """There is no such page; `words` say why, `suggestions` what may have been meant."""

    name: str
    version: str | None
    reason: NotFoundReason
    words: str
    suggestions: tuple[Suggestion, ...] = ()
    origins: tuple[Origin, ...] = ()


@dataclass(frozen=True, slots=True)
class Suggestion:
    """One line under the box."""

    kind: Literal["package", "user", "scope", "search"]
    text: str
    href: str
    description: str = ""
    version: str | None = None


@dataclass(frozen=True, slots=True)
class ResultCard:
    """A package in a list: results, user and scope pages, compare, home."""

    name: str
    version: str | None
    """None: the package is only named by others, never loaded."""
    description: str
    publisher: str | None
    published_at: datetime | None
    license: str | None
    keywords: tuple[str, ...]
    deprecated: str | None
    downloads: Downloads | None
    """30 days, for the total."""
    spark: tuple[int | None, ...]
    """Seven-day running sums over the 30 days."""
    links: tuple[Link, ...]
    is_exact: bool = False


@dataclass(frozen=True, slots=True)
class SearchResult:
    text: str
    note: str
    cards: tuple[ResultCard, ...]
    total: int
    page: int
    pages: int
    known_packages: int
    """For "matches among N packages known here"."""
    upstream: bool
    """True: the registry's own search is part of the answer."""
    origins: tuple[Origin, ...]
    simulated: bool = False


@dataclass(frozen=True, slots=True)
class PackageList:
    """Packages of a user or of a scope; `complete` False: "list may be incomplete"."""

    kind: Literal["user", "scope"]
    name: str
    cards: tuple[ResultCard, ...]
    """Those of this page."""
    complete: bool
    total: Downloads | None
    """Sum over all packages of the list that have counts, not of this page alone."""
    origins: tuple[Origin, ...]
    simulated: bool = False
    listed: int = 0
    """How many packages the whole list has."""
    counted: int = 0
    """How many of them `total` adds up."""
    page: int = 1
    pages: int = 1


@dataclass(frozen=True, slots=True)
class Comparison:
    """Up to six packages side by side: `series[i]` belongs to `cards[i]`; None: no counts.

    All series have the same points (start and end), so that they fit one chart.
    """

    names: tuple[str, ...]
    """As asked for, each once."""
    cards: tuple[ResultCard, ...]
    packages: tuple[PackageData, ...]
    """The latest version of each card's package, for the facts beside the figures."""
    series: tuple[Series | None, ...]
    missing: tuple[NotFound, ...]
    range: str
    by: By
    origins: tuple[Origin, ...]
    last_outbox_id: int
    simulated: bool = False


@dataclass(frozen=True, slots=True)
class HomeItem:
    card: ResultCard
    reason: str
    """Why it is in this list, in words."""


@dataclass(frozen=True, slots=True)
class Home:
    popular: tuple[HomeItem, ...]
    newest: tuple[HomeItem, ...]
    random: tuple[HomeItem, ...]
    popular_basis: str
    newest_basis: str
    known_packages: int
    last_outbox_id: int
    simulated: bool = False


@dataclass(frozen=True, slots=True)
class FeedItem:
    """A pick of the bot."""

    id: int
    kind: Literal["popular", "newest", "random", "bot"]
    name: str
    title: str
    reason: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class WatchedPackage:
    """A star of a visitor, with what changed since it was last looked at."""

    card: ResultCard
    since: datetime
    changes: tuple[str, ...]


TargetKind = Literal["group", "user", "all"]


@dataclass(frozen=True, slots=True)
class OutboxRow:
    """A live message that was committed together with the change it tells of.

    Kinds (`t`): "downloads", "release", "deprecated", "package" (anything else of the page
    changed), "readme", "pick", "popular", "newest", "notice".
    """

    id: int
    target_kind: TargetKind
    target: str
    """Group or user name; "" for all."""
    t: str
    at: datetime
    data: Mapping[str, Any] = field(default_factory=dict)
    simulated: bool = False

    def envelope(self) -> dict[str, Any]:
        """The message as it is sent."""
        message: dict[str, Any] = {
            "v": 1,
            "id": self.id,
            "t": self.t,
            "at": self.at.isoformat(),
            "data": dict(self.data),
        }
        if self.simulated:
            message["simulated"] = True
        return message


def package_group(name: str) -> str:
    """The group of a package's live messages: the raw name, on purpose."""
    return f"pkg:{name}"
