"""OData filters: the documented examples, types, limits, and that nothing else can come out."""

import sys

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hubbub.protocol import limits
from hubbub.protocol.filters import Attributes, InvalidFilter, compile_filter

A = Attributes("c1", "user-ab-de", {"group1", "vip"}, "json.webpubsub.azure.v1")
B = Attributes("c2", None, frozenset(), None)
C = Attributes("c3", "User1", {"group1"}, "json.reliable.webpubsub.azure.v1")
NONE = ""
"""Of the three."""

EXAMPLES = [
    ("userId eq 'user-ab-de'", "A"),
    ("userId eq null", "B"),
    ("userId ne null", "AC"),
    ("tolower(userId) eq 'user1'", "C"),
    ("USERID eq 'User1'", "C"),
    ("'group1' in groups", "AC"),
    ("'GROUP1' in groups", NONE),
    ("not ('group1' in groups)", "B"),
    ("userId in ('User1','x') or connectionId eq 'c2'", "BC"),
    ("length(groups) gt 1", "A"),
    ("length(userId) lt 6", "C"),
    ("substring(userId,5,2) eq 'ab'", "A"),
    ("indexof(userId,'-ab-') ge 0", "A"),
    ("startswith(userId,'user') and connectionId ne 'c9'", "A"),
    ("true", "ABC"),
    ("userId eq 'o''hara'", NONE),
    ("length(userId) gt 0 and length(userId) lt 3 or length(userId) gt 7", "A"),
]

REFUSED_EXAMPLES = [
    "not length(userId) gt 5",
    "userId gt 'a'",
    "userId",
    "userId = 'x'",
    "age eq 1",
    "userId eq 'x",
]


def names(text: str) -> str:
    """Which of the three connections the filter chooses."""
    matches = compile_filter(text)
    return "".join(name for name, who in (("A", A), ("B", B), ("C", C)) if matches(who))


def problem(text: str) -> str:
    with pytest.raises(InvalidFilter) as caught:
        compile_filter(text)
    return str(caught.value)


@pytest.mark.parametrize(("text", "expected"), EXAMPLES)
def test_ra_045_documented_filter_chooses_the_documented_connections(text, expected):
    assert names(text) == expected


@pytest.mark.parametrize("text", REFUSED_EXAMPLES)
def test_ra_040_ra_041_ra_042_ra_045_documented_fault_is_refused(text):
    assert problem(text).endswith("(Parameter 'filter')")


def test_doubled_quote_is_one_quote():
    matches = compile_filter("userId eq 'o''hara'")
    assert matches(B._replace(user_id="o'hara"))
    assert compile_filter("userId eq ''''")(B._replace(user_id="'"))
    assert compile_filter("connectionId ne ''")(A)


# --- grammar ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("true or true and false", True),
        ("(true or true) and false", False),
        ("false and false or true", True),
        ("not false and false", False),
        ("not (false and false)", True),
        ("not not true", True),
        ("not not not true", False),
        ("1 eq 1 and 2 eq 2", True),
        ("not true eq false", True),
        ("true and true and false", False),
        ("false or false or true", True),
        ("1 in (1) and not (2 in (1))", True),
    ],
)
def test_precedence_is_not_then_comparison_then_and_then_or(text, expected):
    assert compile_filter(text)(B) is expected


