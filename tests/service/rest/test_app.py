import asyncio
import base64
import logging

import jwt
import pytest

from hubbub.protocol.errors import EngineUnavailable, Overloaded
from hubbub.service.rest.answers import API_VERSIONS
from hubbub.service.rest.app import ROUTES

SEND = "/api/hubs/chat/:send"


def filled(path: str) -> str:
    for name in ("hub", "connection", "group", "user"):
        path = path.replace("{" + name + "}", "abc")
    return path.replace("{permission}", "sendToGroup")


EVERY = [
    (method, filled(path), operation)
    for path, table in ROUTES
    for method, operation in table.items()
]


# --- versions --------------------------------------------------------------------------------


@pytest.mark.parametrize(("method", "path", "operation"), EVERY)
@pytest.mark.parametrize("query", ["api-version=2099-01-01", "api-version=", "api-version=2024"])
async def test_ra_003_api_version_when_unknown_answers_400(bench, method, path, operation, query):
    answer = await bench.request(method, path, query=query)
    assert answer.status == 400
    assert answer.headers["x-ms-error-code"] == "Error.BadRequest"
    if method == "HEAD":
        assert answer.body == b""
    else:
        assert answer.json == {
            "code": "Error.BadRequest",
            "message": "The specified API version is not supported.",
            "target": "api-version",
        }


async def test_ra_004_api_version_when_given_twice_answers_400(bench):
    answer = await bench.send(query="api-version=2024-12-01&api-version=2024-12-01")
    assert (answer.status, answer.json["target"]) == (400, "api-version")
    assert bench.sent == []


@pytest.mark.parametrize("query", ["", "other=1", "excluded=c"])
async def test_ra_005_api_version_when_missing_is_the_newest(bench, query):
    assert (await bench.send(query=query)).status == 202


@pytest.mark.parametrize("version", API_VERSIONS)
async def test_api_version_when_known_is_taken(bench, version):
    assert (await bench.send(query=f"x=1&api-version={version}")).status == 202


@pytest.mark.parametrize("token", ["", None])
@pytest.mark.parametrize(("method", "path", "operation"), EVERY)
async def test_ra_006_every_answer_lists_the_supported_versions(
    bench, method, path, operation, token
):
    answer = await bench.request(method, path, token=token)
    if path == "/_hubbub/client.js":
        return  # not part of the versioned API
    assert answer.headers["api-supported-versions"] == (
        "2021-10-01, 2022-11-01, 2023-07-01, 2024-01-01, 2024-12-01"
    )
    assert answer.status == (401 if token is None and not operation.is_open else answer.status)


# --- tokens ----------------------------------------------------------------------------------


def assert_stranger(bench, answer):
    assert (answer.status, answer.body) == (401, b"")
    assert answer.headers["www-authenticate"] == "Bearer"
    assert "x-ms-error-code" not in answer.headers
    assert bench.sent == []


@pytest.mark.parametrize(("method", "path", "operation"), EVERY)
async def test_ra_007_without_authorization_only_open_routes_answer(bench, method, path, operation):
    answer = await bench.request(method, path, token=None)
    if operation.is_open:
        assert answer.status == 200
    else:
        assert_stranger(bench, answer)


@pytest.mark.parametrize("value", ["Basic dTpw", "Bearer", "Bearer ", "Bearer abc", "abc", ""])
async def test_ra_008_ra_022_authorization_when_no_token_answers_401(bench, value):
    headers = {"authorization": value, "content-type": "text/plain"}
    assert_stranger(bench, await bench.send(token=None, headers=headers))


async def test_authorization_when_given_twice_answers_401(bench, world):
    token = world.token({"aud": world.ORIGIN + SEND})
    headers = [("authorization", f"Bearer {token}")]
    assert_stranger(bench, await bench.send(token=token, headers=headers))


async def test_authorization_scheme_is_compared_without_case(bench, world):
    token = world.token({"aud": world.ORIGIN + SEND})
    for scheme in ("bearer", "BEARER", "Bearer "):
        headers = {"authorization": f"{scheme} {token}"}
        assert (await bench.send(token=None, headers=headers)).status == 202


async def test_ra_009_token_when_key_is_wrong_answers_401(bench, world):
    token = world.token({"aud": world.ORIGIN + SEND}, "some-other-key-of-enough-many-bytes")
    assert_stranger(bench, await bench.send(token=token))


async def test_ra_010_token_when_key_is_the_secondary_is_taken(bench, world):
    token = world.token({"aud": world.ORIGIN + SEND}, world.OTHER_KEY)
    assert (await bench.send(token=token)).status == 202


@pytest.mark.parametrize(("age_s", "status"), [(600, 401), (301, 401), (120, 202), (-60, 202)])
async def test_ra_011_ra_012_token_when_expired_has_a_skew_of_five_minutes(
    bench, world, age_s, status
):
    token = world.token({"aud": world.ORIGIN + SEND, "exp": world.NOW - age_s})
    assert (await bench.send(token=token)).status == status


