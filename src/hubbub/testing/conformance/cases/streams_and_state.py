"""Group streams and group state (previews)."""

import asyncio
from typing import Any

from hubbub.testing.conformance.cases.reliable import lost
from hubbub.testing.conformance.registry import case
from hubbub.testing.conformance.trial import SEND, Trial
from hubbub.testing.conformance.wire import ABSENT, RELIABLE, Message, WireClient


def start(stream_id: str = "s1", **more: Any) -> dict[str, Any]:
    stream = {"streamId": stream_id, **more.pop("stream", {})}
    return {"type": "sendToGroup", "group": "g1", "stream": stream, **more}


def data(sequence_id: int, stream_id: str = "s1") -> dict[str, Any]:
    return {
        "type": "streamData",
        "streamId": stream_id,
        "streamSequenceId": sequence_id,
        "dataType": "text",
        "data": f"part {sequence_id}",
    }


def end(stream_id: str = "s1", **more: Any) -> dict[str, Any]:
    return {"type": "streamEnd", "streamId": stream_id, **more}


async def open_stream(client: WireClient, stream_id: str = "s1", **more: Any) -> None:
    await client.send(start(stream_id, **more))
    await client.wait(type="streamAck", streamId=stream_id, expectedSequenceId=1)


async def closed_as(client: WireClient, name: str | None, stream_id: str = "s1") -> None:
    """`streamClosed` with this error; None: without one."""
    message = await client.wait(type="streamClosed", streamId=stream_id)
    came = (message.get("error") or {}).get("name")
    if came != name:
        client.fail(f"streamClosed with the error {name}", message)


async def fragment(client: WireClient, number: int) -> dict[str, Any]:
    """The stream part of the member's next message, which has to have this number."""
    message: Message = await client.wait(type="message")
    stream = message.get("stream")
    if not isinstance(stream, dict) or stream.get("streamSequenceId") != number:
        client.fail(f"fragment {number} of the stream", message)
    return dict(stream or {})


@case("CP-116")
async def stream_starts(trial: Trial) -> None:
    client = await trial.client(roles=SEND)
    await open_stream(client)
    await client.quiet()


@case("CP-117")
async def stream_of_two_fragments(trial: Trial) -> None:
    member, client = await trial.client(groups=["g1"]), await trial.client()
    await open_stream(client)
    await client.send(data(1), data(2), end())
    await closed_as(client, None)
    for number in (1, 2):
        stream = await fragment(member, number)
        trial.check(not stream.get("endOfStream"), "no end yet", stream)
    stream = await fragment(member, 3)
    trial.equal(stream.get("endOfStream"), True, "endOfStream of the last fragment")


@case("CP-118")
async def repeated_and_early_fragments(trial: Trial) -> None:
    member, client = await trial.client(groups=["g1"]), await trial.client()
    await open_stream(client)
    await client.send(data(1), data(1), data(5))
    await client.wait(
        type="streamNack", streamId="s1", name="InvalidSequenceId", expectedSequenceId=2
    )
    await client.send(data(2))
    await client.wait(type="streamAck", expectedSequenceId=3)
    await fragment(member, 1)
    await fragment(member, 2)
    await member.quiet()


@case("CP-119")
async def unknown_stream(trial: Trial) -> None:
    client = await trial.client()
    for message in (data(1, "s9"), end("s9")):
        await client.send(message)
        await closed_as(client, "StreamNotFound", "s9")


@case("CP-120", seconds=1)
async def idle_stream(trial: Trial) -> None:
    member, client = await trial.client(groups=["g1"]), await trial.client()
    await open_stream(client, stream={"idleTimeoutMs": 500})
    await closed_as(client, "IdleTimeout")
    stream = await fragment(member, 1)
    trial.equal(stream.get("endOfStream"), True, "endOfStream")
    trial.equal((stream.get("error") or {}).get("name"), "IdleTimeout", "the error of the end")


