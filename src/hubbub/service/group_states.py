"""A small map of each connection in each group, and who wants to hear of its changes.

Subscribers get the changes of one tick together: when a thousand members of a group go at once,
each of those who stay gets one message instead of a thousand.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple

import msgspec

from hubbub import clock
from hubbub.protocol import limits
from hubbub.protocol.messages import GroupStateItem, GroupStateSnapshot, GroupStateUpdate
from hubbub.service.connection import Connection
from hubbub.service.delivery import Batch, fan_out
from hubbub.service.forms import Outgoing

PART_BYTES = 262_144
"""Of a snapshot. One frame for a group of ten thousand would be more than many readers take."""
_ITEM_BYTES = 150
"""About what stands around the state of one connection: its ids and the time."""


class _Sized(NamedTuple):
    item: GroupStateItem
    size: int
    """Bytes on the wire, about."""


class _Group:
    """Who has which state in one group, and who subscribes."""

    __slots__ = ("_snapshot", "changes", "name", "size", "states", "subscribers")

    def __init__(self, name: str) -> None:
        self.name = name
        self.states: dict[str, _Sized] = {}
        self.size = 0
        """Of all states."""
        self.subscribers: dict[str, Connection] = {}
        self.changes: list[_Sized] = []
        """Of this tick; nobody has heard of them yet."""
        self._snapshot: list[Outgoing] = []

    def put(self, connection_id: str, state: _Sized) -> None:
        self.drop(connection_id)
        self.states[connection_id] = state
        self.size += state.size

    def drop(self, connection_id: str) -> None:
        self._snapshot = []
        if (old := self.states.pop(connection_id, None)) is not None:
            self.size -= old.size

    def snapshot(self) -> list[Outgoing]:
        """For who subscribes: shared by all who come between two changes."""
        if not self._snapshot:
            first, *others = _parts(self.states.values())
            updates = [Outgoing(GroupStateUpdate(self.name, items)) for items in others]
            self._snapshot = [Outgoing(GroupStateSnapshot(self.name, first)), *updates]
        return self._snapshot


def _parts(states: Iterable[_Sized]) -> Iterator[tuple[GroupStateItem, ...]]:
    """The items in portions of a frame; at least one, which may be empty."""
    part: list[GroupStateItem] = []
    size = 0
    for state in states:
        if part and size + state.size > PART_BYTES:
            yield tuple(part)
            part, size = [], 0
        part.append(state.item)
        size += state.size
    yield tuple(part)


class GroupStates:
    """Of one hub. What returns connections names the slow ones, for the caller to close."""

    def __init__(
        self, on_change: Callable[[], object], *, now: Callable[[], float] = clock.wall
    ) -> None:
        """`on_change` is called at the first change since the last `flush`. `now`: Unix seconds."""
        self._on_change = on_change
        self._now = now
        self._changed: list[_Group] = []
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
            mine_now = found.states.get(connection.id)
            size = found.size - (mine_now.size if mine_now else 0)
            if size + _wire_size(state) > limits.MAX_GROUP_STATES_BYTES:
                return "the states of the group together would be too large"
        return ""

    def set(self, connection: Connection, group: str, state: Mapping[str, str] | None) -> None:
        """Replace the connection's whole state; None clears it. Subscribers hear at `flush`."""
        found = self._groups.get(group)
        if state is None and (found is None or connection.id not in found.states):
            return
        if found is None:
            found = self._groups[group] = _Group(group)
        item = GroupStateItem(
            connection.id, self._stamp(connection), connection.user_id or None, state
        )
        sized = _Sized(item, _wire_size(state))
        if state is None:
            found.drop(connection.id)
            self._drop_unused(connection, group, found)
        else:
            found.put(connection.id, sized)
            self._groups_of.setdefault(connection.id, set()).add(group)
        if found.subscribers:
            if not self._changed:
                self._on_change()
            if not found.changes:
                self._changed.append(found)
            found.changes.append(sized)

    def flush(self) -> list[Connection]:
        """Tell the subscribers what has changed, in order."""
        slow: list[Connection] = []
        changed, self._changed = self._changed, []
        for group in changed:
            changes, group.changes = group.changes, []
            for items in _parts(changes):
                update = Outgoing(GroupStateUpdate(group.name, items))
                slow += fan_out(group.subscribers.values(), Batch((update,)))
        return slow

    def subscribe(self, connection: Connection, group: str) -> list[Connection]:
        """One snapshot now, then each change. What is too much for a frame comes as changes.

        To be called after `flush`: what the snapshot has is not told again.
        """
        found = self._groups.get(group)
        if found is None:
            found = self._groups[group] = _Group(group)
        found.subscribers[connection.id] = connection
        self._groups_of.setdefault(connection.id, set()).add(group)
        for message in found.snapshot():
            if slow := fan_out((connection,), Batch((message,))):
                return slow
        return []

    def unsubscribe(self, connection: Connection, group: str) -> None:
        found = self._groups.get(group)
        if found is not None and found.subscribers.pop(connection.id, None) is not None:
            self._drop_unused(connection, group, found)

    def left(self, connection: Connection, group: str) -> None:
        """The connection is no member any more: its state and its subscription are gone."""
        if group in self._groups_of.get(connection.id, ()):
            self.unsubscribe(connection, group)
            self.set(connection, group, None)

    def gone(self, connection: Connection) -> None:
        """The session has ended."""
        for group in list(self._groups_of.get(connection.id, ())):
            self.left(connection, group)
        self._latest.pop(connection.id, None)

    def _stamp(self, connection: Connection) -> int:
        """Unix milliseconds, strictly increasing for each connection."""
        stamp = max(int(self._now() * 1000), self._latest.get(connection.id, 0) + 1)
        self._latest[connection.id] = stamp
        return stamp

    def _drop_unused(self, connection: Connection, group: str, found: _Group) -> None:
        """Forget that the connection is in the group, and the group, where nothing is left."""
        if connection.id not in found.states and connection.id not in found.subscribers:
            mine = self._groups_of[connection.id]
            mine.discard(group)
            if not mine:
                del self._groups_of[connection.id]
        if not found.states and not found.subscribers:
            del self._groups[group]


def _is_too_large(state: Mapping[str, str]) -> bool:
    # The number first: a message full of short keys would take long to add up.
    if len(state) > limits.MAX_GROUP_STATE_BYTES:
        return True
    size = sum(len(key.encode()) + len(value.encode()) for key, value in state.items())
    return size > limits.MAX_GROUP_STATE_BYTES


def _wire_size(state: Mapping[str, str] | None) -> int:
    return _ITEM_BYTES + (len(msgspec.json.encode(state)) if state else 0)
