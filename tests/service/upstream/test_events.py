import asyncio
from typing import Any

import pytest
from tests.service.upstream.conftest import KEYS, MakeUpstream, Time
from tests.wire.upstream_helpers import Recorded, RecordingHandler, Reply

from hubbub.protocol import cloudevents, limits
from hubbub.protocol.errors import ConnectRejected, SettingsError, UpstreamError
from hubbub.protocol.messages import DataType, Payload, text_payload
from hubbub.service.settings import EventHandlerSettings, HubSettings, Settings
from hubbub.service.upstream import (
    ConnectAnswer,
    ConnectRequest,
    EventAnswer,
    EventSource,
    Upstream,
)

PAYLOAD = text_payload("hello")
REQUEST = ConnectRequest(subprotocols=["a"])


class Gate:
    """An answer that comes when told to."""

    def __init__(self, reply: Reply | None = None) -> None:
        self._opened = asyncio.Event()
        self._reply = reply or Reply()

    def open(self) -> None:
        self._opened.set()

    async def __call__(self, request: Recorded) -> Reply:
        await self._opened.wait()
        return self._reply


# --- connect


async def test_ue_013_connect_has_the_always_headers_and_id_zero(
    handler: RecordingHandler, make_upstream: MakeUpstream, source: EventSource
) -> None:
    upstream = await make_upstream()
    source.subprotocol = "json.webpubsub.azure.v1"
    assert await upstream.connect(source, REQUEST) == ConnectAnswer()
    (post,) = handler.posts
    assert post.target == "/eh/chat/connect"
    expected = {
        "WebHook-Request-Origin": "service.example",
        "Content-Type": "application/json; charset=utf-8",
        "ce-specversion": "1.0",
        "ce-awpsversion": "1.0",
        "ce-type": "azure.webpubsub.sys.connect",
        "ce-source": "/hubs/chat/client/c1",
        "ce-id": "0",
        "ce-time": "2026-01-01T00:00:00Z",
        "ce-hub": "chat",
        "ce-connectionId": "c1",
        "ce-eventName": "connect",
        "ce-signature": cloudevents.signature("c1", KEYS),
        "ce-userId": "alice",
        "ce-subprotocol": None,
        "ce-connectionState": None,
        "Authorization": None,
    }
    assert {name: post.header(name) for name in expected} == expected
    assert post.json["subprotocols"] == ["a"]


async def test_connect_without_a_handler_keeps_what_the_token_says(
    handler: RecordingHandler, make_upstream: MakeUpstream, source: EventSource
) -> None:
    upstream = await make_upstream(system_events=("connected",))
    assert not upstream.wants_connect("chat")
    assert not upstream.wants_connect("unknown")
    assert await upstream.connect(source, REQUEST) == ConnectAnswer()
    assert handler.requests == []


async def test_ue_021_connect_answer_is_read_and_its_state_kept(
    handler: RecordingHandler, make_upstream: MakeUpstream, source: EventSource
) -> None:
    upstream = await make_upstream()
    assert upstream.wants_connect("chat")
    handler.answers["connect"] = Reply(
        200, b'{"userId":"bob","groups":["g"]}', headers=[("ce-connectionState", "abc")]
    )
    assert await upstream.connect(source, REQUEST) == ConnectAnswer("bob", None, ("g",), None)
    assert source.state == "abc"


@pytest.mark.parametrize(
    ("reply", "reply_status", "text", "attempts"),
    [
        pytest.param(Reply(401, b"no entry", "text/plain"), 401, "no entry", 1, id="ue_095_text"),
        pytest.param(Reply(401, b"{}", "application/json"), 401, "", 1, id="ue_095_json"),
        pytest.param(Reply(403, b"n" * 1025, "text/plain"), 403, "", 1, id="long_text"),
        pytest.param(Reply(400), 400, "", 1, id="ue_030"),
        pytest.param(Reply(429), 429, "", 1, id="ue_033"),
        pytest.param(Reply(302, b"x", "text/plain"), 500, "", 1, id="ue_087"),
        pytest.param(Reply(500), 500, "", 4, id="ue_031"),
        pytest.param(Reply(503, b"down", "text/plain"), 503, "down", 4, id="ue_086"),
        pytest.param(Reply(200, b"{bad"), 500, "", 1, id="ue_034"),
        pytest.param(Reply(200, b'{"subprotocol":"b"}'), 500, "", 1, id="ue_029"),
        pytest.param(Reply(cuts=True), 500, "", 4, id="ue_035"),
        pytest.param(
            Reply(204, headers=[("ce-connectionState", "s" * 8193)]), 500, "", 1, id="state"
        ),
    ],
)
async def test_connect_that_is_refused_or_unusable_rejects_the_client(
    handler: RecordingHandler,
    make_upstream: MakeUpstream,
    source: EventSource,
    time: Time,
    reply: Reply,
    reply_status: int,
    text: str,
    attempts: int,
) -> None:
    handler.answers["connect"] = reply
    upstream = await make_upstream()
    with pytest.raises(ConnectRejected) as caught:
        await upstream.connect(source, REQUEST)
    assert (caught.value.reply_status, caught.value.text) == (reply_status, text)
    assert len(handler.posts) == attempts
    assert time.pauses == [1, 3, 5][: attempts - 1]
    assert source.state == ""


