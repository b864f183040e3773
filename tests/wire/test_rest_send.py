"""Sends over real HTTP, and what real clients of each kind receive."""

import asyncio
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import pytest
from azure.messaging.webpubsubservice import WebPubSubServiceClient
from tests.wire.rest_helpers import JSON, RELIABLE, Wire, wire

LIMIT = 1_048_576


@pytest.fixture
async def w() -> AsyncIterator[Wire]:
    async with wire() as it:
        yield it


def from_server(data_type: str, data: object) -> dict[str, object]:
    return {"type": "message", "from": "server", "dataType": data_type, "data": data}


# --- forms -----------------------------------------------------------------------------------


async def test_ra_023_send_by_the_official_python_sdk_arrives(w):
    plain = await w.connect()

    def send() -> None:
        text = w.service.connection_string
        with WebPubSubServiceClient.from_connection_string(text, "chat") as client:
            client.send_to_all({"a": 1})

    await asyncio.to_thread(send)
    assert await plain.frame() == '{"a": 1}'


async def test_ra_024_text_reaches_each_client_in_its_form(w):
    plain, json_client = await w.connect(), await w.connect(JSON)
    assert (await w.send(b"Hello")).status_code == 202
    assert await plain.frame() == "Hello"
    assert await json_client.message() == from_server("text", "Hello")


async def test_ra_025_json_reaches_each_client_in_its_form(w):
    plain, json_client = await w.connect(), await w.connect(JSON)
    for body, value in ((b'"hi"', "hi"), (b' {"a" : 1.0} ', {"a": 1.0})):
        assert (await w.send(body, "application/json")).status_code == 202
        assert await plain.frame() == body.decode()
        assert await json_client.message() == from_server("json", value)


async def test_ra_026_binary_reaches_each_client_in_its_form(w):
    plain, json_client = await w.connect(), await w.connect(JSON)
    assert (await w.send(b"\x00\x01", "application/octet-stream")).status_code == 202
    assert await plain.frame() == b"\x00\x01"
    assert await json_client.message() == from_server("binary", "AAE=")


async def test_ra_030_body_without_content_type_arrives_as_binary(w):
    plain = await w.connect()
    assert (await w.send(b"hi", None)).status_code == 202
    assert await plain.frame() == b"hi"


async def test_ra_031_text_in_utf16_arrives_as_utf8(w):
    plain, json_client = await w.connect(), await w.connect(JSON)
    body = "grüße €".encode("utf-16")
    assert (await w.send(body, "text/plain; charset=utf-16")).status_code == 202
    assert await plain.frame() == "grüße €"
    assert await json_client.message() == from_server("text", "grüße €")


async def test_ra_027_ra_028_ra_032_refused_bodies_reach_nobody(w):
    plain = await w.connect()
    for body, content_type, status in (
        (b"{", "application/json", 400),
        (b"x", "text/html", 415),
        (b"x", "text/plain; charset=nope", 415),
    ):
        answer = await w.send(body, content_type)
        assert answer.status_code == status
        assert answer.headers.get("x-ms-error-code") == (
            "Error.BadRequest" if status == 400 else None
        )
    await w.fence(plain)


async def test_ra_096_metadata_reaches_json_clients(w):
    json_client = await w.connect(JSON)
    headers = {"X-WebPubSub-Metadata-Trace": "1"}
    assert (await w.send(b"hi", headers=headers)).status_code == 202
    message = await json_client.message()
    assert message["metadata"] == {"trace": "1"}
    headers = {"X-WebPubSub-Metadata-Trace": "v" * 1025}
    assert (await w.send(b"hi", headers=headers)).status_code == 400
    await w.fence(json_client)


# --- size ------------------------------------------------------------------------------------


async def test_ra_033_body_of_exactly_the_limit_arrives(w):
    plain = await w.connect()
    plain.socket.protocol.max_message_size = LIMIT
    assert (await w.send(b"x" * LIMIT)).status_code == 202
    assert await plain.frame() == "x" * LIMIT


async def test_ra_034_body_above_the_limit_is_refused_and_the_connection_lives_on(w):
    plain = await w.connect()
    answer = await w.send(b"x" * (LIMIT + 1))
    assert answer.status_code == 400
    assert answer.headers["x-ms-error-code"] == "Error.BadRequest"
    assert answer.json()["message"] == "Invalid Content-Length header."
    await w.fence(plain)


async def chunks_of(sizes: list[int]) -> AsyncIterator[bytes]:
    for size in sizes:
        yield b"x" * size


async def test_ra_035_chunked_body_up_to_the_limit_arrives(w):
    plain = await w.connect()
    answer = await w.send(chunks_of([1, LIMIT - 2, 1]))
    assert "content-length" not in answer.request.headers
    assert answer.status_code == 202
    assert await plain.frame() == "x" * LIMIT
    answer = await w.send(chunks_of([LIMIT, 1]))
    assert answer.status_code == 400
    assert answer.json()["message"] == "Invalid Content-Length header."
    await w.fence(plain)


# --- who gets it -----------------------------------------------------------------------------


async def test_ra_036_message_ttl_seconds_is_0_to_300(w):
    for text, status in (("0", 202), ("300", 202), ("301", 400), ("-1", 400), ("x", 400)):
        assert (await w.send(b"x", query=f"messageTtlSeconds={text}")).status_code == status


@pytest.mark.parametrize("to", ["", "/groups/g"])
async def test_ra_037_ra_038_excluded_connections_get_nothing(w, to):
    first, second, third = [await w.connect(JSON, groups=["g"]) for _ in range(3)]
    query = f"excluded={first.connection_id}&excluded={second.connection_id}"
    assert (await w.send(b"some", to=to, query=query)).status_code == 202
    other_case = third.connection_id.swapcase()
    assert other_case != third.connection_id
    assert (await w.send(b"all", to=to, query=f"excluded={other_case}")).status_code == 202
    assert (await third.message())["data"] == "some"
    for client in (first, second, third):
        assert (await client.message())["data"] == "all"


