"""The JSON form of every message: what is accepted, what is refused, what is written."""

import base64
import json
from string import ascii_letters, digits
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hubbub.protocol import limits
from hubbub.protocol.errors import InvalidMessage
from hubbub.protocol.json_codec import (
    data_message_tail,
    decode_request,
    decode_response,
    encode_request,
    encode_response,
)
from hubbub.protocol.messages import (
    Ack,
    CancelInvocation,
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


def request(properties: dict[str, Any]) -> Request:
    return decode_request(json.dumps(properties).encode())


def sent(data_type: str, token: str) -> SendToGroup:
    """The request that sends the JSON text `token` to g1."""
    text = f'{{"type":"sendToGroup","group":"g1","dataType":"{data_type}","data":{token}}}'
    found = decode_request(text.encode())
    assert isinstance(found, SendToGroup)
    return found


def delivered(request: Request) -> bytes:
    """What a member of the group reads."""
    assert isinstance(request, SendToGroup)
    return encode_response(DataMessage(request.payload, request.group, "u1"))


def refused(data: bytes | dict[str, Any]) -> str:
    """The reason for which a message ends the connection with 1007."""
    if isinstance(data, dict):
        data = json.dumps(data).encode()
    with pytest.raises(InvalidMessage) as caught:
        decode_request(data)
    assert caught.value.close_code == 1007
    assert 0 < len(str(caught.value)) < 200
    return str(caught.value)


# --- requests: what is accepted ----------------------------------------------------------------


def test_every_request_of_the_specification_is_read() -> None:
    assert request({"type": "joinGroup", "group": "g1", "ackId": 1}) == JoinGroup("g1", 1)
    assert request({"type": "leaveGroup", "group": "g1", "ackId": 2}) == LeaveGroup("g1", 2)
    assert request(
        {
            "type": "sendToGroup",
            "group": "g1",
            "ackId": 3,
            "noEcho": True,
            "dataType": "text",
            "data": "hello",
            "ttlSeconds": 5,
        }
    ) == SendToGroup("g1", text_payload("hello"), 3, True, 5)
    assert request({"type": "event", "event": "order", "ackId": 5, "data": {"id": 7}}) == SendEvent(
        "order", Payload(DataType.JSON, raw=b'{"id": 7}'), 5
    )
    assert request({"type": "sequenceAck", "sequenceId": 5}) == SequenceAck(5)
    assert request(
        {
            "type": "invoke",
            "invocationId": "1",
            "target": "event",
            "event": "processOrder",
            "dataType": "json",
            "data": {"orderId": 1},
        }
    ) == Invoke("1", "processOrder", Payload(DataType.JSON, raw=b'{"orderId": 1}'))
    assert request({"type": "cancelInvocation", "invocationId": "1"}) == CancelInvocation("1")


def test_cp_043_data_type_absent_is_delivered_as_json() -> None:
    message = request({"type": "sendToGroup", "group": "g1", "data": {"a": 1}})
    assert b'"dataType":"json","data":{"a": 1}' in delivered(message)


@pytest.mark.parametrize(
    "token", ["12345678901234567890", "1.0", '"x"', "[]", "true", "1e999", '{ "a" :\n[1 , 2]}']
)
def test_cp_044_json_data_is_delivered_with_the_same_text(token: str) -> None:
    message = sent("json", token)
    assert f'"data":{token},'.encode() in delivered(message)
    assert message.payload.raw == token.encode()


@pytest.mark.parametrize("text", ["\U0001f600 é", "a\0b", '"quoted" \\ and\nlines', ""])
def test_cp_045_text_is_delivered_unchanged(text: str) -> None:
    for ascii_only in (True, False):
        message = sent("text", json.dumps(text, ensure_ascii=ascii_only))
        assert json.loads(delivered(message))["data"] == text
        assert message.payload.raw == text.encode()


def test_cp_046_binary_is_base64_for_json_and_bytes_for_others() -> None:
    message = sent("binary", '"AQID"')
    assert b'"dataType":"binary","data":"AQID"' in delivered(message)
    assert message.payload.raw == b"\x01\x02\x03"


def test_cp_047_protobuf_from_a_json_client_is_accepted() -> None:
    message = sent("protobuf", '"CgA="')
    assert message.payload == Payload(DataType.PROTOBUF, raw=b"\x0a\x00")
    assert b'"dataType":"protobuf","data":"CgA="' in delivered(message)


@pytest.mark.parametrize("ack_id", [18446744073709551615, 0])
def test_cp_057_smallest_and_largest_ack_id_are_read_and_acked(ack_id: int) -> None:
    assert request({"type": "joinGroup", "group": "g1", "ackId": ack_id}) == JoinGroup("g1", ack_id)
    assert json.loads(encode_response(Ack(ack_id)))["ackId"] == ack_id


@pytest.mark.parametrize("type_name", ["joinGroup", "leaveGroup", "sendToGroup", "event"])
@pytest.mark.parametrize(
    "ack_id", ["-1", "1.5", "1.0", "1e3", '"1"', "18446744073709551616", "true"]
)
def test_cp_058_ack_id_that_is_no_uint64_is_refused(type_name: str, ack_id: str) -> None:
    refused(
        f'{{"type":"{type_name}","group":"g1","event":"e1","data":1,"ackId":{ack_id}}}'.encode()
    )


def test_cp_059_null_ack_id_counts_as_absent() -> None:
    assert request({"type": "joinGroup", "group": "g1", "ackId": None}) == JoinGroup("g1", None)


def test_null_for_an_optional_property_counts_as_absent() -> None:
    message = request(
        {
            "type": "sendToGroup",
            "group": "g1",
            "ackId": None,
            "noEcho": None,
            "dataType": None,
            "data": 1,
            "ttlSeconds": None,
            "metadata": None,
        }
    )
    assert message == SendToGroup("g1", Payload(DataType.JSON, raw=b"1"))


@pytest.mark.parametrize("data", [b"{", b'{"type":"ping"', b'{"type":"ping"} x', b"\xef\xbb\xbf{}"])
def test_cp_061_broken_json_is_refused(data: bytes) -> None:
    refused(data)


@pytest.mark.parametrize("data", [b"", b"[]", b'"x"', b"null", b"1", b"   "])
def test_cp_062_what_is_no_object_is_refused(data: bytes) -> None:
    refused(data)


@pytest.mark.parametrize(
    "data", [b'{"group":"g1"}', b'{"type":1}', b"{}", b'{"type":null}', b'{"Type":"ping"}']
)
def test_cp_063_message_without_a_type_is_refused(data: bytes) -> None:
    assert "type" in refused(data)


def test_cp_064_unknown_type_is_refused() -> None:
    assert "'nope'" in refused(b'{"type":"nope","ackId":1}')


def test_reason_of_an_unknown_type_repeats_only_its_start() -> None:
    assert "x" * 21 not in refused({"type": "x" * 500})
    assert "x" * 21 not in refused(b'{"type":"' + b"x" * 500 + b'", broken')


@pytest.mark.parametrize(
    "data",
    [
        b'{"type":"JOINGROUP","group":"g1","ackId":1}',
        b'{"group":"g1","ackId":1,"type":"joingroup"}',
        b'{ "type" : "JoinGROUP" , "group" : "g1" , "ackId" : 1 }',
        b'{"type":"join\\u0047roup","group":"g1","ackId":1}',
    ],
)
def test_cp_065_type_in_any_case_is_accepted(data: bytes) -> None:
    assert decode_request(data) == JoinGroup("g1", 1)


def test_type_with_a_letter_that_only_lowers_to_a_known_one_is_refused() -> None:
    refused({"type": "sequenceAc\u212a", "sequenceId": 1})  # the Kelvin sign


@pytest.mark.parametrize("data_type", ["TEXT", "Text", "text"])
def test_data_type_in_any_case_is_accepted(data_type: str) -> None:
    assert sent(data_type, '"x"').payload == text_payload("x")


@pytest.mark.parametrize("properties", [{}, {"group": 5}, {"group": ""}, {"group": "  "}])
@pytest.mark.parametrize("type_name", ["joinGroup", "leaveGroup", "sendToGroup"])
def test_cp_066_bad_group_is_refused(type_name: str, properties: dict[str, Any]) -> None:
    refused({"type": type_name, "data": 1, **properties})
    refused({"type": type_name, "data": 1, "group": None})
    refused({"type": type_name, "data": 1, "group": "g" * 1025})


@pytest.mark.parametrize("group", ["g" * 1024, "a b", "a/b//", "Grüße \U0001f600", " x "])
def test_cp_067_group_names_are_otherwise_free(group: str) -> None:
    assert request({"type": "joinGroup", "group": group, "ackId": 1}) == JoinGroup(group, 1)


def test_cp_068_send_without_data_and_metadata_is_refused() -> None:
    refused({"type": "sendToGroup", "group": "g1"})
    refused({"type": "sendToGroup", "group": "g1", "metadata": None})
    refused({"type": "event", "event": "e1"})


def test_metadata_without_data_is_empty_text() -> None:
    metadata = {"k": "v"}
    assert request({"type": "sendToGroup", "group": "g1", "metadata": metadata}) == SendToGroup(
        "g1", text_payload(""), metadata=metadata
    )
    assert request({"type": "event", "event": "e1", "metadata": metadata}) == SendEvent(
        "e1", text_payload(""), metadata=metadata
    )
    assert request({"type": "event", "event": "e1", "metadata": {}}) == SendEvent(
        "e1", text_payload("")
    )


@pytest.mark.parametrize(
    ("more", "is_good"),
    [
        ({"stream": {"streamId": "s1"}}, True),
        ({"stream": {"streamId": "s1", "idleTimeoutMs": 1}}, True),
        ({"stream": {"streamId": ""}}, False),
        ({"stream": {"streamId": "x" * 257}}, False),
        ({"stream": {"streamId": "s1", "idleTimeoutMs": 0}}, False),
        ({"stream": {"streamId": "s1", "idleTimeoutMs": 86_400_001}}, False),
        ({"stream": {"streamId": "s1"}, "data": 1}, False),
        ({"stream": {"streamId": "s1"}, "dataType": "text"}, False),
        ({"stream": {"streamId": "s1"}, "ackId": 1}, False),
    ],
)
def test_stream_start_says_itself_what_is_wrong(more: dict[str, Any], is_good: bool) -> None:
    message = {"type": "sendToGroup", "group": "g1", "noEcho": True, **more}
    start = decode_request(json.dumps(message).encode())
    assert isinstance(start, StreamStart)
    assert (start.group, start.no_echo) == ("g1", True)
    assert (start.problem == "") is is_good


@pytest.mark.parametrize(
    "message",
    [
        {"type": "sendToGroup", "group": "g1", "stream": {"streamId": 1}},
        {"type": "sendToGroup", "group": "g1", "stream": {}},
        {"type": "sendToGroup", "group": "", "stream": {"streamId": "s1"}},
        {"type": "streamData"},
        {"type": "streamData", "streamId": "s", "streamSequenceId": -1},
        {"type": "streamData", "streamId": "s", "streamSequenceId": 2**64},
        {"type": "streamEnd", "streamId": "s", "error": {"message": "x" * 1025}},
        {"type": "setGroupState", "group": "g", "state": {"k": 1}},
        {"type": "subscribeGroupState", "group": " "},
    ],
)
def test_malformed_stream_or_state_request_is_refused(message: dict[str, Any]) -> None:
    refused(message)


STREAM_REQUESTS: list[Request] = [
    StreamStart("g", "s", 5, True),
    StreamData("s"),
    StreamData("s", 2**64 - 1, text_payload("x")),
    StreamEnd("s"),
    StreamEnd("s", StreamError("UserError", "why", "E1")),
    SetGroupState("g", {"k": "v"}, 1),
    SetGroupState("g"),
    SubscribeGroupState("g", 1),
    UnsubscribeGroupState("g"),
]


@pytest.mark.parametrize("request_", STREAM_REQUESTS, ids=repr)
def test_stream_and_state_requests_go_there_and_back(request_: Request) -> None:
    assert decode_request(encode_request(request_)) == request_


def test_fragment_without_all_its_parts_says_so() -> None:
    partly = decode_request(b'{"type":"streamData","streamId":"s","streamSequenceId":1}')
    assert isinstance(partly, StreamData)
    assert partly.problem


ITEMS = (
    GroupStateItem("c1", 1, "u1", {"k": "v"}),
    GroupStateItem("c2", 2),
)
STREAM_RESPONSES: list[Response] = [
    StreamAck("s", 2),
    StreamNack("s", 2, "InvalidSequenceId", "why"),
    StreamClosed("s"),
    StreamClosed("s", ErrorDetail("IdleTimeout", "why")),
    GroupStateSnapshot("g", ITEMS),
    GroupStateUpdate("g", ITEMS, 7),
    DataMessage(text_payload("x"), "g", stream=StreamInfo("s", 1)),
    DataMessage(
        text_payload(""),
        "g",
        "u",
        3,
        stream=StreamInfo("s", 2, True, StreamError("UserError", "why", "E1")),
    ),
]


@pytest.mark.parametrize("response", STREAM_RESPONSES, ids=repr)
def test_stream_and_state_responses_go_there_and_back(response: Response) -> None:
    assert decode_response(encode_response(response)) == response


@pytest.mark.parametrize(
    ("data_type", "token"),
    [
        ("text", "5"),
        ("text", "null"),
        ("text", '["a"]'),
        ("binary", '"***"'),
        ("binary", '"AQI"'),
        ("binary", '"AQ-_"'),
        ("binary", '"AQID\\n"'),
        ("binary", '"AQ==AQ=="'),
        ("binary", "5"),
        ("protobuf", '"="'),
        ("protobuf", "{}"),
        ("xml", '"x"'),
        ("", '"x"'),
        ("te\u212at", '"x"'),
        ("json", "null"),
        ("json", " null "),
    ],
)
def test_cp_069_data_that_does_not_fit_its_type_is_refused(data_type: str, token: str) -> None:
    for head in ('"sendToGroup","group":"g1"', '"event","event":"e1"'):
        refused(f'{{"type":{head},"dataType":"{data_type}","data":{token}}}'.encode())


def test_cp_069_data_type_that_is_no_string_is_refused() -> None:
    refused({"type": "sendToGroup", "group": "g1", "dataType": 1, "data": "x"})


@pytest.mark.parametrize("value", ["yes", 1, 0, "true", []])
def test_cp_070_no_echo_that_is_no_boolean_is_refused(value: Any) -> None:
    refused({"type": "sendToGroup", "group": "g1", "data": 1, "noEcho": value})


@pytest.mark.parametrize("event", ["1x", "a b", "e" * 129, "", "é", "e\n", None, 5])
def test_cp_071_bad_event_name_is_refused(event: Any) -> None:
    refused({"type": "event", "event": event, "data": 1})
    refused({"type": "invoke", "invocationId": "1", "target": "event", "event": event})


def test_longest_event_name_is_accepted() -> None:
    name = "e" + "._-9Z" * 25 + "ab"
    assert len(name) == limits.MAX_EVENT_NAME_CHARS
    assert request({"type": "event", "event": name, "data": 1}) == SendEvent(
        name, Payload(DataType.JSON, raw=b"1")
    )


def test_cp_072_unknown_property_is_ignored() -> None:
    assert request({"type": "joinGroup", "group": "g1", "x": {"y": [1]}}) == JoinGroup("g1")
    assert request({"type": "ping", "ackId": "x"}) == Ping()


@pytest.mark.parametrize(
    "data",
    [
        b'{"type":"sendToGroup","group":"g1","data":"\xff"}',
        b'{"type":"sendToGroup","group":"g1","data":{"a":"\xc3\x28"}}',
        b'{"type":"ping","\xff":1}',
        b'{"type":"ping","x":"\xed\xa0\x80"}',
    ],
)
def test_cp_074_bad_utf8_anywhere_is_refused(data: bytes) -> None:
    assert "UTF-8" in refused(data)


def test_cp_075_ping_is_answered_by_a_pong_without_ack() -> None:
    assert decode_request(b'{"type":"ping"}') == Ping()
    assert encode_response(Pong()) == b'{"type":"pong"}'


def test_cp_082_metadata_reaches_the_receiver() -> None:
    message = request({"type": "sendToGroup", "group": "g1", "data": 1, "metadata": {"k": "v"}})
    assert isinstance(message, SendToGroup)
    tail = data_message_tail(message.payload, "g1", "u1", message.metadata)
    assert tail.endswith(b',"metadata":{"k":"v"}}')


@pytest.mark.parametrize(
    "metadata",
    [
        {"k": 1},
        {"k": None},
        {"k": ["v"]},
        {"a key": "v"},
        {"": "v"},
        {"kö": "v"},
        {"k\n": "v"},
        {"k": "ü"},
        {"k": "a\r\nb: c"},
        {"k": "a\0"},
        {"k" * 257: "v"},
        {"k": "v" * 1025},
        {f"k{n}": "v" * 1024 for n in range(8)},
        ["k"],
        "k",
    ],
)
def test_cp_083_bad_metadata_is_refused(metadata: Any) -> None:
    refused({"type": "sendToGroup", "group": "g1", "data": 1, "metadata": metadata})
    refused({"type": "event", "event": "e1", "data": 1, "metadata": metadata})


@pytest.mark.parametrize("ttl", [301, -1, 1.5, "5", True])
def test_cp_083_bad_ttl_is_refused(ttl: Any) -> None:
    refused({"type": "sendToGroup", "group": "g1", "data": 1, "ttlSeconds": ttl})


def test_largest_metadata_and_ttl_are_accepted() -> None:
    key = "!#$%&'*+-.^_`|~09azAZ" + "k" * (limits.MAX_METADATA_KEY_BYTES - 21)
    metadata = {key: "v" * limits.MAX_METADATA_VALUE_BYTES}
    metadata |= {f"{n:02}": "v" * 1022 for n in range(6)}
    rest = limits.MAX_METADATA_TOTAL_BYTES - sum(len(k) + len(v) for k, v in metadata.items())
    metadata["z"] = "~" * (rest - 1)
    message = {"type": "sendToGroup", "group": "g1", "data": 1, "ttlSeconds": 300}
    assert request({**message, "metadata": metadata}) == SendToGroup(
        "g1", Payload(DataType.JSON, raw=b"1"), ttl_seconds=300, metadata=metadata
    )
    metadata["z"] += "~"
    refused({**message, "metadata": metadata})


@pytest.mark.parametrize(
    "data",
    [
        b'{"type":"sequenceAck","sequenceId":"5"}',
        b'{"type":"sequenceAck"}',
        b'{"type":"sequenceAck","sequenceId":null}',
        b'{"type":"sequenceAck","sequenceId":-1}',
        b'{"type":"sequenceAck","sequenceId":18446744073709551616}',
    ],
)
def test_cp_097_bad_sequence_ack_is_refused(data: bytes) -> None:
    refused(data)


@pytest.mark.parametrize(
    "changes",
    [
        {"invocationId": ""},
        {"invocationId": 1},
        {"invocationId": "i" * (limits.MAX_INVOCATION_ID_CHARS + 1)},
        {"target": None},
        {"target": "upstream"},
        {"dataType": "json"},
        {"data": 1},
        {"dataType": "json", "data": None},
        {"dataType": "xml", "data": 1},
    ],
)
def test_bad_invoke_is_refused(changes: dict[str, Any]) -> None:
    good = {"type": "invoke", "invocationId": "1", "target": "event", "event": "e1"}
    assert request(good) == Invoke("1", "e1")
    refused({**good, **changes})


def test_invoke_without_a_needed_property_is_refused() -> None:
    good = {"type": "invoke", "invocationId": "1", "target": "event", "event": "e1"}
    for name in good:
        refused({key: value for key, value in good.items() if key != name})


def test_invoke_target_in_any_case_and_longest_id_are_accepted() -> None:
    longest = "i" * limits.MAX_INVOCATION_ID_CHARS
    message = {"type": "invoke", "invocationId": longest, "target": "EVENT", "event": "e1"}
    assert request(message) == Invoke(longest, "e1")
    assert request({"type": "cancelInvocation", "invocationId": longest}) == CancelInvocation(
        longest
    )
    refused({"type": "cancelInvocation", "invocationId": longest + "i"})


def test_last_of_two_equal_properties_counts() -> None:
    assert decode_request(b'{"type":"joinGroup","group":"a","group":"b"}') == JoinGroup("b")
    assert decode_request(b'{"type":"ping","type":"joinGroup","group":"b"}') == JoinGroup("b")
    assert decode_request(b'{"type":"joinGroup","group":"b","type":"PING"}') == Ping()
    assert decode_request(b'{"type":"joinGroup","group":5,"group":"b"}') == JoinGroup("b")
    assert sent("json", '1,"data":2').payload.raw == b"2"


# --- requests: hostile ---------------------------------------------------------------------------


def nested(levels: int, opening: str = "[", closing: str = "]") -> str:
    """A value that makes a message with it nested `levels` deep, the message included."""
    return opening * (levels - 1) + closing * (levels - 1)


def test_deepest_message_is_accepted_and_one_level_more_is_refused() -> None:
    assert sent("json", nested(limits.MAX_JSON_DEPTH))
    assert sent("json", nested(limits.MAX_JSON_DEPTH, '{"a":', "}").replace(":}", ":1}"))
    assert "deep" in refused(f'{{"type":"ping","x":{nested(limits.MAX_JSON_DEPTH + 1)}}}'.encode())
    with pytest.raises(InvalidMessage, match="deep"):
        sent("json", nested(limits.MAX_JSON_DEPTH + 1))
    with pytest.raises(InvalidMessage, match="deep"):
        sent("json", nested(limits.MAX_JSON_DEPTH + 1, '[{"a":', "}]").replace(":}", ":1}"))


def test_many_brackets_that_are_not_deep_are_accepted() -> None:
    assert sent("json", "[" + ",".join(['{"a":[]}'] * 1000) + "]")
    assert sent("json", f"[[],[],{nested(limits.MAX_JSON_DEPTH - 1)}]")
    assert sent("text", json.dumps("[{" * 1000))


@pytest.mark.parametrize("text", ['"', "\\", '\\"', '"\\', "\\\\", "\n", '""'])
def test_brackets_in_texts_and_behind_escapes_do_not_count(text: str) -> None:
    assert sent("json", json.dumps([text, "[" * 100]))
    with pytest.raises(InvalidMessage, match="deep"):
        sent("json", f"[{json.dumps(text)},{nested(limits.MAX_JSON_DEPTH)}]")


@pytest.mark.parametrize("opening", ["[", '{"a":', '[{"a":'])
def test_ten_thousand_open_brackets_are_refused(opening: str) -> None:
    for closing in ("", opening.count("{") * "}" + opening.count("[") * "]"):
        text = opening * 10_000 + closing * 10_000
        refused(text.encode())
        refused(f'{{"type":"ping","x":{text}}}'.encode())
        refused(f'{{"type":"sendToGroup","group":"g","data":{text}}}'.encode())
        refused(f'{{"type":"PING","x":{text}}}'.encode())


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda children: st.lists(children) | st.dictionaries(st.text(), children),
    max_leaves=20,
)
known_names = st.sampled_from(
    "type group event ackId noEcho dataType data ttlSeconds metadata invocationId target sequenceId"
    " stream from success error connectionId".split()
)
known_values = st.sampled_from([1, 0, -1, True, {}]) | st.sampled_from(
    "joinGroup leaveGroup sendToGroup event ping PING sequenceAck invoke cancelInvocation json text"
    " binary protobuf g1 AQID ack system message pong invokeResponse group server connected".split()
)
messages_of_known_words = st.dictionaries(known_names, known_values | json_values).map(
    lambda properties: json.dumps(properties).encode()
)


