"""What can be set on a client; all times in seconds. Wrong values raise ValueError at once."""

import math
from dataclasses import dataclass
from enum import Enum
from typing import Final, Literal

from hubbub.protocol import client_options as session_options
from hubbub.protocol import limits


class SubProtocol(Enum):
    """The reliable ones are recovered after a lost link. Protobuf needs the package `protobuf`,
    and has no invocations."""

    JSON = "json.webpubsub.azure.v1"
    JSON_RELIABLE = "json.reliable.webpubsub.azure.v1"
    PROTOBUF = "protobuf.webpubsub.azure.v1"
    PROTOBUF_RELIABLE = "protobuf.reliable.webpubsub.azure.v1"


class Default(Enum):
    """Marks "as the client's option says"; None means no limit."""

    DEFAULT = "default"


DEFAULT: Final = Default.DEFAULT


def check_limit(name: str, seconds: float | None) -> None:
    """Raises: ValueError unless it is None or a time."""
    if seconds is not None and not 0 <= seconds < math.inf:
        raise ValueError(f"{name} must not be negative; None means no limit")


def check_whole(name: str, value: object, *, lowest: int, highest: int) -> None:
    """Raises: ValueError unless it is a whole number in this range."""
    if not isinstance(value, int) or not lowest <= value <= highest:
        raise ValueError(f"{name} is a whole number from {lowest} to {highest}")


@dataclass(frozen=True, slots=True)
class RetryOptions:
    """`max_retries` None: for ever. `jitter`: 0 to 1, the share of a pause left to chance."""

    max_retries: int | None = 3
    delay: float = 1.0
    max_delay: float = 30.0
    mode: Literal["fixed", "exponential"] = "fixed"
    jitter: float = 0.2

    def __post_init__(self) -> None:
        if self.max_retries is not None and self.max_retries < 0:
            raise ValueError("max_retries must not be negative")
        if not 0 <= self.delay <= self.max_delay < math.inf:
            raise ValueError("delays must not be negative, and max_delay not below delay")
        if not 0 <= self.jitter <= 1:
            raise ValueError("jitter must be between 0 and 1")
        if self.mode not in ("fixed", "exponential"):
            raise ValueError('mode must be "fixed" or "exponential"')

    def for_session(self) -> session_options.RetryOptions:
        return session_options.RetryOptions(
            self.max_retries, self.delay, self.max_delay, self.mode == "exponential", self.jitter
        )


@dataclass(frozen=True, slots=True)
class RecoveryOptions:
    """`window`: how long a lost connection is tried to be recovered; 0 = never."""

    window: float = limits.RECOVERY_WINDOW_S
    delay: float = 1.0
    jitter: float = 0.5
    probe_timeout: float = 5.0

    def __post_init__(self) -> None:
        times = (self.window, self.delay, self.probe_timeout)
        if not (all(0 <= t < math.inf for t in times) and self.delay and self.probe_timeout):
            raise ValueError("recovery times must not be negative, delay and probe_timeout not 0")
        if not 0 <= self.jitter <= 1:
            raise ValueError("jitter must be between 0 and 1")


@dataclass(frozen=True, slots=True)
class SequenceAckOptions:
    """Received messages are acknowledged after whichever comes first."""

    interval: float = 1.0
    max_messages: int = 200
    max_bytes: int = 2 * 1_048_576

    def __post_init__(self) -> None:
        if not 0 < self.interval < math.inf or self.max_messages < 1 or self.max_bytes < 1:
            raise ValueError("limits of sequence acks must be above 0")


@dataclass(frozen=True, slots=True)
class BufferOptions:
    """Bounds of one queue of events that wait for a handler or an iterator.

    `overflow` when it is full: "block" stops reading from the socket until half of it is taken
    (then the service holds the messages, and closes a client that lets 1,000 pile up there);
    such a queue holds its limit plus what one read of the socket brings. "drop-oldest" and
    "drop-newest" drop messages and say so by `gap` events; "disconnect" stops the client with the
    reason `slow-consumer`.

    While an operation waits for its answer a full queue goes on filling, so that a handler may
    wait for one, up to twice its limit, or 1,000 messages and 4 MiB where that is more. There, or
    after a pause of 10 s, a reliable client leaves the link, lets the queue drain to one half and
    recovers: nothing is lost as long as the service still holds it. A client that is not reliable
    drops what comes until then, and says so by `gap` events.
    """

    max_messages: int = 10_000
    max_bytes: int = 64 * 1_048_576
    overflow: Literal["block", "drop-oldest", "drop-newest", "disconnect"] = "block"

    def __post_init__(self) -> None:
        if self.max_messages < 1 or self.max_bytes < 1:
            raise ValueError("buffer limits must be above 0")
        if self.overflow not in ("block", "drop-oldest", "drop-newest", "disconnect"):
            raise ValueError(
                'overflow must be "block", "drop-oldest", "drop-newest" or "disconnect"'
            )
