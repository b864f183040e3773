"""Arguments of the client's calls, checked before anything is sent."""

from collections.abc import Mapping

from hubbub.protocol import values
from hubbub.protocol.errors import InvalidMessage
from hubbub.protocol.messages import DataType, Payload
from hubbub.protocol.request_rules import checked_metadata


def encode_payload(data: object, data_type: str | None) -> Payload:
    """Raises: TypeError, ValueError."""
    kind = values.data_type_of(data) if data_type is None else DataType(data_type)
    is_text = kind is DataType.TEXT or kind is DataType.JSON
    if is_text is (values.bytes_of(data) is not None):
        raise TypeError(f"{type(data).__name__} cannot be sent as {kind.value}")
    return Payload(kind, raw=values.encode(data, kind))


def checked(metadata: Mapping[str, str] | None) -> Mapping[str, str] | None:
    """Raises: ValueError."""
    if not metadata:
        return None
    try:
        return checked_metadata(dict(metadata))
    except InvalidMessage as error:
        raise ValueError(str(error)) from None
