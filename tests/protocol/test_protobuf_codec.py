"""Protobuf messages: recorded bytes there and back, data of every type, hostile bytes."""

import contextlib

import pytest
from google.protobuf.any_pb2 import Any as AnyMessage
from hypothesis import example, given
from hypothesis import strategies as st

from hubbub.protocol import limits
from hubbub.protocol.errors import InvalidMessage, UnsupportedFrame
from hubbub.protocol.messages import (
    Ack,
    Connected,
    DataMessage,
    DataType,
    Disconnected,
    ErrorDetail,
    GroupStateItem,
    GroupStateSnapshot,
    GroupStateUpdate,
    Invoke,
    InvokeResponse,
    JoinGroup,
    LeaveGroup,
    Payload,
    Ping,
    Pong,
    Request,
    Response,
    SendEvent,
    SendToGroup,
    SequenceAck,
    SetGroupState,
    StreamAck,
    StreamClosed,
    StreamData,
    StreamEnd,
    StreamError,
    StreamInfo,
    StreamNack,
    StreamStart,
    SubscribeGroupState,
    UnsubscribeGroupState,
    text_payload,
)
from hubbub.protocol.protobuf_codec import (
    JSON_FIELDS,
    data_message,
    data_message_body,
    decode_request,
    decode_response,
    encode_request,
    encode_response,
)
from hubbub.protocol.webpubsub_pb2 import DownstreamMessage, MessageData, UpstreamMessage

HI = text_payload("hi")
BYTES = Payload(DataType.BINARY, raw=b"\x01\x02\x03")
ANY = AnyMessage(type_url="type.googleapis.com/azure.webpubsub.TestMessage", value=b"\x08\x01")
ANY_BYTES = bytes.fromhex("0A2F") + ANY.type_url.encode() + bytes.fromhex("12020801")
MAX = limits.MAX_ACK_ID

REQUESTS: list[tuple[str, Request]] = [
    ("32 06 0A 02 67 31 10 01", JoinGroup("g1", 1)),
    ("3A 06 0A 02 67 31 10 02", LeaveGroup("g1", 2)),
    ("0A 0C 0A 02 67 31 10 01 1A 04 0A 02 68 69", SendToGroup("g1", HI, 1)),
    ("0A 0D 0A 02 67 31 1A 05 12 03 01 02 03 20 01", SendToGroup("g1", BYTES, no_echo=True)),
    ("2A 0C 0A 02 65 31 12 04 0A 02 68 69 18 03", SendEvent("e1", HI, 3)),
    ("42 02 08 05", SequenceAck(5)),
    ("4A 00", Ping()),
    ("32 0F 0A 02 67 31 10 FF FF FF FF FF FF FF FF FF 01", JoinGroup("g1", MAX)),
    ("6A 0C 0A 02 73 31 10 01 1A 04 0A 02 68 69", StreamData("s1", 1, HI)),
    ("6A 04 0A 02 73 31", StreamData("s1")),
    ("72 04 0A 02 73 31", StreamEnd("s1")),
]
RESPONSES: list[tuple[str, Response]] = [
    ("0A 04 08 01 10 01", Ack(1)),
    (
        "0A 12 08 01 1A 0E 0A 09 44 75 70 6C 69 63 61 74 65 12 01 78",
        Ack(1, ErrorDetail("Duplicate", "x")),
    ),
    ("12 11 0A 05 67 72 6F 75 70 12 02 67 31 1A 04 0A 02 68 69", DataMessage(HI, "g1")),
    (
        "12 13 0A 05 67 72 6F 75 70 12 02 67 31 1A 04 0A 02 68 69 20 07",
        DataMessage(HI, "g1", sequence_id=7),
    ),
    ("12 0E 0A 06 73 65 72 76 65 72 1A 04 0A 02 68 69", DataMessage(HI)),
    ("1A 0A 0A 08 0A 02 63 31 12 02 75 31", Connected("c1", "u1")),
    ("1A 0E 0A 0C 0A 02 63 31 12 02 75 31 1A 02 74 31", Connected("c1", "u1", "t1")),
    ("1A 07 12 05 12 03 62 79 65", Disconnected("bye")),
    ("22 00", Pong()),
    ("32 06 0A 02 73 31 10 01", StreamAck("s1", 1)),
    ("42 04 0A 02 73 31", StreamClosed("s1")),
]


