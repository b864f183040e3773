"""The real source: registry and downloads API over HTTP.

Whatever comes back - a block page, half a JSON, nothing - becomes one of the answers of
`sources.base`; nothing of it is raised and only whole 200s are ever passed on.

Last run against live hosts: packument, latest and contents against a lean mirror, 2026-11;
search, organisation and downloads follow their documents, not yet run.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import httpx2

from pkgstats import __version__, grammar
from pkgstats.models import DayCount
from pkgstats.readme.tarball import MAX_PACKED, BadTarball, read_contents
from pkgstats.series import mark_holes
from pkgstats.settings import InvalidSetting
from pkgstats.sources.base import (
    Answer,
    Contents,
    Failing,
    FoundPage,
    Limited,
    NoData,
    NotOffered,
    NotSet,
    Packument,
    Refusal,
    Release,
    Unchanged,
    Validators,
)
from pkgstats.sources.npmrc import NpmConfig
from pkgstats.sources.slim import NotAPackument, slim_packument, slim_search

MAX_JSON = 64 * 1024 * 1024
"""The largest packuments of a full registry are some tens of megabytes."""
TIMEOUT = httpx2.Timeout(20.0, connect=5.0)
MAX_CONNECTIONS = 8
MAX_REDIRECTS = 3

SHORTEST_PAUSE = timedelta(seconds=60)
"""`Retry-After: 0` is no permission to go on at once."""
LONGEST_PAUSE = timedelta(hours=1)
FAILURES_UNTIL_BREAK = 3
BREAK_S = 30.0
LONGEST_BREAK_S = 600.0

BULK_DAYS = 365

NOT_SET_REGISTRY = "set PKGSTATS_REGISTRY, or a registry in the npm configuration"
NOT_SET_DOWNLOADS = "set PKGSTATS_DOWNLOADS"


@dataclass(frozen=True, slots=True)
class _Body:
    """A complete body that may be used, with its status."""

    status: int
    headers: Mapping[str, str]
    data: bytes

    @property
    def is_html(self) -> bool:
        kind = self.headers.get("content-type", "")
        return "html" in kind or self.data.lstrip()[:1] == b"<"

    def json(self) -> Any:
        """The parsed body, or None when it is no JSON (null is none either)."""
        try:
            return json.loads(self.data)
        except (ValueError, RecursionError):
            return None


class HttpSource:
    """Registry and downloads API. One instance per process; `transport` is for tests."""

    simulated = False

    def __init__(
        self,
        config: NpmConfig,
        downloads: str = "",
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        transport: httpx2.AsyncBaseTransport | None = None,
    ) -> None:
        self._config = config
        self._downloads = downloads
        self._now = now
        self._breakers: dict[str, _Breaker] = {}
        self._client = httpx2.AsyncClient(
            transport=transport,
            verify=tls_context(config.cafile),
            proxy=config.proxy if transport is None else None,
            trust_env=False,
            timeout=TIMEOUT,
            limits=httpx2.Limits(max_connections=MAX_CONNECTIONS),
            follow_redirects=True,
            max_redirects=MAX_REDIRECTS,
            headers={"user-agent": f"pkgstats/{__version__}", "accept": "application/json"},
        )

    async def packument(
        self, name: str, validators: Validators | None = None
    ) -> Answer[Packument] | Unchanged | Refusal:
        registry = self._config.registry_of(name)
        if registry is None:
            return NotSet(NOT_SET_REGISTRY)
        headers = {}
        if validators and validators.etag:
            headers["if-none-match"] = validators.etag
        if validators and validators.last_modified:
            headers["if-modified-since"] = validators.last_modified
        body = await self._get(f"{registry.value}/{_quoted(name)}", MAX_JSON, headers)
        if not isinstance(body, _Body):
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
        registry = self._config.registry_of(name)
        if registry is None:
            return NotSet(NOT_SET_REGISTRY)
        body = await self._get(f"{registry.value}/{_quoted(name)}/latest", MAX_JSON)
        if not isinstance(body, _Body):
            return body
        if body.status == 404:
            return NoData()
        if refusal := _unusable(body):
            return refusal
        manifest = body.json()
        version = manifest.get("version") if isinstance(manifest, dict) else None
        if not isinstance(version, str) or not grammar.is_version(version):
            return Failing("the answer is no manifest")
        return Answer(version, self._now())

    async def contents(self, name: str, release: Release) -> Answer[Contents] | Refusal:
        registry = self._config.registry_of(name)
        if registry is None:
            return NotSet(NOT_SET_REGISTRY)
        address = tarball_address(registry.value, name, release)
        body = await self._get(address, MAX_PACKED, {"accept": "*/*"})
        if not isinstance(body, _Body):
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
        """One request: one name of any kind, or up to 128 unscoped ones (a year at most)."""
        if not self._downloads:
            return dict.fromkeys(names, NotSet(NOT_SET_DOWNLOADS))
        if len(names) > 1:
            start = max(start, end - timedelta(days=BULK_DAYS - 1))
        which = ",".join(quote(name, safe="@/") for name in names)
        address = f"{self._downloads}/downloads/range/{start}:{end}/{which}"
        body = await self._get(address, MAX_JSON)
        if not isinstance(body, _Body):
            return dict.fromkeys(names, body)
        refusal = _no_counts(body)
        parsed = body.json()
        if refusal is None and not isinstance(parsed, dict):
            refusal = Failing("the answer is cut short")
        if refusal is not None:
            return dict.fromkeys(names, refusal)
        entries: dict[str, Any] = parsed if len(names) > 1 else {names[0]: parsed}
        now = self._now()
        return {name: _read_counts(entries.get(name), now) for name in names}

    async def search(self, text: str, size: int, offset: int) -> Answer[FoundPage] | Refusal:
        registry = self._config.registry
        if registry is None:
            return NotSet(NOT_SET_REGISTRY)
        fields = urlencode({"text": text, "size": size, "from": offset})
        body = await self._get(f"{registry.value}/-/v1/search?{fields}", MAX_JSON)
        if not isinstance(body, _Body):
            return body
        if body.status in (401, 403, 404, 405) or body.is_html:
            return NotOffered("the registry has no search")
        if body.status == 400:
            return NoData()
        if refusal := _unusable(body):
            return refusal
        try:
            return Answer(slim_search(body.json()), self._now())
        except NotAPackument as error:
            return Failing(str(error))

    async def scope_packages(self, scope: str) -> Answer[tuple[str, ...]] | Refusal:
        registry = self._config.registry_of(f"@{scope}/")
        if registry is None:
            return NotSet(NOT_SET_REGISTRY)
        address = f"{registry.value}/-/org/{quote(scope, safe='')}/package"
        body = await self._get(address, MAX_JSON)
        if not isinstance(body, _Body):
            return body
        if body.status == 404 and isinstance(body.json(), dict):
            return NoData()
        if body.status in (401, 403, 404, 405) or body.is_html:
            return NotOffered("the registry lists no organisations")
        if refusal := _unusable(body):
            return refusal
        listed = body.json()
        if not isinstance(listed, dict):
            return Failing("the answer is no list")
        return Answer(tuple(filter(grammar.is_package_name, listed)), self._now())

    async def close(self) -> None:
        await self._client.aclose()

    async def _get(
        self, address: str, limit: int, headers: Mapping[str, str] | None = None
    ) -> _Body | Refusal:
        """A whole body below the limit, or the refusal that holds for every ability."""
        breaker = self._breakers.setdefault(urlsplit(address).netloc, _Breaker())
        clock = asyncio.get_running_loop().time
        if not breaker.lets_through(clock()):
            return Failing("no connection a moment ago")
        try:
            async with self._client.stream("GET", address, headers=headers) as response:
                breaker.note(failed=response.status_code >= 500, now=clock())
                if response.status_code == 429:
                    return Limited(self._pause_until(response.headers))
                if response.status_code >= 500:
                    return Failing(f"answered {response.status_code}")
                data = bytearray()
                async for chunk in response.aiter_bytes():
                    data += chunk
                    if len(data) > limit:
                        return NotOffered(f"larger than {limit // 2**20} MB")
                return _Body(response.status_code, response.headers, bytes(data))
        except httpx2.TimeoutException:
            breaker.note(failed=True, now=clock())
            return Failing("no answer in time")
        except httpx2.RemoteProtocolError:
            return Failing("the answer is cut short")
        except (httpx2.TooManyRedirects, httpx2.DecodingError, httpx2.UnsupportedProtocol):
            return Failing("the answer cannot be read")
        except httpx2.TransportError:
            breaker.note(failed=True, now=clock())
            return Failing("no connection")

    def _pause_until(self, headers: Mapping[str, str]) -> datetime:
        """`Retry-After` in seconds or as a date (by the server's own clock), within our bounds."""
        now = self._now()
        text = headers.get("retry-after", "").strip()
        pause = SHORTEST_PAUSE
        if text.isascii() and text.isdigit() and len(text) < 7:
            pause = timedelta(seconds=int(text))
        elif (until := _http_date(text)) is not None:
            pause = until - (_http_date(headers.get("date", "")) or now)
        return now + min(max(pause, SHORTEST_PAUSE), LONGEST_PAUSE)


class _Breaker:
    """Leaves a host alone for a while after it failed several times in a row."""

    def __init__(self) -> None:
        self._failures = 0
        self._closed_until = 0.0

    def lets_through(self, now: float) -> bool:
        return now >= self._closed_until

    def note(self, *, failed: bool, now: float) -> None:
        self._failures = self._failures + 1 if failed else 0
        if (over := self._failures - FAILURES_UNTIL_BREAK) >= 0:
            self._closed_until = now + min(BREAK_S * 2.0**over, LONGEST_BREAK_S)


def tls_context(cafile: str | None) -> ssl.SSLContext:
    """TLS as npm is told to do it: the certificates of `cafile`, else those of the system.

    Raises InvalidSetting for a file that cannot be used.
    """
    try:
        return ssl.create_default_context(cafile=cafile)
    except OSError as error:  # ssl.SSLError is one too
        raise InvalidSetting("cafile of the npm configuration cannot be used") from error


def tarball_address(registry: str, name: str, release: Release) -> str:
    """The tarball's address on *this* registry, whatever host the packument names."""
    path = urlsplit(release.tarball or "").path
    usual = f"/{name}/-/"
    decoded = path.replace("%2f", "/").replace("%2F", "/").replace("%40", "@")
    if ".." in path.split("/") or not path:
        path = f"{usual}{name.rpartition('/')[2]}-{release.version}.tgz"
        return registry + quote(path, safe="@/+~")
    if usual in decoded:
        return registry + quote(decoded[decoded.index(usual) :], safe="@/+~%")
    parts = urlsplit(registry)
    return f"{parts.scheme}://{parts.netloc}{path}"


def _slim(body: _Body, name: str, validators: Validators) -> Packument:
    parsed = body.json()
    if parsed is None:
        raise NotAPackument("the answer is cut short")
    return slim_packument(parsed, name, validators)


def _quoted(name: str) -> str:
    return quote(name, safe="@!'()*~")


def _unusable(body: _Body) -> Failing | None:
    if body.status != 200:
        return Failing(f"answered {body.status}")
    return Failing("answered with a web page") if body.is_html else None


def _no_counts(body: _Body) -> Refusal | None:
    """A 404 with a JSON error means this name, an empty one means this host."""
    if body.is_html:
        return NotOffered("answered with a web page")
    if body.status == 404:
        known = isinstance(body.json(), dict)
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


def _http_date(text: str) -> datetime | None:
    try:
        time = parsedate_to_datetime(text)
    except ValueError:
        return None
    return time if time.tzinfo else time.replace(tzinfo=UTC)
