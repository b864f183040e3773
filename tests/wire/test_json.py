"""The JSON subprotocol request by request (cases CP-034 to CP-083)."""

import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from tests.wire.client import (
    BINARY,
    CONTINUATION,
    TEXT,
    Closed,
    RawClient,
    error_name,
    is_success,
)

from hubbub.service import Service

Connect = Callable[..., Awaitable[RawClient]]
StartService = Callable[..., Awaitable[Service]]


def send_to_group(data: object, data_type: str | None = None, **more: Any) -> dict[str, Any]:
    message = {"type": "sendToGroup", "group": "g1", "data": data, **more}
    if data_type is not None:
        message["dataType"] = data_type
    return message


async def test_cp_034_cp_035_cp_036_join_twice_leave_twice_all_succeed(
    service: Service, connect: Connect
) -> None:
    client = await connect(service)
    assert is_success(await client.ask({"type": "joinGroup", "group": "g1", "ackId": 1}))
    assert is_success(await client.ask({"type": "joinGroup", "group": "g1", "ackId": 2}))
    assert is_success(await client.ask({"type": "leaveGroup", "group": "g1", "ackId": 3}))
    assert is_success(await client.ask({"type": "leaveGroup", "group": "g1", "ackId": 4}))
    assert is_success(await client.ask({"type": "leaveGroup", "group": "never", "ackId": 5}))


async def test_cp_037_sender_need_not_be_a_member(service: Service, connect: Connect) -> None:
    member = await connect(service, groups=("g1",))
    sender = await connect(service)
    assert is_success(await sender.ask(send_to_group("hi", "text", ackId=2)))
    assert (await member.json())["data"] == "hi"
    await sender.expect_silence()


async def test_cp_038_sender_that_is_a_member_hears_itself(
    service: Service, connect: Connect
) -> None:
    client = await connect(service, groups=("g1",))
    await client.send(send_to_group("hi", "text"))
    assert (await client.json())["data"] == "hi"


async def test_cp_039_no_echo_spares_this_connection_only(
    service: Service, connect: Connect
) -> None:
    sender = await connect(service, user_id="u1", groups=("g1",))
    same_user = await connect(service, user_id="u1", groups=("g1",))
    await sender.send(send_to_group("quiet", "text", noEcho=True, ackId=1))
    await sender.send(send_to_group("loud", "text"))
    assert (await same_user.json())["data"] == "quiet"
    assert (await same_user.json())["data"] == "loud"
    heard = [await sender.json(), await sender.json()]
    assert {message.get("data", "ack") for message in heard} == {"ack", "loud"}


async def test_no_echo_in_a_busy_tick_keeps_order_for_everybody(
    service: Service, connect: Connect
) -> None:
    """Both senders' messages arrive in one read; each misses only its own quiet ones."""
    first = await connect(service, groups=("g1",))
    other = await connect(service, groups=("g1",))
    frames = b"".join(
        first.frame(TEXT, json.dumps(send_to_group(i, noEcho=i % 3 == 0)).encode())
        for i in range(100)
    )
    first.writer.write(frames)
    assert [(await other.json())["data"] for _ in range(100)] == list(range(100))
    expected = [i for i in range(100) if i % 3]
    assert [(await first.json())["data"] for _ in expected] == expected
    await first.expect_silence()


async def test_cp_040_group_message_names_group_and_sender(
    service: Service, connect: Connect
) -> None:
    member = await connect(service, groups=("g1",))
    sender = await connect(service, user_id="u1")
    await sender.send(send_to_group("hi", "text"))
    assert await member.json() == {
        "type": "message",
        "from": "group",
        "group": "g1",
        "dataType": "text",
        "data": "hi",
        "fromUserId": "u1",
    }


async def test_anonymous_sender_leaves_no_user_id(service: Service, connect: Connect) -> None:
    member = await connect(service, groups=("g1",))
    await (await connect(service)).send(send_to_group("hi", "text"))
    assert "fromUserId" not in await member.json()


