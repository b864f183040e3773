"""Filters over real HTTP: who gets a message, and that a fault reaches nobody."""

from collections.abc import AsyncIterator
from urllib.parse import quote

import pytest
from tests.wire.rest_helpers import JSON, RELIABLE, Receiver, Wire, wire


@pytest.fixture
async def w() -> AsyncIterator[Wire]:
    async with wire() as it:
        yield it


async def filtered(w: Wire, text: str, *, to: str = "", body: bytes = b"hi", more: str = ""):
    return await w.send(body, to=to, query=f"api-version=2024-12-01&filter={quote(text)}{more}")


async def got(w: Wire, text: str, people: dict[str, Receiver], to: str = "") -> str:
    """Names of those whom a send with this filter reaches."""
    assert (await filtered(w, text, to=to)).status_code == 202
    assert (await w.send(b"end")).status_code == 202
    reached = ""
    for name, receiver in people.items():
        data = (await receiver.message())["data"]
        if data == "hi":
            reached += name
            data = (await receiver.message())["data"]
        assert data == "end"
    return reached


async def test_ra_039_filter_by_user_reaches_all_connections_of_this_user_only(w):
    u1 = [await w.connect(kind, user="u1") for kind in (None, JSON, RELIABLE)]
    u2 = [await w.connect(kind, user="u2") for kind in (None, JSON, RELIABLE)]
    anonymous = await w.connect()
    assert (await filtered(w, "userId eq 'u1'")).status_code == 202
    assert await u1[0].frame() == "hi"
    assert (await u1[1].message())["data"] == "hi"
    assert (await u1[2].message())["data"] == "hi"
    await w.fence(*u1, *u2, anonymous)


@pytest.mark.parametrize("to", ["", "/users/u", "/groups/g"])
@pytest.mark.parametrize(
    "text",
    [
        pytest.param("not length(userId) gt 5", id="ra_040"),
        pytest.param("userId eq 'x", id="ra_041"),
        pytest.param("foo eq 1", id="ra_042"),
        pytest.param("(" * 101 + "true" + ")" * 101, id="ra_046"),
        pytest.param("(" * 3000, id="ra_046_without_end"),
    ],
)
async def test_ra_040_ra_041_ra_042_ra_046_filter_at_fault_reaches_nobody(w, to, text):
    plain = await w.connect(user="u", groups=["g"])
    answer = await filtered(w, text, to=to)
    assert answer.status_code == 400
    assert answer.headers["x-ms-error-code"] == answer.json()["code"] == "Error.BadRequest"
    await w.fence(plain)


async def test_ra_046_filter_nested_to_the_limit_is_applied(w):
    plain = await w.connect()
    assert (await filtered(w, "(" * 100 + "true" + ")" * 100)).status_code == 202
    assert await plain.frame() == "hi"


async def test_ra_043_empty_filter_reaches_everybody(w):
    clients = [await w.connect(user=user) for user in ("u1", None)]
    assert (await filtered(w, "")).status_code == 202
    for client in clients:
        assert await client.frame() == "hi"


async def test_ra_044_filter_is_decoded_once(w):
    people = {
        "A": await w.connect(JSON, user="a b'c", groups=["g/1", "all"]),
        "B": await w.connect(JSON, user="a b'c", groups=["all"]),
        "C": await w.connect(JSON, user="a%20b'c", groups=["g/1", "all"]),
    }
    text = "userId eq 'a b''c' and 'g/1' in groups"
    assert await got(w, text, people) == await got(w, text, people, "/groups/all") == "A"
    for query in (
        "filter=userId%20eq%20%27a%20b%27%27c%27%20and%20%27g%2F1%27%20in%20groups",
        "filter=userId+eq+%27a+b%27%27c%27+and+%27g%2F1%27+in+groups",
    ):
        assert (await w.send(b"hi", to="/groups/all", query=query)).status_code == 202
        assert (await people["A"].message())["data"] == "hi"
    await w.fence(*people.values())


async def test_ra_045_documented_filters_reach_the_documented_connections(w):
    people = {
        "A": await w.connect(JSON, user="user-ab-de", groups=["group1", "vip"]),
        "B": await w.connect(JSON),
        "C": await w.connect(JSON, user="User1", groups=["group1"]),
    }
    c1, c2 = people["A"].connection_id, people["B"].connection_id
    for text, expected in {
        "userId eq 'user-ab-de'": "A",
        "userId eq null": "B",
        "userId ne null": "AC",
        "tolower(userId) eq 'user1'": "C",
        "USERID eq 'User1'": "C",
        "'group1' in groups": "AC",
        "'GROUP1' in groups": "",
        "not ('group1' in groups)": "B",
        f"userId in ('User1','x') or connectionId eq '{c2}'": "BC",
        "length(groups) gt 1": "A",
        "length(userId) lt 6": "C",
        "substring(userId,5,2) eq 'ab'": "A",
        "indexof(userId,'-ab-') ge 0": "A",
        "startswith(userId,'user') and connectionId ne 'c9'": "A",
        f"startswith(userId,'user') and connectionId ne '{c1}'": "",
        "true": "ABC",
        "userId eq 'o''hara'": "",
        "length(userId) gt 0 and length(userId) lt 3 or length(userId) gt 7": "A",
        "protocol eq null": "",
    }.items():
        assert await got(w, text, people) == expected, text
    for text in ("userId gt 'a'", "userId", "userId = 'x'", "age eq 1"):
        assert (await filtered(w, text)).status_code == 400, text
    await w.fence(*people.values())


async def test_filter_by_protocol_tells_clients_apart(w):
    plain, json_client, reliable = [await w.connect(kind) for kind in (None, JSON, RELIABLE)]
    assert (await filtered(w, f"protocol eq '{RELIABLE}'")).status_code == 202
    assert (await reliable.message())["data"] == "hi"
    assert (await filtered(w, "startswith(protocol, 'json.')")).status_code == 202
    assert (await reliable.message())["data"] == "hi"
    assert (await json_client.message())["data"] == "hi"
    await w.fence(plain, json_client, reliable)


async def test_filter_and_excluded_both_count_and_group_order_is_kept(w):
    first = await w.connect(JSON, user="u", groups=["g"])
    second = await w.connect(JSON, user="u", groups=["g"])
    other = await w.connect(JSON, user="v", groups=["g"])
    for number in range(10):
        body = b"%d" % number
        if number % 2:
            answer = await filtered(
                w,
                "userId eq 'u'",
                to="/groups/g",
                body=body,
                more=f"&excluded={second.connection_id}",
            )
        else:
            answer = await w.send(body, to="/groups/g")
        assert answer.status_code == 202
    assert [(await first.message())["data"] for _ in range(10)] == list("0123456789")
    assert [(await second.message())["data"] for _ in range(5)] == list("02468")
    assert [(await other.message())["data"] for _ in range(5)] == list("02468")
    await w.fence(first, second, other)


async def test_filtered_group_send_says_from_which_group(w):
    client = await w.connect(JSON, user="u", groups=["g"])
    assert (await filtered(w, "true", to="/groups/g")).status_code == 202
    message = await client.message()
    assert (message["from"], message["group"], message["data"]) == ("group", "g", "hi")
