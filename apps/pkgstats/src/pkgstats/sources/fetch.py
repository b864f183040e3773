"""One bounded GET: whatever a host does becomes a whole body or a refusal, never an exception.

Per host a breaker; per answer a limit of bytes and of time; redirects are few and never leave
http and https.
"""

from __future__ import annotations

import asyncio
import json
import random
import ssl
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

import httpx2

from pkgstats import __version__
from pkgstats.settings import InvalidSetting
from pkgstats.sources.base import Failing, Limited, NotOffered, Refusal

TIMEOUT = httpx2.Timeout(20.0, connect=5.0)
WHOLE_ANSWER_S = 60.0
"""A host that sends a byte now and then would hold a connection for ever."""
MAX_CONNECTIONS = 8
MAX_REDIRECTS = 3
PARSED_AT_ONCE = 64 * 1024
"""Larger JSON is parsed in a thread: 4 MB take 30 ms."""

SHORTEST_PAUSE = timedelta(seconds=60)
"""`Retry-After: 0` is no permission to go on at once."""
LONGEST_PAUSE = timedelta(hours=1)
FAILURES_UNTIL_BREAK = 3
BREAK_S = 30.0
LONGEST_BREAK_S = 600.0


@dataclass(frozen=True, slots=True)
class Body:
    """A complete body that may be used, with its status."""

    status: int
    headers: Mapping[str, str]
    data: bytes

    @property
    def is_html(self) -> bool:
        kind = self.headers.get("content-type", "")
        return "html" in kind or self.data.lstrip()[:1] == b"<"

    def parse(self) -> Any:
        """The parsed body, or None when it is no JSON (null is none either)."""
        try:
            return json.loads(self.data)
        except (ValueError, RecursionError):
            return None

    async def json(self) -> Any:
        """As `parse`, without holding up the loop."""
        if len(self.data) <= PARSED_AT_ONCE:
            return self.parse()
        return await asyncio.to_thread(self.parse)


class Fetcher:
    """Connections to the hosts of the sources; `transport` is for tests."""

    def __init__(
        self,
        *,
        cafile: str | None = None,
        proxy: str | None = None,
        now: Callable[[], datetime],
        transport: httpx2.AsyncBaseTransport | None = None,
    ) -> None:
        self._now = now
        self._breakers: dict[str, _Breaker] = {}
        self._client = httpx2.AsyncClient(
            transport=transport,
            verify=tls_context(cafile),
            proxy=proxy if transport is None else None,
            trust_env=False,
            timeout=TIMEOUT,
            limits=httpx2.Limits(max_connections=MAX_CONNECTIONS),
            follow_redirects=True,
            max_redirects=MAX_REDIRECTS,
            headers={"user-agent": f"pkgstats/{__version__}", "accept": "application/json"},
        )

    async def close(self) -> None:
        await self._client.aclose()

    async def get(
        self,
        address: str,
        limit: int,
        headers: Mapping[str, str] | None = None,
        *,
        is_file: bool = False,
    ) -> Body | Refusal:
        """A whole body of at most `limit` bytes, or the refusal that holds for every ability.

        `is_file`: the bytes as they come, whatever encoding the host says they have.
        """
        breaker = self._breakers.setdefault(urlsplit(address).netloc, _Breaker())
        clock = asyncio.get_running_loop().time
        if not breaker.lets_through(clock()):
            return Failing("no connection a moment ago")
        try:
            async with asyncio.timeout(WHOLE_ANSWER_S):
                return await self._read(address, limit, headers, breaker, is_file=is_file)
        except (httpx2.TimeoutException, TimeoutError):
            breaker.note(failed=True, now=clock())
            return Failing("no answer in time")
        except (httpx2.RemoteProtocolError, EOFError):
            return Failing("the answer is cut short")
        except (httpx2.TooManyRedirects, httpx2.UnsupportedProtocol, zlib.error, _Unreadable):
            return Failing("the answer cannot be read")
        except httpx2.TransportError:
            breaker.note(failed=True, now=clock())
            return Failing("no connection")

    async def _read(
        self,
        address: str,
        limit: int,
        headers: Mapping[str, str] | None,
        breaker: _Breaker,
        *,
        is_file: bool,
    ) -> Body | Refusal:
        too_large = NotOffered(f"larger than {limit // 2**20} MB")
        sent = {"accept-encoding": "identity" if is_file else "gzip", **(headers or {})}
        async with self._client.stream("GET", address, headers=sent) as response:
            now = asyncio.get_running_loop().time()
            breaker.note(failed=response.status_code >= 500, now=now)
            if response.status_code == 429:
                return Limited(self._pause_until(response.headers))
            if response.status_code >= 500:
                return Failing(f"answered {response.status_code}")
            size = response.headers.get("content-length", "")
            if size.isascii() and size.isdigit() and len(size) < 20 and int(size) > limit:
                return too_large
            encoding = "" if is_file else response.headers.get("content-encoding", "")
            unpacker = _Unpacker(encoding, limit)
            async for chunk in response.aiter_raw():
                unpacker.feed(chunk)
                if unpacker.is_full:
                    return too_large
            return Body(response.status_code, response.headers, unpacker.end())

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


class _Unreadable(Exception):
    """An encoding that was not asked for."""


class _Unpacker:
    """Bytes as they come, unpacked no further than the limit: a small body can hold anything."""

    def __init__(self, encoding: str, limit: int) -> None:
        if encoding.lower() not in ("", "identity", "gzip"):
            raise _Unreadable(encoding)
        is_gzip = encoding.lower() == "gzip"
        self._gzip = zlib.decompressobj(wbits=31) if is_gzip else None
        self._limit = limit
        self._data = bytearray()

    @property
    def is_full(self) -> bool:
        return len(self._data) > self._limit

    def feed(self, chunk: bytes) -> None:
        if self._gzip is not None:
            chunk = self._gzip.decompress(chunk, self._limit + 1 - len(self._data))
        self._data += chunk

    def end(self) -> bytes:
        """Everything; raises EOFError when something is missing."""
        if self._gzip is not None and not self._gzip.eof and self._data:
            raise EOFError
        return bytes(self._data)


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
            pause = min(BREAK_S * 2.0**over, LONGEST_BREAK_S)
            # Several sites that lost the same host must not come back in one moment.
            self._closed_until = now + pause * random.uniform(0.75, 1.25)


def tls_context(cafile: str | None) -> ssl.SSLContext:
    """TLS as npm is told to do it: the certificates of `cafile`, else those of the system.

    Raises InvalidSetting for a file that cannot be used.
    """
    try:
        return ssl.create_default_context(cafile=cafile)
    except OSError as error:  # ssl.SSLError is one too
        raise InvalidSetting("cafile of the npm configuration cannot be used") from error


def _http_date(text: str) -> datetime | None:
    try:
        time = parsedate_to_datetime(text)
    except ValueError:
        return None
    return time if time.tzinfo else time.replace(tzinfo=UTC)
