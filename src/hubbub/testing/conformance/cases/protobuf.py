"""The protobuf subprotocols: recorded bytes, what ends a connection, data of every kind."""

from hubbub.testing.conformance import protobuf
from hubbub.testing.conformance.cases.json import ANY
from hubbub.testing.conformance.cases.reliable import lost, numbered, publish
from hubbub.testing.conformance.registry import case
from hubbub.testing.conformance.trial import Trial
from hubbub.testing.conformance.wire import PROTOBUF, RELIABLE_PROTOBUF, WireClient


async def _exchange(trial: Trial, client: WireClient, sent: str, wanted: str) -> None:
    await client.send(bytes.fromhex(sent))
    await _gets(trial, client, wanted)


async def _gets(trial: Trial, client: WireClient, wanted: str) -> None:
    raw = (await client.next()).raw
    trial.equal(raw.hex(" "), bytes.fromhex(wanted).hex(" "), "the bytes")


@case("CP-101")
async def recorded_bytes(trial: Trial) -> None:
    client = await trial.client(PROTOBUF)
    await _exchange(trial, client, "32 06 0A 02 67 31 10 01", "0A 04 08 01 10 01")
    await _exchange(trial, client, "3A 06 0A 02 67 31 10 02", "0A 04 08 02 10 01")
    largest = "FF FF FF FF FF FF FF FF FF 01"
    await _exchange(trial, client, f"32 0F 0A 02 67 31 10 {largest}", f"0A 0D 08 {largest} 10 01")
    await _exchange(trial, client, "4A 00", "22 00")
    member = await trial.client(PROTOBUF, groups=["g2"])
    sent = "0A 0C 0A 02 67 32 10 09 1A 04 0A 02 68 69"
    await _exchange(trial, client, sent, "0A 04 08 09 10 01")
    await _gets(trial, member, "12 11 0A 05 67 72 6F 75 70 12 02 67 32 1A 04 0A 02 68 69")


@case("CP-102")
async def text_frame(trial: Trial) -> None:
    client = await trial.client(PROTOBUF)
    await client.send({"type": "ping"})
    await client.closed(1003)


@case("CP-103")
async def bytes_that_are_no_request(trial: Trial) -> None:
    for data in (b"\xff\xff", b"", bytes.fromhex("F2 01 00")):
        client = await trial.client(PROTOBUF)
        await client.send(data)
        await client.closed(1007)


@case("CP-104", variant="")
async def event_ack_id_is_field_3(trial: Trial) -> None:
    client = await trial.client(PROTOBUF)
    await client.send(protobuf.event("e1", protobuf.TEXT, "hi", 3))
    await client.ack(3)
    trial.equal(trial.desk.events("e1")[0].body, b"hi", "the data at the handler")


@case("CP-107", variant="")
async def event_with_protobuf_data(trial: Trial) -> None:
    client = await trial.client(PROTOBUF)
    await client.send(protobuf.event("e1", protobuf.ANY, ANY, 1))
    await client.ack(1)
    (call,) = trial.desk.events("e1")
    content_type = (call.header("content-type") or "").partition(";")[0]
    trial.equal(content_type, "application/x-protobuf", "the Content-Type at the handler")
    trial.equal(call.body, ANY, "the data at the handler")


@case("CP-108")
async def recovery(trial: Trial) -> None:
    client = await trial.client(RELIABLE_PROTOBUF, groups=["g1"])
    await publish(trial, *"123")
    await numbered(client, (1, "1"), (2, "2"), (3, "3"))
    await client.send(protobuf.sequence_ack(2))
    await client.quiet()
    await lost(client)
    again = await trial.recover(client)
    await numbered(again, (3, "3"))
    await publish(trial, "4")
    await numbered(again, (4, "4"))


@case("CP-109")
async def closed_by_rest(trial: Trial) -> None:
    client = await trial.client(PROTOBUF)
    path = f"/connections/{client.connection_id}"
    await trial.rest("DELETE", path, query="reason=bye", expect=204)
    await client.wait(type="system", event="disconnected", message="bye")
    await client.closed(1000)
