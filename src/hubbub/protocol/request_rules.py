"""Rules for what a client asks that do not depend on the encoding of the request."""

import re
from itertools import accumulate

from hubbub.protocol import limits
from hubbub.protocol.errors import InvalidMessage
from hubbub.protocol.messages import Metadata, Payload, StreamStart, text_payload
from hubbub.protocol.names import group_name

_METADATA_KEY = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_METADATA_VALUE = re.compile(r"[\t\x20-\x7e]*")


def checked_metadata(metadata: Metadata) -> Metadata:
    """Metadata travels on as HTTP headers: keys are header names, values have no control codes."""
    total = 0
    if len(metadata) > limits.MAX_METADATA_TOTAL_BYTES:  # a look at each would hold up everybody
        raise InvalidMessage(f"metadata is above {limits.MAX_METADATA_TOTAL_BYTES} bytes")
    for key, value in metadata.items():
        if len(key) > limits.MAX_METADATA_KEY_BYTES or not _METADATA_KEY.fullmatch(key):
            raise InvalidMessage("a metadata key must be a short HTTP header name")
        if len(value) > limits.MAX_METADATA_VALUE_BYTES or not _METADATA_VALUE.fullmatch(value):
            raise InvalidMessage("a metadata value must be short printable ASCII text")
        total += len(key) + len(value)
    if total > limits.MAX_METADATA_TOTAL_BYTES:
        raise InvalidMessage(f"metadata is above {limits.MAX_METADATA_TOTAL_BYTES} bytes")
    return metadata


def payload_without_data(metadata: Metadata | None) -> Payload:
    """Metadata alone is a message with an empty text; a message without both is none."""
    if metadata is None:
        raise InvalidMessage("the message has no data")
    return text_payload("")


def stream_start(
    group: str,
    stream_id: str,
    idle_timeout_ms: int | None,
    *,
    no_echo: bool,
    is_bare: bool,
) -> StreamStart:
    """What is wrong with a start is told on the stream, not by closing the connection.

    `is_bare`: it has no data and no ack id. Raises: InvalidName.
    """
    problem = ""
    if not is_bare:
        problem = "a stream start has no data and no ack id"
    elif not 0 < len(stream_id) <= limits.MAX_STREAM_ID_CHARS:
        problem = f"the id of a stream has 1 to {limits.MAX_STREAM_ID_CHARS} characters"
    elif idle_timeout_ms is None:
        idle_timeout_ms = limits.STREAM_IDLE_TIMEOUT_MS
    elif not 0 < idle_timeout_ms <= limits.MAX_STREAM_IDLE_TIMEOUT_MS:
        problem = f"the idle time-out is 1 to {limits.MAX_STREAM_IDLE_TIMEOUT_MS} ms"
    return StreamStart(group_name(group), stream_id, idle_timeout_ms or 0, no_echo, problem)


def check_depth(data: bytes, levels: int = limits.MAX_JSON_DEPTH) -> None:
    """InvalidMessage if the JSON in `data` is nested more than this many levels deep."""
    if _has_brackets(data, levels):
        _count_levels(data, levels)


def _has_brackets(data: bytes, levels: int) -> bool:
    # Looking for one is a good deal faster than counting, and the message of a text has none.
    if data.rfind(b"{") <= 0 and 0x5B not in data:
        return False
    return data.count(b"{") + data.count(b"[") > levels


_STEPS = bytes.maketrans(b"[{]}", b"\x01\x01\xff\xff")
_NO_STRUCTURE = bytes(set(range(256)) - set(b'[]{}"'))


def _count_levels(data: bytes, levels: int) -> None:
    """Works on whole buffers, because a loop over a message full of brackets would hold up
    everybody: takes escapes and text away, leaves out what stands between quotation marks, and
    adds up the brackets as signed bytes."""
    marks = data.replace(b"\\\\", b"").replace(b'\\"', b"").translate(None, _NO_STRUCTURE)
    outside = b"".join(marks.replace(b'""', b"").split(b'"')[::2]).translate(_STEPS)
    if max(accumulate(memoryview(outside).cast("b")), default=0) > levels:
        raise InvalidMessage(f"nested more than {limits.MAX_JSON_DEPTH} levels deep")