@pytest.mark.parametrize(("text", "request_"), REQUESTS, ids=[text for text, _ in REQUESTS])
def test_cp_101_request_is_these_bytes_there_and_back(text: str, request_: Request) -> None:
    data = bytes.fromhex(text)
    assert decode_request(data) == request_
    assert encode_request(request_) == data


@pytest.mark.parametrize(("text", "response"), RESPONSES, ids=[text for text, _ in RESPONSES])
def test_cp_101_response_is_these_bytes_there_and_back(text: str, response: Response) -> None:
    data = bytes.fromhex(text)
    assert encode_response(response) == data
    assert decode_response(data) == response


def test_start_of_a_stream_without_an_idle_time_out_gets_the_default() -> None:
    data = bytes.fromhex("0A 0A 0A 02 67 31 3A 04 0A 02 73 31")
    assert decode_request(data) == StreamStart("g1", "s1", limits.STREAM_IDLE_TIMEOUT_MS)


@pytest.mark.parametrize(
    "text",
    [
        "0A 0C 0A 02 67 31 10 01 3A 04 0A 02 73 31",
        "0A 10 0A 02 67 31 1A 04 0A 02 68 69 3A 04 0A 02 73 31",
        "0A 06 0A 02 67 31 3A 00",
        "0A 0C 0A 02 67 31 3A 06 0A 02 73 31 10 00",
        "6A 06 0A 02 73 31 10 01",
        "6A 0A 0A 02 73 31 1A 04 0A 02 68 69",
    ],
    ids=["ack id", "data", "no id", "idle 0", "no data", "no number"],
)
def test_stream_request_with_a_fault_is_told_on_the_stream(text: str) -> None:
    request = decode_request(bytes.fromhex(text))
    assert isinstance(request, StreamStart | StreamData)
    assert request.problem


def test_event_does_not_start_a_stream() -> None:
    event = UpstreamMessage.EventMessage(event="e", stream={"stream_id": "s"})
    with pytest.raises(InvalidMessage, match="stream"):
        decode_request(UpstreamMessage(event_message=event).SerializeToString())


def test_error_of_a_stream_is_not_endless() -> None:
    error = StreamError("UserError", "x" * (limits.MAX_STREAM_ERROR_CHARS + 1))
    with pytest.raises(InvalidMessage, match="too long"):
        decode_request(encode_request(StreamEnd("s", error)))


# --- data ----------------------------------------------------------------------------------------


def sent(**data: object) -> Payload:
    """The payload of a send with this `MessageData`."""
    message = UpstreamMessage.SendToGroupMessage(group="g", data=MessageData(**data))  # type: ignore[arg-type]
    request = decode_request(UpstreamMessage(send_to_group_message=message).SerializeToString())
    assert isinstance(request, SendToGroup)
    return request.payload


def test_any_of_the_documented_example_passes_byte_for_byte() -> None:
    payload = sent(protobuf_data=ANY)
    assert payload == Payload(DataType.PROTOBUF, raw=ANY_BYTES)
    token = b'"Ci90eXBlLmdvb2dsZWFwaXMuY29tL2F6dXJlLndlYnB1YnN1Yi5UZXN0TWVzc2FnZRICCAE="'
    assert payload.token == token
    message = DownstreamMessage.FromString(encode_response(DataMessage(payload)))
    assert message.data_message.data.protobuf_data == ANY


def test_bytes_that_are_no_any_go_out_as_bytes_and_stay_readable() -> None:
    payload = Payload(DataType.PROTOBUF, raw=b"\xff\xff")
    message = DownstreamMessage.FromString(encode_response(DataMessage(payload, "g")))
    assert message.data_message.data.WhichOneof("data") == "binary_data"
    assert message.data_message.data.binary_data == b"\xff\xff"


@pytest.mark.parametrize("field", ["text_data", "json_data"])
def test_json_goes_into_the_field_of_the_setting(field: str) -> None:
    payload = Payload(DataType.JSON, raw=b'{"a": 1.0}')
    body = data_message_body(DataMessage(payload, "g"), JSON_FIELDS[field])
    data = DownstreamMessage.FromString(data_message(body)).data_message.data
    assert data.WhichOneof("data") == field
    assert getattr(data, field) == '{"a": 1.0}'


