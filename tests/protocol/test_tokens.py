"""Access tokens and reconnection tokens: who gets in, and what garbage does."""

import base64
import hashlib
import hmac
import json
from typing import Any

import jwt
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hubbub.protocol.errors import InvalidToken
from hubbub.protocol.tokens import (
    ClientClaims,
    check_client_token,
    check_reconnection_token,
    check_rest_token,
    make_client_token,
    make_reconnection_token,
    make_rest_token,
)

KEY = "primary-key-of-a-test-with-44-characters-xxx"
KEY_2 = "secondary-key-of-a-test-with-44-characters-x"
BASE64_KEY = "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWY="
NOW = 1_800_000_000.5
SKEW_S = 300
AUDIENCE = "http://localhost:8080/client/hubs/chat"
URL = "http://localhost:8080/api/hubs/chat/:send"


def signed(key: str = KEY, headers: dict[str, Any] | None = None, **claims: Any) -> str:
    """A token with these claims, good otherwise; None leaves a claim out."""
    claims = {"exp": int(NOW) + 60, "aud": AUDIENCE, **claims}
    claims = {name: value for name, value in claims.items() if value is not None}
    return jwt.encode(claims, key, algorithm="HS256", headers=headers)


def group_claim(groups: Any) -> dict[str, Any]:
    return {"webpubsub.group": groups}


def raw_token(header: bytes, content: bytes, key: str = KEY) -> str:
    """A token of any bytes, with a right HS256 signature."""

    def encoded(data: bytes) -> str:
        return base64.urlsafe_b64encode(data).rstrip(b"=").decode()

    start = f"{encoded(header)}.{encoded(content)}"
    return f"{start}.{encoded(hmac.digest(key.encode(), start.encode(), hashlib.sha256))}"


HEADER = b'{"alg":"HS256","typ":"JWT"}'


def check_client(token: str, now: float = NOW) -> ClientClaims:
    return check_client_token(
        token, [KEY, KEY_2], audiences=[AUDIENCE, "http://other"], now=now, skew_s=SKEW_S
    )


def check_rest(token: str, now: float = NOW) -> None:
    check_rest_token(
        token,
        (KEY, KEY_2),
        urls=[URL, "http://localhost:8080/api/hubs/chat/users/a%20b"],
        now=now,
        skew_s=SKEW_S,
    )


def rest_token(**claims: Any) -> str:
    return signed(**{"aud": URL, **claims})


# --- client tokens -------------------------------------------------------------------------------


def test_client_token_says_what_it_was_made_with() -> None:
    token = make_client_token(
        KEY,
        audience=AUDIENCE,
        now=NOW,
        life_s=60,
        user_id="ü",
        roles=["webpubsub.joinLeaveGroup"],
        groups=["g1", "g2"],
    )
    assert check_client(token) == ClientClaims(
        user_id="ü",
        roles=("webpubsub.joinLeaveGroup",),
        groups=("g1", "g2"),
        claims={
            "aud": [AUDIENCE],
            "iat": ["1800000000"],
            "exp": ["1800000060"],
            "sub": ["ü"],
            "role": ["webpubsub.joinLeaveGroup"],
            "webpubsub.group": ["g1", "g2"],
        },
    )


def test_client_token_of_an_anonymous_user_has_the_fewest_claims() -> None:
    token = make_client_token(KEY, audience=AUDIENCE, now=NOW, life_s=60)
    claims = check_client(token)
    assert (claims.user_id, claims.roles, claims.groups) == (None, (), ())
    assert set(claims.claims) == {"aud", "iat", "exp"}
    assert jwt.get_unverified_header(token) == {"alg": "HS256", "typ": "JWT"}


def test_second_key_is_as_good_as_the_first() -> None:
    assert check_client(signed(KEY_2, sub="u1")).user_id == "u1"
    check_rest(rest_token(key=KEY_2))


@pytest.mark.parametrize("keys", [[], [BASE64_KEY]])
def test_token_of_an_unknown_key_is_refused(keys: list[str]) -> None:
    with pytest.raises(InvalidToken, match="not signed with a key"):
        check_client_token(signed(), keys, audiences=[AUDIENCE], now=NOW, skew_s=0)


