"""Closing, groups, users, permissions and listings over real HTTP, as real clients see them."""

import json
from collections.abc import AsyncIterator, Iterable
from urllib.parse import parse_qs, quote, urlsplit

import httpx2
import pytest
from tests.wire.rest_helpers import JSON, RELIABLE, Receiver, Wire, wire
from websockets.exceptions import ConnectionClosed

HUB = "/api/hubs/chat"


@pytest.fixture
async def w() -> AsyncIterator[Wire]:
    async with wire() as it:
        yield it


async def with_roles(w: Wire, *roles: str, groups: Iterable[str] = ()) -> Receiver:
    token = w.client_token(role=list(roles), **{"webpubsub.group": list(groups)})
    return await w.connect(JSON, token=token)


async def closed(receiver: Receiver) -> tuple[int, str]:
    """Code and reason of the close frame, which must be the next thing that comes."""
    with pytest.raises(ConnectionClosed) as caught:
        await receiver.frame()
    assert caught.value.rcvd is not None
    return caught.value.rcvd.code, caught.value.rcvd.reason


async def turned_out(receiver: Receiver, reason: str) -> None:
    message = await receiver.message()
    assert message == {"type": "system", "event": "disconnected", "message": reason}
    assert await closed(receiver) == (1000, reason)


async def status(w: Wire, method: str, path: str, query: str = "") -> int:
    return (await w.call(method, HUB + path, query)).status_code


async def says(receiver: Receiver, request: dict[str, object]) -> bool | str:
    """True for a success, else the name of the error."""
    ack = await receiver.ask(request)
    assert ack["type"] == "ack"
    return ack["success"] or ack["error"]["name"]


async def reaches(w: Wire, group: str, people: dict[str, Receiver]) -> str:
    """Names of those whom a message to the group reaches."""
    assert (await w.send(b"hi", to=f"/groups/{group}")).status_code == 202
    assert (await w.send(b"end")).status_code == 202
    reached = ""
    for name, receiver in people.items():
        data = json.loads(await receiver.frame())["data"]
        if data == "hi":
            reached += name
            data = json.loads(await receiver.frame())["data"]
        assert data == "end"
    return reached


# --- closing ---------------------------------------------------------------------------------


@pytest.mark.parametrize("subprotocol", [JSON, RELIABLE])
async def test_ra_052_cp_079_closed_client_is_told_the_reason_and_then_closed(w, subprotocol):
    client, other = await w.connect(subprotocol), await w.connect(subprotocol)
    assert await status(w, "DELETE", f"/connections/{client.connection_id}", "reason=bye") == 204
    await turned_out(client, "bye")
    assert await status(w, "HEAD", f"/connections/{client.connection_id}") == 404
    await w.fence(other)


async def test_cp_080_plain_client_that_is_closed_gets_the_close_frame_only(w):
    plain = await w.connect(user="u")
    assert await status(w, "POST", "/users/u/:closeConnections", "reason=bye") == 204
    assert await closed(plain) == (1000, "bye")


async def test_cp_079_reason_longer_than_a_close_frame_is_cut_there_and_whole_before(w):
    client = await w.connect(JSON)
    reason = "ä" * 100
    query = f"reason={quote(reason)}"
    assert await status(w, "DELETE", f"/connections/{client.connection_id}", query) == 204
    assert (await client.message())["message"] == reason
    assert await closed(client) == (1000, "ä" * 61)


async def test_close_comes_after_what_was_sent_before(w):
    client = await w.connect(JSON, groups=["g"])
    for number in range(5):
        assert (await w.send(b"%d" % number, to="/groups/g")).status_code == 202
    assert await status(w, "DELETE", f"/connections/{client.connection_id}") == 204
    assert [(await client.message())["data"] for _ in range(5)] == list("01234")
    await turned_out(client, "Closed by REST API.")


async def test_ra_053_closing_an_unknown_connection_is_no_error(w):
    client = await w.connect(JSON)
    assert await status(w, "DELETE", "/connections/nobody", "reason=bye") == 204
    await w.fence(client)


async def test_ra_054_close_all_spares_the_excluded_and_other_hubs(w):
    spared, *others = [await w.connect(kind) for kind in (JSON, JSON, RELIABLE)]
    plain, elsewhere = await w.connect(), await w.connect(hub="chat2")
    query = f"excluded={spared.connection_id}&reason=bye"
    assert await status(w, "POST", "/:closeConnections", query) == 204
    for client in others:
        await turned_out(client, "bye")
    assert await closed(plain) == (1000, "bye")
    await w.fence(spared)
    assert (await w.send(b"own", hub="chat2")).status_code == 202
    assert await elsewhere.frame() == "own"


