"""The handler is asked whether a client may come in (upstream cases on validation and `connect`)."""

import asyncio
import contextlib
import time
from typing import Any

import httpx2
import pytest
from tests.wire.upstream_helpers import (
    KEY,
    VALID,
    Client,
    J,
    Recorded,
    RecordingHandler,
    Reply,
    Stage,
    stage,
)
from websockets.exceptions import InvalidMessage

from hubbub.protocol import cloudevents, tokens
from hubbub.service import front_door
from hubbub.service.handshake import Admitted, Head
from hubbub.service.node import Node

SEND = ("webpubsub.sendToGroup",)


def event(name: str = "e", **more: Any) -> dict[str, Any]:
    return {"type": "event", "event": name, "dataType": "text", "data": "x", **more}


async def is_member(on: Stage, client: Client, group: str) -> bool:
    """Does the client hear the group? Asked with a sender of our own and a mark for the end."""
    sender = await on.open(J, roles=SEND)
    for data, name in (("member", group), ("end", "everybody")):
        await sender.send(
            {"type": "sendToGroup", "group": name, "dataType": "text", "data": data, "ackId": 1}
        )
        await sender.json()
    return "member" in await heard_until_pong(client)


async def heard_until_pong(client: Client) -> list[str]:
    await client.send({"type": "ping"})
    heard = []
    while (message := await client.json()) != {"type": "pong"}:
        heard.append(message["data"])
    return heard


# --- validation


async def test_ue_001_ue_002_ue_003_first_client_makes_the_service_ask_then_connect() -> None:
    async with stage() as on:
        await on.open(J)
        question, connect = on.handler.requests[:2]
    assert (question.method, question.target) == ("OPTIONS", "/eh/chat/validate")
    assert question.header("WebHook-Request-Origin") == "127.0.0.1"
    assert question.header("ce-awpsversion") == "1.0"
    assert question.header("ce-signature") is None
    assert question.header("Cookie") is None
    assert (connect.method, connect.target) == ("POST", "/eh/chat/connect")


@pytest.mark.parametrize(
    "reply",
    [
        pytest.param(Reply(200), id="ue_006"),
        pytest.param(
            Reply(200, headers=[("WebHook-Allowed-Origin", "other.example")]), id="ue_007"
        ),
        pytest.param(Reply(401), id="ue_008"),
    ],
)
async def test_ue_006_ue_007_ue_008_client_of_an_unwilling_handler_gets_500(reply: Reply) -> None:
    async with stage() as on:
        on.handler.answers["OPTIONS"] = reply
        assert await on.refused(J) == (500, b"")
        assert on.handler.posts == []


@pytest.mark.parametrize(
    "origins",
    [
        pytest.param(["127.0.0.1"], id="ue_004"),
        pytest.param(["other.example", "127.0.0.1"], id="ue_005"),
    ],
)
async def test_ue_004_ue_005_handler_that_names_the_service_gets_its_clients(
    origins: list[str],
) -> None:
    async with stage() as on:
        on.handler.answers["OPTIONS"] = Reply(
            200, headers=[("WebHook-Allowed-Origin", origin) for origin in origins]
        )
        await on.open(J)


async def test_ue_009_handler_that_only_knows_get_is_asked_again() -> None:
    async with stage() as on:
        on.handler.answers |= {"OPTIONS": Reply(404), "GET": VALID}
        await on.open(J)
        assert [question.method for question in on.handler.questions] == ["OPTIONS", "GET"]


async def test_ue_010_ue_011_ten_clients_at_once_and_one_later_ask_once() -> None:
    async with stage() as on:
        await asyncio.gather(*(on.open(J) for _ in range(10)))
        await on.open(J)
        assert len(on.handler.questions) == 1
        assert len(on.handler.events("connect")) == 11


# --- the request


