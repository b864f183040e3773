"""The protobuf subprotocols over a socket (cases CP-101 to CP-109, CP-046, CP-047, CP-141), and
what every kind of client gets of what every kind sends."""

import base64
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from google.protobuf.any_pb2 import Any as AnyMessage
from tests.wire.client import BINARY, JR, PB, PBR, TEXT, J, RawClient, until
from tests.wire.upstream_helpers import RecordingHandler, Reply

from hubbub.appserver import ServiceClient
from hubbub.protocol.messages import (
    Ack,
    Connected,
    DataMessage,
    DataType,
    Disconnected,
    GroupStateSnapshot,
    GroupStateUpdate,
    JoinGroup,
    Payload,
    Ping,
    Pong,
    Request,
    SendEvent,
    SendToGroup,
    SequenceAck,
    SetGroupState,
    SubscribeGroupState,
    text_payload,
)
from hubbub.protocol.protobuf_codec import decode_response, encode_request
from hubbub.protocol.webpubsub_pb2 import DownstreamMessage
from hubbub.service import EventHandlerSettings, HubSettings, Service

Connect = Callable[..., Awaitable[RawClient]]
StartService = Callable[..., Awaitable[Service]]

ANY = AnyMessage(type_url="type.googleapis.com/azure.webpubsub.TestMessage", value=b"\x08\x01")
ANY_BYTES = bytes.fromhex("0A2F") + ANY.type_url.encode() + bytes.fromhex("12020801")
ANY_BASE64 = "Ci90eXBlLmdvb2dsZWFwaXMuY29tL2F6dXJlLndlYnB1YnN1Yi5UZXN0TWVzc2FnZRICCAE="
PROTOBUF = Payload(DataType.PROTOBUF, raw=ANY_BYTES)


@pytest.fixture
async def handler() -> AsyncIterator[RecordingHandler]:
    async with RecordingHandler() as recording:
        yield recording


@pytest.fixture
async def with_handler(start_service: StartService, handler: RecordingHandler) -> Service:
    event_handler = EventHandlerSettings(handler.url, user_event_pattern="*", retry_pauses_s=(0.0,))
    return await start_service(hubs={"hub1": HubSettings(event_handlers=(event_handler,))})


async def say(client: RawClient, *requests: Request) -> None:
    for request in requests:
        await client.send(encode_request(request))


async def exchange(client: RawClient, text: str) -> str:
    """Send these bytes and return those of the next message, both as hex."""
    await client.send(bytes.fromhex(text))
    return (await client.binary()).hex(" ").upper()


async def downstream(client: RawClient) -> DownstreamMessage:
    return DownstreamMessage.FromString(await client.binary())


async def expect_rejection(client: RawClient, code: int) -> None:
    """`disconnected`, then the close frame."""
    assert isinstance(await client.response(), Disconnected)
    assert (await client.expect_close()).code == code


# --- the recorded bytes --------------------------------------------------------------------------


async def test_cp_101_recorded_requests_get_the_recorded_answers(
    service: Service, connect: Connect
) -> None:
    client = await connect(service, PB)
    assert await exchange(client, "32 06 0A 02 67 31 10 01") == "0A 04 08 01 10 01"
    assert await exchange(client, "3A 06 0A 02 67 31 10 02") == "0A 04 08 02 10 01"
    largest = "FF FF FF FF FF FF FF FF FF 01"
    assert await exchange(client, f"32 0F 0A 02 67 31 10 {largest}") == f"0A 0D 08 {largest} 10 01"
    await client.send(bytes.fromhex("42 02 08 05"))  # ignored: it is not reliable
    assert await exchange(client, "4A 00") == "22 00"


async def test_cp_101_recorded_messages_reach_members_as_recorded(
    service: Service, connect: Connect
) -> None:
    member, reliable = [await connect(service, kind, groups=("g1",)) for kind in (PB, PBR)]
    sender = await connect(service, PB)
    acknowledged = "0A 04 08 01 10 01"
    assert await exchange(sender, "0A 0C 0A 02 67 31 10 01 1A 04 0A 02 68 69") == acknowledged
    body = "0A 05 67 72 6F 75 70 12 02 67 31 1A 04 0A 02 68 69"
    assert await member.binary() == bytes.fromhex("12 11" + body)
    assert await reliable.binary() == bytes.fromhex("12 13" + body + "20 01")
    await sender.send(bytes.fromhex("0A 0D 0A 02 67 31 1A 05 12 03 01 02 03 20 01"))
    body = "0A 05 67 72 6F 75 70 12 02 67 31 1A 05 12 03 01 02 03"
    assert await member.binary() == bytes.fromhex("12 12" + body)
    assert await reliable.binary() == bytes.fromhex("12 14" + body + "20 02")


