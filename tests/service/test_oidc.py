import asyncio
import base64
import time
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import jwt
import pytest
from aiohttp import web
from jwt.algorithms import RSAAlgorithm
from tests.service.issuer import AUDIENCE, NOW, Issuer, dumps, ec_key, entry, rsa_key

from hubbub.protocol import connection_string, tokens
from hubbub.protocol.errors import InvalidToken, SettingsError
from hubbub.service import Service, Settings, oidc
from hubbub.service.oidc import FETCH_PAUSE_S, FIRST_FETCH_PAUSE_S, IssuerUnavailable, Oidc

SKEW_S = 300
BOTH = [Issuer.CONFIGURATION, "/keys"]


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
async def issuer() -> AsyncIterator[Issuer]:
    async with Issuer() as issuer:
        yield issuer


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def judge(issuer: Issuer, clock: Clock) -> AsyncIterator[Oidc]:
    judge = Oidc(issuer.url, AUDIENCE, skew_s=SKEW_S, now=lambda: NOW, monotonic=clock)
    await judge.open()
    yield judge
    await judge.close()


# --- tokens ----------------------------------------------------------------------------------


async def test_token_of_the_issuer_is_good_with_both_algorithms(
    issuer: Issuer, judge: Oidc
) -> None:
    await judge.check(issuer.sign())
    await judge.check(issuer.sign(ec_key("e1"), "e1", "ES256"))
    await judge.check(issuer.sign(aud=["https://other.example", AUDIENCE]))
    assert issuer.asked == BOTH  # once for all


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": "http://127.0.0.1:1"},
        {"iss": None},
        {"aud": AUDIENCE.upper()},
        {"aud": AUDIENCE + "/"},
        {"aud": ["https://other.example"]},
        {"aud": None},
        {"aud": {AUDIENCE: True}},
        {"exp": None},
        {"exp": NOW - SKEW_S - 1},
        {"exp": str(NOW + 60)},
        {"nbf": NOW + SKEW_S + 1},
    ],
)
async def test_token_with_a_wrong_claim_is_refused_and_asks_nobody(
    issuer: Issuer, judge: Oidc, claims: dict[str, Any]
) -> None:
    with pytest.raises(InvalidToken):
        await judge.check(issuer.sign(**claims))
    assert issuer.asked == []


@pytest.mark.parametrize("claims", [{"exp": NOW - SKEW_S}, {"nbf": NOW + SKEW_S}])
async def test_token_at_the_edge_of_the_skew_is_good(
    issuer: Issuer, judge: Oidc, claims: dict[str, Any]
) -> None:
    await judge.check(issuer.sign(**claims))


async def test_token_with_a_secret_or_without_signature_is_refused(
    issuer: Issuer, judge: Oidc
) -> None:
    public = entry(rsa_key("r1"), "r1")
    secret = base64.urlsafe_b64decode(public["n"] + "==")
    for token in (
        issuer.sign(secret, algorithm="HS256"),
        issuer.sign("", algorithm="none"),
        issuer.sign(algorithm="RS512"),
        issuer.sign(key_id=None),
        "abc",
        "é",
        "a" * 20_000,
        ".".join(["e30"] * 3),
    ):
        with pytest.raises(InvalidToken):
            await judge.check(token)
    assert issuer.asked == []


@pytest.mark.parametrize(
    ("key", "key_id", "algorithm"),
    [
        (rsa_key("somebody"), "r1", "RS256"),
        (ec_key("somebody"), "e1", "ES256"),
        (rsa_key("r1"), "e1", "RS256"),
        (ec_key("e1"), "r1", "ES256"),
    ],
)
async def test_token_that_its_named_key_did_not_sign_is_refused(
    issuer: Issuer, judge: Oidc, key: Any, key_id: str, algorithm: str
) -> None:
    with pytest.raises(InvalidToken):
        await judge.check(issuer.sign(key, key_id, algorithm))


