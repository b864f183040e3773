"""Payloads: each form made from the other, and never made when it is not asked for."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubbub.protocol.messages import Ack, DataType, ErrorDetail, Payload, text_payload

texts = st.text(st.characters(exclude_categories=["Cs"]))


def test_payload_of_json_has_one_form() -> None:
    for payload in (
        Payload(DataType.JSON, raw=b'{"a":1.0}'),
        Payload(DataType.JSON, token=b'{"a":1.0}'),
    ):
        assert payload.raw is payload.token
        assert payload.raw == b'{"a":1.0}'


@pytest.mark.parametrize("data_type", [DataType.BINARY, DataType.PROTOBUF])
def test_payload_of_bytes_is_base64_in_json(data_type: DataType) -> None:
    assert Payload(data_type, raw=b"\x00\x01").token == b'"AAE="'
    assert Payload(data_type, token=b'"AAE="').raw == b"\x00\x01"


@given(texts)
def test_payload_of_text_there_and_back_is_the_same(text: str) -> None:
    payload = text_payload(text)
    assert json.loads(payload.token) == text
    assert Payload(DataType.TEXT, token=payload.token).raw == text.encode()
    assert Payload(DataType.TEXT, token=json.dumps(text).encode()).raw == text.encode()


@given(st.binary())
def test_payload_of_bytes_there_and_back_is_the_same(data: bytes) -> None:
    payload = Payload(DataType.BINARY, raw=data)
    assert Payload(DataType.BINARY, token=payload.token).raw == data


def test_payload_keeps_the_form_in_which_it_came() -> None:
    token = b'"\\u0041"'
    payload = Payload(DataType.TEXT, token=token)
    assert payload.raw == b"A"
    assert payload.token is token


def test_payload_is_equal_by_type_and_content() -> None:
    assert Payload(DataType.TEXT, token=b'"\\u0041"') == text_payload("A")
    assert hash(Payload(DataType.TEXT, token=b'"\\u0041"')) == hash(text_payload("A"))
    assert text_payload("1") != Payload(DataType.JSON, raw=b"1")
    assert text_payload("1") != "1"


def test_payload_without_any_form_is_a_fault_of_the_caller() -> None:
    with pytest.raises(AssertionError):
        Payload(DataType.TEXT)


def test_text_frame_is_for_json_and_text_only() -> None:
    is_text = {t: Payload(t, raw=b"1").is_text for t in DataType}
    assert [t for t in DataType if is_text[t]] == [DataType.JSON, DataType.TEXT]


def test_repr_of_a_payload_shows_no_content() -> None:
    assert repr(text_payload("secret")) == "Payload(text, 6 bytes)"


def test_ack_succeeds_when_it_has_no_error() -> None:
    assert Ack(1).success
    assert not Ack(1, ErrorDetail("Forbidden")).success