async def test_cp_101_recorded_stream_reaches_members_and_its_answers_are_as_recorded(
    service: Service, connect: Connect
) -> None:
    member, other = (
        await connect(service, PB, groups=("g1",)),
        await connect(service, J, groups=("g1",)),
    )
    sender = await connect(service, PB)
    assert (
        await exchange(sender, "0A 0A 0A 02 67 31 3A 04 0A 02 73 31") == "32 06 0A 02 73 31 10 01"
    )
    data = "6A 0C 0A 02 73 31 10 01 1A 04 0A 02 68 69"
    assert await exchange(sender, data) == "32 06 0A 02 73 31 10 02"
    assert await exchange(sender, "6A 04 0A 02 73 31") == "32 06 0A 02 73 31 10 02"
    assert await exchange(sender, "72 04 0A 02 73 31") == "42 04 0A 02 73 31"
    first, last = (await downstream(member)).data_message, (await downstream(member)).data_message
    assert first.data.text_data == "hi"
    assert (first.stream.stream_id, first.stream.stream_sequence_id) == ("s1", 1)
    assert (last.data.text_data, last.stream.end_of_stream) == ("", True)
    assert (await other.json())["stream"] == {"streamId": "s1", "streamSequenceId": 1}
    assert (await other.json())["stream"]["endOfStream"] is True


async def test_connected_is_first_and_names_user_and_token(
    service: Service, connect: Connect
) -> None:
    client = await connect(service, PB, user_id="u1")
    assert client.headers["sec-websocket-protocol"] == PB
    assert client.hello["userId"] == "u1"
    assert client.hello["reconnectionToken"] is None
    reliable = await connect(service, PBR)
    assert reliable.hello["userId"] is None
    assert reliable.hello["reconnectionToken"]


# --- what ends a connection ----------------------------------------------------------------------


@pytest.mark.parametrize("kind", [PB, PBR])
async def test_cp_102_text_frame_is_refused(service: Service, connect: Connect, kind: str) -> None:
    client = await connect(service, kind)
    await client.send({"type": "ping"})
    await expect_rejection(client, 1003)


@pytest.mark.parametrize("text", ["FF FF", "", "F2 01 00", "52 00", "32 00", "2A 06 0A 02 31 78"])
async def test_cp_103_bytes_that_are_no_request_end_the_connection(
    service: Service, connect: Connect, text: str
) -> None:
    client = await connect(service, PB)
    await client.send(bytes.fromhex(text))
    await expect_rejection(client, 1007)


async def test_fragments_make_one_message_and_too_many_bytes_end_the_connection(
    start_service: StartService, connect: Connect
) -> None:
    client = await connect(await start_service(max_message_bytes=100), PB)
    join = encode_request(JoinGroup("g1", 1))
    await client.send_frame(BINARY, join[:3], fin=False)
    await client.send_frame(0, join[3:])
    assert await client.response() == Ack(1)
    await say(client, SendToGroup("g1", Payload(DataType.BINARY, raw=b"x" * 100)))
    assert (await client.expect_close()).code == 1009


async def test_cp_109_client_that_rest_closes_is_told_the_reason(
    service: Service, connect: Connect
) -> None:
    client = await connect(service, PB)
    async with ServiceClient.from_connection_string(service.connection_string, "hub1") as rest:
        await rest.send_to_connection(client.hello["connectionId"], "hi")
        await rest.close_connection(client.hello["connectionId"], reason="bye")
    body = "0A 06 73 65 72 76 65 72 1A 04 0A 02 68 69"
    assert await client.binary() == bytes.fromhex("12 0E" + body)
    assert await client.binary() == bytes.fromhex("1A 07 12 05 12 03 62 79 65")
    closed = await client.expect_close()
    assert (closed.code, closed.reason) == (1000, "bye")