async def test_token_that_was_changed_is_refused(issuer: Issuer, judge: Oidc) -> None:
    header, _, signature = issuer.sign().split(".")
    _, content, _ = issuer.sign(sub="somebody").split(".")
    with pytest.raises(InvalidToken):
        await judge.check(f"{header}.{content}.{signature}")


# --- keys ------------------------------------------------------------------------------------


async def test_new_key_is_fetched_but_unknown_ones_not_more_than_once_a_minute(
    issuer: Issuer, judge: Oidc, clock: Clock
) -> None:
    await judge.check(issuer.sign())
    issuer.keys.append(entry(rsa_key("r2"), "r2"))
    token = issuer.sign(rsa_key("r2"), "r2")
    clock.now += FETCH_PAUSE_S - 1
    for _ in range(3):
        with pytest.raises(InvalidToken):
            await judge.check(token)
    assert issuer.asked == BOTH
    clock.now += 1
    await judge.check(token)
    assert issuer.asked == BOTH * 2


async def test_many_calls_at_once_make_one_fetch_and_one_that_leaves_does_not_end_it(
    issuer: Issuer, judge: Oidc
) -> None:
    issuer.hold.clear()
    calls = [asyncio.create_task(judge.check(issuer.sign())) for _ in range(20)]
    while not issuer.asked:
        await asyncio.sleep(0.001)
    calls[0].cancel()
    issuer.hold.set()
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert isinstance(results[0], asyncio.CancelledError)
    assert results[1:] == [None] * 19
    assert issuer.asked == BOTH


async def test_issuer_that_is_away_is_told_and_asked_again_soon(
    issuer: Issuer, judge: Oidc, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    issuer.say(Issuer.CONFIGURATION, b"", 503)
    for _ in range(3):
        with pytest.raises(IssuerUnavailable):
            await judge.check(issuer.sign())
    assert len(issuer.asked) == 1
    assert "status 503" in caplog.text
    issuer.overrides.clear()
    clock.now += FIRST_FETCH_PAUSE_S
    await judge.check(issuer.sign())


async def test_issuer_that_cannot_be_reached_is_told(clock: Clock) -> None:
    async with Issuer() as gone:
        token = gone.sign()
    judge = Oidc(gone.url, AUDIENCE, skew_s=0, now=lambda: NOW, monotonic=clock)
    await judge.open()
    with pytest.raises(IssuerUnavailable):
        await judge.check(token)
    await judge.close()


async def test_old_keys_are_fetched_again_while_they_work_and_too_old_ones_do_not(
    issuer: Issuer, judge: Oidc, clock: Clock
) -> None:
    await judge.check(issuer.sign())
    clock.now += oidc.KEYS_FRESH_S
    issuer.say(Issuer.CONFIGURATION, b"", 500)
    await judge.check(issuer.sign())
    while len(issuer.asked) < 3:
        await asyncio.sleep(0.001)
    await judge.check(issuer.sign())
    clock.now += oidc.KEYS_LIFE_S
    with pytest.raises(IssuerUnavailable):
        await judge.check(issuer.sign())


async def test_key_that_is_withdrawn_is_no_longer_good(
    issuer: Issuer, judge: Oidc, clock: Clock
) -> None:
    await judge.check(issuer.sign())
    del issuer.keys[0]
    clock.now += FETCH_PAUSE_S
    with pytest.raises(InvalidToken):
        await judge.check(issuer.sign(key_id="unknown"))
    with pytest.raises(InvalidToken):
        await judge.check(issuer.sign())


@pytest.mark.parametrize(
    "members",
    [{"use": "enc"}, {"alg": "RS512"}, {"kty": "oct", "k": "AAAA"}, {"n": "AQAB"}, {"n": 5}],
)
async def test_key_that_is_for_something_else_or_broken_is_left_out(
    issuer: Issuer, judge: Oidc, members: dict[str, Any]
) -> None:
    issuer.keys[0] = entry(rsa_key("r1"), "r1", **members)
    with pytest.raises(InvalidToken):
        await judge.check(issuer.sign())
    await judge.check(issuer.sign(ec_key("e1"), "e1", "ES256"))


async def test_key_whose_secret_half_is_published_is_left_out(issuer: Issuer, judge: Oidc) -> None:
    published = RSAAlgorithm.to_jwk(rsa_key("r1"), as_dict=True)
    issuer.keys[0] = {**published, "kid": "r1"}
    with pytest.raises(InvalidToken, match="does not have"):
        await judge.check(issuer.sign())


async def test_short_rsa_key_is_left_out(issuer: Issuer, judge: Oidc) -> None:
    issuer.keys.append(entry(rsa_key("short", 1024), "short"))
    with pytest.warns(jwt.InsecureKeyLengthWarning):
        token = issuer.sign(rsa_key("short", 1024), "short")
    with pytest.raises(InvalidToken):
        await judge.check(token)


# --- documents -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "body", "word"),
    [
        (Issuer.CONFIGURATION, b"no json", "no JSON"),
        (Issuer.CONFIGURATION, b"[]", "no JSON object"),
        (Issuer.CONFIGURATION, b"[" * 100_000, "no JSON"),
        (Issuer.CONFIGURATION, b" " * (oidc.MAX_DOCUMENT_BYTES + 1), "more than"),
        (Issuer.CONFIGURATION, dumps({"issuer": "https://evil.example"}), "another issuer"),
        ("/keys", b'{"keys": 5}', "there is no key"),
        ("/keys", b'{"keys": [null, {}, {"kty": "RSA", "kid": 1}]}', "there is no key"),
    ],
)
async def test_document_that_cannot_be_used_gives_no_keys(
    issuer: Issuer,
    judge: Oidc,
    caplog: pytest.LogCaptureFixture,
    path: str,
    body: bytes,
    word: str,
) -> None:
    issuer.say(path, body)
    with pytest.raises(IssuerUnavailable):
        await judge.check(issuer.sign())
    assert word in caplog.text


