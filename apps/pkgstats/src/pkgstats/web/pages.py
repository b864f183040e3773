"""What each page shows, worked out before the template: the templates only lay it out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from statistics import median
from urllib.parse import urlsplit

from markupsafe import Markup

from pkgstats.charts import svg
from pkgstats.models import (
    DATE_NOT_KNOWN,
    NOT_AVAILABLE,
    Block,
    DayCount,
    Dependency,
    Downloads,
    Heading,
    Link,
    NotFound,
    NotFoundReason,
    Origin,
    OriginState,
    PackageData,
    Series,
    Suggestion,
    VersionRow,
    package_group,
)
from pkgstats.urls import badge_path, chart_path, csv_path, package_path, share_path
from pkgstats.web import tables, words
from pkgstats.web.choices import Choice, Chosen, Picker
from pkgstats.web.tables import Column, Folder

MAX_VERSION_ROWS = 50
"""A page stays below 1,500 nodes, and there are packages with thousands of versions."""
MAX_TABLE_ROWS = 92


@dataclass(frozen=True, slots=True)
class ChartBlock:
    """The large chart of a package with everything around it."""

    series: Series
    pictures: Markup
    span: str
    ranges: list[Choice]
    units: list[Choice]
    by: str
    table: list[tuple[str, str]]
    """The numbers; empty when there are too many for a page."""
    csv: str
    image: str
    badge: str


@dataclass(frozen=True, slots=True)
class PackagePage:
    """The page of one version of a package."""

    data: PackageData
    home: str
    """The package's address without a version."""
    group: str
    summary: str
    newer: str | None
    date_words: str
    badges: list[str]
    facts: list[tuple[str, str]]
    links: list[tuple[str, str, str]]
    span: str
    chart: ChartBlock | None
    figures: list[tuple[str, str]]
    outline: Markup
    readme_words: str
    dependencies: list[tuple[str, list[Dependency]]]
    columns: list[Column]
    missing_columns: list[str]
    rows: list[VersionRow]
    folders: list[Folder]

    def origin(self, block: str) -> Origin | None:
        return self.data.origin(Block(block))

    @property
    def card(self) -> str:
        """Address of the picture for links to this page."""
        return share_path(self.data.name)

    def structured(self, site: str) -> dict[str, object]:
        """The page for machines, in the words of schema.org."""
        data = self.data
        found: dict[str, object] = {
            "@context": "https://schema.org",
            "@type": "SoftwareSourceCode",
            "name": data.name,
            "description": data.description,
            "version": data.version,
            "url": site + self.home,
            "programmingLanguage": "JavaScript",
            "keywords": list(data.keywords),
        }
        if data.license:
            found["license"] = data.license
        if data.repo_url:
            found["codeRepository"] = data.repo_url
        if data.published_at:
            found["datePublished"] = data.published_at.isoformat()
        return found


@dataclass(frozen=True, slots=True)
class NotFoundPage:
    heading: str
    lead: str
    code: str = ""
    search: str = ""
    """The text of a search to offer."""
    suggestions: tuple[Suggestion, ...] = ()
    origins: tuple[Origin, ...] = ()


def package_page(
    data: PackageData, series: Series | None, chosen: Chosen, picker: Picker
) -> PackagePage:
    columns, missing = tables.columns(data.versions)
    downloads = data.downloads
    date = data.origin(Block.DATE)
    return PackagePage(
        data=data,
        home=package_path(data.name),
        group=package_group(data.name),
        summary=_summary(data),
        newer=None if data.is_latest else data.latest,
        date_words=(date.words if date else "") or DATE_NOT_KNOWN,
        badges=_badges(data),
        facts=_facts(data),
        links=[_link(link) for link in data.links if link.url.startswith(("https://", "http://"))],
        span=_span(downloads) if downloads else "",
        chart=_chart_block(series, chosen, picker) if downloads and series else None,
        figures=_figures(downloads.days) if downloads else [],
        outline=_outline(data.readme.headings) if data.readme else Markup(),
        readme_words=_readme_words(data.origin(Block.README)),
        dependencies=_dependencies(data.dependencies),
        columns=columns,
        missing_columns=missing,
        rows=_version_rows(data),
        folders=tables.folders(data.files),
    )


def not_found_status(reason: NotFoundReason) -> HTTPStatus:
    """What pages and API answer with when there is no such package or version."""
    match reason:
        case NotFoundReason.NO_ANSWER:
            return HTTPStatus.SERVICE_UNAVAILABLE
        case NotFoundReason.WITHDRAWN:
            return HTTPStatus.GONE
    return HTTPStatus.NOT_FOUND


def not_found_page(missing: NotFound) -> NotFoundPage:
    if missing.reason is NotFoundReason.NO_ANSWER:
        heading, lead = "No answer from the registry", "Nothing is known here yet about:"
    elif missing.reason is NotFoundReason.NO_VERSION:
        heading, lead = "No such version", "No version found for:"
    elif missing.reason is NotFoundReason.WITHDRAWN:
        heading, lead = "Withdrawn", "Its authors have withdrawn every version of:"
    else:
        heading, lead = "No such package", "No package found for:"
    version = f"@{missing.version}" if missing.version else ""
    return NotFoundPage(
        heading=heading,
        lead=lead,
        code=missing.name + version,
        search=missing.name,
        suggestions=missing.suggestions,
        origins=missing.origins,
    )


def _summary(data: PackageData) -> str:
    text = (data.description or f"The npm package {data.name}").strip().rstrip(".") + "."
    if data.downloads:
        least = "At least " if data.downloads.is_at_least else ""
        text += f" {least}{data.downloads.total:,} downloads in {len(data.downloads.days)} days"
        text += " (simulated)." if data.downloads.simulated else "."
    return text