# --- rights and events ---------------------------------------------------------------------------


async def test_request_without_the_right_is_forbidden(service: Service, connect: Connect) -> None:
    client = await connect(service, PB, roles=())
    await say(client, JoinGroup("g1", 1), SendToGroup("g1", text_payload("x"), 2))
    for ack_id in (1, 2):
        ack = await client.response()
        assert isinstance(ack, Ack)
        assert ack.error is not None
        assert (ack.ack_id, ack.error.name) == (ack_id, "Forbidden")
    await say(client, SendToGroup("g1", text_payload("x")), Ping())
    assert await client.response() == Pong()


async def test_cp_104_event_has_its_ack_id_in_field_3(
    with_handler: Service, handler: RecordingHandler, connect: Connect
) -> None:
    client = await connect(with_handler, PB)
    answer = await exchange(client, "2A 0C 0A 02 65 31 12 04 0A 02 68 69 18 03")
    assert answer == "0A 04 08 03 10 01"
    request = handler.requests[-1]
    assert (request.header("ce-type"), request.body) == ("azure.webpubsub.user.e1", b"hi")
    assert request.header("ce-subprotocol") == PB


@pytest.mark.parametrize(
    ("payload", "content_type"),
    [
        (PROTOBUF, "application/x-protobuf"),
        (text_payload("é"), "text/plain"),
        (Payload(DataType.BINARY, raw=b"\x00"), "application/octet-stream"),
        (Payload(DataType.JSON, raw=b'{"a": 1.0}'), "application/json"),
    ],
    ids=lambda value: getattr(value, "data_type", ""),
)
async def test_cp_107_event_reaches_the_handler_with_the_type_of_its_data(
    with_handler: Service,
    handler: RecordingHandler,
    connect: Connect,
    payload: Payload,
    content_type: str,
) -> None:
    client = await connect(with_handler, PB)
    await say(client, SendEvent("e1", payload, 1, {"k": "v"}))
    assert await client.response() == Ack(1)
    request = handler.requests[-1]
    assert (request.header("content-type") or "").partition(";")[0] == content_type
    assert request.body == payload.raw
    assert request.header("X-WebPubSub-Metadata-k") == "v"


async def test_cp_141_protobuf_answer_of_the_handler_reaches_a_protobuf_client(
    with_handler: Service, handler: RecordingHandler, connect: Connect
) -> None:
    handler.answers["e1"] = Reply(200, ANY_BYTES, "application/x-protobuf")
    client = await connect(with_handler, PB)
    await say(client, SendEvent("e1", text_payload("x"), 1))
    assert await client.response() == DataMessage(PROTOBUF)
    assert await client.response() == Ack(1)


async def test_invocation_has_no_form_and_a_failed_event_fails_its_ack(
    service: Service, connect: Connect
) -> None:
    client = await connect(service, PB)
    await say(client, SendEvent("e1", text_payload("x"), 1))
    ack = await client.response()
    assert isinstance(ack, Ack)
    assert ack.error is not None
    assert ack.error.name == "InternalServerError"
    await client.send(bytes.fromhex("52 00"))
    await expect_rejection(client, 1007)


# --- recovery ------------------------------------------------------------------------------------


async def test_cp_108_lost_client_gets_what_it_has_not_acknowledged(
    service: Service, connect: Connect, recover: Connect
) -> None:
    client = await connect(service, PBR, groups=("g1",), user_id="u1")
    sender = await connect(service, J)

    async def publish(*texts: str) -> None:
        for text in texts:
            message = {"type": "sendToGroup", "group": "g1", "dataType": "text", "data": text}
            await sender.send(message)

    def numbered(number: int, text: str) -> DataMessage:
        return DataMessage(text_payload(text), "g1", sequence_id=number)

    await publish("1", "2", "3", "4", "5")
    for number in range(1, 6):
        assert await client.response() == numbered(number, str(number))
    await say(client, SequenceAck(3), JoinGroup("g2", 1), Ping())
    assert await client.response() == Ack(1)
    assert await client.response() == Pong()
    client.cut()
    await until(lambda: service.counts.get("connections.lost"))
    await publish("6")
    again = await recover(service, client, subprotocols=PBR)
    assert again.headers["sec-websocket-protocol"] == PBR
    hello = await again.response()
    assert isinstance(hello, Connected)
    assert (hello.connection_id, hello.user_id) == (client.hello["connectionId"], "u1")
    assert hello.reconnection_token
    for number in (4, 5, 6):
        assert await again.response() == numbered(number, str(number))
    await publish("7")
    assert await again.response() == numbered(7, "7")
    await say(again, JoinGroup("g2", 1))
    ack = await again.response()
    assert isinstance(ack, Ack)
    assert ack.error is not None
    assert ack.error.name == "Duplicate"