async def test_cp_043_absent_data_type_is_json(service: Service, connect: Connect) -> None:
    client = await connect(service, groups=("g1",))
    await client.send(send_to_group({"a": 1}))
    message = await client.json()
    assert (message["dataType"], message["data"]) == ("json", {"a": 1})


@pytest.mark.parametrize(
    "text", ["12345678901234567890", "1.0", '"x"', "[]", "true", '{"b": 1,  "a":1e400}']
)
async def test_cp_044_json_keeps_its_text(service: Service, connect: Connect, text: str) -> None:
    client = await connect(service, groups=("g1",))
    await client.send('{"type":"sendToGroup","group":"g1","dataType":"json","data":%s}' % text)
    assert f'"dataType":"json","data":{text}' in await client.text()


async def test_cp_045_text_is_delivered_unchanged(service: Service, connect: Connect) -> None:
    text = 'smile \U0001f600, nul \x00, quote " backslash \\ line \n é'
    client = await connect(service, groups=("g1",))
    plain = await connect(service, None, groups=("g1",))
    await client.send(send_to_group(text, "text"))
    assert (await client.json())["data"] == text
    assert await plain.text() == text


async def test_cp_046_binary_stays_base64(service: Service, connect: Connect) -> None:
    client = await connect(service, groups=("g1",))
    await client.send(send_to_group("AQID", "binary"))
    message = await client.json()
    assert (message["dataType"], message["data"]) == ("binary", "AQID")


async def test_cp_047_protobuf_from_a_json_client_is_accepted(
    service: Service, connect: Connect
) -> None:
    data = "Ci90eXBlLmdvb2dsZWFwaXMuY29tL2F6dXJlLndlYnB1YnN1Yi5UZXN0TWVzc2FnZRICCAE="
    client = await connect(service, groups=("g1",))
    await client.send(send_to_group(data, "protobuf"))
    message = await client.json()
    assert (message["dataType"], message["data"]) == ("protobuf", data)


async def test_cp_048_cp_049_without_roles_requests_are_forbidden(
    service: Service, connect: Connect
) -> None:
    client = await connect(service, roles=())
    member = await connect(service, groups=("g1",))
    join = await client.ask({"type": "joinGroup", "group": "g1", "ackId": 1})
    assert error_name(join) == "Forbidden"
    leave = await client.ask({"type": "leaveGroup", "group": "g1", "ackId": 2})
    assert error_name(leave) == "Forbidden"
    assert error_name(await client.ask(send_to_group(1, ackId=3))) == "Forbidden"
    await member.send(send_to_group("for members", "text"))
    await member.json()
    await client.expect_silence()
    await member.expect_silence()


async def test_cp_050_forbidden_without_ack_id_is_silent(
    service: Service, connect: Connect
) -> None:
    client = await connect(service, roles=())
    await client.send({"type": "joinGroup", "group": "g1"})
    await client.expect_silence()
    await (await connect(service)).ask(send_to_group("x", "text", ackId=1))
    await client.expect_silence()


async def test_cp_055_used_ack_id_is_a_duplicate_for_every_type(
    service: Service, connect: Connect
) -> None:
    client = await connect(service, groups=("g1",))
    assert is_success(await client.ask({"type": "joinGroup", "group": "g2", "ackId": 5}))
    assert error_name(await client.ask(send_to_group("x", ackId=5))) == "Duplicate"
    leave = {"type": "leaveGroup", "group": "g2", "ackId": 5}
    assert error_name(await client.ask(leave)) == "Duplicate"
    await client.send(
        {"type": "sendToGroup", "group": "g2", "dataType": "text", "data": "still in"}
    )
    assert (await client.json())["data"] == "still in"


async def test_forbidden_ack_id_may_be_used_again(service: Service, connect: Connect) -> None:
    client = await connect(service, roles=("webpubsub.joinLeaveGroup",))
    assert error_name(await client.ask(send_to_group("x", ackId=6))) == "Forbidden"
    assert is_success(await client.ask({"type": "joinGroup", "group": "g", "ackId": 6}))


