"""Every reader of foreign bytes, each behind a function that takes any bytes.

A harness returns when the reader kept its promise, whatever it made of the input, and raises
otherwise. Both drivers use these: tests/fuzz (hypothesis) and fuzz/run.py (atheris).
"""

import asyncio
import base64
import contextlib
import hashlib
import hmac
import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

import httptools
import jwt
from fuzz.promises import require

from fuzz import sockets
from hubbub.appserver import (
    ConnectedRequest,
    ConnectRequest,
    ConnectResponse,
    DisconnectedRequest,
    EventHandler,
    UserEventRequest,
    UserEventResponse,
)
from hubbub.protocol import (
    cloudevents,
    filters,
    json_codec,
    limits,
    messages,
    protobuf_codec,
    tokens,
)
from hubbub.protocol.errors import InvalidMessage, InvalidToken, UpstreamError
from hubbub.service.front_door import parse_head
from hubbub.service.handshake import Refused, check_upgrade, client_hub

KEY = "a-key-of-the-harness-with-enough-bytes-0123"
NOW = 1_800_000_000.0


Run = Callable[[bytes], None]


@dataclass(frozen=True)
class Harness:
    """`open`: what the function needs lives as long. `words`: what a mutation may put in, beside
    parts of the seeds."""

    open: Callable[[], AbstractContextManager[Run]]
    seeds: tuple[bytes, ...]
    words: tuple[bytes, ...] = ()


def _pure(run: Run) -> Callable[[], AbstractContextManager[Run]]:
    return lambda: contextlib.nullcontext(run)


# --- codecs ----------------------------------------------------------------------------------


def _is_regular(request: messages.Request) -> bool:
    """False: readable, but to be refused with words. Nobody writes such a request."""
    return not getattr(request, "problem", "")


def json_request(data: bytes) -> None:
    try:
        request = json_codec.decode_request(data)
    except InvalidMessage:
        return
    if _is_regular(request):
        written = json_codec.encode_request(request)
        require(json_codec.decode_request(written) == request, "a request survives")


def json_response(data: bytes) -> None:
    try:
        response = json_codec.decode_response(data)
    except InvalidMessage:
        return
    if response is not None:
        written = json_codec.encode_response(response)
        require(json_codec.decode_response(written) == response, "a response survives")


def protobuf_request(data: bytes) -> None:
    try:
        request = protobuf_codec.decode_request(data)
    except InvalidMessage:
        return
    if _is_regular(request):
        written = protobuf_codec.encode_request(request)
        require(protobuf_codec.decode_request(written) == request, "a request survives")


def protobuf_response(data: bytes) -> None:
    try:
        response = protobuf_codec.decode_response(data)
    except InvalidMessage:
        return
    if response is not None:
        written = _protobuf_response(response)
        require(protobuf_codec.decode_response(written) == response, "a response survives")


def _protobuf_response(response: messages.Response) -> bytes:
    """With JSON as JSON: what the service writes for protobuf clients is a text, unless told."""
    if not isinstance(response, messages.DataMessage):
        return protobuf_codec.encode_response(response)
    body = protobuf_codec.data_message_body(response, protobuf_codec.JSON_FIELDS["json_data"])
    return protobuf_codec.data_message(body, response.sequence_id)


# --- filters ---------------------------------------------------------------------------------

_PEOPLE = (
    filters.Attributes("", None, frozenset(), None),
    filters.Attributes("c1", "user", frozenset(("a", "b")), "json.webpubsub.azure.v1"),
    filters.Attributes("\ud800", "ﬀ İ\0", frozenset(("",)), "x"),
)


def odata_filter(data: bytes) -> None:
    text = data.decode("utf-8", "surrogateescape")
    try:
        matches = filters.compile_filter(text)
    except filters.InvalidFilter as error:
        require(len(str(error)) < 1000, "a message of bounded length")
        return
    for person in _PEOPLE:
        require(type(matches(person)) is bool, "a predicate answers true or false")


# --- tokens ----------------------------------------------------------------------------------

