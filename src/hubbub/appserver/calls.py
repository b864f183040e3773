"""The REST operations as values: what is asked, and what an answer means. No I/O.

The async client and its blocking twin differ only in how they carry these out.
"""

import ipaddress
import random
import ssl
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final
from urllib.parse import parse_qsl, quote, urlsplit

import msgspec

from hubbub import clock
from hubbub.protocol import names, tokens, values
from hubbub.protocol.errors import RequestError
from hubbub.protocol.messages import DataType

API_VERSION: Final = "2024-12-01"

_REST_TOKEN_LIFE_S: Final = 60
"""One call; the service tolerates clocks that differ by minutes."""

MAX_REPEATS: Final = 3
_FIRST_PAUSE_S: Final = 0.2
_LONGEST_PAUSE_S: Final = 5.0
"""A service that asks for a longer pause is reported, not waited for."""

KEEP_ALIVE_S: Final = 4.0
"""Idle connections go before the server side ends them (5 s is usual), so that no call meets a
connection that is just being closed."""

MAX_ANSWER_BYTES: Final = 1_048_576
"""A page of 200 connections is far below."""

_RETRYABLE_STATUS: Final = frozenset({408, 429, 500, 502, 503, 504})
_REPEATABLE_STATUS: Final = frozenset({502, 503, 504})
"""After these, a call that may be made twice is made again."""
_IDEMPOTENT: Final = frozenset({"GET", "HEAD", "PUT", "DELETE"})

_CONTENT_TYPES: Final = {
    DataType.JSON: "application/json",
    DataType.TEXT: "text/plain",
    DataType.BINARY: "application/octet-stream",
}
_DATA_TYPES: Final = {media_type: data_type for data_type, media_type in _CONTENT_TYPES.items()}

Query = tuple[tuple[str, str], ...]


class Permission(StrEnum):
    """What a connection may do with one group."""

    JOIN_LEAVE_GROUP = "joinLeaveGroup"
    SEND_TO_GROUP = "sendToGroup"


@dataclass(frozen=True, slots=True)
class GroupMember:
    """A connection in a group; `user_id` None: anonymous."""

    connection_id: str
    user_id: str | None


@dataclass(frozen=True, slots=True)
class ClientAccessToken:
    """How one client gets in. `url` is `base_url` with the token; all but `base_url` is secret."""

    base_url: str
    token: str = field(repr=False)
    url: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Call:
    """One operation of a hub. `path` follows the hub's address, already encoded.

    `expected`: the only status that means success. `absent`: the one that means "no", or None.
    """

    method: str
    path: str
    expected: int
    query: Query = ()
    body: bytes = b""
    content_type: str | None = None
    absent: int | None = None

    @property
    def is_idempotent(self) -> bool:
        return self.method in _IDEMPOTENT


# --- operations -------------------------------------------------------------------------------


def send(
    target: str,
    message: object,
    content_type: str | None,
    excluded: Iterable[str] = (),
    filter: str | None = None,
    ttl_seconds: int | None = None,
) -> Call:
    content_type, body = _encode(message, content_type)
    query = _excluded(excluded)
    if filter is not None:
        query += (("filter", filter),)
    if ttl_seconds is not None:
        query += (("messageTtlSeconds", str(ttl_seconds)),)
    return Call("POST", f"{target}/:send", 202, query, body, content_type)


def exists(target: str) -> Call:
    return Call("HEAD", target, 200, absent=404)


def close_connection(connection_id: str, reason: str | None) -> Call:
    return Call("DELETE", connection(connection_id), 204, _reason(reason))


def close_connections(target: str, excluded: Iterable[str], reason: str | None) -> Call:
    query = _excluded(excluded) + _reason(reason)
    return Call("POST", f"{target}/:closeConnections", 204, query)


def add(target: str) -> Call:
    return Call("PUT", target, 200)


def remove(target: str) -> Call:
    return Call("DELETE", target, 204)


def change_groups(action: str, groups: Iterable[str], filter: str | None) -> Call:
    """`action`: addToGroups or removeFromGroups; without a filter every connection is meant."""
    wanted = [names.group_name(group) for group in texts("groups", groups)]
    if not wanted:
        raise ValueError("groups must hold at least one name")
    body = msgspec.json.encode({"groups": wanted, "filter": filter})
    return Call("POST", f"/:{action}", 200, body=body, content_type="application/json")


