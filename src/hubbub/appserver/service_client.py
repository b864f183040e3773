"""What a backend asks of the service over REST, and tokens for its clients."""

import asyncio
import ipaddress
import random
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Final, Self
from urllib.parse import quote, urlsplit

import httpx2
import msgspec

from hubbub.appserver import payload
from hubbub.protocol import connection_string, names, tokens
from hubbub.protocol.errors import RequestError
from hubbub.protocol.messages import DataType

API_VERSION: Final = "2024-12-01"

_REST_TOKEN_LIFE_S: Final = 60
"""One call; the service tolerates clocks that differ by minutes."""

_MAX_REPEATS: Final = 3
_FIRST_PAUSE_S: Final = 0.2
_LONGEST_PAUSE_S: Final = 5.0
"""A service that asks for a longer pause is reported, not waited for."""

_KEEP_ALIVE_S: Final = 4.0
"""Idle connections go before the server side ends them (5 s is usual), so that no call meets a
connection that is just being closed."""

_MAX_ERROR_BODY_BYTES: Final = 65_536
_RETRYABLE_STATUS: Final = frozenset({408, 429, 500, 502, 503, 504})

_CONTENT_TYPES: Final = {
    DataType.JSON: "application/json",
    DataType.TEXT: "text/plain",
    DataType.BINARY: "application/octet-stream",
}
_DATA_TYPES: Final = {media_type: data_type for data_type, media_type in _CONTENT_TYPES.items()}


@dataclass(frozen=True, slots=True)
class ClientAccessToken:
    """How one client gets in. `url` is `base_url` with the token; all but `base_url` is secret."""

    base_url: str
    token: str = field(repr=False)
    url: str = field(repr=False)


