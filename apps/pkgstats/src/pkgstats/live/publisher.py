"""Sends what was committed, in order, and marks it as sent when hubbub has accepted it."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from hubbub.appserver import RequestError, ServiceClient
from pkgstats.catalog import Catalog
from pkgstats.live.negotiate import TERMINAL
from pkgstats.models import OutboxRow, package_group

_log = logging.getLogger(__name__)

READERS = f"not startswith(userId, '{TERMINAL}')"
"""The filter that fits pages: a bar across the page is nothing for a terminal."""


async def publish_changes(catalog: Catalog, client: ServiceClient) -> None:
    """Send the catalog's messages until it closes.

    A crash between sending and marking repeats a message and never loses one: pages drop ids
    that they already have. A message that hubbub can't take now stops the batch, so that the
    order holds; the catalog hands it out again.
    """
    async for rows in catalog.changes():
        sent: list[int] = []
        for row in rows:
            try:
                await _send(client, row)
            except RequestError as error:
                if error.retryable or error.status is None:
                    _log.warning("live messages wait: id=%d error=%s", row.id, error)
                    break
                # Never accepted, however often: it must not hold up the rest.
                _log.error("live message dropped: id=%d t=%s error=%s", row.id, row.t, error)
            sent.append(row.id)
        if sent:
            await catalog.mark_sent(sent)


async def publish_watchers(client: ServiceClient, name: str, count: int) -> None:
    """Tell a package's pages how many people have one open."""
    try:
        await client.send_to_group(package_group(name), _fleeting("watchers", {"count": count}))
    except RequestError as error:
        _log.warning("watcher count not sent: name=%s error=%s", name, error)


async def publish_notice(client: ServiceClient, text: str) -> None:
    """Show a bar with this text on every open page; "" takes it away."""
    try:
        await client.send_to_all(_fleeting("notice", {"text": text}), filter=READERS)
    except RequestError as error:
        _log.warning("notice not sent: error=%s", error)


def _fleeting(t: str, data: Mapping[str, Any]) -> dict[str, Any]:
    """A message without an id: it is kept nowhere, the next one replaces it, a lost one is no harm."""
    return {"v": 1, "t": t, "at": datetime.now(UTC).isoformat(), "data": dict(data)}


async def _send(client: ServiceClient, row: OutboxRow) -> None:
    match row.target_kind:
        case "group":
            await client.send_to_group(row.target, row.envelope())
        case "user":
            await client.send_to_user(row.target, row.envelope())
        case "all":
            await client.send_to_all(row.envelope(), filter=READERS)