def permission(method: str, kind: Permission | str, connection_id: str, group: str) -> Call:
    """`method`: PUT grants, DELETE revokes, HEAD asks."""
    target = f"/permissions/{Permission(kind).value}{connection(connection_id)}"
    query = (("targetName", names.group_name(group)),)
    expected = 204 if method == "DELETE" else 200
    return Call(method, target, expected, query, absent=404 if method == "HEAD" else None)


def list_connections(target: str, page_size: int | None, top: int | None) -> Call:
    query: Query = ()
    if page_size is not None:
        query += (("maxpagesize", str(page_size)),)
    if top is not None:
        query += (("top", str(top)),)
    return Call("GET", f"{target}/connections", 200, query)


# --- targets ----------------------------------------------------------------------------------


def connection(connection_id: str) -> str:
    if not connection_id:
        raise ValueError("a connection id has at least one character")
    return f"/connections/{segment(connection_id)}"


def user(user_id: str) -> str:
    if not user_id:
        raise ValueError("a user id has at least one character")
    return f"/users/{segment(names.user_id(user_id))}"


def group(name: str) -> str:
    return f"/groups/{segment(names.group_name(name))}"


def _excluded(ids: Iterable[str]) -> Query:
    return tuple(("excluded", id) for id in texts("excluded", ids))


def _reason(reason: str | None) -> Query:
    return () if reason is None else (("reason", reason),)


def texts(what: str, items: Iterable[str]) -> list[str]:
    """The items; one text instead of a list would silently be taken apart into characters."""
    if isinstance(items, str):
        raise TypeError(f"{what} must be a list of texts, not one text")
    return list(items)


def segment(text: str) -> str:
    """One path segment, encoded completely; "." and ".." too, which every library would resolve."""
    return text.replace(".", "%2E") if text in (".", "..") else quote(text, safe="")


def _encode(message: object, content_type: str | None) -> tuple[str, bytes]:
    """Content type and body of a message."""
    if content_type is None:
        content_type = _CONTENT_TYPES[values.data_type_of(message)]
    media_type, _, parameters = content_type.lower().partition(";")
    data_type = _DATA_TYPES.get(media_type.strip())
    if data_type is None:
        known = ", ".join(_DATA_TYPES)
        raise ValueError(f"content_type must be one of {known}, not {content_type!r}")
    if values.bytes_of(message) is None and parameters.strip() not in ("", "charset=utf-8"):
        raise ValueError(f"only bytes can be sent as {content_type!r}; a str goes as UTF-8")
    return content_type, values.encode(message, data_type)


# --- one hub of one service -------------------------------------------------------------------


class Target:
    """Where the calls go, and the key that signs them."""

    def __init__(self, endpoint: str, hub: str, access_key: str, client_endpoint: str | None):
        self.hub = names.hub_name(hub)
        self.endpoint = endpoint.removesuffix("/")
        self._client_endpoint = (client_endpoint or endpoint).removesuffix("/")
        self._access_key = access_key

    @property
    def is_near(self) -> bool:
        """On this machine, which no proxy of the environment can reach."""
        host = urlsplit(self.endpoint).hostname or ""
        try:
            return ipaddress.ip_address(host).is_loopback
        except ValueError:
            return host == "localhost" or host.endswith(".localhost")

    @property
    def tls(self) -> ssl.SSLContext | bool:
        """Without TLS no root certificates are needed; reading them takes 70 ms."""
        if self.is_near and self.endpoint.startswith("http://"):
            return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        return True

    def address(self, call: Call) -> str:
        query = _query((*call.query, ("api-version", API_VERSION)))
        return f"{self._base(call)}?{query}"

    def headers(self, call: Call) -> dict[str, str]:
        token = tokens.make_rest_token(
            self._access_key, url=self._base(call), now=clock.wall(), life_s=_REST_TOKEN_LIFE_S
        )
        headers = {"Authorization": f"Bearer {token}"}
        if call.content_type is not None:
            headers["Content-Type"] = call.content_type
        return headers

    def _base(self, call: Call) -> str:
        return f"{self.endpoint}/api/hubs/{segment(self.hub)}{call.path}"

    def describe(self, call: Call) -> str:
        return f"{call.method} {urlsplit(self._base(call)).path}"

    def client_access_token(
        self,
        user_id: str | None,
        roles: Iterable[str],
        groups: Iterable[str],
        minutes_to_expire: int,
    ) -> ClientAccessToken:
        if minutes_to_expire < 1:
            raise ValueError("minutes_to_expire must be at least 1")
        base = f"{self._client_endpoint}/client/hubs/{self.hub}"
        token = tokens.make_client_token(
            self._access_key,
            audience=base,
            now=clock.wall(),
            life_s=minutes_to_expire * 60,
            user_id=names.user_id(user_id) if user_id else None,
            roles=texts("roles", roles),
            groups=[names.group_name(group) for group in texts("groups", groups)],
        )
        path = f"{self._client_endpoint}/client/hubs/{segment(self.hub)}"
        base_url = path.replace("http", "ws", 1)
        return ClientAccessToken(base_url, token, f"{base_url}?access_token={token}")


