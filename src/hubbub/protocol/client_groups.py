"""Which groups a client wants to be in, which it is in, and the rejoin after a new connection."""

from collections.abc import Iterable

from hubbub.protocol.client_events import OperationKey
from hubbub.protocol.messages import ErrorDetail


class Groups:
    """Wishes live as long as the client; memberships as long as a connection id.

    The rejoin phase lasts from a new connection until every wished group was answered (or time
    is up): `is_rejoining`. Groups that were added by the server side are not known here.
    """

    __slots__ = ("_unanswered", "_wished", "failed", "is_rejoining", "joined")

    def __init__(self, wished: Iterable[str] = ()) -> None:
        self._wished: dict[str, OperationKey | None] = dict.fromkeys(wished)
        self._unanswered: set[str] = set()
        self.joined: set[str] = set()
        self.failed: dict[str, ErrorDetail] = {}
        self.is_rejoining = False

    @property
    def wished(self) -> frozenset[str]:
        return frozenset(self._wished)

    def is_wished(self, group: str) -> bool:
        return group in self._wished

    def wish(self, group: str, key: OperationKey) -> None:
        self._wished[group] = key

    def drop_wish(self, group: str) -> None:
        self._wished.pop(group, None)
        self._answered(group)

    # --- answers of the service ---------------------------------------------------------------

    # After a recovery acks may come in another order than the calls: the wish knows which call
    # for a group was the last.

    def on_joined(self, group: str) -> None:
        if group in self._wished:
            self.joined.add(group)
        self.failed.pop(group, None)
        self._answered(group)

    def on_join_rejected(self, group: str, error: ErrorDetail, key: OperationKey | None) -> None:
        """A refused call takes its own wish back; a refused rejoin leaves the wish, because the
        permission may come back."""
        if group in self._unanswered:
            self.failed[group] = error
        if key is not None and self._wished.get(group) == key and group not in self.joined:
            del self._wished[group]
        self._answered(group)

    def on_left(self, group: str) -> None:
        if group not in self._wished:
            self.joined.discard(group)

    # --- a new connection ---------------------------------------------------------------------

    def start_rejoin(self, *, is_wanted: bool) -> list[str]:
        """Forget the memberships of the last connection; the groups to join now."""
        self.joined.clear()
        self.failed = {}
        wanted = list(self._wished) if is_wanted else []
        self._unanswered = set(wanted)
        self.is_rejoining = True
        return wanted

    @property
    def is_answered(self) -> bool:
        return not self._unanswered

    def end_rejoin(self) -> frozenset[str]:
        """End the phase; the groups that had no answer."""
        self.is_rejoining = False
        late = frozenset(self._unanswered)
        self._unanswered = set()
        return late

    def _answered(self, group: str) -> None:
        self._unanswered.discard(group)
