"""Who gets in: tokens of REST callers and of clients, over real HTTP and real handshakes."""

import base64
import time
from collections.abc import AsyncIterator

import jwt
import pytest
from tests.wire.rest_helpers import JSON, KEY, OTHER_KEY, Wire, wire
from websockets.exceptions import InvalidStatus

from hubbub import __version__

SEND = "/api/hubs/chat/:send"
GENERATE = "/api/hubs/chat/:generateToken"


@pytest.fixture
async def w() -> AsyncIterator[Wire]:
    async with wire() as it:
        yield it


# --- REST callers ----------------------------------------------------------------------------


async def test_ra_006_ra_007_ra_009_stranger_gets_an_empty_401(w):
    plain = await w.connect()
    url = w.service.url + SEND
    answers = [
        await w.http.post(url, content=b"x"),
        await w.send(b"x", token=w.rest_token(url, "some-other-key-with-enough-many-bytes")),
        await w.send(b"x", token=w.rest_token(url + "x")),
        await w.send(b"x", token=w.rest_token(url, exp=int(time.time()) - 600)),
    ]
    for answer in answers:
        assert (answer.status_code, answer.content) == (401, b"")
        assert answer.headers["www-authenticate"] == "Bearer"
        assert "2024-12-01" in answer.headers["api-supported-versions"]
    await w.fence(plain)


async def test_ra_010_ra_012_ra_021_tokens_that_are_let_in(w):
    url = w.service.url + SEND
    for token in (
        w.rest_token(url, OTHER_KEY),
        w.rest_token(url, exp=int(time.time()) - 120),
        w.rest_token(url, iss="me"),
        w.rest_token(url.upper() + "?x=1"),
    ):
        assert (await w.send(b"x", token=token)).status_code == 202


async def test_ra_098_audience_of_the_original_host_when_the_proxy_forwards_it(w):
    token = w.rest_token("http://original.example:123" + SEND)
    headers = {"Host": "original.example:123"}
    assert (await w.send(b"x", token=token, headers=headers)).status_code == 202
    assert (await w.send(b"x", token=token)).status_code == 401


async def test_ra_104_key_is_the_bytes_of_its_text():
    key = base64.b64encode(bytes(range(32))).decode()
    assert len(key) == 44
    async with wire(access_key=key, access_key_secondary=None) as w:
        url = w.service.url + SEND
        assert (await w.send(b"x", token=w.rest_token(url, key))).status_code == 202
        decoded = base64.b64decode(key)
        assert (await w.send(b"x", token=w.rest_token(url, decoded))).status_code == 401


# --- generateToken ---------------------------------------------------------------------------


async def test_ra_089_generated_token_lets_a_client_in(w):
    query = "userId=u&group=g&role=webpubsub.sendToGroup.g&minutesToExpire=5"
    answer = await w.call("POST", GENERATE, query)
    assert answer.status_code == 200
    client = await w.connect(JSON, token=answer.json()["token"])
    assert client.connected is not None
    assert client.connected["userId"] == "u"
    ack = await client.ask(
        {
            "type": "sendToGroup",
            "group": "g",
            "dataType": "text",
            "data": "hi",
            "ackId": 1,
            "noEcho": True,
        }
    )
    assert (ack["type"], ack["success"]) == ("ack", True)
    assert (await w.send(b"in", to="/groups/g")).status_code == 202
    assert (await client.message())["data"] == "in"


async def test_ra_087_ra_088_generated_token_holds_what_was_asked_for(w):
    query = "userId=u&role=r1&role=r2&group=g&minutesToExpire=5&clientType=mqtt"
    before = int(time.time())
    answer = await w.call("POST", GENERATE.replace("chat", "CHAT"), query)
    audience = f"{w.service.url}/clients/mqtt/hubs/chat"
    claims = jwt.decode(answer.json()["token"], KEY, algorithms=["HS256"], audience=audience)
    assert (claims["sub"], claims["role"], claims["webpubsub.group"]) == ("u", ["r1", "r2"], ["g"])
    assert before + 300 <= claims["exp"] <= time.time() + 300
    for bad in ("minutesToExpire=0", "clientType=foo"):
        assert (await w.call("POST", GENERATE, bad)).status_code == 400