def _query(parameters: Query) -> str:
    return "&".join(f"{name}={quote(value, safe='')}" for name, value in parameters)


# --- answers ----------------------------------------------------------------------------------


class Repeat(Exception):
    """The call may be made again without harm. `pause_s` None: ours to choose."""

    def __init__(self, error: RequestError, pause_s: float | None) -> None:
        super().__init__(str(error))
        self.error = error
        self.pause_s = pause_s

    def pause_before(self, repeat: int) -> float:
        """Seconds before repeat 0, 1, …; raises the error where there is none any more.

        Up to twice the pause, so that many callers do not come back in step.
        """
        pause_s = self.pause_s if self.pause_s is not None else _FIRST_PAUSE_S * 2.0**repeat
        if repeat == MAX_REPEATS or pause_s > _LONGEST_PAUSE_S:
            raise self.error from self.__cause__
        return pause_s * (1 + random.random())


def not_reached(target: Target, cause: Exception) -> Repeat:
    """The connection could not be opened, so nothing was done."""
    text = f"cannot reach {target.endpoint}: {cause or type(cause).__name__}"
    return Repeat(RequestError(text, status=None, retryable=True), None)


def unanswered(target: Target, call: Call, cause: Exception) -> Exception:
    """It may have been done or not: made again only where twice is as good as once."""
    reason = cause or type(cause).__name__
    text = f"{target.describe(call)}: no answer ({reason}); whether it was done is unknown"
    error = RequestError(text, status=None, retryable=True)
    return Repeat(error, None) if call.is_idempotent else error


def judge(target: Target, call: Call, status: int, headers: Mapping[str, str], body: bytes) -> bool:
    """True: done, or "yes". False: "no". Raises: RequestError; Repeat where it may come again."""
    if status == call.expected:
        return True
    if status == call.absent:
        return False
    error = _error_of(status, headers, body, target.describe(call))
    pause_s = _retry_after_s(headers)
    if (status == 503 and pause_s is not None) or (
        call.is_idempotent and status in _REPEATABLE_STATUS
    ):
        raise Repeat(error, pause_s)
    raise error


class _ErrorBody(msgspec.Struct):
    code: str | None = None
    message: str | None = None


def _error_of(status: int, headers: Mapping[str, str], body: bytes, call: str) -> RequestError:
    """What the service says about a refused call."""
    try:
        content = msgspec.json.decode(body, type=_ErrorBody)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        content = _ErrorBody()
    code = headers.get("x-ms-error-code") or content.code or ""
    text = content.message or ""
    if status == 401:
        text = text or "the access key or the address is not the service's own, or a clock is wrong"
    reason = ": ".join(part for part in (code, text) if part)
    message = f"{call}: the service answered {status}" + (f", {reason}" if reason else "")
    return RequestError(
        message, status=status, error_code=code, retryable=status in _RETRYABLE_STATUS
    )


def _retry_after_s(headers: Mapping[str, str]) -> float | None:
    """The pause the service asks for in whole seconds, or None."""
    text = headers.get("retry-after", "")
    return float(text) if text.isascii() and text.isdigit() and len(text) < 10 else None


class _WireMember(msgspec.Struct, rename="camel"):
    connection_id: str
    user_id: str | None = None


class _WirePage(msgspec.Struct, rename="camel"):
    value: list[_WireMember]
    next_link: str | None = None


def read_page(call: Call, body: bytes) -> tuple[list[GroupMember], Call | None]:
    """The members of a page, and the call for the next one.

    Of the service's link only the query counts: the address is ours, whatever proxy is between.
    """
    try:
        page = msgspec.json.decode(body, type=_WirePage)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        text = f"the service's page of connections is not understood: {error}"
        raise RequestError(text, status=call.expected) from error
    members = [GroupMember(m.connection_id, m.user_id or None) for m in page.value]
    if not page.next_link:
        return members, None
    pairs = parse_qsl(urlsplit(page.next_link).query, keep_blank_values=True)
    query = tuple((name, value) for name, value in pairs if name != "api-version")
    return members, Call(call.method, call.path, call.expected, query)
