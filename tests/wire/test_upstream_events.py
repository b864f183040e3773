"""User events and invocations on their way to the handler and back."""

import asyncio
import base64
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from tests.wire.upstream_helpers import Client, J, Recorded, RecordingHandler, Reply, stage

from hubbub.protocol import limits
from hubbub.service import EventHandlerSettings

EVENTS_ONLY: dict[str, Any] = {"system_events": ()}
FAILED = {"name": "InternalServerError"}


def event(name: str = "e", **more: Any) -> dict[str, Any]:
    return {"type": "event", "event": name, "dataType": "text", "data": "x", **more}


def invoke(number: str, name: str = "e", **more: Any) -> dict[str, Any]:
    return {"type": "invoke", "invocationId": number, "target": "event", "event": name, **more}


def has_failed(ack: dict[str, Any]) -> bool:
    return ack["success"] is False and ack["error"]["name"] == "InternalServerError"


def held(reply: Reply, until: asyncio.Event) -> Callable[[Recorded], Awaitable[Reply]]:
    async def answer(request: Recorded) -> Reply:
        await until.wait()
        return reply

    return answer


# --- what the handler gets


async def test_ue_046_plain_frames_are_the_event_message() -> None:
    async with stage(**EVENTS_ONLY) as on:
        client = await on.open()
        await client.send("héllo")
        await client.send(b"\x00\xff")
        text, data = await on.handler.wait_for("message", 2)
    assert text.header("ce-type") == "azure.webpubsub.user.message"
    assert (text.header("Content-Type"), text.body) == ("text/plain", "héllo".encode())
    assert data.header("Content-Type") == "application/octet-stream"
    assert data.body == b"\x00\xff"
    assert text.header("ce-subprotocol") is None


@pytest.mark.parametrize(
    ("data_type", "data", "content_type", "body"),
    [
        ("text", "hé", "text/plain", "hé".encode()),
        ("json", {"a": [1, "b"]}, "application/json", b'{"a": [1, "b"]}'),
        ("binary", base64.b64encode(b"\1\2\3").decode(), "application/octet-stream", b"\1\2\3"),
    ],
)
async def test_ue_047_ue_048_json_events_arrive_decoded_under_their_name(
    data_type: str, data: object, content_type: str, body: bytes
) -> None:
    async with stage(**EVENTS_ONLY) as on:
        client = await on.open(J)
        request = event("Order.Created-1", dataType=data_type, data=data, ackId=1)
        assert (await client.ask(request))["success"]
        (post,) = on.handler.posts
    assert (post.header("Content-Type"), post.body) == (content_type, body)
    assert post.header("ce-type") == "azure.webpubsub.user.Order.Created-1"
    assert post.header("ce-eventName") == "Order.Created-1"
    assert post.header("ce-subprotocol") == J


@pytest.mark.parametrize("name", ["1bad", "a/b"])
async def test_ue_049_bad_event_name_closes_without_a_call(name: str) -> None:
    async with stage(**EVENTS_ONLY) as on:
        client = await on.open(J)
        await client.send(event(name, ackId=1))
        assert (await client.closed()).code == 1007
        assert on.handler.posts == []


async def test_ue_060_pattern_takes_its_names_without_case_and_no_others() -> None:
    async with stage(**EVENTS_ONLY, user_event_pattern="a,b") as on:
        client = await on.open(J)
        assert (await client.ask(event("B", ackId=1)))["success"]
        assert has_failed(await client.ask(event("c", ackId=2)))
        await client.send(event("c"))
        await client.expect_silence()
        assert [post.event for post in on.handler.posts] == ["B"]
        plain = await on.open()
        await plain.send("x")
        assert (await plain.closed()).code == 1011


async def test_ue_061_only_the_first_matching_handler_gets_the_event() -> None:
    async with RecordingHandler() as first:
        earlier = EventHandlerSettings(first.url, user_event_pattern="e")
        async with stage(first=[earlier]) as on:
            client = await on.open(J)
            await client.ask(event(ackId=1))
            assert len(first.posts) == 1
            assert on.handler.events("e") == []


async def test_ue_063_user_event_named_connected_is_a_user_event() -> None:
    async with stage(system_events=("connected",), user_event_pattern="other") as on:
        client = await on.open(J)
        await on.handler.wait_for("connected")
        assert has_failed(await client.ask(event("connected", ackId=1)))
        assert len(on.handler.posts) == 1
    async with stage(**EVENTS_ONLY, user_event_pattern="connected") as on:
        client = await on.open(J)
        await client.ask(event("connected", ackId=1))
        (post,) = on.handler.posts
        assert post.header("ce-type") == "azure.webpubsub.user.connected"