async def test_many_messages_of_one_tick_keep_order_and_numbers(
    service: Service, connect: Connect
) -> None:
    members = [await connect(service, kind, groups=("g1",)) for kind in (PB, PBR, PBR)]
    sender = await connect(service, PB, groups=("g1",))
    payloads = [Payload(DataType.BINARY, raw=b"x" * size) for size in range(100, 200)]
    sender.writer.write(
        b"".join(
            sender.frame(BINARY, encode_request(SendToGroup("g1", payload, no_echo=True)))
            for payload in payloads
        )
    )
    for member, is_reliable in zip(members, (False, True, True), strict=True):
        for number, payload in enumerate(payloads, 1):
            expected = DataMessage(payload, "g1", sequence_id=number if is_reliable else None)
            assert await member.response() == expected
    await say(sender, Ping())
    assert await sender.response() == Pong()


# --- every kind of data between every two kinds of clients ---------------------------------------

SAMPLES = {
    DataType.TEXT: 'grün 🎈 "x"'.encode(),
    DataType.JSON: b'{"n": 12345678901234567890, "x": [1.0, "\\u00e9"]}',
    DataType.BINARY: b"\x00\xff\x01",
    DataType.PROTOBUF: ANY_BYTES,
}


async def send_sample(sender: RawClient, kind: str | None, data_type: DataType) -> None:
    payload = Payload(data_type, raw=SAMPLES[data_type])
    if kind is None:
        await sender.send_frame(TEXT if payload.is_text else BINARY, payload.raw)
    elif kind == PB:
        await say(sender, SendToGroup("g1", payload))
    else:
        head = f'{{"type":"sendToGroup","group":"g1","dataType":"{data_type}","data":'
        await sender.send(head + payload.token.decode() + "}")


async def check_json_client(client: RawClient, data_type: DataType, raw: bytes) -> None:
    text = await client.text()
    message: dict[str, Any] = json.loads(text)
    is_numbered = client.headers["sec-websocket-protocol"] == JR
    assert message.pop("sequenceId", None) == (1 if is_numbered else None)
    data = message.pop("data")
    assert message == {
        "type": "message",
        "from": "group",
        "group": "g1",
        "dataType": data_type,
        "fromUserId": "u1",
    }
    match data_type:
        case DataType.TEXT:
            assert data == raw.decode()
        case DataType.JSON:
            assert raw.decode() in text, "the JSON text passes as it is"
        case _:
            assert data == base64.b64encode(raw).decode()


async def check_protobuf_client(client: RawClient, data_type: DataType, raw: bytes) -> None:
    message = (await downstream(client)).data_message
    is_numbered = client.headers["sec-websocket-protocol"] == PBR
    assert message.HasField("sequence_id") == is_numbered
    assert message.sequence_id == (1 if is_numbered else 0)
    assert (getattr(message, "from"), message.group) == ("group", "g1")
    match message.data.WhichOneof("data"):
        case "text_data":
            assert data_type in (DataType.TEXT, DataType.JSON)
            assert message.data.text_data == raw.decode()
        case "binary_data":
            assert (data_type, message.data.binary_data) == (DataType.BINARY, raw)
        case "protobuf_data":
            assert (data_type, message.data.protobuf_data) == (DataType.PROTOBUF, ANY)
        case other:
            pytest.fail(f"data in {other}")


async def check_plain_client(client: RawClient, data_type: DataType, raw: bytes) -> None:
    is_text = data_type in (DataType.TEXT, DataType.JSON)
    assert await client.next() == (TEXT if is_text else BINARY, raw)