def test_ra_090_role_may_be_a_plain_string() -> None:
    claims = check_client(signed(role="webpubsub.sendToGroup", **group_claim("g1")))
    assert claims.roles == ("webpubsub.sendToGroup",)
    assert claims.groups == ("g1",)


@pytest.mark.parametrize(
    "audience",
    [
        pytest.param("ws://localhost:8080/client/hubs/chat", id="ra_091"),
        pytest.param("http://localhost:8080/client/hubs/other", id="ra_092"),
        "http://localhost/client/hubs/chat",
        "http://localhost:8080/client/hubs/chat/x",
        "",
        [],
        None,
    ],
)
def test_ra_091_ra_092_token_for_another_audience_is_refused(audience: Any) -> None:
    with pytest.raises(InvalidToken, match="audience"):
        check_client(signed(aud=audience))


@pytest.mark.parametrize("audience", [AUDIENCE.upper(), ["x", AUDIENCE], "HTTP://OTHER"])
def test_audience_is_compared_without_case_and_may_be_one_of_several(audience: Any) -> None:
    check_client(signed(aud=audience))


def test_ra_093_expired_client_token_is_refused() -> None:
    with pytest.raises(InvalidToken, match="expired"):
        check_client(signed(exp=int(NOW) - 600))


def test_group_names_are_left_to_the_caller() -> None:
    assert check_client(signed(**group_claim(["", "g" * 1025]))).groups == ("", "g" * 1025)


@pytest.mark.parametrize(
    "claims",
    [
        {"sub": 5},
        {"sub": ["u1"]},
        {"sub": "u" * 1025},
        {"role": 5},
        {"role": {"a": 1}},
        {"role": ["a", 5]},
        {"webpubsub.group": True},
        {"webpubsub.group": [["g"]]},
        {"aud": 5},
        {"aud": [5]},
    ],
)
def test_claim_of_a_wrong_type_is_refused(claims: dict[str, Any]) -> None:
    with pytest.raises(InvalidToken):
        check_client(signed(**claims))


def test_null_claims_are_refused_where_a_type_is_needed() -> None:
    for name in ("sub", "role", "webpubsub.group", "aud", "exp", "nbf"):
        content = {"exp": int(NOW) + 60, "aud": AUDIENCE, name: None}
        with pytest.raises(InvalidToken):
            check_client(raw_token(HEADER, json.dumps(content).encode()))


def test_empty_sub_is_an_anonymous_user() -> None:
    assert check_client(signed(sub="")).user_id is None


def test_all_claims_are_passed_on_as_texts() -> None:
    claims = check_client(
        signed(a="x", b=["x", "y"], c=1_790_000_000, d=1.5, e=True, f={"g": [1]}, h=[1, "z"], i=[])
    ).claims
    assert {name: claims[name] for name in "abcdefhi"} == {
        "a": ["x"],
        "b": ["x", "y"],
        "c": ["1790000000"],
        "d": ["1.5"],
        "e": ["true"],
        "f": ['{"g":[1]}'],
        "h": ["1", "z"],
        "i": [],
    }


# --- time ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("exp", [NOW - SKEW_S - 0.1, 0, -1])
def test_token_expired_by_more_than_the_skew_is_refused(exp: float) -> None:
    with pytest.raises(InvalidToken, match="expired"):
        check_client(signed(exp=exp))


@pytest.mark.parametrize("exp", [NOW - SKEW_S, NOW, NOW + 1e9, 10**40])
def test_token_expired_by_no_more_than_the_skew_is_good(exp: float) -> None:
    check_client(signed(exp=exp))


@pytest.mark.parametrize("nbf", [NOW + SKEW_S + 0.1, NOW + 1e9, 10**40])
def test_token_not_yet_valid_by_more_than_the_skew_is_refused(nbf: float) -> None:
    with pytest.raises(InvalidToken, match="not valid yet"):
        check_client(signed(nbf=nbf))


@pytest.mark.parametrize("nbf", [NOW + SKEW_S, NOW, 0, -5])
def test_token_not_yet_valid_by_no_more_than_the_skew_is_good(nbf: float) -> None:
    check_client(signed(nbf=nbf))