async def test_ue_013_ue_014_ue_017_ue_018_connect_tells_the_whole_handshake() -> None:
    secondary = "secondary-key-of-the-test-with-enough-bytes"
    async with stage(service={"access_key_secondary": secondary}) as on:
        token = on.token(user_id="alice", roles=SEND)
        client = await on.open(
            "a",
            J,
            token=token,
            query="x=1&x=2&y=",
            headers={"Authorization": "Bearer t", "X-A": "b"},
        )
        (connect,) = await on.handler.wait_for("connect")
    connection_id = client.hello["connectionId"]
    expected = {
        "WebHook-Request-Origin": "127.0.0.1",
        "Content-Type": "application/json; charset=utf-8",
        "Content-Length": str(len(connect.body)),
        "ce-specversion": "1.0",
        "ce-awpsversion": "1.0",
        "ce-type": "azure.webpubsub.sys.connect",
        "ce-source": f"/hubs/chat/client/{connection_id}",
        "ce-id": "0",
        "ce-hub": "chat",
        "ce-connectionId": connection_id,
        "ce-eventName": "connect",
        "ce-signature": cloudevents.signature(connection_id, [KEY, secondary]),
        "ce-userId": "alice",
        "ce-subprotocol": None,
        "Authorization": None,
    }
    assert {name: connect.header(name) for name in expected} == expected
    sent_at = time.strptime(connect.header("ce-time") or "", "%Y-%m-%dT%H:%M:%SZ")
    assert sent_at.tm_year >= 2024
    body = connect.json
    assert body["claims"]["sub"] == ["alice"]
    assert body["claims"]["role"] == list(SEND)
    assert body["claims"]["exp"][0].isdigit()
    assert body["query"] == {"x": ["1", "2"], "y": [""]}
    # Names as the client wrote them: handlers look them up by these.
    assert body["headers"]["X-A"] == ["b"]
    assert body["headers"]["Host"] == [on.service.url.removeprefix("http://")]
    assert "Authorization" not in body["headers"]
    assert body["subprotocols"] == ["a", J]
    assert body["clientCertificates"] == []
    assert token.encode() not in connect.body


async def test_ue_015_ue_016_events_of_a_connection_count_up_under_one_signature() -> None:
    async with stage(system_events=("connect",)) as on:
        client = await on.open(J)
        await client.ask(event(ackId=1))
        await client.ask(event(ackId=2))
        assert [post.header("ce-id") for post in on.handler.posts] == ["0", "1", "2"]
        expected = cloudevents.signature(client.hello["connectionId"], [KEY])
        assert {post.header("ce-signature") for post in on.handler.posts} == {expected}


async def test_ue_036_bad_token_never_reaches_the_handler() -> None:
    async with stage() as on:
        for token in (
            on.token(life_s=-3600),
            on.token(audience="http://127.0.0.1/client/hubs/chat"),
            "nonsense",
        ):
            status, _ = await on.refused(J, token=token)
            assert status == 401
        assert on.handler.requests == []


async def test_ue_037_no_token_under_deny_is_refused_unasked() -> None:
    async with stage() as on:
        status, _ = await on.refused(J, token="")
        assert status == 401
        assert on.handler.requests == []


async def test_ue_037_no_token_under_allow_is_decided_by_the_handler() -> None:
    async with stage(hub={"anonymous_connect_policy": "allow"}) as on:
        await on.open(J, token="")
        (connect,) = on.handler.events("connect")
        assert connect.json["claims"] == {}
        assert connect.header("ce-userId") is None


async def test_ue_062_without_a_connect_handler_the_client_comes_in_and_events_start_at_1() -> None:
    async with stage(system_events=()) as on:
        client = await on.open(J)
        await client.ask(event(ackId=1))
        assert [(post.event, post.header("ce-id")) for post in on.handler.posts] == [("e", "1")]


async def test_ue_091_anonymous_client_without_a_connect_handler_has_no_user() -> None:
    async with stage(system_events=(), hub={"anonymous_connect_policy": "allow"}) as on:
        client = await on.open(J, token="")
        assert client.hello.get("userId") is None
        await client.ask(event(ackId=1))
        assert on.handler.posts[0].header("ce-userId") is None


# --- accepting answers


@pytest.mark.parametrize(
    "reply",
    [
        pytest.param(Reply(204), id="ue_019"),
        pytest.param(Reply(200), id="ue_020"),
        pytest.param(Reply(200, b"null"), id="null"),
    ],
)
async def test_ue_019_ue_020_bare_success_keeps_what_the_token_says(reply: Reply) -> None:
    async with stage() as on:
        on.handler.answers["connect"] = reply
        client = await on.open(J, user_id="alice", groups=["g"])
        assert client.hello["userId"] == "alice"
        assert client.socket.subprotocol == J
        assert await is_member(on, client, "g")