async def test_ue_032_connect_answered_503_then_204_accepts_with_the_same_id(
    handler: RecordingHandler, make_upstream: MakeUpstream, source: EventSource
) -> None:
    replies = [Reply(503), Reply(204)]
    handler.answers["connect"] = lambda request: replies.pop(0)
    upstream = await make_upstream()
    assert await upstream.connect(source, REQUEST) == ConnectAnswer()
    assert [post.header("ce-id") for post in handler.posts] == ["0", "0"]


async def test_connect_time_out_rejects_with_500(
    handler: RecordingHandler, make_upstream: MakeUpstream, source: EventSource
) -> None:
    handler.answers["connect"] = Gate()
    upstream = await make_upstream(timeout_s=0.05)
    with pytest.raises(ConnectRejected) as caught:
        await upstream.connect(source, REQUEST)
    assert caught.value.reply_status == 500
    assert len(handler.posts) == 1


async def test_ue_088_connect_that_is_cancelled_aborts_the_call(
    handler: RecordingHandler, make_upstream: MakeUpstream, source: EventSource
) -> None:
    handler.answers["connect"] = Gate()
    upstream = await make_upstream()
    call = asyncio.create_task(upstream.connect(source, REQUEST))
    await handler.wait_for("connect")
    call.cancel()
    await handler.wait_until(lambda: bool(handler.aborted))


# --- user events


@pytest.mark.parametrize(
    ("payload", "content_type", "body"),
    [
        (text_payload("hé"), "text/plain", "hé".encode()),
        (Payload(DataType.TEXT, token=b'"a\\n"'), "text/plain", b"a\n"),
        (Payload(DataType.JSON, raw=b'{"a": 1}'), "application/json", b'{"a": 1}'),
        (Payload(DataType.BINARY, token=b'"AQID"'), "application/octet-stream", b"\1\2\3"),
        (None, "text/plain", b""),
    ],
)
async def test_ue_047_user_event_carries_the_payload_in_its_plain_form(
    handler: RecordingHandler,
    make_upstream: MakeUpstream,
    source: EventSource,
    payload: Payload | None,
    content_type: str,
    body: bytes,
) -> None:
    upstream = await make_upstream()
    source.subprotocol = "json.webpubsub.azure.v1"
    await upstream.user_event(source, "Order.Created-1", payload)
    (post,) = handler.posts
    assert (post.header("Content-Type"), post.body) == (content_type, body)
    assert post.header("ce-type") == "azure.webpubsub.user.Order.Created-1"
    assert post.header("ce-subprotocol") == "json.webpubsub.azure.v1"
    assert post.header("ce-invocationId") is None
    assert post.target == "/eh/chat/Order.Created-1"


async def test_ue_016_ids_ascend_and_the_signature_stays(
    handler: RecordingHandler, make_upstream: MakeUpstream, source: EventSource
) -> None:
    upstream = await make_upstream()
    await upstream.connect(source, REQUEST)
    await upstream.user_event(source, "message", PAYLOAD)
    await upstream.user_event(source, "message", PAYLOAD)
    assert [post.header("ce-id") for post in handler.posts] == ["0", "1", "2"]
    assert {post.header("ce-signature") for post in handler.posts} == {
        cloudevents.signature("c1", KEYS)
    }


