"""Who gets in, by which address, and what the first frame is."""

import asyncio

from hubbub.testing.conformance.registry import case
from hubbub.testing.conformance.trial import JOIN, SEND, Trial
from hubbub.testing.conformance.wire import ABSENT, JSON, RELIABLE, Refused

_MODE = "webpubsub_mode=sendToGroup"
_OTHER_KEY = "a key that no service has, long enough for HS256"


@case("CP-001")
async def token_lets_in(trial: Trial) -> None:
    client = await trial.client(JSON, user="u1")
    trial.equal(client.subprotocol, JSON, "the chosen subprotocol")
    trial.equal(client.hello.get("type"), "system", "the type of the first message")
    trial.equal(client.hello.get("userId"), "u1", "userId in `connected`")
    trial.check(client.hello.get("connectionId"), "a connectionId", client.hello)


@case("CP-002")
async def legacy_paths(trial: Trial) -> None:
    for path in (f"/client/?hub={trial.hub}", f"/client?hub={trial.hub}"):
        client = await trial.client(path=path, user="u1")
        trial.equal(client.hello.get("userId"), "u1", "userId in `connected`")


@case("CP-003")
async def token_in_the_header(trial: Trial) -> None:
    client = await trial.client(token="", headers={"Authorization": f"Bearer {trial.token()}"})
    trial.check(client.hello.get("connectionId"), "a connectionId", client.hello)


@case("CP-004")
async def no_token(trial: Trial) -> None:
    await trial.refused(401, token="")


@case("CP-005")
async def expiry_has_skew(trial: Trial) -> None:
    await trial.refused(401, life_s=-600)
    await trial.client(life_s=-120)


@case("CP-006")
async def wrong_key(trial: Trial) -> None:
    await trial.refused(401, key=_OTHER_KEY)


@case("CP-007", "RA-092")
async def token_of_another_hub(trial: Trial) -> None:
    await trial.refused(401, token=trial.token(hub=f"{trial.hub}x"))


@case("CP-008", needs_second_key=True)
async def secondary_key(trial: Trial) -> None:
    await trial.client(key=trial.target.second_key)


@case("CP-009", seconds=5)
async def expiry_does_not_end_a_connection(trial: Trial) -> None:
    client = await trial.client(life_s=2)
    await asyncio.sleep(5)
    await client.ask({"type": "joinGroup", "group": "g", "ackId": 1})


@case("CP-010", is_ours=True)
async def hub_without_case(trial: Trial) -> None:
    member = await trial.client(groups=["g"])
    other = await trial.client(path=f"/client/hubs/{trial.hub.upper()}", roles=SEND)
    await other.send({"type": "sendToGroup", "group": "g", "dataType": "text", "data": "x"})
    await member.message(data="x")


@case("CP-011")
async def bad_hub_names(trial: Trial) -> None:
    for hub in ("1bad", "a" * 129):
        await trial.refused(400, hub=hub)


@case("CP-012", is_ours=True)
async def unknown_paths(trial: Trial) -> None:
    for path in ("/client/hubs/", "/nope"):
        await trial.refused(404, path=path)


@case("CP-013")
async def plain_get(trial: Trial) -> None:
    path = f"/client/hubs/{trial.hub}"
    async with trial.http.get(
        f"{trial.target.client_base}{path}?access_token={trial.token()}"
    ) as answer:
        trial.equal(answer.status, 400, f"the status of a GET on {path} that is no handshake")


@case("CP-014")
async def bad_group_in_the_token(trial: Trial) -> None:
    await trial.refused(400, groups=["x" * 1025])


@case("RA-093")
async def expired_or_bad_group(trial: Trial) -> None:
    await trial.refused(401, life_s=-600)
    await trial.refused(400, groups=["ok", "x" * 1025])


@case("RA-091")
async def audience_with_a_ws_scheme(trial: Trial) -> None:
    base = trial.target.client_base.replace("http", "ws", 1)
    await trial.refused(401, aud=f"{base}/client/hubs/{trial.hub}")


@case("RA-090")
async def role_as_a_plain_string(trial: Trial) -> None:
    client = await trial.client(role="webpubsub.joinLeaveGroup.g")
    await client.ask({"type": "joinGroup", "group": "g", "ackId": 1})
    await client.ask({"type": "joinGroup", "group": "h", "ackId": 2}, "Forbidden")


@case("CP-019")
async def first_known_subprotocol(trial: Trial) -> None:
    client = await trial.client(f"a, {JSON}, {RELIABLE}")
    trial.equal(client.subprotocol, JSON, "the chosen subprotocol")