async def test_ra_013_token_when_exp_is_missing_answers_401(bench, world):
    token = jwt.encode({"aud": world.ORIGIN + SEND}, world.KEY, algorithm="HS256")
    assert_stranger(bench, await bench.send(token=token))


@pytest.mark.parametrize(
    "audience",
    [
        "http://push.test:8080/api/hubs/chat/groups/x/:send",
        "http://push.test:8080/api/hubs/chat/",
        "http://push.test:8080",
        "http://other.test:8080/api/hubs/chat/:send",
        "https://push.test:8080/api/hubs/chat/:send",
        "http://push.test/api/hubs/chat/:send",
        "",
        [],
    ],
)
async def test_ra_014_ra_019_token_when_audience_is_another_answers_401(bench, world, audience):
    assert_stranger(bench, await bench.send(token=world.token({"aud": audience})))


@pytest.mark.parametrize(
    "audience",
    [
        "http://push.test:8080/api/hubs/chat/:send?api-version=2024-12-01",
        "http://push.test:8080/api/hubs/chat/:send",
        "http://push.test:8080/api/hubs/chat/:send?api-version=1&excluded=zz",
        "HTTP://PUSH.TEST:8080/api/hubs/CHAT/:send",
        "http://push.test:8080/api/hubs/chat/%3Asend",
        ["http://nowhere.test", "http://push.test:8080/api/hubs/chat/:send"],
    ],
)
async def test_ra_015_ra_016_ra_017_ra_018_token_when_audience_means_the_url_is_taken(
    bench, world, audience
):
    assert (await bench.send(token=world.token({"aud": audience}))).status == 202


async def test_ra_020_token_when_algorithm_is_not_hs256_answers_401(bench, world):
    claims = {"aud": world.ORIGIN + SEND, "exp": world.NOW + 60}
    unsigned = jwt.encode(claims, None, algorithm="none")
    longer = jwt.encode(claims, world.KEY * 2, algorithm="HS512")
    # RS256 in the header, the signature made with our key as an HMAC.
    head = base64.urlsafe_b64encode(b'{"alg":"RS256","typ":"JWT"}').decode().rstrip("=")
    _, body, signature = world.token(claims).split(".")
    for token in (unsigned, longer, f"{head}.{body}.{signature}"):
        assert_stranger(bench, await bench.send(token=token))


async def test_ra_021_token_when_kid_and_iss_are_there_ignores_them(bench, world):
    token = world.token({"aud": world.ORIGIN + SEND, "iss": "me"}, headers={"kid": "no-such-key"})
    assert (await bench.send(token=token)).status == 202


async def test_ra_104_key_when_it_looks_like_base64_is_taken_as_text(bench, world):
    key = base64.b64encode(bytes(range(32))).decode()
    assert len(key) == 44
    bench.node.keys = (key,)
    claims = {"aud": world.ORIGIN + SEND}
    assert (await bench.send(token=world.token(claims, key))).status == 202
    assert (await bench.send(token=world.token(claims, base64.b64decode(key)))).status == 401


@pytest.mark.parametrize(
    ("path", "audience"),
    [
        ("/api/hubs/chat/groups/a%2Fb%20c/:send", "/api/hubs/chat/groups/a%2Fb%20c/:send"),
        ("/api/hubs/chat/groups/a%2Fb%20c/:send", "/api/hubs/chat/groups/a/b c/:send"),
        ("/api/hubs/chat/groups/%C3%A9/:send", "/api/hubs/chat/groups/%C3%A9/:send"),
        ("/api/hubs/chat/groups/%C3%A9/:send", "/api/hubs/chat/groups/é/:send"),
        ("/api/hubs/chat/groups/a%252Fb/:send", "/api/hubs/chat/groups/a%252Fb/:send"),
        ("/api/hubs/chat/groups/a%3Fb/:send", "/api/hubs/chat/groups/a%3Fb/:send?x=1"),
        ("/api/hubs/chat/groups/a/:send", "/api/hubs/chat/groups/a/:send/"),
    ],
)
async def test_token_audience_is_the_raw_or_the_decoded_path(bench, world, path, audience):
    token = world.token({"aud": world.ORIGIN + audience})
    assert (await bench.request("POST", path, token=token)).status == 202


@pytest.mark.parametrize(
    ("path", "audience"),
    [
        ("/api/hubs/chat/groups/a%3Fb/:send", "/api/hubs/chat/groups/a"),
        ("/api/hubs/chat/groups/a", "/api/hubs/chat/groups/a%3Fb/:send"),
        ("/api/hubs/chat/groups/a%2F", "/api/hubs/chat/groups/a"),
    ],
)
async def test_token_for_a_name_that_begins_alike_answers_401(bench, world, path, audience):
    method = "POST" if path.endswith("send") else "HEAD"
    token = world.token({"aud": world.ORIGIN + audience})
    assert_stranger(bench, await bench.request(method, path, token=token))


