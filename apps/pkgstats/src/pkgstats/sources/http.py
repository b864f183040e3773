"""The real source: registry and downloads API over HTTP.

Whatever comes back - a block page, half a JSON, nothing - becomes one of the answers of
`sources.base`; nothing of it is raised and only whole 200s are ever passed on.

Each method says when it was last run against a live host; the others follow their documents.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import httpx2

from pkgstats import grammar
from pkgstats.models import DayCount
from pkgstats.readme.tarball import MAX_PACKED, BadTarball, read_contents
from pkgstats.series import mark_holes
from pkgstats.sources.base import (
    Answer,
    Changes,
    Contents,
    Failing,
    FoundPage,
    NoData,
    NotOffered,
    NotSet,
    Packument,
    Refusal,
    Release,
    Unchanged,
    Validators,
)
from pkgstats.sources.fetch import Body, Fetcher
from pkgstats.sources.npmrc import NpmConfig
from pkgstats.sources.slim import NotAPackument, slim_changes, slim_packument, slim_search

MAX_JSON = 64 * 1024 * 1024
"""The largest packuments of a full registry are some tens of megabytes."""
MAX_LIST = 8 * 1024 * 1024
"""A year of counts of 128 packages is 2 MB, the largest page of a search 1 MB."""

BULK_DAYS = 365

NOT_SET_REGISTRY = "set PKGSTATS_REGISTRY, or a registry in the npm configuration"
NOT_SET_DOWNLOADS = "set PKGSTATS_DOWNLOADS"
NOT_SET_REPLICATE = "set PKGSTATS_REPLICATE"
CHANGES_AT_ONCE = 500


class HttpSource:
    """Registry and downloads API. One instance per process; `transport` is for tests."""

    simulated = False

    def __init__(
        self,
        config: NpmConfig,
        downloads: str = "",
        replicate: str = "",
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        transport: httpx2.AsyncBaseTransport | None = None,
    ) -> None:
        self._config = config
        self._downloads = downloads
        self._replicate = replicate
        self._now = now
        self._fetcher = Fetcher(
            cafile=config.cafile, proxy=config.proxy, now=now, transport=transport
        )

    async def packument(
        self, name: str, validators: Validators | None = None
    ) -> Answer[Packument] | Unchanged | Refusal:
        """All releases. Last run: 2026-11-24, a lean mirror."""
        registry = self._config.registry_of(name)
        if registry is None:
            return NotSet(NOT_SET_REGISTRY)
        headers = {}
        if validators and validators.etag:
            headers["if-none-match"] = validators.etag
        if validators and validators.last_modified:
            headers["if-modified-since"] = validators.last_modified
        body = await self._fetcher.get(f"{registry.value}/{_quoted(name)}", MAX_JSON, headers)
        if not isinstance(body, Body):
            return body
        if body.status == 304 and headers:
            return Unchanged(self._now())
        if body.status == 404:
            return NoData()
        if refusal := _unusable(body):
            return refusal
        held = Validators(body.headers.get("etag"), body.headers.get("last-modified"))
        try:
            packument = await asyncio.to_thread(_slim, body, name, held)
        except NotAPackument as error:
            return Failing(str(error))
        return Answer(packument, self._now())

    async def latest(self, name: str) -> Answer[str] | Refusal:
        """The version of the tag `latest`. Last run: 2026-11-24, a lean mirror."""
        registry = self._config.registry_of(name)
        if registry is None:
            return NotSet(NOT_SET_REGISTRY)
        body = await self._fetcher.get(f"{registry.value}/{_quoted(name)}/latest", MAX_LIST)
        if not isinstance(body, Body):
            return body
        if body.status == 404:
            return NoData()
        if refusal := _unusable(body):
            return refusal
        manifest = await body.json()
        version = manifest.get("version") if isinstance(manifest, dict) else None
        if not isinstance(version, str) or not grammar.is_version(version):
            return Failing("the answer is no manifest")
        return Answer(version, self._now())

    async def contents(self, name: str, release: Release) -> Answer[Contents] | Refusal:
        """Readme and files out of the tarball. Last run: 2026-11-24, a lean mirror."""
        registry = self._config.registry_of(name)
        if registry is None:
            return NotSet(NOT_SET_REGISTRY)
        address = tarball_address(registry.value, name, release)
        body = await self._fetcher.get(address, MAX_PACKED, {"accept": "*/*"}, is_file=True)
        if not isinstance(body, Body):
            return body
        if body.status in (401, 403, 404, 410):
            return NotOffered("the registry does not give the tarball")
        if body.status != 200:
            return Failing(f"answered {body.status}")
        try:
            contents = await asyncio.to_thread(read_contents, body.data, release.integrity)
        except BadTarball as error:
            return NotOffered(str(error))
        return Answer(contents, self._now())

    async def downloads(
        self, names: Sequence[str], start: date, end: date
    ) -> dict[str, Answer[tuple[DayCount, ...]] | Refusal]:
        """One request: one name of any kind, or up to 128 unscoped ones (a year at most).

        Not yet run against a live host.
        """
        if not self._downloads:
            return dict.fromkeys(names, NotSet(NOT_SET_DOWNLOADS))
        if len(names) > 1:
            start = max(start, end - timedelta(days=BULK_DAYS - 1))
        which = ",".join(quote(name, safe="@/") for name in names)
        address = f"{self._downloads}/downloads/range/{start}:{end}/{which}"
        body = await self._fetcher.get(address, MAX_LIST)
        if not isinstance(body, Body):
            return dict.fromkeys(names, body)
        refusal = _no_counts(body)
        parsed = await body.json()
        if refusal is None and not isinstance(parsed, dict):
            refusal = Failing("the answer is cut short")
        if refusal is not None:
            return dict.fromkeys(names, refusal)
        entries: dict[str, Any] = parsed if len(names) > 1 else {names[0]: parsed}
        now = self._now()
        return {name: _read_counts(entries.get(name), now) for name in names}

    async def version_downloads(self, name: str) -> Answer[dict[str, int]] | Refusal:
        """Downloads of each version in the last seven days. Not yet run against a live host."""
        if not self._downloads:
            return NotSet(NOT_SET_DOWNLOADS)
        address = f"{self._downloads}/versions/{_quoted(name)}/last-week"
        body = await self._fetcher.get(address, MAX_LIST)
        if not isinstance(body, Body):
            return body
        if refusal := _no_counts(body):
            return refusal
        parsed = await body.json()
        rows = parsed.get("downloads") if isinstance(parsed, dict) else None
        if not isinstance(rows, dict):
            return Failing("the answer is cut short")
        found = {
            version: count
            for version, count in rows.items()
            if grammar.is_version(version) and type(count) is int and count >= 0
        }
        return Answer(found, self._now())

    async def changes(self, since: str | None) -> Answer[Changes] | Refusal:
        """What has changed in the registry since a cursor. Not yet run against a live host.

        `since` None: nothing but the cursor of now. A refused cursor, or one that went back, is an
        answer with `is_reset`: go on from its cursor, or from now where it has none.
        """
        if not self._replicate:
            return NotSet(NOT_SET_REPLICATE)
        fields = {"since": since or "now", "limit": CHANGES_AT_ONCE if since else 0}
        address = f"{self._replicate}/registry/_changes?{urlencode(fields)}"
        body = await self._fetcher.get(address, MAX_LIST)
        if not isinstance(body, Body):
            return body
        if body.status in (401, 403, 404, 405, 410) or body.is_html:
            return NotOffered("the host has no changes feed")
        if body.status == 400 and since is not None:
            return Answer(Changes((), None, is_reset=True), self._now())
        if refusal := _unusable(body):
            return refusal
        try:
            return Answer(slim_changes(await body.json(), since), self._now())
        except NotAPackument as error:
            return Failing(str(error))

    async def search(self, text: str, size: int, offset: int) -> Answer[FoundPage] | Refusal:
        """The registry's search; `maintainer:NAME` lists a user's packages.

        The text must have 2 to 64 characters, else there is no answer. Not yet run against a
        registry that offers it; a lean mirror answers 404 (2026-11-24).
        """
        registry = self._config.registry
        if registry is None:
            return NotSet(NOT_SET_REGISTRY)
        fields = urlencode({"text": text, "size": size, "from": offset})
        body = await self._fetcher.get(f"{registry.value}/-/v1/search?{fields}", MAX_LIST)
        if not isinstance(body, Body):
            return body
        if body.status in (401, 403, 404, 405) or body.is_html:
            return NotOffered("the registry has no search")
        if body.status == 400:
            return NoData()
        if refusal := _unusable(body):
            return refusal
        try:
            return Answer(slim_search(await body.json()), self._now())
        except NotAPackument as error:
            return Failing(str(error))

    async def scope_packages(self, scope: str) -> Answer[tuple[str, ...]] | Refusal:
        """Packages of an organisation. Not yet run against a registry that offers it."""
        registry = self._config.registry_of(f"@{scope}/")
        if registry is None:
            return NotSet(NOT_SET_REGISTRY)
        address = f"{registry.value}/-/org/{quote(scope, safe='')}/package"
        body = await self._fetcher.get(address, MAX_LIST)
        if not isinstance(body, Body):
            return body
        if body.status == 404 and isinstance(await body.json(), dict):
            return NoData()
        if body.status in (401, 403, 404, 405) or body.is_html:
            return NotOffered("the registry lists no organisations")
        if refusal := _unusable(body):
            return refusal
        listed = await body.json()
        if not isinstance(listed, dict):
            return Failing("the answer is no list")
        return Answer(tuple(filter(grammar.is_package_name, listed)), self._now())

    async def close(self) -> None:
        await self._fetcher.close()


def tarball_address(registry: str, name: str, release: Release) -> str:
    """The tarball's address on *this* registry, whatever host the packument names."""
    path = urlsplit(release.tarball or "").path
    usual = f"/{name}/-/"
    decoded = path.replace("%2f", "/").replace("%2F", "/").replace("%40", "@")
    # A path that begins with anything but a slash would become part of the host's name.
    if ".." in path.split("/") or not path.startswith("/"):
        path = f"{usual}{name.rpartition('/')[2]}-{release.version}.tgz"
        return registry + quote(path, safe="@/+~")
    if usual in decoded:
        return registry + quote(decoded[decoded.index(usual) :], safe="@/+~%")
    parts = urlsplit(registry)
    return f"{parts.scheme}://{parts.netloc}{quote(path, safe='@/+~%')}"


