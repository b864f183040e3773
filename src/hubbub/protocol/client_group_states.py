"""What a client knows of group states: its own, and those of others where it subscribes. No I/O.

Changes and a snapshot may overtake each other at the service, so each item is judged by its time.
All of it depends on the connection id; only the wish to be subscribed outlives that.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from hubbub.protocol import limits
from hubbub.protocol.client_events import (
    Action,
    Emit,
    GroupStateRequest,
    GroupStatesChangedEvent,
)
from hubbub.protocol.messages import (
    GroupStateItem,
    GroupStateSnapshot,
    GroupStateUpdate,
    SetGroupState,
    SubscribeGroupState,
)


class _Known(NamedTuple):
    item: GroupStateItem
    changed_at: float | None
    """When it came as a change; None: with a snapshot."""


class GroupView:
    """The states of one group. `states`: by connection id."""

    __slots__ = ("_cleared", "states")

    def __init__(self) -> None:
        self.states: dict[str, _Known] = {}
        self._cleared: dict[str, _Known] = {}
        """What was taken away lately, so that an old snapshot does not bring it back."""

    def update(self, items: Iterable[GroupStateItem], now: float) -> bool:
        """Take changes; True if the states are others than before."""
        self._forget_cleared(now)
        is_changed = False
        for item in items:
            name = item.connection_id
            known = self.states.get(name) or self._cleared.get(name)
            if known is not None and known.item.updated_at >= item.updated_at:
                continue
            self._cleared.pop(name, None)
            if item.state is not None:
                self.states[name] = _Known(item, now)
                is_changed = True
            else:
                is_changed |= self.states.pop(name, None) is not None
                self._cleared[name] = _Known(item, now)
                self._forget_cleared(now)
        return is_changed

    def replace(self, items: Iterable[GroupStateItem], now: float) -> bool:
        """Take a snapshot: the truth but for changes since; True if the states are others."""
        self._forget_cleared(now)
        states: dict[str, _Known] = {}
        taken_at = 0
        for item in items:
            name = item.connection_id
            taken_at = max(taken_at, item.updated_at)
            cleared = self._cleared.get(name)
            if item.state is None or (cleared and cleared.item.updated_at >= item.updated_at):
                continue
            known = self.states.get(name)
            is_newer = known is not None and known.item.updated_at > item.updated_at
            if known is not None and is_newer and _is_recent(known, now):
                states[name] = known
            else:
                states[name] = _Known(item, None)
        for name, known in self.states.items():
            if name not in states and known.item.updated_at > taken_at and _is_recent(known, now):
                states[name] = known
        before, self.states = self.states, states
        return {n: k.item for n, k in before.items()} != {n: k.item for n, k in states.items()}

    def _forget_cleared(self, now: float) -> None:
        """The old ones; and the oldest, where there are too many."""
        while self._cleared:
            oldest = next(iter(self._cleared))
            is_too_much = len(self._cleared) > limits.MAX_CLEARED_STATES
            if not is_too_much and _is_recent(self._cleared[oldest], now):
                return
            del self._cleared[oldest]


def _is_recent(known: _Known, now: float) -> bool:
    changed_at = known.changed_at
    return changed_at is not None and changed_at + limits.GROUP_STATE_MEMORY_S > now


class GroupStates:
    """Owned by a session, which passes the time and its list of actions.

    `number` gives the order of the calls: a repeat of an old one must not undo a later one.
    """

    __slots__ = ("_actions", "_asked", "_own", "_subscribed", "_to_renew", "_views")

    def __init__(self, actions: list[Action], wanted: Iterable[str] = ()) -> None:
        """`wanted`: groups to subscribe to with the first connection."""
        self._actions = actions
        self._asked: dict[tuple[str, bool], int] = {}
        """The last call for a group: to set (True), or to subscribe or unsubscribe."""
        self._own: dict[str, tuple[int, Mapping[str, str]]] = {}
        self._subscribed = set(wanted)
        """Those that the service has confirmed, on this connection or an earlier one."""
        self._views = {group: GroupView() for group in self._subscribed}
        self._to_renew = set(self._subscribed)

    @property
    def subscribed(self) -> frozenset[str]:
        return frozenset(self._subscribed)

    def own(self, group: str) -> dict[str, str]:
        """What the service has last confirmed; empty if nothing is set. A copy."""
        return dict(self._own[group][1]) if group in self._own else {}

    def states(self, group: str) -> list[GroupStateItem] | None:
        """Of everybody in a group that is subscribed to; None for any other."""
        if group not in self._subscribed:
            return None
        return [known.item for known in self._views[group].states.values()]

    # --- calls and their answers --------------------------------------------------------------

    def ask(self, number: int, request: GroupStateRequest) -> None:
        self._asked[_kind(request)] = number
        if isinstance(request, SubscribeGroupState):
            self._views.setdefault(request.group, GroupView())
        elif not isinstance(request, SetGroupState):
            self._drop(request.group)

    def leave(self, group: str) -> None:
        """Whoever leaves a group has no state in it and hears of none."""
        self._own.pop(group, None)
        self._drop(group)
        self._asked.pop((group, True), None)
        self._asked.pop((group, False), None)

    def is_overtaken(self, number: int, request: GroupStateRequest) -> bool:
        """A later call has asked for something else, or the group was left."""
        return self._asked.get(_kind(request)) != number

    def on_done(self, number: int, request: GroupStateRequest) -> None:
        group = request.group
        if isinstance(request, SetGroupState):
            is_old = group in self._own and self._own[group][0] > number
            if _kind(request) in self._asked and not is_old:
                self._own[group] = (number, request.state or {})
        elif isinstance(request, SubscribeGroupState) and not self.is_overtaken(number, request):
            is_new = group not in self._subscribed
            self._subscribed.add(group)
            if is_new and self._views[group].states:  # they came before the ack
                self._changed(group)

    def on_rejected(self, number: int, request: GroupStateRequest) -> None:
        """Also when a subscription cannot be renewed: it is none any more, and that is told."""
        if isinstance(request, SubscribeGroupState) and not self.is_overtaken(number, request):
            if request.group in self._subscribed:
                self._changed(request.group)
            self._drop(request.group)

    def _drop(self, group: str) -> None:
        self._subscribed.discard(group)
        self._views.pop(group, None)

    # --- what the service says ----------------------------------------------------------------

    def receive(self, message: GroupStateSnapshot | GroupStateUpdate, now: float) -> None:
        """What still comes for a group that nobody subscribes to any more is passed over."""
        view = self._views.get(message.group)
        if view is None:
            return
        take = view.replace if isinstance(message, GroupStateSnapshot) else view.update
        if take(message.items, now) and message.group in self._subscribed:
            self._changed(message.group)

    # --- the connection -----------------------------------------------------------------------

    def connection_lost(self) -> None:
        """The service forgets our states and subscriptions with the connection."""
        self._own.clear()
        self._to_renew = set(self._subscribed)
        for group, view in self._views.items():
            self._views[group] = GroupView()
            if view.states:
                self._changed(group)

    def to_renew(self) -> list[str]:
        """Subscriptions that a new connection does not have yet; each is told once."""
        wanted, self._to_renew = self._to_renew & self._subscribed, set()
        return sorted(wanted)

    def _changed(self, group: str) -> None:
        self._actions.append(Emit(GroupStatesChangedEvent(group)))


def _kind(request: GroupStateRequest) -> tuple[str, bool]:
    return request.group, isinstance(request, SetGroupState)
