import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubbub.protocol import cloudevents, limits
from hubbub.protocol.cloudevents import ConnectAnswer, ConnectRequest, EventAnswer
from hubbub.protocol.errors import UpstreamError
from hubbub.protocol.messages import DataType, Payload, text_payload

CONNECTION_ID = "0f9c97a2f0bf4706afe87a14e0797b11"
PRIMARY = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789ABCDEFGH"
PRIMARY_HEX = "8805d739a12d46f22bcb15382a8c1c2bf38ae8f04566017bd613d5ef47cafe2c"
SECONDARY = "secondary-key-secondary-key-secondary-key-00"
SECONDARY_HEX = "643d26c8a572f85224a977c9e752bb72705bc6fd55cc16748c63e8e7b33f0e85"


def make_headers(event: str = "message", **changes: object) -> dict[str, str]:
    values: dict[str, object] = {
        "is_system": False,
        "content_type": "text/plain",
        "hub": "chat",
        "connection_id": CONNECTION_ID,
        "origin": "service.example",
        "event_id": 2,
        "time": "2026-01-01T00:00:00Z",
        "signature": "sha256=00",
    }
    return cloudevents.event_headers(event, **(values | changes))  # type: ignore[arg-type]


# --- requests


def test_ue_014_signature_with_two_keys_has_both_parts_primary_first() -> None:
    assert cloudevents.signature(CONNECTION_ID, [PRIMARY, SECONDARY]) == (
        f"sha256={PRIMARY_HEX},sha256={SECONDARY_HEX}"
    )


def test_ue_015_signature_with_one_key_has_one_part() -> None:
    assert cloudevents.signature(CONNECTION_ID, [PRIMARY]) == f"sha256={PRIMARY_HEX}"


def test_time_is_utc_without_fraction() -> None:
    assert cloudevents.utc_time(1767225599.9) == "2025-12-31T23:59:59Z"


def test_headers_of_a_bare_event_are_the_always_headers() -> None:
    assert make_headers() == {
        "WebHook-Request-Origin": "service.example",
        "Content-Type": "text/plain",
        "ce-specversion": "1.0",
        "ce-awpsversion": "1.0",
        "ce-type": "azure.webpubsub.user.message",
        "ce-source": f"/hubs/chat/client/{CONNECTION_ID}",
        "ce-id": "2",
        "ce-time": "2026-01-01T00:00:00Z",
        "ce-hub": "chat",
        "ce-connectionId": CONNECTION_ID,
        "ce-eventName": "message",
        "ce-signature": "sha256=00",
    }


def test_headers_with_everything_known_carry_it() -> None:
    headers = make_headers(
        user_id="Zoë",
        subprotocol="json.webpubsub.azure.v1",
        state="abc",
        invocation_id="7",
        traceparent="00-aa-bb-01",
        metadata={"Trace-Id": "x"},
    )
    assert headers["ce-userId"] == "Zoë"
    assert headers["ce-subprotocol"] == "json.webpubsub.azure.v1"
    assert headers["ce-connectionState"] == "abc"
    assert headers["ce-invocationId"] == "7"
    assert headers["traceparent"] == "00-aa-bb-01"
    assert headers["X-WebPubSub-Metadata-trace-id"] == "x"
    cloudevents.check_headers(headers)


@pytest.mark.parametrize("empty", [None, ""])
def test_headers_with_empty_user_or_state_leave_them_out(empty: str | None) -> None:
    headers = make_headers(user_id=empty, state=empty or "", subprotocol=empty)
    assert not {"ce-userId", "ce-connectionState", "ce-subprotocol"} & headers.keys()


def test_system_event_has_the_system_type() -> None:
    headers = make_headers("connected", is_system=True)
    assert headers["ce-type"] == "azure.webpubsub.sys.connected"


@pytest.mark.parametrize(
    "change",
    [
        {"invocation_id": "1\r\nX-Evil: 1"},
        {"invocation_id": "a\x00"},
        {"invocation_id": "ü"},
        {"origin": "exämple"},
        {"user_id": "a\nb"},
        {"user_id": "\ud800"},
        {"metadata": {"a": "b\rc"}},
        {"metadata": {"a": "ü"}},
        {"metadata": {"a b": "c"}},
        {"metadata": {"a:b": "c"}},
        {"metadata": {"a\r\nb": "c"}},
    ],
)
def test_check_headers_refuses_what_must_not_reach_the_wire(change: dict[str, object]) -> None:
    with pytest.raises(UpstreamError):
        cloudevents.check_headers(make_headers("message", **change))


