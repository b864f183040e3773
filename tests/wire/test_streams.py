"""Group streams (cases CP-116 to CP-125)."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from tests.wire.client import JR, J, RawClient

from hubbub.service import Service

Connect = Callable[..., Awaitable[RawClient]]
StartService = Callable[..., Awaitable[Service]]


def start(stream_id: str = "s1", **more: Any) -> dict[str, Any]:
    stream = {"streamId": stream_id, **more.pop("stream", {})}
    return {"type": "sendToGroup", "group": "g1", "stream": stream, **more}


def data(sequence_id: int, text: str = "x", stream_id: str = "s1") -> dict[str, Any]:
    return {
        "type": "streamData",
        "streamId": stream_id,
        "streamSequenceId": sequence_id,
        "dataType": "text",
        "data": text,
    }


def end(stream_id: str = "s1", **more: Any) -> dict[str, Any]:
    return {"type": "streamEnd", "streamId": stream_id, **more}


def ack(expected: int, stream_id: str = "s1") -> dict[str, Any]:
    return {"type": "streamAck", "streamId": stream_id, "expectedSequenceId": expected}


def closed_as(message: dict[str, Any]) -> str | None:
    assert message["type"] == "streamClosed", message
    error = message.get("error")
    return None if error is None else str(error["name"])


@pytest.fixture
async def member(service: Service, connect: Connect) -> RawClient:
    return await connect(service, J, groups=("g1",))


@pytest.fixture
async def publisher(service: Service, connect: Connect) -> RawClient:
    return await connect(service, J, user_id="u1")


async def test_cp_116_start_is_acknowledged_by_the_stream_alone(publisher: RawClient) -> None:
    assert await publisher.ask(start()) == ack(1)
    await publisher.expect_silence()


async def test_cp_117_fragments_and_the_end_reach_the_members(
    service: Service, connect: Connect, member: RawClient, publisher: RawClient
) -> None:
    plain = await connect(service, None, groups=("g1",))
    assert await publisher.ask(start()) == ack(1)
    assert await publisher.ask(data(1, "hello ")) == ack(2)
    assert await publisher.ask(data(2, "world")) == ack(3)
    assert closed_as(await publisher.ask(end())) is None
    got = [await member.json() for _ in range(3)]
    assert [(m["from"], m["group"], m["fromUserId"], m["data"]) for m in got] == [
        ("group", "g1", "u1", text) for text in ("hello ", "world", "")
    ]
    assert [m["stream"] for m in got] == [
        {"streamId": "s1", "streamSequenceId": 1},
        {"streamId": "s1", "streamSequenceId": 2},
        {"streamId": "s1", "streamSequenceId": 3, "endOfStream": True},
    ]
    assert [await plain.text(), await plain.text()] == ["hello ", "world"]
    message = {"type": "sendToGroup", "group": "g1", "dataType": "text", "data": "after"}
    await publisher.send(message)
    assert await plain.text() == "after", "the end of a stream is nothing to a plain client"
    assert await publisher.ask(start()) == ack(1), "an id may be used again after the end"


async def test_cp_118_repeated_and_early_fragments_are_not_published(
    member: RawClient, publisher: RawClient
) -> None:
    await publisher.ask(start())
    assert await publisher.ask(data(1)) == ack(2)
    assert await publisher.ask(data(1)) == ack(2)
    nack = await publisher.ask(data(5))
    assert (nack["type"], nack["name"]) == ("streamNack", "InvalidSequenceId")
    assert nack["expectedSequenceId"] == 2
    assert await publisher.ask(data(2)) == ack(3)
    got = [await member.json(), await member.json()]
    assert [m["stream"]["streamSequenceId"] for m in got] == [1, 2]
    await member.expect_silence()


async def test_cp_119_unknown_stream_is_not_found(publisher: RawClient) -> None:
    for message in (data(1, stream_id="s9"), end("s9"), {"type": "streamData", "streamId": "s9"}):
        assert closed_as(await publisher.ask(message)) == "StreamNotFound"


async def test_cp_120_idle_stream_ends_for_everybody(
    member: RawClient, publisher: RawClient
) -> None:
    await publisher.ask(start(stream={"idleTimeoutMs": 50}))
    assert closed_as(await publisher.json()) == "IdleTimeout"
    stream = (await member.json())["stream"]
    assert stream["endOfStream"] is True
    assert stream["error"]["name"] == "IdleTimeout"


async def test_cp_121_keep_alive_keeps_a_stream_and_reaches_no_member(
    member: RawClient, publisher: RawClient
) -> None:
    await publisher.ask(start(stream={"idleTimeoutMs": 300}))
    await publisher.ask(start("other", stream={"idleTimeoutMs": 300}))
    while True:
        # As long as the other stream lives: then more than its idle time has passed.
        message = await publisher.ask({"type": "streamData", "streamId": "s1"})
        if message["type"] == "streamClosed":
            break
        assert message == ack(1)
    assert message["streamId"] == "other"
    assert (await member.json())["stream"]["streamId"] == "other"
    assert await publisher.json() == ack(1)
    assert await publisher.ask(data(1)) == ack(2)


async def test_cp_122_error_of_the_publisher_reaches_the_members(
    member: RawClient, publisher: RawClient
) -> None:
    await publisher.ask(start())
    error = {"message": "source failed", "userErrorCode": "E42"}
    assert closed_as(await publisher.ask(end(error=error))) is None
    assert (await member.json())["stream"] == {
        "streamId": "s1",
        "streamSequenceId": 1,
        "endOfStream": True,
        "error": {"name": "UserError", **error},
    }


async def test_cp_123_bad_starts_are_bad_requests_and_harm_no_running_stream(
    publisher: RawClient,
) -> None:
    assert await publisher.ask(start()) == ack(1)
    for bad in (start(), start(""), start("s2", stream={"idleTimeoutMs": 0}), start("s3", data=1)):
        assert closed_as(await publisher.ask(bad)) == "BadRequest"
    assert await publisher.ask(data(1)) == ack(2)


async def test_fragment_without_all_its_parts_ends_the_stream(
    member: RawClient, publisher: RawClient
) -> None:
    await publisher.ask(start())
    partly = {"type": "streamData", "streamId": "s1", "streamSequenceId": 1}
    assert closed_as(await publisher.ask(partly)) == "BadRequest"
    assert (await member.json())["stream"]["error"]["name"] == "Cancelled"


async def test_cp_124_start_without_the_role_is_forbidden(
    service: Service, connect: Connect
) -> None:
    client = await connect(service, J, roles=())
    assert closed_as(await client.ask(start())) == "Forbidden"
    await client.expect_silence()


async def test_cp_125_stream_lives_through_a_recovery(
    service: Service, connect: Connect, recover: Connect, member: RawClient
) -> None:
    publisher = await connect(service, JR)
    await publisher.ask(start())
    assert await publisher.ask(data(1)) == ack(2)
    await publisher.send(data(2))
    await member.json()
    await member.json()
    publisher.cut()
    again = await recover(service, publisher)
    assert (await again.json())["event"] == "connected"
    assert await again.json() == ack(3), "it is told where the stream stands"
    assert await again.ask(data(2)) == ack(3)
    assert await again.ask(data(3)) == ack(4)
    assert (await member.json())["stream"]["streamSequenceId"] == 3
    await member.expect_silence()


async def test_cp_144_one_stream_too_many_is_a_bad_request(
    start_service: StartService, connect: Connect
) -> None:
    publisher = await connect(await start_service(max_streams_per_connection=2))
    for stream_id in ("a", "b"):
        assert await publisher.ask(start(stream_id)) == ack(1, stream_id)
    assert closed_as(await publisher.ask(start("c"))) == "BadRequest"
    await publisher.ask(end("a"))
    assert await publisher.ask(start("c")) == ack(1, "c")


async def test_stream_of_a_publisher_that_left_is_cancelled(
    member: RawClient, publisher: RawClient
) -> None:
    await publisher.ask(start())
    await publisher.ask(data(1))
    await publisher.close()
    await member.json()
    stream = (await member.json())["stream"]
    assert (stream["streamSequenceId"], stream["endOfStream"]) == (2, True)
    assert stream["error"]["name"] == "Cancelled"


async def test_no_echo_of_a_stream_counts_for_its_end_too(
    service: Service, connect: Connect, member: RawClient
) -> None:
    publisher = await connect(service, J, groups=("g1",))
    await publisher.ask(start(noEcho=True))
    assert await publisher.ask(data(1)) == ack(2)
    assert closed_as(await publisher.ask(end())) is None
    await publisher.expect_silence()
    assert [(await member.json())["stream"]["streamSequenceId"] for _ in range(2)] == [1, 2]
