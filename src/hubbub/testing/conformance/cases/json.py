"""The JSON subprotocol: requests, acks, and how data arrives."""

from typing import Any
from urllib.parse import quote

from hubbub.testing.conformance import protobuf
from hubbub.testing.conformance.registry import case
from hubbub.testing.conformance.trial import JOIN, Trial
from hubbub.testing.conformance.wire import ABSENT, PROTOBUF, WireClient

ANY = protobuf.any_of("type.googleapis.com/azure.webpubsub.TestMessage", b"\x08\x01")
ANY_BASE64 = "Ci90eXBlLmdvb2dsZWFwaXMuY29tL2F6dXJlLndlYnB1YnN1Yi5UZXN0TWVzc2FnZRICCAE="


def join(ack_id: int | None = 1, group: str = "g1", **more: Any) -> dict[str, Any]:
    return _with_ack({"type": "joinGroup", "group": group, **more}, ack_id)


def leave(ack_id: int | None = 1, group: str = "g1") -> dict[str, Any]:
    return _with_ack({"type": "leaveGroup", "group": group}, ack_id)


def send(data: object = "hi", ack_id: int | None = None, **more: Any) -> dict[str, Any]:
    """To g1, as text unless `dataType` says otherwise."""
    message = {"type": "sendToGroup", "group": "g1", "dataType": "text", "data": data, **more}
    return _with_ack(message, ack_id)


def _with_ack(message: dict[str, Any], ack_id: int | None) -> dict[str, Any]:
    return message if ack_id is None else {**message, "ackId": ack_id}


async def _is_in(trial: Trial, client: WireClient, group: str) -> None:
    await trial.send(b"to the group", to=f"/groups/{quote(group, safe='')}")
    await client.message(group=group, data="to the group")


@case("CP-034")
async def join_is_acked(trial: Trial) -> None:
    client = await trial.client(roles=JOIN)
    await client.ask(join())
    await _is_in(trial, client, "g1")


@case("CP-035")
async def join_twice(trial: Trial) -> None:
    client = await trial.client()
    await client.ask(join(1))
    await client.ask(join(2))
    await _is_in(trial, client, "g1")
    await client.quiet()


@case("CP-036")
async def leave_without_being_in(trial: Trial) -> None:
    await (await trial.client()).ask(leave(1))


@case("CP-037")
async def sender_need_not_be_a_member(trial: Trial) -> None:
    member, sender = await trial.client(groups=["g1"]), await trial.client()
    await sender.ask(send("hi", 2))
    await member.message(data="hi")
    await sender.quiet()


@case("CP-038")
async def sender_hears_itself(trial: Trial) -> None:
    client = await trial.client(groups=["g1"])
    await client.send(send("hi"))
    await client.message(data="hi")


@case("CP-039")
async def no_echo(trial: Trial) -> None:
    sender = await trial.client(user="u1", groups=["g1"])
    same_user = await trial.client(user="u1", groups=["g1"])
    await sender.ask(send("silent", 1, noEcho=True))
    await sender.ask(send("loud", 2))
    await same_user.message(data="silent")
    await same_user.message(data="loud")
    await sender.message(data="loud")
    await sender.quiet()


@case("CP-040")
async def group_message_names_its_sender(trial: Trial) -> None:
    member, sender = await trial.client(groups=["g1"]), await trial.client(user="u1")
    await sender.send(send("hi"))
    await member.message(
        **{"from": "group", "group": "g1", "dataType": "text", "data": "hi", "fromUserId": "u1"}
    )


@case("CP-043")
async def json_is_the_default(trial: Trial) -> None:
    client = await trial.client(groups=["g1"])
    await client.send({"type": "sendToGroup", "group": "g1", "data": {"a": 1}})
    await client.message(dataType="json", data={"a": 1})


@case("CP-044")
async def json_keeps_its_text(trial: Trial) -> None:
    client = await trial.client(groups=["g1"])
    for text in ("12345678901234567890", "1.0", '"x"', "[]", "true"):
        await client.send(
            '{"type":"sendToGroup","group":"g1","dataType":"json","data":%s}' % text  # noqa: UP031
        )
        message = await client.message(dataType="json")
        raw = str(message.raw).replace(" ", "")
        trial.check(f'"data":{text}' in raw, f"the JSON text {text} unchanged", message.raw)


