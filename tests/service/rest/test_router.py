import pytest

from hubbub.service.rest.app import ROUTES
from hubbub.service.rest.router import Operation, Router

ROUTER = Router(ROUTES)


def names_of(path: str, method: str) -> tuple[str, tuple[bytes, ...]]:
    match = ROUTER.find(path.encode())
    assert match is not None
    return match.operations[method].name, tuple(match.names.values())


@pytest.mark.parametrize(
    ("method", "path", "name", "names"),
    [
        ("POST", "/api/hubs/h/:send", "send to all", (b"h",)),
        ("POST", "/API/Hubs/h/:SEND", "send to all", (b"h",)),
        ("POST", "/api/hubs/h/%3Asend", "send to all", (b"h",)),
        ("POST", "/api/hubs/h/%3asend", "send to all", (b"h",)),
        ("POST", "/api/hubs/H/groups/G/:send", "send to group", (b"H", b"G")),
        ("POST", "/api/hubs/h/groups/a%2Fb/:send", "send to group", (b"h", b"a%2Fb")),
        ("HEAD", "/api/hubs/h/groups/:send", "group exists", (b"h", b":send")),
        ("POST", "/api/hubs/hubs/groups/groups/:send", "send to group", (b"hubs", b"groups")),
        ("POST", "/api/hubs//:send", "send to all", (b"",)),
        ("PUT", "/api/hubs/h/users/u/groups/g", "add user to group", (b"h", b"u", b"g")),
        ("GET", "/api/hubs/h/groups/g/connections", "list connections of a group", (b"h", b"g")),
    ],
)
def test_find_when_path_is_in_the_table_gives_operation_and_raw_names(method, path, name, names):
    assert names_of(path, method) == (name, names)


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/",
        "*",
        "api/hubs/h/:send",
        "//api/hubs/h/:send",
        "/api/hubs/h/:send/",
        "/api/hubs/h:send",
        "/api/hubs/h/send",
        "/api/hubs/h/::send",
        "/api/hubs/h",
        "/api/hubs/h/groups/a/b/:send",
        "/api/hubs/h/connections/c/:closeConnections",
        "/api%2Fhealth",
        "/x/../api/health",
        "/api/" + "a/" * 1000,
    ],
)
def test_find_when_path_is_not_in_the_table_gives_none(path):
    assert ROUTER.find(path.encode()) is None


def test_find_gives_each_name_its_place():
    match = ROUTER.find(b"/api/hubs/h/groups/g/connections/c")
    assert match is not None
    assert match.names == {"hub": b"h", "group": b"g", "connection": b"c"}
    match = ROUTER.find(b"/api/hubs/h/users/u/groups/g")
    assert match is not None
    assert match.names == {"hub": b"h", "user": b"u", "group": b"g"}


async def nothing(call):
    raise AssertionError("is not called")


ONE, TWO = Operation("one", nothing), Operation("two", nothing)


def test_router_when_a_path_is_there_twice_refuses_the_table():
    with pytest.raises(AssertionError, match="twice"):
        Router([("/a/{x}", {"GET": ONE}), ("/A/{y}", {"GET": TWO})])


def test_router_when_literals_of_one_length_differ_in_place_refuses_the_table():
    with pytest.raises(AssertionError, match="literals"):
        Router([("/a/{x}", {"GET": ONE}), ("/{x}/a", {"GET": TWO})])


def test_routes_hold_all_operations_of_the_api():
    operations = [o.name for path, table in ROUTES for o in table.values() if "/api/" in path]
    assert len(operations) == 26  # 25 and GET of health
