"""What of `client_events` is about streams."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hubbub.protocol.messages import Payload, StreamError

if TYPE_CHECKING:
    from hubbub.protocol.client_stream_readers import InboundStream, StreamReader
    from hubbub.protocol.client_streams import OutboundStream


# --- inputs -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class OpenStream:
    """Start it as soon as the link is there. Its id is that of no other open stream."""

    stream: "OutboundStream"


@dataclass(frozen=True, slots=True)
class WriteFragment:
    """Where `stream.can_write`; nothing happens when it is not open any more."""

    stream: "OutboundStream"
    payload: Payload


@dataclass(frozen=True, slots=True)
class KeepStreamAlive:
    stream: "OutboundStream"


@dataclass(frozen=True, slots=True)
class EndStream:
    """`error` None: after all fragments, and done when the service says so. Otherwise give it up
    now, in whatever phase; members hear the error where they know of the stream."""

    stream: "OutboundStream"
    error: StreamError | None = None


@dataclass(frozen=True, slots=True)
class ReadStreams:
    reader: "StreamReader"


@dataclass(frozen=True, slots=True)
class StopReading:
    reader: "StreamReader"


@dataclass(frozen=True, slots=True)
class LeaveStream:
    """Read one stream no further."""

    reader: "StreamReader"
    stream: "InboundStream"


StreamInput = (
    OpenStream
    | WriteFragment
    | KeepStreamAlive
    | EndStream
    | ReadStreams
    | StopReading
    | LeaveStream
)


# --- actions ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class StreamBegan:
    """A stream of somebody else, for whoever reads."""

    reader: "StreamReader"
    stream: "InboundStream"


@dataclass(frozen=True, slots=True)
class StreamNews:
    """It has opened or ended, has room again, or a part more."""

    stream: "OutboundStream | InboundStream"