@case("CP-045")
async def text_is_unchanged(trial: Trial) -> None:
    text = 'smile \U0001f600, nul \x00, quote " backslash \\ line \n é'
    client = await trial.client(groups=["g1"])
    await client.send(send(text))
    message = await client.message(dataType="text")
    trial.equal(message.get("data"), text, "the text")


@case("CP-046")
async def binary_in_each_form(trial: Trial) -> None:
    client = await trial.client(groups=["g1"])
    member = await trial.client(PROTOBUF, groups=["g1"])
    await client.send(send("AQID", dataType="binary"))
    await client.message(dataType="binary", data="AQID")
    await member.message(dataType="binary", data="AQID")


@case("CP-047")
async def protobuf_from_a_json_client(trial: Trial) -> None:
    client = await trial.client(groups=["g1"])
    member = await trial.client(PROTOBUF, groups=["g1"])
    await client.send(send(ANY_BASE64, dataType="protobuf"))
    await client.message(dataType="protobuf", data=ANY_BASE64)
    await member.message(dataType="protobuf", data=ANY_BASE64)


@case("CP-048")
async def join_without_a_role(trial: Trial) -> None:
    client, member = await trial.client(roles=()), await trial.client(groups=["g1"])
    await client.ask(join(1), "Forbidden")
    await trial.send(b"x", to="/groups/g1")
    await member.message(data="x")
    await client.quiet()


@case("CP-049")
async def leave_and_send_without_a_role(trial: Trial) -> None:
    client = await trial.client(roles=())
    await client.ask(leave(1), "Forbidden")
    await client.ask(send("x", 2), "Forbidden")
    await client.quiet()


@case("CP-050")
async def join_without_role_and_ack_id(trial: Trial) -> None:
    client, member = await trial.client(roles=()), await trial.client(groups=["g1"])
    await client.send(join(None))
    await client.quiet()
    await trial.send(b"x", to="/groups/g1")
    await member.message(data="x")
    await client.quiet()


@case("CP-053")
async def event_without_a_handler(trial: Trial) -> None:
    client = await trial.client()
    event = {"type": "event", "event": "e1", "dataType": "text", "data": "x", "ackId": 1}
    await client.ask(event, "InternalServerError")
    await client.quiet()


@case("CP-055")
async def used_ack_id(trial: Trial) -> None:
    client = await trial.client(groups=["g1"])
    await client.ask(join(5, "g2"))
    await client.ask(send("not delivered", 5), "Duplicate")
    await client.ask(leave(5, "g2"), "Duplicate")
    await client.ask(send("still in", 6, group="g2"))
    await client.message(data="still in")
    await client.quiet()


@case("CP-056")
async def forbidden_ack_id_again(trial: Trial) -> None:
    client, member = await trial.client(roles=()), await trial.client(groups=["g1"])
    await client.ask(send("x", 6), "Forbidden")
    path = f"/permissions/sendToGroup/connections/{client.connection_id}"
    await trial.rest("PUT", path, query="targetName=g1", expect=200)
    await client.ask(send("x", 6))
    await member.message(data="x")


@case("CP-057")
async def largest_ack_id_and_zero(trial: Trial) -> None:
    client = await trial.client()
    for ack_id in (18446744073709551615, 0):
        await client.ask(join(ack_id))


@case("CP-059")
async def null_ack_id(trial: Trial) -> None:
    client = await trial.client()
    await client.send({**join(None), "ackId": None})
    await client.quiet()
    await _is_in(trial, client, "g1")


@case("CP-060")
async def ack_ids_belong_to_a_connection(trial: Trial) -> None:
    for client in (await trial.client(), await trial.client()):
        await client.ask(join(1))


@case("CP-065")
async def type_without_case(trial: Trial) -> None:
    client = await trial.client()
    await client.ask({"type": "JOINGROUP", "group": "g1", "ackId": 1})
    await _is_in(trial, client, "g1")


@case("CP-067")
async def free_group_names(trial: Trial) -> None:
    client = await trial.client()
    for ack_id, group in enumerate(("x" * 1024, "a b/c", "grüße 🎉"), 1):
        await client.ask(join(ack_id, group))
        await _is_in(trial, client, group)


@case("CP-072")
async def unknown_property(trial: Trial) -> None:
    client = await trial.client()
    await client.ask(join(1, extra={"a": [1]}))
    await _is_in(trial, client, "g1")


