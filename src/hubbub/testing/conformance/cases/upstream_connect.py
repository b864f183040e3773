"""The handler is asked whether a client may come in, and what it may answer."""

import asyncio
import contextlib
import hashlib
import hmac
import json
import time
from typing import Any
from urllib.parse import urlsplit

from hubbub.testing.conformance.handler import Call, Reply
from hubbub.testing.conformance.registry import case
from hubbub.testing.conformance.trial import JOIN, SEND, Trial
from hubbub.testing.conformance.wire import JSON, WireClient

SEES_NOTHING = "the number of requests that the handler sees"


def answer(value: object) -> Reply:
    return Reply(200, json.dumps(value).encode(), "application/json")


def event(name: str = "e", ack_id: int | None = None, **more: Any) -> dict[str, Any]:
    message = {"type": "event", "event": name, "dataType": "text", "data": "x", **more}
    return message if ack_id is None else {**message, "ackId": ack_id}


async def never(call: Call) -> Reply:
    await asyncio.Event().wait()
    raise AssertionError("nobody sets this event")


async def is_member(trial: Trial, client: WireClient, group: str) -> bool:
    """Does a message to the group reach the client? A second one marks the end."""
    await trial.send(b"member", to=f"/groups/{group}")
    await trial.send(b"end", to=f"/connections/{client.connection_id}")
    data = (await client.message()).get("data")
    if data == "member":
        await client.message(data="end")
    return bool(data == "member")


async def member_of(trial: Trial, client: WireClient, group: str, wanted: bool) -> None:
    came = await is_member(trial, client, group)
    trial.equal(came, wanted, f"membership of {group}")


def signature(key: str, connection_id: str) -> str:
    digest = hmac.new(key.encode(), connection_id.encode(), hashlib.sha256)
    return f"sha256={digest.hexdigest()}"


# --- the request -----------------------------------------------------------------------------


@case("UE-013", variant="")
async def headers_of_connect(trial: Trial) -> None:
    client = await trial.client(user="alice")
    (call,) = await trial.desk.wait_for("connect")
    for name, wanted in {
        "webhook-request-origin": urlsplit(trial.target.client_base).hostname,
        "content-type": "application/json; charset=utf-8",
        "ce-specversion": "1.0",
        "ce-awpsversion": "1.0",
        "ce-type": "azure.webpubsub.sys.connect",
        "ce-source": f"/hubs/{trial.hub}/client/{client.connection_id}",
        "ce-id": "0",
        "ce-hub": trial.hub,
        "ce-connectionid": client.connection_id,
        "ce-eventname": "connect",
        "ce-userid": "alice",
        "ce-subprotocol": None,
    }.items():
        trial.equal(call.header(name), wanted, name)
    trial.check(call.header("ce-signature"), "a ce-signature", None)
    sent_at = call.header("ce-time") or ""
    try:
        time.strptime(sent_at, "%Y-%m-%dT%H:%M:%SZ")
    except ValueError:
        trial.check(False, "ce-time as yyyy-MM-ddTHH:mm:ssZ", sent_at)


async def _signature_parts(trial: Trial) -> tuple[WireClient, list[str]]:
    client = await trial.client()
    (call,) = await trial.desk.wait_for("connect")
    return client, [part.strip() for part in (call.header("ce-signature") or "").split(",")]


@case("UE-014", variant="", needs_second_key=True)
async def signature_with_two_keys(trial: Trial) -> None:
    client, parts = await _signature_parts(trial)
    keys = (trial.target.key, trial.target.second_key or "")
    wanted = [signature(key, client.connection_id) for key in keys]
    trial.equal(sorted(parts), sorted(wanted), "the parts of ce-signature")


@case("UE-015", variant="")
async def signature_with_one_key(trial: Trial) -> None:
    client, parts = await _signature_parts(trial)
    if len(parts) > 1:
        trial.not_applicable("the service has two keys")
    trial.equal(parts, [signature(trial.target.key, client.connection_id)], "ce-signature")


@case("UE-016", variant="")
async def events_count_up(trial: Trial) -> None:
    client = await trial.client()
    await trial.desk.wait_for("connected")
    await client.ask(event("e", 1))
    await client.ask(event("e", 2))
    ids = sorted(int(call.header("ce-id") or -1) for call in trial.desk.calls)
    trial.equal(ids, [0, 1, 2, 3], "ce-id of connect, connected and two events")
    signatures = {call.header("ce-signature") for call in trial.desk.calls}
    trial.equal(len(signatures), 1, "the number of different signatures")


@case("UE-017", variant="")
async def body_of_connect(trial: Trial) -> None:
    token = trial.token(user="alice", roles=SEND)
    await trial.client(token=token, query="x=1&x=2", headers={"X-A": "b"})
    (call,) = await trial.desk.wait_for("connect")
    body = call.json
    trial.equal(body["claims"].get("sub"), ["alice"], "claims.sub")
    trial.equal(body["claims"].get("role"), list(SEND), "claims.role")
    trial.check(body["claims"]["exp"][0].isdigit(), "claims.exp as a text", body["claims"])
    trial.equal(body["query"].get("x"), ["1", "2"], "query.x")
    names = {name.lower(): value for name, value in body["headers"].items()}
    trial.equal(names.get("x-a"), ["b"], "the header X-A")
    trial.check("authorization" not in names, "no Authorization", sorted(names))
    trial.check(token.encode() not in call.body, "no access token anywhere", "it is in the body")


