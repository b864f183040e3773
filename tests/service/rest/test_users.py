"""Users: whether they are there, and the groups of all their connections."""

HUB = "/api/hubs/chat"


async def test_ra_057_user_exists_while_it_has_a_connection(bench):
    bench.connect("c1", user="u")
    assert (await bench.request("HEAD", f"{HUB}/users/u")).status == 200
    for name in ("U", "nobody"):
        answer = await bench.request("HEAD", f"{HUB}/users/{name}")
        assert (answer.status, answer.body) == (404, b"")
        assert answer.headers["x-ms-error-code"] == "Warning.User.NotExisted"
    await bench.request("DELETE", f"{HUB}/connections/c1")
    assert (await bench.request("HEAD", f"{HUB}/users/u")).status == 404


async def test_ra_063_user_joins_with_the_connections_of_the_moment(bench):
    bench.connect("c1", user="u")
    bench.connect("c2", user="u", groups=["g"])
    bench.connect("other", user="v")
    answer = await bench.request("PUT", f"{HUB}/users/u/groups/g")
    assert (answer.status, answer.body) == (200, b"")
    bench.connect("c3", user="u")
    assert bench.members("g") == ["c1", "c2"]


async def test_ra_064_ra_065_unknown_user_is_no_error_and_makes_no_group(bench):
    assert (await bench.request("PUT", f"{HUB}/users/nobody/groups/g")).status == 200
    assert (await bench.request("DELETE", f"{HUB}/users/nobody/groups/g")).status == 204
    assert (await bench.request("DELETE", f"{HUB}/users/nobody/groups")).status == 204
    assert bench.hub.groups == {}


async def test_ra_065_user_leaves_one_group_or_all(bench):
    bench.connect("c1", user="u", groups=["g", "h"])
    bench.connect("c2", user="u", groups=["g", "h", "i"])
    bench.connect("other", user="v", groups=["g", "h", "i"])
    answer = await bench.request("DELETE", f"{HUB}/users/u/groups/g")
    assert (answer.status, answer.body) == (204, b"")
    assert (bench.members("g"), bench.members("h")) == (["other"], ["c1", "c2", "other"])
    answer = await bench.request("DELETE", f"{HUB}/users/u/groups")
    assert (answer.status, answer.body) == (204, b"")
    assert bench.members("h") == bench.members("i") == ["other"]


async def test_name_at_fault_answers_400(bench):
    bench.connect("c1", user="u")
    for method, path, target in (
        ("PUT", "/users/u/groups/%20", "group"),
        ("PUT", f"/users/u/groups/{'g' * 1025}", "group"),
        ("PUT", "/users//groups/g", "userId"),
        ("DELETE", "/users/u/groups/%FF", "group"),
        ("DELETE", "/users//groups", "userId"),
    ):
        answer = await bench.request(method, HUB + path)
        assert (answer.status, answer.json["target"]) == (400, target), path
    assert bench.hub.groups == {}
