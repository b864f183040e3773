"""The form of protobuf clients. Loading it loads the protobuf library: see `forms.form_for`."""

from hubbub.protocol.errors import UnsupportedFrame
from hubbub.protocol.messages import DataMessage, Request, Response
from hubbub.protocol.protobuf_codec import (
    JSON_FIELDS,
    data_message,
    data_message_body,
    decode_request,
    encode_response,
    group_state,
    group_state_body,
)
from hubbub.service.forms import Form, Outgoing
from hubbub.service.frames import BINARY, frame


class ProtobufForm(Form):
    __slots__ = ("_json_field",)

    def __init__(self, *, is_reliable: bool, json_field: str) -> None:
        """`json_field`: where JSON data goes, "text_data" or "json_data"."""
        super().__init__(is_reliable=is_reliable)
        self._json_field = JSON_FIELDS[json_field]

    def request(self, is_text: bool, data: bytes) -> Request:
        if is_text:
            raise UnsupportedFrame("this subprotocol has binary frames only")
        return decode_request(data)

    def response(self, response: Response) -> bytes:
        return frame(BINARY, encode_response(response))

    def message(self, message: Outgoing, sequence_id: int | None = None) -> bytes:
        data, body = message.message, message.protobuf_body
        if body is None:
            if isinstance(data, DataMessage):
                body = data_message_body(data, self._json_field)
            else:
                body = group_state_body(data)
            message.protobuf_body = body
        if isinstance(data, DataMessage):
            return frame(BINARY, data_message(body, sequence_id))
        return frame(BINARY, group_state(body, data, sequence_id))