_URL = "http://h/api/hubs/chat/:send"


def access_token(data: bytes) -> None:
    """A token as it comes; after \\1 the content of a signed one, after \\2 all that is signed."""
    kind, text = data[:1], data[1:].decode("latin-1")
    is_signed = kind in (b"\1", b"\2")
    if kind == b"\1":
        text = f"{_HEADER}.{_base64url(data[1:])}"
    token = f"{text}.{_signature(text)}" if is_signed else data.decode("latin-1")
    if token.isascii() and len(token) <= limits.MAX_TOKEN_BYTES:
        require(_content(token) == _content_by_pyjwt(token), "the same judgement as PyJWT alone")
    for keys in ((KEY,), ("another-key-that-fits-not-but-is-long-enough", KEY)):
        try:
            claims = tokens.check_client_token(
                token, keys, audiences=[_URL], now=NOW, skew_s=limits.CLOCK_SKEW_S
            )
            require(is_signed, "nobody without the key makes a token")
            require(claims.user_id is None or claims.user_id, "a user id is None or a text")
            require(
                all(type(value) is str for values in claims.claims.values() for value in values),
                "every claim is a list of texts",
            )
        except InvalidToken as error:
            require(KEY not in str(error) and len(str(error)) < 300, "no secret in the message")
        try:
            tokens.check_rest_token(token, keys, urls=[_URL], now=NOW, skew_s=limits.CLOCK_SKEW_S)
            require(is_signed, "nobody without the key makes a token")
        except InvalidToken as error:
            require(KEY not in str(error) and len(str(error)) < 300, "no secret in the message")


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


_HEADER = _base64url(b'{"alg":"HS256","typ":"JWT"}')
_jws = jwt.PyJWS(algorithms=["HS256"])


def _signature(text: str) -> str:
    return _base64url(hmac.digest(KEY.encode(), text.encode(), hashlib.sha256))


def _content(token: str) -> bytes | None:
    try:
        return tokens._signed_content(token, [KEY])
    except InvalidToken:
        return None


def _content_by_pyjwt(token: str) -> bytes | None:
    try:
        return bytes(_jws.decode(token, KEY.encode(), algorithms=["HS256"]))
    except (jwt.PyJWTError, RecursionError):
        return None


def reconnection_token(data: bytes) -> None:
    """The input as a token is refused; for any connection id a token of ours is good, once."""
    text = data.decode("utf-8", "surrogateescape")
    require(
        not tokens.check_reconnection_token(text, [KEY], hub="h", connection_id="c", now=NOW),
        "nobody without the key makes a token",
    )
    connection_id = data.decode("latin-1")
    token = tokens.make_reconnection_token(
        KEY, hub="h", connection_id=connection_id, expires_at=NOW + 10
    )
    for other, now, is_good in ((connection_id, NOW, True), (connection_id + "x", NOW, False),
                                (connection_id, NOW + 10, False)):  # fmt: skip
        found = tokens.check_reconnection_token(token, [KEY], hub="h", connection_id=other, now=now)
        require(found is is_good, "a token is for one connection and one time")


# --- events ----------------------------------------------------------------------------------


def _split(data: bytes) -> tuple[str, list[tuple[str, str]], bytes]:
    """First line, header lines and body, as HTTP separates them; anything is something."""
    head, _, body = data.partition(b"\n\n")
    first, *lines = head.decode("latin-1").split("\n")
    headers = []
    for line in lines:
        name, _, value = line.partition(":")
        headers.append((name.strip(), value.strip()))
    return first, headers, body


