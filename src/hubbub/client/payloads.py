"""Arguments of the client's calls, checked before anything is sent, and data that came."""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from hubbub.protocol import values
from hubbub.protocol.errors import InvalidMessage
from hubbub.protocol.messages import DataType, Payload
from hubbub.protocol.request_rules import checked_metadata

_check_json = msgspec.json.Decoder(msgspec.Raw).decode


class Payloads:
    """Python values to data and back, with another JSON library where one is given."""

    def __init__(
        self,
        loads: Callable[[str], Any] | None = None,
        dumps: Callable[[Any], str] | None = None,
    ) -> None:
        self._loads = loads
        self._dumps = dumps

    def encode(self, data: object, data_type: str | None) -> Payload:
        """Raises: TypeError, ValueError."""
        kind = values.data_type_of(data) if data_type is None else DataType(data_type)
        is_text = kind is DataType.TEXT or kind is DataType.JSON
        if is_text is (values.bytes_of(data) is not None):
            raise TypeError(f"{type(data).__name__} cannot be sent as {kind.value}")
        if self._dumps is not None and kind is DataType.JSON:
            return Payload(kind, raw=_checked(self._dumps(data)))
        return Payload(kind, raw=values.encode(data, kind))

    def decode(self, payload: Payload) -> Any:
        """Raises: ValueError, RecursionError."""
        if self._loads is not None and payload.data_type is DataType.JSON:
            try:
                return self._loads(payload.raw.decode())
            except Exception as error:  # of whatever library
                raise ValueError("json_loads failed") from error
        return values.decode(payload)


def _checked(text: str) -> bytes:
    """Raises: ValueError for what is no JSON, as NaN is."""
    try:
        return bytes(_check_json(text.encode()))
    except msgspec.DecodeError as error:
        raise ValueError(f"json_dumps gave no JSON: {error}") from None


def checked(metadata: Mapping[str, str] | None) -> Mapping[str, str] | None:
    """Raises: ValueError."""
    if not metadata:
        return None
    try:
        return checked_metadata(dict(metadata))
    except InvalidMessage as error:
        raise ValueError(str(error)) from None