@given(st.binary() | messages_of_known_words)
@example(b'{"type":"sendToGroup","group":"g","dataType":"text","data":"\\ud800"}')
@example(b'{"type":"sendToGroup","group":"g","dataType":"text","data":"\\ud800x"}')
@example(b'{"type":"sendToGroup","group":"g","dataType":"text","data":"\\udc00"}')
@example(b'{"type":"sendToGroup","group":"g","dataType":"text","data":"\\ud800\\ud800"}')
@example(b'{"type":"joinGroup","group":"\\ud800"}')
@example(b'{"type":"joinGroup","group":"g","ackId":' + b"9" * 5000 + b"}")
@example(b'{"type":"\\ud800"}')
def test_hostile_request_raises_nothing_but_invalid_message(data: bytes) -> None:
    try:
        found = decode_request(data)
    except InvalidMessage:
        return
    assert decode_request(encode_request(found)) == found


@given(st.binary() | messages_of_known_words)
@example(b'{"type":"message","from":"server","dataType":"text","data":"\\ud800"}')
@example(b'{"type":"x","y":' + b"[" * 100_000)
def test_hostile_response_raises_nothing_but_invalid_message(data: bytes) -> None:
    try:
        found = decode_response(data)
    except InvalidMessage:
        return
    assert found is None or decode_response(encode_response(found)) == found