def event_answer(data: bytes) -> None:
    """What an event handler answers, read by the service."""
    content_type, headers, body = _split(data)
    try:
        answer = cloudevents.read_connect_answer(body, ["json.webpubsub.azure.v1", "a"])
        require(answer.subprotocol in (None, "json.webpubsub.azure.v1", "a"), "as offered")
    except UpstreamError:
        pass
    try:
        event = cloudevents.read_event_answer(content_type, body, headers)
        if event.metadata is not None:
            size = sum(len(key) + len(value) for key, value in event.metadata.items())
            require(size <= limits.MAX_METADATA_TOTAL_BYTES, "bounded metadata")
    except UpstreamError:
        pass
    values = [value for _, value in headers]
    try:
        state = cloudevents.read_state(values)
        if state is not None:
            cloudevents.check_headers({cloudevents.STATE_HEADER: state})
    except UpstreamError:
        pass
    cloudevents.is_origin_allowed(values, "h")
    for any_text in (False, True):
        text = cloudevents.refusal_text(content_type, body, any_text=any_text)
        require(len(text) <= limits.MAX_REJECTION_BODY_BYTES, "a short text")


def _make_handler(*, is_signed: bool) -> EventHandler:
    handler = EventHandler("chat", access_keys=[KEY] if is_signed else None)

    @handler.on_connect
    async def connect(request: ConnectRequest) -> ConnectResponse:
        return ConnectResponse(user_id="u", states={"n": 1})

    @handler.on_connected
    async def connected(request: ConnectedRequest) -> None:
        pass

    @handler.on_disconnected
    async def disconnected(request: DisconnectedRequest) -> None:
        pass

    @handler.on_event("*")
    async def event(request: UserEventRequest) -> UserEventResponse:
        return UserEventResponse(request.data, data_type=request.data_type)

    return handler


@contextmanager
def event_handler() -> Iterator[Run]:
    """A request to our event handler, with and without the check of the signature."""
    with asyncio.Runner() as runner:
        handlers = [_make_handler(is_signed=is_signed) for is_signed in (False, True)]

        def run(data: bytes) -> None:
            method, headers, body = _split(data)
            for handler in handlers:
                status = runner.run(_handle(handler, method, headers, body))
                require(status in _STATUSES, f"no answer of this kind: {status}")

        yield run


_STATUSES = (200, 204, 400, 401, 403, 404, 405, 413, 415)


async def _handle(
    handler: EventHandler, method: str, headers: list[tuple[str, str]], body: bytes
) -> int:
    answer = await handler.handle(method, headers, body)
    await handler.aclose()
    require(not handler._tasks and not handler._latest, "no task is left")
    for name, value in answer.headers:
        require("\n" not in name + value and "\r" not in name + value, "headers on one line")
    return answer.status


# --- handshake heads -------------------------------------------------------------------------


def request_head(data: bytes) -> None:
    """What stands before the first empty line of an upgrade."""
    try:
        head = parse_head(data + b"\r\n\r\n")
    except (httptools.HttpParserError, UnicodeDecodeError):
        return
    for name in ("upgrade", "connection", "sec-websocket-protocol", "host", "authorization"):
        head.tokens(name)
    client_hub(head.target.partition("?")[0], {})
    try:
        check_upgrade(head)
    except Refused as refused:
        require(400 <= refused.status < 500, "the client's fault")


# --- seeds -----------------------------------------------------------------------------------


_JSON_REQUESTS = (
    b'{"type":"joinGroup","group":"g","ackId":1}',
    b'{"type":"leaveGroup","group":"g","ackId":2}',
    b'{"type":"sendToGroup","group":"g","noEcho":true,"dataType":"json","data":{"a":[1,null,"\xc3\xa9"]}}',
    b'{"type":"sendToGroup","group":"g","dataType":"binary","data":"AAEC","ttlSeconds":3,"metadata":{"k":"v"}}',
    b'{"type":"sendToGroup","group":"g","stream":{"streamId":"s","idleTimeoutMs":5}}',
    b'{"type":"streamData","streamId":"s","streamSequenceId":1,"dataType":"text","data":"x"}',
    b'{"type":"streamEnd","streamId":"s","error":{"message":"m"}}',
    b'{"type":"event","event":"e","ackId":18446744073709551615,"dataType":"text","data":"x"}',
    b'{"type":"invoke","invocationId":"i","target":"event","event":"e","dataType":"protobuf","data":"CgA="}',
    b'{"type":"cancelInvocation","invocationId":"i"}',
    b'{"type":"sequenceAck","sequenceId":7}',
    b'{"type":"ping"}',
)
_JSON_RESPONSES = (
    b'{"type":"ack","ackId":1,"success":false,"error":{"name":"Duplicate","message":"m"}}',
    b'{"sequenceId":1,"type":"message","from":"group","group":"g","fromUserId":"u","dataType":"json","data":[1]}',
    b'{"type":"message","from":"server","dataType":"binary","data":"AAEC","metadata":{"k":"v"}}',
    b'{"type":"system","event":"connected","userId":"u","connectionId":"c","reconnectionToken":"t"}',
    b'{"type":"system","event":"disconnected","message":"m"}',
    b'{"type":"invokeResponse","invocationId":"i","success":true,"dataType":"text","data":"x"}',
    b'{"type":"pong"}',
)


