"""Calls of the service client as the wire sees them, and what it does when they fail."""

import time
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote, urlsplit

import httpx2
import pytest

from hubbub.appserver import (
    InvalidConnectionString,
    InvalidName,
    RequestError,
    ServiceClient,
)
from hubbub.protocol import tokens
from hubbub.protocol.errors import InvalidToken

KEY = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789ABCDEFGH"
ENDPOINT = "https://chat.example:8443"
TEXT = f"Endpoint={ENDPOINT};AccessKey={KEY};Version=1.0;"

Script = list[httpx2.Response | Exception]


class Wire:
    """Stands for the service: keeps requests, gives the answers of a script, then 202."""

    def __init__(self) -> None:
        self.requests: list[httpx2.Request] = []
        self.script: Script = []
        self.pauses: list[float] = []

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        self.requests.append(request)
        answer = self.script.pop(0) if self.script else httpx2.Response(202)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)

    def client(self, text: str = TEXT, hub: str = "chat") -> ServiceClient:
        return ServiceClient.from_connection_string(
            text, hub, transport=httpx2.MockTransport(self), sleep=self.sleep
        )

    @property
    def only(self) -> httpx2.Request:
        (request,) = self.requests
        return request


@pytest.fixture
def wire() -> Wire:
    return Wire()


Call = Callable[[ServiceClient], Any]


# --- addresses and bodies --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "target"),
    [
        (lambda c: c.send_to_all("x"), b"/api/hubs/chat/:send"),
        (
            lambda c: c.send_to_group("g/1 +é", "x"),
            b"/api/hubs/chat/groups/g%2F1%20%2B%C3%A9/:send",
        ),
        (lambda c: c.send_to_group("..", "x"), b"/api/hubs/chat/groups/%2E%2E/:send"),
        (lambda c: c.send_to_group(".", "x"), b"/api/hubs/chat/groups/%2E/:send"),
        (lambda c: c.send_to_group("a%2Fb?#", "x"), b"/api/hubs/chat/groups/a%252Fb%3F%23/:send"),
        (lambda c: c.send_to_user("Zoë", "x"), b"/api/hubs/chat/users/Zo%C3%AB/:send"),
        (lambda c: c.send_to_connection("c:1", "x"), b"/api/hubs/chat/connections/c%3A1/:send"),
    ],
)
async def test_send_addresses_its_target_with_encoded_segments(
    wire: Wire, call: Call, target: bytes
) -> None:
    await call(wire.client())
    assert wire.only.method == "POST"
    assert wire.only.url.raw_path == target + b"?api-version=2024-12-01"
    assert wire.only.url.host == "chat.example"


@pytest.mark.parametrize(
    ("message", "content_type", "sent_type", "body"),
    [
        ("hé", None, "text/plain", "hé".encode()),
        (b"\x00\x01", None, "application/octet-stream", b"\x00\x01"),
        (bytearray(b"ab"), None, "application/octet-stream", b"ab"),
        (memoryview(b"abcd")[::2], None, "application/octet-stream", b"ac"),
        ({"a": 1}, None, "application/json", b'{"a":1}'),
        ([1, "é"], None, "application/json", '[1,"é"]'.encode()),
        (None, None, "application/json", b"null"),
        (False, None, "application/json", b"false"),
        ("hi", "application/json", "application/json", b'"hi"'),
        (b'{"a": 1}', "application/json", "application/json", b'{"a": 1}'),
        (b"hi", "text/plain", "text/plain", b"hi"),
        ("hi", "Text/Plain; charset=UTF-8", "Text/Plain; charset=UTF-8", b"hi"),
        (b"\xe9", "text/plain; charset=latin-1", "text/plain; charset=latin-1", b"\xe9"),
        ("", None, "text/plain", b""),
    ],
)
async def test_send_body_and_content_type_follow_the_value_and_what_is_asked(
    wire: Wire, message: object, content_type: str | None, sent_type: str, body: bytes
) -> None:
    await wire.client().send_to_all(message, content_type=content_type)
    assert wire.only.headers["content-type"] == sent_type
    assert wire.only.content == body


@pytest.mark.parametrize(
    ("message", "content_type", "error"),
    [
        ("x", "text/html", ValueError),
        ("x", "", ValueError),
        ("é", "text/plain; charset=latin-1", ValueError),
        ("x", "application/octet-stream", TypeError),
        ({"a": 1}, "text/plain", TypeError),
        (object(), None, TypeError),
    ],
)
async def test_send_when_message_and_type_do_not_fit_sends_nothing(
    wire: Wire, message: object, content_type: str | None, error: type[Exception]
) -> None:
    with pytest.raises(error):
        await wire.client().send_to_all(message, content_type=content_type)
    assert wire.requests == []


async def test_send_options_become_query_parameters(wire: Wire) -> None:
    client = wire.client()
    await client.send_to_group(
        "g", "x", excluded=["c 1", "c+2"], filter="userId eq 'a&b'", ttl_seconds=300
    )
    query = urlsplit(str(wire.only.url)).query
    assert [unquote(part) for part in query.split("&")] == [
        "excluded=c 1",
        "excluded=c+2",
        "filter=userId eq 'a&b'",
        "messageTtlSeconds=300",
        "api-version=2024-12-01",
    ]
    assert "c%2B2" in query
    assert "%26b" in query