async def test_ue_021_user_of_the_answer_replaces_the_tokens() -> None:
    async with stage() as on:
        on.handler.answers["connect"] = Reply(200, b'{"userId":"bob"}')
        client = await on.open(J, user_id="alice")
        assert client.hello["userId"] == "bob"
        await client.ask(event(ackId=1))
        assert on.handler.events("e")[0].header("ce-userId") == "bob"
        # The service knows the connection under its new user.
        url = f"{on.service.url}/api/hubs/chat/users/bob/:send?api-version=2024-12-01"
        token = tokens.make_rest_token(KEY, url=url.partition("?")[0], now=time.time(), life_s=60)
        async with httpx2.AsyncClient(trust_env=False) as http:
            answer = await http.post(
                url,
                content=b"hi",
                headers={"Authorization": f"Bearer {token}", "Content-Type": "text/plain"},
            )
        assert answer.status_code == 202
        assert (await client.json())["data"] == "hi"


async def test_ue_022_empty_user_makes_the_client_anonymous() -> None:
    async with stage() as on:
        on.handler.answers["connect"] = Reply(200, b'{"userId":""}')
        client = await on.open(J, user_id="alice")
        assert client.hello.get("userId") is None
        await client.ask(event(ackId=1))
        assert on.handler.events("e")[0].header("ce-userId") is None


async def test_ue_023_empty_roles_take_the_tokens_away() -> None:
    async with stage() as on:
        on.handler.answers["connect"] = Reply(200, b'{"roles":[]}')
        client = await on.open(J, roles=SEND)
        ack = await client.ask(
            {"type": "sendToGroup", "group": "g", "dataType": "text", "data": "x", "ackId": 1}
        )
        assert ack["error"]["name"] == "Forbidden"


async def test_ue_024_ue_025_groups_of_the_answer_replace_the_tokens_unless_empty() -> None:
    async with stage() as on:
        on.handler.answers["connect"] = Reply(200, b'{"groups":[]}')
        keeps = await on.open(J, groups=["g"])
        on.handler.answers["connect"] = Reply(200, b'{"groups":["x"]}')
        changes = await on.open(J, groups=["g"])
        on.handler.answers["connect"] = Reply()
        assert await is_member(on, keeps, "g")
        assert not await is_member(on, changes, "g")
        assert await is_member(on, changes, "x")


async def test_ue_027_ue_028_answer_selects_the_subprotocol_else_the_first_known_counts() -> None:
    async with stage() as on:
        on.handler.answers["connect"] = Reply(200, b'{"subprotocol":"a"}')
        plain = await on.open("a", J)
        assert plain.socket.subprotocol == "a"
        on.handler.answers["message"] = Reply(200, b"hello", "text/plain")
        await plain.send("x")
        assert await plain.frame() == "hello"
        assert on.handler.events("message")[0].header("ce-subprotocol") == "a"

        on.handler.answers["connect"] = Reply(204)
        assert (await on.open("a", J)).socket.subprotocol == J


# --- refusing and failing answers


@pytest.mark.parametrize(
    "reply",
    [
        pytest.param(Reply(200, b'{"groups":["' + b"g" * 1025 + b'"]}'), id="ue_026"),
        pytest.param(Reply(200, b'{"subprotocol":"b"}'), id="ue_029"),
        pytest.param(Reply(200, b"{bad"), id="ue_034"),
        pytest.param(Reply(200, b'"text"'), id="no_object"),
    ],
)
async def test_ue_026_ue_029_ue_034_unusable_answer_refuses_the_client_with_500(
    reply: Reply,
) -> None:
    async with stage() as on:
        on.handler.answers["connect"] = reply
        assert await on.refused("a", J) == (500, b"")
        assert len(on.handler.posts) == 1


@pytest.mark.parametrize(
    ("reply", "refusal"),
    [
        pytest.param(Reply(401), (401, b""), id="ue_030_401"),
        pytest.param(Reply(403), (403, b""), id="ue_030_403"),
        pytest.param(Reply(400), (400, b""), id="ue_030_400"),
        pytest.param(Reply(429), (429, b""), id="ue_033"),
        pytest.param(Reply(401, b"not today!", "text/plain"), (401, b"not today!"), id="ue_095"),
        pytest.param(Reply(401, b"{}", "application/json"), (401, b""), id="ue_095_json"),
    ],
)
async def test_ue_030_ue_033_ue_095_refusal_is_passed_on_and_ends_it(
    reply: Reply, refusal: tuple[int, bytes]
) -> None:
    async with stage() as on:
        on.handler.answers["connect"] = reply
        assert await on.refused(J) == refusal
        await on.service.drain()
        assert [post.event for post in on.handler.posts] == ["connect"]


