"""One REST request: its names, query and headers, each read once and checked where it is read."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, unquote_to_bytes

from starlette.types import Receive, Scope

from hubbub.protocol import names
from hubbub.protocol.errors import InvalidName
from hubbub.protocol.filters import InvalidFilter, Predicate, compile_filter
from hubbub.protocol.roles import Permission
from hubbub.service.rest.answers import API_VERSIONS, bad_request

if TYPE_CHECKING:
    from hubbub.service.hub import Hub
    from hubbub.service.node import Node

_EXPECTED_QUERIES = {b"", *(f"api-version={version}".encode() for version in API_VERSIONS)}
"""Queries without parameters of the operation: most requests have one of these."""

_PERMISSIONS = {
    "sendtogroup": Permission.SEND_TO_GROUP,
    "1": Permission.SEND_TO_GROUP,
    "joinleavegroup": Permission.JOIN_LEAVE_GROUP,
    "2": Permission.JOIN_LEAVE_GROUP,
}

_ENCODED_SLASH = re.compile(b"(%2[Ff])")
_INTEGER = re.compile(r"[0-9]{1,10}", re.ASCII)


class Call:
    """A request on its way to a handler."""

    __slots__ = (
        "_first",
        "_query",
        "headers",
        "is_body_read",
        "is_key_signed",
        "method",
        "node",
        "now",
        "raw_names",
        "receive",
        "scope",
    )

    def __init__(
        self, scope: Scope, receive: Receive, node: Node, now: Callable[[], float]
    ) -> None:
        self.scope = scope
        self.receive = receive
        self.node = node
        self.now = now
        self.method: str = scope["method"]
        self.headers: list[tuple[bytes, bytes]] = scope["headers"]
        self._first = dict(reversed(self.headers))
        self.is_key_signed = False
        """Its token is signed with a key of ours; else it is the identity provider's, or open."""
        self.is_body_read = False
        self.raw_names: Mapping[str, bytes] = {}
        """What stands in the place of names in the path, still encoded."""
        self._query: dict[str, list[str]] | None = None

    # --- headers ---------------------------------------------------------------------------

    def header(self, name: bytes) -> bytes | None:
        """The first header of this lower-case name."""
        return self._first.get(name)

    def only_header(self, name: bytes) -> bytes | None:
        """None also where it came more than once."""
        if len(self._first) != len(self.headers):
            if [key for key, _ in self.headers].count(name) > 1:
                return None
        return self._first.get(name)

    @property
    def origin(self) -> str:
        """`scheme://authority` as the client saw it, for addresses handed back to it."""
        if not self.origins:
            raise bad_request("The request has no Host header, which the answer needs.", "Host")
        return self.origins[0]

    @property
    def origins(self) -> list[str]:
        """Every `scheme://authority` by which the client may have called, the public one first.

        Empty without a Host header: then no key-signed token fits.
        """
        settings = self.node.settings
        scheme: str = self.scope["scheme"]
        host = self.header(b"host")
        if settings.trust_forwarded_headers:
            forwarded_scheme = self.header(b"x-forwarded-proto")
            if forwarded_scheme is not None:
                scheme = _first(forwarded_scheme)
            forwarded_host = self.header(b"x-forwarded-host")
            host = host if forwarded_host is None else forwarded_host
        found = [f"{scheme}://{_first(host)}"] if host else []
        if settings.public_endpoint is not None:
            found.insert(0, settings.public_endpoint.rstrip("/"))
        return found

    @property
    def urls(self) -> list[str]:
        """What `aud` of a REST token may be: each origin with the raw and the decoded path."""
        raw: bytes = self.scope["raw_path"]
        paths = [raw.decode("latin-1")]
        if b"%" in raw or not raw.isascii():
            try:
                paths.append(unquote_to_bytes(raw).decode())
            except UnicodeDecodeError:
                pass  # has no decoded form; a handler that reads the name answers 400
        return [origin + path for origin in self.origins for path in paths]

    # --- names in the path -----------------------------------------------------------------

    @property
    def hub_name(self) -> str:
        return _checked(names.hub_name, self._hub_text, "Invalid hub name.", "hub")

    @property
    def hub(self) -> Hub:
        known = self.node.find_hub(self._hub_text)  # then its name has been checked before
        return self.node.hub(self.hub_name) if known is None else known

    @property
    def _hub_text(self) -> str:
        return self._path_name("hub", "Invalid hub name.", "hub")

    @property
    def group(self) -> str:
        text = self._path_name("group", "Invalid group name.", "group")
        return _checked(names.group_name, text, "Invalid group name.", "group")

    @property
    def user_id(self) -> str:
        text = self._path_name("user", "Invalid user ID.", "userId")
        return _checked(names.user_id, text, "Invalid user ID.", "userId")

    @property
    def connection_id(self) -> str:
        text = self._path_name("connection", "Invalid connection ID.", "connectionId")
        if not text:
            raise bad_request("Invalid connection ID.", "connectionId")
        return text

    @property
    def permission(self) -> Permission:
        text = self._path_name("permission", "Invalid permission.", "permission")
        found = _PERMISSIONS.get(text.lower())
        if found is None:
            raise bad_request("Invalid permission.", "permission")
        return found

    def _path_name(self, name: str, message: str, target: str) -> str:
        raw = self.raw_names[name]
        if b"%" in raw:
            raw = _decoded(raw, keeps_slash=self.node.settings.strict_path_decoding)
        try:
            return raw.decode()
        except UnicodeDecodeError:
            raise bad_request(message, target) from None

    # --- query -----------------------------------------------------------------------------

    @property
    def query(self) -> dict[str, list[str]]:
        """All parameters, form-decoded once; the values of one name in the order they came."""
        if self._query is None:
            self._query = {}
            raw: bytes = self.scope["query_string"]
            if raw not in _EXPECTED_QUERIES:
                try:
                    pairs = parse_qsl(raw.decode(), keep_blank_values=True, errors="strict")
                except UnicodeDecodeError:
                    raise bad_request("The query is not valid UTF-8.") from None
                for name, value in pairs:
                    self._query.setdefault(name, []).append(value)
        return self._query

    def check_api_version(self) -> None:
        """A missing version is the newest one."""
        versions = self.query.get("api-version")
        if versions is not None and (len(versions) != 1 or versions[0] not in API_VERSIONS):
            raise bad_request("The specified API version is not supported.", "api-version")

    def values(self, name: str) -> list[str]:
        return self.query.get(name, [])

    def value(self, name: str) -> str | None:
        """The only value of a parameter that must not be repeated."""
        values = self.values(name)
        if len(values) > 1:
            raise bad_request(f"Invalid {name}.", name)
        return values[0] if values else None

    @property
    def excluded(self) -> frozenset[str]:
        return frozenset(self.values("excluded"))

    def integer(self, name: str, *, default: int, lowest: int, highest: int) -> int:
        text = self.value(name)
        if text is None:
            return default
        if not _INTEGER.fullmatch(text) or not lowest <= int(text) <= highest:
            raise bad_request(f"Invalid {name}.", name)
        return int(text)


def checked_filter(text: str | None) -> Predicate | None:
    """None: everybody."""
    if not text:
        return None
    try:
        return compile_filter(text)
    except InvalidFilter as error:
        raise bad_request(str(error)) from None


def checked_group(text: str, target: str = "group") -> str:
    """A group name that came as a value, not as a path segment. `target`: what held it."""
    return _checked(names.group_name, text, "Invalid group name.", target)


def checked_user_id(text: str) -> str:
    return _checked(names.user_id, text, "Invalid user ID.", "userId")


def _checked(check: Callable[[str], str], text: str, message: str, target: str) -> str:
    try:
        return check(text)
    except InvalidName:
        raise bad_request(message, target) from None


def _decoded(raw: bytes, *, keeps_slash: bool) -> bytes:
    """Percent-decoded once; a plus stays a plus."""
    if not keeps_slash:
        return unquote_to_bytes(raw)
    parts = _ENCODED_SLASH.split(raw)
    return b"".join([part if i % 2 else unquote_to_bytes(part) for i, part in enumerate(parts)])


def _first(value: bytes) -> str:
    """The entry of a comma-separated list that the outermost proxy wrote."""
    if b"," in value:
        value = value.split(b",", 1)[0]
    return value.strip().decode("latin-1")
