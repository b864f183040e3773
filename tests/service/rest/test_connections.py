"""Existence and closing, of one connection and of many."""

import pytest

HUB = "/api/hubs/chat"


async def delete(bench, path, query=""):
    return await bench.request("DELETE", HUB + path, query=query)


async def test_ra_056_connection_exists_while_it_is_connected(bench):
    bench.connect("c1")
    answer = await bench.request("HEAD", f"{HUB}/connections/c1")
    assert (answer.status, answer.body) == (200, b"")
    for name in ("c2", "C1"):
        answer = await bench.request("HEAD", f"{HUB}/connections/{name}")
        assert (answer.status, answer.body) == (404, b"")
        assert answer.headers["x-ms-error-code"] == "Warning.Connection.NotExisted"
    answer = await bench.request("HEAD", "/api/hubs/other/connections/c1")
    assert answer.status == 404


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ("reason=bye", "bye"),
        ("reason=a%20b+%C3%A9", "a b é"),
        ("reason=", "Closed by REST API."),
        ("", "Closed by REST API."),
    ],
)
async def test_ra_052_closed_connection_is_gone_and_the_reason_goes_everywhere(
    bench, query, reason
):
    connection, _ = bench.connect("c1", groups=["g"]), bench.connect("c2", groups=["g"])
    socket = connection.socket
    answer = await delete(bench, "/connections/c1", query)
    assert (answer.status, answer.body) == (204, b"")
    assert socket.closed == (1000, reason)
    assert bench.node.upstream.left == [("c1", reason)]
    assert sorted(bench.hub.connections) == bench.members("g") == ["c2"]


async def test_ra_053_closing_an_unknown_connection_is_no_error(bench):
    bench.connect("c1")
    assert (await delete(bench, "/connections/c2")).status == 204
    assert list(bench.hub.connections) == ["c1"]


async def test_reason_when_given_twice_answers_400_and_closes_nothing(bench):
    bench.connect("c1")
    for path, method in (("/connections/c1", "DELETE"), ("/:closeConnections", "POST")):
        answer = await bench.request(method, HUB + path, query="reason=a&reason=b")
        assert (answer.status, answer.json["target"]) == (400, "reason")
    assert list(bench.hub.connections) == ["c1"]


@pytest.mark.parametrize(
    ("path", "closed"),
    [
        ("", ["c1", "c2", "c3", "c5"]),
        ("/groups/g", ["c1", "c2"]),
        ("/groups/G", []),
        ("/users/u", ["c2", "c3"]),
        ("/users/U", []),
    ],
)
async def test_ra_054_ra_055_close_many_spares_the_excluded(bench, path, closed):
    bench.connect("c1", groups=["g"])
    bench.connect("c2", groups=["g"], user="u")
    bench.connect("c3", user="u")
    bench.connect("c4", groups=["g"], user="u")
    bench.connect("c5")
    query = "excluded=c4&excluded=nobody&excluded=C1&reason=bye"
    answer = await bench.request("POST", f"{HUB}{path}/:closeConnections", query=query)
    assert (answer.status, answer.body) == (204, b"")
    assert sorted(bench.node.upstream.left) == [(name, "bye") for name in closed]
    assert not set(closed) & set(bench.hub.connections)


async def test_close_all_counts_each_client_once(bench):
    for number in range(1200):
        bench.connect(f"c{number}")
    answer = await bench.request("POST", f"{HUB}/:closeConnections")
    assert answer.status == 204
    assert bench.hub.connections == {}
    assert bench.hub._counts["closed.ClosedByAppServer"] == 1200


async def test_ra_062_connection_leaves_all_groups(bench):
    bench.connect("c1", groups=["g", "h"])
    bench.connect("c2", groups=["g"])
    for name in ("c1", "c1", "nobody"):
        answer = await delete(bench, f"/connections/{name}/groups")
        assert (answer.status, answer.body) == (204, b"")
    assert (bench.members("g"), bench.members("h")) == (["c2"], [])
    assert sorted(bench.hub.connections) == ["c1", "c2"]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("HEAD", "/connections/%FF"),
        ("DELETE", "/connections//groups"),
        ("DELETE", "/connections/%FF"),
        ("POST", "/groups//:closeConnections"),
        ("POST", "/users//:closeConnections"),
    ],
)
async def test_empty_or_broken_name_answers_400(bench, method, path):
    answer = await bench.request(method, HUB + path)
    assert answer.status == 400
    assert answer.headers["x-ms-error-code"] == "Error.BadRequest"