@pytest.mark.parametrize("name", ["exp", "nbf"])
@pytest.mark.parametrize(
    "value", ["true", '"1900000000"', "NaN", "Infinity", "1e999", "[1]", "{}", "9" * 5000]
)
def test_time_that_is_no_number_is_refused(name: str, value: str) -> None:
    claims = {"aud": json.dumps(AUDIENCE), "exp": "1900000000", name: value}
    text = ",".join(f'"{key}":{token}' for key, token in claims.items())
    with pytest.raises(InvalidToken):
        check_client(raw_token(HEADER, f"{{{text}}}".encode()))


def test_iat_is_not_judged() -> None:
    check_client(signed(iat=int(NOW) + 10_000))
    check_client(signed(iat="soon"))


# --- REST tokens ---------------------------------------------------------------------------------


def test_rest_token_is_good_for_its_own_address() -> None:
    check_rest(make_rest_token(KEY, url=URL, now=NOW, life_s=60))
    with pytest.raises(InvalidToken):
        check_rest(make_rest_token(KEY, url=URL + "x", now=NOW, life_s=60))
    with pytest.raises(InvalidToken):
        check_rest(make_rest_token(KEY, url=URL, now=NOW - 400, life_s=60))


def test_ra_011_token_expired_ten_minutes_ago_is_refused() -> None:
    with pytest.raises(InvalidToken):
        check_rest(rest_token(exp=int(NOW) - 600))


def test_ra_012_token_expired_two_minutes_ago_is_good() -> None:
    check_rest(rest_token(exp=int(NOW) - 120))


def test_ra_013_token_without_exp_is_refused() -> None:
    with pytest.raises(InvalidToken, match="exp"):
        check_rest(rest_token(exp=None))


def test_ra_014_token_for_another_path_is_refused() -> None:
    with pytest.raises(InvalidToken):
        check_rest(rest_token(aud="http://localhost:8080/api/hubs/chat/groups/x/:send"))


@pytest.mark.parametrize(
    "audience",
    [
        pytest.param(URL + "?api-version=2024-12-01", id="ra_015"),
        pytest.param(URL, id="ra_016"),
        pytest.param(URL + "?api-version=1&other=x?y", id="ra_017"),
        pytest.param("http://LOCALHOST:8080/api/hubs/CHAT/:send", id="ra_018"),
        URL + "/",
        URL + "/?a=b",
        ["http://x", URL],
        "http://localhost:8080/api/hubs/chat/%3Asend",
        "http%3A%2F%2Flocalhost%3A8080/api/hubs/chat/:send?a=b",
        "http://localhost:8080/api/hubs/chat/users/a%20b",
        "http://localhost:8080/api/hubs/chat/users/a%2520b",
    ],
)
def test_ra_015_ra_016_ra_017_ra_018_query_case_and_encoding_do_not_matter(audience: Any) -> None:
    check_rest(rest_token(aud=audience))


@pytest.mark.parametrize(
    "audience",
    [
        "http://other:8080/api/hubs/chat/:send",
        "https://localhost:8080/api/hubs/chat/:send",
        "http://localhost/api/hubs/chat/:send",
        "http://localhost:8080/api/hubs/chat/%253Asend",
        URL + "//",
        URL + "%3Fapi-version=1",
        "?" + URL,
        "",
        None,
    ],
)
def test_ra_019_token_of_another_host_is_refused(audience: Any) -> None:
    with pytest.raises(InvalidToken):
        check_rest(rest_token(aud=audience))


CLAIMS = json.dumps({"exp": int(NOW) + 60, "aud": URL}).encode()


@pytest.mark.parametrize(
    "header",
    [
        b'{"alg":"none"}',
        b'{"alg":"None","typ":"JWT"}',
        b'{"alg":"RS256"}',
        b'{"alg":"HS512"}',
        b'{"alg":"hs256"}',
        b'{"alg":""}',
        b'{"alg":null}',
        b'{"alg":["HS256"]}',
        b"{}",
    ],
)
def test_ra_020_other_algorithm_is_refused(header: bytes) -> None:
    token = raw_token(header, CLAIMS)
    for candidate in (token, token.rpartition(".")[0] + "."):
        with pytest.raises(InvalidToken):
            check_rest(candidate)


