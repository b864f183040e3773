"""Who may open a live connection, and with which rights: the fewest that a page needs."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping

from hubbub.appserver import ServiceClient
from pkgstats.grammar import PackageQuery
from pkgstats.models import package_group
from pkgstats.urls import read_path

HUB = "pkgstats"
JOIN_ROLE = "webpubsub.joinLeaveGroup."
VISITOR_COOKIE = "pkgstats_visitor"
VISITOR_COOKIE_LIFE_S = 365 * 24 * 3600
TOKEN_LIFE_MINUTES = 10
"""Only the opening of a connection needs the token; each reconnect asks for a new one."""

_VISITOR = re.compile(r"[A-Za-z0-9_-]{22}")


def visitor_id(cookie: str | None) -> str | None:
    """The visitor's anonymous id, when the cookie holds one that we could have made."""
    return cookie if cookie is not None and _VISITOR.fullmatch(cookie) else None


def new_visitor_id() -> str:
    return secrets.token_urlsafe(16)


def is_same_origin(headers: Mapping[str, str], host: str) -> bool:
    """Whether a page of this site asks (or a program that is no browser)."""
    site = headers.get("sec-fetch-site")
    if site is not None and site not in ("same-origin", "none"):
        return False
    origin = headers.get("origin")
    return origin is None or origin.rpartition("://")[2] == host


def group_of(page: str) -> str | None:
    """The group of the page with this path; None: a page that shows nothing live."""
    route = read_path(page)
    return package_group(route.name) if isinstance(route, PackageQuery) else None


def access_url(client: ServiceClient, visitor: str, group: str | None) -> str:
    """A Client Access URL that opens this one group for listening and nothing else."""
    roles = [JOIN_ROLE + group] if group else []
    access = client.get_client_access_token(
        user_id=visitor, roles=roles, minutes_to_expire=TOKEN_LIFE_MINUTES
    )
    return access.url
