"""HTTP calls to event handlers: attempts, time limits, capped bodies. Foreign errors end here."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final, NamedTuple

import aiohttp
from multidict import CIMultiDictProxy
from yarl import URL

from hubbub.protocol import cloudevents, limits
from hubbub.protocol.errors import UpstreamError

logger = logging.getLogger(__name__)

_MAX_HEADER_BYTES: Final = 65_536
"""One header of an answer. Room for a connection state that is refused as too large."""
_CALLS_PER_HOST: Final = 1000
"""Open connections to one handler host; more calls wait, within their time limit."""
_IDLE_S: Final = 4
"""Idle connections are dropped before common servers drop them, which is 5 s."""

Sleep = Callable[[float], Awaitable[None]]


class Reply(NamedTuple):
    status: int
    headers: CIMultiDictProxy[str]
    body: bytes

    @property
    def is_success(self) -> bool:
        return 200 <= self.status < 300


class NotReached(UpstreamError):
    """The network failed before there was an answer; the handler may have seen the request."""


class Caller:
    """Owner of the HTTP connections to all handlers."""

    def __init__(self, sleep: Sleep) -> None:
        self._sleep = sleep
        self._session: aiohttp.ClientSession | None = None

    async def open(self) -> None:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=0, limit_per_host=_CALLS_PER_HOST, keepalive_timeout=_IDLE_S
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": "hubbub"},
            skip_auto_headers=("Accept", "Accept-Encoding", "Content-Type"),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),
            max_line_size=_MAX_HEADER_BYTES,
            max_field_size=_MAX_HEADER_BYTES,
            trust_env=False,
        )

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def call(
        self,
        method: str,
        url: URL,
        headers: Mapping[str, str],
        body: bytes | None = None,
        *,
        timeout_s: float,
        retry_pauses_s: Sequence[float],
    ) -> Reply:
        """One answer of a handler, whatever its status.

        timeout_s: until the head of the answer, all attempts and their pauses included; then the
        body has as long again. Network failures, 408 and 5xx are tried again after each pause;
        when the pauses are used up, the last failure is the result.
        Raises `UpstreamError` for everything that gives no answer.
        """
        cloudevents.check_headers(headers)
        try:
            async with asyncio.timeout(timeout_s):
                response = await self._attempts(method, url, headers, body, retry_pauses_s)
        except TimeoutError as error:
            raise UpstreamError(f"no answer within {timeout_s} s") from error
        try:
            async with asyncio.timeout(timeout_s):
                content = await _read(response)
        except TimeoutError as error:
            raise UpstreamError(f"the answer was not complete within {timeout_s} s") from error
        except aiohttp.ClientError as error:
            raise UpstreamError("the answer broke off", status=response.status) from error
        finally:
            # Reusable when the body was read to its end; else this closes the socket.
            response.release()
        return Reply(response.status, response.headers, content)

    async def _attempts(
        self,
        method: str,
        url: URL,
        headers: Mapping[str, str],
        body: bytes | None,
        retry_pauses_s: Sequence[float],
    ) -> aiohttp.ClientResponse:
        for pause_s in retry_pauses_s:
            try:
                response = await self._attempt(method, url, headers, body)
            except NotReached as error:
                reason = str(error)
            else:
                if response.status != 408 and response.status < 500:
                    return response
                reason = f"status {response.status}"
                response.close()
            logger.info("handler=%s: %s, next try in %s s", _place(url), reason, pause_s)
            await self._sleep(pause_s)
        return await self._attempt(method, url, headers, body)

    async def _attempt(
        self, method: str, url: URL, headers: Mapping[str, str], body: bytes | None
    ) -> aiohttp.ClientResponse:
        assert self._session is not None, "open() comes first"
        try:
            return await self._session.request(
                method, url, headers=headers, data=body, allow_redirects=False
            )
        except aiohttp.ClientResponseError as error:
            raise UpstreamError(f"the answer is no HTTP: {error.message}") from error
        except (aiohttp.ClientError, OSError) as error:
            raise NotReached(f"not reached: {type(error).__name__}") from error


async def _read(response: aiohttp.ClientResponse) -> bytes:
    """The body. Of a refusal only the beginning: a longer one is told to nobody."""
    is_success = 200 <= response.status < 300
    most = limits.MAX_UPSTREAM_ANSWER_BYTES if is_success else limits.MAX_REJECTION_BODY_BYTES
    content = bytearray()
    async for chunk in response.content.iter_any():
        content += chunk
        if len(content) > most:
            if is_success:
                raise UpstreamError(f"the answer has more than {most} bytes")
            break
    return bytes(content)


def _place(url: URL) -> str:
    """A URL for the log: without the query, which may hold a secret."""
    return f"{url.scheme}://{url.authority}{url.raw_path}"
