"""Counts of packages and of their versions: what is asked, in which groups, and until when it holds."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from pkgstats.asking import Asking
from pkgstats.models import Block
from pkgstats.sources.base import Answer, Limited, NotOffered, NotSet, Refusal
from pkgstats.store import counts, states, upstream
from pkgstats.store.states import BlockState, Ended

READY = timedelta(hours=2)
"""After midnight UTC: figures of the day before are not there earlier."""
JITTER_S = 3600
BULK_NAMES = 128
VERSION_COUNTS = "version_downloads"
"""Under this name the state of the counts of each version is kept."""


class Counting(Asking):
    """Asks for counts within the budget; private names are never told to the counts' host."""

    async def load(self, names: Sequence[str]) -> None:
        """Unscoped names in bulk, scoped ones by themselves; stops when the source says so."""
        public = [name for name in names if self._is_public(name)]
        private = [name for name in names if name not in public]
        if private:
            await self._save(dict.fromkeys(private, NotOffered("a private scope")))
        plain = [name for name in public if not name.startswith("@")]
        groups = [plain[i : i + BULK_NAMES] for i in range(0, len(plain), BULK_NAMES)]
        groups += [[name] for name in public if name.startswith("@")]
        end = self._now().date() - timedelta(days=1)
        for group in groups:
            start = await self._store.read(partial(counts.first_wanted, names=group, end=end))
            if self._abilities.refused("downloads"):
                answer: Refusal = self._abilities.refused("downloads") or NotSet("")
                answers: Mapping[str, Any] = dict.fromkeys(group, answer)
            elif not self._source.simulated and not self._budget.take():
                return
            else:
                answers = await self._source.downloads(group, start, end)
                await self._abilities.note("downloads", next(iter(answers.values())))
            await self._save(answers)

    async def load_versions(self, name: str) -> None:
        if not self._is_public(name) or self._abilities.refused("downloads"):
            return
        if not self._source.simulated and not self._budget.take():
            return
        answer = await self._source.version_downloads(name)
        if isinstance(answer, Limited):
            await self._abilities.note("downloads", answer)
        state = self._counted_until(name, answer)

        def save(db: Any) -> None:
            states.save_block(db, name, VERSION_COUNTS, state)
            if isinstance(answer, Answer):
                upstream.save_version_downloads(db, name, answer.value)

        await self._store.write(save, about=(name,))

    def _counted_until(self, name: str, answer: object) -> BlockState:
        """Counts are good until those of the next day are there."""
        state, now = self._abilities.block_state(answer), self._now()
        if not isinstance(answer, Answer):
            return state
        tomorrow = datetime.combine(now.date() + timedelta(days=1), datetime.min.time(), now.tzinfo)
        # Not everybody at the same minute: each name has its own one.
        jitter = timedelta(seconds=zlib.crc32(name.encode()) % JITTER_S)
        return BlockState(Ended.OK, now, tomorrow + READY + jitter, "")

    async def _save(self, answers: Mapping[str, Any]) -> None:
        now, simulated = self._now(), self._source.simulated

        def save(db: Any) -> None:
            for name, answer in answers.items():
                states.save_block(db, name, Block.DOWNLOADS, self._counted_until(name, answer))
                if isinstance(answer, Answer):
                    counts.save(db, name, answer.value, now=now, simulated=simulated)

        await self._store.write(save, about=answers)