async def test_ue_065_query_of_the_template_is_kept() -> None:
    async with RecordingHandler() as other:
        template = f"{other.url}/x?code=s%2B&e={{event}}"
        async with stage(**EVENTS_ONLY, url_template=template) as on:
            client = await on.open(J)
            await client.ask(event("Order.1", ackId=1))
            assert other.posts[0].target == "/x?code=s%2B&e=Order.1"


async def test_ue_066_user_outside_ascii_arrives_as_utf8() -> None:
    async with stage(**EVENTS_ONLY) as on:
        client = await on.open(J, user_id="Zoë")
        await client.ask(event(ackId=1))
        assert ("ce-userid", b"Zo\xc3\xab") in on.handler.posts[0].headers


async def test_ue_067_plain_client_that_sends_to_a_group_makes_no_events() -> None:
    async with stage(**EVENTS_ONLY) as on:
        member = await on.open(J, groups=["g"])
        plain = await on.open(
            query="webpubsub_mode=sendToGroup&group=g", roles=("webpubsub.sendToGroup",)
        )
        await plain.send("hello")
        assert (await member.json())["data"] == "hello"
        assert on.handler.posts == []


async def test_ue_069_second_event_waits_for_the_answer_of_the_first() -> None:
    async with stage(**EVENTS_ONLY) as on:
        gate = asyncio.Event()
        on.handler.answers["first"] = held(Reply(), gate)
        client = await on.open(J)
        await client.send(event("first", ackId=1))
        await client.send(event("second", ackId=2))
        await on.handler.wait_for("first")
        await client.expect_silence()
        assert len(on.handler.posts) == 1
        gate.set()
        assert [(await client.json())["ackId"], (await client.json())["ackId"]] == [1, 2]
        assert [post.event for post in on.handler.posts] == ["first", "second"]


async def test_metadata_goes_to_the_handler_and_back() -> None:
    async with stage(**EVENTS_ONLY) as on:
        on.handler.answers["e"] = Reply(
            200, b"hi", "text/plain", [("X-WebPubSub-Metadata-Out", "2")]
        )
        client = await on.open(J)
        message = await client.ask(event(ackId=1, metadata={"In": "1"}))
        assert message["metadata"] == {"out": "2"}
        assert on.handler.posts[0].header("X-WebPubSub-Metadata-in") == "1"


# --- what the client gets


@pytest.mark.parametrize(
    ("reply", "plain_frame", "data_type", "data"),
    [
        pytest.param(
            Reply(200, "hé".encode(), "text/plain; charset=utf-8"), "hé", "text", "hé", id="ue_050"
        ),
        pytest.param(
            Reply(200, b'{"a":1}', "application/json"), '{"a":1}', "json", {"a": 1}, id="ue_051"
        ),
        pytest.param(Reply(200, b"\1\2\3"), b"\1\2\3", "binary", "AQID", id="ue_052"),
    ],
)
async def test_ue_050_ue_051_ue_052_answer_reaches_the_client_before_the_ack(
    reply: Reply, plain_frame: str | bytes, data_type: str, data: object
) -> None:
    async with stage(**EVENTS_ONLY) as on:
        on.handler.answers["*"] = reply
        client, plain = await on.open(J), await on.open()
        assert await client.ask(event(ackId=1)) == {
            "type": "message",
            "from": "server",
            "dataType": data_type,
            "data": data,
        }
        assert await client.json() == {"type": "ack", "ackId": 1, "success": True}
        await plain.send("x")
        assert await plain.frame() == plain_frame


@pytest.mark.parametrize(
    "reply", [Reply(204), Reply(200), Reply(200, b"", "application/octet-stream")]
)
async def test_ue_053_empty_answer_sends_nothing_but_the_ack(reply: Reply) -> None:
    async with stage(**EVENTS_ONLY) as on:
        on.handler.answers["*"] = reply
        client, plain = await on.open(J), await on.open()
        assert (await client.ask(event(ackId=1)))["type"] == "ack"
        await client.expect_silence()
        await plain.send("x")
        on.handler.answers["*"] = Reply(200, b"next", "text/plain")
        await on.handler.wait_for("message")
        await plain.send("y")
        assert await plain.frame() == "next"