async def test_metadata_and_invocation_id_go_along(
    handler: RecordingHandler, make_upstream: MakeUpstream, source: EventSource
) -> None:
    upstream = await make_upstream()
    handler.answers["*"] = Reply(
        200, b"hi", "text/plain; charset=utf-8", [("X-WebPubSub-Metadata-Out", "2")]
    )
    answer = await upstream.user_event(
        source, "message", PAYLOAD, metadata={"In": "1"}, invocation_id="7"
    )
    assert answer == EventAnswer(text_payload("hi"), {"out": "2"})
    (post,) = handler.posts
    assert post.header("X-WebPubSub-Metadata-In") == "1"
    assert post.header("ce-invocationId") == "7"


async def test_ue_060_event_that_no_pattern_takes_has_no_handler(
    handler: RecordingHandler, make_upstream: MakeUpstream, source: EventSource
) -> None:
    upstream = await make_upstream(user_event_pattern="a,b")
    with pytest.raises(UpstreamError) as caught:
        await upstream.user_event(source, "c", PAYLOAD)
    assert caught.value.no_handler
    assert source.next_event_id == 1
    await upstream.user_event(source, "B", PAYLOAD)
    assert [post.event for post in handler.posts] == ["B"]


async def test_ue_061_only_the_first_matching_handler_gets_the_event(
    handler: RecordingHandler, make_upstream: MakeUpstream, source: EventSource
) -> None:
    async with RecordingHandler() as first:
        upstream = await make_upstream(EventHandlerSettings(first.url, user_event_pattern="*"))
        await upstream.user_event(source, "message", PAYLOAD)
        assert len(first.posts) == 1
        assert handler.posts == []


@pytest.mark.parametrize(
    ("reply", "status", "text"),
    [
        (Reply(400, b"bad", "text/plain"), 400, "bad"),
        (Reply(400, b"<p>bad", "text/html"), 400, ""),
        (Reply(302), 302, ""),
        (Reply(500), 500, ""),
        (Reply(200, b"<p>", "text/html"), None, ""),
        (Reply(200, b"{bad", "application/json"), None, ""),
    ],
)
async def test_user_event_that_fails_keeps_state_and_tells_the_status(
    handler: RecordingHandler,
    make_upstream: MakeUpstream,
    source: EventSource,
    reply: Reply,
    status: int | None,
    text: str,
) -> None:
    source.state = "old"
    reply.headers = [("ce-connectionState", "new")]
    handler.answers["*"] = reply
    upstream = await make_upstream()
    with pytest.raises(UpstreamError) as caught:
        await upstream.user_event(source, "message", PAYLOAD)
    assert (caught.value.status, caught.value.text) == (status, text)
    assert not caught.value.no_handler
    assert source.state == "old"


async def test_ue_039_ue_040_state_follows_the_answers(
    handler: RecordingHandler, make_upstream: MakeUpstream, source: EventSource
) -> None:
    states = ["a", "", None]
    upstream = await make_upstream()

    def answer(request: Recorded) -> Reply:
        state = states.pop(0)
        return Reply(204, headers=[] if state is None else [("ce-connectionState", state)])

    handler.answers["*"] = answer
    for _ in range(3):
        await upstream.user_event(source, "message", PAYLOAD)
    assert [post.header("ce-connectionState") for post in handler.posts] == [None, "a", None]


async def test_largest_state_goes_back_to_the_handler(
    handler: RecordingHandler, make_upstream: MakeUpstream, source: EventSource
) -> None:
    upstream = await make_upstream()
    state = "s" * limits.MAX_CONNECTION_STATE_BYTES
    handler.answers["*"] = Reply(204, headers=[("ce-connectionState", state)])
    await upstream.user_event(source, "message", PAYLOAD)
    await upstream.user_event(source, "message", PAYLOAD)
    assert handler.posts[1].header("ce-connectionState") == state


async def test_ue_041_cookies_of_success_answers_go_back(
    handler: RecordingHandler, make_upstream: MakeUpstream, source: EventSource
) -> None:
    upstream = await make_upstream()
    handler.answers["connect"] = Reply(
        204, headers=[("Set-Cookie", "ARRAffinity=n1; Path=/; HttpOnly"), ("Set-Cookie", "b=2")]
    )
    handler.answers["bad"] = Reply(400, headers=[("Set-Cookie", "c=3; Path=/")])
    await upstream.connect(source, REQUEST)
    with pytest.raises(UpstreamError):
        await upstream.user_event(source, "bad", PAYLOAD)
    await upstream.user_event(source, "message", PAYLOAD)
    other = EventSource(hub="chat", connection_id="c2", origin="service.example")
    await upstream.user_event(other, "message", PAYLOAD)
    assert [post.header("Cookie") for post in handler.posts] == [
        None,
        "ARRAffinity=n1; b=2",
        "ARRAffinity=n1; b=2",
        None,
    ]
    assert all(question.header("Cookie") is None for question in handler.questions)


