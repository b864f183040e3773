import asyncio

import pytest
from tests.service.upstream.conftest import MakeUpstream, Time
from tests.wire.upstream_helpers import VALID, Recorded, RecordingHandler, Reply

from hubbub.protocol.errors import UpstreamError
from hubbub.protocol.messages import text_payload
from hubbub.service.upstream import EventSource, Upstream

PAYLOAD = text_payload("hello")
NOTHING = Reply(200)


async def send_until_refused(upstream: Upstream, source: EventSource) -> None:
    """The refreshing question ends in the background, some events later."""
    async with asyncio.timeout(5):
        while True:
            await upstream.user_event(source, "message", PAYLOAD)


async def test_ue_002_question_has_origin_and_version_and_nothing_else(
    handler: RecordingHandler, make_upstream: MakeUpstream, source: EventSource
) -> None:
    upstream = await make_upstream()
    await upstream.user_event(source, "message", PAYLOAD)
    question = handler.requests[0]
    assert (question.method, question.target) == ("OPTIONS", "/eh/chat/validate")
    assert {name for name, _ in question.headers} == {
        "host",
        "user-agent",
        "webhook-request-origin",
        "ce-awpsversion",
    }
    assert question.header("WebHook-Request-Origin") == "service.example"
    assert question.header("ce-awpsversion") == "1.0"


@pytest.mark.parametrize(
    ("replies", "asked"),
    [
        pytest.param([VALID], ["OPTIONS"], id="ue_003"),
        pytest.param(
            [Reply(200, headers=[("WebHook-Allowed-Origin", "SERVICE.example")])],
            ["OPTIONS"],
            id="ue_004",
        ),
        pytest.param(
            [
                Reply(
                    200,
                    headers=[
                        ("WebHook-Allowed-Origin", "a.example"),
                        ("WebHook-Allowed-Origin", "service.example"),
                    ],
                )
            ],
            ["OPTIONS"],
            id="ue_005",
        ),
        pytest.param([Reply(404), VALID], ["OPTIONS", "GET"], id="ue_009"),
        pytest.param([Reply(503), VALID], ["OPTIONS", "OPTIONS"], id="retry"),
    ],
)
async def test_handler_that_confirms_gets_the_event(
    handler: RecordingHandler,
    make_upstream: MakeUpstream,
    source: EventSource,
    replies: list[Reply],
    asked: list[str],
) -> None:
    left = list(replies)
    handler.answers["OPTIONS"] = handler.answers["GET"] = lambda request: left.pop(0)
    upstream = await make_upstream()
    await upstream.user_event(source, "message", PAYLOAD)
    assert [question.method for question in handler.questions] == asked
    assert len(handler.posts) == 1


@pytest.mark.parametrize(
    ("reply", "word"),
    [
        pytest.param(NOTHING, "AbuseProtectionResponseMissingAllowedOrigin", id="ue_006"),
        pytest.param(
            Reply(200, headers=[("WebHook-Allowed-Origin", "other.example")]),
            "AbuseProtectionResponseMissingAllowedOrigin",
            id="ue_007",
        ),
        pytest.param(Reply(401), "AbuseProtectionResponseInvalidStatusCode", id="ue_008"),
        pytest.param(Reply(cuts=True), "AbuseProtectionResponseFailed", id="network"),
    ],
)
async def test_handler_that_does_not_confirm_gets_no_event(
    handler: RecordingHandler,
    make_upstream: MakeUpstream,
    source: EventSource,
    caplog: pytest.LogCaptureFixture,
    reply: Reply,
    word: str,
) -> None:
    handler.answers["OPTIONS"] = reply
    upstream = await make_upstream()
    with pytest.raises(UpstreamError, match="did not confirm"):
        await upstream.user_event(source, "message", PAYLOAD)
    assert handler.posts == []
    assert word in caplog.text


async def test_ue_010_many_first_events_ask_once(
    handler: RecordingHandler, make_upstream: MakeUpstream
) -> None:
    upstream = await make_upstream()
    sources = [
        EventSource(hub="chat", connection_id=f"c{n}", origin="service.example") for n in range(10)
    ]
    await asyncio.gather(*(upstream.user_event(one, "message", PAYLOAD) for one in sources))
    assert len(handler.questions) == 1
    assert len(handler.posts) == 10