def _slim(body: Body, name: str, validators: Validators) -> Packument:
    parsed = body.parse()
    if parsed is None:
        raise NotAPackument("the answer is cut short")
    return slim_packument(parsed, name, validators)


def _quoted(name: str) -> str:
    return quote(name, safe="@!'()*~")


def _unusable(body: Body) -> Failing | None:
    if body.status != 200:
        return Failing(f"answered {body.status}")
    return Failing("answered with a web page") if body.is_html else None


def _no_counts(body: Body) -> Refusal | None:
    """A 404 with a JSON error means this name, an empty one means this host."""
    if body.is_html:
        return NotOffered("answered with a web page")
    if body.status == 404:
        known = isinstance(body.parse(), dict)
        return NoData() if known else NotOffered("the host has no download counts")
    return None if body.status == 200 else Failing(f"answered {body.status}")


def _read_counts(entry: object, now: datetime) -> Answer[tuple[DayCount, ...]] | Refusal:
    rows = entry.get("downloads") if isinstance(entry, dict) else None
    if not isinstance(rows, list):
        return NoData()
    days = [item for row in rows if (item := _day_count(row)) is not None]
    return Answer(mark_holes(sorted(days, key=lambda item: item.day)), now)


def _day_count(row: object) -> DayCount | None:
    if not isinstance(row, dict):
        return None
    day, count = row.get("day"), row.get("downloads")
    if not isinstance(day, str) or not isinstance(count, int) or isinstance(count, bool):
        return None
    try:
        return DayCount(date.fromisoformat(day), max(count, 0))
    except ValueError:
        return None
