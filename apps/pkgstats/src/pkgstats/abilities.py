"""What is remembered of the sources: which ability is offered, limited or failing, and until when."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

from pkgstats.sources.base import (
    Answer,
    Failing,
    Limited,
    NoData,
    NotOffered,
    NotSet,
    Refusal,
    Unchanged,
)
from pkgstats.store import states
from pkgstats.store.states import Ability, BlockState, Ended
from pkgstats.store.store import Store

ABSENT_FOR = timedelta(minutes=10)
NOT_OFFERED_FOR = timedelta(hours=24)
FAILED_FOR = timedelta(minutes=2)
WITHDRAWN = "withdrawn"


class Abilities:
    """Every ability's last state, in memory and, over restarts, in the database."""

    def __init__(self, store: Store, now: Callable[[], datetime]) -> None:
        self._store = store
        self._now = now
        self._known: dict[str, Ability] = {}

    async def load(self) -> None:
        """Take up what was remembered when the program ended."""
        self._known = await self._store.read(states.abilities)

    def all(self) -> Mapping[str, Ability]:
        return self._known

    def refused(self, ability: str) -> Refusal | None:
        """The refusal that still stands for a whole ability: asking would be no use."""
        known = self._known.get(ability)
        if known is None or known.until is None or self._now() >= known.until:
            return None
        match known.ended:
            case Ended.NOT_OFFERED:
                return NotOffered(known.detail)
            case Ended.NOT_SET:
                return NotSet(known.detail)
            case Ended.LIMITED:
                return Limited(known.until)
        return None

    async def note(self, ability: str, answer: object) -> None:
        """Remember how an ability did; written down only when that changed."""
        state = self.block_state(answer)
        ended = Ended.OK if state.ended is Ended.NO_DATA else state.ended
        old, now = self._known.get(ability), self._now()
        until = None if ended is Ended.OK else state.until
        since = old.since if old and old.ended is ended else now
        contact = old.last_contact if old else None
        if ended not in (Ended.FAILING, Ended.NOT_SET):
            contact = now
        self._known[ability] = Ability(ability, ended, since, until, contact, state.detail)
        moved = old is None or old.ended is not ended
        if moved or (ended is not Ended.NOT_SET and old is not None and old.until != until):
            await self._store.write(
                lambda db: states.save_ability(
                    db, ability, ended, now=now, until=until, detail=state.detail
                ),
                about=(),
            )

    def block_state(self, answer: object) -> BlockState:
        """How a request ended, and when it is worth asking again."""
        now = self._now()
        match answer:
            case Answer() | Unchanged():
                return BlockState(Ended.OK, now, now, "")
            case NoData(was_withdrawn):
                detail = WITHDRAWN if was_withdrawn else ""
                return BlockState(Ended.NO_DATA, now, now + ABSENT_FOR, detail)
            case NotOffered(detail):
                return BlockState(Ended.NOT_OFFERED, now, now + NOT_OFFERED_FOR, detail)
            case NotSet(setting):
                return BlockState(Ended.NOT_SET, now, now + FAILED_FOR, setting)
            case Limited(until):
                return BlockState(Ended.LIMITED, now, until, "")
            case Failing(reason):
                return BlockState(Ended.FAILING, now, now + FAILED_FOR, reason)
        raise TypeError(f"no answer of a source: {type(answer).__name__}")
