"""Names of hubs, groups, user events and users: each limit at it, below and above."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubbub.protocol.errors import InvalidName
from hubbub.protocol.names import event_name, group_name, hub_name, user_id


@pytest.mark.parametrize("name", ["a", "Z9", "a_`,.[]b", "h" + "x" * 127])
def test_hub_name_of_the_alphabet_is_lowered(name: str) -> None:
    assert hub_name(name) == name.lower()


@pytest.mark.parametrize(
    "name",
    ["", "1a", "_a", "a-b", "a b", "a/b", "é", "aé", "a\n", "\na", "h" + "x" * 128, "\u212a"],
)
def test_hub_name_against_the_rules_is_refused(name: str) -> None:
    with pytest.raises(InvalidName, match="hub name"):
        hub_name(name)


@pytest.mark.parametrize("name", ["e", "E9", "a.b-c_d", "e" + "x" * 127])
def test_event_name_of_the_alphabet_is_kept(name: str) -> None:
    assert event_name(name) == name


@pytest.mark.parametrize("name", ["", "1x", ".a", "a b", "a/b", "é", "a\n", "e" + "x" * 128])
def test_event_name_against_the_rules_is_refused(name: str) -> None:
    with pytest.raises(InvalidName, match="event name"):
        event_name(name)


@pytest.mark.parametrize("name", ["g", "G" * 1024, " a ", "a/b\\c*?", "Grüße", "\U0001f600", "\0"])
def test_group_name_is_free_and_keeps_its_case(name: str) -> None:
    assert group_name(name) == name


@pytest.mark.parametrize("name", ["", " ", "\t\n\u2003", "g" * 1025, "\ud800"])
def test_group_name_empty_blank_too_long_or_no_unicode_is_refused(name: str) -> None:
    with pytest.raises(InvalidName, match="group name"):
        group_name(name)


@pytest.mark.parametrize("name", ["u", " ", "u" * 1024, "a@b.c", "é"])
def test_user_id_is_free(name: str) -> None:
    assert user_id(name) == name


@pytest.mark.parametrize("name", ["", "u" * 1025, "\udfff"])
def test_user_id_empty_too_long_or_no_unicode_is_refused(name: str) -> None:
    with pytest.raises(InvalidName, match="user id"):
        user_id(name)


@given(st.text())
def test_names_agree_with_the_documented_patterns(text: str) -> None:
    for check, pattern in (
        (hub_name, r"[A-Za-z][A-Za-z0-9_`,.\[\]]{0,127}"),
        (event_name, r"[A-Za-z][A-Za-z0-9_.\-]{0,127}"),
        (group_name, r"(?=.*\S)[^\ud800-\udfff]{1,1024}"),
        (user_id, r"[^\ud800-\udfff]{1,1024}"),
    ):
        try:
            is_valid = bool(check(text))
        except InvalidName:
            is_valid = False
        assert is_valid == bool(re.fullmatch(pattern, text, re.DOTALL))