@given(st.text())
@example('\\ud800"')
def test_every_text_that_is_accepted_can_be_read(text: str) -> None:
    """An escape that no receiver could read must not get past the service."""
    try:
        payload = sent("text", f'"{text}"').payload
    except InvalidMessage:
        return
    assert payload.raw.decode() == json.loads(payload.token)


def test_payload_does_not_keep_the_message_alive() -> None:
    data = b'{"type":"sendToGroup","group":"g1","data":[1,2]}'
    message = decode_request(data)
    assert isinstance(message, SendToGroup)
    assert type(message.payload.token) is bytes
    assert message.payload.token == b"[1,2]"


# --- there and back ------------------------------------------------------------------------------

texts = st.text(st.characters(exclude_categories=["Cs"]))
group_names = texts.filter(lambda text: 0 < len(text) <= 1024 and not text.isspace())
event_names = st.from_regex(r"[A-Za-z][A-Za-z0-9_.-]{0,127}", fullmatch=True)
ids = st.integers(0, limits.MAX_ACK_ID)
payloads = st.one_of(
    json_values.filter(lambda value: value is not None).map(
        lambda value: Payload(DataType.JSON, raw=json.dumps(value).encode())
    ),
    texts.map(text_payload),
    st.binary().map(lambda data: Payload(DataType.BINARY, raw=data)),
    st.binary().map(lambda data: Payload(DataType.PROTOBUF, raw=data)),
)
metadatas = st.none() | st.dictionaries(
    st.text(ascii_letters + digits + "!#$%&'*+-.^_`|~", min_size=1, max_size=20),
    st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=50),
    min_size=1,
    max_size=5,
)
invocation_ids = texts.filter(lambda text: 0 < len(text) <= limits.MAX_INVOCATION_ID_CHARS)
ack_ids = st.none() | ids
requests = st.one_of(
    st.builds(JoinGroup, group_names, ack_ids),
    st.builds(LeaveGroup, group_names, ack_ids),
    st.builds(
        SendToGroup, group_names, payloads, ack_ids, st.booleans(), st.integers(0, 300), metadatas
    ),
    st.builds(SendEvent, event_names, payloads, ack_ids, metadatas),
    st.just(Ping()),
    st.builds(SequenceAck, ids),
    st.builds(Invoke, invocation_ids, event_names, st.none() | payloads),
    st.builds(CancelInvocation, invocation_ids),
)
filled = texts.filter(bool)
error_details = st.builds(ErrorDetail, texts, texts)
responses = st.one_of(
    st.builds(Ack, ids, st.none() | error_details),
    st.builds(Connected, texts, st.none() | filled, st.none() | texts),
    st.builds(Disconnected, st.none() | texts),
    st.builds(DataMessage, payloads, group_names, st.none() | filled, ack_ids, metadatas),
    st.builds(DataMessage, payloads, st.none(), st.none(), ack_ids, metadatas),
    st.just(Pong()),
    st.builds(InvokeResponse, texts, st.none() | payloads),
    st.builds(InvokeResponse, texts, st.none(), error_details),
)