@pytest.mark.parametrize(
    ("data_type", "expected"),
    [
        (DataType.TEXT, "text/plain"),
        (DataType.JSON, "application/json"),
        (DataType.BINARY, "application/octet-stream"),
        (DataType.PROTOBUF, "application/x-protobuf"),
    ],
)
def test_content_type_follows_the_data_type(data_type: DataType, expected: str) -> None:
    assert cloudevents.content_type(Payload(data_type, raw=b"1")) == expected


def test_ue_017_connect_body_keeps_arrays_and_leaves_out_secrets() -> None:
    request = ConnectRequest(
        claims={"sub": ["alice"], "exp": ["1790000000"]},
        query={"x": ["1", "2"], "access_token": ["t"]},
        headers={
            "Host": ["h"],
            "authorization": ["Bearer t"],
            "Authorization": ["Bearer t"],
            "x-asrs-internal-a": ["b"],
        },
        subprotocols=["a", "json.webpubsub.azure.v1"],
    )
    assert json.loads(cloudevents.connect_body(request)) == {
        "claims": {"sub": ["alice"], "exp": ["1790000000"]},
        "query": {"x": ["1", "2"]},
        "headers": {"Host": ["h"]},
        "subprotocols": ["a", "json.webpubsub.azure.v1"],
        "clientCertificates": [],
    }


def test_connect_body_with_lone_surrogate_in_a_claim_is_still_json() -> None:
    body = cloudevents.connect_body(ConnectRequest(claims={"x": ["\ud800"]}))
    assert json.loads(body.decode("ascii"))["claims"] == {"x": ["\ud800"]}


def test_disconnected_body_holds_the_reason_or_null() -> None:
    assert cloudevents.disconnected_body("bye") == b'{"reason":"bye"}'
    assert cloudevents.disconnected_body(None) == b'{"reason":null}'


# --- answers


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["*"], True),
        (["Service.Example"], True),
        (["other.example", "service.example"], True),
        (["other.example, service.example"], True),
        ([], False),
        (["other.example"], False),
        (["service.example.evil"], False),
    ],
)
def test_origin_is_allowed_by_star_or_name(values: list[str], expected: bool) -> None:
    assert cloudevents.is_origin_allowed(values, "service.example") is expected


def test_state_is_the_last_header_and_none_without() -> None:
    assert cloudevents.read_state([]) is None
    assert cloudevents.read_state([""]) == ""
    assert cloudevents.read_state(["a", "b"]) == "b"


def test_state_at_the_limit_is_kept_and_above_refused() -> None:
    largest = "s" * limits.MAX_CONNECTION_STATE_BYTES
    assert cloudevents.read_state([largest]) == largest
    with pytest.raises(UpstreamError):
        cloudevents.read_state([largest + "s"])


def test_state_outside_ascii_is_refused() -> None:
    with pytest.raises(UpstreamError):
        cloudevents.read_state(["ü"])


@pytest.mark.parametrize("body", [b"", b"null", b"{}", b' {"other":1} '])
def test_connect_answer_without_overrides_keeps_all(body: bytes) -> None:
    assert cloudevents.read_connect_answer(body, []) == ConnectAnswer()


@pytest.mark.parametrize("member", ["subprotocol", "subProtocol", "SUBPROTOCOL"])
def test_connect_answer_member_names_compare_without_case(member: str) -> None:
    body = json.dumps({member: "a", "USERID": "bob", "Groups": ["g"], "roles": ["r"]}).encode()
    assert cloudevents.read_connect_answer(body, ["a"]) == ConnectAnswer("bob", ("r",), ("g",), "a")


def test_ue_022_ue_023_ue_024_connect_answer_tells_empty_from_absent() -> None:
    body = b'{"userId":"","roles":[],"groups":[],"subprotocol":""}'
    assert cloudevents.read_connect_answer(body, []) == ConnectAnswer("", (), None, None)


@pytest.mark.parametrize(
    "body",
    [
        b"{bad",
        b"[]",
        b'"x"',
        b'{"userId":1}',
        b'{"userId":"a\\nb"}',
        b'{"roles":"r"}',
        b'{"roles":[1]}',
        b'{"groups":["' + b"g" * 1025 + b'"]}',
        b'{"groups":[" "]}',
        b'{"subprotocol":"b"}',
        b'{"subprotocol":1}',
        b'{"userId":"' + b"u" * 1025 + b'"}',
        b"[" * 100_000 + b"]" * 100_000,
        b'{"userId":"\xff"}',
    ],
)
def test_connect_answer_against_the_rules_is_refused(body: bytes) -> None:
    with pytest.raises(UpstreamError):
        cloudevents.read_connect_answer(body, ["a"])