async def test_cp_057_largest_ack_id_and_zero_are_good(service: Service, connect: Connect) -> None:
    client = await connect(service)
    for ack_id in (18446744073709551615, 0):
        assert is_success(await client.ask({"type": "joinGroup", "group": "g", "ackId": ack_id}))


async def test_cp_059_null_ack_id_is_as_absent(service: Service, connect: Connect) -> None:
    client = await connect(service)
    await client.send({"type": "joinGroup", "group": "g", "ackId": None})
    await client.expect_silence()


async def test_cp_060_ack_ids_belong_to_one_connection(service: Service, connect: Connect) -> None:
    for client in (await connect(service), await connect(service)):
        assert is_success(await client.ask({"type": "joinGroup", "group": "g", "ackId": 1}))


async def test_ack_memory_forgets_the_oldest(start_service: StartService, connect: Connect) -> None:
    client = await connect(await start_service(ack_id_memory=2))
    for ack_id in (1, 2, 3):
        assert is_success(await client.ask({"type": "joinGroup", "group": "g", "ackId": ack_id}))
    again = {"type": "joinGroup", "group": "g"}
    assert error_name(await client.ask({**again, "ackId": 3})) == "Duplicate"
    assert error_name(await client.ask({**again, "ackId": 2})) == "Duplicate"
    assert is_success(await client.ask({**again, "ackId": 1}))


JOIN = '{"type":"joinGroup","group":"g","ackId":%s}'
BAD_MESSAGES = {
    "cp_058": [JOIN % ack_id for ack_id in ("-1", "1.5", '"1"', "18446744073709551616")],
    "cp_061": ["{"],
    "cp_062": ["", "[]", '"x"', "null"],
    "cp_063": ['{"group":"g1"}', '{"type":1}'],
    "cp_064": ['{"type":"nope","ackId":1}'],
    "cp_066": [
        '{"type":"joinGroup","ackId":1}',
        '{"type":"joinGroup","group":5}',
        '{"type":"joinGroup","group":""}',
        '{"type":"joinGroup","group":"  "}',
        '{"type":"joinGroup","group":"%s"}' % ("x" * 1025),
    ],
    "cp_068": [
        '{"type":"sendToGroup","group":"g"}',
        '{"type":"sendToGroup","group":"g","data":null}',
    ],
    "cp_069": [
        '{"type":"sendToGroup","group":"g","dataType":"text","data":5}',
        '{"type":"sendToGroup","group":"g","dataType":"binary","data":"***"}',
        '{"type":"sendToGroup","group":"g","dataType":"xml","data":"a"}',
        '{"type":"sendToGroup","group":"g","dataType":1,"data":"a"}',
    ],
    "cp_070": ['{"type":"sendToGroup","group":"g","data":1,"noEcho":"yes"}'],
    "cp_071": [
        '{"type":"event","event":"%s","data":1,"ackId":1}' % name
        for name in ("1x", "a b", "x" * 129, "")
    ],
    "cp_083": [
        '{"type":"sendToGroup","group":"g","data":1,"metadata":{"k":1}}',
        '{"type":"sendToGroup","group":"g","data":1,"metadata":{"a b":"v"}}',
        json.dumps(send_to_group(1, metadata={f"k{i}": "v" * 1000 for i in range(9)})),
        '{"type":"sendToGroup","group":"g","data":1,"ttlSeconds":301}',
    ],
    "cp_097": ['{"type":"sequenceAck","sequenceId":"5"}', '{"type":"sequenceAck"}'],
    "depth": [
        '{"type":"sendToGroup","group":"g","data":%s}' % ("[" * n + "]" * n) for n in (64, 9999)
    ],
}


