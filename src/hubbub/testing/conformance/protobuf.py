"""Just enough protobuf to write requests and to read answers, field number by field number."""

import base64
from collections.abc import Mapping
from typing import Any

VARINT, BYTES = 0, 2


class Misshapen(ValueError):
    """These bytes are no protobuf message."""


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def field(number: int, value: int | str | bytes) -> bytes:
    """One field: an int as a varint, a text or bytes with its length."""
    if isinstance(value, int):
        return varint(number << 3 | VARINT) + varint(value)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | BYTES) + varint(len(data)) + data


def any_of(type_url: str, value: bytes) -> bytes:
    """`google.protobuf.Any`."""
    return field(1, type_url) + field(2, value)


TEXT, BINARY, ANY = 1, 2, 3
"""Kinds of data: the field numbers of `MessageData`."""

PING = field(9, b"")


def join(group: str, ack_id: int) -> bytes:
    return field(6, field(1, group) + field(2, ack_id))


def leave(group: str, ack_id: int) -> bytes:
    return field(7, field(1, group) + field(2, ack_id))


def send(group: str, kind: int, data: str | bytes, ack_id: int | None = None) -> bytes:
    body = field(1, group) + (b"" if ack_id is None else field(2, ack_id))
    return field(1, body + field(3, field(kind, data)))


def event(name: str, kind: int, data: str | bytes, ack_id: int | None = None) -> bytes:
    body = field(1, name) + field(2, field(kind, data))
    return field(5, body + (b"" if ack_id is None else field(3, ack_id)))


def sequence_ack(sequence_id: int) -> bytes:
    return field(8, field(1, sequence_id))


def fields_of(data: bytes) -> dict[int, list[Any]]:
    """Number → the values, in order: an int, or bytes. Raises: Misshapen."""
    found: dict[int, list[Any]] = {}
    at = 0
    while at < len(data):
        key, at = _read_varint(data, at)
        value: int | bytes
        if key & 7 == VARINT:
            value, at = _read_varint(data, at)
        elif key & 7 == BYTES:
            size, at = _read_varint(data, at)
            if at + size > len(data):
                raise Misshapen("a field is longer than the message")
            value, at = data[at : at + size], at + size
        else:
            raise Misshapen(f"a field has the wire type {key & 7}")
        found.setdefault(key >> 3, []).append(value)
    return found


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            break
        byte, at = data[at], at + 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise Misshapen("a number does not end")


def read_answer(data: bytes) -> dict[str, Any]:
    """A message of the service, with the field names that its JSON form has. Raises: Misshapen."""
    ((number, (body, *_)),) = fields_of(data).items() or [(0, [b""])]
    if not isinstance(body, bytes):
        raise Misshapen("the message is a number")
    inner = fields_of(body)
    if number == 1:
        return _ack(inner)
    if number == 2:
        return _message(inner)
    if number == 3:
        return _system(inner)
    if number == 4:
        return {"type": "pong"}
    return {"type": f"field {number}"}


def _text(inner: Mapping[int, list[Any]], number: int) -> str | None:
    values = inner.get(number)
    return None if values is None else bytes(values[-1]).decode("utf-8", "replace")


def _ack(inner: Mapping[int, list[Any]]) -> dict[str, Any]:
    ack: dict[str, Any] = {
        "type": "ack",
        "ackId": inner.get(1, [0])[-1],
        "success": bool(inner.get(2, [0])[-1]),
    }
    if 3 in inner:
        error = fields_of(inner[3][-1])
        ack["error"] = {"name": _text(error, 1), "message": _text(error, 2)}
    return ack


def _message(inner: Mapping[int, list[Any]]) -> dict[str, Any]:
    message: dict[str, Any] = {"type": "message", "from": _text(inner, 1)}
    if 2 in inner:
        message["group"] = _text(inner, 2)
    for kind, value in fields_of(inner.get(3, [b""])[-1]).items():
        data = bytes(value[-1])
        if kind == BINARY or kind == ANY:
            message["dataType"] = "binary" if kind == BINARY else "protobuf"
            message["data"] = base64.b64encode(data).decode()
        else:
            message["dataType"] = "text" if kind == TEXT else f"field {kind}"
            message["data"] = data.decode("utf-8", "replace")
    if 4 in inner:
        message["sequenceId"] = inner[4][-1]
    return message


def _system(inner: Mapping[int, list[Any]]) -> dict[str, Any]:
    if 1 in inner:
        body = fields_of(inner[1][-1])
        return {
            "type": "system",
            "event": "connected",
            "connectionId": _text(body, 1),
            "userId": _text(body, 2),
            "reconnectionToken": _text(body, 3),
        }
    body = fields_of(inner.get(2, [b""])[-1])
    return {"type": "system", "event": "disconnected", "message": _text(body, 2)}
