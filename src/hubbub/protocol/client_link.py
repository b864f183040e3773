"""One try after the other to get a socket, and when to try again."""

from collections.abc import Callable
from enum import StrEnum

from hubbub.protocol.client_events import (
    AbandonUrl,
    AbortSocket,
    Action,
    CloseSocket,
    GetUrl,
    LinkInput,
    OpenSocket,
    Recovery,
    SocketFailed,
    SocketLost,
    StartFailed,
    Timer,
    UrlFailed,
    Write,
)
from hubbub.protocol.client_options import ClientOptions
from hubbub.protocol.messages import Ping, Request


class Step(StrEnum):
    """How far the present try is. The value names the phase in errors."""

    URL = "credential"
    OPENING = "open"
    PROVING = "connected"
    """Open; the frame that proves it has not come."""
    UP = "up"
    NONE = "none"


class Link:
    """The present try. `number` rises with each, so that late inputs of an old one are known."""

    __slots__ = ("_actions", "_options", "_unopened", "due", "failures", "number", "step")

    def __init__(self, options: ClientOptions, actions: list[Action]) -> None:
        self._options = options
        self._actions = actions
        self._unopened = 0
        """Tries that were not open in time, one after the other."""
        self.number = 0
        self.failures = 0
        self.step = Step.NONE
        self.due: float | None = None
        """Limit of the present step."""

    @property
    def is_open(self) -> bool:
        return self.step is Step.PROVING or self.step is Step.UP

    def get_url(self, now: float, attempt: int, *, is_reconnect: bool) -> None:
        self._begin(Step.URL, now + self._options.credential_s)
        self._actions.append(GetUrl(self.number, attempt, is_reconnect))

    def open(self, now: float) -> None:
        self.step, self.due = Step.OPENING, now + self._options.open_s
        self._actions.append(OpenSocket(self.number))

    def await_connected(self, now: float) -> None:
        self.step, self.due = Step.PROVING, now + self._options.connected_s

    def open_again(self, now: float, recovery: Recovery, *, without_access_token: bool) -> None:
        """Each try has more time to open than the one before: where a service is slow because
        everybody comes back at once, tries that are all given up early would keep it so."""
        limit_s = self._options.recovery_try_s * (1 + self._unopened)
        self._begin(Step.OPENING, now + limit_s)
        self._actions.append(OpenSocket(self.number, recovery, without_access_token))

    def await_proof(self, now: float) -> None:
        """An open socket proves nothing yet; any frame does, and the ping asks for one."""
        self.step, self.due = Step.PROVING, now + self._options.recovery_try_s
        self.write(Ping())

    def come_up(self) -> None:
        self.step, self.due = Step.UP, None
        self._unopened = 0

    def write(self, request: Request) -> None:
        self._actions.append(Write(self.number, request))

    def close(self, code: int) -> None:
        self._actions.append(CloseSocket(self.number, code))

    def end(self, why: LinkInput | Timer) -> StartFailed:
        """The try has failed: drop what is left of it, and say what went wrong."""
        self.failures += 1
        phase = self.step.value
        is_unopened = self.step is Step.OPENING and isinstance(why, Timer)
        self._unopened = self._unopened + 1 if is_unopened else 0
        match why:
            case UrlFailed():
                failure = StartFailed(phase, why.error)
            case SocketFailed():
                failure = StartFailed(phase, why.error, status=why.status)
            case SocketLost():
                code, reason = why.close_code, why.reason
                failure = StartFailed(phase, why.text, close_code=code, close_reason=reason)
            case _:
                failure = StartFailed(phase, "timed out", is_timeout=True)
        self.drop(is_gone=not isinstance(why, Timer))
        return failure

    def drop(self, *, is_gone: bool = False) -> None:
        """End it at our side, unless it is gone; whatever it still reports is too late."""
        if self.step is Step.URL and not is_gone:
            self._actions.append(AbandonUrl(self.number))
        elif self.step is not Step.NONE and not is_gone:
            self._actions.append(AbortSocket(self.number))
        self._begin(Step.NONE, None)

    def _begin(self, step: Step, due: float | None) -> None:
        self.number += 1
        self.step, self.due = step, due


_MAX_RETRY_AFTER_S = 300
_FLAPS = 5
_MAX_FLAP_PAUSE_S = 8
_UNAUTHORIZED = (401, 403)


class Pauses:
    """How long to wait before the next try, and whether there is one.

    `attempt` counts tries for a new connection; it starts again only after a connection was up
    for `stable_after_s`, so that a link which comes and goes is tried ever more rarely.
    """

    __slots__ = ("_auth_failures", "_draw", "_options", "_short_recoveries", "_up_at", "attempt")

    def __init__(self, options: ClientOptions, draw: Callable[[], float]) -> None:
        self._options = options
        self._draw = draw
        self._auth_failures = 0
        self._short_recoveries = 0
        self._up_at = 0.0
        self.attempt = 0

    def start(self) -> None:
        self.attempt = 1
        self._auth_failures = self._short_recoveries = 0

    def come_up(self, now: float, *, is_start: bool = False) -> None:
        """The tries of the start are no tries of a later reconnect."""
        self._up_at = now
        if is_start:
            self.attempt = 0
        self._auth_failures = 0

    def lose_link(self, now: float) -> None:
        up_for_s = now - self._up_at
        if up_for_s >= self._options.stable_after_s:
            self.attempt = 0
        is_short = up_for_s < self._options.recovery_try_s
        self._short_recoveries = self._short_recoveries + 1 if is_short else 0

    def is_auth_final(self, failure: StartFailed) -> bool:
        """True: no other access URL will help."""
        if failure.status not in _UNAUTHORIZED:
            if failure.phase != Step.URL:
                self._auth_failures = 0
            return False
        self._auth_failures += 1
        options = self._options
        return options.has_static_url or self._auth_failures >= options.max_auth_failures

    def next_attempt(self) -> bool:
        """Count one more; False: there are no more."""
        self.attempt += 1
        return self._options.reconnect_retry.allows(self.attempt)

    def before_attempt_s(self, why: LinkInput | Timer | None = None) -> float:
        pause_s = self._options.reconnect_retry.pause_s(self.attempt, self._draw())
        return max(pause_s, _retry_after_s(why))

    @property
    def is_flapping(self) -> bool:
        """Recoveries succeed, but the link does not last."""
        return self._short_recoveries > _FLAPS

    def before_recovery_s(self, why: LinkInput | Timer | None = None) -> float:
        options = self._options
        pause_s = options.recovery_pause_s * (1 + options.recovery_jitter * (2 * self._draw() - 1))
        if self.is_flapping:
            growth = min(self._short_recoveries - _FLAPS, 8)
            pause_s = min(pause_s * 2.0**growth, _MAX_FLAP_PAUSE_S)
        return max(pause_s, _retry_after_s(why))


def is_unauthorized(failure: StartFailed) -> bool:
    return failure.status in _UNAUTHORIZED


def _retry_after_s(why: LinkInput | Timer | None) -> float:
    if isinstance(why, SocketFailed | UrlFailed) and why.retry_after_s is not None:
        return min(why.retry_after_s, _MAX_RETRY_AFTER_S)
    return 0