@pytest.mark.parametrize(
    "text", [pytest.param(text, id=f"{case}-{i}") for case, texts in BAD_MESSAGES.items() for i, text in enumerate(texts)]
)  # fmt: skip
async def test_cp_058_cp_061_cp_062_cp_063_cp_064_cp_066_cp_068_cp_069_cp_070_cp_071_cp_083_cp_097_bad_message_ends_with_1007(
    service: Service, connect: Connect, text: str
) -> None:
    """And nobody else notices: another connection goes on."""
    other = await connect(service)
    client = await connect(service)
    await client.send(text)
    await client.expect_rejection(1007)
    await other.expect_silence()


async def test_cp_065_type_ignores_case(service: Service, connect: Connect) -> None:
    client = await connect(service)
    assert is_success(await client.ask({"type": "JOINGROUP", "group": "g1", "ackId": 1}))


@pytest.mark.parametrize("group", ["x" * 1024, "a b/c", "grüße 🎉", "*", "pkg:@a/b.c"])
async def test_cp_067_group_names_are_free(service: Service, connect: Connect, group: str) -> None:
    client = await connect(service)
    assert is_success(await client.ask({"type": "joinGroup", "group": group, "ackId": 1}))
    await client.send({"type": "sendToGroup", "group": group, "dataType": "text", "data": "x"})
    assert (await client.json())["group"] == group


async def test_cp_072_unknown_properties_are_ignored(service: Service, connect: Connect) -> None:
    client = await connect(service)
    ack = await client.ask({"type": "joinGroup", "group": "g", "ackId": 1, "extra": {"a": [1]}})
    assert is_success(ack)


async def test_cp_073_binary_frame_with_json_is_taken_or_1003(
    start_service: StartService, service: Service, connect: Connect
) -> None:
    message = b'{"type":"joinGroup","group":"g","ackId":1}'
    client = await connect(service)
    await client.send(message)
    assert is_success(await client.json())
    strict = await connect(await start_service(strict_json_frames=True))
    await strict.send(message)
    await strict.expect_rejection(1003)


async def test_cp_074_bytes_that_are_no_utf_8_end_with_1007(
    service: Service, connect: Connect
) -> None:
    bad = b'{"type":"sendToGroup","group":"g","data":"\xff"}'
    for opcode in (BINARY, TEXT):
        client = await connect(service)
        await client.send_frame(opcode, bad)
        await client.expect_rejection(1007)


async def test_cp_075_ping_is_answered_by_pong_alone(service: Service, connect: Connect) -> None:
    client = await connect(service)
    assert await client.ask({"type": "ping"}) == {"type": "pong"}
    await client.expect_silence()


async def test_cp_076_sequence_ack_is_ignored_when_not_reliable(
    service: Service, connect: Connect
) -> None:
    client = await connect(service)
    await client.send({"type": "sequenceAck", "sequenceId": 5})
    await client.expect_silence()


def message_of(size: int) -> bytes:
    head, tail = b'{"type":"sendToGroup","group":"g1","dataType":"text","data":"', b'"}'
    return head + b"x" * (size - len(head) - len(tail)) + tail


@pytest.mark.parametrize("pieces", [1, 7, 300])
async def test_cp_077_cp_078_one_mebibyte_is_the_limit_whole_or_in_fragments(
    service: Service, connect: Connect, pieces: int
) -> None:
    async def send(client: RawClient, data: bytes) -> None:
        step = len(data) // pieces + 1
        parts = [data[i : i + step] for i in range(0, len(data), step)]
        for i, part in enumerate(parts):
            opcode = CONTINUATION if i else TEXT
            await client.send_frame(opcode, part, fin=i == len(parts) - 1)

    member = await connect(service, groups=("g1",))
    client = await connect(service)
    await send(client, message_of(1_048_576))
    assert len((await member.json())["data"]) > 1_048_000
    with pytest.raises((Closed, ConnectionError)):
        await send(client, message_of(1_048_577))
        raise await client.expect_close()
    await member.expect_silence()


async def test_message_over_the_limit_ends_with_1009(service: Service, connect: Connect) -> None:
    client = await connect(service)
    await client.send_frame(TEXT, message_of(1_048_577))
    assert (await client.expect_close()).code == 1009


