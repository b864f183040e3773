"""Application data as Python values and as payloads."""

from collections.abc import Mapping
from typing import Any

import msgspec

from hubbub.protocol.errors import InvalidMessage
from hubbub.protocol.messages import DataType, Payload
from hubbub.protocol.request_rules import checked_metadata


def encode_payload(data: object, data_type: str | None) -> Payload:
    """Raises: TypeError, ValueError."""
    if data_type is None:
        kind = DataType.JSON
        if isinstance(data, str):
            kind = DataType.TEXT
        elif isinstance(data, (bytes, bytearray, memoryview)):
            kind = DataType.BINARY
    else:
        kind = DataType(data_type)
    if kind is DataType.TEXT:
        if not isinstance(data, str):
            raise TypeError(f"text data is str, not {type(data).__name__}")
        return Payload(kind, raw=data.encode())
    if kind is DataType.JSON:
        return Payload(kind, raw=_json(data))
    if not isinstance(data, (bytes, bytearray, memoryview)):
        raise TypeError(f"{kind.value} data is bytes, not {type(data).__name__}")
    return Payload(kind, raw=bytes(data))


def _json(data: object) -> bytes:
    text = msgspec.json.encode(data)
    # msgspec writes NaN and infinities as null, which would be a silent change.
    if b"null" in text and _has_no_number(data):
        raise ValueError("JSON has no NaN and no infinity")
    return text


def _has_no_number(data: object) -> bool:
    if isinstance(data, float):
        return data != data or data in (float("inf"), float("-inf"))
    if isinstance(data, Mapping):
        return any(_has_no_number(value) for value in data.values())
    if isinstance(data, (list, tuple, set, frozenset)):
        return any(_has_no_number(value) for value in data)
    return False


def decode_payload(payload: Payload) -> Any:
    if payload.data_type is DataType.JSON:
        return msgspec.json.decode(payload.raw)
    if payload.data_type is DataType.TEXT:
        return payload.raw.decode()
    return payload.raw


def checked(metadata: Mapping[str, str] | None) -> Mapping[str, str] | None:
    if not metadata:
        return None
    try:
        return checked_metadata(dict(metadata))
    except InvalidMessage as error:
        raise ValueError(str(error)) from None