@case("UE-018", variant="")
async def subprotocols_in_order(trial: Trial) -> None:
    await trial.client(f"a, {JSON}")
    (call,) = await trial.desk.wait_for("connect")
    trial.equal(call.json.get("subprotocols"), ["a", JSON], "subprotocols")


@case("UE-036", variant="")
async def bad_token_never_reaches_the_handler(trial: Trial) -> None:
    await trial.refused(401, life_s=-3600)
    await trial.refused(401, aud="http://127.0.0.1/client/hubs/other")
    trial.equal(len(trial.desk.calls), 0, SEES_NOTHING)


@case("UE-037", variant="open", and_variant="")
async def no_token(trial: Trial) -> None:
    await trial.refused(401, token="", hub=trial.hubs[""])
    trial.equal(len(trial.desk.calls), 0, SEES_NOTHING)
    await trial.client(token="")
    (call,) = await trial.desk.wait_for("connect")
    trial.equal(call.json.get("claims"), {}, "claims")
    trial.equal(call.header("ce-userid"), None, "ce-userId")


# --- accepting -------------------------------------------------------------------------------


@case("CP-017", variant="")
async def answer_sets_everything(trial: Trial) -> None:
    group, user = trial.name("g1"), trial.name("bob")
    trial.desk.answers["connect"] = answer(
        {"userId": user, "groups": [group], "roles": [f"webpubsub.sendToGroup.{group}"]}
    )
    client = await trial.client(user="alice", roles=JOIN)
    trial.equal(client.hello.get("userId"), user, "userId in `connected`")
    await client.send({"type": "sendToGroup", "group": group, "dataType": "text", "data": "x"})
    await client.message(group=group, data="x", fromUserId=user)
    await client.ask({"type": "joinGroup", "group": group, "ackId": 1}, "Forbidden")


@case("CP-018", variant="")
async def accepted_by_204(trial: Trial) -> None:
    client = await trial.client(user="alice")
    trial.equal(client.subprotocol, JSON, "the chosen subprotocol")


@case("UE-019", variant="")
async def bare_204(trial: Trial) -> None:
    await _keeps_the_token(trial, Reply(204))


@case("UE-020", variant="")
async def bare_200(trial: Trial) -> None:
    await _keeps_the_token(trial, Reply(200))


async def _keeps_the_token(trial: Trial, reply: Reply) -> None:
    trial.desk.answers["connect"] = reply
    group = trial.name()
    client = await trial.client(user="alice", groups=[group])
    trial.equal(client.hello.get("userId"), "alice", "userId in `connected`")
    await member_of(trial, client, group, True)


@case("UE-021", variant="")
async def user_of_the_answer(trial: Trial) -> None:
    user = trial.name("bob")
    trial.desk.answers["connect"] = answer({"userId": user})
    client = await trial.client(user="alice")
    await client.ask(event("e", 1))
    trial.equal(trial.desk.events("e")[0].header("ce-userid"), user, "ce-userId of later events")
    await trial.rest("HEAD", f"/users/{user}", expect=200)


@case("UE-022", variant="")
async def empty_user(trial: Trial) -> None:
    trial.desk.answers["connect"] = answer({"userId": ""})
    client = await trial.client(user="alice")
    trial.check(not client.hello.get("userId"), "no userId", client.hello)
    await client.ask(event("e", 1))
    trial.equal(trial.desk.events("e")[0].header("ce-userid"), None, "ce-userId of later events")


@case("UE-023", variant="")
async def empty_roles(trial: Trial) -> None:
    trial.desk.answers["connect"] = answer({"roles": []})
    client = await trial.client(roles=SEND)
    request = {"type": "sendToGroup", "group": trial.name(), "data": 1, "ackId": 1}
    await client.ask(request, "Forbidden")


async def _empty_groups(trial: Trial) -> None:
    group = trial.name("g")
    trial.desk.answers["connect"] = answer({"groups": []})
    await member_of(trial, await trial.client(groups=[group]), group, True)


async def _other_groups(trial: Trial) -> None:
    group, other = trial.name("g"), trial.name("x")
    trial.desk.answers["connect"] = answer({"groups": [other]})
    client = await trial.client(groups=[group])
    await member_of(trial, client, other, True)
    await member_of(trial, client, group, False)


@case("CP-136", variant="")
async def groups_of_the_answer(trial: Trial) -> None:
    await _other_groups(trial)
    await _empty_groups(trial)


case("UE-024", variant="")(_empty_groups)
case("UE-025", variant="")(_other_groups)


