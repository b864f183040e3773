"""What a `ClientSession` is told once: limits, pauses, retries. Times are in seconds."""

from dataclasses import dataclass

from hubbub.protocol import limits


@dataclass(frozen=True, slots=True)
class RetryOptions:
    """`max_retries` None: for ever. `jitter`: 0 to 1, the share of a pause left to chance."""

    max_retries: int | None
    delay_s: float
    max_delay_s: float
    is_exponential: bool
    jitter: float

    def allows(self, retry: int) -> bool:
        return self.max_retries is None or retry <= self.max_retries

    def pause_s(self, retry: int, u: float) -> float:
        """Before retry 1, 2, …; `u` is drawn evenly from 0 to 1."""
        if not self.is_exponential:
            return self.delay_s * (1 + self.jitter * (2 * u - 1))
        growth = min(retry - 1, 63)
        return min(self.max_delay_s, self.delay_s * 2.0**growth) * (1 - self.jitter * u)


@dataclass(frozen=True, slots=True)
class ClientOptions:
    """Defaults are those of the client library."""

    is_reliable: bool = True
    auto_reconnect: bool = True
    auto_rejoin_groups: bool = True
    has_static_url: bool = False
    """The credential cannot give another address, so a 401 is final."""
    retry_first_connect: bool = False
    resend_after_reconnect: bool = False
    """Send again, on a new connection, what may have been executed on the lost one."""
    message_retry: RetryOptions = RetryOptions(3, 1, 30, False, 0.2)
    reconnect_retry: RetryOptions = RetryOptions(None, 1, 30, True, 1)
    recovery_window_s: float = limits.RECOVERY_WINDOW_S
    recovery_pause_s: float = 1
    recovery_jitter: float = 0.5
    recovery_try_s: float = 5
    keep_alive_interval_s: float | None = 15
    keep_alive_timeout_s: float | None = 30
    probe_s: float = 5
    """Limit of a ping that is sent because our own clock stood still."""
    sequence_ack_s: float = 1
    sequence_ack_messages: int = 200
    sequence_ack_bytes: int = 2 * 1_048_576
    credential_s: float = 10
    open_s: float = 10
    connected_s: float = 10
    start_s: float | None = 30
    close_s: float = 5
    rejoin_s: float = 10
    rejoins_in_flight: int = 50
    held_messages: int = limits.OUTBOUND_QUEUE_MESSAGES
    """Messages kept back until the rejoin phase ends; one more ends it early."""
    max_auth_failures: int = 5
    stable_after_s: float = 10
    retryable_errors: frozenset[str] = frozenset(
        {"InternalServerError", "TransientError", "ServiceUnavailable"}
    )
    max_in_flight: int = limits.ACK_ID_MEMORY
    """Requests from the oldest one without an ack on. What the service remembers: beyond that a
    repeat could be executed twice."""
    max_operations: int = 10_000
