"""The bot: picks popular, newest and random packages in turn, by the site's own clock."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from datetime import timedelta
from typing import Protocol, get_args

from pkgstats.catalog import Catalog
from pkgstats.models import FeedItem
from pkgstats.store.people import PickKind

_log = logging.getLogger(__name__)

KINDS: tuple[PickKind, ...] = get_args(PickKind)
EVERY = timedelta(hours=4)
LOOK_EVERY_S = 60.0


class Poster(Protocol):
    """Takes a pick somewhere else. The feeds and the live groups have it already."""

    async def post(self, item: FeedItem) -> None: ...


class LogPoster:
    """Writes each pick into the log."""

    async def post(self, item: FeedItem) -> None:
        _log.info("picked: kind=%s name=%s reason=%s", item.kind, item.name, item.reason)


class Bot:
    """Each pick is kept in the feed and goes to the live groups with the catalog's messages."""

    def __init__(self, catalog: Catalog, posters: Sequence[Poster] = ()) -> None:
        self._catalog = catalog
        self._posters = posters

    async def pick_next(self) -> FeedItem | None:
        """The kind after that of the last pick; one that has nothing to offer is passed over."""
        last = await self._catalog.feed("all", 1)
        after = KINDS.index(last[0].kind) + 1 if last and last[0].kind in KINDS else 0
        for kind in KINDS[after:] + KINDS[:after]:
            if (item := await self._catalog.pick(kind)) is not None:
                for poster in self._posters:
                    await poster.post(item)
                return item
        return None

    async def pick_if_due(self) -> FeedItem | None:
        """A pick when the last one is EVERY old; a restart doesn't bring one forward."""
        last = await self._catalog.feed("all", 1)
        if last and self._catalog.now() - last[0].created_at < EVERY:
            return None
        return await self.pick_next()

    async def run(self) -> None:
        """Pick when it is due, until cancelled."""
        while True:
            await self.pick_if_due()
            await asyncio.sleep(LOOK_EVERY_S)
