"""What a client has done so far, as numbers."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ClientStats:
    """A snapshot; counts are those of the whole life of the client.

    `last_rtt` and `last_inbound_age` are seconds, `connected_since` a Unix time; None: there is
    none yet, or no connection. `lane_depth_max`: the most events that one handler or iterator had
    to wait with.
    """

    frames_in: int
    frames_out: int
    bytes_in: int
    bytes_out: int
    pending_acks: int
    pending_invocations: int
    retries: int
    resent: int
    recoveries: int
    reconnects: int
    connect_failures: int
    duplicates_dropped: int
    sequence_jumps: int
    unknown_frames: int
    bad_frames: int
    lane_depth_max: int
    messages_dropped: int
    last_rtt: float | None
    last_inbound_age: float | None
    connected_since: float | None


class Counters:
    """Those that the driver keeps; plain numbers, because each frame counts."""

    __slots__ = ("bad", "bytes_in", "bytes_out", "frames_in", "frames_out", "last_rtt", "unknown")

    def __init__(self) -> None:
        self.frames_in = self.frames_out = 0
        self.bytes_in = self.bytes_out = 0
        self.unknown = self.bad = 0
        self.last_rtt: float | None = None
