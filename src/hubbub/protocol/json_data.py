"""What requests and responses in JSON share: application data and its checks."""

from typing import Annotated, Final

import msgspec
from msgspec import Meta, Raw

from hubbub.protocol.errors import InvalidMessage
from hubbub.protocol.messages import (
    DataType,
    Payload,
)

ABSENT: Final = Raw()
"""A property that is not there."""
_JSON, _TEXT = DataType.JSON, DataType.TEXT  # reading a member of an enum takes 0.1 us
DATA_TYPES: dict[str | None, DataType] = {None: _JSON, **{t.value: t for t in DataType}}
QUOTE: Final = 0x22
string = msgspec.json.encode
_decode_base64 = msgspec.json.Decoder(bytes).decode
Unsigned = Annotated[int, Meta(ge=0)]


def reason(error: msgspec.MsgspecError) -> str:
    # "Invalid value '…'" is the only text of msgspec that repeats what the peer sent.
    text = str(error)
    return "the message has no valid type" if text.startswith("Invalid value") else text


def check_utf8(data: bytes) -> None:
    """msgspec does not look into what it skips, so bad UTF-8 would reach every receiver."""
    try:
        data.decode()
    except UnicodeDecodeError as error:
        raise InvalidMessage("the message is not UTF-8") from error


def data_type_of(text: str | None) -> DataType | None:
    """The data type, JSON if there is none said, or None for one we do not know."""
    if text is not None and text.isascii():
        text = text.lower()
    return DATA_TYPES.get(text)


def payload_of(data_type: DataType, token: bytes) -> Payload:
    """The payload of a JSON text that is valid JSON, checked against the type."""
    if data_type is _JSON:
        return Payload(data_type, token=token)
    if data_type is _TEXT:
        if token[0] != QUOTE:
            raise InvalidMessage("data of dataType text must be a string")
        return Payload(data_type, token=token)
    try:
        return Payload(data_type, raw=_decode_base64(token), token=token)
    except msgspec.MsgspecError as error:
        raise InvalidMessage(f"data of dataType {data_type.value} must be base64") from error


DATA_HEAD = {t: b',"dataType":"%b","data":' % t.value.encode() for t in DataType}


def data_properties(payload: Payload) -> bytes:
    return DATA_HEAD[payload.data_type] + payload.token