@given(requests)
def test_request_there_and_back_is_the_same(request: Request) -> None:
    data = encode_request(request)
    json.loads(data)
    assert decode_request(data) == request


@given(responses)
def test_response_there_and_back_is_the_same(response: Response) -> None:
    data = encode_response(response)
    json.loads(data)
    assert decode_response(data) == response


@given(responses)
def test_response_is_a_json_object_without_null(response: Response) -> None:
    written = json.loads(encode_response(response))
    assert all(value is not None for name, value in written.items() if name != "data")


# --- requests: exact text ------------------------------------------------------------------------


def test_requests_are_written_as_the_service_documents_them() -> None:
    hello = text_payload("hello")
    assert encode_request(JoinGroup("g1", 1)) == b'{"type":"joinGroup","group":"g1","ackId":1}'
    assert encode_request(LeaveGroup("g1")) == b'{"type":"leaveGroup","group":"g1"}'
    assert encode_request(SendToGroup("g1", hello, 3, True, 9, {"k": "v"})) == (
        b'{"type":"sendToGroup","group":"g1","ackId":3,"noEcho":true,"dataType":"text",'
        b'"data":"hello","ttlSeconds":9,"metadata":{"k":"v"}}'
    )
    assert encode_request(SendToGroup("g1", hello)) == (
        b'{"type":"sendToGroup","group":"g1","noEcho":false,"dataType":"text","data":"hello"}'
    )
    assert encode_request(SendEvent("order", Payload(DataType.JSON, raw=b'{"id": 7}'), 5)) == (
        b'{"type":"event","event":"order","ackId":5,"dataType":"json","data":{"id": 7}}'
    )
    assert encode_request(Ping()) == b'{"type":"ping"}'
    assert encode_request(SequenceAck(5)) == b'{"type":"sequenceAck","sequenceId":5}'
    assert encode_request(Invoke("1", "e1", hello)) == (
        b'{"type":"invoke","invocationId":"1","target":"event","event":"e1",'
        b'"dataType":"text","data":"hello"}'
    )
    assert (
        encode_request(CancelInvocation("1")) == b'{"type":"cancelInvocation","invocationId":"1"}'
    )