@pytest.mark.parametrize(
    "text",
    [
        " userId\teq\n'User1'\r\n",
        "userId eq 'User1'and true",
        "(userId)eq('User1')",
        "( ( userId eq 'User1' ) )",
        "userId in('User1')",
        "userId in ( 'User1' , 'x' )",
        "substring( userId , 0 , 5 ) eq 'User1'",
        "UserID eq 'User1' and CONNECTIONID eq 'c3' and Groups eq groups and pRoToCoL ne null",
    ],
)
def test_spaces_are_free_and_fields_have_no_case(text):
    assert names(text) == "C"


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "()",
        "true)",
        "(true",
        "true true",
        "true and",
        "and true",
        "or",
        "not",
        "true not",
        "eq",
        "1 eq",
        "1 eq 1 eq 1",
        "1 in 2 in 3",
        "userId in",
        "userId in ()",
        "userId in ('a',)",
        "userId in ('a' 'b')",
        "userId in (,)",
        "('a','b')",
        "('a','b') eq 'a'",
        "tolower userId eq 'a'",
        "'a' 'b'",
        "1 eq 1and true",
        "1.0 eq 1",
        "1. eq 1",
        "1e3 eq 1",
        "0x10 eq 16",
        "+ 1 eq 1",
        "--1 eq 1",
        "TRUE",
        "userId EQ 'a'",
        "userId eq Null",
        "NOT true",
        "ToLower(userId) eq 'a'",
        "userId() eq 'a'",
        "user eq 'a'",
        'userId eq "a"',
        "userId == 'a'",
        "userId eq 'a' && true",
        "true;true",
        "$it eq 'a'",
        "groups/any(g: g eq 'a')",
        "any(groups) eq 1",
        "1 add 1 eq 2",
        "5 mod 2 eq 1",
        "userId has 'a'",
        "datetime'2020-01-01' eq 1",
        "2020-01-01 eq 1",
        "userId eq 01234567-89ab-cdef-0123-456789abcdef",
        "ünknown eq 1",
        "true\x00",
        "true\u00a0and true",
        "'",
        "'''",
        "userId eq 'it's'",
    ],
)
def test_filter_against_the_grammar_is_refused(text):
    problem(text)


@pytest.mark.parametrize("text", ["1 add 1 eq 2", "1 mod 1", "any(groups)", "has eq 1"])
def test_word_of_odata_that_is_not_supported_is_named(text):
    assert "is not supported" in problem(text)


def test_documented_error_text():
    assert problem("not length(userId) gt 5") == (
        "Invalid syntax for 'not length(userId)': Type 'null', expect 'bool'. (Parameter 'filter')"
    )
    assert "Type 'string', expect 'int'." in problem("userId gt 5")
    assert "Type 'string', expect 'bool'." in problem("userId")


def test_error_text_is_bounded():
    assert len(problem("x" * 60_000)) < 500
    assert len(problem("'" + "x" * 60_000)) < 500
    assert len(problem("1" * 60_000 + " eq 1")) < 500


# --- types -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("userId eq 5", NONE),
        ("userId ne 5", "ABC"),
        ("true eq 1", NONE),
        ("false eq 0", NONE),
        ("'1' eq 1", NONE),
        ("null eq null", "ABC"),
        ("null eq false", NONE),
        ("userId eq protocol", "B"),
        ("length(userId) eq userId", "B"),
        ("groups eq groups", "ABC"),
        ("groups eq 'group1'", NONE),
        ("groups eq null", NONE),
        ("true eq not false", "ABC"),
        ("1 in (true)", NONE),
        ("true in (1, true)", "ABC"),
        ("null in (userId)", "B"),
        ("null in (null)", "ABC"),
        ("userId in (null, 'User1')", "BC"),
        ("userId in groups", NONE),
        ("userId in (concat('User','1'), 1)", "C"),
        ("'vip' in (groups)", "A"),
        ("'vip' in ((groups))", "A"),
        ("'vip' in (groups, 'vip')", "ABC"),
        ("'vip' in (groups, 'x')", NONE),
        ("groups in (1, 'a')", NONE),
        ("groups in (1, groups)", "ABC"),
        ("groups in groups", NONE),
        ("5 in groups", NONE),
        ("null in groups", NONE),
        ("concat('v','ip') in groups", "A"),
    ],
)
def test_equality_compares_type_and_value(text, expected):
    assert names(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("null gt 5", NONE),
        ("null le null", NONE),
        ("5 ge null", NONE),
        ("not (length(userId) gt 5)", "BC"),
        ("length(userId) ge 5", "AC"),
        ("length(userId) le 5", "C"),
        ("length(userId) gt 5", "A"),
        ("length(userId) lt 10", "C"),
        ("1 lt 2", "ABC"),
        ("2 lt 1", NONE),
        ("-1 lt +0", "ABC"),
    ],
)
def test_order_is_of_integers_and_null_is_in_no_order(text, expected):
    assert names(text) == expected