async def test_ue_011_result_is_kept_for_a_minute_then_refreshed_in_the_background(
    handler: RecordingHandler, make_upstream: MakeUpstream, source: EventSource, time: Time
) -> None:
    upstream = await make_upstream()
    await upstream.user_event(source, "message", PAYLOAD)
    time.now += 59
    await upstream.user_event(source, "message", PAYLOAD)
    assert len(handler.questions) == 1

    answer = asyncio.Event()

    async def slowly(request: Recorded) -> Reply:
        await answer.wait()
        return VALID

    handler.answers["OPTIONS"] = slowly
    time.now += 1
    await upstream.user_event(source, "message", PAYLOAD)
    await handler.wait_until(lambda: len(handler.questions) == 2)
    assert len(handler.posts) == 3
    answer.set()


async def test_handler_that_no_longer_confirms_gets_no_more_events(
    handler: RecordingHandler, make_upstream: MakeUpstream, source: EventSource, time: Time
) -> None:
    upstream = await make_upstream()
    await upstream.user_event(source, "message", PAYLOAD)
    handler.answers["OPTIONS"] = NOTHING
    time.now += 60
    await upstream.user_event(source, "message", PAYLOAD)
    with pytest.raises(UpstreamError):
        await send_until_refused(upstream, source)


async def test_question_after_failures_waits_longer_each_time(
    handler: RecordingHandler, make_upstream: MakeUpstream, source: EventSource, time: Time
) -> None:
    handler.answers["OPTIONS"] = NOTHING
    upstream = await make_upstream()
    asked_at: list[float] = []
    start = time.now
    for _ in range(260):
        before = len(handler.questions)
        with pytest.raises(UpstreamError):
            await upstream.user_event(source, "message", PAYLOAD)
        if len(handler.questions) > before:
            asked_at.append(time.now - start)
        time.now += 1
    assert asked_at == [0, 1, 3, 7, 15, 31, 63, 123, 183, 243]
    handler.answers["OPTIONS"] = VALID
    time.now += 60
    await upstream.user_event(source, "message", PAYLOAD)


async def test_ue_012_question_without_an_answer_is_given_up(
    handler: RecordingHandler, make_upstream: MakeUpstream, source: EventSource
) -> None:
    async def never(request: Recorded) -> Reply:
        await asyncio.Event().wait()
        raise AssertionError("nobody sets this event")

    handler.answers["OPTIONS"] = never
    upstream = await make_upstream(upstream={"validation_timeout_s": 0.05})
    with pytest.raises(UpstreamError):
        await upstream.user_event(source, "message", PAYLOAD)
    assert len(handler.questions) == 1
    assert handler.posts == []


async def test_event_that_is_given_up_does_not_end_the_question_of_others(
    handler: RecordingHandler, make_upstream: MakeUpstream, source: EventSource
) -> None:
    answer = asyncio.Event()

    async def slowly(request: Recorded) -> Reply:
        await answer.wait()
        return VALID

    handler.answers["OPTIONS"] = slowly
    upstream = await make_upstream()
    first = asyncio.create_task(upstream.user_event(source, "message", PAYLOAD))
    await handler.wait_until(lambda: bool(handler.questions))
    other = EventSource(hub="chat", connection_id="c2", origin="service.example")
    second = asyncio.create_task(upstream.user_event(other, "message", PAYLOAD))
    await asyncio.sleep(0)
    first.cancel()
    answer.set()
    await second
    assert len(handler.questions) == 1
    assert [post.header("ce-connectionId") for post in handler.posts] == ["c2"]


async def test_each_origin_is_asked_for(
    handler: RecordingHandler, make_upstream: MakeUpstream, source: EventSource
) -> None:
    upstream = await make_upstream()
    await upstream.user_event(source, "message", PAYLOAD)
    other = EventSource(hub="chat", connection_id="c2", origin="other.example")
    await upstream.user_event(other, "message", PAYLOAD)
    assert [question.header("WebHook-Request-Origin") for question in handler.questions] == [
        "service.example",
        "other.example",
    ]


async def test_validation_switched_off_asks_nothing(
    handler: RecordingHandler, make_upstream: MakeUpstream, source: EventSource
) -> None:
    upstream = await make_upstream(validate="off")
    await upstream.user_event(source, "message", PAYLOAD)
    assert [request.method for request in handler.requests] == ["POST"]


async def test_validation_at_start_asks_before_the_first_event(
    handler: RecordingHandler, make_upstream: MakeUpstream, source: EventSource
) -> None:
    upstream = await make_upstream(validate="start", public_endpoint="https://service.example:8443")
    await handler.wait_until(lambda: bool(handler.questions))
    assert handler.questions[0].header("WebHook-Request-Origin") == "service.example"
    await upstream.user_event(source, "message", PAYLOAD)
    assert len(handler.questions) == 1
