"""Who may open a live connection, and with which rights: the fewest that a page needs."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass

from hubbub.appserver import ServiceClient
from pkgstats.grammar import HomeQuery, PackageQuery
from pkgstats.models import package_group
from pkgstats.urls import read_path

HUB = "pkgstats"
JOIN_ROLE = "webpubsub.joinLeaveGroup."
SEND_ROLE = "webpubsub.sendToGroup."
BOT_GROUP = "feed.bot"
NEWEST_GROUP = "feed.newest"
FEED_GROUPS = (NEWEST_GROUP, "feed.popular", "feed.random", BOT_GROUP)
CURATOR_PAGE = "/curator"
TERMINAL = "terminal-"
"""Begins the user ids of `tail` and `feed`: bars for readers of pages are not for them."""
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


@dataclass(frozen=True, slots=True)
class Grant:
    """What a page may do: join these groups by itself, send to those, be in these from the start."""

    joins: tuple[str, ...] = ()
    sends: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()


def grant_for(page: str, *, is_curator: bool = False) -> Grant:
    """The fewest rights for the page with this path and query.

    A package's page joins its group; home, feed and the curator's page are in the feeds' groups
    from the start. Pages with many packages say `watch`, and are added by the site.
    """
    path, _, query = page.partition("?")
    if path == CURATOR_PAGE:
        return Grant(sends=(BOT_GROUP,), groups=(BOT_GROUP,)) if is_curator else Grant()
    if path == "/feed":
        return Grant(groups=FEED_GROUPS)
    match read_path(path, query):
        case PackageQuery(name):
            return Grant(joins=(package_group(name),))
        case HomeQuery():
            return Grant(groups=FEED_GROUPS)
    return Grant()


def access_url(client: ServiceClient, user_id: str, grant: Grant) -> str:
    """A Client Access URL with exactly these rights."""
    roles = [JOIN_ROLE + group for group in grant.joins]
    roles += [SEND_ROLE + group for group in grant.sends]
    access = client.get_client_access_token(
        user_id=user_id,
        roles=roles,
        groups=grant.groups,
        minutes_to_expire=TOKEN_LIFE_MINUTES,
    )
    return access.url