class ServiceClient:
    """Sends messages into one hub and makes access tokens for its clients.

    Safe repeats only: a call is made again, at most three times, where the connection could not
    be opened or the service says (503 with `Retry-After`) that it has done nothing.
    """

    def __init__(
        self,
        endpoint: str,
        hub: str,
        access_key: str,
        *,
        client_endpoint: str | None = None,
        timeout: float = 30.0,
        transport: httpx2.AsyncBaseTransport | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """`timeout`: seconds for each step of a call. `transport`, `sleep`: for tests."""
        self.hub = names.hub_name(hub)
        self.endpoint = endpoint.removesuffix("/")
        self._client_endpoint = (client_endpoint or endpoint).removesuffix("/")
        self._access_key = access_key
        self._sleep = sleep
        self._http = httpx2.AsyncClient(
            transport=transport,
            timeout=timeout,
            limits=httpx2.Limits(max_connections=100, keepalive_expiry=_KEEP_ALIVE_S),
            # A proxy of the environment cannot reach this machine's own service.
            trust_env=not _is_loopback(self.endpoint),
        )

    @classmethod
    def from_connection_string(
        cls,
        text: str,
        hub: str,
        *,
        timeout: float = 30.0,
        transport: httpx2.AsyncBaseTransport | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> Self:
        """Take address and key from `Endpoint=…;AccessKey=…;Version=1.0;`."""
        parts = connection_string.parse(text)
        return cls(
            parts.endpoint,
            hub,
            parts.access_key,
            client_endpoint=parts.client_endpoint,
            timeout=timeout,
            transport=transport,
            sleep=sleep,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections to the service. May be called twice."""
        await self._http.aclose()

    def __repr__(self) -> str:
        return f"ServiceClient({self.endpoint!r}, {self.hub!r})"

    # --- messages ----------------------------------------------------------------------------

    async def send_to_all(
        self,
        message: object,
        *,
        content_type: str | None = None,
        excluded: Iterable[str] = (),
        filter: str | None = None,
        ttl_seconds: int | None = None,
    ) -> None:
        """Hand a message to the service for every connection of the hub.

        Returns when the service has accepted it; raises `RequestError` when it has not.
        `message`, without a content type: str is sent as text, bytes as binary, everything else
        as JSON. `content_type`: "application/json" (a str becomes a JSON string, bytes are JSON
        already), "text/plain" or "application/octet-stream". `excluded`: ids of connections that
        do not get it. `filter`: only connections that match. `ttl_seconds`: 0 to 300; a message
        that a connection has not taken by then is dropped for it; 0 = never.
        """
        await self._send("", message, content_type, excluded, filter, ttl_seconds)

    async def send_to_group(
        self,
        group: str,
        message: object,
        *,
        content_type: str | None = None,
        excluded: Iterable[str] = (),
        filter: str | None = None,
        ttl_seconds: int | None = None,
    ) -> None:
        """As `send_to_all`, for the connections of a group."""
        target = f"/groups/{_segment(names.group_name(group))}"
        await self._send(target, message, content_type, excluded, filter, ttl_seconds)

    async def send_to_user(
        self,
        user_id: str,
        message: object,
        *,
        content_type: str | None = None,
        filter: str | None = None,
        ttl_seconds: int | None = None,
    ) -> None:
        """As `send_to_all`, for the connections of a user."""
        target = f"/users/{_segment(names.user_id(user_id))}"
        await self._send(target, message, content_type, (), filter, ttl_seconds)

    async def send_to_connection(
        self,
        connection_id: str,
        message: object,
        *,
        content_type: str | None = None,
        ttl_seconds: int | None = None,
    ) -> None:
        """As `send_to_all`, for one connection; no error when there is no such connection."""
        if not connection_id:
            raise ValueError("a connection id has at least one character")
        target = f"/connections/{_segment(connection_id)}"
        await self._send(target, message, content_type, (), None, ttl_seconds)

    # --- tokens ------------------------------------------------------------------------------

    def get_client_access_token(
        self,
        *,
        user_id: str | None = None,
        roles: Iterable[str] = (),
        groups: Iterable[str] = (),
        minutes_to_expire: int = 60,
    ) -> ClientAccessToken:
        """Make a token that lets one client into the hub; no request is sent.

        `roles`: what it may do, for example "webpubsub.joinLeaveGroup.NAME"; without any it can
        only send events. `groups`: joined from the start. Without a user id it is anonymous.
        """
        if minutes_to_expire < 1:
            raise ValueError("minutes_to_expire must be at least 1")
        base = f"{self._client_endpoint}/client/hubs/{self.hub}"
        token = tokens.make_client_token(
            self._access_key,
            audience=base,
            now=time.time(),
            life_s=minutes_to_expire * 60,
            user_id=names.user_id(user_id) if user_id else None,
            roles=_texts("roles", roles),
            groups=[names.group_name(group) for group in _texts("groups", groups)],
        )
        path = f"{self._client_endpoint}/client/hubs/{_segment(self.hub)}"
        base_url = path.replace("http", "ws", 1)
        return ClientAccessToken(base_url, token, f"{base_url}?access_token={token}")

    # --- calls -------------------------------------------------------------------------------

    async def _send(
        self,
        target: str,
        message: object,
        content_type: str | None,
        excluded: Iterable[str],
        filter: str | None,
        ttl_seconds: int | None,
    ) -> None:
        content_type, body = _encode(message, content_type)
        query: list[tuple[str, str]] = [("excluded", id) for id in _texts("excluded", excluded)]
        if filter is not None:
            query.append(("filter", filter))
        if ttl_seconds is not None:
            query.append(("messageTtlSeconds", str(ttl_seconds)))
        await self._call("POST", f"{target}/:send", query, body, content_type, expected=202)

    async def _call(
        self,
        method: str,
        path: str,
        query: list[tuple[str, str]],
        body: bytes,
        content_type: str,
        *,
        expected: int,
    ) -> None:
        """One operation of the hub, with its safe repeats."""
        url = f"{self.endpoint}/api/hubs/{_segment(self.hub)}{path}"
        params = _query([*query, ("api-version", API_VERSION)])
        for repeat in range(_MAX_REPEATS + 1):
            try:
                await self._call_once(method, url, params, body, content_type, expected)
                return
            except _NothingDone as outcome:
                pause_s = outcome.pause_s
                if pause_s is None:
                    pause_s = _FIRST_PAUSE_S * 2**repeat
                if repeat == _MAX_REPEATS or pause_s > _LONGEST_PAUSE_S:
                    raise outcome.error from outcome.__cause__
            # Up to twice the pause, so that many callers do not come back in step.
            await self._sleep(pause_s * (1 + random.random()))
        raise AssertionError("the last repeat returns or raises")

    async def _call_once(
        self, method: str, url: str, params: str, body: bytes, content_type: str, expected: int
    ) -> None:
        token = tokens.make_rest_token(
            self._access_key, url=url, now=time.time(), life_s=_REST_TOKEN_LIFE_S
        )
        headers = {"Authorization": f"Bearer {token}", "Content-Type": content_type}
        call = f"{method} {urlsplit(url).path}"
        try:
            async with self._http.stream(
                method, f"{url}?{params}", headers=headers, content=body
            ) as response:
                # Read also where nothing is expected: a connection is used again only then.
                content = await _read(response)
        except (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout) as cause:
            error = RequestError(
                f"cannot reach {self.endpoint}: {cause or type(cause).__name__}",
                status=None,
                retryable=True,
            )
            raise _NothingDone(error, None) from cause
        except httpx2.HTTPError as cause:
            raise RequestError(
                f"{call}: no answer ({cause or type(cause).__name__}); whether it was done is unknown",
                status=None,
                retryable=True,
            ) from cause
        if response.status_code == expected:
            return
        error = _error_of(response, content, call)
        pause_s = _retry_after_s(response)
        if error.status == 503 and pause_s is not None:
            raise _NothingDone(error, pause_s)
        raise error


class _NothingDone(Exception):
    """The service did nothing, so the call is safe to repeat. `pause_s` None: ours to choose."""

    def __init__(self, error: RequestError, pause_s: float | None) -> None:
        super().__init__(str(error))
        self.error = error
        self.pause_s = pause_s


class _ErrorBody(msgspec.Struct):
    code: str | None = None
    message: str | None = None


async def _read(response: httpx2.Response) -> bytes:
    """The body, or nothing when it is larger than any that has a meaning here."""
    body = b""
    async for chunk in response.aiter_bytes():
        body += chunk
        if len(body) > _MAX_ERROR_BODY_BYTES:
            return b""
    return body


def _error_of(response: httpx2.Response, body: bytes, call: str) -> RequestError:
    """What the service says about a refused call."""
    status = response.status_code
    try:
        content = msgspec.json.decode(body, type=_ErrorBody)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        content = _ErrorBody()
    code = response.headers.get("x-ms-error-code") or content.code or ""
    text = content.message or ""
    if status == 401:
        text = text or "the access key or the address is not the service's own, or a clock is wrong"
    reason = ": ".join(part for part in (code, text) if part)
    message = f"{call}: the service answered {status}" + (f", {reason}" if reason else "")
    return RequestError(
        message, status=status, error_code=code, retryable=status in _RETRYABLE_STATUS
    )


def _retry_after_s(response: httpx2.Response) -> float | None:
    """The pause the service asks for in whole seconds, or None."""
    text = response.headers.get("retry-after", "")
    return float(text) if text.isascii() and text.isdigit() and len(text) < 10 else None


def _encode(message: object, content_type: str | None) -> tuple[str, bytes]:
    """Content type and body of a message."""
    if content_type is None:
        content_type = _CONTENT_TYPES[payload.data_type_of(message)]
    media_type, _, parameters = content_type.lower().partition(";")
    data_type = _DATA_TYPES.get(media_type.strip())
    if data_type is None:
        known = ", ".join(_DATA_TYPES)
        raise ValueError(f"content_type must be one of {known}, not {content_type!r}")
    if payload.bytes_of(message) is None and parameters.strip() not in ("", "charset=utf-8"):
        raise ValueError(f"only bytes can be sent as {content_type!r}; a str goes as UTF-8")
    return content_type, payload.encode(message, data_type)


def _texts(what: str, items: Iterable[str]) -> list[str]:
    """The items; one text instead of a list would silently be taken apart into characters."""
    if isinstance(items, str):
        raise TypeError(f"{what} must be a list of texts, not one text")
    return list(items)


def _query(parameters: list[tuple[str, str]]) -> str:
    return "&".join(f"{name}={quote(value, safe='')}" for name, value in parameters)


def _segment(text: str) -> str:
    """One path segment, encoded completely; "." and ".." too, which every library would resolve."""
    return text.replace(".", "%2E") if text in (".", "..") else quote(text, safe="")


def _is_loopback(endpoint: str) -> bool:
    host = urlsplit(endpoint).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
