"""All options of a client as keywords, checked, and as the session wants them."""

import math
from collections.abc import Callable
from typing import Any, Literal, TypedDict

from hubbub.client.observer import Observer
from hubbub.client.options import (
    BufferOptions,
    RecoveryOptions,
    RetryOptions,
    SequenceAckOptions,
    SubProtocol,
    check_limit,
)
from hubbub.client.transport import TransportOptions
from hubbub.protocol import client_options as session_options
from hubbub.protocol import limits
from hubbub.protocol.codecs import Codec, codec_named

RETRYABLE = session_options.ClientOptions().retryable_errors
"""Names of ack errors after which the same request may succeed."""
MAX_IN_FLIGHT = limits.ACK_ID_MEMORY
"""As many as the service remembers: see docs/design/0006-client.md."""
MESSAGE_RETRY = RetryOptions()
RECONNECT_RETRY = RetryOptions(None, 1.0, 30.0, "exponential", 1.0)
RECOVERY = RecoveryOptions()
SEQUENCE_ACK = SequenceAckOptions()
BUFFER = BufferOptions()


class ClientOptions(TypedDict, total=False):
    """The keywords of `Client`, for functions that pass them on: `**options: Unpack[…]`."""

    protocol: SubProtocol | Codec
    auto_reconnect: bool
    auto_rejoin_groups: bool
    message_retry: RetryOptions
    reconnect_retry: RetryOptions
    recovery: RecoveryOptions
    keep_alive_interval: float | None
    keep_alive_timeout: float | None
    sequence_ack: SequenceAckOptions
    start_timeout: float | None
    credential_timeout: float
    connected_timeout: float
    operation_timeout: float | None
    invoke_timeout: float | None
    close_timeout: float
    retry_first_connect: bool
    max_auth_failures: int
    stable_after: float
    duplicate_policy: Literal["raise", "resend"]
    retryable_ack_errors: frozenset[str]
    max_in_flight: int
    buffer: BufferOptions
    transport: TransportOptions | None
    json_loads: Callable[[str], Any] | None
    json_dumps: Callable[[Any], str] | None
    log_payloads: bool
    name: str | None
    observer: Observer | None


def codec_of(protocol: SubProtocol | Codec) -> Codec:
    """Raises: ImportError for protobuf without its package."""
    return codec_named(protocol.value) if isinstance(protocol, SubProtocol) else protocol


def check_options(
    *,
    keep_alive_interval: float | None,
    keep_alive_timeout: float | None,
    start_timeout: float | None,
    credential_timeout: float,
    connected_timeout: float,
    operation_timeout: float | None,
    invoke_timeout: float | None,
    close_timeout: float,
    max_auth_failures: int,
    stable_after: float,
    duplicate_policy: str,
    max_in_flight: int,
) -> None:
    """Raises: ValueError."""
    for name, seconds in (
        ("keep_alive_interval", keep_alive_interval),
        ("keep_alive_timeout", keep_alive_timeout),
        ("start_timeout", start_timeout),
        ("credential_timeout", credential_timeout),
        ("connected_timeout", connected_timeout),
        ("close_timeout", close_timeout),
    ):
        check_limit(name, seconds)
        if seconds == 0:
            raise ValueError(f"{name} must be above 0")
    check_limit("operation_timeout", operation_timeout)
    check_limit("invoke_timeout", invoke_timeout)
    if not 0 <= stable_after < math.inf:
        raise ValueError("stable_after must not be negative")
    if keep_alive_interval is not None and keep_alive_timeout is not None:
        if keep_alive_timeout <= keep_alive_interval:
            raise ValueError("keep_alive_timeout must be above keep_alive_interval")
    if max_auth_failures < 1:
        raise ValueError("max_auth_failures must be at least 1")
    if max_in_flight < 1:
        raise ValueError("max_in_flight must be at least 1")
    if duplicate_policy not in ("raise", "resend"):
        raise ValueError('duplicate_policy must be "raise" or "resend"')
