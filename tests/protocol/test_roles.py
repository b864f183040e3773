"""Roles, patterns and the changes at run time."""

from functools import cache

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from hubbub.protocol.roles import Permission, Permissions, TooManyRules

JOIN, SEND = Permission.JOIN_LEAVE_GROUP, Permission.SEND_TO_GROUP


def sender(*names: str) -> Permissions:
    """Permissions of the roles `webpubsub.<name>`, all of which must be good."""
    permissions = Permissions(f"webpubsub.{name}" for name in names)
    assert permissions.ignored == ()
    return permissions


def test_without_roles_nothing_is_allowed() -> None:
    permissions = Permissions()
    assert not permissions.can_join("g1")
    assert not permissions.can_send("g1")
    assert permissions.ignored == ()


def test_role_for_any_group_allows_every_group_of_that_permission_only() -> None:
    joiner = sender("joinLeaveGroup")
    assert joiner.can_join("g1")
    assert joiner.can_join("a.b.c")
    assert not joiner.can_send("g1")
    assert sender("sendToGroup").can_send("g1")
    assert not sender("sendToGroup").can_join("g1")


def test_literal_role_allows_exactly_its_group() -> None:
    permissions = sender("joinLeaveGroup.a.b", "sendToGroup. c ")
    assert permissions.can_join("a.b")
    assert not any(permissions.can_join(group) for group in ("a", "A.b", "a.b ", "a.b.c"))
    assert permissions.can_send(" c ")
    assert not permissions.can_send("c")


def test_allows_asks_for_one_permission() -> None:
    permissions = sender("joinLeaveGroup.a", "sendToGroup.b")
    assert [permissions.allows(p, g) for p in (JOIN, SEND) for g in ("a", "b")] == [
        True,
        False,
        False,
        True,
    ]


def test_cp_110_one_star_stays_between_dots_and_keeps_case() -> None:
    permissions = sender("sendToGroups.a.*")
    assert permissions.can_send("a.b")
    assert not permissions.can_send("a.b.c")
    assert not permissions.can_send("A.b")


def test_cp_111_two_stars_cross_dots() -> None:
    permissions = sender("joinLeaveGroups.a.**")
    assert permissions.can_join("a.b.c")
    assert not permissions.can_join("a")
    assert not permissions.can_join("ab")


def test_cp_112_question_mark_and_escape() -> None:
    permissions = sender("sendToGroups.x?", "sendToGroups.l\\*s")
    assert [permissions.can_send(g) for g in ("x1", "x", "x.", "l*s", "lXs")] == [
        True,
        False,
        False,
        True,
        False,
    ]


def test_cp_113_singular_role_is_no_pattern() -> None:
    permissions = sender("sendToGroup.a*")
    assert permissions.can_send("a*")
    assert not permissions.can_send("ab")


@pytest.mark.parametrize(
    "pattern", ["*a*a*a*a*a*", "a**b**c**", "a\\", "a\\b", "\\", "", "a" * 1025]
)
def test_cp_114_bad_pattern_is_ignored(pattern: str) -> None:
    role = f"webpubsub.sendToGroups.{pattern}"
    permissions = Permissions([role])
    assert permissions.ignored == (role,)
    assert not permissions.can_send("a")
    assert not permissions.can_send(pattern or "x")


@pytest.mark.parametrize(
    "role",
    [
        "",
        "admin",
        "webpubsub",
        "webpubsub.joinleavegroup",
        "Webpubsub.joinLeaveGroup",
        "webpubsub.joinLeaveGroups",
        "webpubsub.joinLeaveGroup.",
        "webpubsub.joinLeaveGroup.  ",
        "webpubsub.joinLeaveGroup." + "g" * 1025,
        "webpubsub.joinLeaveGroupX",
        "webpubsub.joinLeaveGroupX.a",
        " webpubsub.joinLeaveGroup",
    ],
)
def test_unknown_or_malformed_role_is_ignored(role: str) -> None:
    permissions = Permissions([role, "webpubsub.joinLeaveGroup.g1"])
    assert permissions.ignored == (role,)
    assert permissions.can_join("g1")
    assert not permissions.can_join("g2")


