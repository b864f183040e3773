"""Live messages of a running site, in a terminal: one line for each, as things happen."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx2

from hubbub.client import Client, GroupMessageEvent, ServerMessageEvent
from pkgstats.live.negotiate import BOT_GROUP, NEWEST_GROUP
from pkgstats.models import SIMULATED, package_group
from pkgstats.urls import package_path

NEGOTIATE_TIMEOUT_S = 10.0


class SiteUnreachable(Exception):
    """The site does not answer, or is none; the text says which address was asked."""


async def tail(site: str, name: str) -> AsyncIterator[str]:
    """Lines about one package, until the caller ends it. Lost connections heal by themselves.

    Counts as somebody who has the package's page open. Raises SiteUnreachable, and HubbubError
    where the site's hubbub cannot be reached.
    """
    async with _client(site, package_path(name)) as client:
        # Open before the start: messages may come right behind the first frame.
        async with client.messages(group=package_group(name)) as messages, client:
            await client.join_group(package_group(name))
            await client.send_event("watch", {"name": name}, "json")
            yield f"following {name} on {site}"
            async for line in _lines(messages, [package_group(name)]):
                yield line


async def feed(site: str) -> AsyncIterator[str]:
    """Lines about picks and new versions of everything known to the site, until the caller ends it.

    Raises as `tail` does.
    """
    async with _client(site, "/feed") as client:
        # The token puts it into the feeds' groups. Each pick is in its kind's group, too.
        groups = (NEWEST_GROUP, BOT_GROUP)
        async with client.messages() as messages, client:
            yield f"following the feed of {site}"
            async for line in _lines(messages, groups):
                yield line


@asynccontextmanager
async def _client(site: str, page: str) -> AsyncIterator[Client]:
    """A client with the rights of this page; it asks for a new token at each connection."""
    async with httpx2.AsyncClient(
        base_url=site, timeout=NEGOTIATE_TIMEOUT_S, trust_env=False
    ) as http:
        # Asked once before: the client would only say that it got no address.
        await _negotiate(http, page)

        async def access_url() -> str:
            return await _negotiate(http, page)

        yield Client(access_url)


async def _lines(
    messages: AsyncIterator[GroupMessageEvent | ServerMessageEvent], groups: Collection[str]
) -> AsyncIterator[str]:
    """A line for each live message of these groups, none twice."""
    seen = 0
    async for message in messages:
        if not isinstance(message, GroupMessageEvent) or message.group not in groups:
            continue
        data = message.data
        if not isinstance(data, dict) or not isinstance(data.get("t"), str):
            continue
        if isinstance(data.get("id"), int):
            if data["id"] <= seen:
                continue  # sent again after a crash of the site
            seen = data["id"]
        yield line_of(data)


def line_of(message: Mapping[str, Any]) -> str:
    """A live message in words. Nothing of it can steer the terminal."""
    found = message.get("data")
    data: Mapping[str, Any] = found if isinstance(found, dict) else {}
    match message.get("t"):
        case "downloads":
            total = data.get("total")
            least = "at least " if data.get("at_least") else ""
            words = f"downloads {least}{total:,}" if isinstance(total, int) else "downloads"
        case "release":
            words = f"release {data.get('version')}"
        case "deprecated":
            words = f"deprecated: {data.get('text')}"
        case "newest":
            words = f"new {data.get('name')} {data.get('version')}"
        case "pick":
            words = f"{data.get('kind')} pick {data.get('name')}: {data.get('reason')}"
        case "watchers":
            words = f"watchers {data.get('count')}"
        case other:
            words = f"{other} changed"
    label = f" ({SIMULATED})" if message.get("simulated") else ""
    text = f"{str(message.get('at', ''))[:19]} {words}{label}"
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)


async def _negotiate(http: httpx2.AsyncClient, page: str) -> str:
    try:
        answer = await http.get("/negotiate", params={"for": page, "as": "terminal"})
        answer.raise_for_status()
        url = answer.json()["url"]
    except (httpx2.HTTPError, ValueError, KeyError, TypeError) as error:
        raise SiteUnreachable(f"no pkgstats answers at {http.base_url}") from error
    return str(url)
