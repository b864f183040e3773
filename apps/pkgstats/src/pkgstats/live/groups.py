"""Who is here and looks at what, counted in this process."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field

MAX_NAMES_PER_CONNECTION = 50
PUBLISH_EVERY_S = 1.0
"""A group hears of its watchers at most this often."""


class TooManyNames(Exception):
    """A connection watches as many packages as one may."""


@dataclass(slots=True)
class _Connection:
    user_id: str
    pages: set[str] = field(default_factory=set)
    """Packages whose page it shows."""
    listed: set[str] = field(default_factory=set)
    """Packages among others on a page: its figures move, but nobody is counted as a watcher."""


class Watchers:
    """Counts people, not tabs: two connections of one visitor are one.

    `run` tells each group whose count may have changed; it has one owner.
    """

    def __init__(
        self,
        publish: Callable[[str, int], Awaitable[None]],
        tell: Callable[[Mapping[str, int]], None],
    ) -> None:
        """`publish`: to a package's pages. `tell`: all that is looked at, whenever it changes."""
        self._publish = publish
        self._tell = tell
        self._connections: dict[str, _Connection] = {}
        self._people: dict[str, Counter[str]] = {}
        self._changed: set[str] = set()
        self._wake = asyncio.Event()
        self.present = asyncio.Event()
        """Set while anybody is here."""

    def count(self, name: str) -> int:
        """People with a page of this package open."""
        return len(self._people.get(name, ()))

    def counts(self) -> dict[str, int]:
        """Every package that somebody sees on a page of its own or in a list, and how many do."""
        seen: dict[str, set[str]] = {name: set(people) for name, people in self._people.items()}
        for connection in self._connections.values():
            for name in connection.listed:
                seen.setdefault(name, set()).add(connection.user_id)
        return {name: len(people) for name, people in seen.items()}

    def user_of(self, connection_id: str) -> str | None:
        """Whose connection it is; None: not here."""
        found = self._connections.get(connection_id)
        return found.user_id if found else None

    def connected(self, connection_id: str, user_id: str) -> None:
        """Somebody has come. Said by `watch` too, so a lost event does no harm."""
        self._connections.setdefault(connection_id, _Connection(user_id))
        self.present.set()

    def watch(self, connection_id: str, user_id: str, name: str) -> None:
        """A connection shows a package's page. Raises TooManyNames."""
        self.connected(connection_id, user_id)
        connection = self._connections[connection_id]
        if name not in connection.pages:
            self._check_room(connection, {name})
            connection.pages.add(name)
            self._people.setdefault(name, Counter())[connection.user_id] += 1
        self._note(name)  # also when nothing changed: the new page doesn't know the count

    def watch_list(self, connection_id: str, user_id: str, names: Iterable[str]) -> None:
        """A connection shows these packages among others: all or none. Raises TooManyNames."""
        self.connected(connection_id, user_id)
        connection = self._connections[connection_id]
        wanted = set(names)
        self._check_room(connection, wanted)
        connection.listed |= wanted
        self._wake.set()

    def unwatch(self, connection_id: str, names: Iterable[str]) -> None:
        """A connection shows these packages no more."""
        if (connection := self._connections.get(connection_id)) is not None:
            connection.listed -= set(names)
            self._wake.set()

    def disconnected(self, connection_id: str) -> None:
        connection = self._connections.pop(connection_id, None)
        if connection is None:
            return
        for name in connection.pages:
            people = self._people[name]
            people[connection.user_id] -= 1
            if people[connection.user_id] == 0:
                del people[connection.user_id]
            if not people:
                del self._people[name]
            self._note(name)
        self._wake.set()
        if not self._connections:
            self.present.clear()

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

    def _check_room(self, connection: _Connection, more: set[str]) -> None:
        known = connection.pages | connection.listed
        if len(known | more) > MAX_NAMES_PER_CONNECTION:
            raise TooManyNames(f"a connection watches at most {MAX_NAMES_PER_CONNECTION} packages")

    def _note(self, name: str) -> None:
        self._changed.add(name)
        self._wake.set()