@pytest.mark.parametrize("address", ["http://id.example/keys", "file:///etc/passwd", "", 5, None])
async def test_address_of_keys_when_not_safe_is_not_followed(
    issuer: Issuer, judge: Oidc, address: object
) -> None:
    issuer.configuration["jwks_uri"] = address
    with pytest.raises(IssuerUnavailable):
        await judge.check(issuer.sign())
    assert issuer.asked == [Issuer.CONFIGURATION]


async def test_redirect_is_not_followed(issuer: Issuer, judge: Oidc) -> None:
    issuer.say(Issuer.CONFIGURATION, b"", 302, Location="/keys")
    with pytest.raises(IssuerUnavailable):
        await judge.check(issuer.sign())
    assert issuer.asked == [Issuer.CONFIGURATION]


async def test_configuration_when_slow_is_given_up(
    issuer: Issuer, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(oidc, "FETCH_TIMEOUT_S", 0.05)
    forever = asyncio.Event()

    async def answer(request: web.Request) -> web.StreamResponse:
        await forever.wait()
        return web.Response()

    issuer.overrides[Issuer.CONFIGURATION] = answer
    judge = Oidc(issuer.url, AUDIENCE, skew_s=0, now=lambda: NOW, monotonic=clock)
    await judge.open()
    with pytest.raises(IssuerUnavailable):
        await judge.check(issuer.sign())
    forever.set()
    await judge.close()


async def test_close_ends_a_fetch_under_way(issuer: Issuer, clock: Clock) -> None:
    judge = Oidc(issuer.url, AUDIENCE, skew_s=0, now=lambda: NOW, monotonic=clock)
    await judge.open()
    issuer.hold.clear()
    call = asyncio.create_task(judge.check(issuer.sign()))
    while not issuer.asked:
        await asyncio.sleep(0.001)
    await judge.close()
    with pytest.raises(asyncio.CancelledError):
        await call


# --- settings --------------------------------------------------------------------------------


def test_issuer_without_the_packages_is_a_fault_that_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(oidc, "has_crypto", False)
    with pytest.raises(SettingsError, match=r"hubbub\[oidc\]"):
        Service(Settings(port=0, oidc_issuer="https://id.example"))


def test_issuer_over_an_open_line_is_a_fault() -> None:
    with pytest.raises(SettingsError, match="oidc_issuer"):
        Service(Settings(port=0, oidc_issuer="http://id.example"))


# --- a whole service -------------------------------------------------------------------------


Stage = tuple[Service, httpx2.AsyncClient]


@pytest.fixture
async def stage(issuer: Issuer) -> AsyncIterator[Stage]:
    settings = Settings(port=0, oidc_issuer=issuer.url, generate_token_requires_entra=True)
    async with (
        Service(settings) as service,
        httpx2.AsyncClient(base_url=service.url, trust_env=False) as http,
    ):
        yield service, http


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def key_signed(service: Service, path: str) -> str:
    key = connection_string.parse(service.connection_string).access_key
    return tokens.make_rest_token(key, url=service.url + path, now=time.time(), life_s=60)


def soon() -> int:
    return int(time.time()) + 60


async def test_service_takes_tokens_of_the_issuer_beside_its_own(
    issuer: Issuer, stage: Stage
) -> None:
    service, http = stage
    path = "/_hubbub/ready"
    good = issuer.sign(exp=soon())
    for token, status in (
        (good, 200),
        (good[:-4] + "AAAA", 401),
        (issuer.sign(exp=soon(), aud=AUDIENCE.upper()), 401),
        (key_signed(service, path), 200),
        (key_signed(service, "/api/hubs/chat/:send"), 401),
    ):
        assert (await http.get(path, headers=bearer(token))).status_code == status
    assert issuer.asked == BOTH


async def test_ra_087_ra_102_generate_token_when_entra_is_required_takes_the_issuers_token_alone(
    issuer: Issuer, stage: Stage
) -> None:
    service, http = stage
    path = "/api/hubs/chat/:generateToken"
    query = "?userId=u&role=r1&role=r2&group=g&minutesToExpire=5"
    answer = await http.post(path + query, headers=bearer(key_signed(service, path)))
    assert (answer.status_code, answer.content) == (401, b"")
    before = int(time.time())
    answer = await http.post(path + query, headers=bearer(issuer.sign(exp=soon())))
    assert answer.status_code == 200
    key = connection_string.parse(service.connection_string).access_key
    claims = jwt.decode(
        answer.json()["token"], key, algorithms=["HS256"], options={"verify_aud": False}
    )
    assert claims["aud"] == f"{service.url}/client/hubs/chat"
    assert (claims["sub"], claims["role"]) == ("u", ["r1", "r2"])
    assert claims["webpubsub.group"] == ["g"]
    assert before + 300 <= claims["exp"] <= int(time.time()) + 300


async def test_service_when_the_issuer_is_away_answers_503_and_to_others_401(
    issuer: Issuer, stage: Stage
) -> None:
    _, http = stage
    issuer.say(Issuer.CONFIGURATION, b"", 500)
    answer = await http.get("/_hubbub/ready", headers=bearer(issuer.sign(exp=soon())))
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
    answer = await http.get("/_hubbub/ready", headers=bearer(issuer.sign(exp=soon(), iss="x")))
    assert answer.status_code == 401


async def test_service_when_asked_without_a_host_says_that_it_needs_one(
    issuer: Issuer, stage: Stage
) -> None:
    _, http = stage
    reader, writer = await asyncio.open_connection(http.base_url.host, http.base_url.port)
    token = issuer.sign(exp=soon())
    head = f"POST /api/hubs/chat/:generateToken HTTP/1.0\r\nAuthorization: Bearer {token}\r\n\r\n"
    writer.write(head.encode())
    answer = await reader.read()
    writer.close()
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"Host" in answer