def _protobuf_requests() -> tuple[bytes, ...]:
    found = []
    for text in _JSON_REQUESTS:
        request = json_codec.decode_request(text)
        if not isinstance(request, messages.Invoke | messages.CancelInvocation):
            found.append(protobuf_codec.encode_request(request))
    return tuple(found)


def _protobuf_responses() -> tuple[bytes, ...]:
    found = []
    for text in _JSON_RESPONSES:
        response = json_codec.decode_response(text)
        if response is not None and not isinstance(response, messages.InvokeResponse):
            found.append(protobuf_codec.encode_response(response))
    return tuple(found)


_JSON_WORDS = (
    *tuple(
        b'null true false 1e999 -0 18446744073709551616 "" \\ud800 \\u0000 [ ] { } "type": "data": '
        b'"dataType": "metadata": "stream": "groupState" '.split()
    ),
    b"\xff",
    b"[" * 70,
    b'{"a":' * 70,
    b" " * 50,
)


def _head(*lines: str) -> bytes:
    return "\r\n".join(lines).encode()


def _event(kind: str, body: bytes = b"", *lines: str) -> bytes:
    signature = cloudevents.signature("c1", [KEY])
    head = [
        "POST", "ce-awpsversion: 1.0", "WebHook-Request-Origin: h", "ce-hub: chat",
        "ce-connectionId: c1", f"ce-signature: {signature}", "ce-id: 1",
        f"ce-type: azure.webpubsub.{kind}", *lines,
    ]  # fmt: skip
    return "\n".join([*head, "", ""]).encode() + body


def _claims(**claims: object) -> bytes:
    return b"\1" + json.dumps({"exp": NOW + 60, "aud": _URL, **claims}).encode()


_UPGRADE = (
    "Host: h:1", "Upgrade: websocket", "Connection: keep-alive, Upgrade",
    "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
)  # fmt: skip