async def test_send_when_ttl_is_zero_says_so_and_when_absent_says_nothing(wire: Wire) -> None:
    client = wire.client()
    await client.send_to_user("u", "x", ttl_seconds=0)
    await client.send_to_connection("c", "x")
    assert "messageTtlSeconds=0" in str(wire.requests[0].url)
    assert "messageTtlSeconds" not in str(wire.requests[1].url)


@pytest.mark.parametrize(
    "call",
    [
        lambda c: c.send_to_group("", "x"),
        lambda c: c.send_to_group("  ", "x"),
        lambda c: c.send_to_group("g" * 1025, "x"),
        lambda c: c.send_to_user("", "x"),
        lambda c: c.send_to_connection("", "x"),
    ],
)
async def test_send_when_target_has_no_name_sends_nothing(wire: Wire, call: Call) -> None:
    with pytest.raises(ValueError):
        await call(wire.client())
    assert wire.requests == []


async def test_send_when_excluded_is_one_text_is_refused(wire: Wire) -> None:
    with pytest.raises(TypeError, match="excluded"):
        await wire.client().send_to_all("x", excluded="c1")


# --- tokens ----------------------------------------------------------------------------------


async def test_rest_token_is_made_for_each_call_and_for_its_address(wire: Wire) -> None:
    client = wire.client()
    await client.send_to_group("a b", "x", filter="userId eq 'u'")
    scheme, _, token = wire.only.headers["authorization"].partition(" ")
    assert scheme == "Bearer"
    url = f"{ENDPOINT}/api/hubs/chat/groups/a%20b/:send"
    tokens.check_rest_token(token, (KEY,), urls=[url], now=time.time(), skew_s=0)
    with pytest.raises(InvalidToken):
        tokens.check_rest_token(token, (KEY,), urls=[url], now=time.time() + 120, skew_s=0)


def test_client_access_token_lets_in_at_the_hub_in_lower_case(wire: Wire) -> None:
    access = wire.client(hub="Chat").get_client_access_token(
        user_id="u", roles=["webpubsub.joinLeaveGroup"], groups=["g1"], minutes_to_expire=5
    )
    assert access.base_url == "wss://chat.example:8443/client/hubs/chat"
    assert access.url == f"{access.base_url}?access_token={access.token}"
    claims = tokens.check_client_token(
        access.token,
        [KEY],
        audiences=[f"{ENDPOINT}/client/hubs/chat"],
        now=time.time() + 290,
        skew_s=0,
    )
    assert claims.user_id == "u"
    assert claims.roles == ("webpubsub.joinLeaveGroup",)
    assert claims.groups == ("g1",)
    with pytest.raises(InvalidToken, match="expired"):
        tokens.check_client_token(
            access.token,
            [KEY],
            audiences=[f"{ENDPOINT}/client/hubs/chat"],
            now=time.time() + 310,
            skew_s=0,
        )
    assert wire.requests == []


def test_client_access_token_without_options_is_anonymous_for_an_hour(wire: Wire) -> None:
    access = wire.client().get_client_access_token(user_id="")
    audiences = [f"{ENDPOINT}/client/hubs/chat"]
    for late_s, is_good in ((3590, True), (3610, False)):
        now = time.time() + late_s
        if is_good:
            claims = tokens.check_client_token(
                access.token, [KEY], audiences=audiences, now=now, skew_s=0
            )
            assert claims.user_id is None
            assert set(claims.claims) == {"aud", "iat", "exp"}
        else:
            with pytest.raises(InvalidToken, match="expired"):
                tokens.check_client_token(
                    access.token, [KEY], audiences=audiences, now=now, skew_s=0
                )


def test_client_access_token_with_client_endpoint_is_for_that_address(wire: Wire) -> None:
    text = f"Endpoint=http://10.0.0.1:8080;AccessKey={KEY};ClientEndpoint=https://edge.example/;"
    access = wire.client(text).get_client_access_token()
    assert access.base_url == "wss://edge.example/client/hubs/chat"
    tokens.check_client_token(
        access.token,
        [KEY],
        audiences=["https://edge.example/client/hubs/chat"],
        now=time.time(),
        skew_s=0,
    )