# --- responses: exact text -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("response", "text"),
    [
        (Ack(1), b'{"type":"ack","ackId":1,"success":true}'),
        (
            Ack(1, ErrorDetail("Forbidden", "no permission to join g1")),
            b'{"type":"ack","ackId":1,"success":false,'
            b'"error":{"name":"Forbidden","message":"no permission to join g1"}}',
        ),
        (
            DataMessage(Payload(DataType.JSON, raw=b'{"hello":"world"}'), "g1", "u1"),
            b'{"type":"message","from":"group","group":"g1","dataType":"json",'
            b'"data":{"hello":"world"},"fromUserId":"u1"}',
        ),
        (
            DataMessage(text_payload("hi"), "g1", "u2", 1),
            b'{"sequenceId":1,"type":"message","from":"group","group":"g1","dataType":"text",'
            b'"data":"hi","fromUserId":"u2"}',
        ),
        (
            DataMessage(text_payload("Hello World")),
            b'{"type":"message","from":"server","dataType":"text","data":"Hello World"}',
        ),
        (Connected("c1"), b'{"type":"system","event":"connected","connectionId":"c1"}'),
        (
            Connected("c1", "u1", "<opaque>"),
            b'{"type":"system","event":"connected","userId":"u1","connectionId":"c1",'
            b'"reconnectionToken":"<opaque>"}',
        ),
        (Disconnected(), b'{"type":"system","event":"disconnected"}'),
        (
            Disconnected("closed by the administrator"),
            b'{"type":"system","event":"disconnected","message":"closed by the administrator"}',
        ),
        (Pong(), b'{"type":"pong"}'),
        (
            InvokeResponse("1", Payload(DataType.JSON, raw=b'{"status":"ok"}')),
            b'{"type":"invokeResponse","invocationId":"1","success":true,"dataType":"json",'
            b'"data":{"status":"ok"}}',
        ),
        (
            InvokeResponse("1", error=ErrorDetail("InternalServerError", "...")),
            b'{"type":"invokeResponse","invocationId":"1","success":false,'
            b'"error":{"name":"InternalServerError","message":"..."}}',
        ),
    ],
)
def test_responses_are_written_as_the_service_documents_them(
    response: Response, text: bytes
) -> None:
    assert encode_response(response) == text


