"""The last loss of a client's link: when, why, and what the application hears of it."""

from dataclasses import replace

from hubbub.protocol.client_events import DisconnectedEvent, GapEvent, SocketLost

_POLICY_VIOLATION = 1008
_MAX_TOO_LARGE = 2
"""The service repeats a message that we could not take: after the second time it never ends."""


class Loss:
    """Filled by each loss; `gap` is told when the next connection is up."""

    __slots__ = ("_gap", "_last", "_too_large", "at", "said")

    def __init__(self) -> None:
        self.at = 0.0
        self.said: str | None = None
        """What the service said before it closed."""
        self._last = SocketLost(0)
        self._too_large = 0
        self._gap: GapEvent | None = None

    def take(self, loss: SocketLost, now: float) -> None:
        self.at = now
        self._last = loss
        self._too_large += loss.is_too_large

    def take_again(self, loss: SocketLost) -> None:
        """A recovery has failed too; what the service said first counts."""
        self._too_large += loss.is_too_large
        if self._last.close_code is None:
            self._last = loss

    def come_up(self) -> None:
        """A new connection: nothing of the old one counts."""
        self.said = None
        self._too_large = 0

    @property
    def is_too_large(self) -> bool:
        """A message that we do not take would come again and again."""
        return self._too_large >= _MAX_TOO_LARGE

    def is_final(self, close_code: int | None) -> bool:
        """The connection cannot be recovered."""
        return close_code == _POLICY_VIOLATION or self.is_too_large

    def disconnected(
        self, connection_id: str, cause: str, *, will_reconnect: bool
    ) -> DisconnectedEvent:
        last, said, self.said = self._last, self.said, None
        return DisconnectedEvent(
            connection_id, said, last.close_code, cause, will_reconnect, last.reason
        )

    def note_gap(self, connection_id: str, last_sequence_id: int) -> None:
        kind = "unparsable" if self.is_too_large else "reconnect"
        self._gap = GapEvent(kind, connection_id, None, last_sequence_id, 0, frozenset())

    def forget_gap(self) -> None:
        self._gap = None

    def gap(self, connection_id: str, now: float, joined: frozenset[str]) -> GapEvent | None:
        """To be told now, once."""
        gap, self._gap = self._gap, None
        if gap is None:
            return None
        return replace(gap, connection_id=connection_id, down_for_s=now - self.at, groups=joined)