def test_json_data_keeps_its_text_without_outer_white_space() -> None:
    payload = sent(json_data=' {"n": 12345678901234567890, "x": 1.0} \n')
    assert payload == Payload(DataType.JSON, raw=b'{"n": 12345678901234567890, "x": 1.0}')


@pytest.mark.parametrize(
    "text", ["", " ", "{", '{"a":1} x', "nul", "null", " null ", "'a'", "\x00"]
)
def test_json_data_that_is_no_json_value_is_invalid(text: str) -> None:
    with pytest.raises(InvalidMessage):
        sent(json_data=text)


def test_json_data_nests_as_deep_as_the_data_of_a_json_client() -> None:
    deepest = limits.MAX_JSON_DEPTH - 1
    assert sent(json_data="[" * deepest + "]" * deepest).data_type is DataType.JSON
    for levels in (deepest + 1, 100_000):
        with pytest.raises(InvalidMessage, match="levels"):
            sent(json_data="[" * levels + "]" * levels)


@pytest.mark.parametrize("data", [MessageData(), None], ids=["empty", "absent"])
def test_no_data_is_invalid_unless_there_is_metadata(data: MessageData | None) -> None:
    def encoded(metadata: dict[str, str] | None) -> bytes:
        send = UpstreamMessage.SendToGroupMessage(group="g", data=data, metadata=metadata)
        return UpstreamMessage(send_to_group_message=send).SerializeToString()

    with pytest.raises(InvalidMessage, match="no data"):
        decode_request(encoded(None))
    assert decode_request(encoded({"k": "v"})) == SendToGroup(
        "g", text_payload(""), metadata={"k": "v"}
    )


# --- rules shared with JSON ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "request_",
    [
        JoinGroup(""),
        JoinGroup("  "),
        JoinGroup("g" * (limits.MAX_GROUP_NAME_CHARS + 1)),
        LeaveGroup(""),
        SendToGroup("", HI),
        SendToGroup("g", HI, ttl_seconds=limits.MAX_TTL_S + 1),
        SendToGroup("g", HI, metadata={"a b": "v"}),
        SendToGroup("g", HI, metadata={"k": "v" * (limits.MAX_METADATA_VALUE_BYTES + 1)}),
        SendEvent("", HI),
        SendEvent("1x", HI),
        SendEvent("a b", HI),
        SendEvent("e" * (limits.MAX_EVENT_NAME_CHARS + 1), HI),
        SendEvent("e", HI, metadata={"": "v"}),
    ],
    ids=repr,
)
def test_request_against_the_rules_is_invalid(request_: Request) -> None:
    with pytest.raises(InvalidMessage):
        decode_request(encode_request(request_))


def test_more_metadata_keys_than_bytes_may_be_are_refused_unread() -> None:
    keys = {f"{number:x}": "" for number in range(limits.MAX_METADATA_TOTAL_BYTES + 1)}
    with pytest.raises(InvalidMessage, match="above 8192"):
        decode_request(encode_request(SendEvent("e", HI, metadata=keys)))


@pytest.mark.parametrize(
    "request_",
    [
        JoinGroup("g" * limits.MAX_GROUP_NAME_CHARS, 0),
        JoinGroup("mit Leerzeichen/und Ümlaut 🎈"),
        SendToGroup("g", HI, 0, True, limits.MAX_TTL_S, {"k": "v", "K-2": ""}),
        SendEvent("e" * limits.MAX_EVENT_NAME_CHARS, BYTES, 0, {"k": "v"}),
        SequenceAck(MAX),
    ],
    ids=repr,
)
def test_request_at_the_limits_is_taken(request_: Request) -> None:
    assert decode_request(encode_request(request_)) == request_


@pytest.mark.parametrize(
    "text",
    ["", "FF FF", "52 00", "7A 00", "F2 01 00", "32 05 0A 02 67 31", "32 03 0A 01 FF"],
    ids=["empty", "cut", "reserved", "state", "unknown", "short", "utf-8"],
)
def test_cp_103_bytes_without_a_known_request_are_invalid(text: str) -> None:
    with pytest.raises(InvalidMessage):
        decode_request(bytes.fromhex(text))