@pytest.mark.parametrize("path", ["/groups/g", "/users/u"])
async def test_ra_055_close_of_a_group_or_a_user_spares_the_excluded(w, path):
    first, second, spared = [await w.connect(JSON, user="u", groups=["g"]) for _ in range(3)]
    other = await w.connect(JSON, user="v", groups=["h"])
    query = f"excluded={spared.connection_id}&reason=bye"
    assert await status(w, "POST", f"{path}/:closeConnections", query) == 204
    for client in (first, second):
        await turned_out(client, "bye")
    await w.fence(spared, other)


# --- existence -------------------------------------------------------------------------------


async def exists(w: Wire, path: str) -> tuple[int, str | None]:
    answer = await w.call("HEAD", HUB + path)
    assert answer.content == b""
    return answer.status_code, answer.headers.get("x-ms-error-code")


async def test_ra_056_ra_057_ra_058_existence_follows_the_clients(w):
    client = await w.connect(JSON, user="u", groups=["g"])
    paths = (f"/connections/{client.connection_id}", "/users/u", "/groups/g")
    assert [await exists(w, path) for path in paths] == [(200, None)] * 3
    assert await exists(w, "/connections/nobody") == (404, "Warning.Connection.NotExisted")
    await client.socket.close(1000)
    assert [await exists(w, path) for path in paths] == [
        (404, "Warning.Connection.NotExisted"),
        (404, "Warning.User.NotExisted"),
        (404, "Warning.Group.NotExisted"),
    ]


async def test_ra_058_group_of_which_the_last_member_left_is_gone(w):
    client = await with_roles(w, "webpubsub.joinLeaveGroup", groups=["g"])
    assert await exists(w, "/groups/g") == (200, None)
    assert await says(client, {"type": "leaveGroup", "group": "g", "ackId": 1}) is True
    assert await exists(w, "/groups/g") == (404, "Warning.Group.NotExisted")


# --- groups ----------------------------------------------------------------------------------


async def test_ra_059_ra_061_connection_that_is_added_gets_messages_until_it_is_removed(w):
    client, other = await w.connect(JSON), await w.connect(JSON)
    people = {"A": client, "B": other}
    path = f"/groups/g/connections/{client.connection_id}"
    assert await status(w, "PUT", path) == 200
    assert await status(w, "PUT", path) == 200
    assert await reaches(w, "g", people) == "A"
    for _ in range(2):
        assert await status(w, "DELETE", path) == 204
    assert await status(w, "DELETE", "/groups/g/connections/nobody") == 204
    assert await reaches(w, "g", people) == ""


async def test_ra_060_unknown_connection_is_not_added(w):
    answer = await w.call("PUT", f"{HUB}/groups/g/connections/nobody")
    assert (answer.status_code, answer.json()["code"]) == (404, "Error.Connection.NotExisted")
    assert answer.headers["x-ms-error-code"] == "Error.Connection.NotExisted"


async def test_ra_062_connection_leaves_all_its_groups(w):
    client = await w.connect(JSON, groups=["g1", "g2"])
    path = f"/connections/{client.connection_id}/groups"
    assert await status(w, "DELETE", path) == 204
    for group in ("g1", "g2"):
        assert await reaches(w, group, {"A": client}) == ""
    assert await status(w, "DELETE", "/connections/nobody/groups") == 204


async def test_ra_063_user_joins_with_its_connections_of_the_moment(w):
    people = {"A": await w.connect(JSON, user="u"), "B": await w.connect(RELIABLE, user="u")}
    assert await status(w, "PUT", "/users/u/groups/g") == 200
    people["C"] = await w.connect(JSON, user="u")
    assert await reaches(w, "g", people) == "AB"


async def test_ra_064_ra_065_user_leaves_and_an_unknown_one_is_no_error(w):
    people = {
        "A": await w.connect(JSON, user="u", groups=["g1", "g2", "g3"]),
        "B": await w.connect(JSON, user="v", groups=["g1", "g2", "g3"]),
    }
    assert await status(w, "DELETE", "/users/u/groups/g1") == 204
    assert [await reaches(w, g, people) for g in ("g1", "g2", "g3")] == ["B", "AB", "AB"]
    assert await status(w, "DELETE", "/users/u/groups") == 204
    assert [await reaches(w, g, people) for g in ("g1", "g2", "g3")] == ["B", "B", "B"]
    assert await status(w, "PUT", "/users/nobody/groups/g1") == 200
    assert await status(w, "DELETE", "/users/nobody/groups/g1") == 204
    assert await status(w, "DELETE", "/users/nobody/groups") == 204


async def bulk(w: Wire, verb: str, body: bytes, content_type: str = "application/json") -> int:
    headers = {"Content-Type": content_type}
    answer = await w.call("POST", f"{HUB}/:{verb}", headers=headers, body=body)
    assert answer.status_code != 200 or answer.content == b""
    return answer.status_code