async def test_ra_102_generate_token_when_entra_is_required_answers_401():
    async with wire(generate_token_requires_entra=True) as w:
        answer = await w.call("POST", GENERATE)
        assert (answer.status_code, answer.content) == (401, b"")
        assert (await w.send(b"x")).status_code == 202


# --- clients ---------------------------------------------------------------------------------


async def test_ra_090_role_as_a_plain_string_is_applied(w):
    client = await w.connect(JSON, token=w.client_token(role="webpubsub.joinLeaveGroup.g"))
    assert (await client.ask({"type": "joinGroup", "group": "g", "ackId": 1}))["success"] is True
    refused = await client.ask({"type": "joinGroup", "group": "h", "ackId": 2})
    assert (refused["success"], refused["error"]["name"]) == (False, "Forbidden")


async def refusal(w: Wire, token: str, *, hub: str = "chat") -> tuple[int, str]:
    with pytest.raises(InvalidStatus) as caught:
        await w.connect(hub=hub, token=token)
    response = caught.value.response
    return response.status_code, (response.body or b"").decode()


async def test_ra_091_client_token_for_a_ws_address_is_refused(w):
    audience = w.service.url.replace("http", "ws", 1) + "/client/hubs/chat"
    assert (await refusal(w, w.client_token(audience=audience)))[0] == 401


async def test_ra_092_client_token_of_another_hub_is_refused(w):
    assert (await refusal(w, w.client_token(hub="a"), hub="b"))[0] == 401


async def test_ra_093_client_token_when_expired_or_with_a_bad_group_is_refused(w):
    assert (await refusal(w, w.client_token(life_s=-600)))[0] == 401
    bad_group = w.client_token(**{"webpubsub.group": ["ok", "g" * 1025]})
    assert await refusal(w, bad_group) == (400, "The token contains an invalid group name.")
    await w.connect(token=w.client_token(life_s=-120))  # inside the skew of five minutes


# --- health ----------------------------------------------------------------------------------


async def test_ra_001_ra_099_health_tells_whether_the_service_takes_requests(w):
    assert (await w.http.head("/api/health?api-version=2024-12-01")).status_code == 200
    answer = await w.http.get("/api/health")
    assert answer.status_code == 200
    assert answer.json() == {"status": "ok", "version": __version__, "engine": "memory"}
    assert (await w.call("GET", "/_hubbub/ready")).json()["status"] == "ok"
    await w.service.drain()
    for method in ("GET", "HEAD"):
        answer = await w.http.request(method, "/api/health")
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    answer = await w.send(b"x")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert answer.json()["code"] == "Error.ServiceUnavailable"
    assert (await w.call("GET", "/_hubbub/ready")).json()["status"] == "draining"


async def test_browser_client_is_served_to_pages_of_any_origin(w):
    answer = await w.http.get("/_hubbub/client.js", headers={"Origin": "http://page.example"})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/javascript; charset=utf-8"
    assert answer.headers["access-control-allow-origin"] == "*"
    assert "export" in answer.text
    headers = {"If-None-Match": answer.headers["etag"]}
    assert (await w.http.get("/_hubbub/client.js", headers=headers)).status_code == 304


@pytest.mark.parametrize("path", ["metrics", "trace?hub=chat", "", "nothing/like/this"])
async def test_ra_103_operators_routes_tell_strangers_nothing(w, path):
    """Also where there is no such route: who has no key learns nothing of what there is."""
    answer = await w.http.get(f"{w.service.url}/_hubbub/{path}")
    assert (answer.status_code, answer.content) == (401, b"")
    url = f"{w.service.url}/_hubbub/nothing"
    headers = {"Authorization": f"Bearer {w.rest_token(url)}"}
    answer = await w.http.get(url, headers=headers)
    assert answer.status_code == 404