@case("CP-021", is_ours=True)
async def custom_subprotocol_alone(trial: Trial) -> None:
    client = await trial.client("custom.p", groups=["g"])
    trial.equal(client.subprotocol, None, "the chosen subprotocol")
    await trial.send(b"x", to="/groups/g")
    await client.frame("x")


@case("CP-027")
async def plain_client_without_a_handler(trial: Trial) -> None:
    client = await trial.client(None)
    await client.send("x")
    await client.closed(1011)


@case("CP-028")
async def send_to_group_mode(trial: Trial) -> None:
    member = await trial.client(groups=["g1"])
    client = await trial.client(None, query=f"{_MODE}&group=g1", roles=["webpubsub.sendToGroup.g1"])
    await client.send("hi")
    await member.message(**{"from": "group", "group": "g1", "dataType": "text", "data": "hi"})


@case("CP-029")
async def send_to_group_mode_without_the_role(trial: Trial) -> None:
    client = await trial.client(None, query=f"{_MODE}&group=g1", roles=JOIN)
    await client.send("hi")
    await client.closed(1008)


@case("CP-030")
async def send_to_group_mode_without_one_group(trial: Trial) -> None:
    for query in (_MODE, f"{_MODE}&group=a&group=b"):
        await trial.refused(400, subprotocol=None, query=query)


@case("CP-031")
async def unknown_mode(trial: Trial) -> None:
    await trial.refused(400, subprotocol=None, query="webpubsub_mode=foo")


@case("CP-135", is_ours=True)
async def mqtt_path(trial: Trial) -> None:
    path = f"/clients/mqtt/hubs/{trial.hub}"
    audience = trial.target.client_base + path
    try:
        await trial.client("mqtt", path=path, aud=audience, expects_hello=False)
    except Refused as refused:
        trial.equal(refused.status, 404, "the status of the handshake")
    else:
        trial.not_applicable("the service has MQTT")


@case("CP-137", variant="guests")
async def anonymous_where_allowed(trial: Trial) -> None:
    client = await trial.client(token="")
    trial.check(not client.hello.get("userId"), "no userId", client.hello)
    await client.ask({"type": "joinGroup", "group": trial.name(), "ackId": 1}, "Forbidden")


@case("CP-032")
async def plain_member_gets_bare_frames(trial: Trial) -> None:
    plain = await trial.client(None, groups=["g1"])
    sender = await trial.client()
    for data_type, data in (("json", {"a": [1]}), ("text", "hi"), ("binary", "AQID")):
        await sender.send(
            {"type": "sendToGroup", "group": "g1", "dataType": data_type, "data": data}
        )
    came = await plain.next()
    trial.check(
        isinstance(came, str) and came.replace(" ", "") == '{"a":[1]}', 'text {"a":[1]}', came
    )
    await plain.frame("hi")
    await plain.frame(b"\x01\x02\x03")


@case("CP-033")
async def json_string_keeps_its_quotes(trial: Trial) -> None:
    plain = await trial.client(None, user="p")
    await trial.send(b'"Hello"', "application/json", to="/users/p")
    await plain.frame('"Hello"')


@case("CP-080")
async def plain_client_is_closed(trial: Trial) -> None:
    plain = await trial.client(None, user="p")
    await trial.rest("POST", "/users/p/:closeConnections", query="reason=bye", expect=204)
    await plain.closed(1000)
    plain.nothing_unread()


@case("CP-079")
async def json_client_is_closed(trial: Trial) -> None:
    client = await trial.client()
    path = f"/connections/{client.connection_id}"
    await trial.rest("DELETE", path, query="reason=bye", expect=204)
    await client.wait(type="system", event="disconnected", message="bye")
    await client.closed(1000)


@case("CP-041")
async def group_message_by_rest(trial: Trial) -> None:
    member = await trial.client(groups=["g1"])
    await trial.send(b"hi", to="/groups/g1")
    await member.message(**{"from": "group", "group": "g1", "data": "hi", "fromUserId": ABSENT})


@case("CP-042")
async def server_messages(trial: Trial) -> None:
    client = await trial.client()
    to = f"/connections/{client.connection_id}"
    for kind, body, content_type, data in (
        ("text", b"text", "text/plain", "text"),
        ("json", b'{"a":1}', "application/json", {"a": 1}),
        ("binary", b"\x00\x01", "application/octet-stream", "AAE="),
    ):
        await trial.send(body, content_type, to=to)
        await client.message(**{"from": "server", "dataType": kind, "data": data})