CHECKS = {
    J: check_json_client,
    JR: check_json_client,
    PB: check_protobuf_client,
    PBR: check_protobuf_client,
    None: check_plain_client,
}
SENDERS = [
    (kind, data_type)
    for kind in (J, PB, None)
    for data_type in DataType
    if kind is not None or data_type in (DataType.TEXT, DataType.BINARY)
]


@pytest.mark.parametrize("receiver_kind", CHECKS, ids=["J", "JR", "PB", "PBR", "plain"])
@pytest.mark.parametrize(("kind", "data_type"), SENDERS)
async def test_cp_046_cp_047_cp_105_cp_106_data_reaches_every_kind_of_client(
    service: Service,
    connect: Connect,
    kind: str | None,
    data_type: DataType,
    receiver_kind: str | None,
) -> None:
    receiver = await connect(service, receiver_kind, groups=("g1",))
    query = "&webpubsub_mode=sendToGroup&group=g1" if kind is None else ""
    sender = await connect(service, kind, query=query, user_id="u1")
    await send_sample(sender, kind, data_type)
    await CHECKS[receiver_kind](receiver, data_type, SAMPLES[data_type])


async def test_cp_105_json_goes_into_json_data_where_the_setting_says_so(
    start_service: StartService, connect: Connect
) -> None:
    service = await start_service(protobuf_json_field="json_data")
    member = await connect(service, PBR, groups=("g1",))
    await send_sample(await connect(service, J), J, DataType.JSON)
    data = (await downstream(member)).data_message.data
    assert data.WhichOneof("data") == "json_data"
    assert data.json_data.encode() == SAMPLES[DataType.JSON]


async def test_cp_047_bytes_that_are_no_any_do_not_break_a_protobuf_member(
    service: Service, connect: Connect
) -> None:
    member = await connect(service, PB, groups=("g1",))
    sender = await connect(service, J)
    data = base64.b64encode(b"\xff\xff").decode()
    message = {"type": "sendToGroup", "group": "g1", "dataType": "protobuf", "data": data}
    await sender.send(message)
    assert (await downstream(member)).data_message.data.binary_data == b"\xff\xff"


async def test_metadata_and_no_echo_work_between_the_formats(
    service: Service, connect: Connect
) -> None:
    json_member, member = [await connect(service, kind, groups=("g1",)) for kind in (J, PB)]
    await say(member, SendToGroup("g1", text_payload("x"), 1, True, metadata={"K": "v"}))
    assert await member.response() == Ack(1)
    assert (await json_member.json())["metadata"] == {"K": "v"}
    message = {"type": "sendToGroup", "group": "g1", "dataType": "text", "data": "y"}
    await json_member.send({**message, "metadata": {"a": "b"}})
    assert await member.response() == DataMessage(text_payload("y"), "g1", metadata={"a": "b"})


async def test_group_state_reaches_subscribers_of_every_kind(
    service: Service, connect: Connect
) -> None:
    """The same changes for a JSON subscriber and for both protobuf ones."""
    member = await connect(service, PB, groups=("g1",), user_id="u1")
    watchers = {}
    for subprotocol in (PB, PBR, JR):
        watcher = watchers[subprotocol] = await connect(service, subprotocol, groups=("g1",))
        if subprotocol == JR:
            await watcher.send({"type": "subscribeGroupState", "group": "g1"})
            assert (await watcher.json())["type"] == "groupStateSnapshot"
        else:
            await say(watcher, SubscribeGroupState("g1", 1))
            assert decode_response(await watcher.binary()) == Ack(1)
            snapshot = decode_response(await watcher.binary())
            number = 1 if subprotocol == PBR else None
            assert snapshot == GroupStateSnapshot("g1", (), number)
    await say(member, SetGroupState("g1", {"status": "typing"}, 1))
    assert decode_response(await member.binary()) == Ack(1)
    for subprotocol in (PB, PBR):
        update = decode_response(await watchers[subprotocol].binary())
        assert isinstance(update, GroupStateUpdate)
        assert update.sequence_id == (2 if subprotocol == PBR else None)
        (item,) = update.items
        assert (item.user_id, item.state) == ("u1", {"status": "typing"})
    assert (await watchers[JR].json())["items"][0]["state"] == {"status": "typing"}
