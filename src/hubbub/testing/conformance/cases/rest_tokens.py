"""Health, versions, and the tokens of REST callers."""

import base64
import binascii
import time

import jwt

from hubbub.testing.conformance.registry import case
from hubbub.testing.conformance.trial import Trial, sign

_VERSIONS = ("2021-10-01", "2022-11-01", "2023-07-01", "2024-01-01", "2024-12-01")
_OTHER_KEY = "a key that no service has, long enough for HS256"


def _url(trial: Trial) -> str:
    return f"{trial.target.endpoint}/api/hubs/{trial.hub}/:send"


async def _send(trial: Trial, status: int, token: str, query: str | None = None) -> None:
    """A send to the whole hub with this token has to get this status, and to arrive if it is 202."""
    client = await trial.client(None)
    more = {} if query is None else {"query": query}
    await trial.send(b"sent", token=token, expect=status, **more)
    if status == 202:
        await client.frame("sent")
    else:
        await trial.fence(client)


# --- health and versions ---------------------------------------------------------------------


@case("RA-001")
async def health(trial: Trial) -> None:
    answer = await trial.rest("HEAD", "/api/health", token="", expect=200)
    trial.equal(answer.body, b"", "the body")


@case("RA-002")
async def health_without_a_version(trial: Trial) -> None:
    await trial.rest("HEAD", "/api/health", query="", token="", expect=200)


@case("RA-003")
async def unknown_version(trial: Trial) -> None:
    answer = await trial.send(b"x", query="api-version=2099-01-01", expect=400)
    answer.expect(400, "Error.BadRequest")
    trial.equal(answer.json.get("target"), "api-version", "the target of the error")


@case("RA-004")
async def version_given_twice(trial: Trial) -> None:
    client = await trial.client()
    query = "api-version=2024-12-01&api-version=2024-12-01"
    await trial.rest("HEAD", f"/connections/{client.connection_id}", query=query, expect=400)


@case("RA-005")
async def no_version(trial: Trial) -> None:
    client = await trial.client()
    await trial.rest("HEAD", f"/connections/{client.connection_id}", query="", expect=200)


@case("RA-006")
async def versions_are_told(trial: Trial) -> None:
    for answer in (
        await trial.send(b"x"),
        await trial.rest("HEAD", "/users/nobody"),
        await trial.send(b"{", "application/json", expect=400),
    ):
        told = answer.headers.get("api-supported-versions", "")
        missing = [version for version in _VERSIONS if version not in told]
        trial.check(not missing, f"api-supported-versions with {', '.join(_VERSIONS)}", told)


# --- who may call ----------------------------------------------------------------------------


@case("RA-007")
async def no_token(trial: Trial) -> None:
    answer = await trial.send(b"x", token="", expect=401)
    trial.equal(answer.body, b"", "the body")


@case("RA-008")
async def basic_authorization(trial: Trial) -> None:
    headers = {"Authorization": "Basic dXNlcjpwYXNz"}
    await trial.send(b"x", token="", headers=headers, expect=401)


@case("RA-009")
async def wrong_key(trial: Trial) -> None:
    await _send(trial, 401, trial.rest_token(_url(trial), key=_OTHER_KEY))


@case("RA-010", needs_second_key=True)
async def secondary_key(trial: Trial) -> None:
    await _send(trial, 202, trial.rest_token(_url(trial), key=trial.target.second_key))


@case("RA-011")
async def expired(trial: Trial) -> None:
    await _send(trial, 401, trial.rest_token(_url(trial), life_s=-600))


@case("RA-012")
async def expired_within_the_skew(trial: Trial) -> None:
    await _send(trial, 202, trial.rest_token(_url(trial), life_s=-120))


@case("RA-013")
async def no_expiry(trial: Trial) -> None:
    await _send(trial, 401, trial.rest_token(_url(trial), exp=None))


@case("RA-014")
async def audience_of_another_path(trial: Trial) -> None:
    url = f"{trial.target.endpoint}/api/hubs/{trial.hub}/groups/x/:send"
    await _send(trial, 401, trial.rest_token(url))