HARNESSES: dict[str, Harness] = {
    "json_request": Harness(_pure(json_request), _JSON_REQUESTS, _JSON_WORDS),
    "json_response": Harness(_pure(json_response), _JSON_RESPONSES, _JSON_WORDS),
    "protobuf_request": Harness(
        _pure(protobuf_request),
        _protobuf_requests(),
        (b"\xff\xff\xff\xff\x7f", b"\x0a\x80", b"\x1b" * 70),
    ),
    "protobuf_response": Harness(
        _pure(protobuf_response), _protobuf_responses(), (b"\xff\xff\xff\xff\x7f", b"\x1b" * 70)
    ),
    "filters": Harness(
        _pure(odata_filter),
        (
            b"userId eq 'a' and not ('b' in groups or length(groups) gt 3)",
            b"connectionId in ('a', 'b''c', null) or startswith(userId, 'x')",
            b"contains(tolower(userId), substring('abc', 1, 2)) eq true",
            b"indexof(userId, 'a') ge -1 and endswith(protocol, trim(' a ')) ne false",
            b"concat(userId, toupper(connectionId)) ne null",
        ),
        (
            *tuple(
                b"and or not in eq ne gt ge lt le null true false groups userId ( ) , ' '' 2147483647 "
                b"-2147483648 99999999999999999999 length( substring( any( \xff \xe2\x84\xaa".split()
            ),
            b"(" * 99,
            b"not " * 99,
            b" and true" * 9,
        ),
    ),
    "tokens": Harness(
        _pure(access_token),
        (
            _claims(),
            _claims(sub="u", role=["webpubsub.sendToGroup"], nbf=NOW - 1, iat=NOW),
            _claims(**{"webpubsub.group": ["g"], "n": None, "x": {"y": [1.5]}}),
            tokens.make_client_token("k" * 40, audience=_URL, now=NOW, life_s=60).encode(),
            b"eyJhbGciOiJub25lIn0.e30.",
            f"\2{_HEADER}.{_base64url(b'{}')}".encode(),
            b"\2" + _base64url(b'{"alg":"HS256","crit":["b64"],"b64":false}').encode() + b".",
        ),
        (
            b'"exp":',
            b"1e308",
            b"-1e999",
            b"NaN",
            b"null",
            b"[[",
            b"]]",
            b'"\\ud800"',
            b".",
            b"=",
            b"\1",
            b"eyJiNjQiOmZhbHNlLCJjcml0IjpbImI2NCJdLCJhbGciOiJIUzI1NiJ9",
        ),
    ),
    "reconnection_tokens": Harness(
        _pure(reconnection_token),
        (
            tokens.make_reconnection_token(
                "k" * 40, hub="h", connection_id="c", expires_at=NOW
            ).encode(),
            b"",
        ),
        (b"=", b"\xff", b"-_", b"A" * 54),
    ),
    "event_answers": Harness(
        _pure(event_answer),
        (
            b"application/json\nX-WebPubSub-Metadata-a: b\nce-connectionState: e30=\n\n"
            b'{"userId":"u","groups":["g"],"roles":["r"],"subprotocol":"a"}',
            b"text/plain; charset=utf-8\nWebHook-Allowed-Origin: *, h\n\nhello",
            b"application/octet-stream\n\n\x00\xff",
            b"\n\nnull",
        ),
        (*_JSON_WORDS, b"x-webpubsub-metadata-", b"\n", b"\n\n", b": ", b"x" * 1025),
    ),
    "event_handler": Harness(
        event_handler,
        (
            b"OPTIONS\nce-awpsversion: 1.0\nWebHook-Request-Origin: h\n\n",
            _event("sys.connect", b'{"claims":{"a":["b"]},"query":{},"subprotocols":["x"]}'),
            _event("sys.connected", b"", "ce-userId: \xc3\xa9"),
            _event("sys.disconnected", b'{"reason":"r"}', "ce-connectionState: eyJhIjoxfQ=="),
            _event("user.e", b'{"a":1}', "Content-Type: application/json; charset=utf-8"),
            _event("user.e", b"\xc3\xa9", "Content-Type: text/plain", "ce-invocationId: i"),
            _event("user.e", b"\x00", "Content-Type: application/octet-stream"),
        ),
        (*_JSON_WORDS, b"azure.webpubsub.", b"sys.", b"user.", b"\n", b"\n\n", b",", b"sha256="),
    ),
    "request_heads": Harness(
        _pure(request_head),
        (
            _head("GET /client/hubs/chat?access_token=x HTTP/1.1", *_UPGRADE),
            _head("GET /client/?hub=chat HTTP/1.1", *_UPGRADE, "Sec-WebSocket-Protocol: a, b"),
            _head("POST /api/hubs/h/:send HTTP/1.0", "Content-Length: 3", "Upgrade: h2c"),
        ),
        (
            b"\r\n",
            b"\n",
            b": ",
            b"\0",
            b"\xff",
            b" HTTP/9.9",
            b"//[",
            b"%",
            b"Upgrade: websocket\r\n",
            b"Transfer-Encoding: chunked\r\n",
            b"Content-Length: 99999999999999999999\r\n",
            b"x" * 300,
        ),
    ),
    "sockets": Harness(sockets.running_service, sockets.SEEDS, sockets.WORDS),
}
