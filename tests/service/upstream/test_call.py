import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.service.upstream.conftest import Time
from tests.wire import upstream_helpers
from tests.wire.upstream_helpers import Recorded, RecordingHandler
from yarl import URL

from hubbub.protocol import limits
from hubbub.protocol.errors import UpstreamError
from hubbub.service.upstream.call import Caller, Reply


@pytest.fixture
async def caller(time: Time) -> AsyncIterator[Caller]:
    caller = Caller(time.sleep)
    await caller.open()
    yield caller
    await caller.close()


async def post(caller: Caller, url: str, **changes: Any) -> Reply:
    values: dict[str, Any] = {
        "headers": {"ce-eventName": "e", "Content-Type": "text/plain"},
        "body": b"hello",
        "timeout_s": 5,
        "retry_pauses_s": (1, 3, 5),
    }
    values |= changes
    return await caller.call("POST", URL(url, encoded=True), **values)


async def test_call_brings_body_and_headers_as_given(
    caller: Caller, handler: RecordingHandler
) -> None:
    headers = {"ce-eventName": "e", "ce-userId": "Zoë", "Content-Type": "text/plain"}
    await post(caller, f"{handler.url}/a%2Fb?c=%2B", headers=headers)
    (request,) = handler.posts
    assert request.target == "/a%2Fb?c=%2B"
    assert request.body == b"hello"
    assert ("ce-userid", b"Zo\xc3\xab") in request.headers
    names = {name for name, _ in request.headers}
    assert names == {
        "host",
        "user-agent",
        "ce-eventname",
        "ce-userid",
        "content-type",
        "content-length",
    }


async def test_call_with_empty_body_says_its_length(
    caller: Caller, handler: RecordingHandler
) -> None:
    await post(caller, handler.url, body=b"")
    assert handler.posts[0].header("content-length") == "0"


async def test_header_that_must_not_reach_the_wire_fails_without_a_request(
    caller: Caller, handler: RecordingHandler, time: Time
) -> None:
    with pytest.raises(UpstreamError, match="control character"):
        await post(caller, handler.url, headers={"ce-invocationId": "1\r\nX-Evil: 1"})
    assert handler.requests == []
    assert time.pauses == []


@pytest.mark.parametrize("status", [500, 503, 599, 408])
async def test_call_answered_with_a_passing_failure_is_tried_again(
    caller: Caller, handler: RecordingHandler, time: Time, status: int
) -> None:
    replies = [upstream_helpers.Reply(status)] * 2 + [upstream_helpers.Reply(200, b"ok")]
    handler.answers["e"] = lambda request: replies.pop(0)
    reply = await post(caller, handler.url)
    assert (reply.status, reply.body) == (200, b"ok")
    assert time.pauses == [1, 3]
    assert len({(one.body, one.target) for one in handler.posts}) == 1


async def test_call_that_fails_always_ends_with_the_last_answer(
    caller: Caller, handler: RecordingHandler, time: Time
) -> None:
    handler.answers["e"] = upstream_helpers.Reply(503, b"down", "text/plain")
    reply = await post(caller, handler.url)
    assert (reply.status, reply.body) == (503, b"down")
    assert time.pauses == [1, 3, 5]
    assert len(handler.posts) == 4


@pytest.mark.parametrize("status", [200, 204, 302, 400, 401, 404, 429])
async def test_call_with_a_final_answer_is_not_tried_again(
    caller: Caller, handler: RecordingHandler, time: Time, status: int
) -> None:
    handler.answers["e"] = upstream_helpers.Reply(status)
    assert (await post(caller, handler.url)).status == status
    assert len(handler.posts) == 1
    assert time.pauses == []


async def test_ue_087_redirect_is_not_followed(caller: Caller, handler: RecordingHandler) -> None:
    async with RecordingHandler() as target:
        handler.answers["e"] = upstream_helpers.Reply(302, headers=[("Location", target.url)])
        assert (await post(caller, handler.url)).status == 302
        assert target.requests == []


