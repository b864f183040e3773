"""A small map of each connection in each group, and who wants to hear of its changes."""

import time
from collections.abc import Callable, Iterator, Mapping

import msgspec

from hubbub.protocol import limits
from hubbub.protocol.messages import GroupStateItem, GroupStateSnapshot, GroupStateUpdate
from hubbub.service.connection import Connection
from hubbub.service.delivery import Batch, fan_out
from hubbub.service.forms import Outgoing

PART_BYTES = 262_144
"""Of a snapshot. One frame for a group of ten thousand would be more than many readers take."""
_ITEM_BYTES = 150
"""About what stands around the state of one connection: its ids and the time."""


class _Group:
    """Who has which state in one group, and who subscribes."""

    __slots__ = ("items", "size", "sizes", "subscribers")

    def __init__(self) -> None:
        self.items: dict[str, GroupStateItem] = {}
        self.sizes: dict[str, int] = {}
        self.size = 0
        """The sum of `sizes`: bytes on the wire, about."""
        self.subscribers: dict[str, Connection] = {}

    def put(self, item: GroupStateItem, size: int) -> None:
        self.drop(item.connection_id)
        self.items[item.connection_id] = item
        self.sizes[item.connection_id] = size
        self.size += size

    def drop(self, connection_id: str) -> None:
        if self.items.pop(connection_id, None) is not None:
            self.size -= self.sizes.pop(connection_id)

    def parts(self) -> Iterator[tuple[GroupStateItem, ...]]:
        """The items in portions of a frame; at least one, which may be empty."""
        part: list[GroupStateItem] = []
        size = 0
        for connection_id, item in self.items.items():
            if part and size + self.sizes[connection_id] > PART_BYTES:
                yield tuple(part)
                part, size = [], 0
            part.append(item)
            size += self.sizes[connection_id]
        yield tuple(part)


class GroupStates:
    """Of one hub. What returns connections names the slow ones, for the caller to close."""

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        """`now`: Unix seconds."""
        self._now = now
        self._groups: dict[str, _Group] = {}
        """Only those in which somebody has a state or a subscription."""
        self._groups_of: dict[str, set[str]] = {}
        self._latest: dict[str, int] = {}

    def fault(
        self, connection: Connection, group: str, state: Mapping[str, str] | None = None
    ) -> str:
        """Why the connection cannot have this state in the group, or subscribe; "" if it can."""
        mine = self._groups_of.get(connection.id, ())
        if group not in mine and len(mine) >= limits.MAX_GROUP_STATES:
            return f"states of {limits.MAX_GROUP_STATES} groups are the most for a connection"
        if state is None:
            return ""
        if _is_too_large(state):
            return "the state is too large"
        found = self._groups.get(group)
        if found is not None:
            size = found.size - found.sizes.get(connection.id, 0) + _wire_size(state)
            if size > limits.MAX_GROUP_STATES_BYTES:
                return "the states of the group together would be too large"
        return ""

    def set(
        self, connection: Connection, group: str, state: Mapping[str, str] | None
    ) -> list[Connection]:
        """Replace the connection's whole state; None clears it. Subscribers hear of it at once."""
        found = self._groups.get(group)
        if state is None and (found is None or connection.id not in found.items):
            return []
        if found is None:
            found = self._groups[group] = _Group()
        item = GroupStateItem(
            connection.id, self._stamp(connection), connection.user_id or None, state
        )
        if state is None:
            found.drop(connection.id)
            self._drop_unused(connection, group, found)
        else:
            found.put(item, _wire_size(state))
            self._groups_of.setdefault(connection.id, set()).add(group)
        update = Outgoing(GroupStateUpdate(group, (item,)))
        return fan_out(found.subscribers.values(), Batch((update,)))

    def subscribe(self, connection: Connection, group: str) -> list[Connection]:
        """One snapshot now, then each change. What is too much for a frame comes as changes."""
        found = self._groups.get(group)
        if found is None:
            found = self._groups[group] = _Group()
        found.subscribers[connection.id] = connection
        self._groups_of.setdefault(connection.id, set()).add(group)
        message: GroupStateSnapshot | GroupStateUpdate | None = None
        for items in found.parts():
            if message is None:
                message = GroupStateSnapshot(group, items)
            else:
                message = GroupStateUpdate(group, items)
            if slow := fan_out((connection,), Batch((Outgoing(message),))):
                return slow
        return []

    def unsubscribe(self, connection: Connection, group: str) -> None:
        found = self._groups.get(group)
        if found is not None and found.subscribers.pop(connection.id, None) is not None:
            self._drop_unused(connection, group, found)

    def left(self, connection: Connection, group: str) -> list[Connection]:
        """The connection is no member any more: its state and its subscription are gone."""
        if group not in self._groups_of.get(connection.id, ()):
            return []
        self.unsubscribe(connection, group)
        return self.set(connection, group, None)

    def gone(self, connection: Connection) -> list[Connection]:
        """The session has ended."""
        slow: list[Connection] = []
        for group in list(self._groups_of.get(connection.id, ())):
            slow += self.left(connection, group)
        self._latest.pop(connection.id, None)
        return slow

    def _stamp(self, connection: Connection) -> int:
        """Unix milliseconds, strictly increasing for each connection."""
        stamp = max(int(self._now() * 1000), self._latest.get(connection.id, 0) + 1)
        self._latest[connection.id] = stamp
        return stamp

    def _drop_unused(self, connection: Connection, group: str, found: _Group) -> None:
        """Forget that the connection is in the group, and the group, where nothing is left."""
        if connection.id not in found.items and connection.id not in found.subscribers:
            mine = self._groups_of[connection.id]
            mine.discard(group)
            if not mine:
                del self._groups_of[connection.id]
        if not found.items and not found.subscribers:
            del self._groups[group]


def _is_too_large(state: Mapping[str, str]) -> bool:
    # The number first: a message full of short keys would take long to add up.
    if len(state) > limits.MAX_GROUP_STATE_BYTES:
        return True
    size = sum(len(key.encode()) + len(value.encode()) for key, value in state.items())
    return size > limits.MAX_GROUP_STATE_BYTES


def _wire_size(state: Mapping[str, str]) -> int:
    return len(msgspec.json.encode(state)) + _ITEM_BYTES
