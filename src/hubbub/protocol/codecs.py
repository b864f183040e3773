"""How a client's messages look on the wire: the interface, and the four that come with us."""

from typing import Protocol

from hubbub.protocol import json_codec, subprotocols
from hubbub.protocol.messages import Request, Response


class Codec(Protocol):
    """What a client speaks. One WebSocket message is one message of the subprotocol."""

    @property
    def name(self) -> str:
        """Offered in the handshake; the service has to choose it."""
        ...

    @property
    def is_reliable(self) -> bool:
        """Messages are numbered and connections can be recovered."""
        ...

    @property
    def is_binary(self) -> bool:
        """Messages go out in binary frames, otherwise in text frames."""
        ...

    @property
    def supports_ping(self) -> bool:
        """It has a message `ping`. Without one the client sends WebSocket pings."""
        ...

    def encode(self, request: Request) -> bytes:
        """Raises: UnsupportedFrame for a request that it has no form for."""
        ...

    def decode(self, data: bytes) -> Response | None:
        """None: a kind that is not known, to be passed over. Raises: InvalidMessage."""
        ...


class JsonCodec:
    is_binary = False
    supports_ping = True

    def __init__(self, *, is_reliable: bool) -> None:
        self.is_reliable = is_reliable
        named = subprotocols.JSON_RELIABLE if is_reliable else subprotocols.JSON
        self.name = named.name
        self.encode = json_codec.encode_request
        self.decode = json_codec.decode_response


class ProtobufCodec:
    """Loads `google.protobuf`. It has no form for `invoke`."""

    is_binary = True
    supports_ping = True

    def __init__(self, *, is_reliable: bool) -> None:
        from hubbub.protocol import protobuf_codec

        self.is_reliable = is_reliable
        named = subprotocols.PROTOBUF_RELIABLE if is_reliable else subprotocols.PROTOBUF
        self.name = named.name
        self.encode = protobuf_codec.encode_request
        self.decode = protobuf_codec.decode_response


def codec_named(name: str) -> Codec:
    """The codec of a predefined subprotocol. Raises: KeyError; ImportError without `protobuf`."""
    subprotocol = subprotocols.SUPPORTED[name]
    if subprotocol.format == "protobuf":
        return ProtobufCodec(is_reliable=subprotocol.is_reliable)
    return JsonCodec(is_reliable=subprotocol.is_reliable)
