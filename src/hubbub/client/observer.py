"""What a client does, told to an object of the application: for metrics and tracing."""

from collections.abc import Callable
from typing import Literal

from hubbub.client.logs import ClientLog
from hubbub.protocol import client_events as ce
from hubbub.protocol.messages import Request, Response


class Observer:
    """Derive from it and override what you want to hear of; nothing else has to be there.

    All is called in the event loop of the client, in the order of what happens; so it must be
    quick. An error in it is logged, the first one only, and harms nothing. Kinds and outcomes have
    few values, so that they can be labels of metrics.
    """

    def on_state(self, state: ce.State, cause: str) -> None:
        """The client is in another state."""

    def on_frame(self, direction: Literal["in", "out"], kind: str, size: int) -> None:
        """A frame came or is written. `kind`: `data-message`, `ack`, `send-to-group` and so on;
        `unknown`, or `invalid` where it is no message. `size`: bytes of it, 0 for a WebSocket ping.
        """

    def on_operation(self, kind: str, duration: float, outcome: str) -> None:
        """A call has ended. `kind`: `join-group`, `leave-group`, `send-to-group`, `send-event`,
        `invoke`, `set-group-state`, `subscribe-group-state` or `unsubscribe-group-state`.

        `duration`: seconds from the call on. `outcome`: `done`; `duplicated` (an earlier try had
        done it); `not-sent`, `rejected` or `unknown`, as of the error; or `cancelled`.
        """


class Watch:
    """Tells the observer of one client, and keeps its errors away from the client."""

    def __init__(self, observer: Observer, log: ClientLog) -> None:
        self._observer = observer
        self._log = log
        self._has_failed = False

    def state(self, change: ce.StateChanged) -> None:
        self._tell(self._observer.on_state, change.state, change.cause)

    def received(self, message: Response | None, size: int) -> None:
        kind = "unknown" if message is None else _kind(type(message))
        self._tell(self._observer.on_frame, "in", kind, size)

    def invalid(self, size: int) -> None:
        self._tell(self._observer.on_frame, "in", "invalid", size)

    def sent(self, request: Request, size: int) -> None:
        self._tell(self._observer.on_frame, "out", _kind(type(request)), size)

    def operation(self, request: ce.OperationRequest, duration: float, outcome: str) -> None:
        self._tell(self._observer.on_operation, _kind(type(request)), duration, outcome)

    def _tell(self, method: Callable[..., object], *what: object) -> None:
        try:
            method(*what)
        except Exception as error:
            if not self._has_failed:
                self._has_failed = True
                text = "the observer failed; further errors in it are not logged"
                self._log.error(text, exc_info=error)


_KINDS: dict[type, str] = {}


def _kind(message: type) -> str:
    """`SendToGroup` is `send-to-group`."""
    kind = _KINDS.get(message)
    if kind is None:
        words = "".join(f"-{c.lower()}" if c.isupper() else c for c in message.__name__)
        kind = _KINDS[message] = words.removeprefix("-")
    return kind
