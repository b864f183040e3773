"""Application data on its way out: messages of a client and answers of a handler alike."""

import msgspec

from hubbub.protocol.messages import DataType


def data_type_of(value: object) -> DataType:
    """str is text, bytes are binary, everything else is JSON."""
    if isinstance(value, str):
        return DataType.TEXT
    return DataType.JSON if bytes_of(value) is None else DataType.BINARY


def encode(value: object, data_type: DataType) -> bytes:
    """The bytes of a value. Bytes are taken as they are, for every type; else TypeError.

    A str becomes a JSON string where the type is JSON.
    """
    data = bytes_of(value)
    if data is not None:
        return data
    if data_type is DataType.JSON:
        return msgspec.json.encode(value)
    if data_type is DataType.TEXT and isinstance(value, str):
        return value.encode()
    raise TypeError(f"{type(value).__name__} cannot be sent as {data_type.value}")


def bytes_of(value: object) -> bytes | None:
    """The bytes of a bytes-like value, None for anything else."""
    if isinstance(value, bytes):
        return value
    if isinstance(value, bytearray):
        return bytes(value)
    return value.tobytes() if isinstance(value, memoryview) else None
