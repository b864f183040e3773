"""What everything that asks a source on its own account needs."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Protocol

from pkgstats.abilities import Abilities
from pkgstats.sources.base import Source
from pkgstats.store.store import Store


class Budget(Protocol):
    def take(self) -> bool: ...


class Asking:
    """A source, what is remembered of it, how often it may be asked, and where answers go."""

    def __init__(
        self,
        store: Store,
        source: Source,
        abilities: Abilities,
        budget: Budget,
        *,
        now: Callable[[], datetime],
        is_public: Callable[[str], bool],
    ) -> None:
        self._store = store
        self._source = source
        self._abilities = abilities
        self._budget = budget
        self._now = now
        self._is_public = is_public
