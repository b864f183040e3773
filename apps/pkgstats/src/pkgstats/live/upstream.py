"""What hubbub asks and tells this site: who may come in, what is typed, who has left."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from hubbub.appserver import (
    ConnectedRequest,
    ConnectRequest,
    ConnectResponse,
    DisconnectedRequest,
    EventContext,
    EventHandler,
    Refused,
    RequestError,
    ServiceClient,
    UserEventRequest,
)
from pkgstats.catalog import Catalog
from pkgstats.grammar import is_package_name
from pkgstats.live.groups import MAX_NAMES_PER_CONNECTION, TooManyNames, Watchers
from pkgstats.live.negotiate import HUB, JOIN_ROLE
from pkgstats.models import package_group
from pkgstats.web.api import DEFAULT_LIMIT, BadQuestion, suggestions


def make_handler(
    catalog: Catalog,
    watchers: Watchers,
    client: ServiceClient,
    *,
    access_keys: Sequence[str],
    origins: Collection[str],
) -> EventHandler:
    """The site's event handler. `origins`: where this site's own pages are served."""
    handler = EventHandler(HUB, access_keys=access_keys)

    @handler.on_connect
    async def connect(request: ConnectRequest) -> ConnectResponse:
        """A page of another site stays out; a program that is no browser sends no origin."""
        if foreign := [o for o in _header(request, "origin") if o not in origins]:
            raise Refused(403, f"pages of {foreign[0]} may not connect here")
        # An answer with groups replaces those of the token, so they are repeated. The page's own
        # group is among them: nothing is missed before the page joins it by itself.
        groups = list(request.claims.get("webpubsub.group", ()))
        for role in request.claims.get("role", ()):
            if role.startswith(JOIN_ROLE):
                groups.append(role.removeprefix(JOIN_ROLE))
        return ConnectResponse(user_id=request.context.user_id, groups=groups or None)

    @handler.on_connected
    async def connected(request: ConnectedRequest) -> None:
        watchers.connected(*_who(request.context))

    @handler.on_disconnected
    async def disconnected(request: DisconnectedRequest) -> None:
        watchers.disconnected(request.context.connection_id)

    @handler.on_event("watch")
    async def watch(request: UserEventRequest) -> None:
        """`{"name": …}`: the connection shows this package's page. `{"names": […]}`: a list."""
        connection_id, user_id = _who(request.context)
        asked = request.data if isinstance(request.data, dict) else {}
        try:
            if "names" in asked:
                names = _names(asked["names"])
                watchers.watch_list(connection_id, user_id, names)
            else:
                watchers.watch(connection_id, user_id, _names([asked.get("name")])[0])
                return  # such a page has the right to join, and does
        except TooManyNames as error:
            raise Refused(429, str(error)) from error
        try:
            await client.add_connections_to_groups(_groups(names), filter=_only(connection_id))
        except RequestError as error:
            watchers.unwatch(connection_id, names)
            raise Refused(503, "these packages cannot be followed now") from error

    @handler.on_event("unwatch")
    async def unwatch(request: UserEventRequest) -> None:
        """`{"names": […]}`: the connection shows these packages no more."""
        connection_id, _ = _who(request.context)
        asked = request.data if isinstance(request.data, dict) else {}
        names = _names(asked.get("names"))
        watchers.unwatch(connection_id, names)
        try:
            await client.remove_connections_from_groups(_groups(names), filter=_only(connection_id))
        except RequestError as error:
            raise Refused(503, "these packages are still followed") from error

    @handler.on_event("suggest")
    async def suggest(request: UserEventRequest) -> dict[str, Any]:
        """`{"q": text, "limit": number}` → `{"items": […]}`, the answer of /api/v1/suggest."""
        asked = request.data if isinstance(request.data, dict) else {}
        try:
            return await suggestions(catalog, asked.get("q"), asked.get("limit", DEFAULT_LIMIT))
        except BadQuestion as error:
            raise Refused(400, str(error)) from error

    return handler


def _who(context: EventContext) -> tuple[str, str]:
    """Connection and user; a connection without a user is a person of its own."""
    return context.connection_id, context.user_id or context.connection_id


def _names(asked: object) -> list[str]:
    """Names of packages, each once; raises Refused for anything else."""
    if not isinstance(asked, list) or not 0 < len(asked) <= MAX_NAMES_PER_CONNECTION:
        raise Refused(400, f"names must be a list of 1 to {MAX_NAMES_PER_CONNECTION} names")
    if not all(isinstance(name, str) and is_package_name(name) for name in asked):
        raise Refused(400, "not the name of a package")
    return list(dict.fromkeys(asked))


def _groups(names: Sequence[str]) -> list[str]:
    return [package_group(name) for name in names]


def _only(connection_id: str) -> str:
    """The filter that fits this connection alone."""
    quoted = connection_id.replace("'", "''")
    return f"connectionId eq '{quoted}'"


def _header(request: ConnectRequest, name: str) -> list[str]:
    return [v for key, values in request.headers.items() if key.lower() == name for v in values]