async def test_connection_that_breaks_before_an_answer_is_tried_again(
    caller: Caller, handler: RecordingHandler, time: Time
) -> None:
    replies = [upstream_helpers.Reply(cuts=True), upstream_helpers.Reply(204)]
    handler.answers["e"] = lambda request: replies.pop(0)
    assert (await post(caller, handler.url)).status == 204
    assert time.pauses == [1]


async def test_handler_that_is_not_there_is_tried_four_times(caller: Caller, time: Time) -> None:
    async with RecordingHandler() as gone:
        url = gone.url
    with pytest.raises(UpstreamError, match="not reached"):
        await post(caller, url)
    assert time.pauses == [1, 3, 5]


async def test_answer_that_is_no_http_is_not_tried_again(caller: Caller, time: Time) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"hello\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        host, port = server.sockets[0].getsockname()
        with pytest.raises(UpstreamError, match="no HTTP"):
            await post(caller, f"http://{host}:{port}")
    assert time.pauses == []


async def test_call_without_an_answer_in_time_is_given_up(
    caller: Caller, handler: RecordingHandler, time: Time
) -> None:
    handler.answers["e"] = never
    with pytest.raises(UpstreamError, match="no answer within"):
        await post(caller, handler.url, timeout_s=0.05)
    await handler.wait_until(lambda: bool(handler.aborted))
    assert len(handler.posts) == 1
    assert time.pauses == []


async def test_time_limit_counts_the_pauses(handler: RecordingHandler) -> None:
    caller = Caller(asyncio.sleep)
    await caller.open()
    handler.answers["e"] = upstream_helpers.Reply(503)
    with pytest.raises(UpstreamError, match="no answer within"):
        await post(caller, handler.url, timeout_s=0.2, retry_pauses_s=(0, 60))
    await caller.close()
    assert len(handler.posts) == 2


async def test_body_that_never_ends_is_given_up(caller: Caller) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
        await reader.read()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        host, port = server.sockets[0].getsockname()
        with pytest.raises(UpstreamError, match="not complete within"):
            await post(caller, f"http://{host}:{port}", timeout_s=0.1)


async def test_body_that_breaks_off_fails_without_another_try(caller: Caller, time: Time) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        host, port = server.sockets[0].getsockname()
        with pytest.raises(UpstreamError, match="broke off"):
            await post(caller, f"http://{host}:{port}")
    assert time.pauses == []


@pytest.mark.parametrize("is_chunked", [False, True])
@pytest.mark.parametrize("excess", [0, 1])
async def test_ue_055_answer_is_read_up_to_its_limit(
    caller: Caller, handler: RecordingHandler, is_chunked: bool, excess: int
) -> None:
    body = b"x" * (limits.MAX_UPSTREAM_ANSWER_BYTES + excess)
    handler.answers["e"] = upstream_helpers.Reply(200, body, is_chunked=is_chunked)
    if excess:
        with pytest.raises(UpstreamError, match="more than"):
            await post(caller, handler.url)
    else:
        assert (await post(caller, handler.url)).body == body


async def test_largest_state_header_is_readable(caller: Caller, handler: RecordingHandler) -> None:
    state = "s" * (limits.MAX_CONNECTION_STATE_BYTES + 1)
    handler.answers["e"] = upstream_helpers.Reply(204, headers=[("ce-connectionState", state)])
    assert (await post(caller, handler.url)).headers["ce-connectionState"] == state


async def test_cancelled_call_is_aborted(caller: Caller, handler: RecordingHandler) -> None:
    handler.answers["e"] = never
    call = asyncio.create_task(post(caller, handler.url))
    await handler.wait_for("e")
    call.cancel()
    await handler.wait_until(lambda: bool(handler.aborted))
    with pytest.raises(asyncio.CancelledError):
        await call


async def never(request: Recorded) -> upstream_helpers.Reply:
    await asyncio.Event().wait()
    raise AssertionError("nobody sets this event")
