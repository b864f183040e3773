"""Python values as application data, for the client and the application server alike."""

import math
from collections.abc import Mapping
from typing import Any, cast

import msgspec

from hubbub.protocol.messages import DataType, Payload


def data_type_of(value: object) -> DataType:
    """str is text, bytes are binary, everything else is JSON."""
    if isinstance(value, str):
        return DataType.TEXT
    return DataType.JSON if bytes_of(value) is None else DataType.BINARY


def encode(value: object, data_type: DataType) -> bytes:
    """The bytes of a value. Bytes are taken as they are, for every type; else TypeError.

    A str becomes a JSON string where the type is JSON. Raises: ValueError for NaN and infinities,
    which JSON does not have.
    """
    data = bytes_of(value)
    if data is not None:
        return data
    if data_type is DataType.JSON:
        text = msgspec.json.encode(value)
        # They would be written as null: a silent change.
        if b"null" in text and _holds_no_number(value):
            raise ValueError("JSON has no NaN and no infinity")
        return text
    if data_type is DataType.TEXT and isinstance(value, str):
        return value.encode()
    raise TypeError(f"{type(value).__name__} cannot be sent as {data_type.value}")


def _holds_no_number(value: object) -> bool:
    if isinstance(value, float):
        return not math.isfinite(value)
    if isinstance(value, Mapping):
        mapping: Mapping[Any, Any] = value
        return any(map(_holds_no_number, mapping.values()))
    if isinstance(value, (list, tuple, set, frozenset)):
        return any(map(_holds_no_number, cast("list[Any]", value)))
    return False


def bytes_of(value: object) -> bytes | None:
    """The bytes of a bytes-like value, None for anything else."""
    if isinstance(value, bytes):
        return value
    if isinstance(value, bytearray):
        return bytes(value)
    return cast("memoryview[int]", value).tobytes() if isinstance(value, memoryview) else None


def decode(payload: Payload) -> Any:
    """The JSON value, the text, or the bytes."""
    if payload.data_type is DataType.JSON:
        return msgspec.json.decode(payload.raw)
    if payload.data_type is DataType.TEXT:
        return payload.raw.decode()
    return payload.raw