@case("CP-073")
async def json_in_a_binary_frame(trial: Trial) -> None:
    client = await trial.client()
    await client.send(b'{"type":"joinGroup","group":"g","ackId":1}')
    await client.ack(1)


@case("CP-075")
async def ping(trial: Trial) -> None:
    client = await trial.client()
    await client.send({"type": "ping"})
    trial.equal(await client.next(), {"type": "pong"}, "the answer to a ping")
    await client.quiet()


@case("CP-076")
async def sequence_ack_without_sequence(trial: Trial) -> None:
    client = await trial.client()
    await client.send({"type": "sequenceAck", "sequenceId": 5})
    await client.quiet()


def _of_size(size: int, ack_id: int) -> str:
    """A send to g1 of so many bytes."""
    head = f'{{"type":"sendToGroup","ackId":{ack_id},"group":"g1","dataType":"text","data":"'
    return head + "x" * (size - len(head) - 2) + '"}'


@case("CP-077", seconds=25)
async def one_mebibyte(trial: Trial) -> None:
    member = await trial.client(groups=["g1"], patience_s=trial.large_s)
    client = await trial.client(patience_s=trial.large_s)
    await client.send(_of_size(1_048_576, 1))
    await client.ack(1)
    await member.message(group="g1")
    await client.send(_of_size(1_048_577, 2))
    await client.closed(1009)
    await member.quiet()


@case("CP-078", seconds=25)
async def one_mebibyte_in_fragments(trial: Trial) -> None:
    member = await trial.client(groups=["g1"], patience_s=trial.large_s)
    client = await trial.client(patience_s=trial.large_s)
    await client.send_in_pieces(_of_size(1_048_576, 1).encode(), 300)
    await client.ack(1)
    await member.message(group="g1")
    await client.send_in_pieces(_of_size(1_048_577, 2).encode(), 300)
    await client.closed(1009)
    await member.quiet()


@case("CP-081", seconds=120)
async def reader_that_never_reads(trial: Trial) -> None:
    deaf, listener = await trial.client(groups=["g1"]), await trial.client(groups=["g1"])
    publisher = await trial.client()
    deaf.stop_reading()
    text = "x" * 100_000
    path = f"/connections/{deaf.connection_id}"
    for ack_id in range(1, 601):  # at most 60 MB; the limit is 16 MiB beyond what the network holds
        await publisher.ask(send(text, ack_id))
        await listener.message(group="g1")
        if ack_id % 20 == 0 and (await trial.rest("HEAD", path)).status == 404:
            break
    else:
        trial.check(False, "the client that does not read to be dropped", "60 MB later it is there")
    deaf.read_on()
    await deaf.closed(1008, 1006)
    await publisher.quiet()


@case("CP-082")
async def metadata(trial: Trial) -> None:
    client = await trial.client(groups=["g1"])
    await client.send(send("x", metadata={"k": "v"}))
    await client.message(data="x", metadata={"k": "v"})


@case("RA-096")
async def metadata_by_rest(trial: Trial) -> None:
    client = await trial.client()
    await trial.send(b"hi", headers={"X-WebPubSub-Metadata-Trace": "1"})
    await client.message(data="hi", metadata={"trace": "1"})
    long = {"X-WebPubSub-Metadata-Trace": "v" * 1025}
    await trial.send(b"hi", headers=long, expect=400)
    await trial.fence(client)


@case("CP-105")
async def json_reaches_protobuf_as_text(trial: Trial) -> None:
    member, client = await trial.client(PROTOBUF, groups=["g1"]), await trial.client()
    await client.send(send({"a": 1}, dataType="json"))
    message = await member.message(dataType="text", group="g1")
    trial.equal(str(message["data"]).replace(" ", ""), '{"a":1}', "the JSON text")


@case("CP-106")
async def protobuf_reaches_json_and_plain(trial: Trial) -> None:
    member, plain = await trial.client(groups=["g1"]), await trial.client(None, groups=["g1"])
    sender = await trial.client(PROTOBUF)
    await sender.send(protobuf.send("g1", protobuf.ANY, ANY))
    await member.message(dataType="protobuf", data=ANY_BASE64, fromUserId=ABSENT)
    await plain.frame(ANY)
