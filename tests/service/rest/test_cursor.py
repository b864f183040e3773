"""Continuation tokens: there and back, and nothing but our own."""

import base64
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubbub.service.rest import cursor

KEY = "primary-key-of-the-test-with-enough-bytes="
OTHER = "secondary-key-of-the-test-with-enough-bytes"
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=50)


@given(hub=st.text(string.ascii_lowercase, min_size=1), group=TEXT, after=TEXT.filter(bool))
def test_token_leads_back_to_its_place(hub, group, after):
    token = cursor.make(KEY, hub=hub, group=group, after=after)
    assert set(token) <= set(string.ascii_letters + string.digits + "-_")
    assert cursor.read(token, (KEY,), hub=hub, group=group) == after
    assert cursor.read(token, (OTHER, KEY), hub=hub, group=group) == after
    assert cursor.read(token, (OTHER,), hub=hub, group=group) is None


def test_token_of_one_group_is_none_of_another_whose_name_runs_into_the_id():
    token = cursor.make(KEY, hub="h", group="g", after="1c")
    proof = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)).removesuffix(b"1c")
    for group, after in (("g1", "c"), ("", "g1c")):
        forged = base64.urlsafe_b64encode(proof + after.encode()).decode().rstrip("=")
        assert cursor.read(token, (KEY,), hub="h", group=group) is None
        assert cursor.read(forged, (KEY,), hub="h", group=group) is None


@given(st.text(max_size=120))
def test_any_other_text_is_no_token(text):
    assert cursor.read(text, (KEY,), hub="h", group="g") is None


@pytest.mark.parametrize(
    "text", ["", "A", "A" * 16, "A" * 22, "A" * 2048, "A" * 5000, "A" * 30 + "="]
)
def test_text_of_the_right_letters_is_no_token(text):
    assert cursor.read(text, (KEY,), hub="h", group="g") is None


def test_every_changed_letter_is_noticed():
    token = cursor.make(KEY, hub="h", group="g", after="c1c")
    for place in range(len(token)):
        for letter in "Ab-_ =":
            changed = token[:place] + letter + token[place + 1 :]
            if changed != token:
                assert cursor.read(changed, (KEY,), hub="h", group="g") is None, changed
