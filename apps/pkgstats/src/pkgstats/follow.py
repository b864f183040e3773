"""Following the registry's changes feed: what is known here is looked at again, what is new is named.

The feed names every package of a registry; nothing is asked about those that nobody here has
opened, except a few of the very newest.
"""

from __future__ import annotations

import logging
from functools import partial

from pkgstats.asking import Asking
from pkgstats.sources.base import Answer, Changes
from pkgstats.store import upstream

log = logging.getLogger(__name__)

PIECES_A_ROUND = 4
NEW_A_ROUND = 3
"""Packages that are new in the registry and are loaded for the column "newest"."""


class ChangesFollower(Asking):
    """Keeps the cursor in the database, together with what was learnt up to it."""

    async def catch_up(self) -> list[str]:
        """Read on for a few pieces; returns a few packages that are new in the registry."""
        new: list[str] = []
        for _ in range(PIECES_A_ROUND):
            if self._abilities.refused("changes") or not self._budget.take():
                break
            since = await self._store.read(partial(upstream.note, key=upstream.CURSOR))
            answer = await self._source.changes(since)
            await self._abilities.note("changes", answer)
            if not isinstance(answer, Answer):
                break  # the cursor stays where it was
            new += await self._take(answer.value)
            if not answer.value.has_more:
                break
        return new[-NEW_A_ROUND:]

    async def _take(self, found: Changes) -> list[str]:
        if found.is_reset:
            log.warning("the changes feed began anew: changes may have been missed")
        changed = [change for change in found.changed if self._is_public(change.name)]
        new = set(
            await self._store.write(
                lambda db: upstream.save_changes(db, changed, found.cursor, self._now()),
                about=[change.name for change in changed],
            )
        )
        return [change.name for change in changed if change.is_first and change.name in new]
