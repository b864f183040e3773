"""The REST API as one ASGI app: route, token, version, handler, and errors → JSON."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING

from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from hubbub import clock
from hubbub.protocol import tokens
from hubbub.protocol.errors import EngineUnavailable, InvalidToken, Overloaded
from hubbub.service.oidc import IssuerUnavailable
from hubbub.service.rest import (
    answers,
    client_module,
    connections,
    groups,
    health,
    openapi,
    permissions,
    send,
    token,
    users,
)
from hubbub.service.rest.answers import Refused
from hubbub.service.rest.body import ClientGone, send_before_the_body
from hubbub.service.rest.call import Call
from hubbub.service.rest.router import Operation, Operations, Router

if TYPE_CHECKING:
    from hubbub.service.node import Node
    from hubbub.service.oidc import Oidc

_log = logging.getLogger(__name__)

_HUB = "/api/hubs/{hub}"
_CONNECTION = _HUB + "/connections/{connection}"
_GROUP = _HUB + "/groups/{group}"
_USER = _HUB + "/users/{user}"
_USER_GROUP = _USER + "/groups/{group}"
_GROUP_CONNECTION = _GROUP + "/connections/{connection}"
_PERMISSION = _HUB + "/permissions/{permission}/connections/{connection}"

_HEALTH = Operation("health", health.health, is_open=True)
_CLIENT_MODULE = Operation(
    "browser client", client_module.client_module, is_open=True, is_served_while_draining=True
)

ROUTES: tuple[tuple[str, Operations], ...] = (
    ("/api/health", {"HEAD": _HEALTH, "GET": _HEALTH}),
    (f"{_HUB}/:generateToken", {"POST": Operation("generate client token", token.generate_token)}),
    (f"{_HUB}/:send", {"POST": Operation("send to all", send.send_to_all)}),
    (f"{_CONNECTION}/:send", {"POST": Operation("send to connection", send.send_to_connection)}),
    (f"{_USER}/:send", {"POST": Operation("send to user", send.send_to_user)}),
    (f"{_GROUP}/:send", {"POST": Operation("send to group", send.send_to_group)}),
    (
        f"{_HUB}/:closeConnections",
        {"POST": Operation("close all connections", connections.close_all)},
    ),
    (
        f"{_GROUP}/:closeConnections",
        {"POST": Operation("close connections of a group", connections.close_group)},
    ),
    (
        f"{_USER}/:closeConnections",
        {"POST": Operation("close connections of a user", connections.close_user)},
    ),
    (
        _CONNECTION,
        {
            "DELETE": Operation("close connection", connections.close),
            "HEAD": Operation("connection exists", connections.exists),
        },
    ),
    (_USER, {"HEAD": Operation("user exists", users.exists)}),
    (_GROUP, {"HEAD": Operation("group exists", groups.exists)}),
    (
        _GROUP_CONNECTION,
        {
            "PUT": Operation("add connection to group", groups.add_connection),
            "DELETE": Operation("remove connection from group", groups.remove_connection),
        },
    ),
    (
        f"{_CONNECTION}/groups",
        {"DELETE": Operation("remove connection from all groups", connections.leave_all_groups)},
    ),
    (
        _USER_GROUP,
        {
            "PUT": Operation("add user to group", users.join_group),
            "DELETE": Operation("remove user from group", users.leave_group),
        },
    ),
    (
        f"{_USER}/groups",
        {"DELETE": Operation("remove user from all groups", users.leave_all_groups)},
    ),
    (f"{_HUB}/:addToGroups", {"POST": Operation("add connections to groups", groups.add_matching)}),
    (
        f"{_HUB}/:removeFromGroups",
        {"POST": Operation("remove connections from groups", groups.remove_matching)},
    ),
    (
        _PERMISSION,
        {
            "PUT": Operation("grant permission", permissions.grant),
            "DELETE": Operation("revoke permission", permissions.revoke),
            "HEAD": Operation("check permission", permissions.check),
        },
    ),
    (
        f"{_GROUP}/connections",
        {"GET": Operation("list connections of a group", groups.list_connections)},
    ),
    ("/_hubbub/client.js", {"HEAD": _CLIENT_MODULE, "GET": _CLIENT_MODULE}),
    (
        "/_hubbub/ready",
        {"GET": Operation("ready", health.ready, is_served_while_draining=True)},
    ),
    (
        "/_hubbub/openapi.json",
        {"GET": Operation("API description", openapi.handler(lambda: ROUTES))},
    ),
)


_OPERATORS = b"/_hubbub/"
"""Below it strangers are not told what there is and what there is not."""


async def _unknown(call: Call) -> Response:
    raise answers.unknown_path()


_UNKNOWN = Operation("unknown", _unknown, is_served_while_draining=True)


def create_app(
    node: Node, *, now: Callable[[], float] = clock.wall, oidc: Oidc | None = None
) -> ASGIApp:
    """The ASGI app of one node.

    `now`: the clock of tokens, in Unix seconds. `oidc`: judges tokens that no key has signed.
    """
    router = Router(ROUTES)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise AssertionError("WebSockets have their own door, and there is no lifespan")
        call = Call(scope, receive, node, now)
        response = await _answer(call)
        if response is None:
            return
        if call.method == "HEAD":
            response.body = b""
        if response.status_code >= 400 and not call.is_body_read:
            await send_before_the_body(response, scope, receive, send)
        else:
            await response(scope, receive, send)

    async def _answer(call: Call) -> Response | None:
        """None: the client is gone."""
        method, raw_path = call.method, call.scope["raw_path"]
        match = router.find(raw_path)
        if match is None and not raw_path.startswith(_OPERATORS):
            return answers.unknown_path().answer(method)
        operation = _UNKNOWN if match is None else match.operations.get(method)
        if match is not None and operation is None:
            return answers.method_not_allowed(match.allowed).answer(method)
        assert operation is not None, "a route has the operation, or was refused"
        if match is not None:
            call.raw_names = match.names
        try:
            if not operation.is_open and not _is_key_signed(call):
                await _authenticate(call, oidc)
            call.check_api_version()
            if node.is_draining and not operation.is_served_while_draining:
                raise answers.unavailable()
            return await operation.handler(call)
        except Refused as refused:
            return refused.answer(method)
        except (EngineUnavailable, IssuerUnavailable, Overloaded) as error:
            _log.warning("rest route=%r not accepted: %s", operation.name, error.code)
            return answers.unavailable().answer(method)
        except ClientGone:
            return None
        except Exception as error:
            _log_fault(operation, error)
            return answers.internal_error().answer(method)

    return app


def _is_key_signed(call: Call) -> bool:
    """Whether a key of ours signed the token for exactly this address."""
    try:
        tokens.check_rest_token(
            _token(call),
            call.node.keys,
            urls=call.urls,
            now=call.now(),
            skew_s=call.node.settings.clock_skew_s,
        )
    except InvalidToken as error:
        _log.debug("rest token refused: %s", error)
        return False
    call.is_key_signed = True
    return True


async def _authenticate(call: Call, oidc: Oidc | None) -> None:
    """Let in a token of the issuer."""
    if oidc is None:
        raise answers.unauthorized()
    try:
        await oidc.check(_token(call))
    except InvalidToken as error:
        _log.debug("rest token refused: %s", error)
        raise answers.unauthorized() from None


def _token(call: Call) -> str:
    header = call.only_header(b"authorization")
    scheme, _, credentials = (header or b"").partition(b" ")
    if scheme.lower() != b"bearer":
        raise answers.unauthorized()
    return credentials.strip().decode("latin-1")


def _log_fault(operation: Operation, error: Exception) -> None:
    """Where it happened and what kind it is, but not its text: that may hold what was sent."""
    frames = "".join(traceback.format_tb(error.__traceback__))
    _log.error("rest route=%r failed: %s\n%s", operation.name, type(error).__name__, frames)