def test_eleventh_pattern_is_ignored() -> None:
    roles = [f"webpubsub.sendToGroups.p{n}.*" for n in range(11)]
    permissions = Permissions([*roles[:1], *roles, *roles])
    assert set(permissions.ignored) == {roles[10]}
    assert permissions.can_send("p9.a")
    assert not permissions.can_send("p10.a")


def test_literal_role_above_a_thousand_is_ignored() -> None:
    roles = [f"webpubsub.sendToGroup.g{n}" for n in range(1001)]
    permissions = Permissions(roles)
    assert permissions.ignored == (roles[1000],)
    assert permissions.can_send("g999")
    assert not permissions.can_send("g1000")


@pytest.mark.parametrize(
    ("pattern", "matches", "others"),
    [
        ("chat-*", ["chat-1", "chat-"], ["chat.1", "xchat-1", "chat-1.a"]),
        ("clientA.*", ["clientA.alpha", "clientA."], ["clientA.alpha.room1"]),
        ("clientA.**", ["clientA.alpha.room1"], ["clientB.x", "clientA"]),
        ("clientA.rooms.?1", ["clientA.rooms.a1"], ["clientA.rooms.1", "clientA.rooms.a.1"]),
        ("literal\\*star", ["literal*star"], ["literalXstar"]),
        ("*****", ["a.b", "."], []),
        ("a***", ["a", "a.b.c"], ["b"]),
        ("**.end", [".end", "a.b.end"], ["end", "a.end.b"]),
        ("*.b*c", [".bc", "a.bbc", "a.bxc"], ["a.b.c", "a.x.bc"]),
        ("a*b**c", ["abc", "a1b.c", "abb.x.c"], ["a.b.c", "ab.d"]),
        ("\\?\\\\", ["?\\"], ["a\\", "??"]),
        ("a" * 1024, ["a" * 1024], ["a" * 1023]),
        ("[a-z]+(", ["[a-z]+("], ["b("]),
        ("a\n?", ["a\nb", "a\n\n"], ["a\n"]),
    ],
)
def test_pattern_matches_whole_names(pattern: str, matches: list[str], others: list[str]) -> None:
    permissions = sender(f"sendToGroups.{pattern}")
    assert [g for g in matches if not permissions.can_send(g)] == []
    assert [g for g in others if permissions.can_send(g)] == []


def reference_match(pattern: str, name: str) -> bool:
    """The rules of patterns, read off their table one by one."""

    @cache
    def fits(p: int, n: int) -> bool:
        if p == len(pattern):
            return n == len(name)
        if pattern[p] == "\\":
            return n < len(name) and name[n] == pattern[p + 1] and fits(p + 2, n + 1)
        if pattern[p] == "*":
            stars = len(pattern[p:]) - len(pattern[p:].lstrip("*"))
            end = n
            while end <= len(name):
                if fits(p + stars, end):
                    return True
                if end < len(name) and name[end] == "." and stars == 1:
                    return False
                end += 1
            return False
        if n == len(name):
            return False
        if pattern[p] == "?":
            return name[n] != "." and fits(p + 1, n + 1)
        return name[n] == pattern[p] and fits(p + 1, n + 1)

    return fits(0, 0)


good_patterns = (
    st.lists(
        st.sampled_from(["a", "b", ".", "?", "*", "**", "\\*", "\\?", "\\\\"]),
        min_size=1,
        max_size=12,
    )
    .map("".join)
    .filter(lambda pattern: pattern.replace("\\*", "").count("*") <= 5)
)


@given(good_patterns, st.text("ab.*?\\", min_size=1, max_size=15))
@example("*?*a", "ba")
@example("**a*.b", "a.aa.b")
@example("*.**", ".")
def test_pattern_agrees_with_the_table_of_rules(pattern: str, name: str) -> None:
    assume(not name.isspace())
    assert sender(f"sendToGroups.{pattern}").can_send(name) == reference_match(pattern, name)