@pytest.mark.parametrize(
    ("content_type", "body", "data_type"),
    [
        ("text/plain", b"hi", DataType.TEXT),
        ("Text/Plain; charset=utf-8", "hé".encode(), DataType.TEXT),
        ("application/json;charset=utf-8", b'{"a":1}', DataType.JSON),
        ("application/octet-stream", b"\xff", DataType.BINARY),
        (None, b"\xff", DataType.BINARY),
        ("", b"\xff", DataType.BINARY),
        ("application/x-protobuf", b"\x0a", DataType.PROTOBUF),
    ],
)
def test_event_answer_takes_its_data_type_from_the_content_type(
    content_type: str | None, body: bytes, data_type: DataType
) -> None:
    answer = cloudevents.read_event_answer(content_type, body, [])
    assert answer == EventAnswer(Payload(data_type, raw=body))


@pytest.mark.parametrize("content_type", [None, "application/octet-stream", "text/html"])
def test_event_answer_without_body_sends_nothing(content_type: str | None) -> None:
    assert cloudevents.read_event_answer(content_type, b"", []) == EventAnswer()


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("text/html", b"<p>"),
        ("application/json", b"{bad"),
        ("application/json", b'"\xff"'),
        ("application/json", b"[" * 100_000 + b"]" * 100_000),
        ("text/plain", b"\xff"),
    ],
)
def test_event_answer_that_no_client_can_get_is_refused(content_type: str, body: bytes) -> None:
    with pytest.raises(UpstreamError):
        cloudevents.read_event_answer(content_type, body, [])


def test_event_answer_metadata_is_lower_cased_trimmed_and_last_wins() -> None:
    headers = [
        ("X-WebPubSub-Metadata-Trace", "1"),
        ("x-webpubsub-metadata-trace", " 2 "),
        ("X-Other", "3"),
    ]
    assert cloudevents.read_event_answer("text/plain", b"x", headers) == EventAnswer(
        text_payload("x"), {"trace": "2"}
    )


def test_event_answer_with_metadata_only_is_an_empty_text() -> None:
    headers = [("X-WebPubSub-Metadata-a", "1")]
    assert cloudevents.read_event_answer(None, b"", headers) == EventAnswer(
        text_payload(""), {"a": "1"}
    )


@pytest.mark.parametrize(
    ("count", "key_length", "value_length", "is_valid"),
    [
        (1, 256, 1024, True),
        (1, 257, 1, False),
        (1, 1, 1025, False),
        (8, 4, 1020, True),
        (8, 5, 1020, False),
    ],
)
def test_event_answer_metadata_at_its_limits(
    count: int, key_length: int, value_length: int, is_valid: bool
) -> None:
    headers = [
        (f"X-WebPubSub-Metadata-{number}".ljust(21 + key_length, "k"), "v" * value_length)
        for number in range(count)
    ]
    if is_valid:
        answer = cloudevents.read_event_answer(None, b"", headers)
        assert answer.metadata is not None
        assert len(answer.metadata) == count
    else:
        with pytest.raises(UpstreamError):
            cloudevents.read_event_answer(None, b"", headers)


@pytest.mark.parametrize(
    ("content_type", "body", "any_text", "expected"),
    [
        ("text/plain; charset=utf-8", b"no", False, "no"),
        ("text/html", b"no", True, "no"),
        ("text/html", b"no", False, ""),
        ("application/json", b"{}", True, ""),
        (None, b"no", True, ""),
        ("text/plain", b"n" * 1024, True, "n" * 1024),
        ("text/plain", b"n" * 1025, True, ""),
        ("text/plain", b"\xff", True, ""),
    ],
)
def test_refusal_text_is_short_text_only(
    content_type: str | None, body: bytes, any_text: bool, expected: str
) -> None:
    assert cloudevents.refusal_text(content_type, body, any_text=any_text) == expected


@given(body=st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_any_bytes_as_an_answer_are_read_or_refused(body: bytes) -> None:
    for content_type in ("text/plain", "application/json", None):
        try:
            answer = cloudevents.read_event_answer(content_type, body, [])
        except UpstreamError:
            continue
        assert answer.payload is None or answer.payload.raw == body
    try:
        cloudevents.read_connect_answer(body, ["a"])
    except UpstreamError:
        pass


@given(text=st.text(max_size=50))
def test_any_client_text_in_a_header_is_safe_or_refused(text: str) -> None:
    headers = make_headers(user_id=text, invocation_id=text, metadata={text or "k": text})
    try:
        cloudevents.check_headers(headers)
    except UpstreamError:
        return
    joined = "".join(f"{name}{value}" for name, value in headers.items())
    assert not any(char in joined for char in "\r\n\0")
    assert headers.get("ce-invocationId", "").isascii()