def _badges(data: PackageData) -> list[str]:
    badges = [data.license] if data.license else []
    if data.module:
        badges.append(data.module.value.replace("+", " + "))
    if data.has_types:
        badges.append("types included")
    badges += [
        f"{_engine(engine.name)} {words.version_range(engine.range)}" for engine in data.engines[:4]
    ]
    return badges


def _engine(name: str) -> str:
    return "Node" if name == "node" else name


def _facts(data: PackageData) -> list[tuple[str, str]]:
    facts = [
        ("Unpacked", data.unpacked_size, words.size),
        ("Packed", data.packed_size, words.size),
        ("Files", data.file_count, words.thousands),
    ]
    return [(label, say(value)) for label, value, say in facts if value is not None]


def _link(link: Link) -> tuple[str, str, str]:
    parts = urlsplit(link.url)
    match link.kind:
        case "repository":
            return "Repository", parts.path.strip("/") or parts.netloc, link.url
        case "homepage":
            return "Homepage", parts.netloc, link.url
        case "issues":
            return "Issues", "Issue list", link.url
        case "npm":
            return "npm", "Page on the npm site", link.url


def _span(downloads: Downloads) -> str:
    if downloads.start is None or downloads.end is None:
        return ""
    return svg.span_words(downloads.start, downloads.end)


def _chart_block(series: Series, chosen: Chosen, picker: Picker) -> ChartBlock:
    points = svg.drawn(series.points)
    pictures = [
        svg.column_chart(series.name, points, series.by, simulated=series.simulated, size=size)
        for size in svg.FRAMES
    ]
    table = [
        (
            svg.period_words(point, series.by),
            "no figure" if point.count is None else f"{point.count:,}",
        )
        for point in points
    ]
    return ChartBlock(
        series=series,
        pictures=Markup("".join(pictures)),
        span=svg.span_words(points[0].start, points[-1].end),
        ranges=picker.ranges(chosen),
        units=picker.units(chosen),
        by=series.by.value,
        table=table if len(table) <= MAX_TABLE_ROWS else [],
        csv=csv_path(series.name, chosen.range, chosen.by),
        image=chart_path(series.name, chosen.range, by=chosen.by),
        badge=badge_path(series.name),
    )


def _figures(days: Sequence[DayCount]) -> list[tuple[str, str]]:
    known = {item.day: item.count for item in days if item.count is not None}
    if not known:
        return []
    low, high = min(known, key=lambda d: known[d]), max(known, key=lambda d: known[d])
    figures = []
    week, before = _week(days[-7:]), _week(days[-14:-7])
    if week is not None:
        figures.append(("Last 7 days", f"{week:,}"))
    if week is not None and before is not None:
        change = f" (now {svg.signed((week - before) / before)})" if before else ""
        figures.append(("7 days before", f"{before:,}{change}"))
    figures.append(("Median day", f"{round(median(known.values())):,}"))
    figures.append(("High", f"{known[high]:,}, {svg.day_words(high)}"))
    figures.append(("Low", f"{known[low]:,}, {svg.day_words(low)}"))
    figures.append(
        ("Days missing", str(len(days) - len(known)) if len(days) > len(known) else "none")
    )
    return figures


def _week(days: Sequence[DayCount]) -> int | None:
    """Sum of seven days; a week with a hole has none."""
    counts = [item.count for item in days if item.count is not None]
    return sum(counts) if len(counts) == 7 else None


def _outline(headings: Sequence[Heading]) -> Markup:
    """Two levels of a readme's headings as a list of links; the title above all is left out."""
    if not headings:
        return Markup()
    top = min(heading.level for heading in headings)
    titles = [heading for heading in headings if heading.level == top]
    if len(titles) == 1 and titles[0] is headings[0]:
        headings = headings[1:]
        top = min((heading.level for heading in headings), default=top)
    items: list[tuple[Markup, list[Markup]]] = []
    for heading in headings:
        link = Markup('<a href="#{}">{}</a>').format(heading.id, heading.text)
        if heading.level == top or not items:
            items.append((link, []))
        elif heading.level == top + 1:
            items[-1][1].append(link)
    return _list(Markup().join(Markup("<li>{}{}</li>").format(a, _inner(b)) for a, b in items))


def _inner(links: list[Markup]) -> Markup:
    if not links:
        return Markup()
    return _list(Markup().join(Markup("<li>{}</li>").format(link) for link in links))


def _list(items: Markup) -> Markup:
    return Markup('<ul role="list">{}</ul>').format(items) if items else Markup()


def _readme_words(origin: Origin | None) -> str:
    if origin is None or origin.state is OriginState.NO_DATA:
        return (origin.words if origin else "") or "This version has no readme."
    if origin.state is OriginState.LOADING:
        return "The readme has been asked for and is not here yet."
    return f"Readme: {origin.words or NOT_AVAILABLE}."


def _version_rows(data: PackageData) -> list[VersionRow]:
    """Newest first; of too many, releases are shown rather than their trial versions."""
    wanted = sorted(data.versions, key=lambda row: "-" in row.version.partition("+")[0])
    chosen = {row.version for row in wanted[:MAX_VERSION_ROWS]}
    return [
        row
        for row in data.versions
        if row.version in chosen or row.tags or row.version == data.version
    ]


def _dependencies(rows: Sequence[Dependency]) -> list[tuple[str, list[Dependency]]]:
    """By kind; the usual kind needs no heading while it is alone."""
    labels = {
        "dependencies": "",
        "peerDependencies": "Expected beside it (peer)",
        "optionalDependencies": "Optional",
    }
    kinds = [(label, [row for row in rows if row.kind == kind]) for kind, label in labels.items()]
    return [(label, group) for label, group in kinds if group]