@case("RA-015")
async def audience_with_the_query(trial: Trial) -> None:
    query = "api-version=2024-12-01"
    await _send(trial, 202, trial.rest_token(f"{_url(trial)}?{query}"), query)


@case("RA-016")
async def audience_without_the_query(trial: Trial) -> None:
    await _send(trial, 202, trial.rest_token(_url(trial)))


@case("RA-017")
async def audience_with_another_query(trial: Trial) -> None:
    await _send(trial, 202, trial.rest_token(f"{_url(trial)}?api-version=1&excluded=zz"))


@case("RA-018")
async def audience_in_capitals(trial: Trial) -> None:
    endpoint, hub = trial.target.endpoint.upper(), trial.hub.upper()
    await _send(trial, 202, trial.rest_token(f"{endpoint}/api/hubs/{hub}/:send"))


@case("RA-019")
async def audience_of_another_host(trial: Trial) -> None:
    url = f"http://other.example/api/hubs/{trial.hub}/:send"
    await _send(trial, 401, trial.rest_token(url))


@case("RA-020")
async def other_algorithms(trial: Trial) -> None:
    claims = {"aud": _url(trial), "exp": int(time.time()) + 600}
    # RS256 in the head, but the signature made with the key as an HMAC.
    head = base64.urlsafe_b64encode(b'{"alg":"RS256","typ":"JWT"}').decode().rstrip("=")
    _, body, signature = trial.rest_token(_url(trial)).split(".")
    for token in (jwt.encode(claims, "", algorithm="none"), f"{head}.{body}.{signature}"):
        await _send(trial, 401, token)


@case("RA-021")
async def kid_and_iss(trial: Trial) -> None:
    claims = {"aud": _url(trial), "exp": int(time.time()) + 600, "iss": "me"}
    await _send(trial, 202, sign(claims, trial.target.key, kid="k"))


@case("RA-022")
async def garbage(trial: Trial) -> None:
    await _send(trial, 401, "abc")


@case("RA-098", is_ours=True)
async def original_host(trial: Trial) -> None:
    token = trial.rest_token(f"http://original.example/api/hubs/{trial.hub}/:send")
    await trial.send(b"x", token=token, headers={"Host": "original.example"})
    await _send(trial, 401, token)


@case("RA-104")
async def key_is_text(trial: Trial) -> None:
    try:
        decoded = base64.b64decode(trial.target.key, validate=True)
    except binascii.Error:
        trial.not_applicable("the key of this service is no base64")
    await _send(trial, 202, trial.rest_token(_url(trial)))
    claims = {"aud": _url(trial), "exp": int(time.time()) + 600}
    await _send(trial, 401, sign(claims, decoded))


# --- generateToken ---------------------------------------------------------------------------


@case("RA-088", is_ours=True)
async def generate_token_parameters(trial: Trial) -> None:
    for bad in ("minutesToExpire=0", "clientType=foo"):
        await trial.rest("POST", "/:generateToken", query=bad, expect=400)
    answer = await trial.rest("POST", "/:generateToken", query="clientType=mqtt", expect=200)
    claims = jwt.decode(answer.json["token"], options={"verify_signature": False})
    trial.check("/clients/mqtt/hubs/" in str(claims.get("aud")), "aud of the MQTT path", claims)


@case("RA-089", is_ours=True)
async def generate_token_with_a_key(trial: Trial) -> None:
    answer = await trial.rest("POST", "/:generateToken", query="userId=u&group=g", expect=200)
    client = await trial.client(token=answer.json["token"])
    trial.equal(client.hello.get("userId"), "u", "userId in `connected`")
    await trial.send(b"hi", to="/groups/g")
    await client.message(group="g", data="hi")


@case("RA-103", is_ours=True)
async def operators_routes(trial: Trial) -> None:
    for name in ("metrics", "trace", ""):
        answer = await trial.rest("GET", f"/_hubbub/{name}", query="", token="", expect=401)
        trial.equal(answer.body, b"", "the body")