def test_ra_021_kid_and_iss_are_ignored() -> None:
    check_rest(rest_token(headers={"kid": "1", "typ": "at+jwt"}, iss="https://issuer.example"))


garbage = st.text() | st.from_regex(r"[A-Za-z0-9_-]*\.[A-Za-z0-9_-]*\.[A-Za-z0-9_-]*")


@given(garbage)
@example("abc")
@example("")
@example("..")
@example("\ud800.a.b")
@example("a" * 16_385)
@example(raw_token(b"[" * 9000, b"{}"))
@example(raw_token(b'{"alg":"HS256","b64":false,"crit":["b64"]}', b""))
@example(raw_token(b'{"alg":"HS256","kid":5}', CLAIMS))
@example(raw_token(b'{"alg":"HS256","crit":["later"]}', CLAIMS))
@example(raw_token(HEADER, b"[" * 9000))
@example(raw_token(HEADER, b'{"a":' * 2000 + b"1" + b"}" * 2000))
@example(raw_token(HEADER, b"[]"))
@example(raw_token(HEADER, b"\xff"))
@example(raw_token(HEADER, CLAIMS[:-1] + b',"sub":"\\ud800"}'))
@example(raw_token(HEADER, CLAIMS[:-1] + b',"\xff":1}'))
def test_ra_022_garbage_is_refused(token: str) -> None:
    for check in (check_rest, check_client):
        with pytest.raises(InvalidToken) as caught:
            check(token)
        assert len(str(caught.value)) < 100


@given(st.binary(max_size=200), st.binary(max_size=200))
def test_signed_garbage_is_refused(header: bytes, content: bytes) -> None:
    for token in (raw_token(header, CLAIMS), raw_token(HEADER, content)):
        with pytest.raises(InvalidToken):
            check_rest(token)


@pytest.mark.parametrize(
    ("header", "content"),
    [
        (b'{"alg":"HS256","crit":["exp"]}', "{content}"),
        (b'{"alg":"HS256","crit":["b64"],"b64":false}', "{content}"),
        (b'{"alg":"HS256","kid":1}', "{content}"),
        (HEADER, "{content}="),
        (HEADER, "{content}."),
        (HEADER, "{content}*"),
        (HEADER, "\n{content}"),
    ],
)
def test_signed_token_that_is_written_otherwise_is_refused(header: bytes, content: str) -> None:
    """Whatever was found out before about a header or a key that looks the same."""
    claims = json.dumps({"exp": NOW + 60, "aud": AUDIENCE}).encode()
    good = raw_token(HEADER, claims)
    check_client(good)
    _, plain, _ = good.split(".")
    encoded_header, _, _ = raw_token(header, claims).split(".")
    start = f"{encoded_header}.{content.format(content=plain)}"
    mac = hmac.digest(KEY.encode(), start.encode(), hashlib.sha256)
    token = f"{start}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"
    for _ in range(2):
        with pytest.raises(InvalidToken):
            check_client(token)


def test_token_with_one_changed_character_is_refused() -> None:
    token = rest_token()
    for position in range(0, len(token) - 1, 7):
        changed = "A" if token[position] != "A" else "B"
        with pytest.raises(InvalidToken):
            check_rest(token[:position] + changed + token[position + 1 :])


def test_longest_token_is_read_and_a_longer_one_is_not() -> None:
    token = raw_token(HEADER, CLAIMS + b" " * (12_227 - len(CLAIMS)))
    assert len(token) == 16_384
    check_rest(token)
    with pytest.raises(InvalidToken, match="longer than"):
        check_rest(raw_token(HEADER, CLAIMS + b" " * (12_228 - len(CLAIMS))))


def test_ra_104_key_is_the_bytes_of_its_text_and_never_decoded() -> None:
    decoded = base64.b64decode(BASE64_KEY)
    claims = {"exp": int(NOW) + 60, "aud": URL}
    check_rest_token(
        jwt.encode(claims, BASE64_KEY.encode()), (BASE64_KEY,), urls=[URL], now=NOW, skew_s=0
    )
    with pytest.raises(InvalidToken):
        check_rest_token(jwt.encode(claims, decoded), (BASE64_KEY,), urls=[URL], now=NOW, skew_s=0)