@case("UE-027", variant="")
async def subprotocol_of_the_answer(trial: Trial) -> None:
    trial.desk.answers |= {
        "connect": answer({"subprotocol": "a"}),
        "message": Reply(200, b"hello", "text/plain"),
    }
    client = await trial.client(f"a, {JSON}", expects_hello=False)
    trial.equal(client.subprotocol, "a", "the chosen subprotocol")
    await client.send("x")
    await client.frame("hello")


@case("CP-020", variant="")
async def custom_subprotocol(trial: Trial) -> None:
    trial.desk.answers |= {
        "connect": answer({"subprotocol": "custom.p"}),
        "message": Reply(200, b"pong", "text/plain"),
    }
    client = await trial.client("custom.p")
    trial.equal(client.subprotocol, "custom.p", "the chosen subprotocol")
    await client.send("ping")
    await client.frame("pong")


@case("UE-028", variant="")
async def first_known_subprotocol(trial: Trial) -> None:
    client = await trial.client(f"a, {JSON}")
    trial.equal(client.subprotocol, JSON, "the chosen subprotocol")


# --- refusing and failing --------------------------------------------------------------------


async def _ends_in(trial: Trial, reply: Reply, status: int, attempts: int = 1) -> bytes:
    """The client is refused, and the handler hears no more of it. The body of the refusal."""
    trial.desk.answers["connect"] = reply
    refused = await trial.refused(status, subprotocol=f"a, {JSON}")
    names = [call.event for call in trial.desk.calls]
    trial.equal(names, ["connect"] * attempts, "the events at the handler")
    trial.desk.calls.clear()
    return refused.body


@case("CP-015", variant="")
async def refused_by_the_handler(trial: Trial) -> None:
    for status in (401, 403):
        await _ends_in(trial, Reply(status), status)


@case("UE-030", variant="")
async def refusals_are_passed_on(trial: Trial) -> None:
    for status in (401, 403, 400):
        await _ends_in(trial, Reply(status), status)


@case("UE-033", variant="")
async def no_retry_after_429(trial: Trial) -> None:
    await _ends_in(trial, Reply(429), 429)


@case("UE-026", variant="")
async def bad_group_in_the_answer(trial: Trial) -> None:
    await _ends_in(trial, answer({"groups": ["g" * 1025]}), 500)


@case("CP-022", "UE-029", variant="", is_ours=True)
async def subprotocol_that_was_not_offered(trial: Trial) -> None:
    await _ends_in(trial, answer({"subprotocol": "b"}), 500)


@case("UE-034", variant="")
async def malformed_answer(trial: Trial) -> None:
    await _ends_in(trial, Reply(200, b"{bad", "application/json"), 500)


@case("UE-087", variant="", is_ours=True)
async def redirects(trial: Trial) -> None:
    elsewhere = Reply(302, headers=(("Location", "/elsewhere/x"),))
    await _ends_in(trial, elsewhere, 500)
    trial.desk.answers |= {"connect": Reply(), "e": elsewhere}
    client = await trial.client()
    await client.ask(event("e", 1), "InternalServerError")
    trial.check("elsewhere" not in trial.listener.first, "no request to the target", "one came")


@case("UE-095", variant="", is_ours=True)
async def text_of_a_refusal(trial: Trial) -> None:
    body = await _ends_in(trial, Reply(401, b"not today!", "text/plain"), 401)
    trial.equal(body, b"not today!", "the body of the refusal")
    body = await _ends_in(trial, Reply(401, b"{}", "application/json"), 401)
    trial.equal(body, b"", "the body of the refusal")


@case("UE-031", variant="", seconds=9)
async def four_attempts_500(trial: Trial) -> None:
    await _ends_in(trial, Reply(500), 500, 4)


@case("UE-086", variant="", seconds=9)
async def four_attempts_503(trial: Trial) -> None:
    await _ends_in(trial, Reply(503), 503, 4)


@case("CP-016", variant="", and_variant="slow", seconds=9)
async def lasting_503_and_time_out(trial: Trial) -> None:
    await _ends_in(trial, Reply(503), 503, 4)
    trial.desk.answers["connect"] = never
    await trial.refused(500, hub=trial.hubs["slow"])


@case("UE-032", variant="", seconds=1)
async def passing_failure(trial: Trial) -> None:
    replies = [Reply(503), Reply(204)]
    trial.desk.answers["connect"] = lambda call: replies.pop(0)
    await trial.client()
    ids = [call.header("ce-id") for call in trial.desk.events("connect")]
    trial.equal(ids, ["0", "0"], "ce-id of the attempts")


@case("UE-035", variant="down", seconds=9)
async def unreachable_handler(trial: Trial) -> None:
    await trial.refused(500)


@case("UE-088", variant="", is_ours=True)
async def client_that_goes_away(trial: Trial) -> None:
    trial.desk.answers["connect"] = never
    opening = asyncio.ensure_future(trial.client())
    try:
        await trial.desk.wait_for("connect")
    finally:
        opening.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await opening
    await trial.desk.until(lambda: len(trial.desk.aborted) == 1, "the end of the connect request")
    names = [call.event for call in trial.desk.calls]
    trial.equal(names, ["connect"], "the events at the handler")