@pytest.mark.parametrize(
    "reply",
    [
        pytest.param(Reply(200, b"<p>", "text/html"), id="ue_054"),
        pytest.param(
            Reply(200, b"x" * (limits.MAX_UPSTREAM_ANSWER_BYTES + 1_048_576), is_chunked=True),
            id="ue_055",
        ),
        pytest.param(Reply(400, b"secret", "text/plain"), id="ue_057"),
        pytest.param(Reply(302, headers=[("Location", "/elsewhere")]), id="ue_087"),
    ],
)
async def test_ue_054_ue_055_ue_056_ue_057_ue_058_ue_087_failed_event(reply: Reply) -> None:
    """Ack false, or nothing, and the client stays; a plain client is closed without a reason."""
    async with stage(**EVENTS_ONLY) as on:
        on.handler.answers["*"] = reply
        client, plain = await on.open(J), await on.open()
        ack = await client.ask(event(ackId=1))
        assert has_failed(ack)
        assert "secret" not in str(ack)
        await client.send(event())
        await on.handler.wait_for("e", 2)
        await client.expect_silence()
        await plain.send("x")
        closed = await plain.closed()
        assert closed.code == 1011
        assert "secret" not in closed.reason
        assert {post.target.rpartition("/")[2] for post in on.handler.posts} == {"e", "message"}


async def test_ue_059_ack_id_repeated_after_success_and_after_failure() -> None:
    async with stage(**EVENTS_ONLY) as on:
        client = await on.open(J)
        assert (await client.ask(event(ackId=1)))["success"]
        ack = await client.ask(event(ackId=1))
        assert (ack["success"], ack["error"]["name"]) == (False, "Duplicate")
        assert len(on.handler.posts) == 1

        on.handler.answers["e"] = Reply(400)
        assert has_failed(await client.ask(event(ackId=2)))
        on.handler.answers["e"] = Reply(204)
        assert (await client.ask(event(ackId=2)))["success"]
        assert len(on.handler.posts) == 3


async def test_ue_070_event_past_the_limit_fails_without_another_try() -> None:
    async with stage(**EVENTS_ONLY, timeout_s=0.1) as on:
        on.handler.answers["e"] = held(Reply(), asyncio.Event())
        client = await on.open(J)
        assert has_failed(await client.ask(event(ackId=1)))
        assert len(on.handler.posts) == 1


async def test_ue_094_drop_on_event_failure_closes_after_the_failed_ack() -> None:
    async with stage(**EVENTS_ONLY, service={"drop_on_event_failure": True}) as on:
        on.handler.answers["*"] = Reply(400)
        client = await on.open(J)
        assert has_failed(await client.ask(event(ackId=1)))
        assert (await client.json())["event"] == "disconnected"
        assert (await client.closed()).code == 1011
        silent = await on.open(J)
        assert (await silent.ask(event()))["event"] == "disconnected"
        assert (await silent.closed()).code == 1011


# --- connection state


async def test_ue_038_ue_039_ue_040_state_goes_with_every_later_event() -> None:
    def state(value: str, status: int = 204) -> Reply:
        return Reply(status, headers=[("ce-connectionState", value)])

    async with stage() as on:
        on.handler.answers |= {
            "connect": state("abc"),
            "change": state("def"),
            "fail": state("ghi", 400),
            "empty": state(""),
        }
        client = await on.open(J)
        (connected,) = await on.handler.wait_for("connected")
        for number, name in enumerate(("change", "fail", "e", "empty", "e"), 1):
            await client.ask(event(name, ackId=number))
        await client.socket.close()
        (gone,) = await on.handler.wait_for("disconnected")
        assert connected.header("ce-connectionState") == "abc"
        seen = [
            post.header("ce-connectionState")
            for post in on.handler.posts
            if post.event not in ("connect", "connected", "disconnected")
        ]
        assert seen == ["abc", "def", "def", "def", None]
        assert gone.header("ce-connectionState") is None

        client = await on.open(J)
        await client.socket.close()
        assert (await on.handler.wait_for("disconnected", 2))[1].header(
            "ce-connectionState"
        ) == "abc"


async def test_ue_041_cookies_of_connect_go_with_every_later_event() -> None:
    async with stage() as on:
        on.handler.answers["connect"] = Reply(204, headers=[("Set-Cookie", "node=n1; Path=/")])
        client = await on.open(J)
        await client.ask(event(ackId=1))
        await client.socket.close()
        await on.handler.wait_for("disconnected")
        assert {post.event: post.header("Cookie") for post in on.handler.posts} == {
            "connect": None,
            "connected": "node=n1",
            "e": "node=n1",
            "disconnected": "node=n1",
        }