def test_token_seen_before_is_judged_anew() -> None:
    """What is remembered is that a key of ours signed it, and nothing else."""
    token = rest_token()
    check_rest(token)
    check_rest(token)
    with pytest.raises(InvalidToken, match="expired"):
        check_rest(token, now=NOW + 10_000)
    with pytest.raises(InvalidToken, match="another address"):
        check_rest_token(token, (KEY, KEY_2), urls=[URL + "x"], now=NOW, skew_s=SKEW_S)
    with pytest.raises(InvalidToken, match="not signed with a key"):
        check_rest_token(token, ("o" * 44,), urls=[URL], now=NOW, skew_s=SKEW_S)
    changed = token[:-6] + ("x" if token[-6] != "x" else "y") + token[-5:]
    for _ in range(2):
        with pytest.raises(InvalidToken):
            check_rest(changed)


def test_no_error_shows_token_or_key() -> None:
    for token in (signed(BASE64_KEY), signed(exp=0), signed(aud="x"), signed(sub=5), "a.b.c"):
        with pytest.raises(InvalidToken) as caught:
            check_client(token)
        for secret in (token, KEY, KEY_2):
            assert secret not in str(caught.value)


# --- reconnection tokens -------------------------------------------------------------------------


def reconnection_token(key: str = KEY) -> str:
    return make_reconnection_token(key, hub="chat", connection_id="c1", expires_at=NOW + 10)


def check_reconnection(token: str, **changes: Any) -> bool:
    arguments: dict[str, Any] = {"hub": "chat", "connection_id": "c1", "now": NOW, **changes}
    return check_reconnection_token(token, arguments.pop("keys", [KEY, KEY_2]), **arguments)


def test_reconnection_token_proves_hub_and_connection_until_it_expires() -> None:
    token = reconnection_token()
    assert check_reconnection(token)
    assert check_reconnection(token, now=int(NOW + 10) - 0.1)
    assert not check_reconnection(token, now=int(NOW + 10))
    assert not check_reconnection(token, hub="other")
    assert not check_reconnection(token, connection_id="c2")
    assert not check_reconnection(token, keys=[KEY_2])
    assert not check_reconnection(token, keys=[])
    assert check_reconnection(reconnection_token(KEY_2))


def test_hub_and_connection_id_cannot_be_cut_elsewhere() -> None:
    token = make_reconnection_token(KEY, hub="ab", connection_id="c", expires_at=NOW + 10)
    assert not check_reconnection(token, hub="a", connection_id="bc")


def test_reconnection_token_can_stand_in_an_address() -> None:
    token = reconnection_token()
    assert token.isascii()
    assert token.replace("-", "").replace("_", "").isalnum()


def test_reconnection_token_with_one_changed_character_is_refused() -> None:
    token = reconnection_token()
    for position in range(len(token) - 1):
        changed = "A" if token[position] != "A" else "B"
        assert not check_reconnection(token[:position] + changed + token[position + 1 :])


def test_reconnection_token_is_not_signed_with_the_access_key_itself() -> None:
    data = base64.urlsafe_b64decode(reconnection_token() + "==")
    forged = data[:8] + hmac.digest(KEY.encode(), data[:8] + b"chat/c1", hashlib.sha256)
    assert len(forged) == len(data)
    assert not check_reconnection(base64.urlsafe_b64encode(forged).rstrip(b"=").decode())


def test_tokens_of_the_other_kinds_are_no_reconnection_tokens() -> None:
    assert not check_reconnection(signed())
    assert not check_reconnection(rest_token())


@given(st.text() | st.text("ABCabc09-_=+/", min_size=53, max_size=55))
@example("\ud800" * 54)
@example("=" * 54)
@example("A" * 54)
@example("_" * 54)
def test_garbage_is_no_reconnection_token(token: str) -> None:
    assert not check_reconnection(token)
    assert not check_reconnection(reconnection_token(), connection_id=token, hub=token)
