"""Plain clients, user events, invocations and roles, with an event handler behind the service
(cases CP-015 to CP-033, CP-051 to CP-054, CP-110 to CP-114, CP-126 to CP-128, CP-136 to CP-148)."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx2
import pytest
from tests.wire.client import (
    JR,
    Closed,
    J,
    RawClient,
    Refusal,
    access_key,
    error_name,
    is_success,
    until,
)
from tests.wire.upstream_helpers import Recorded, RecordingHandler, Reply

from hubbub.appserver import ServiceClient
from hubbub.service import EventHandlerSettings, HubSettings, Service, Settings

Connect = Callable[..., Awaitable[RawClient]]
StartService = Callable[..., Awaitable[Service]]


@pytest.fixture
async def handler() -> AsyncIterator[RecordingHandler]:
    async with RecordingHandler() as recording:
        yield recording


def hub_of(handler: RecordingHandler, **options: Any) -> dict[str, HubSettings]:
    options = {"user_event_pattern": "*", "retry_pauses_s": (0.0,), **options}
    settings = EventHandlerSettings(url_template=handler.url + "/{event}", **options)
    return {"hub1": HubSettings(event_handlers=(settings,))}


@pytest.fixture
async def service(start_service: StartService, handler: RecordingHandler) -> Service:
    return await start_service(hubs=hub_of(handler))


@pytest.fixture
async def deciding(start_service: StartService, handler: RecordingHandler) -> Service:
    """A service whose handler also decides who connects."""
    return await start_service(hubs=hub_of(handler, system_events=("connect", "disconnected")))


def as_json(value: object, **more: Any) -> Reply:
    return Reply(200, json.dumps(value).encode(), "application/json", **more)


class Gate:
    """An answer that waits until the test opens it."""

    def __init__(self, reply: Reply) -> None:
        self.reply = reply
        self.opened = asyncio.Event()

    async def __call__(self, request: Recorded) -> Reply:
        await self.opened.wait()
        return self.reply


# --- connect ---------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [401, 403])
async def test_cp_015_refusal_of_the_handler_reaches_the_client(
    deciding: Service, handler: RecordingHandler, connect: Connect, status: int
) -> None:
    handler.answers["connect"] = Reply(status)
    with pytest.raises(Refusal) as refusal:
        await connect(deciding)
    assert refusal.value.status == status


async def test_cp_016_lasting_503_is_passed_on_and_a_time_out_is_500(
    start_service: StartService, handler: RecordingHandler, connect: Connect
) -> None:
    hubs = hub_of(handler, system_events=("connect",), timeout_s=0.2)
    service = await start_service(hubs=hubs)
    handler.answers["connect"] = Reply(503)
    with pytest.raises(Refusal) as refusal:
        await connect(service)
    assert refusal.value.status == 503
    assert len(handler.events("connect")) == 2
    handler.answers["connect"] = Gate(Reply(204))
    with pytest.raises(Refusal) as refusal:
        await connect(service)
    assert refusal.value.status == 500


async def test_cp_017_connect_answer_sets_user_groups_and_roles(
    deciding: Service, handler: RecordingHandler, connect: Connect
) -> None:
    handler.answers["connect"] = as_json(
        {"userId": "bob", "groups": ["g1"], "roles": ["webpubsub.sendToGroup.g1"]}
    )
    client = await connect(deciding, J, user_id="alice", roles=("webpubsub.joinLeaveGroup",))
    assert client.hello["userId"] == "bob"
    await client.send({"type": "sendToGroup", "group": "g1", "dataType": "text", "data": "x"})
    message = await client.json()
    assert (message["data"], message["fromUserId"]) == ("x", "bob")
    join = await client.ask({"type": "joinGroup", "group": "g2", "ackId": 1})
    assert error_name(join) == "Forbidden"


async def test_cp_018_204_accepts_unchanged(
    deciding: Service, handler: RecordingHandler, connect: Connect
) -> None:
    client = await connect(deciding, J, user_id="alice")
    assert client.headers["sec-websocket-protocol"] == J
    assert client.hello["userId"] == "alice"
    assert len(handler.events("connect")) == 1


async def test_cp_020_custom_subprotocol_of_the_handler_makes_a_plain_client(
    deciding: Service, handler: RecordingHandler, connect: Connect
) -> None:
    handler.answers["connect"] = as_json({"subprotocol": "custom.p"})
    handler.answers["message"] = Reply(200, b"pong", "text/plain")
    client = await connect(deciding, "custom.p")
    assert client.headers["sec-websocket-protocol"] == "custom.p"
    await client.send("ping")
    assert await client.text() == "pong"
    (post,) = handler.events("message")
    assert post.header("ce-subprotocol") == "custom.p"


async def test_cp_022_subprotocol_that_was_not_offered_is_500(
    deciding: Service, handler: RecordingHandler, connect: Connect
) -> None:
    handler.answers["connect"] = as_json({"subprotocol": "custom.p"})
    with pytest.raises(Refusal) as refusal:
        await connect(deciding, J)
    assert refusal.value.status == 500


async def test_client_made_plain_with_a_bad_mode_is_refused_and_its_handler_hears_the_end(
    deciding: Service, handler: RecordingHandler, connect: Connect
) -> None:
    handler.answers["connect"] = as_json({"subprotocol": "custom.p"})
    with pytest.raises(Refusal) as refusal:
        await connect(deciding, f"custom.p, {J}", query="&webpubsub_mode=foo")
    assert refusal.value.status == 400
    await handler.wait_for("disconnected")


async def test_cp_136_groups_of_the_answer_replace_those_of_the_token_unless_empty(
    deciding: Service, handler: RecordingHandler, connect: Connect
) -> None:
    handler.answers["connect"] = as_json({"groups": ["x"]})
    replaced = await connect(deciding, J, groups=("g",))
    handler.answers["connect"] = as_json({"groups": []})
    kept = await connect(deciding, J, groups=("g",))
    for group in ("g", "x"):
        await kept.send({"type": "sendToGroup", "group": group, "dataType": "text", "data": group})
    assert (await replaced.json())["group"] == "x"
    assert (await kept.json())["group"] == "g"
    await kept.expect_silence()
    await replaced.expect_silence()


# --- plain clients ---------------------------------------------------------------------------


async def test_cp_023_text_goes_up_and_the_answer_comes_down(
    service: Service, handler: RecordingHandler, connect: Connect
) -> None:
    handler.answers["message"] = Reply(200, b"pong", "text/plain")
    client = await connect(service, None)
    await client.send("ping")
    assert await client.text() == "pong"
    (post,) = handler.events("message")
    assert (post.body, post.header("content-type")) == (b"ping", "text/plain")


async def test_cp_024_binary_goes_up_and_comes_down(
    service: Service, handler: RecordingHandler, connect: Connect
) -> None:
    handler.answers["message"] = Reply(200, b"\x01\x02", "application/octet-stream")
    client = await connect(service, None)
    await client.send(b"\x00\xff")
    assert await client.binary() == b"\x01\x02"
    (post,) = handler.events("message")
    assert (post.body, post.header("content-type")) == (b"\x00\xff", "application/octet-stream")


async def test_cp_025_204_sends_nothing(
    service: Service, handler: RecordingHandler, connect: Connect
) -> None:
    client = await connect(service, None)
    await client.send("quiet")
    await handler.wait_for("message")
    handler.answers["message"] = Reply(200, b"loud", "text/plain")
    await client.send("loud")
    assert await client.text() == "loud"


async def test_cp_026_failed_event_ends_a_plain_client_with_1011(
    service: Service, handler: RecordingHandler, connect: Connect
) -> None:
    handler.answers["message"] = Reply(500, b"secret reason", "text/plain")
    client = await connect(service, None)
    await client.send("x")
    closed = await client.expect_close()
    assert closed.code == 1011
    assert "secret" not in closed.reason


async def test_cp_027_without_a_handler_a_plain_client_ends_with_1011(
    start_service: StartService, connect: Connect
) -> None:
    client = await connect(await start_service(), None)
    await client.send("x")
    assert (await client.expect_close()).code == 1011


async def test_cp_028_send_to_group_mode_publishes(service: Service, connect: Connect) -> None:
    member = await connect(service, J, groups=("g1",))
    query = "&webpubsub_mode=SendToGroup&group=g1"
    client = await connect(service, None, query=query, roles=("webpubsub.sendToGroup.g1",))
    await client.send("hi")
    await client.send(b"\x01\x02\x03")
    first, second = await member.json(), await member.json()
    assert (first["from"], first["dataType"], first["data"]) == ("group", "text", "hi")
    assert (second["dataType"], second["data"]) == ("binary", "AQID")


async def test_cp_029_send_to_group_mode_without_the_role_ends_with_1008(
    service: Service, connect: Connect
) -> None:
    query = "&webpubsub_mode=sendToGroup&group=g1"
    client = await connect(service, None, query=query, roles=("webpubsub.sendToGroup.g2",))
    await client.send("hi")
    with pytest.raises(Closed) as closed:
        await client.next()
    assert closed.value.code == 1008


async def test_cp_032_plain_member_gets_bare_frames(service: Service, connect: Connect) -> None:
    plain = await connect(service, None, groups=("g1",))
    sender = await connect(service)
    for data_type, data in (("json", {"a": [1]}), ("text", "hi"), ("binary", "AQID")):
        message = {"type": "sendToGroup", "group": "g1", "dataType": data_type, "data": data}
        await sender.send(message)
    assert json.loads(await plain.text()) == {"a": [1]}
    assert await plain.text() == "hi"
    assert await plain.binary() == b"\x01\x02\x03"


# --- user events -----------------------------------------------------------------------------


async def test_cp_051_event_needs_no_role(
    service: Service, handler: RecordingHandler, connect: Connect
) -> None:
    client = await connect(service, J, roles=())
    event = {"type": "event", "event": "e1", "dataType": "json", "data": {"id": 7}, "ackId": 1}
    assert is_success(await client.ask(event))
    (post,) = handler.events("e1")
    assert post.json == {"id": 7}
    await client.expect_silence()


async def test_cp_052_answer_comes_before_the_ack(
    service: Service, handler: RecordingHandler, connect: Connect
) -> None:
    handler.answers["e1"] = as_json({"ok": True})
    client = await connect(service)
    event = {"type": "event", "event": "e1", "dataType": "text", "data": "x", "ackId": 1}
    assert await client.ask(event) == {
        "type": "message",
        "from": "server",
        "dataType": "json",
        "data": {"ok": True},
    }
    assert is_success(await client.json())


async def test_cp_053_event_without_a_handler_fails_its_ack(
    start_service: StartService, connect: Connect
) -> None:
    client = await connect(await start_service())
    event = {"type": "event", "event": "e1", "dataType": "text", "data": "x", "ackId": 1}
    assert error_name(await client.ask(event)) == "InternalServerError"
    await client.expect_silence()


async def test_cp_054_failed_event_without_ack_id_is_silent_or_drops(
    start_service: StartService, service: Service, handler: RecordingHandler, connect: Connect
) -> None:
    handler.answers["e1"] = Reply(500)
    event = {"type": "event", "event": "e1", "dataType": "text", "data": "x"}
    client = await connect(service)
    await client.send(event)
    await until(lambda: service.counts.get("events.failed"))
    await client.expect_silence()
    dropping = await start_service(hubs=hub_of(handler), drop_on_event_failure=True)
    client = await connect(dropping)
    await client.send(event)
    await client.expect_rejection(1011)


async def test_cp_141_protobuf_answer(
    service: Service, handler: RecordingHandler, connect: Connect
) -> None:
    reply = Reply(200, b"\x0a\x01x", "application/x-protobuf")
    handler.answers["e1"] = handler.answers["message"] = reply
    client = await connect(service)
    message = await client.ask({"type": "event", "event": "e1", "dataType": "text", "data": "x"})
    assert (message["dataType"], message["data"]) == ("protobuf", "CgF4")
    plain = await connect(service, None)
    await plain.send("x")
    assert await plain.binary() == b"\x0a\x01x"


async def test_cp_148_ping_passes_a_waiting_event_and_a_join_waits(
    service: Service, handler: RecordingHandler, connect: Connect
) -> None:
    gate = handler.answers["e1"] = Gate(Reply(204))
    client = await connect(service)
    await client.send({"type": "event", "event": "e1", "dataType": "text", "data": "x", "ackId": 1})
    await client.send({"type": "joinGroup", "group": "g", "ackId": 2})
    assert await client.ask({"type": "ping"}) == {"type": "pong"}
    gate.opened.set()
    assert (await client.json())["ackId"] == 1
    assert (await client.json())["ackId"] == 2


async def test_events_of_one_connection_wait_and_those_of_others_do_not(
    service: Service, handler: RecordingHandler, connect: Connect
) -> None:
    gate = handler.answers["slow"] = Gate(Reply(204))
    client, other = await connect(service), await connect(service)
    for ack_id, name in ((1, "slow"), (2, "next")):
        event = {"type": "event", "event": name, "dataType": "text", "data": "", "ackId": ack_id}
        await client.send(event)
    event = {"type": "event", "event": "other", "dataType": "text", "data": "", "ackId": 1}
    assert is_success(await other.ask(event))
    assert handler.events("next") == []
    gate.opened.set()
    assert [(await client.json())["ackId"] for _ in range(2)] == [1, 2]


async def test_full_lane_stops_reading_and_goes_on_later(
    service: Service, handler: RecordingHandler, connect: Connect
) -> None:
    gate = handler.answers["slow"] = Gate(Reply(204))
    client = await connect(service)
    event = {"type": "event", "event": "slow", "dataType": "text", "data": "", "ackId": 0}
    await client.send(event)
    await handler.wait_for("slow")

    async def send_joins() -> None:
        for ack_id in range(1, 5001):
            await client.send({"type": "joinGroup", "group": "g", "ackId": ack_id})

    sending = asyncio.ensure_future(send_joins())
    await asyncio.sleep(0.05)
    gate.opened.set()
    assert [(await client.json())["ackId"] for _ in range(5001)] == list(range(5001))
    await sending


async def test_same_ack_id_while_the_first_is_pending_runs_once(
    service: Service, handler: RecordingHandler, connect: Connect, recover: Connect
) -> None:
    gate = handler.answers["e1"] = Gate(Reply(204))
    client = await connect(service, JR)
    event = {"type": "event", "event": "e1", "dataType": "text", "data": "x", "ackId": 9}
    await client.send(event)
    await handler.wait_for("e1")
    client.cut()
    again = await recover(service, client)
    await again.json()
    await again.send(event)
    await again.expect_silence()
    gate.opened.set()
    answers = [await again.json(), await again.json()]
    assert is_success(answers[0])
    assert error_name(answers[1]) == "Duplicate"
    assert len(handler.events("e1")) == 1


async def test_ack_that_comes_while_the_client_is_away_waits_for_its_return(
    service: Service, handler: RecordingHandler, connect: Connect, recover: Connect
) -> None:
    gate = handler.answers["e1"] = Gate(Reply(200, b"late", "text/plain"))
    client = await connect(service, JR)
    event = {"type": "event", "event": "e1", "dataType": "text", "data": "x", "ackId": 9}
    await client.send(event)
    await handler.wait_for("e1")
    client.cut()
    await until(lambda: service.counts.get("connections.lost"))
    gate.opened.set()
    await until(lambda: service.counts.get("messages.accepted"))
    again = await recover(service, client)
    assert (await again.json())["event"] == "connected"
    message, ack = await again.json(), await again.json()
    assert (message["sequenceId"], message["data"]) == (1, "late")
    assert is_success(ack)


# --- invocations -----------------------------------------------------------------------------


def invoke(invocation_id: str, event: str = "e1", **more: Any) -> dict[str, Any]:
    return {
        "type": "invoke",
        "invocationId": invocation_id,
        "target": "event",
        "event": event,
        **more,
    }


async def test_cp_126_invoke_is_answered_and_nothing_else_comes(
    service: Service, handler: RecordingHandler, connect: Connect
) -> None:
    handler.answers["e1"] = as_json({"status": "ok"})
    client = await connect(service, J, roles=())
    answer = await client.ask(invoke("7", dataType="json", data={"orderId": 1}))
    assert answer == {
        "type": "invokeResponse",
        "invocationId": "7",
        "success": True,
        "dataType": "json",
        "data": {"status": "ok"},
    }
    await client.expect_silence()
    (post,) = handler.events("e1")
    assert post.header("ce-invocationId") == "7"


async def test_cp_126_empty_answer_has_no_payload(
    service: Service, handler: RecordingHandler, connect: Connect
) -> None:
    client = await connect(service)
    answer = await client.ask(invoke("a"))
    assert answer == {"type": "invokeResponse", "invocationId": "a", "success": True}


@pytest.mark.parametrize(
    ("status", "name"),
    [
        (404, "NotFound"),
        (401, "Forbidden"),
        (403, "Forbidden"),
        (422, "BadRequest"),
        (500, "InternalServerError"),
    ],
)
async def test_cp_127_failed_invocation_names_the_reason(
    service: Service, handler: RecordingHandler, connect: Connect, status: int, name: str
) -> None:
    handler.answers["e1"] = Reply(status, b"because", "text/plain")
    client = await connect(service)
    answer = await client.ask(invoke("1"))
    assert answer["success"] is False
    assert answer["error"] == {"name": name, "message": "because"}
    await client.expect_silence()


async def test_cp_127_invoke_without_a_handler_is_not_found(
    start_service: StartService, connect: Connect
) -> None:
    client = await connect(await start_service())
    assert (await client.ask(invoke("1")))["error"]["name"] == "NotFound"


async def test_cp_128_cancelled_invocation_is_aborted_and_not_answered(
    service: Service, handler: RecordingHandler, connect: Connect
) -> None:
    handler.answers["e1"] = Gate(Reply(204))
    client = await connect(service)
    await client.send(invoke("1"))
    await handler.wait_for("e1")
    await client.send({"type": "cancelInvocation", "invocationId": "1"})
    await handler.wait_until(lambda: len(handler.aborted) == 1)
    await client.expect_silence()
    await client.send({"type": "cancelInvocation", "invocationId": "unknown"})
    await client.expect_silence()


async def test_id_of_a_cancelled_invocation_may_be_used_at_once(
    service: Service, handler: RecordingHandler, connect: Connect
) -> None:
    gates = [Gate(as_json("first")), Gate(as_json("second"))]
    waiting = iter(gates)
    handler.answers["slow"] = lambda request: next(waiting)(request)
    client = await connect(service)
    invoke = {"type": "invoke", "invocationId": "1", "target": "event", "event": "slow"}
    await client.send(invoke)
    await handler.wait_for("slow")
    await client.send({"type": "cancelInvocation", "invocationId": "1"})
    gates[0].opened.set()
    await client.send(invoke)
    await handler.wait_for("slow", 2)
    gates[1].opened.set()
    assert (await client.json())["data"] == "second"
    await client.expect_silence()


async def test_cp_144_too_many_or_repeated_invocations_are_bad_requests(
    start_service: StartService, handler: RecordingHandler, connect: Connect
) -> None:
    gate = handler.answers["e1"] = Gate(Reply(204))
    service = await start_service(hubs=hub_of(handler), max_invocations_per_connection=3)
    client = await connect(service)
    for i in range(3):
        await client.send(invoke(str(i)))
    for invocation_id in ("1", "one more"):
        assert (await client.ask(invoke(invocation_id)))["error"]["name"] == "BadRequest"
    gate.opened.set()
    answers = [await client.json() for _ in range(3)]
    assert {a["invocationId"] for a in answers} == {"0", "1", "2"}
    assert is_success({**await client.ask(invoke("1")), "type": "ack"})


async def test_cp_145_invocation_lives_through_a_recovery(
    service: Service, handler: RecordingHandler, connect: Connect, recover: Connect
) -> None:
    gate = handler.answers["e1"] = Gate(Reply(204))
    client = await connect(service, JR)
    await client.send(invoke("1"))
    await handler.wait_for("e1")
    client.cut()
    again = await recover(service, client)
    await again.json()
    gate.opened.set()
    assert (await again.json())["invocationId"] == "1"


# --- roles -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("role", "verb", "allowed", "refused"),
    [
        pytest.param("sendToGroups.a.*", "sendToGroup", ["a.b"], ["a.b.c", "A.b"], id="cp_110"),
        pytest.param("joinLeaveGroups.a.**", "joinGroup", ["a.b.c"], ["a", "ab"], id="cp_111"),
        pytest.param("sendToGroups.x?", "sendToGroup", ["x1"], ["x", "x."], id="cp_112"),
        pytest.param(r"sendToGroups.l\*s", "sendToGroup", ["l*s"], ["lXs"], id="cp_112_escape"),
        pytest.param("sendToGroup.a*", "sendToGroup", ["a*"], ["ab"], id="cp_113"),
        pytest.param("sendToGroups.******", "sendToGroup", [], ["a"], id="cp_114_stars"),
        pytest.param("sendToGroups.a\\", "sendToGroup", [], ["a", "a\\"], id="cp_114_backslash"),
    ],
)
async def test_cp_110_cp_111_cp_112_cp_113_cp_114_roles_allow_what_they_match(
    service: Service,
    connect: Connect,
    role: str,
    verb: str,
    allowed: list[str],
    refused: list[str],
) -> None:
    client = await connect(service, J, roles=(f"webpubsub.{role}",))
    for ack_id, group in enumerate(allowed + refused, 1):
        message: dict[str, Any] = {"type": verb, "group": group, "ackId": ack_id}
        if verb == "sendToGroup":
            message["data"] = 1
        ack = await client.ask(message)
        assert ack["success"] is (group in allowed), group


# --- drain -----------------------------------------------------------------------------------


async def test_cp_138_drain_tells_everybody_and_refuses_newcomers(
    start_service: StartService, handler: RecordingHandler, connect: Connect
) -> None:
    hubs = hub_of(handler, system_events=("disconnected",))
    service = await start_service(hubs=hubs)
    waiting = await connect(service)
    gate = handler.answers["e1"] = Gate(Reply(204))
    await waiting.send({"type": "event", "event": "e1", "dataType": "text", "data": "", "ackId": 1})
    await handler.wait_for("e1")
    client, plain = await connect(service), await connect(service, None)
    draining = asyncio.ensure_future(service.drain())
    await asyncio.sleep(0)
    with pytest.raises(Refusal) as refusal:
        await connect(service)
    assert (refusal.value.status, refusal.value.headers["retry-after"]) == (503, "1")
    async with httpx2.AsyncClient() as http:
        health = await http.get(service.url + "/api/health")
    assert (health.status_code, health.headers["retry-after"]) == (503, "1")
    gate.opened.set()
    # CP-139: the pending event is answered before its client is closed.
    assert is_success(await waiting.json())
    await waiting.expect_rejection(1001)
    await client.expect_rejection(1001)
    assert (await plain.expect_close()).code == 1001
    await draining
    reasons = [post.json["reason"] for post in handler.events("disconnected")]
    assert reasons == ["ServiceReload"] * 3


async def test_cp_139_event_pending_at_the_drain_is_acked_before_the_close(
    service: Service, handler: RecordingHandler, connect: Connect
) -> None:
    gate = handler.answers["e1"] = Gate(as_json("late"))
    client = await connect(service)
    await client.send({"type": "event", "event": "e1", "dataType": "text", "data": "", "ackId": 1})
    await handler.wait_for("e1")
    draining = asyncio.ensure_future(service.drain())
    await asyncio.sleep(0)
    gate.opened.set()
    assert (await client.json())["data"] == "late"
    assert is_success(await client.json())
    await client.expect_rejection(1001)
    await draining


# --- REST to clients -------------------------------------------------------------------------


async def test_cp_033_cp_041_cp_042_rest_sends_in_every_form(
    service: Service, connect: Connect
) -> None:
    client = await connect(service, J, groups=("g1",))
    plain = await connect(service, None, user_id="p")
    async with ServiceClient.from_connection_string(service.connection_string, "hub1") as rest:
        await rest.send_to_group("g1", "to the group")
        connection_id = client.hello["connectionId"]
        await rest.send_to_connection(connection_id, "text")
        await rest.send_to_connection(connection_id, {"a": 1})
        await rest.send_to_connection(connection_id, b"\x00\x01")
        await rest.send_to_user("p", "Hello", content_type="application/json")
    message = await client.json()
    assert (message["from"], message["group"]) == ("group", "g1")
    assert "fromUserId" not in message
    forms = [await client.json() for _ in range(3)]
    assert [(m["from"], m["dataType"], m["data"]) for m in forms] == [
        ("server", "text", "text"),
        ("server", "json", {"a": 1}),
        ("server", "binary", "AAE="),
    ]
    assert await plain.text() == '"Hello"'


async def test_vanished_client_aborts_its_pending_connect(
    deciding: Service, handler: RecordingHandler, connect: Connect
) -> None:
    handler.answers["connect"] = Gate(Reply(204))
    opening = asyncio.ensure_future(connect(deciding))
    await handler.wait_for("connect")
    for client in RawClient.opened:
        client.cut()
    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        await opening
    await handler.wait_until(lambda: len(handler.aborted) == 1)
    assert deciding.counts.get("connections.opened") is None


async def test_key_is_in_no_log_and_no_repr(
    service: Service, connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    await connect(service)
    with pytest.raises(Refusal):
        await connect(service, token="abc")
    key = access_key(service)
    assert key not in caplog.text
    assert "access_token" not in caplog.text
    assert key not in repr(service.settings)
    assert key not in repr(Settings(access_key=key))
