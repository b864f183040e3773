"""Who may connect: the checks of a WebSocket handshake in their documented order."""

import base64
import binascii
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, unquote, urlsplit

from hubbub.protocol import names, subprotocols, tokens
from hubbub.protocol.errors import ConnectRejected, InvalidName, InvalidToken
from hubbub.protocol.roles import Permissions
from hubbub.protocol.service_session import ServiceSession
from hubbub.service.connection import Connection
from hubbub.service.forms import PLAIN, form_for
from hubbub.service.node import Node
from hubbub.service.upstream import ConnectRequest, EventSource

_RETRY = {"Retry-After": "1"}
_NO_TOKEN = tokens.ClientClaims(None, (), (), {})


class Refused(Exception):
    """The handshake gets this HTTP answer instead of 101."""

    def __init__(
        self, status: int, text: str = "", headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(text)
        self.status = status
        self.text = text
        self.headers = headers or {}


@dataclass(slots=True)
class Head:
    """A parsed request head. Header names as sent; repeated headers stay apart."""

    method: str
    target: str
    version: str
    headers: list[tuple[str, str]] = field(default_factory=list)
    is_secure: bool = False

    def get(self, name: str) -> str:
        """Value of a header, repeated ones joined with commas; "" if absent. `name` in lower case."""
        return ", ".join(value for key, value in self.headers if key.lower() == name)

    def tokens(self, name: str) -> list[str]:
        return [token.strip() for token in self.get(name).split(",") if token.strip()]


@dataclass(slots=True)
class Admitted:
    """`connection` None: a refused recovery, which is told with 101 and then 1008.

    `was_asked`: an event handler has let this client in.
    """

    hub: str
    connection: Connection | None
    groups: tuple[str, ...] = ()
    is_recovery: bool = False
    was_asked: bool = False
    publish_group: str | None = None
    answer_subprotocol: str | None = None


def client_hub(path: str, query: Mapping[str, list[str]]) -> str | None:
    """The hub name that a client path asks for; None: no client path. The path's hub wins."""
    if path.startswith("/client/hubs/"):
        hub = unquote(path.removeprefix("/client/hubs/").removesuffix("/"))
        return hub or None
    if path in ("/client", "/client/"):
        return query.get("hub", [""])[-1]
    return None


async def admit(node: Node, head: Head) -> Admitted:
    """Everything up to 101. Raises: Refused. Cancelled when the client goes away meanwhile."""
    try:
        target = urlsplit(head.target)
    except ValueError as error:
        raise Refused(400, "the request target is malformed") from error
    query: dict[str, list[str]] = {}
    for key, value in parse_qsl(target.query, keep_blank_values=True, errors="replace"):
        query.setdefault(key, []).append(value)
    asked = client_hub(target.path, query)
    if asked is None:
        raise Refused(404, "no such path; clients connect to /client/hubs/NAME")
    check_upgrade(head)
    try:
        hub = names.hub_name(asked)
    except InvalidName as error:
        raise Refused(400, str(error)) from error
    connection_id = query.get("awps_connection_id", [""])[-1]
    if connection_id:
        return _recovery(node, head, hub, connection_id, query)
    claims = _check_token(node, head, hub, query)
    if node.is_draining:
        raise Refused(503, "the service is restarting", _RETRY)
    if node.is_full:
        raise Refused(429, "the service has all the connections it takes", _RETRY)
    node.pending_handshakes += 1
    try:
        return await _new_connection(node, head, hub, query, claims)
    finally:
        node.pending_handshakes -= 1


def check_upgrade(head: Head) -> None:
    """RFC 6455, 4.2.1."""
    if head.method != "GET" or head.version != "1.1":
        raise Refused(400, "a WebSocket handshake is a GET of HTTP/1.1")
    if "websocket" not in [t.lower() for t in head.tokens("upgrade")] or "upgrade" not in [
        t.lower() for t in head.tokens("connection")
    ]:
        raise Refused(400, "expected a WebSocket upgrade")
    if head.get("sec-websocket-version") != "13":
        raise Refused(426, "expected WebSocket version 13", {"Sec-WebSocket-Version": "13"})
    try:
        key = base64.b64decode(head.get("sec-websocket-key"), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != 16:
        raise Refused(400, "expected a Sec-WebSocket-Key of 16 bytes")


def seen_address(node: Node, head: Head) -> tuple[str, str]:
    """Scheme and authority as the client saw them."""
    scheme = "https" if head.is_secure else "http"
    authority = head.get("host")
    if node.settings.trust_forwarded_headers:
        proto = head.get("x-forwarded-proto").split(",")[0].strip().lower()
        scheme = {"https": "https", "wss": "https", "http": "http", "ws": "http"}.get(proto, scheme)
        authority = head.get("x-forwarded-host").split(",")[0].strip() or authority
    return scheme, authority


def _check_token(
    node: Node, head: Head, hub: str, query: Mapping[str, list[str]]
) -> tokens.ClientClaims:
    token = query.get("access_token", [""])[-1]
    if not token:
        scheme, _, rest = head.get("authorization").partition(" ")
        token = rest.strip() if scheme.lower() == "bearer" else ""
    if not token:
        if node.settings.hub(hub).anonymous_connect_policy == "allow":
            return _NO_TOKEN
        raise Refused(401, "an access token is needed", {"WWW-Authenticate": "Bearer"})
    try:
        claims = tokens.check_client_token(
            token,
            node.keys,
            audiences=node.client_audiences(*seen_address(node, head), hub),
            now=node.now(),
            skew_s=node.settings.clock_skew_s,
        )
    except InvalidToken as error:
        raise Refused(401, str(error), {"WWW-Authenticate": "Bearer"}) from error
    try:
        for group in claims.groups:
            names.group_name(group)
    except InvalidName as error:
        raise Refused(400, "The token contains an invalid group name.") from error
    return claims


def _publish_group(query: Mapping[str, list[str]]) -> str | None:
    """The one group of a plain client in mode `sendToGroup`, or None."""
    mode = query.get("webpubsub_mode", ["sendEvent"])[-1].lower()
    if mode in ("", "sendevent"):
        return None
    if mode != "sendtogroup":
        raise Refused(400, "webpubsub_mode is sendEvent or sendToGroup")
    groups = query.get("group", [])
    if len(groups) != 1:
        raise Refused(400, "the mode sendToGroup needs exactly one group")
    try:
        return names.group_name(groups[0])
    except InvalidName as error:
        raise Refused(400, str(error)) from error


@dataclass(slots=True)
class _Terms:
    """On which a client comes in: what its token says, changed by the event handler's answer."""

    user_id: str | None
    roles: tuple[str, ...]
    groups: tuple[str, ...]
    chosen: subprotocols.Subprotocol | None
    """None: a plain client."""
    answer_subprotocol: str | None


async def _new_connection(
    node: Node,
    head: Head,
    hub: str,
    query: Mapping[str, list[str]],
    claims: tokens.ClientClaims,
) -> Admitted:
    offered = head.tokens("sec-websocket-protocol")
    chosen = subprotocols.choose(offered)
    if chosen is None:
        _publish_group(query)  # a plain client's mode is judged before its handler is asked
    terms = _Terms(
        claims.user_id,
        claims.roles,
        claims.groups,
        chosen,
        chosen.name if chosen is not None else None,
    )
    source = EventSource(
        hub=hub,
        connection_id=secrets.token_hex(16),
        origin=_host_name(seen_address(node, head)[1]),
        user_id=claims.user_id,
        traceparent=head.get("traceparent") or None,
    )
    was_asked = node.upstream.wants_connect(hub)
    if was_asked:
        headers: dict[str, list[str]] = {}
        for name, value in head.headers:
            headers.setdefault(name, []).append(value)
        request = ConnectRequest(claims.claims, dict(query), headers, offered)
        await _ask_handler(node, source, request, terms)
    try:
        publish_group = _publish_group(query) if terms.chosen is None else None
    except Refused:
        # The handler made it a plain client and has let it in: it hears of the end.
        node.upstream.disconnected(source, "Normal")
        raise
    source.user_id = terms.user_id or None
    source.subprotocol = terms.answer_subprotocol
    return Admitted(
        hub,
        _connection(node, source, terms),
        terms.groups,
        was_asked=was_asked,
        publish_group=publish_group,
        answer_subprotocol=terms.answer_subprotocol,
    )


async def _ask_handler(
    node: Node, source: EventSource, request: ConnectRequest, terms: _Terms
) -> None:
    """The blocking `connect` event; its answer changes the terms. Raises: Refused."""
    try:
        answer = await node.upstream.connect(source, request)
    except ConnectRejected as error:
        raise Refused(error.reply_status, error.text) from error
    if node.is_draining:
        # The handler has let this client in: it hears of the end like any other.
        node.upstream.disconnected(source, "ServiceReload")
        raise Refused(503, "the service is restarting", _RETRY)
    if answer.user_id is not None:
        terms.user_id = answer.user_id
    if answer.roles is not None:
        terms.roles = answer.roles
    if answer.groups is not None:
        terms.groups = answer.groups
    if answer.subprotocol:  # one that the client has offered: `connect` refuses others
        terms.answer_subprotocol = answer.subprotocol
        terms.chosen = subprotocols.SUPPORTED.get(answer.subprotocol)


def _connection(node: Node, source: EventSource, terms: _Terms) -> Connection:
    settings = node.settings
    session = ServiceSession(
        source.connection_id,
        Permissions(terms.roles),
        is_reliable=terms.chosen is not None and terms.chosen.is_reliable,
        ack_memory=settings.ack_id_memory,
        max_invocations=settings.max_invocations_per_connection,
        max_unacknowledged=settings.outbound_queue_messages,
        max_unacknowledged_bytes=settings.outbound_queue_bytes,
    )
    form = PLAIN
    if terms.chosen is not None:
        form = form_for(
            terms.chosen,
            strict_json_frames=settings.strict_json_frames,
            protobuf_json_field=settings.protobuf_json_field,
        )
    return Connection(session, source, form=form, subprotocol=terms.answer_subprotocol)


def _recovery(
    node: Node, head: Head, hub: str, connection_id: str, query: Mapping[str, list[str]]
) -> Admitted:
    """No access token is needed, and an old one in the address does not matter."""
    if node.is_draining:
        raise Refused(503, "the service is restarting", _RETRY)
    offered = subprotocols.choose(head.tokens("sec-websocket-protocol"))
    token = query.get("awps_reconnection_token", [""])[-1]
    connection = None
    known = node.find_hub(hub)
    if known is not None and node.is_reconnection_token(token, hub, connection_id):
        connection = known.find_recoverable(connection_id)
    return Admitted(
        hub,
        connection,
        is_recovery=True,
        answer_subprotocol=connection.subprotocol
        if connection is not None
        else offered.name
        if offered is not None
        else None,
    )


def _host_name(authority: str) -> str:
    if authority.startswith("["):
        return authority.partition("]")[0] + "]"
    return authority.partition(":")[0]