def test_unknown_fields_are_skipped() -> None:
    extended = bytes.fromhex("32 09 0A 02 67 31 10 01 9A 06 00 F2 01 00")
    assert decode_request(extended) == JoinGroup("g1", 1)


@pytest.mark.parametrize("text", [b"", b"{", b"nonsense", b'{"a":1} x'])
def test_json_data_of_a_response_that_is_no_json_is_an_invalid_message(text: bytes) -> None:
    good = encode_response(DataMessage(Payload(DataType.JSON, raw=b'{"a":1}'), "g"))
    assert decode_response(good) is not None
    body = data_message_body(
        DataMessage(Payload(DataType.JSON, raw=text), "g"), JSON_FIELDS["json_data"]
    )
    with pytest.raises(InvalidMessage, match="json_data is no JSON"):
        decode_response(data_message(body))


def test_invocation_has_no_protobuf_form() -> None:
    with pytest.raises(AssertionError, match="no protobuf form"):
        encode_response(InvokeResponse("1"))
    with pytest.raises(UnsupportedFrame, match="no protobuf form"):
        encode_request(Invoke("1", "e"))


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (DownstreamMessage(), None),
        (
            DownstreamMessage(
                data_message=DownstreamMessage.DataMessage(
                    **{"from": "later"},  # type: ignore[arg-type]
                    data=MessageData(text_data="x"),
                )
            ),
            None,
        ),
        (DownstreamMessage(system_message=DownstreamMessage.SystemMessage()), None),
    ],
    ids=["empty", "from", "system"],
)
def test_response_of_a_later_version_is_ignored(
    message: DownstreamMessage, expected: Response | None
) -> None:
    assert decode_response(message.SerializeToString()) is expected


@pytest.mark.parametrize(
    "text", ["FF FF", "12 07 0A 05 67 72 6F 75 70", "12 08 0A 06 73 65 72 76 65 72"]
)
def test_broken_response_is_invalid(text: str) -> None:
    with pytest.raises(InvalidMessage):
        decode_response(bytes.fromhex(text))


# --- any value, any bytes ------------------------------------------------------------------------

texts = st.text(max_size=200)
names = st.text(min_size=1, max_size=50).filter(lambda text: not text.isspace())
numbers = st.integers(0, MAX)
metadata = st.none() | st.dictionaries(
    st.from_regex(r"[A-Za-z0-9-]{1,10}", fullmatch=True),
    st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=200),
    min_size=1,
    max_size=3,
)
payloads = st.one_of(
    st.builds(text_payload, texts),
    st.binary(max_size=300).map(lambda data: Payload(DataType.BINARY, raw=data)),
    st.builds(AnyMessage, type_url=texts, value=st.binary(max_size=200)).map(
        lambda message: Payload(DataType.PROTOBUF, raw=message.SerializeToString())
    ),
    st.integers().map(lambda n: Payload(DataType.JSON, raw=b'{"n":%d}' % n)),
)
streams = st.none() | st.builds(
    StreamInfo,
    names,
    numbers,
    st.booleans(),
    st.none() | st.builds(StreamError, names, texts, st.none() | names),
)
requests = st.one_of(
    st.builds(JoinGroup, names, st.none() | numbers),
    st.builds(LeaveGroup, names, st.none() | numbers),
    st.builds(
        SendToGroup,
        names,
        payloads,
        st.none() | numbers,
        st.booleans(),
        st.integers(0, limits.MAX_TTL_S),
        metadata,
    ),
    st.builds(SendEvent, st.just("e"), payloads, st.none() | numbers, metadata),
    st.builds(SequenceAck, numbers),
    st.just(Ping()),
    st.builds(
        StreamStart, names, names, st.integers(1, limits.MAX_STREAM_IDLE_TIMEOUT_MS), st.booleans()
    ),
    st.builds(StreamData, texts, numbers, payloads) | st.builds(StreamData, texts),
    st.builds(StreamEnd, texts, st.none() | st.builds(StreamError, st.just("UserError"), texts)),
)
responses = st.one_of(
    st.builds(Ack, numbers, st.none() | st.builds(ErrorDetail, names, texts)),
    st.builds(Connected, names, st.none() | names, st.none() | names),
    st.builds(Disconnected, st.none() | names),
    st.builds(StreamAck, names, numbers),
    st.builds(StreamNack, names, numbers, names, texts),
    st.builds(StreamClosed, names, st.none() | st.builds(ErrorDetail, names, texts)),
)