def test_tail_is_the_same_for_every_receiver() -> None:
    payload = text_payload("hi")
    tail = data_message_tail(payload, "g1", None, None)
    assert b"{" + tail == encode_response(DataMessage(payload, "g1"))
    assert b'{"sequenceId":7,' + tail == encode_response(DataMessage(payload, "g1", sequence_id=7))


def test_tail_puts_data_in_as_it_came() -> None:
    token = b'{ "a" : 1.0,"b":"\\u0041" }'
    assert token in data_message_tail(Payload(DataType.JSON, token=token), None, None, None)
    escaped = b'"\\u0041\\/"'
    assert escaped in data_message_tail(Payload(DataType.TEXT, token=escaped), None, None, None)


# --- responses: read tolerantly ------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [
        b'{"type":"later","x":1}',
        b'{"type":"message","from":"moon","dataType":"text","data":"x"}',
        b'{"type":"system","event":"later"}',
        b'{"type":"message","from":"server","dataType":"later","data":"x"}',
        b'{"type":"invokeResponse","invocationId":"1","success":true,"dataType":"later","data":1}',
    ],
)
def test_cp_130_unknown_kind_of_response_is_ignored(data: bytes) -> None:
    assert decode_response(data) is None


@pytest.mark.parametrize(
    ("data", "response"),
    [
        (b'{"type":"pong","x":{"y":1}}', Pong()),
        (b'{"type":"ack","ackId":1,"success":true,"later":[]}', Ack(1)),
        (b'{"type":"ack","ackId":1,"success":true,"error":"not read"}', Ack(1)),
        (b'{"type":"ack","ackId":1,"success":true,"error":null}', Ack(1)),
        (
            b'{"type":"ack","ackId":1,"success":false,"error":{"name":"Later","code":7}}',
            Ack(1, ErrorDetail("Later")),
        ),
    ],
)
def test_cp_130_unknown_property_of_a_response_is_ignored(data: bytes, response: Response) -> None:
    assert decode_response(data) == response