@pytest.mark.parametrize("status", [pytest.param(500, id="ue_031"), pytest.param(503, id="ue_086")])
async def test_ue_031_ue_086_lasting_failure_is_tried_four_times(status: int) -> None:
    async with stage() as on:
        on.handler.answers["connect"] = Reply(status)
        assert await on.refused(J) == (status, b"")
        assert len(on.handler.posts) == 4


async def test_ue_032_passing_failure_is_tried_again_with_the_same_id() -> None:
    async with stage(system_events=("connect",)) as on:
        replies = [Reply(503), Reply(204)]
        on.handler.answers["connect"] = lambda request: replies.pop(0)
        await on.open(J)
        assert [post.header("ce-id") for post in on.handler.posts] == ["0", "0"]
        assert len({post.header("ce-connectionId") for post in on.handler.posts}) == 1


async def test_ue_035_client_of_an_unreachable_handler_gets_500() -> None:
    async with RecordingHandler() as gone:
        url = gone.url
    async with stage(url_template=url) as on:
        assert await on.refused(J) == (500, b"")


async def test_ue_070_handler_past_the_limit_refuses_the_client_with_500() -> None:
    async with stage(timeout_s=0.1) as on:
        on.handler.answers["connect"] = never
        assert await on.refused(J) == (500, b"")
        assert len(on.handler.posts) == 1


async def test_ue_087_redirect_of_connect_is_a_failure_and_not_followed() -> None:
    async with RecordingHandler() as target, stage() as on:
        on.handler.answers["connect"] = Reply(302, headers=[("Location", target.url)])
        assert await on.refused(J) == (500, b"")
        assert target.requests == []


async def test_ue_088_client_that_goes_away_aborts_its_connect() -> None:
    async with stage() as on:
        on.handler.answers["connect"] = never
        opening = asyncio.create_task(on.open(J))
        await on.handler.wait_for("connect")
        opening.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await opening
        await on.handler.wait_until(lambda: len(on.handler.aborted) == 1)
        await on.service.drain()
        assert [post.event for post in on.handler.posts] == ["connect"]


async def test_client_let_in_while_the_service_drains_is_refused_and_reported() -> None:
    async with stage(user_event_pattern="slow") as on:
        gates = {"connect": asyncio.Event(), "slow": asyncio.Event()}

        async def held(request: Recorded) -> Reply:
            await gates[request.event or ""].wait()
            return Reply()

        on.handler.answers["slow"] = held
        client = await on.open(J)
        await client.send(event("slow"))
        await on.handler.wait_for("slow")
        on.handler.answers["connect"] = held
        late = asyncio.create_task(on.refused(J))
        await on.handler.wait_for("connect", 2)
        drain = asyncio.create_task(on.service.drain())
        await asyncio.sleep(0)
        gates["connect"].set()
        status, _ = await late
        assert status == 503
        (gone,) = await on.handler.wait_for("disconnected")
        assert gone.json == {"reason": "ServiceReload"}
        gates["slow"].set()
        await drain
        connects = on.handler.events("connect")
        told = {post.header("ce-connectionId") for post in on.handler.events("disconnected")}
        assert told == {post.header("ce-connectionId") for post in connects}


async def never(request: Recorded) -> Reply:
    await asyncio.Event().wait()
    raise AssertionError("nobody sets this event")


async def test_ue_088_client_that_leaves_just_after_the_answer_is_reported_as_gone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with stage() as on:
        front = on.service._front
        assert front is not None
        admit = front_door.admit

        async def leave_after(node: Node, head: Head) -> Admitted:
            admitted = await admit(node, head)
            for door in front.doors:
                door.abort()
            return admitted

        monkeypatch.setattr(front_door, "admit", leave_after)
        with pytest.raises((EOFError, OSError, InvalidMessage)):
            await on.open(J)
        await on.handler.wait_for("disconnected")
        assert on.handler.events("connected") == []