async def test_ra_047_send_to_connection_reaches_it_alone_and_an_unknown_one_is_no_error(w):
    one, other = await w.connect(JSON), await w.connect(JSON)
    assert (await w.send(b"x", to="/connections/nobody")).status_code == 202
    assert (await w.send(b"hi", to=f"/connections/{one.connection_id}")).status_code == 202
    assert await one.message() == from_server("text", "hi")
    await w.fence(one, other)


async def test_ra_048_send_to_user_reaches_all_connections_of_the_user(w):
    clients = [await w.connect(kind, user="u") for kind in (None, JSON, RELIABLE)]
    other = await w.connect(user="U")
    assert (await w.send(b"x", to="/users/nobody")).status_code == 202
    assert (await w.send(b"hi", to="/users/u")).status_code == 202
    assert await clients[0].frame() == "hi"
    assert await clients[1].message() == from_server("text", "hi")
    assert await clients[2].message() == {"sequenceId": 1, **from_server("text", "hi")}
    await w.fence(*clients, other)


async def test_ra_049_send_to_group_reaches_its_members_and_an_empty_one_is_no_error(w):
    plain = await w.connect(groups=["g"])
    json_client = await w.connect(JSON, groups=["g", "h"])
    other = await w.connect(groups=["G"])
    assert (await w.send(b"x", to="/groups/empty")).status_code == 202
    assert (await w.send(b"hi", to="/groups/g")).status_code == 202
    assert await plain.frame() == "hi"
    message = await json_client.message()
    assert (message["from"], message["group"], message["data"]) == ("group", "g", "hi")
    assert "fromUserId" not in message
    await w.fence(plain, json_client, other)


async def test_ra_050_hub_is_compared_without_case(w):
    plain = await w.connect(hub="chat")
    elsewhere = await w.connect(hub="chat2")
    assert (await w.send(b"hi", hub="CHAT")).status_code == 202
    assert await plain.frame() == "hi"
    for hub in ("1bad", "a" * 129):
        answer = await w.send(b"x", hub=hub)
        assert (answer.status_code, answer.json()["message"]) == (400, "Invalid hub name.")
    await w.fence(plain)
    assert (await w.send(b"own", hub="chat2")).status_code == 202
    assert await elsewhere.frame() == "own"


@pytest.mark.parametrize(
    ("segment", "user"),
    [
        ("alice%20smith", "alice smith"),
        ("alice+bob", "alice+bob"),
        ("a%2Fb", "a/b"),
        ("%C3%A9", "é"),
    ],
)
async def test_ra_094_ra_095_user_in_the_path_is_decoded_once(w, segment, user):
    plain = await w.connect(user=user)
    assert (await w.send(b"hi", to=f"/users/{segment}")).status_code == 202
    assert await plain.frame() == "hi"


async def test_ra_095_encoded_slash_when_decoding_is_strict_stays_as_it_is():
    async with wire(strict_path_decoding=True) as w:
        literal, decoded = await w.connect(user="a%2Fb"), await w.connect(user="a/b")
        assert (await w.send(b"hi", to="/users/a%2Fb")).status_code == 202
        assert await literal.frame() == "hi"
        await w.fence(literal, decoded)


# --- time ------------------------------------------------------------------------------------


class Shift:
    """Moves the clock of the running loop forward, so that nobody waits for real seconds."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.seconds = 0.0
        loop = asyncio.get_running_loop()
        real = loop.time
        monkeypatch.setattr(loop, "time", lambda: real() + self.seconds)


async def test_ra_101_message_that_expired_while_the_client_was_away_is_not_delivered(monkeypatch):
    clock = Shift(monkeypatch)
    async with wire() as w:
        client = await w.connect(RELIABLE)
        client.socket.transport.abort()
        assert (await w.send(b"short", query="messageTtlSeconds=1")).status_code == 202
        assert (await w.send(b"long", query="messageTtlSeconds=5")).status_code == 202
        assert (await w.send(b"ever")).status_code == 202
        clock.seconds += 3
        assert client.connected is not None
        back = await w.connect(
            RELIABLE,
            awps_connection_id=client.connection_id,
            awps_reconnection_token=client.connected["reconnectionToken"],
        )
        messages = [await back.message() for _ in range(2)]
        assert [(m["sequenceId"], m["data"]) for m in messages] == [(2, "long"), (3, "ever")]
        await w.fence(back)


@pytest.mark.parametrize(("version", "closing"), [("1.1", "Connection: close\r\n"), ("1.0", "")])
async def test_ra_034_refusal_reaches_a_caller_that_closes_and_still_sends(w, version, closing):
    """An end with unread bytes would be a reset, and the answer lost."""
    path = "/api/hubs/chat/:send"
    address = urlsplit(w.service.url)
    token = w.rest_token(w.service.url + path)
    head = (
        f"POST {path} HTTP/{version}\r\nHost: {address.netloc}\r\n{closing}"
        f"Authorization: Bearer {token}\r\nContent-Length: {8 * LIMIT}\r\n\r\n"
    )
    for _ in range(5):
        reader, writer = await asyncio.open_connection(address.hostname, address.port)
        writer.write(head.encode())
        for _ in range(8):
            writer.write(b"x" * LIMIT)
        answer = await asyncio.wait_for(reader.read(), 10)
        assert answer.startswith(b"HTTP/1.1 400 ")
        assert b"Invalid Content-Length header." in answer
        writer.close()
