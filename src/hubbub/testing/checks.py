"""Was anything lost, doubled or reordered?"""

from collections import Counter
from collections.abc import Hashable, Iterable


class History:
    """What was sent and what came, in order. Values must be told apart: number them.

    history = History()
    history.sent(1)
    history.got(1)
    history.check()
    """

    def __init__(self) -> None:
        self._sent: list[Hashable] = []
        self._got: list[Hashable] = []

    def sent(self, *values: Hashable) -> None:
        """To be called in the order of sending."""
        self._sent += values

    def got(self, *values: Hashable) -> None:
        """To be called in the order of coming."""
        self._got += values

    @property
    def lost(self) -> list[Hashable]:
        """Sent, and never came."""
        came = set(self._got)
        return [value for value in self._sent if value not in came]

    @property
    def doubled(self) -> list[Hashable]:
        """Came more than once."""
        return [value for value, count in Counter(self._got).items() if count > 1]

    @property
    def unknown(self) -> list[Hashable]:
        """Came, and was never sent."""
        known = set(self._sent)
        return [value for value in self._got if value not in known]

    @property
    def reordered(self) -> list[Hashable]:
        """Those that came after one that was sent later."""
        place = {value: i for i, value in enumerate(self._sent)}
        found, furthest = [], -1
        for value in self._got:
            here = place.get(value, furthest)
            if here < furthest:
                found.append(value)
            furthest = max(furthest, here)
        return found

    def check(self) -> None:
        """Raises: AssertionError that says what is wrong and with which values, or that there
        was nothing to check."""
        if not (self._sent or self._got):
            raise AssertionError("nothing was sent and nothing came: there is nothing to check")
        problems = [
            f"{name}: {_shortened(values)}"
            for name, values in (
                ("lost", self.lost),
                ("doubled", self.doubled),
                ("reordered", self.reordered),
                ("never sent", self.unknown),
            )
            if values
        ]
        if problems:
            count = f"{len(self._sent)} sent, {len(self._got)} came"
            raise AssertionError(f"{count}; " + "; ".join(problems))


def _shortened(values: Iterable[Hashable]) -> str:
    texts = [repr(value) for value in values]
    rest = f" and {len(texts) - 10} more" if len(texts) > 10 else ""
    return ", ".join(texts[:10]) + rest
