"""The timers of a client, and whether its link is alive."""

from hubbub.protocol.client_events import Action, ArmTimer, Timer
from hubbub.protocol.client_link import Link
from hubbub.protocol.client_options import ClientOptions
from hubbub.protocol.messages import Ping

_STANDSTILL_S = 5
"""A timer later than this means that the machine slept or the program was blocked."""


class Timers(dict[Timer, float]):
    """When each timer of the present state is due, and what the driver was asked to wait for."""

    def __init__(self, actions: list[Action]) -> None:
        super().__init__()
        self._actions = actions
        self._armed_at: float | None = None

    def begin(self, now: float) -> float:
        """The driver calls; seconds that it is late, where that means a standstill, else 0."""
        armed_at, self._armed_at = self._armed_at, None
        if armed_at is None or now - armed_at <= _STANDSTILL_S:
            return 0.0
        return now - armed_at

    def take(self, now: float, more: list[tuple[float, Timer]]) -> Timer | None:
        """The first that has run out, of ours or of `more`; it is due no longer."""
        first = self._first(more)
        if first is None or first[0] > now:
            return None
        self.pop(first[1], None)
        return first[1]

    def arm(self, more: list[tuple[float, Timer]]) -> None:
        """Ask for a call only where it must come earlier than the one already asked for: a timer
        that moves on with each frame costs nothing."""
        first = self._first(more)
        if first is None:
            if self._armed_at is not None:
                self._armed_at = None
                self._actions.append(ArmTimer(None))
        elif self._armed_at is None or first[0] < self._armed_at:
            self._armed_at = first[0]
            self._actions.append(ArmTimer(first[0]))

    def _first(self, more: list[tuple[float, Timer]]) -> tuple[float, Timer] | None:
        due = [(at, timer) for timer, at in self.items()]
        return min(due + more, default=None)


class KeepAlive:
    """A link is dead when a ping that we sent while running stayed unanswered."""

    __slots__ = ("_is_pinged", "_link", "_options", "_timers", "heard_at", "is_paused", "slept_s")

    def __init__(self, options: ClientOptions, link: Link, timers: Timers) -> None:
        self._options = options
        self._link = link
        self._timers = timers
        self._is_pinged = False
        self.heard_at: float | None = None
        """When the last frame came."""
        self.is_paused = False
        """The socket is not read, so its silence proves nothing."""
        self.slept_s = 0.0
        """How long our clock stood still, until the next sign of life."""

    @property
    def is_quiet(self) -> bool:
        """No ping waits for its answer."""
        return not self._is_pinged and not self.slept_s

    def go_on(self, now: float) -> bool:
        """The timer has run out: ask, or judge. False: the link is dead."""
        interval_s = self._options.keep_alive_interval_s
        timeout_s = self._options.keep_alive_timeout_s
        if self.is_paused:
            self._link.write(Ping())  # for the service's sake
            if interval_s is not None:
                self._timers[Timer.KEEP_ALIVE] = now + interval_s
        elif self._is_pinged:
            return False
        elif (
            interval_s is not None
            and self.heard_at is not None
            and self.heard_at + interval_s > now
        ):
            self._timers[Timer.KEEP_ALIVE] = self.heard_at + interval_s
        elif interval_s is not None and timeout_s is not None:
            self._ping(now + (timeout_s - interval_s))
        else:
            self._link.write(Ping())
            self.note_life(now)
        return True

    def probe(self, now: float, slept_s: float) -> None:
        """Ask at once, after our own clock stood still."""
        self.slept_s = slept_s
        self._ping(now + self._options.probe_s)

    def _ping(self, until: float) -> None:
        self._link.write(Ping())
        self._is_pinged = True
        self._timers[Timer.KEEP_ALIVE] = until

    def note_life(self, now: float) -> None:
        self.heard_at = now
        self._is_pinged = False
        self.slept_s = 0.0
        if self._options.keep_alive_interval_s is not None:
            self._timers[Timer.KEEP_ALIVE] = now + self._options.keep_alive_interval_s
        else:
            self._timers.pop(Timer.KEEP_ALIVE, None)
