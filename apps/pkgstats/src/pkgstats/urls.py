"""The one builder and the one reader of the site's addresses.

Canonical addresses have a literal `@` and `/` in package names. A page is built under
`address(query)` only; every other spelling is answered with 308 to it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import parse_qs, quote, unquote_to_bytes, urlencode

from pkgstats import grammar
from pkgstats.grammar import (
    HomeQuery,
    NameQuery,
    PackageQuery,
    Query,
    ScopeQuery,
    SearchQuery,
    UserQuery,
)

_SAFE_IN_NAME = "@/!'()*~"


@dataclass(frozen=True, slots=True)
class CompareQuery:
    """Several packages side by side."""

    names: tuple[str, ...]


Route = Query | CompareQuery


def address(route: Route, page: int = 1) -> str:
    """The canonical address of a page."""
    match route:
        case HomeQuery():
            return "/"
        case PackageQuery(name, version):
            return package_path(name, version)
        case NameQuery(name) | UserQuery(name):
            return user_path(name)
        case ScopeQuery(name):
            return scope_path(name)
        case SearchQuery(text):
            return search_path(text, page)
        case CompareQuery(names):
            return compare_path(names)


def package_path(name: str, version: str | None = None) -> str:
    """`/pkg:NAME` or `/pkg:NAME/v/VERSION`."""
    path = f"/pkg:{_name(name)}"
    return path if version is None else f"{path}/v/{quote(version, safe='+~')}"


def user_path(name: str) -> str:
    """`/@NAME`: the page of a user and of the scope of that name."""
    return f"/@{_name(name)}"


def scope_path(name: str) -> str:
    """`/org:NAME`."""
    return f"/org:{_name(name.removeprefix('@'))}"


def compare_path(names: Iterable[str]) -> str:
    """`/compare/a,b,c`."""
    return "/compare/" + ",".join(_name(name) for name in names)


def search_path(text: str, page: int = 1) -> str:
    """`/?search=…`, any text."""
    fields: dict[str, str | int] = {"search": text}
    if page > 1:
        fields["page"] = page
    return "/?" + urlencode(fields)


def chart_path(name: str, days: str = "30d", version: str = "", by: str = "") -> str:
    """`/chart/NAME.svg?range=30d`; `version` makes a changed chart a new address."""
    fields = {"range": days} | ({"by": by} if by else {}) | ({"v": version} if version else {})
    return f"/chart/{_name(name)}.svg?{urlencode(fields)}"


def csv_path(name: str, days: str = "30d", by: str = "day") -> str:
    """`/chart/NAME.csv?range=30d&by=day`: the numbers of a chart."""
    return f"/chart/{_name(name)}.csv?{urlencode({'range': days, 'by': by})}"


def badge_path(name: str, show: str = "") -> str:
    """`/badge/NAME.svg`, `?show=version` for another fact than the downloads."""
    return f"/badge/{_name(name)}.svg" + (f"?{urlencode({'show': show})}" if show else "")


def feed_path(kind: str = "all") -> str:
    """`/feed/KIND.atom`."""
    return f"/feed/{kind}.atom"


def share_path(name: str) -> str:
    """`/share/NAME.png`."""
    return f"/share/{_name(name)}.png"


def api_path(what: str, fields: Mapping[str, str]) -> str:
    """`/api/v1/WHAT?…`."""
    return f"/api/v1/{what}?{urlencode(fields)}"


def read_path(raw_path: str, query_string: str = "") -> Route | None:
    """The page that an address means, whichever way it is spelled; None: no page of ours.

    `raw_path` is the path as it came over the wire, percent-encoding and all. A reader answers
    308 to `address(route)` when that differs from what was asked.
    """
    path = _decoded(raw_path)
    if path is None or not path.startswith("/"):
        return None
    rest = path[1:]
    if not rest:
        return _read_search(query_string)
    head, colon, tail = rest.partition(":")
    if colon and head.lower() == "pkg":
        return _read_package(tail)
    if colon and head.lower() in ("org", "scope"):
        return _read_segment(tail, ScopeQuery)
    if colon and head.lower() == "user":
        return _read_segment(tail, UserQuery)
    if rest.startswith("~"):
        return _read_segment(rest[1:], UserQuery)
    if rest.startswith("@"):
        return _read_at(rest)
    folder, _slash, tail = rest.partition("/")
    if folder == "package":
        return _read_package(tail)
    if folder == "compare":
        return _read_compare(tail)
    return None


def read_name(raw_path: str, prefix: str, suffix: str) -> str | None:
    """The package name in addresses such as `/chart/NAME.svg`; None: there is none."""
    path = _decoded(raw_path)
    if path is None or not (path.startswith(prefix) and path.endswith(suffix)):
        return None
    name = path[len(prefix) : len(path) - len(suffix)]
    return name if grammar.is_package_name(name) else None


def _name(name: str) -> str:
    return quote(name, safe=_SAFE_IN_NAME)


def _decoded(raw_path: str) -> str | None:
    try:
        return unquote_to_bytes(raw_path).decode("utf-8")
    except UnicodeDecodeError:
        return None


def _read_search(query_string: str) -> Route:
    texts = parse_qs(query_string, keep_blank_values=True).get("search", [""])
    return grammar.parse(texts[0])


def _read_package(text: str) -> PackageQuery | None:
    """Segment by segment: a package may be called `v`."""
    segments = text.removesuffix("/").split("/")
    size = 2 if segments[0].startswith("@") else 1
    query = grammar.package_query("/".join(segments[:size]))
    match segments[size:]:
        case []:
            return query
        case ["v", version] if query is not None and query.version is None:
            return PackageQuery(query.name, version) if grammar.is_version(version) else None
        case _:
            return None


def _read_at(text: str) -> Route | None:
    name, slash, rest = text[1:].partition("/")
    if slash and rest:
        return _read_package(text)
    if not grammar.is_segment(name):
        return None
    return ScopeQuery(name) if slash else NameQuery(name)


def _read_segment(
    text: str, kind: type[UserQuery] | type[ScopeQuery]
) -> UserQuery | ScopeQuery | None:
    name = text.removesuffix("/").removeprefix("@")
    return kind(name) if grammar.is_segment(name) else None


def _read_compare(text: str) -> CompareQuery | None:
    names = tuple(dict.fromkeys(text.removesuffix("/").split(",")))
    if len(names) > grammar.MAX_COMPARED or not all(map(grammar.is_package_name, names)):
        return None
    return CompareQuery(names)
