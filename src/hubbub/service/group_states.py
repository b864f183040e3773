"""A small map of each connection in each group, and who wants to hear of its changes."""

import time
from collections.abc import Callable, Mapping

from hubbub.protocol import limits
from hubbub.protocol.messages import GroupStateItem, GroupStateSnapshot, GroupStateUpdate
from hubbub.service.connection import Connection
from hubbub.service.delivery import Batch, fan_out
from hubbub.service.forms import Outgoing


def is_too_large(state: Mapping[str, str]) -> bool:
    size = sum(len(key.encode()) + len(value.encode()) for key, value in state.items())
    return size > limits.MAX_GROUP_STATE_BYTES


class GroupStates:
    """Of one hub. What returns connections names the slow ones, for the caller to close."""

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        """`now`: Unix seconds."""
        self._now = now
        self._items: dict[str, dict[str, GroupStateItem]] = {}
        self._subscribers: dict[str, dict[str, Connection]] = {}
        self._groups_of: dict[str, set[str]] = {}
        self._latest: dict[str, int] = {}

    def set(
        self, connection: Connection, group: str, state: Mapping[str, str] | None
    ) -> list[Connection]:
        """Replace the connection's whole state; None clears it. Subscribers hear of it at once."""
        items = self._items.setdefault(group, {})
        if state is None and connection.id not in items:
            self._drop_empty(group)
            return []
        item = GroupStateItem(
            connection.id, self._stamp(connection), connection.user_id or None, state
        )
        if state is None:
            del items[connection.id]
            self._drop_empty(group)
        else:
            items[connection.id] = item
            self._groups_of.setdefault(connection.id, set()).add(group)
        update = Outgoing(GroupStateUpdate(group, (item,)))
        return fan_out(self._subscribers.get(group, {}).values(), Batch((update,)))

    def subscribe(self, connection: Connection, group: str) -> list[Connection]:
        """One snapshot now, then each change."""
        self._subscribers.setdefault(group, {})[connection.id] = connection
        self._groups_of.setdefault(connection.id, set()).add(group)
        items = tuple(self._items.get(group, {}).values())
        snapshot = Outgoing(GroupStateSnapshot(group, items))
        return fan_out((connection,), Batch((snapshot,)))

    def unsubscribe(self, connection: Connection, group: str) -> None:
        subscribers = self._subscribers.get(group)
        if subscribers is None:
            return
        subscribers.pop(connection.id, None)
        if not subscribers:
            del self._subscribers[group]

    def left(self, connection: Connection, group: str) -> list[Connection]:
        """The connection is no member any more: its state and its subscription are gone."""
        groups = self._groups_of.get(connection.id)
        if groups is None or group not in groups:
            return []
        groups.discard(group)
        self.unsubscribe(connection, group)
        return self.set(connection, group, None)

    def gone(self, connection: Connection) -> list[Connection]:
        """The session has ended."""
        slow: list[Connection] = []
        for group in list(self._groups_of.get(connection.id, ())):
            slow += self.left(connection, group)
        self._groups_of.pop(connection.id, None)
        self._latest.pop(connection.id, None)
        return slow

    def _stamp(self, connection: Connection) -> int:
        """Unix milliseconds, strictly increasing for each connection."""
        stamp = max(int(self._now() * 1000), self._latest.get(connection.id, 0) + 1)
        self._latest[connection.id] = stamp
        return stamp

    def _drop_empty(self, group: str) -> None:
        if not self._items[group]:
            del self._items[group]
