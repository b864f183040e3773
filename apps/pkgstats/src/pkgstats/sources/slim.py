"""One slimmer for every form a packument comes in.

Registries have kept two decades of habits: the same field is a string, an object, a list or
rubbish, and changes its type between two releases. Whatever comes in, a `Packument` comes out, or
`NotAPackument`. Nothing that looks like a mail address is kept.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from pkgstats import grammar
from pkgstats.models import Dependency, DependencyKind, Engine, ModuleKind, PublishedSource
from pkgstats.sources.base import Change, Changes, Found, FoundPage, Packument, Release, Validators
from pkgstats.sources.repository import repository_directory, repository_link

MAX_TEXT = 1000
MAX_KEYWORDS = 50
MAX_KEYWORD_LENGTH = 80
MAX_DEPENDENCIES = 2000
MAX_EXPORT_DEPTH = 8
MAX_CURSOR = 500

DEPENDENCY_KINDS: tuple[DependencyKind, ...] = (
    "dependencies",
    "peerDependencies",
    "optionalDependencies",
)

_MAIL = re.compile(
    r"[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){0,4}\.[A-Za-z]{2,24}"
)
_ENGINE = re.compile(r"\s*([A-Za-z][\w-]*)\s*(.*)")


class NotAPackument(ValueError):
    """The body is JSON, but no packument of the package that was asked for."""


def slim_packument(body: object, name: str, validators: Validators | None = None) -> Packument:
    """A registry's answer to `/NAME`, slimmed; raises NotAPackument."""
    if not isinstance(body, dict) or body.get("name") != name:
        raise NotAPackument("the answer is no packument of this name")
    versions = _mapping(body.get("versions"))
    times = _mapping(body.get("time"))
    releases = [
        slim_release(manifest, version, times.get(version))
        for version, manifest in versions.items()
        if isinstance(manifest, dict) and grammar.is_version(version)
    ]
    releases.sort(key=lambda release: version_key(release.version), reverse=True)
    tags = _mapping(body.get("dist-tags"))
    known = {release.version for release in releases}
    dist_tags = tuple(
        (tag, version)
        for tag, version in tags.items()
        if grammar.is_version(tag) and isinstance(version, str) and version in known
    )
    return Packument(
        name=name,
        latest=_latest(dict(dist_tags), releases),
        dist_tags=dist_tags,
        releases=tuple(releases),
        published_source=_published_source(times),
        maintainers=_people(body.get("maintainers")),
        etag=validators.etag if validators else None,
        last_modified=validators.last_modified if validators else None,
    )


def slim_release(manifest: Mapping[str, Any], version: str, time: object = None) -> Release:
    """One manifest, slimmed; every field that cannot be understood is left out."""
    dist = _mapping(manifest.get("dist"))
    repository = manifest.get("repository")
    return Release(
        version=version,
        description=without_mail(_text(manifest.get("description"))),
        published_at=parse_time(time),
        license=_license(manifest),
        homepage=_web_link(_first(manifest.get("homepage"))),
        bugs_url=_web_link(_url_of(manifest.get("bugs"))),
        repo_url=repository_link(repository),
        repo_dir=repository_directory(repository),
        keywords=_keywords(manifest.get("keywords")),
        deprecated=without_mail(_text(manifest.get("deprecated"))) or None,
        engines=_engines(manifest.get("engines")),
        module=_module_kind(manifest),
        has_types=_has_types(manifest),
        dependencies=tuple(_dependencies(manifest)),
        maintainers=_people(manifest.get("maintainers")),
        publisher=next(iter(_people([manifest.get("_npmUser")])), None),
        integrity=_integrity(dist),
        tarball=_text(dist.get("tarball")) or None,
        unpacked_size=_size(dist.get("unpackedSize")),
        file_count=_size(dist.get("fileCount")),
    )


def slim_search(body: object) -> FoundPage:
    """An answer of the registry's search; raises NotAPackument when it is none."""
    if not isinstance(body, dict) or not isinstance(body.get("objects"), list):
        raise NotAPackument("the answer is no search result")
    found = tuple(_found(item) for item in body["objects"])
    total = _size(body.get("total"))
    kept = tuple(item for item in found if item is not None)
    return FoundPage(kept, len(kept) if total is None else total)