async def test_cp_081_reader_that_never_reads_is_dropped_and_harms_nobody(
    start_service: StartService, connect: Connect
) -> None:
    service = await start_service(close_flush_timeout_s=0.2)
    deaf = await connect(service, groups=("g1",))
    deaf.writer.transport.pause_reading()
    publisher = await connect(service)
    listener = await connect(service, groups=("g1",))
    text = "x" * 50_000
    sent = 0
    while not service.counts.get("closed.SlowClient"):
        assert is_success(await publisher.ask(send_to_group(text, "text", ackId=sent)))
        assert (await listener.json())["data"] == text
        sent += 1
        assert sent < 5_000, "the slow client was never dropped"
    await publisher.expect_silence()
    await listener.expect_silence()
    deaf.writer.transport.resume_reading()
    assert (await deaf.expect_close()).code in (1006, 1008)


async def test_cp_082_metadata_reaches_the_receiver(service: Service, connect: Connect) -> None:
    client = await connect(service, groups=("g1",))
    await client.send(send_to_group("x", "text", metadata={"k": "v", "K2": "w"}))
    assert (await client.json())["metadata"] == {"k": "v", "K2": "w"}


async def test_many_requests_in_one_write_are_done_in_order(
    service: Service, connect: Connect
) -> None:
    client = await connect(service, groups=("g1",))
    requests = b"".join(
        client.frame(TEXT, json.dumps(send_to_group(i, ackId=i)).encode()) for i in range(200)
    )
    client.writer.write(requests)
    acks, data = [], []
    while len(acks) + len(data) < 400:
        message = await client.json()
        if message["type"] == "ack":
            acks.append(message["ackId"])
        else:
            data.append(message["data"])
    assert acks == data == list(range(200))


async def test_one_group_too_many_is_a_bad_request(
    start_service: StartService, connect: Connect
) -> None:
    client = await connect(await start_service(max_groups_per_connection=2))

    def join(group: str, ack_id: int) -> dict[str, Any]:
        return {"type": "joinGroup", "group": group, "ackId": ack_id}

    for ack_id, group in enumerate(("a", "b"), 1):
        assert is_success(await client.ask(join(group, ack_id)))
    assert error_name(await client.ask(join("c", 3))) == "BadRequest"
    assert is_success(await client.ask(join("b", 4))), "it is in this one already"
    await client.ask({"type": "leaveGroup", "group": "a", "ackId": 5})
    assert is_success(await client.ask(join("c", 6)))


async def test_join_in_the_same_tick_as_a_send_does_not_get_it(
    service: Service, connect: Connect
) -> None:
    client = await connect(service)
    member = await connect(service, groups=("g1",))
    frames = [send_to_group("before", "text"), {"type": "joinGroup", "group": "g1"}]
    frames.append(send_to_group("after", "text"))
    client.writer.write(b"".join(client.frame(TEXT, json.dumps(f).encode()) for f in frames))
    assert [(await member.json())["data"] for _ in range(2)] == ["before", "after"]
    assert (await client.json())["data"] == "after"
    await client.expect_silence()


async def test_leave_in_the_same_tick_as_a_send_still_gets_it(
    service: Service, connect: Connect
) -> None:
    client = await connect(service, groups=("g1",))
    frames = [send_to_group("before", "text"), {"type": "leaveGroup", "group": "g1"}]
    frames.append(send_to_group("after", "text"))
    client.writer.write(b"".join(client.frame(TEXT, json.dumps(f).encode()) for f in frames))
    assert (await client.json())["data"] == "before"
    await client.expect_silence()


async def test_one_publisher_to_two_groups_keeps_its_order_for_who_is_in_both(
    service: Service, connect: Connect
) -> None:
    member = await connect(service, groups=("g1", "g2"))
    sender = await connect(service)
    frames = [{**send_to_group(i), "group": f"g{i % 2 + 1}"} for i in range(100)]
    sender.writer.write(b"".join(sender.frame(TEXT, json.dumps(f).encode()) for f in frames))
    assert [(await member.json())["data"] for _ in range(100)] == list(range(100))
