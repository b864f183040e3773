"""The body and headers of a send → payload and metadata."""

import asyncio
import contextlib
import re
from collections.abc import Iterable

import msgspec
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from hubbub.protocol import limits
from hubbub.protocol.messages import DataType, Payload
from hubbub.service.rest.answers import bad_request, unsupported_media_type
from hubbub.service.rest.call import Call

LINGER_S = 1.0
LINGER_BYTES = 16 * 1_048_576
"""How long and how much is read after a refusal before the connection is closed."""
_METADATA_PREFIX = b"x-webpubsub-metadata-"
_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9a-z-]+")

_CHARSETS = {
    "utf-8": "utf-8",
    "utf8": "utf-8",
    "us-ascii": "ascii",
    "ascii": "ascii",
    "iso-8859-1": "latin-1",
    "latin1": "latin-1",
    "utf-16": "utf-16",
    "utf-16le": "utf-16-le",
    "utf-16be": "utf-16-be",
    "utf-32": "utf-32",
    "utf-32le": "utf-32-le",
    "utf-32be": "utf-32-be",
}
"""A closed list: looking up a foreign name would import a module, and some codecs are slow."""

_JSON = msgspec.json.Decoder(msgspec.Raw)
"""Checks the grammar without building the value."""


class ClientGone(Exception):
    """The client hung up before its body was complete; nobody reads an answer."""


async def read_body(call: Call) -> bytes:
    """The whole body. One above the limit is refused at its announcement or while it comes."""
    limit = call.node.settings.max_message_bytes
    announced = call.header(b"content-length")
    if announced is not None and not _is_at_most(announced, limit):
        raise _bad_length()
    message = await call.receive()
    if message["type"] == "http.disconnect":
        raise ClientGone
    body: bytes = message.get("body", b"")
    if len(body) > limit:
        raise _bad_length()
    if not message.get("more_body", False):
        call.is_body_read = True
        return body
    collected = bytearray(body)
    while True:
        message = await call.receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        collected += message.get("body", b"")
        if len(collected) > limit:
            raise _bad_length()
        if not message.get("more_body", False):
            call.is_body_read = True
            return bytes(collected)


async def send_before_the_body(
    response: Response, scope: Scope, receive: Receive, send: Send
) -> None:
    """Send an answer that does not wait for the rest of the request.

    Where the connection is to be closed after it, the rest is read for a moment and forgotten: an
    end with unread bytes is a reset, which takes the answer away from a client that still sends.
    """
    if scope.get("http_version") != "1.0" and not _asks_to_close(scope["headers"]):
        await response(scope, receive, send)
        return
    start: Message = {"type": "http.response.start", "status": response.status_code}
    await send({**start, "headers": response.raw_headers})
    await send({"type": "http.response.body", "body": response.body, "more_body": True})
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(LINGER_S):
            left = LINGER_BYTES
            while left > 0:
                message = await receive()
                if message["type"] == "http.disconnect" or not message.get("more_body", False):
                    break
                left -= len(message.get("body", b""))
    await send({"type": "http.response.body", "body": b"", "more_body": False})


def _asks_to_close(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    return any(name == b"connection" and b"close" in value.lower() for name, value in headers)


async def read_payload(call: Call) -> Payload:
    """The body as its Content-Type says; JSON stays byte for byte what was sent."""
    header = call.header(b"content-type")
    data_type, charset = _USUAL_TYPES.get(header) or _read_type(header or b"")
    body = await read_body(call)
    if data_type is not DataType.BINARY:
        body = _as_utf8(body, charset)
    if data_type is DataType.JSON:
        _check_json(body)
    return Payload(data_type, raw=body)


def read_metadata(call: Call) -> dict[str, str] | None:
    """The `X-WebPubSub-Metadata-*` headers, keys in lower case; of repeated ones the last."""
    found: dict[str, str] = {}
    for name, value in call.headers:
        if not name.startswith(_METADATA_PREFIX):
            continue
        key = name[len(_METADATA_PREFIX) :].lower()
        last = value.rsplit(b",", 1)[-1].strip()
        if (
            not _TOKEN.fullmatch(key)
            or len(key) > limits.MAX_METADATA_KEY_BYTES
            or not last.isascii()
            or len(last) > limits.MAX_METADATA_VALUE_BYTES
        ):
            raise _bad_metadata()
        found[key.decode()] = last.decode()
    if not found:
        return None
    if sum(len(key) + len(value) for key, value in found.items()) > limits.MAX_METADATA_TOTAL_BYTES:
        raise _bad_metadata()
    return found


_USUAL_TYPES = {
    None: (DataType.BINARY, ""),
    b"": (DataType.BINARY, ""),
    b"application/octet-stream": (DataType.BINARY, ""),
    b"application/json": (DataType.JSON, "utf-8"),
    b"application/json; charset=utf-8": (DataType.JSON, "utf-8"),
    b"text/plain": (DataType.TEXT, "utf-8"),
    b"text/plain; charset=utf-8": (DataType.TEXT, "utf-8"),
}
"""What nearly every request says, word for word."""


def _read_type(header: bytes) -> tuple[DataType, str]:
    """(data type, codec of the text)."""
    media_type, _, parameters = header.decode("latin-1").partition(";")
    match media_type.strip().lower():
        case "application/json":
            data_type = DataType.JSON
        case "text/plain":
            data_type = DataType.TEXT
        case "application/octet-stream":
            return DataType.BINARY, ""
        case _:
            raise unsupported_media_type()
    return data_type, _codec(parameters)


def _codec(parameters: str) -> str:
    for parameter in parameters.split(";"):
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "charset":
            charset = _CHARSETS.get(value.strip().strip('"').lower())
            if charset is None:
                raise unsupported_media_type()
            return charset
    return "utf-8"


def _as_utf8(body: bytes, codec: str) -> bytes:
    try:
        text = body.decode(codec)
    except UnicodeDecodeError:
        raise bad_request("The request body does not match its charset.") from None
    return body if codec == "utf-8" else text.encode()


def _check_json(body: bytes) -> None:
    try:
        _JSON.decode(body)
    except (msgspec.DecodeError, RecursionError):
        raise bad_request("The request body is not a valid JSON.") from None


def _is_at_most(announced: bytes, limit: int) -> bool:
    # The length of the text first: int() of a very long one is slow, or refused.
    return announced.isdigit() and len(announced) <= 19 and int(announced) <= limit


def _bad_length() -> Exception:
    return bad_request("Invalid Content-Length header.")


def _bad_metadata() -> Exception:
    return bad_request("Invalid message metadata header.")