def slim_changes(body: object, since: str | None) -> Changes:
    """A piece of the changes feed, the last word about each name; raises NotAPackument."""
    if not isinstance(body, dict) or not isinstance(body.get("results"), list):
        raise NotAPackument("the answer is no list of changes")
    cursor = _cursor(body.get("last_seq"))
    if cursor is None:
        raise NotAPackument("the answer has no cursor")
    if since is not None and 0 < _number(cursor) < _number(since):
        return Changes((), cursor, is_reset=True)
    changed: dict[str, Change] = {}
    for row in body["results"]:
        name = row.get("id") if isinstance(row, dict) else None
        if not isinstance(name, str) or not grammar.is_package_name(name):
            continue  # design documents too: their ids begin with "_"
        revisions = row.get("changes")
        first = _mapping(revisions[0]) if isinstance(revisions, list) and revisions else {}
        is_first = changed.pop(name, Change(name)).is_first or _text(first.get("rev"))[:2] == "1-"
        changed[name] = Change(name, row.get("deleted") is True, is_first)
    return Changes(tuple(changed.values()), cursor, has_more=bool(body["results"]))


def _number(cursor: str) -> int:
    """0 for a cursor that is no plain number: nobody can tell whether it went back."""
    return int(cursor) if cursor.isascii() and cursor.isdecimal() else 0


def _cursor(value: object) -> str | None:
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value) if abs(value) < 10**30 else None
    return value if isinstance(value, str) and 0 < len(value) <= MAX_CURSOR else None


def _found(item: object) -> Found | None:
    entry = _mapping(item)
    package = _mapping(entry.get("package"))
    name = package.get("name")
    if not isinstance(name, str) or not grammar.is_package_name(name):
        return None
    return Found(
        name=name,
        version=_text(package.get("version"), limit=grammar.MAX_VERSION_LENGTH) or None,
        description=without_mail(_text(package.get("description"))),
        publisher=next(iter(_people([package.get("publisher")])), None),
        published_at=parse_time(package.get("date")),
        license=_license(package),
        keywords=_keywords(package.get("keywords")),
        maintainers=_people(package.get("maintainers")),
        weekly_downloads=_size(_mapping(entry.get("downloads")).get("weekly")),
    )


def parse_time(value: object) -> datetime | None:
    """An ISO time as UTC; None for anything else."""
    if not isinstance(value, str):
        return None
    try:
        time = datetime.fromisoformat(value)
        return (time if time.tzinfo else time.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def version_key(version: str) -> tuple[object, ...]:
    """A sort key in the order of semantic versions; what is none sorts first."""
    core, _plus, _build = version.partition("+")
    numbers, dash, pre = core.partition("-")
    parts = numbers.split(".")
    if not all(part.isascii() and part.isdigit() and len(part) < 19 for part in parts):
        return ((), False, (), version)
    identifiers = tuple(
        (0, int(part), "") if part.isascii() and part.isdigit() and len(part) < 19 else (1, 0, part)
        for part in pre.split(".")
    )
    return (tuple(int(part) for part in parts), not dash, identifiers if dash else (), version)


def _latest(tags: Mapping[str, str], releases: list[Release]) -> str | None:
    """The tag `latest`; where it points nowhere, the highest version that is no pre-release."""
    if "latest" in tags:
        return tags["latest"]
    stable = [item.version for item in releases if "-" not in item.version.partition("+")[0]]
    return next(iter(stable or [item.version for item in releases]), None)


def _published_source(times: Mapping[str, Any]) -> PublishedSource:
    if parse_time(times.get("created")) is not None:
        return PublishedSource.REGISTRY
    return PublishedSource.MIRROR if times else PublishedSource.UNKNOWN


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: object, limit: int = MAX_TEXT) -> str:
    return value[:limit].strip() if isinstance(value, str) else ""


def without_mail(text: str) -> str:
    """The text with whatever looks like a mail address left out."""
    return _MAIL.sub("(address left out)", text) if "@" in text else text


def _first(value: object) -> object:
    return value[0] if isinstance(value, list) and value else value