async def test_ue_066_user_id_outside_ascii_is_sent_as_utf8(
    handler: RecordingHandler, make_upstream: MakeUpstream, source: EventSource
) -> None:
    source.user_id = "Zoë 张"
    upstream = await make_upstream()
    await upstream.user_event(source, "message", PAYLOAD)
    assert ("ce-userid", "Zoë 张".encode()) in handler.posts[0].headers


async def test_ue_068_bearer_token_comes_from_the_environment(
    handler: RecordingHandler,
    make_upstream: MakeUpstream,
    source: EventSource,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("EH_TOKEN", "secret")
    upstream = await make_upstream(bearer_token_env="EH_TOKEN")
    await upstream.connect(source, ConnectRequest(headers={"Authorization": ["Bearer client"]}))
    (post,) = handler.posts
    assert post.header("Authorization") == "Bearer secret"
    assert b"client" not in post.body.replace(b"clientCertificates", b"")
    assert handler.questions[0].header("Authorization") is None


async def test_ue_070_event_past_the_limit_fails_without_another_try(
    handler: RecordingHandler, make_upstream: MakeUpstream, source: EventSource
) -> None:
    handler.answers["*"] = Gate()
    upstream = await make_upstream(timeout_s=0.05)
    with pytest.raises(UpstreamError, match="no answer within"):
        await upstream.user_event(source, "message", PAYLOAD)
    assert len(handler.posts) == 1


async def test_ue_093_invocation_that_is_cancelled_aborts_its_call_only(
    handler: RecordingHandler, make_upstream: MakeUpstream, source: EventSource
) -> None:
    gate = Gate()
    handler.answers["*"] = gate
    upstream = await make_upstream()
    first, second = (
        asyncio.create_task(upstream.user_event(source, "e", PAYLOAD, invocation_id=number))
        for number in ("1", "2")
    )
    await handler.wait_for("e", 2)
    first.cancel()
    await handler.wait_until(lambda: len(handler.aborted) == 1)
    assert handler.aborted[0].header("ce-invocationId") == "1"
    gate.open()
    assert await second == EventAnswer()


# --- notifications


async def test_ue_042_connected_is_sent_and_its_failure_only_logged(
    handler: RecordingHandler,
    make_upstream: MakeUpstream,
    source: EventSource,
    caplog: pytest.LogCaptureFixture,
) -> None:
    handler.answers["connected"] = Reply(500)
    upstream = await make_upstream(retry_pauses_s=())
    upstream.connected(source)
    (post,) = await handler.wait_for("connected")
    assert post.body == b"{}"
    assert post.header("Content-Type") == "application/json; charset=utf-8"
    assert post.header("ce-type") == "azure.webpubsub.sys.connected"
    assert post.header("ce-id") == "1"
    await upstream.drain(5)
    assert "connection_id=c1" in caplog.text
    assert "status 500" in caplog.text


async def test_disconnected_is_sent_once_and_with_the_last_id(
    handler: RecordingHandler, make_upstream: MakeUpstream, source: EventSource
) -> None:
    upstream = await make_upstream()
    source.state = "abc"
    await upstream.user_event(source, "message", PAYLOAD)
    upstream.disconnected(source, "bye")
    upstream.disconnected(source, "again")
    await upstream.drain(5)
    (post,) = handler.events("disconnected")
    assert post.json == {"reason": "bye"}
    assert post.header("ce-id") == "2"
    assert post.header("ce-connectionState") == "abc"


async def test_disconnected_waits_for_all_earlier_events_of_its_connection(
    handler: RecordingHandler, make_upstream: MakeUpstream, source: EventSource, time: Time
) -> None:
    connected, event = Gate(), Gate(Reply(204, headers=[("ce-connectionState", "last")]))
    handler.answers["connected"] = connected
    handler.answers["e"] = event
    upstream = await make_upstream()
    upstream.connected(source)
    call = asyncio.create_task(upstream.user_event(source, "e", PAYLOAD))
    await handler.wait_for("connected")
    await handler.wait_for("e")
    time.now += 10
    upstream.disconnected(source, None)
    time.now += 10
    other = EventSource(hub="chat", connection_id="c2", origin="service.example")
    upstream.disconnected(other, None)
    await handler.wait_for("disconnected")
    connected.open()
    event.open()
    await call
    await upstream.drain(5)
    first, second = handler.events("disconnected")
    assert [first.header("ce-connectionId"), second.header("ce-connectionId")] == ["c2", "c1"]
    assert second.header("ce-connectionState") == "last"
    assert second.header("ce-time") == "2026-01-01T00:00:10Z"
    assert second.header("ce-id") == "3"


async def test_notifications_without_a_handler_do_nothing(
    handler: RecordingHandler, make_upstream: MakeUpstream, source: EventSource
) -> None:
    upstream = await make_upstream(system_events=())
    upstream.connected(source)
    upstream.disconnected(source, None)
    await upstream.drain(0)
    assert handler.requests == []
    assert source.next_event_id == 1


async def test_notifications_beyond_the_bound_drop_the_oldest(
    handler: RecordingHandler, make_upstream: MakeUpstream
) -> None:
    gate = Gate()
    handler.answers["connected"] = handler.answers["disconnected"] = gate
    upstream = await make_upstream(
        upstream={"max_queued_notifications": 2, "max_running_notifications": 1}
    )
    sources = [
        EventSource(hub="chat", connection_id=f"c{n}", origin="service.example") for n in range(5)
    ]
    for source in sources:
        upstream.connected(source)
    assert upstream.dropped_notifications == 2
    # A connection whose `connected` was dropped can still say that it left.
    upstream.disconnected(sources[1], None)
    assert upstream.dropped_notifications == 3
    gate.open()
    await upstream.drain(5)
    assert [(post.event, post.header("ce-connectionId")) for post in handler.posts] == [
        ("connected", "c0"),
        ("connected", "c4"),
        ("disconnected", "c1"),
    ]


async def test_many_drops_that_cause_each_other_do_not_nest(
    handler: RecordingHandler, make_upstream: MakeUpstream
) -> None:
    count = 300
    handler.answers["connected"] = Gate()
    upstream = await make_upstream(
        upstream={"max_queued_notifications": count, "max_running_notifications": 1}
    )
    for number in range(count + 1):
        source = EventSource(hub="chat", connection_id=f"c{number}", origin="service.example")
        upstream.connected(source)
        upstream.disconnected(source, None)
    # Each `connected` that is dropped lets its connection say that it left, which drops another.
    upstream.connected(EventSource(hub="chat", connection_id="last", origin="service.example"))
    async with asyncio.timeout(5):
        while upstream.dropped_notifications < count:
            await asyncio.sleep(0)


async def test_drain_gives_up_after_its_time(
    handler: RecordingHandler,
    make_upstream: MakeUpstream,
    source: EventSource,
    caplog: pytest.LogCaptureFixture,
) -> None:
    handler.answers["connected"] = Gate()
    upstream = await make_upstream()
    upstream.connected(source)
    await handler.wait_for("connected")
    await upstream.drain(0.05)
    assert "1 notifications were not sent in time" in caplog.text
    await upstream.close()
    await handler.wait_until(lambda: bool(handler.aborted))


# --- settings


def make_settings(**settings: Any) -> Settings:
    one = EventHandlerSettings(**({"url_template": "http://127.0.0.1/"} | settings))
    return Settings(hubs={"Chat": HubSettings(event_handlers=(one,))})


def test_faulty_handlers_are_refused_with_every_problem() -> None:
    with pytest.raises(SettingsError) as caught:
        Upstream(make_settings(url_template="http://h/{x}", validate="no"), KEYS)
    assert len(caught.value.problems) == 2
    assert all("Chat" in problem for problem in caught.value.problems)


def test_hub_of_the_settings_compares_without_case() -> None:
    assert Upstream(make_settings(system_events=("connect",)), KEYS).wants_connect("chat")


@pytest.mark.parametrize("token", [None, "", "a b", "a\r\nb", "ü"])
def test_bearer_token_that_is_missing_or_unusable_is_a_settings_error(
    monkeypatch: pytest.MonkeyPatch, token: str | None
) -> None:
    monkeypatch.delenv("EH_TOKEN", raising=False)
    if token is not None:
        monkeypatch.setenv("EH_TOKEN", token)
    with pytest.raises(SettingsError) as caught:
        Upstream(make_settings(bearer_token_env="EH_TOKEN"), KEYS)
    assert "EH_TOKEN" in str(caught.value)
    assert not token or token not in str(caught.value)
