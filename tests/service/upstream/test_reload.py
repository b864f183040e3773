"""Other event handlers while events are under way."""

import asyncio
from typing import Any

import pytest
from tests.service.upstream.conftest import MakeUpstream, Time
from tests.service.upstream.test_events import Gate
from tests.wire.upstream_helpers import RecordingHandler, Reply

from hubbub.protocol.errors import SettingsError, UpstreamError
from hubbub.protocol.messages import text_payload
from hubbub.service.settings import EventHandlerSettings, HubSettings, Settings
from hubbub.service.upstream import ConnectRequest, EventSource

PAYLOAD = text_payload("hello")


def settings_of(handler: RecordingHandler, path: str = "eh", **values: Any) -> Settings:
    """One handler of hub `chat`; as `make_upstream` makes it when only the path is given."""
    one: dict[str, Any] = {
        "url_template": f"{handler.url}/{path}/{{hub}}/{{event}}",
        "user_event_pattern": "*",
        "system_events": ("connect", "connected", "disconnected"),
    }
    event_handler = EventHandlerSettings(**(one | values))
    return Settings(hubs={"chat": HubSettings(event_handlers=(event_handler,))})


async def test_reload_next_event_goes_to_the_new_handler(
    handler: RecordingHandler, make_upstream: MakeUpstream, source: EventSource
) -> None:
    upstream = await make_upstream()
    await upstream.user_event(source, "e", PAYLOAD)
    upstream.reload(settings_of(handler, "new"))
    await upstream.user_event(source, "e", PAYLOAD)
    assert [post.target for post in handler.posts] == ["/eh/chat/e", "/new/chat/e"]


async def test_reload_when_the_handlers_are_gone_leaves_events_without_one(
    make_upstream: MakeUpstream, source: EventSource
) -> None:
    upstream = await make_upstream()
    assert upstream.wants_connect("chat")
    upstream.reload(Settings())
    assert not upstream.wants_connect("chat")
    with pytest.raises(UpstreamError, match="no event handler"):
        await upstream.user_event(source, "e", PAYLOAD)


async def test_reload_calls_under_way_end_at_the_old_handler(
    handler: RecordingHandler,
    make_upstream: MakeUpstream,
    source: EventSource,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OLD_TOKEN", "old")
    question = Gate(Reply(200, headers=[("WebHook-Allowed-Origin", "*")]))
    handler.answers["OPTIONS"] = question
    upstream = await make_upstream(bearer_token_env="OLD_TOKEN")
    call = asyncio.create_task(upstream.connect(source, ConnectRequest()))
    await handler.wait_until(lambda: bool(handler.questions))
    upstream.reload(settings_of(handler, "new", validate="off"))
    question.open()
    await call
    (post,) = handler.posts
    assert post.target == "/eh/chat/connect"
    assert post.header("Authorization") == "Bearer old"


async def test_reload_notifications_that_wait_go_to_the_old_handler(
    handler: RecordingHandler, make_upstream: MakeUpstream
) -> None:
    gate = Gate()
    handler.answers["connected"] = gate
    upstream = await make_upstream(upstream={"max_running_notifications": 1})
    sources = [EventSource(hub="chat", connection_id=f"c{n}", origin="h") for n in range(3)]
    for source in sources:
        upstream.connected(source)
    await handler.wait_for("connected")
    upstream.disconnected(sources[2], None)  # waits for the calls of its connection
    upstream.reload(settings_of(handler, "new"))
    upstream.reload(settings_of(handler, "newest"))
    gate.open()
    await upstream.drain(5)
    assert [post.target for post in handler.events("connected")] == ["/eh/chat/connected"] * 3
    assert [post.target for post in handler.events("disconnected")] == ["/eh/chat/disconnected"]


async def test_reload_handler_that_did_not_change_keeps_its_order(
    handler: RecordingHandler, make_upstream: MakeUpstream
) -> None:
    gate = Gate()
    handler.answers["connected"] = gate
    upstream = await make_upstream(upstream={"max_running_notifications": 1})
    names = ["c0", "c1", "c2"]
    for name in names:
        upstream.connected(EventSource(hub="chat", connection_id=name, origin="h"))
        upstream.reload(settings_of(handler))
    await handler.wait_for("connected")
    # Its answer comes after every call that was begun before it.
    await upstream.user_event(EventSource(hub="chat", connection_id="c3", origin="h"), "e", PAYLOAD)
    assert len(handler.events("connected")) == 1  # still one at a time
    gate.open()
    await upstream.drain(5)
    told = [post.header("ce-connectionId") for post in handler.events("connected")]
    assert told == names


async def test_reload_keeps_the_dropped_notifications_in_the_count(
    handler: RecordingHandler, make_upstream: MakeUpstream
) -> None:
    upstream = await make_upstream(
        upstream={"max_queued_notifications": 1, "max_running_notifications": 1}
    )
    for number in range(4):
        upstream.connected(EventSource(hub="chat", connection_id=f"c{number}", origin="h"))
    assert upstream.dropped_notifications == 2
    await upstream.drain(5)
    upstream.reload(Settings())
    assert upstream.dropped_notifications == 2


async def test_reload_address_that_was_asked_is_not_asked_again(
    handler: RecordingHandler, make_upstream: MakeUpstream, source: EventSource, time: Time
) -> None:
    upstream = await make_upstream()
    await upstream.user_event(source, "e", PAYLOAD)
    upstream.reload(settings_of(handler, timeout_s=5))
    await upstream.user_event(source, "e", PAYLOAD)
    assert len(handler.questions) == 1
    upstream.reload(settings_of(handler, "new"))
    await upstream.user_event(source, "e", PAYLOAD)
    assert [question.target for question in handler.questions] == [
        "/eh/chat/validate",
        "/new/chat/validate",
    ]


async def test_reload_new_handler_that_is_asked_at_the_start_is_asked_at_once(
    handler: RecordingHandler, make_upstream: MakeUpstream
) -> None:
    upstream = await make_upstream(validate="start")
    await handler.wait_until(lambda: len(handler.questions) == 1)
    upstream.reload(settings_of(handler, "new", validate="start"))
    await handler.wait_until(lambda: len(handler.questions) == 2)
    assert handler.questions[1].target == "/new/chat/validate"


async def test_reload_when_faulty_tells_all_faults_and_changes_nothing(
    handler: RecordingHandler, make_upstream: MakeUpstream, source: EventSource
) -> None:
    upstream = await make_upstream()
    faulty = EventHandlerSettings("ftp://x", "a,,b")
    without_token = EventHandlerSettings("http://h/", bearer_token_env="NOT_SET_ANYWHERE")
    hub = HubSettings(event_handlers=(faulty, without_token))
    with pytest.raises(SettingsError) as caught:
        upstream.reload(Settings(hubs={"chat": hub}))
    assert len(caught.value.problems) == 3
    await upstream.user_event(source, "e", PAYLOAD)
    assert handler.posts[0].target == "/eh/chat/e"


async def test_event_after_the_close_starts_nothing(
    handler: RecordingHandler, make_upstream: MakeUpstream, source: EventSource
) -> None:
    upstream = await make_upstream()
    await upstream.close()
    upstream.disconnected(source, None)
    await upstream.drain(0)
    assert handler.posts == []