async def test_ra_066_ra_067_ra_071_bulk_changes_reach_those_who_match(w):
    people = {
        "A": await w.connect(JSON, user="u"),
        "B": await w.connect(RELIABLE, user="u"),
        "C": await w.connect(JSON),
    }
    body = b"""{"groups":["g1","g2"],"filter":"userId eq 'u'"}"""
    assert await bulk(w, "addToGroups", body) == 200
    assert await reaches(w, "g1", people) == await reaches(w, "g2", people) == "AB"
    assert await bulk(w, "addToGroups", b'{"groups":["g1"]}') == 200
    assert await reaches(w, "g1", people) == "ABC"
    nobody = b"""{"groups":["g1"],"filter":"userId eq 'nobody'"}"""
    assert await bulk(w, "removeFromGroups", nobody) == 200
    assert await reaches(w, "g1", people) == "ABC"
    assert await bulk(w, "removeFromGroups", b'{"groups":["g1","g2"],"filter":""}') == 200
    assert await reaches(w, "g1", people) == await reaches(w, "g2", people) == ""


async def test_ra_068_ra_069_ra_070_bulk_change_at_fault_changes_nothing(w):
    people = {"A": await w.connect(JSON, groups=["g"])}
    for verb in ("addToGroups", "removeFromGroups"):
        for body in (b'{"groups":[]}', b"{}", b'{"groups":["g","h","  "]}', b"[1"):
            assert await bulk(w, verb, body) == 400
        bad_filter = b'{"groups":["g","h"],"filter":"not length(userId) gt 5"}'
        assert await bulk(w, verb, bad_filter) == 400
        assert await bulk(w, verb, b'{"groups":["g","h"]}', "text/plain") == 415
    assert await reaches(w, "g", people) == "A"
    assert await reaches(w, "h", people) == ""


async def test_reliable_client_that_is_away_is_added_meanwhile(w):
    client = await w.connect(RELIABLE)
    client.socket.transport.abort()
    path = f"/groups/g/connections/{client.connection_id}"
    assert await status(w, "PUT", path) == 200
    assert (await w.send(b"hi", to="/groups/g")).status_code == 202
    back = await recovered(w, client)
    message = await back.message()
    assert (message["sequenceId"], message["group"], message["data"]) == (1, "g", "hi")


async def recovered(w: Wire, lost: Receiver) -> Receiver:
    assert lost.connected is not None
    return await w.connect(
        RELIABLE,
        awps_connection_id=lost.connection_id,
        awps_reconnection_token=lost.connected["reconnectionToken"],
    )


# --- permissions -----------------------------------------------------------------------------


def permission(receiver: Receiver | None, name: str = "sendToGroup") -> str:
    connection_id = "nobody" if receiver is None else receiver.connection_id
    return f"/permissions/{name}/connections/{connection_id}"


def send(group: str, ack_id: int) -> dict[str, object]:
    return {
        "type": "sendToGroup",
        "group": group,
        "dataType": "text",
        "data": "x",
        "noEcho": True,
        "ackId": ack_id,
    }


async def test_ra_072_cp_056_forbidden_request_is_executed_once_it_is_permitted(w):
    client, member = await w.connect(JSON), await w.connect(JSON, groups=["room"])
    assert await says(client, send("room", 6)) == "Forbidden"
    assert await status(w, "PUT", permission(client), "targetName=room") == 200
    assert await says(client, send("room", 6)) is True
    assert (await member.message())["data"] == "x"
    assert await says(client, send("other", 7)) == "Forbidden"
    assert await says(client, send("room", 6)) == "Duplicate"
    await w.fence(client, member)


async def test_cp_115_granted_right_to_join_can_be_revoked_and_the_membership_stays(w):
    client = await w.connect(JSON)
    join: dict[str, object] = {"type": "joinGroup", "group": "g1"}
    path = permission(client, "joinLeaveGroup")
    assert await says(client, {**join, "ackId": 1}) == "Forbidden"
    assert await status(w, "PUT", path, "targetName=g1") == 200
    assert await says(client, {**join, "ackId": 2}) is True
    assert await status(w, "DELETE", path, "targetName=g1") == 204
    assert await says(client, {**join, "ackId": 3}) == "Forbidden"
    assert await reaches(w, "g1", {"A": client}) == "A"


async def test_ra_077_revoke_beats_the_role_for_this_group_and_the_membership_stays(w):
    client = await with_roles(w, "webpubsub.sendToGroup", groups=["room"])
    assert await status(w, "DELETE", permission(client), "targetName=room") == 204
    assert await says(client, send("room", 1)) == "Forbidden"
    assert await says(client, send("other", 2)) is True
    assert await reaches(w, "room", {"A": client}) == "A"
    assert await status(w, "PUT", permission(client), "targetName=room") == 200
    assert await says(client, send("room", 3)) is True