# --- invocations


async def test_ue_084_invocation_gets_the_answer_or_not_found() -> None:
    async with stage(**EVENTS_ONLY, user_event_pattern="e,empty,lost") as on:
        on.handler.answers |= {
            "e": Reply(200, b'{"ok":true}', "application/json"),
            "lost": Reply(404, b"no such order", "text/plain"),
        }
        client = await on.open(J)
        assert await client.ask(invoke("1", dataType="json", data={"orderId": 1})) == {
            "type": "invokeResponse",
            "invocationId": "1",
            "success": True,
            "dataType": "json",
            "data": {"ok": True},
        }
        (post,) = on.handler.posts
        assert post.header("ce-invocationId") == "1"
        assert post.header("ce-type") == "azure.webpubsub.user.e"
        assert post.json == {"orderId": 1}
        assert await client.ask(invoke("2", "empty")) == {
            "type": "invokeResponse",
            "invocationId": "2",
            "success": True,
        }
        for number, name in (("3", "lost"), ("4", "nobody")):
            answer = await client.ask(invoke(number, name, dataType="text", data="x"))
            assert (answer["success"], answer["error"]["name"]) == (False, "NotFound")


@pytest.mark.parametrize(
    ("reply", "name", "message"),
    [
        (Reply(401, b"not you", "text/plain"), "Forbidden", "not you"),
        (Reply(403), "Forbidden", None),
        (Reply(422, b"<p>", "text/html"), "BadRequest", None),
        (Reply(500), "InternalServerError", None),
        (None, "InternalServerError", None),
    ],
)
async def test_ue_092_failed_invocation_names_the_error(
    reply: Reply | None, name: str, message: str | None
) -> None:
    """`reply` None: no answer within the limit."""
    async with stage(**EVENTS_ONLY, timeout_s=10 if reply else 0.1) as on:
        on.handler.answers["e"] = reply or held(Reply(), asyncio.Event())
        client = await on.open(J)
        answer = await client.ask(invoke("7", dataType="text", data="x"))
        assert (answer["invocationId"], answer["success"]) == ("7", False)
        assert answer["error"]["name"] == name
        if message is not None:
            assert answer["error"]["message"] == message
        assert "<p>" not in answer["error"]["message"]
        assert on.handler.posts[0].header("ce-invocationId") == "7"
        await client.expect_silence()


async def test_ue_093_cancelled_invocation_is_aborted_and_not_answered() -> None:
    async with stage(**EVENTS_ONLY) as on:
        on.handler.answers["e"] = held(Reply(200, b"late", "text/plain"), asyncio.Event())
        client = await on.open(J)
        await client.send(invoke("1", dataType="text", data="x"))
        await on.handler.wait_for("e")
        await client.send({"type": "cancelInvocation", "invocationId": "1"})
        await on.handler.wait_until(lambda: len(on.handler.aborted) == 1)
        await client.expect_silence()


async def test_invocations_run_beside_each_other_and_beside_a_waiting_event() -> None:
    async with stage(**EVENTS_ONLY) as on:
        gate = asyncio.Event()
        on.handler.answers |= {"slow": held(Reply(), gate), "e": Reply(200, b"ok", "text/plain")}
        client = await on.open(J)
        await client.send(event("slow", ackId=1))
        await client.send(invoke("1", "slow", dataType="text", data="x"))
        await on.handler.wait_for("slow", 2)
        assert (await client.ask(invoke("2", dataType="text", data="x")))["data"] == "ok"
        gate.set()
        assert {(await client.json())["type"] for _ in range(2)} == {"ack", "invokeResponse"}


async def test_pending_invocation_id_used_again_is_a_bad_request() -> None:
    async with stage(**EVENTS_ONLY) as on:
        gate = asyncio.Event()
        on.handler.answers["e"] = held(Reply(), gate)
        client: Client = await on.open(J)
        await client.send(invoke("1", dataType="text", data="x"))
        answer = await client.ask(invoke("1", dataType="text", data="y"))
        assert (answer["success"], answer["error"]["name"]) == (False, "BadRequest")
        gate.set()
        assert (await client.json())["success"] is True
        assert len(on.handler.posts) == 1