@given(st.text(max_size=40), st.text(min_size=1, max_size=40))
def test_pattern_of_any_text_is_matched_or_ignored(pattern: str, name: str) -> None:
    permissions = Permissions([f"webpubsub.sendToGroups.{pattern}"])
    if permissions.ignored:
        assert not permissions.can_send(name)
    else:
        assert permissions.can_send(name) == reference_match(pattern, name)


@pytest.mark.parametrize("pattern", ["*a*a*a*a*b", "**a**a*b", "*?*?*?*?*b", "a" * 1023 + "*"])
def test_hostile_pattern_looks_at_every_character_once(pattern: str) -> None:
    class CountedName(str):
        __slots__ = ()
        looked_at = 0

        def __iter__(self):  # type: ignore[no-untyped-def]
            for character in str.__iter__(self):
                CountedName.looked_at += 1
                yield character

    permissions = sender(f"sendToGroups.{pattern}")
    assert not permissions.can_send(CountedName("a" * 1000))
    assert 0 < CountedName.looked_at <= 1000


# --- changes at run time -------------------------------------------------------------------------


def test_grant_allows_one_literal_group_until_revoked() -> None:
    permissions = Permissions()
    permissions.grant(JOIN, "room.*")
    permissions.grant(JOIN, "room.*")
    assert permissions.can_join("room.*")
    assert not permissions.can_join("room.a")
    assert not permissions.can_send("room.*")
    permissions.revoke(JOIN, "room.*")
    assert not permissions.can_join("room.*")


@pytest.mark.parametrize("role", ["sendToGroup", "sendToGroups.g*"])
def test_revoke_beats_any_group_and_patterns_until_granted_again(role: str) -> None:
    permissions = sender(role)
    permissions.revoke(SEND, "g1")
    permissions.revoke(SEND, "g1")
    assert not permissions.can_send("g1")
    assert permissions.can_send("g2")
    permissions.grant(SEND, "g1")
    assert permissions.can_send("g1")


def test_revoke_of_a_literal_that_a_role_allows_too_denies_it() -> None:
    permissions = sender("sendToGroup", "sendToGroup.g1")
    permissions.revoke(SEND, "g1")
    assert not permissions.can_send("g1")


def test_grant_and_revoke_that_change_nothing_store_nothing() -> None:
    permissions = sender("sendToGroups.g*")
    for number in range(1100):
        permissions.grant(SEND, f"g{number}")  # allowed by the pattern
        permissions.revoke(SEND, f"x{number}")  # not allowed by anything
    permissions.grant(SEND, "x1")
    assert permissions.can_send("x1")


def test_rule_above_a_thousand_is_refused_without_change() -> None:
    permissions = sender("joinLeaveGroups.g*")
    for number in range(500):
        permissions.grant(JOIN, f"x{number}")
        permissions.revoke(JOIN, f"g{number}")
    with pytest.raises(TooManyRules) as caught:
        permissions.grant(JOIN, "x")
    assert caught.value.code == "Error.Connection.Conflict"
    with pytest.raises(TooManyRules):
        permissions.revoke(JOIN, "g")
    assert not permissions.can_join("x")
    assert permissions.can_join("g")
    permissions.grant(SEND, "x")  # the other permission has its own count
    permissions.grant(JOIN, "g0")  # takes a rule away
    permissions.grant(JOIN, "x")
    assert permissions.can_join("x")


changes = st.lists(st.tuples(st.booleans(), st.sampled_from(["a", "ab", "b", "a.b"])), max_size=20)
some_roles = st.lists(
    st.sampled_from(["sendToGroup", "sendToGroup.a", "sendToGroups.a*", "sendToGroups.**b"])
)


@given(some_roles, changes)
def test_last_change_of_a_group_decides_and_touches_no_other(
    roles: list[str], changes: list[tuple[bool, str]]
) -> None:
    permissions = sender(*roles)
    expected = {group: permissions.can_send(group) for group in ("a", "ab", "b", "a.b", "c")}
    for is_grant, group in changes:
        (permissions.grant if is_grant else permissions.revoke)(SEND, group)
        expected[group] = is_grant
        assert {g: permissions.can_send(g) for g in expected} == expected
