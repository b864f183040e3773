"""WebSocket frames as the service writes them: unmasked, whole, one `bytes` each (RFC 6455, 5.2)."""

from struct import pack

from hubbub.protocol.limits import MAX_CLOSE_REASON_BYTES

TEXT = 0x81
BINARY = 0x82
CLOSE = 0x88
PING = 0x89
PONG = 0x8A
"""First byte of a frame: FIN and the opcode."""


def frame(first_byte: int, payload: bytes) -> bytes:
    size = len(payload)
    if size < 126:
        return bytes((first_byte, size)) + payload
    if size < 65536:
        return pack("!BBH", first_byte, 126, size) + payload
    return pack("!BBQ", first_byte, 127, size) + payload


def close_frame(code: int | None, reason: str = "") -> bytes:
    """`code` None: without a status. The reason is cut to what a close frame holds."""
    if code is None:
        return frame(CLOSE, b"")
    text = reason.encode()[:MAX_CLOSE_REASON_BYTES].decode(errors="ignore").encode()
    return frame(CLOSE, pack("!H", code) + text)


PING_FRAME = frame(PING, b"")


def is_valid_close_code(code: int) -> bool:
    """May this code stand in a close frame of a client? (RFC 6455, 7.4.1, 7.4.2)"""
    return 1000 <= code <= 1003 or 1007 <= code <= 1014 or 3000 <= code <= 4999
