"""Messages as JSON text, one object per WebSocket message (`json[.reliable].webpubsub.azure.v1`)."""

from hubbub.protocol.json_requests import decode_request, encode_request
from hubbub.protocol.json_responses import (
    data_message_tail,
    decode_response,
    encode_response,
    group_state_tail,
    numbered_tail,
)

__all__ = [
    "data_message_tail",
    "decode_request",
    "decode_response",
    "encode_request",
    "encode_response",
    "group_state_tail",
    "numbered_tail",
]