def _url_of(value: object) -> object:
    return value.get("url") if isinstance(value, dict) else _first(value)


def _web_link(value: object) -> str | None:
    text = _text(value)
    if not text or _MAIL.search(text):
        return None
    try:
        parts = urlsplit(text)
    except ValueError:
        return None
    is_web = parts.scheme in ("http", "https") and parts.hostname and parts.username is None
    return text if is_web else None


def _size(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _license(manifest: Mapping[str, Any]) -> str | None:
    for value in (manifest.get("license"), manifest.get("licenses")):
        entries = value if isinstance(value, list) else [value]
        names = [_text(item.get("type") if isinstance(item, dict) else item) for item in entries]
        if kept := ", ".join(dict.fromkeys(without_mail(name)[:100] for name in names if name)):
            return kept
    return None


def _keywords(value: object) -> tuple[str, ...]:
    if isinstance(value, str):
        value = value.split(",") if "," in value else value.split()
    if not isinstance(value, list):
        return ()
    words = (" ".join(_text(word).split())[:MAX_KEYWORD_LENGTH] for word in value)
    kept = dict.fromkeys(word for word in words if word and not _MAIL.search(word))
    return tuple(kept)[:MAX_KEYWORDS]


def _engines(value: object) -> tuple[Engine, ...]:
    if isinstance(value, dict):
        pairs = [(name, _text(wanted)) for name, wanted in value.items()]
        return tuple(Engine(name[:50], wanted[:100]) for name, wanted in pairs if wanted)
    entries = value if isinstance(value, list) else [value]
    found = (_ENGINE.fullmatch(entry) for entry in entries if isinstance(entry, str))
    return tuple(Engine(match[1][:50], match[2][:100]) for match in found if match)


def _dependencies(manifest: Mapping[str, Any]) -> Iterator[Dependency]:
    for kind in DEPENDENCY_KINDS:
        entries = list(_mapping(manifest.get(kind)).items())[:MAX_DEPENDENCIES]
        for name, wanted in entries:
            if isinstance(wanted, str) and grammar.is_package_name(name):
                yield Dependency(kind, name, without_mail(wanted[:200]))


def _people(value: object) -> tuple[str, ...]:
    """User names only, from objects or from `name <mail>`."""
    if not isinstance(value, list):
        return ()
    names = []
    for person in value:
        if isinstance(person, dict):
            person = person.get("username") or person.get("name")
        name = _text(person).partition("<")[0].strip()
        if grammar.is_segment(name):
            names.append(name)
    return tuple(dict.fromkeys(names))


def _module_kind(manifest: Mapping[str, Any]) -> ModuleKind | None:
    main, exports = _text(manifest.get("main")), manifest.get("exports")
    is_module = manifest.get("type") == "module"
    conditions = set(_conditions(exports))
    if not (main or exports or is_module or manifest.get("module")):
        return None
    esm = is_module or "import" in conditions or bool(manifest.get("module"))
    esm = esm or main.endswith(".mjs")
    cjs = "require" in conditions or main.endswith(".cjs")
    if not is_module and not main.endswith(".mjs"):
        cjs = cjs or bool(main) or not conditions
    if esm and cjs:
        return ModuleKind.BOTH
    return ModuleKind.ESM if esm else ModuleKind.CJS


def _has_types(manifest: Mapping[str, Any]) -> bool:
    named = _text(manifest.get("types")) or _text(manifest.get("typings"))
    return bool(named) or "types" in set(_conditions(manifest.get("exports")))


def _conditions(exports: object, depth: int = 0) -> Iterator[str]:
    if isinstance(exports, dict) and depth < MAX_EXPORT_DEPTH:
        for name, value in exports.items():
            if not name.startswith("."):
                yield name
            yield from _conditions(value, depth + 1)


def _integrity(dist: Mapping[str, Any]) -> str | None:
    for part in _text(dist.get("integrity")).split():
        if part.startswith("sha512-"):
            return part.partition("?")[0]
    shasum = _text(dist.get("shasum"))
    return f"sha1-{shasum.lower()}" if re.fullmatch(r"[0-9a-fA-F]{40}", shasum) else None