async def test_token_when_host_header_is_missing_answers_401(bench, world):
    token = world.token({"aud": f"http://127.0.0.1:8080{SEND}"})
    assert_stranger(bench, await bench.send(token=token, host=None))


# --- who the service is to its clients --------------------------------------------------------


async def test_ra_098_token_for_the_original_host_when_the_proxy_keeps_host_is_taken(bench, world):
    token = world.token({"aud": f"http://original.test{SEND}"})
    assert (await bench.send(token=token, host="original.test")).status == 202


async def test_public_endpoint_when_set_is_taken_beside_the_host(make_bench, world):
    bench = make_bench(public_endpoint="https://push.example.com/")
    for origin in ("https://push.example.com", world.ORIGIN):
        token = world.token({"aud": origin + SEND})
        assert (await bench.send(token=token)).status == 202
    token = world.token({"aud": f"https://other.example.com{SEND}"})
    assert (await bench.send(token=token)).status == 401


FORWARDED = {"x-forwarded-proto": "https", "x-forwarded-host": "outer.test, inner.test"}


async def test_forwarded_headers_when_trusted_give_scheme_and_host(make_bench, world):
    bench = make_bench(trust_forwarded_headers=True)
    token = world.token({"aud": f"https://outer.test{SEND}"})
    assert (await bench.send(token=token, headers=FORWARDED)).status == 202
    token = world.token({"aud": world.ORIGIN + SEND})
    assert (await bench.send(token=token, headers=FORWARDED)).status == 401
    assert (await bench.send(token=token)).status == 202


async def test_forwarded_headers_when_not_trusted_are_ignored(bench, world):
    token = world.token({"aud": f"https://outer.test{SEND}"})
    assert (await bench.send(token=token, headers=FORWARDED)).status == 401
    assert (await bench.send(headers=FORWARDED)).status == 202


# --- routes ----------------------------------------------------------------------------------


@pytest.mark.parametrize("token", ["", None])
async def test_unknown_path_answers_404(bench, token):
    answer = await bench.request("POST", "/api/hubs/chat/:sendd", token=token)
    assert (answer.status, answer.code) == (404, "Error.NotFound")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", SEND, "POST"),
        ("PUT", "/api/hubs/chat/connections/c", "DELETE, HEAD"),
        ("POST", "/api/health", "GET, HEAD"),
        ("OPTIONS", SEND, "POST"),
    ],
)
async def test_ra_097_known_path_when_method_is_another_answers_405(bench, method, path, allowed):
    answer = await bench.request(method, path)
    assert (answer.status, answer.headers["allow"]) == (405, allowed)
    assert answer.code == "Error.MethodNotAllowed"


# --- trouble ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("method", "path", "operation"), EVERY)
async def test_draining_answers_503_to_all_but_the_static_and_the_ready_route(
    bench, method, path, operation
):
    bench.node.is_draining = True
    answer = await bench.request(method, path)
    if path == "/_hubbub/client.js":
        assert answer.status == 200
        return
    assert (answer.status, answer.headers["retry-after"]) == (503, "1")
    if method == "HEAD":
        assert answer.body == b""
    if path != "/_hubbub/ready":
        assert answer.headers["x-ms-error-code"] == "Error.ServiceUnavailable"


async def test_draining_tells_strangers_nothing(bench):
    bench.node.is_draining = True
    assert_stranger(bench, await bench.send(token=None))


@pytest.mark.parametrize("fault", [EngineUnavailable("down"), Overloaded("full")])
async def test_engine_when_it_does_not_accept_answers_503(bench, fault):
    bench.node.fault = fault
    answer = await bench.send()
    assert (answer.status, answer.code) == (503, "Error.ServiceUnavailable")
    assert answer.headers["retry-after"] == "1"


async def test_fault_answers_500_and_logs_once_without_what_was_sent(bench, caplog):
    bench.node.fault = ValueError("payload-secret in the text of an error")
    with caplog.at_level(logging.DEBUG):
        answer = await bench.send(b"payload-secret", query="excluded=query-secret")
    assert (answer.status, answer.code) == (500, "Error.InternalServerError")
    assert b"secret" not in answer.body
    (record,) = caplog.records
    assert record.levelname == "ERROR"
    text = caplog.text
    assert "send to all" in text
    assert "ValueError" in text
    assert "in record" in text  # where it happened
    assert "secret" not in text


async def test_cancellation_passes(bench):
    bench.node.fault = asyncio.CancelledError()
    with pytest.raises(asyncio.CancelledError):
        await bench.send()
