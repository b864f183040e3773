"""Who has which package's page open, counted in this process."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping

MAX_NAMES_PER_CONNECTION = 50
PUBLISH_EVERY_S = 1.0
"""A group hears of its watchers at most this often."""


class TooManyNames(Exception):
    """A connection watches as many packages as one may."""


class Watchers:
    """Counts people, not tabs: two connections of one visitor are one.

    `run` tells each group whose count may have changed; it has one owner.
    """

    def __init__(
        self,
        publish: Callable[[str, int], Awaitable[None]],
        tell: Callable[[Mapping[str, int]], None],
    ) -> None:
        """`publish`: to a package's pages. `tell`: all counts, whenever one has changed."""
        self._publish = publish
        self._tell = tell
        self._users: dict[str, str] = {}
        self._names: dict[str, set[str]] = {}
        self._people: dict[str, Counter[str]] = {}
        self._changed: set[str] = set()
        self._wake = asyncio.Event()
        self.present = asyncio.Event()
        """Set while anybody watches anything."""

    def count(self, name: str) -> int:
        """People with a page of this package open."""
        return len(self._people.get(name, ()))

    def counts(self) -> dict[str, int]:
        """Every package with a page open somewhere."""
        return {name: len(people) for name, people in self._people.items()}

    def watch(self, connection_id: str, user_id: str, name: str) -> None:
        """A connection shows a package's page. Raises TooManyNames."""
        user_id = self._users.setdefault(connection_id, user_id)
        names = self._names.setdefault(connection_id, set())
        if name not in names:
            if len(names) >= MAX_NAMES_PER_CONNECTION:
                raise TooManyNames(f"a connection watches at most {MAX_NAMES_PER_CONNECTION}")
            names.add(name)
            self._people.setdefault(name, Counter())[user_id] += 1
        self._note(name)  # also when nothing changed: the new page doesn't know the count

    def disconnected(self, connection_id: str) -> None:
        user_id = self._users.pop(connection_id, "")
        for name in self._names.pop(connection_id, ()):
            people = self._people[name]
            people[user_id] -= 1
            if people[user_id] == 0:
                del people[user_id]
            if not people:
                del self._people[name]
            self._note(name)

    async def run(self) -> None:
        """Publish changed counts until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            changed, self._changed = self._changed, set()
            self._tell(self.counts())
            for name in changed:
                if count := self.count(name):
                    await self._publish(name, count)
            await asyncio.sleep(PUBLISH_EVERY_S)

    def _note(self, name: str) -> None:
        self._changed.add(name)
        self._wake.set()
        if self._people:
            self.present.set()
        else:
            self.present.clear()