@given(requests)
def test_every_request_comes_back_as_it_went(request_: Request) -> None:
    assert decode_request(encode_request(request_)) == request_


@given(responses)
def test_every_response_comes_back_as_it_went(response: Response) -> None:
    assert decode_response(encode_response(response)) == response


@given(payloads, st.none() | names, metadata, streams, st.none() | numbers)
def test_bytes_put_together_by_hand_are_what_the_library_reads(
    payload: Payload,
    group: str | None,
    data: dict[str, str] | None,
    stream: StreamInfo | None,
    sequence_id: int | None,
) -> None:
    expected = DataMessage(payload, group, sequence_id=sequence_id, metadata=data, stream=stream)
    body = data_message_body(expected, JSON_FIELDS["json_data"])
    encoded = data_message(body, sequence_id)
    assert decode_response(encoded) == expected
    again = DownstreamMessage.FromString(encoded).SerializeToString(deterministic=True)
    assert len(again) == len(encoded)


@pytest.mark.parametrize("size", [0, 1, 126, 127, 128, 16_383, 16_384, 2_097_152])
def test_length_of_a_payload_of_any_size_is_right(size: int) -> None:
    payload = Payload(DataType.BINARY, raw=b"x" * size)
    for sequence_id in (None, 1, 127, 128, MAX):
        message = DataMessage(payload, "g", sequence_id=sequence_id)
        assert decode_response(encode_response(message)) == message


valid = st.sampled_from([bytes.fromhex(t) for t, _ in REQUESTS])
damaged = st.builds(
    lambda data, at, byte: data[: at % len(data)] + byte + data[at % len(data) + 1 :],
    valid,
    st.integers(0, 100),
    st.binary(max_size=2),
)


@given(st.binary(max_size=100) | damaged | st.lists(valid, max_size=4).map(b"".join))
@example(b"\x0b" * 50_000)
@example(b"\x32\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01")
def test_hostile_bytes_are_a_request_or_an_invalid_message(data: bytes) -> None:
    for decode in (decode_request, decode_response):
        with contextlib.suppress(InvalidMessage):
            decode(data)


STATES: list[Request] = [
    SetGroupState("g", {"k": "v", "": ""}, 0),
    SetGroupState("g", {}),
    SetGroupState("g"),
    SubscribeGroupState("g", 2**64 - 1),
    UnsubscribeGroupState("g"),
]
ITEMS = (GroupStateItem("c1", 1_764_000_000_000, "u1", {"k": "v"}), GroupStateItem("c2", 2))


@pytest.mark.parametrize("request_", STATES, ids=repr)
def test_state_requests_go_there_and_back(request_: Request) -> None:
    assert decode_request(encode_request(request_)) == request_


@pytest.mark.parametrize("sequence_id", [None, 1, 2**64 - 1])
@pytest.mark.parametrize("kind", [GroupStateSnapshot, GroupStateUpdate])
def test_state_responses_go_there_and_back(
    kind: type[GroupStateSnapshot | GroupStateUpdate], sequence_id: int | None
) -> None:
    response = kind("g", ITEMS, sequence_id)
    assert decode_response(encode_response(response)) == response
    assert decode_response(encode_response(kind("g", ()))) == kind("g", ())


def test_state_of_a_bad_group_is_refused() -> None:
    with pytest.raises(InvalidMessage):
        decode_request(encode_request(SetGroupState("  ")))


def test_state_of_too_many_keys_is_not_taken_whole():
    entries = {f"{number:x}": "" for number in range(3 * limits.MAX_GROUP_STATE_BYTES)}
    request = decode_request(encode_request(SetGroupState("g", entries, 1)))
    assert isinstance(request, SetGroupState)
    assert request.state is not None
    assert len(request.state) == limits.MAX_GROUP_STATE_BYTES + 1