@pytest.mark.parametrize("user_id", ["", ',"userId":null', ',"userId":""'])
def test_anonymous_connected_may_say_so_in_three_ways(user_id: str) -> None:
    data = f'{{"type":"system","event":"connected","connectionId":"c1"{user_id}}}'
    assert decode_response(data.encode()) == Connected("c1")


@pytest.mark.parametrize("user_id", ["", ',"fromUserId":null', ',"fromUserId":""'])
def test_message_of_an_anonymous_user_may_say_so_in_three_ways(user_id: str) -> None:
    data = f'{{"type":"message","from":"group","group":"g","dataType":"text","data":"x"{user_id}}}'
    assert decode_response(data.encode()) == DataMessage(text_payload("x"), "g")


def test_json_null_from_the_service_is_a_message() -> None:
    data = b'{"type":"message","from":"server","dataType":"json","data":null}'
    assert decode_response(data) == DataMessage(Payload(DataType.JSON, raw=b"null"))


def test_large_and_deep_message_from_the_service_is_read() -> None:
    payload = Payload(DataType.JSON, raw=b"[" * 200 + b'"' + b"x" * 2_000_000 + b'"' + b"]" * 200)
    assert decode_response(encode_response(DataMessage(payload))) == DataMessage(payload)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"{}",
        b'{"type":1}',
        b'{"type":"pong"',
        b'{"type":"ack","success":true}',
        b'{"type":"ack","ackId":1}',
        b'{"type":"ack","ackId":"1","success":true}',
        b'{"type":"ack","ackId":1,"success":"yes"}',
        b'{"type":"ack","ackId":1,"success":false}',
        b'{"type":"ack","ackId":1,"success":false,"error":{}}',
        b'{"type":"system","event":"connected"}',
        b'{"type":"system"}',
        b'{"type":"message","dataType":"text","data":"x"}',
        b'{"type":"message","from":"group","dataType":"text","data":"x"}',
        b'{"type":"message","from":"server","dataType":"text","data":5}',
        b'{"type":"message","from":"server","dataType":"text"}',
        b'{"type":"message","from":"server","dataType":"text","data":"x","sequenceId":"5"}',
        b'{"type":"message","from":"server","dataType":"text","data":"\xff"}',
        b'{"type":"invokeResponse","invocationId":"1"}',
        b'{"type":"invokeResponse","invocationId":"1","success":null}',
        b'{"type":"invokeResponse","invocationId":"1","success":true,"dataType":"json"}',
        b'{"type":"pong","x":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    ],
)
def test_response_that_lacks_what_is_needed_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidMessage):
        decode_response(data)


def test_base64_of_every_length_is_read() -> None:
    for size in range(20):
        data = bytes(range(size))
        token = json.dumps(base64.b64encode(data).decode())
        assert sent("binary", token).payload == Payload(DataType.BINARY, raw=data)