def test_client_access_token_in_logs_shows_no_token(wire: Wire) -> None:
    access = wire.client().get_client_access_token()
    assert access.token not in repr(access)
    assert access.token not in f"{access}"
    assert KEY not in repr(wire.client())


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"minutes_to_expire": 0}, ValueError),
        ({"roles": "webpubsub.sendToGroup"}, TypeError),
        ({"groups": "g"}, TypeError),
        ({"groups": [" "]}, InvalidName),
        ({"user_id": "u" * 1025}, InvalidName),
    ],
)
def test_client_access_token_when_options_are_wrong_is_not_made(
    wire: Wire, options: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        wire.client().get_client_access_token(**options)


def test_client_when_connection_string_or_hub_is_wrong_is_not_made() -> None:
    with pytest.raises(InvalidConnectionString) as caught:
        ServiceClient.from_connection_string(f"AccessKey={KEY}", "chat")
    assert KEY not in str(caught.value)
    with pytest.raises(InvalidName):
        ServiceClient.from_connection_string(TEXT, "1bad")


# --- failures --------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [200, 204, 301, 400, 401, 404, 413, 500, 503])
async def test_send_when_answer_is_not_202_fails_at_once(wire: Wire, status: int) -> None:
    wire.script = [httpx2.Response(status, headers={"Location": "https://elsewhere.example/"})]
    with pytest.raises(RequestError) as caught:
        await wire.client().send_to_all("x")
    assert caught.value.status == status
    assert caught.value.retryable is (status in (500, 503))
    assert len(wire.requests) == 1


async def test_send_when_refused_tells_code_and_message_but_no_token(wire: Wire) -> None:
    wire.script = [
        httpx2.Response(400, json={"code": "Error.BadRequest", "message": "Invalid filter."})
    ]
    with pytest.raises(RequestError) as caught:
        await wire.client().send_to_group("a b", "x", filter="secret filter")
    error = caught.value
    assert error.error_code == "Error.BadRequest"
    assert str(error) == (
        "POST /api/hubs/chat/groups/a%20b/:send: the service answered 400,"
        " Error.BadRequest: Invalid filter."
    )
    token = wire.only.headers["authorization"].split()[1]
    assert token not in str(error)


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>", b"[1]", b'{"code":null,"message":5}', b"[" * 9999, b"\xff", b"x" * 99_999],
)
async def test_send_when_error_body_is_strange_still_tells_status_and_header(
    wire: Wire, body: bytes
) -> None:
    headers = {"x-ms-error-code": "Error.Header"}
    wire.script = [httpx2.Response(404, content=body, headers=headers)]
    with pytest.raises(RequestError) as caught:
        await wire.client().send_to_all("x")
    assert (caught.value.status, caught.value.error_code) == (404, "Error.Header")


async def test_send_when_key_is_refused_says_where_to_look(wire: Wire) -> None:
    wire.script = [httpx2.Response(401)]
    with pytest.raises(RequestError, match="access key"):
        await wire.client().send_to_all("x")


async def test_send_when_service_is_draining_waits_as_asked_and_repeats(wire: Wire) -> None:
    wire.script = [httpx2.Response(503, headers={"Retry-After": "1"})] * 3
    await wire.client().send_to_all("x")
    assert len(wire.requests) == 4
    assert all(1 <= pause <= 2 for pause in wire.pauses)
    assert len(wire.pauses) == 3
    assert [request.content for request in wire.requests] == [b"x"] * 4


async def test_send_when_service_stays_away_gives_up_after_three_repeats(wire: Wire) -> None:
    wire.script = [httpx2.Response(503, headers={"Retry-After": "0"})] * 4
    with pytest.raises(RequestError) as caught:
        await wire.client().send_to_all("x")
    assert len(wire.requests) == 4
    assert caught.value.retryable


@pytest.mark.parametrize("retry_after", ["6", "3600", "Wed, 21 Oct 2065 07:28:00 GMT", "x", "-1"])
async def test_send_when_pause_is_long_or_unreadable_does_not_wait(
    wire: Wire, retry_after: str
) -> None:
    wire.script = [httpx2.Response(503, headers={"Retry-After": retry_after})]
    with pytest.raises(RequestError):
        await wire.client().send_to_all("x")
    assert wire.pauses == []


async def test_send_when_connection_cannot_be_opened_repeats_with_growing_pauses(
    wire: Wire,
) -> None:
    wire.script = [httpx2.ConnectError("refused"), httpx2.ConnectTimeout("slow")]
    await wire.client().send_to_all("x")
    assert len(wire.requests) == 3
    first, second = wire.pauses
    assert 0.2 <= first <= 0.4 <= second <= 0.8


async def test_send_when_nothing_listens_says_which_address(wire: Wire) -> None:
    wire.script = [httpx2.ConnectError("refused")] * 4
    with pytest.raises(RequestError, match=f"cannot reach {ENDPOINT}: refused") as caught:
        await wire.client().send_to_all("x")
    assert caught.value.status is None
    assert caught.value.retryable
    assert isinstance(caught.value.__cause__, httpx2.ConnectError)


@pytest.mark.parametrize("error", [httpx2.ReadTimeout(""), httpx2.ReadError("reset")])
async def test_send_when_answer_is_lost_is_never_repeated(wire: Wire, error: Exception) -> None:
    wire.script = [error]
    with pytest.raises(RequestError, match="whether it was done is unknown") as caught:
        await wire.client().send_to_all("x")
    assert caught.value.status is None
    assert len(wire.requests) == 1
    assert wire.pauses == []


async def test_client_as_context_manager_closes_its_connections(wire: Wire) -> None:
    async with wire.client() as client:
        await client.send_to_all("x")
    with pytest.raises(RuntimeError, match="closed"):
        await client.send_to_all("x")
    await client.aclose()