async def test_ra_073_ra_074_ra_075_ra_078_permission_calls_at_fault(w):
    client = await w.connect(JSON)
    assert await status(w, "PUT", permission(client)) == 400
    assert await status(w, "PUT", permission(client, "unknown"), "targetName=room") == 400
    assert await status(w, "PUT", permission(client, "SENDTOGROUP"), "targetName=room") == 200
    answer = await w.call("PUT", HUB + permission(None), "targetName=room")
    assert (answer.status_code, answer.json()["code"]) == (404, "Info.Connection.NotExisted")
    assert answer.headers["x-ms-error-code"] == "Info.Connection.NotExisted"
    assert await status(w, "DELETE", permission(None), "targetName=room") == 204


async def test_ra_076_ra_079_check_is_literal_and_with_case(w):
    client = await w.connect(JSON)
    negative = (404, "Info.Connection.NotExisted")
    assert await exists(w, permission(client)) == (400, "Error.BadRequest")
    assert await status(w, "PUT", permission(client), "targetName=*") == 200
    for group, expected in (("*", 200), ("room", 404)):
        assert await status(w, "HEAD", permission(client), f"targetName={group}") == expected
    assert await status(w, "PUT", permission(client), "targetName=room") == 200
    for path, group, answered in (
        (permission(client), "room", (200, None)),
        (permission(client), "Room", negative),
        (permission(client, "joinLeaveGroup"), "room", negative),
        (permission(None), "room", negative),
    ):
        answer = await w.call("HEAD", HUB + path, f"targetName={group}")
        assert (answer.status_code, answer.headers.get("x-ms-error-code")) == answered
        assert answer.content == b""


async def test_permission_survives_a_recovery(w):
    client = await w.connect(RELIABLE)
    assert await status(w, "PUT", permission(client), "targetName=room") == 200
    client.socket.transport.abort()
    back = await recovered(w, client)
    assert await says(back, send("room", 1)) is True


# --- listings --------------------------------------------------------------------------------


async def follow(w: Wire, answer: httpx2.Response) -> httpx2.Response | None:
    """The next page by its link as it stands, with a token for just this address."""
    assert answer.status_code == 200
    link = answer.json()["nextLink"]
    if link is None:
        return None
    parts = urlsplit(link)
    assert f"{parts.scheme}://{parts.netloc}" == w.service.url
    return await w.call("GET", parts.path, parts.query, token=w.rest_token(link))


async def pages(w: Wire, path: str, query: str) -> list[list[str]]:
    found = []
    answer: httpx2.Response | None = await w.call("GET", path, query)
    while answer is not None:
        found.append([member["connectionId"] for member in answer.json()["value"]])
        answer = await follow(w, answer)
    return found


async def test_ra_081_ra_082_ra_083_ra_085_group_is_listed_in_pages(w):
    group = "g/1 +é"
    members = [
        await w.connect(JSON, user=user, groups=[group]) for user in ("u", "u", "v", None, None)
    ]
    users = {member.connection_id: (member.connected or {}).get("userId") for member in members}
    ids = sorted(users)
    path = f"{HUB}/groups/{quote(group, safe='')}/connections"
    assert await pages(w, path, "maxpagesize=2") == [ids[:2], ids[2:4], ids[4:]]
    assert await pages(w, path, "maxpagesize=2&top=3") == [ids[:2], ids[2:3]]
    answer = await w.call("GET", path)
    assert answer.headers["content-type"] == "application/json; charset=utf-8"
    assert answer.json() == {
        "value": [{"connectionId": id, "userId": users[id]} for id in ids],
        "nextLink": None,
    }
    for query in ("maxpagesize=0", "maxpagesize=201", "maxpagesize=x", "top=0"):
        assert (await w.call("GET", path, query)).status_code == 400
    answer = await w.call("GET", f"{HUB}/groups/unknown/connections")
    assert (answer.status_code, answer.json()) == (200, {"value": [], "nextLink": None})


async def test_ra_084_continuation_token_that_is_foreign_or_changed_answers_400(w):
    for _ in range(2):
        await w.connect(JSON, groups=["g", "h"])
    answer = await w.call("GET", f"{HUB}/groups/g/connections", "maxpagesize=1")
    (token,) = parse_qs(urlsplit(answer.json()["nextLink"]).query)["continuationToken"]
    right = f"continuationToken={token}"
    assert await status(w, "GET", "/groups/g/connections", right) == 200
    assert await status(w, "GET", "/groups/h/connections", right) == 400
    other = await w.call("GET", "/api/hubs/chat2/groups/g/connections", right)
    assert other.status_code == 400
    for place in (0, len(token) // 2, len(token) - 1):
        letter = "A" if token[place] != "A" else "B"
        changed = f"continuationToken={token[:place]}{letter}{token[place + 1 :]}"
        assert await status(w, "GET", "/groups/g/connections", changed) == 400
