"""What a message looks like on the wire, for each kind of client.

Every connection has a form, one object for all connections of its kind: who shares a form shares
the buffers that are made for it.
"""

from functools import lru_cache

from hubbub.protocol.errors import UnsupportedFrame
from hubbub.protocol.json_codec import decode_request, encode_response, numbered_tail
from hubbub.protocol.messages import (
    DataMessage,
    GroupStateSnapshot,
    GroupStateUpdate,
    Request,
    Response,
)
from hubbub.protocol.subprotocols import Subprotocol
from hubbub.service.frames import BINARY, TEXT, frame

_HEAD_BYTES = 100
"""About what stands around the payload in a frame, without the group's name."""


class Outgoing:
    """A message on its way. What receivers share is built when the first of them needs it."""

    __slots__ = ("_frames", "expires_at", "json_tail", "message", "protobuf_body", "size")

    def __init__(
        self,
        message: DataMessage | GroupStateSnapshot | GroupStateUpdate,
        *,
        expires_at: float | None = None,
    ) -> None:
        """`message` without a sequence id: each reliable receiver has its own."""
        self.message = message
        self.expires_at = expires_at
        self.json_tail: bytes | None = None
        self.protobuf_body: bytes | None = None
        """Kept for the forms that share them."""
        self._frames: dict[Form, bytes] = {}
        if isinstance(message, DataMessage):
            self.size = message.payload.size + len(message.group or "") + _HEAD_BYTES
            if message.metadata:
                self.size += sum(len(key) + len(text) for key, text in message.metadata.items())
        else:
            self.json_tail = numbered_tail(message)
            self.size = len(self.json_tail) + _HEAD_BYTES

    def frame(self, form: "Form") -> bytes:
        """The frame without a sequence id, one for all receivers of this form."""
        found = self._frames.get(form)
        if found is None:
            found = self._frames[form] = form.message(self)
        return found


class Form:
    """How clients of one kind are understood and spoken to. `PLAIN` has no requests and responses."""

    __slots__ = ("is_reliable",)

    def __init__(self, *, is_reliable: bool) -> None:
        self.is_reliable = is_reliable
        """Its messages carry a sequence id."""

    def request(self, is_text: bool, data: bytes) -> Request:
        """One whole WebSocket message. Raises: InvalidMessage, UnsupportedFrame."""
        raise NotImplementedError

    def response(self, response: Response) -> bytes:
        """The frame of a response that is no data message."""
        raise NotImplementedError

    def message(self, message: Outgoing, sequence_id: int | None = None) -> bytes:
        """The frame of a data message; `sequence_id` where the form is reliable."""
        raise NotImplementedError


class _Plain(Form):
    """The bare data. The end of a stream and group states are nothing to a plain client."""

    __slots__ = ()

    def message(self, message: Outgoing, sequence_id: int | None = None) -> bytes:
        data = message.message
        if not isinstance(data, DataMessage) or (data.stream and data.stream.is_end):
            return b""
        return frame(TEXT if data.payload.is_text else BINARY, data.payload.raw)


class _Json(Form):
    __slots__ = ("is_strict",)

    def __init__(self, *, is_reliable: bool, is_strict: bool) -> None:
        super().__init__(is_reliable=is_reliable)
        self.is_strict = is_strict
        """Binary frames are refused, also those that hold JSON."""

    def request(self, is_text: bool, data: bytes) -> Request:
        if self.is_strict and not is_text:
            raise UnsupportedFrame("this subprotocol has text frames only")
        return decode_request(data)

    def response(self, response: Response) -> bytes:
        return frame(TEXT, encode_response(response))

    def message(self, message: Outgoing, sequence_id: int | None = None) -> bytes:
        tail = message.json_tail
        if tail is None:
            tail = message.json_tail = numbered_tail(message.message)
        if sequence_id is None:
            return frame(TEXT, b"{" + tail)
        return frame(TEXT, b'{"sequenceId":%d,' % sequence_id + tail)


PLAIN: Form = _Plain(is_reliable=False)


@lru_cache
def form_for(
    subprotocol: Subprotocol,
    *,
    strict_json_frames: bool = False,
    protobuf_json_field: str = "text_data",
) -> Form:
    """The form of a subprotocol under these settings, always the same object."""
    if subprotocol.format == "json":
        return _Json(is_reliable=subprotocol.is_reliable, is_strict=strict_json_frames)
    # The first protobuf client loads the library; most services never have one.
    from hubbub.service.protobuf_form import ProtobufForm

    return ProtobufForm(is_reliable=subprotocol.is_reliable, json_field=protobuf_json_field)