@pytest.mark.parametrize(
    ("text", "actual", "wanted"),
    [
        ("userId gt 5", "string", "int"),
        ("5 lt userId", "string", "int"),
        ("true gt 5", "bool", "int"),
        ("groups gt 5", "collection", "int"),
        ("'a' ge 'b'", "string", "int"),
        ("connectionId", "string", "bool"),
        ("groups", "collection", "bool"),
        ("null", "null", "bool"),
        ("5", "int", "bool"),
        ("not 5", "int", "bool"),
        ("not userId", "string", "bool"),
        ("not not null", "null", "bool"),
        ("not 'x' in groups", "string", "bool"),
        ("true or 5", "int", "bool"),
        ("false and userId", "string", "bool"),
        ("5 and false", "int", "bool"),
        ("true or true and length(groups)", "int", "bool"),
        ("'a' in userId", "string", "collection"),
        ("'a' in 'abc'", "string", "collection"),
        ("length(5) eq 1", "int", "string"),
        ("tolower(groups) eq 'a'", "collection", "string"),
        ("tolower(true) eq 'a'", "bool", "string"),
        ("substring(userId, 'a') eq 'a'", "string", "int"),
        ("substring(5, 1) eq 'a'", "int", "string"),
        ("contains(groups, 'a')", "collection", "string"),
        ("concat('a', 1) eq 'a'", "int", "string"),
        ("true or contains(1, 'a')", "int", "string"),
    ],
)
def test_type_is_checked_before_anybody_is_asked(text, actual, wanted):
    assert f"Type '{actual}', expect '{wanted}'." in problem(text)


# --- functions -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "length('') eq 0",
        "length('a😀b') eq 4",
        "length('é') eq 1",
        "length(null) eq null",
        "length(groups) eq 2",
        "length((groups)) eq 2",
        "tolower('ÄB') eq 'äb'",
        "toupper('äb') eq 'ÄB'",
        "trim('  a b\t') eq 'a b'",
        "tolower(null) eq null",
        "toupper(null) eq null",
        "trim(null) eq null",
        "substring('abc', 0) eq 'abc'",
        "substring('abc', 1) eq 'bc'",
        "substring('abc', 3) eq ''",
        "substring('abc', 4) eq null",
        "substring('abc', -1) eq null",
        "substring('abc', 1, 1) eq 'b'",
        "substring('abc', 1, 2) eq 'bc'",
        "substring('abc', 1, 3) eq null",
        "substring('abc', 1, 0) eq ''",
        "substring('abc', 1, -1) eq null",
        "substring('abc', 2147483647, 2147483647) eq null",
        "substring(null, 0) eq null",
        "substring('abc', null) eq null",
        "substring('abc', 0, null) eq null",
        "substring('a😀b', 3) eq 'b'",
        "substring('a😀b', 1, 2) eq '😀'",
        "length(substring('a😀b', 1, 1)) eq 1",
        "concat('a', 'b') eq 'ab'",
        "concat(null, 'b') eq 'b'",
        "concat('a', null) eq 'a'",
        "concat(null, null) eq null",
        "indexof('abc', 'c') eq 2",
        "indexof('abc', 'd') eq -1",
        "indexof('abc', '') eq 0",
        "indexof('a😀b', 'b') eq 3",
        "indexof(null, 'c') eq -1",
        "indexof('abc', null) eq -1",
        "startswith('abc', 'ab') and not startswith('abc', 'b')",
        "endswith('abc', 'bc') and not endswith('abc', 'b')",
        "contains('abc', 'b') and not contains('abc', 'B')",
        "not startswith(null, '') and not startswith('', null)",
        "not endswith(null, '') and not endswith('', null)",
        "not contains(null, '') and not contains('', null)",
        "contains('abc', '')",
        "tolower(trim(concat(' A', 'B '))) eq 'ab'",
    ],
)
def test_function_gives_the_documented_value(text):
    assert compile_filter(text)(A) is True


