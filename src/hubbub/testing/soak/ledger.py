"""Who is owed which message, and was anything lost, doubled or reordered?

Constant in size for as long as messages arrive, so that it may run for hours beside what it judges.
"""

from collections import Counter, deque

_EXAMPLES = 10


class _Seat:
    """The account of one receiver."""

    __slots__ = ("groups", "last", "missing", "owed")

    def __init__(self) -> None:
        self.groups: dict[str, float] = {}
        """Those it is in for certain → since when."""
        self.last: dict[int, int] = {}
        """Sender → the latest number that came. Senders number all they send, from 1 on."""
        self.owed: dict[int, deque[int]] = {}
        self.missing: set[tuple[int, int]] = set()


class Ledger:
    """Senders send one after the other: the next when the last was accepted or has failed.

    A message is owed to those who were in its group before it was sent, had not asked to leave
    when it was accepted, and were not connected anew meanwhile.
    """

    def __init__(self, receivers: int) -> None:
        self._seats = [_Seat() for _ in range(receivers)]
        self._members: dict[str, set[int]] = {}
        self.counts: Counter[str] = Counter()
        """accepted, delivered, lost, doubled, reordered, excused (owed when a session was lost)."""
        self.examples: list[str] = []

    @property
    def owed(self) -> int:
        return sum(len(owed) for seat in self._seats for owed in seat.owed.values())

    # --- membership --------------------------------------------------------------------------

    def joined(self, receiver: int, group: str, at: float) -> None:
        self._seats[receiver].groups[group] = at
        self._members.setdefault(group, set()).add(receiver)

    def leaves(self, receiver: int, group: str) -> None:
        """It asks to leave; what was accepted before is owed all the same."""
        self._seats[receiver].groups.pop(group, None)
        self._members.get(group, set()).discard(receiver)

    def reconnected(self, receiver: int, rejoined: frozenset[str], at: float) -> None:
        """Its session is another one: what was under way may be gone, what comes may not."""
        seat = self._seats[receiver]
        self.counts["excused"] += sum(map(len, seat.owed.values()))
        seat.owed.clear()
        for group in list(seat.groups):
            self.leaves(receiver, group)
            if group in rejoined:
                self.joined(receiver, group, at)

    # --- messages ----------------------------------------------------------------------------

    def accepted(self, sender: int, group: str, number: int, begun_at: float) -> None:
        self.counts["accepted"] += 1
        for receiver in self._members.get(group, ()):
            seat = self._seats[receiver]
            if seat.groups[group] < begun_at and seat.last.get(sender, 0) < number:
                seat.owed.setdefault(sender, deque()).append(number)

    def got(self, receiver: int, sender: int, number: int) -> None:
        self.counts["delivered"] += 1
        seat = self._seats[receiver]
        if number <= seat.last.get(sender, 0):
            is_late = (sender, number) in seat.missing
            seat.missing.discard((sender, number))
            self.counts["lost"] -= is_late
            self._note("reordered" if is_late else "doubled", receiver, sender, number)
            return
        seat.last[sender] = number
        owed = seat.owed.get(sender)
        while owed and owed[0] <= number:
            if (due := owed.popleft()) < number:
                self._miss(seat, receiver, sender, due)
        if owed is not None and not owed:
            del seat.owed[sender]

    def close(self) -> None:
        """Nothing more will come: what is still owed is lost."""
        for receiver, seat in enumerate(self._seats):
            for sender, owed in seat.owed.items():
                for number in owed:
                    self._miss(seat, receiver, sender, number)
            seat.owed.clear()

    def _miss(self, seat: _Seat, receiver: int, sender: int, number: int) -> None:
        seat.missing.add((sender, number))
        self._note("lost", receiver, sender, number)

    def _note(self, what: str, receiver: int, sender: int, number: int) -> None:
        self.counts[what] += 1
        if len(self.examples) < _EXAMPLES:
            self.examples.append(f"{what}: number {number} of client {sender} to {receiver}")