@case("CP-121", seconds=2)
async def kept_alive_stream(trial: Trial) -> None:
    member, client = await trial.client(groups=["g1"]), await trial.client()
    await open_stream(client, stream={"idleTimeoutMs": 1500})
    for _ in range(10):
        await asyncio.sleep(0.2)
        await client.send({"type": "streamData", "streamId": "s1"})
    await client.send(data(1))
    await client.wait(type="streamAck", expectedSequenceId=2)
    await fragment(member, 1)


@case("CP-122")
async def stream_with_an_error(trial: Trial) -> None:
    member, client = await trial.client(groups=["g1"]), await trial.client()
    await open_stream(client)
    error = {"message": "source failed", "userErrorCode": "E42"}
    await client.send(end(error=error))
    await closed_as(client, None)
    stream = await fragment(member, 1)
    trial.equal(stream.get("error"), {"name": "UserError", **error}, "the error at the member")


@case("CP-123", is_ours=True)
async def bad_starts(trial: Trial) -> None:
    client = await trial.client()
    await open_stream(client)
    await client.send(start())
    await closed_as(client, "BadRequest")
    for bad in (start(""), start("s2", stream={"idleTimeoutMs": 0}), start("s3", data=1)):
        await client.send(bad)
        await closed_as(client, "BadRequest", bad["stream"]["streamId"])
    await client.send(data(1))
    await client.wait(type="streamAck", streamId="s1", expectedSequenceId=2)


@case("CP-124")
async def start_without_the_role(trial: Trial) -> None:
    client = await trial.client(roles=())
    await client.send(start())
    await closed_as(client, "Forbidden")


@case("CP-125")
async def stream_over_a_recovery(trial: Trial) -> None:
    member, client = await trial.client(groups=["g1"]), await trial.client(RELIABLE)
    await open_stream(client)
    await client.send(data(1), data(2))
    await fragment(member, 1)
    await fragment(member, 2)
    await lost(client)
    again = await trial.recover(client)
    await again.send(data(2), data(3))
    await again.wait(type="streamAck", expectedSequenceId=4)
    await fragment(member, 3)
    await member.quiet()


def _set_state(ack_id: int, state: dict[str, str] | None) -> dict[str, Any]:
    more = {} if state is None else {"state": state}
    return {"type": "setGroupState", "group": "g1", "ackId": ack_id, **more}


async def _subscribe(trial: Trial, client: WireClient) -> None:
    await client.ask({"type": "subscribeGroupState", "group": "g1", "ackId": 100})
    await client.wait(type="groupStateSnapshot", group="g1")


@case("CP-129")
async def group_state(trial: Trial) -> None:
    a = await trial.client(groups=["g1"])
    b = await trial.client(groups=["g1"], user="bob")
    await _subscribe(trial, a)
    await b.ask(_set_state(1, {"status": "typing"}))
    await b.ask(_set_state(2, None))
    for state in ({"status": "typing"}, ABSENT):
        update = await a.wait(type="groupStateUpdate", group="g1")
        (item,) = update.get("items") or [{}]
        trial.equal(item.get("connectionId"), b.connection_id, "connectionId of the state")
        trial.equal(item.get("state", ABSENT), state, "the state")


@case("CP-146", is_ours=True)
async def group_state_over_a_recovery(trial: Trial) -> None:
    watcher = await trial.client(RELIABLE, groups=["g1"])
    member = await trial.client(groups=["g1"])
    await _subscribe(trial, watcher)
    await watcher.send({"type": "sequenceAck", "sequenceId": 1})
    await watcher.quiet()
    await lost(watcher)
    await member.ask(_set_state(1, {"n": "1"}))
    again = await trial.recover(watcher)
    await member.ask(_set_state(2, {"n": "2"}))
    for _ in range(2):
        await again.wait(type="groupStateUpdate", group="g1")
    await again.quiet()