@pytest.mark.parametrize(
    ("name", "fewest", "most"),
    [
        ("length", 1, 1),
        ("tolower", 1, 1),
        ("toupper", 1, 1),
        ("trim", 1, 1),
        ("substring", 2, 3),
        ("concat", 2, 2),
        ("indexof", 2, 2),
        ("startswith", 2, 2),
        ("endswith", 2, 2),
        ("contains", 2, 2),
    ],
)
def test_number_of_arguments_is_checked(name, fewest, most):
    for count in range(5):
        text = f"{name}({','.join(['null'] * count)}) in (null, 1, true, false)"
        if fewest <= count <= most:
            compile_filter(text)
        else:
            problem(text)


# --- limits ----------------------------------------------------------------------------------


NESTED = ["(%s)", "not (%s)", "(true and %s)", "(%s eq true)", "(true in (%s))"]


@pytest.mark.parametrize("shape", NESTED)
def test_ra_046_nesting_is_limited(shape):
    levels_each = shape.count("(")

    def nested(levels: int) -> str:
        text = "true"
        for _ in range(levels // levels_each):
            text = shape % text
        return text

    limit = limits.MAX_FILTER_DEPTH
    assert compile_filter(nested(limit))(B) in (True, False)
    assert "deeper" in problem(nested(limit + levels_each))


def test_ra_046_nested_calls_and_negations_are_limited():
    limit = limits.MAX_FILTER_DEPTH
    calls = "tolower(" * limit + "userId" + ")" * limit
    assert compile_filter(f"{calls} eq 'user1'")(C)
    assert "deeper" in problem(f"tolower({calls}) eq 'user1'")
    assert compile_filter("not " * limit + "true")(B)
    assert "deeper" in problem("not " * (limit + 1) + "true")


@pytest.mark.parametrize("piece", ["(", "not ", "not (", "tolower(", "1 in (", "true and ("])
def test_nesting_without_end_is_refused_without_recursion(piece):
    frames = len(list(iter_frames()))
    used = sys.getrecursionlimit()
    sys.setrecursionlimit(frames + 6 * limits.MAX_FILTER_DEPTH + 30)
    try:
        problem(piece * (60_000 // len(piece)))
    finally:
        sys.setrecursionlimit(used)


def iter_frames():
    frame = sys._getframe()
    while frame is not None:
        yield frame
        frame = frame.f_back


@pytest.mark.parametrize("word", ["and", "or"])
def test_long_chain_is_no_nesting(word):
    text = f" {word} ".join(["userId eq 'User1'"] * 2000)
    assert names(text) == "C"


def test_parentheses_one_after_another_are_no_nesting():
    assert names(" and ".join(["(userId eq 'User1')"] * 300)) == "C"
    assert names(" or ".join(["tolower(userId) in ('user1')"] * 300)) == "C"


def test_long_list_is_no_nesting():
    text = "userId in (" + ",".join(f"'u{i}'" for i in range(5000)) + ",'User1')"
    assert names(text) == "C"


@pytest.mark.parametrize(
    ("number", "is_valid"),
    [
        ("2147483647", True),
        ("2147483648", False),
        ("-2147483648", True),
        ("-2147483649", False),
        ("+2147483647", True),
        ("0000000000000000000001", True),
        ("-0", True),
        ("99999999999", False),
        ("9" * 5000, False),
    ],
)
def test_integer_has_32_bits(number, is_valid):
    text = f"{number} ne 7"
    if is_valid:
        assert compile_filter(text)(B)
    else:
        assert "32 bits" in problem(text)


def test_length_is_limited():
    spaces = " " * (limits.MAX_FILTER_CHARS - 4)
    assert compile_filter(f"true{spaces}")(B)
    assert "characters" in problem(f"true{spaces} ")


# --- anything at all -------------------------------------------------------------------------

WORDS = [
    *"userId connectionId groups protocol true false null and or not in eq ne gt ge lt le".split(),
    *"length tolower toupper trim substring concat indexof startswith endswith contains".split(),
    *["(", ")", ",", "'a'", "'group1'", "''", "'😀'", "0", "-1", "2147483647", "'", "+", "x", "/"],
]

TEXTS = st.none() | st.text(max_size=6)
PEOPLE = st.builds(
    Attributes, st.text(max_size=6), TEXTS, st.frozensets(st.text(max_size=4), max_size=3), TEXTS
)


@st.composite
def typed(draw, kind: str = "bool", depth: int = 4) -> str:
    """A filter with the right types."""

    def part(kind: str) -> str:
        return draw(typed(kind, depth - 1))

    if kind == "string":
        if depth <= 0:
            return draw(st.sampled_from(["userId", "connectionId", "protocol", "null", "'a😀'"]))
        return draw(
            st.sampled_from(
                [
                    lambda: f"tolower({part('string')})",
                    lambda: f"trim({part('string')})",
                    lambda: f"substring({part('string')}, {part('int')})",
                    lambda: f"substring({part('string')}, {part('int')}, {part('int')})",
                    lambda: f"concat({part('string')}, {part('string')})",
                    lambda: f"({part('string')})",
                ]
            )
        )()
    if kind == "int":
        if depth <= 0:
            return draw(st.sampled_from(["null", "length(groups)"]) | st.integers(-3, 5).map(str))
        return draw(
            st.sampled_from(
                [
                    lambda: f"length({part('string')})",
                    lambda: f"indexof({part('string')}, {part('string')})",
                    lambda: part("int"),
                ]
            )
        )()
    if depth <= 0:
        return draw(st.sampled_from(["true", "false", "'a' in groups"]))
    return draw(
        st.sampled_from(
            [
                lambda: f"{part('bool')} and {part('bool')}",
                lambda: f"{part('bool')} or {part('bool')}",
                lambda: f"not ({part('bool')})",
                lambda: f"{part('int')} gt {part('int')}",
                lambda: f"{part('int')} le {part('int')}",
                lambda: f"{part('string')} eq {part('string')}",
                lambda: f"{part('string')} ne {part('int')}",
                lambda: f"{part('string')} in groups",
                lambda: f"{part('string')} in ({part('string')}, {part('int')})",
                lambda: f"contains({part('string')}, {part('string')})",
                lambda: f"({part('bool')})",
            ]
        )
    )()


@given(typed(), PEOPLE)
def test_filter_with_right_types_is_taken_and_answers_for_everybody(text, who):
    matches = compile_filter(text)
    for person in (who, A, B, C):
        assert matches(person) in (True, False)


@given(st.lists(st.sampled_from(WORDS), max_size=25).map(" ".join) | st.text(), PEOPLE)
@example("'\ud800' eq userId", A)
@example("length('\ud800') eq 1", A)
def test_any_text_is_a_predicate_that_answers_or_an_invalid_filter(text, who):
    try:
        matches = compile_filter(text)
    except InvalidFilter:
        return
    assert matches(who) in (True, False)


@given(st.text(max_size=8), st.text(max_size=8))
def test_quoted_text_is_itself(text, other):
    quoted = text.replace("'", "''")
    assert compile_filter(f"userId eq '{quoted}'")(B._replace(user_id=text)) is True
    assert compile_filter(f"userId eq '{quoted}'")(B._replace(user_id=other)) is (text == other)
