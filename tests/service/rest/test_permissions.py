"""Grant, revoke and check by REST, with the rights of the connection itself."""

import pytest

from hubbub.protocol import limits

HUB = "/api/hubs/chat"


async def ask(bench, method, permission, name, query="targetName=room"):
    path = f"{HUB}/permissions/{permission}/connections/{name}"
    return await bench.request(method, path, query=query)


@pytest.mark.parametrize(
    ("permission", "right", "other"),
    [
        ("sendToGroup", "can_send", "can_join"),
        ("joinLeaveGroup", "can_join", "can_send"),
        ("SENDTOGROUP", "can_send", "can_join"),
        ("joinleavegroup", "can_join", "can_send"),
        ("1", "can_send", "can_join"),
        ("2", "can_join", "can_send"),
    ],
)
async def test_ra_072_ra_075_granted_permission_holds_until_it_is_revoked(
    bench, permission, right, other
):
    permissions = bench.connect("c1").session.permissions
    for _ in range(2):
        answer = await ask(bench, "PUT", permission, "c1")
        assert (answer.status, answer.body) == (200, b"")
    assert getattr(permissions, right)("room")
    assert not getattr(permissions, right)("Room")
    assert not getattr(permissions, other)("room")
    answer = await ask(bench, "HEAD", permission, "c1")
    assert (answer.status, answer.body) == (200, b"")
    for _ in range(2):
        answer = await ask(bench, "DELETE", permission, "c1")
        assert (answer.status, answer.body) == (204, b"")
    assert not getattr(permissions, right)("room")


@pytest.mark.parametrize("method", ["PUT", "DELETE", "HEAD"])
@pytest.mark.parametrize(
    "query",
    [
        "",
        "targetName=",
        "targetName=%20%09",
        "targetName=" + "g" * 1025,
        "targetName=a&targetName=b",
        "targetname=room",
    ],
)
async def test_ra_073_target_name_at_fault_answers_400(bench, method, query):
    bench.connect("c1", roles=["webpubsub.sendToGroup"])
    answer = await ask(bench, method, "sendToGroup", "c1", query)
    assert (answer.status, answer.headers["x-ms-error-code"]) == (400, "Error.BadRequest")
    if method != "HEAD":
        assert answer.json["target"] == "targetName"


@pytest.mark.parametrize("method", ["PUT", "DELETE", "HEAD"])
@pytest.mark.parametrize("permission", ["unknown", "", "3", "sendToGroups", "sendToGroup%20"])
async def test_ra_075_unknown_permission_answers_400(bench, method, permission):
    bench.connect("c1")
    answer = await ask(bench, method, permission, "c1")
    assert (answer.status, answer.headers["x-ms-error-code"]) == (400, "Error.BadRequest")


async def test_ra_074_ra_078_ra_079_unknown_connection(bench):
    answer = await ask(bench, "PUT", "sendToGroup", "nobody")
    assert (answer.status, answer.code) == (404, "Info.Connection.NotExisted")
    answer = await ask(bench, "DELETE", "sendToGroup", "nobody")
    assert (answer.status, answer.body) == (204, b"")
    answer = await ask(bench, "HEAD", "sendToGroup", "nobody")
    assert (answer.status, answer.body) == (404, b"")
    assert answer.headers["x-ms-error-code"] == "Info.Connection.NotExisted"


async def test_ra_076_target_name_is_no_pattern(bench):
    bench.connect("c1")
    for name in ("*", "room.*", "**"):
        query = f"targetName={name}"
        assert (await ask(bench, "PUT", "sendToGroup", "c1", query)).status == 200
        assert (await ask(bench, "HEAD", "sendToGroup", "c1", query)).status == 200
    for name in ("room", "room.a"):
        answer = await ask(bench, "HEAD", "sendToGroup", "c1", f"targetName={name}")
        assert answer.status == 404


@pytest.mark.parametrize(
    "role", ["webpubsub.sendToGroup", "webpubsub.sendToGroup.room", "webpubsub.sendToGroups.r*"]
)
async def test_ra_077_revoked_permission_beats_the_role_for_this_group(bench, role):
    connection = bench.connect("c1", roles=[role], groups=["room"])
    assert (await ask(bench, "HEAD", "sendToGroup", "c1")).status == 200
    assert (await ask(bench, "DELETE", "sendToGroup", "c1")).status == 204
    answer = await ask(bench, "HEAD", "sendToGroup", "c1")
    assert answer.headers["x-ms-error-code"] == "Info.Connection.NotExisted"
    assert answer.status == 404
    assert connection.session.permissions.can_send("rest") is (role[-1] != "m")
    assert bench.members("room") == ["c1"]


async def test_ra_079_check_compares_the_group_with_case(bench):
    bench.connect("c1", roles=["webpubsub.sendToGroup.room"])
    assert (await ask(bench, "HEAD", "sendToGroup", "c1")).status == 200
    assert (await ask(bench, "HEAD", "joinLeaveGroup", "c1")).status == 404
    assert (await ask(bench, "HEAD", "sendToGroup", "c1", "targetName=Room")).status == 404


async def test_ra_080_one_rule_too_many_answers_409_and_changes_nothing(bench):
    permissions = bench.connect("c1", roles=["webpubsub.joinLeaveGroup"]).session.permissions
    for number in range(limits.MAX_LITERAL_RULES):
        query = f"targetName=g{number}"
        assert (await ask(bench, "PUT", "sendToGroup", "c1", query)).status == 200
    answer = await ask(bench, "PUT", "sendToGroup", "c1")
    assert (answer.status, answer.code) == (409, "Error.Connection.Conflict")
    assert not permissions.can_send("room")
    assert permissions.can_send("g0")
    assert (await ask(bench, "PUT", "sendToGroup", "c1", "targetName=g0")).status == 200
    for number in range(limits.MAX_LITERAL_RULES):
        query = f"targetName=g{number}"
        assert (await ask(bench, "DELETE", "joinLeaveGroup", "c1", query)).status == 204
    answer = await ask(bench, "DELETE", "joinLeaveGroup", "c1")
    assert (answer.status, answer.code) == (409, "Error.Connection.Conflict")
    assert permissions.can_join("room")
