"""What hubbub asks and tells this site: who may come in, what is typed, who has left."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from hubbub.appserver import (
    ConnectRequest,
    ConnectResponse,
    DisconnectedRequest,
    EventHandler,
    Refused,
    UserEventRequest,
)
from pkgstats.catalog import Catalog
from pkgstats.grammar import is_package_name
from pkgstats.live.groups import TooManyNames, Watchers
from pkgstats.live.negotiate import HUB, JOIN_ROLE
from pkgstats.web.api import DEFAULT_LIMIT, BadQuestion, suggestions


def make_handler(
    catalog: Catalog,
    watchers: Watchers,
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
        roles = request.claims.get("role", ())
        groups = [role.removeprefix(JOIN_ROLE) for role in roles if role.startswith(JOIN_ROLE)]
        # In the group from the first moment: nothing is missed before the page's own join.
        return ConnectResponse(user_id=request.context.user_id, groups=groups or None)

    @handler.on_disconnected
    async def disconnected(request: DisconnectedRequest) -> None:
        watchers.disconnected(request.context.connection_id)

    @handler.on_event("watch")
    async def watch(request: UserEventRequest) -> None:
        """`{"name": …}`: the connection shows this package's page."""
        name = request.data.get("name") if isinstance(request.data, dict) else None
        if not isinstance(name, str) or not is_package_name(name):
            raise Refused(400, "name must be the name of a package")
        context = request.context
        try:
            watchers.watch(context.connection_id, context.user_id or context.connection_id, name)
        except TooManyNames as error:
            raise Refused(429, str(error)) from error

    @handler.on_event("suggest")
    async def suggest(request: UserEventRequest) -> dict[str, Any]:
        """`{"q": text, "limit": number}` → `{"items": […]}`, the answer of /api/v1/suggest."""
        asked = request.data if isinstance(request.data, dict) else {}
        try:
            return await suggestions(catalog, asked.get("q"), asked.get("limit", DEFAULT_LIMIT))
        except BadQuestion as error:
            raise Refused(400, str(error)) from error

    return handler


def _header(request: ConnectRequest, name: str) -> list[str]:
    return [v for key, values in request.headers.items() if key.lower() == name for v in values]
