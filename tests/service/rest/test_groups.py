"""Members of groups: one by one, in bulk by filter, and listed page by page."""

import json
from urllib.parse import parse_qsl, urlsplit

import pytest

from hubbub.service.rest import cursor

HUB = "/api/hubs/chat"
LIST = f"{HUB}/groups/g/connections"
JSON = {"content-type": "application/json"}


async def test_ra_058_group_exists_while_it_has_a_member(bench):
    bench.connect("c1", groups=["g"])
    answer = await bench.request("HEAD", f"{HUB}/groups/g")
    assert (answer.status, answer.body) == (200, b"")
    await bench.request("DELETE", f"{LIST}/c1")
    for name in ("g", "other"):
        answer = await bench.request("HEAD", f"{HUB}/groups/{name}")
        assert (answer.status, answer.body) == (404, b"")
        assert answer.headers["x-ms-error-code"] == "Warning.Group.NotExisted"


async def test_ra_059_connection_is_added_once_or_twice(bench):
    bench.connect("c1")
    for _ in range(2):
        answer = await bench.request("PUT", f"{LIST}/c1")
        assert (answer.status, answer.body) == (200, b"")
        assert bench.members("g") == ["c1"]


async def test_ra_060_unknown_connection_is_not_added(bench):
    answer = await bench.request("PUT", f"{LIST}/no`body")
    assert (answer.status, answer.code) == (404, "Error.Connection.NotExisted")
    assert answer.json == {
        "code": "Error.Connection.NotExisted",
        "message": "Connection `no`body` is not found.",
        "target": "Connection",
    }
    assert bench.hub.groups == {}


async def test_ra_061_removing_needs_no_membership(bench):
    bench.connect("c1", groups=["g"])
    bench.connect("c2", groups=["g"])
    for name in ("c1", "c1", "nobody"):
        answer = await bench.request("DELETE", f"{LIST}/{name}")
        assert (answer.status, answer.body) == (204, b"")
    assert bench.members("g") == ["c2"]


async def test_name_at_fault_answers_400(bench):
    bench.connect("c1")
    for method, path, target in (
        ("PUT", "/groups/%20%20/connections/c1", "group"),
        ("PUT", f"/groups/{'g' * 1025}/connections/c1", "group"),
        ("PUT", "/groups/g/connections/%FF", "connectionId"),
        ("DELETE", "/groups//connections/c1", "group"),
        ("GET", "/groups//connections", "group"),
    ):
        answer = await bench.request(method, HUB + path)
        assert (answer.status, answer.json["target"]) == (400, target), path
    assert bench.hub.groups == {}


# --- in bulk ---------------------------------------------------------------------------------


async def bulk(bench, verb, body, headers=JSON):
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return await bench.request("POST", f"{HUB}/:{verb}", headers=headers, body=data)


async def test_ra_066_matching_connections_are_added_to_every_group(bench):
    bench.connect("c1", user="u")
    bench.connect("c2", user="u", groups=["g1"])
    bench.connect("c3", user="v")
    body = {"groups": ["g1", "g2", "g1"], "filter": "userId eq 'u'"}
    answer = await bulk(bench, "addToGroups", body)
    assert (answer.status, answer.body) == (200, b"")
    assert bench.members("g1") == bench.members("g2") == ["c1", "c2"]


@pytest.mark.parametrize("more", [{}, {"filter": None}, {"filter": ""}, {"FILTER": None, "x": 1}])
async def test_ra_067_without_filter_everybody_is_meant(bench, more):
    bench.connect("c1", user="u")
    bench.connect("c2", groups=["g"])
    assert (await bulk(bench, "addToGroups", {"groups": ["g"], **more})).status == 200
    assert bench.members("g") == ["c1", "c2"]
    assert (await bulk(bench, "removeFromGroups", {"Groups": ["g", "h"], **more})).status == 200
    assert bench.members("g") == []


async def test_ra_066_who_matches_is_settled_before_anything_changes(bench):
    bench.connect("c1")
    bench.connect("c2", groups=["g"])
    body = {"groups": ["g", "h"], "filter": "not ('g' in groups)"}
    assert (await bulk(bench, "addToGroups", body)).status == 200
    assert (bench.members("g"), bench.members("h")) == (["c1", "c2"], ["c1"])
    body = {"groups": ["g", "h"], "filter": "'h' in groups"}
    assert (await bulk(bench, "removeFromGroups", body)).status == 200
    assert (bench.members("g"), bench.members("h")) == (["c2"], [])


@pytest.mark.parametrize("verb", ["addToGroups", "removeFromGroups"])
@pytest.mark.parametrize(
    "body",
    [
        {"groups": []},
        {},
        {"groups": None},
        {"groups": "g"},
        {"groups": {"g": 1}},
        {"groups": ["h", 1]},
        {"groups": ["h", None]},
        {"groups": ["h", ""]},
        {"groups": ["h", "  "]},
        {"groups": ["h", "g" * 1025]},
        {"groups": ["h"], "filter": 5},
        {"groups": ["h"], "filter": ["true"]},
        {"groups": ["h"], "filter": "userId"},
        {"groups": ["h"], "filter": "userId eq 'x"},
        {"groups": ["h"], "filter": " "},
        {"groups": ["h"], "filter": "(" * 101 + "true" + ")" * 101},
        [],
        ["h"],
        "h",
        None,
        b"",
        b"[1",
        b'{"groups":["h"]',
        b'{"groups":["\xff"]}',
        b'{"groups":["\\ud800"]}',
        b"[" * 100_000,
    ],
)
async def test_ra_068_ra_069_ra_070_body_at_fault_answers_400_and_changes_nothing(
    bench, verb, body
):
    bench.connect("c1", groups=["g"])
    answer = await bulk(bench, verb, body)
    assert (answer.status, answer.code) == (400, "Error.BadRequest")
    assert answer.json["target"] == "Request"
    assert list(bench.hub.groups) == ["g"]


async def test_ra_069_one_bad_group_name_leaves_the_good_ones_alone(bench):
    bench.connect("c1", groups=["g"])
    for verb in ("addToGroups", "removeFromGroups"):
        assert (await bulk(bench, verb, {"groups": ["g", "h", ""]})).status == 400
    assert list(bench.hub.groups) == ["g"]


@pytest.mark.parametrize("verb", ["addToGroups", "removeFromGroups"])
async def test_ra_070_body_of_another_type_answers_415(bench, verb):
    for headers in ({"content-type": "text/plain"}, {"content-type": "application/xml"}, {}):
        answer = await bulk(bench, verb, {"groups": ["g"]}, headers)
        assert (answer.status, answer.body) == (415, b"")
    headers = {"content-type": "application/json; charset=utf-16"}
    body = json.dumps({"groups": ["g"]}).encode("utf-16")
    assert (await bulk(bench, verb, body, headers)).status == 200


@pytest.mark.parametrize("verb", ["addToGroups", "removeFromGroups"])
async def test_ra_071_filter_that_matches_nobody_is_no_error(bench, verb):
    bench.connect("c1", groups=["g"])
    body = {"groups": ["g", "h"], "filter": "userId eq 'nobody'"}
    assert (await bulk(bench, verb, body)).status == 200
    assert (bench.members("g"), bench.members("h")) == (["c1"], [])


async def test_bulk_over_many_turns_reaches_everybody(bench):
    for number in range(700):
        bench.connect(f"c{number}")
    assert (await bulk(bench, "addToGroups", {"groups": ["g", "h"]})).status == 200
    assert len(bench.members("g")) == len(bench.members("h")) == 700
    assert (await bulk(bench, "removeFromGroups", {"groups": ["g"]})).status == 200
    assert (bench.members("g"), len(bench.members("h"))) == ([], 700)


# --- listed ----------------------------------------------------------------------------------


async def page(bench, query):
    answer = await bench.request("GET", LIST, query=query)
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json; charset=utf-8"
    return answer.json


async def pages(bench, query):
    """All pages from the first on, as the links lead."""
    found = []
    while True:
        part = await page(bench, query)
        found.append([member["connectionId"] for member in part["value"]])
        if part["nextLink"] is None:
            return found
        link = urlsplit(part["nextLink"])
        assert (link.scheme, link.netloc, link.path) == ("http", "push.test:8080", LIST)
        query = link.query


@pytest.fixture
def five(bench):
    """Five members, in no order."""

    def connect():
        for name in ("c3", "c1", "c5", "c2", "c4"):
            bench.connect(name, user=None if name == "c2" else f"user of {name}", groups=["g"])
        bench.connect("c0")

    return connect


async def test_ra_081_members_come_in_pages_in_order(bench, five):
    five()
    assert await pages(bench, "maxpagesize=2") == [["c1", "c2"], ["c3", "c4"], ["c5"]]
    assert await pages(bench, "maxpagesize=5") == [["c1", "c2", "c3", "c4", "c5"]]
    assert await pages(bench, "maxpagesize=4&api-version=2021-10-01") == [
        ["c1", "c2", "c3", "c4"],
        ["c5"],
    ]


@pytest.mark.parametrize(
    ("top", "expected"),
    [
        (1, [["c1"]]),
        (2, [["c1", "c2"]]),
        (3, [["c1", "c2"], ["c3"]]),
        (4, [["c1", "c2"], ["c3", "c4"]]),
        (5, [["c1", "c2"], ["c3", "c4"], ["c5"]]),
        (2147483647, [["c1", "c2"], ["c3", "c4"], ["c5"]]),
    ],
)
async def test_ra_082_top_is_the_total_of_all_pages(bench, five, top, expected):
    five()
    assert await pages(bench, f"maxpagesize=2&top={top}") == expected
    assert await pages(bench, f"top={top}") == [[c for part in expected for c in part]]


async def test_member_has_its_user_and_the_link_keeps_what_was_asked(bench, five):
    five()
    part = await page(bench, "maxpagesize=2&top=4&api-version=2023-07-01")
    assert part["value"] == [
        {"connectionId": "c1", "userId": "user of c1"},
        {"connectionId": "c2", "userId": None},
    ]
    query = dict(parse_qsl(urlsplit(part["nextLink"]).query))
    token = query.pop("continuationToken")
    assert query == {"api-version": "2024-12-01", "maxpagesize": "2", "top": "2"}
    assert not set(token) & set("/+=%&")


async def test_page_has_200_members_at_most(bench):
    for number in range(201):
        bench.connect(f"c{number:03}", groups=["g"])
    assert [len(part) for part in await pages(bench, "")] == [200, 1]
    assert [len(part) for part in await pages(bench, "top=201")] == [200, 1]
    assert [len(part) for part in await pages(bench, "maxpagesize=200")] == [200, 1]


async def test_page_begins_behind_the_last_one_when_members_change(bench, five):
    five()
    query = urlsplit((await page(bench, "maxpagesize=2"))["nextLink"]).query
    await bench.request("DELETE", f"{LIST}/c2")
    await bench.request("DELETE", f"{LIST}/c3")
    bench.connect("c11", groups=["g"])
    bench.connect("c41", groups=["g"])
    assert await pages(bench, query) == [["c4", "c41"], ["c5"]]


async def test_link_of_a_group_with_any_name_is_an_address_of_it(bench, make_bench):
    for one in (bench, make_bench(strict_path_decoding=True)):
        raw = f"{HUB}/groups/a%20%2B%C3%A9%3F%2F/connections"
        for number in range(2):
            group = "a +é?/" if one is bench else "a +é?%2F"
            one.connect(f"c{number}", groups=[group])
        answer = await one.request("GET", raw, query="maxpagesize=1")
        link = urlsplit(answer.json["nextLink"])
        answer = await one.request("GET", link.path, query=link.query)
        assert [member["connectionId"] for member in answer.json["value"]] == ["c1"]


async def test_link_has_the_public_address_and_the_lower_case_hub(make_bench):
    bench = make_bench(public_endpoint="https://push.example.com/")
    for number in range(2):
        bench.connect(f"c{number}", groups=["g"])
    path = "/api/hubs/CHAT/groups/g/connections"
    answer = await bench.request("GET", path, query="maxpagesize=1")
    assert answer.json["nextLink"].startswith(f"https://push.example.com{LIST}?")


@pytest.mark.parametrize(
    ("query", "target"),
    [
        ("maxpagesize=0", "maxpagesize"),
        ("maxpagesize=201", "maxpagesize"),
        ("maxpagesize=x", "maxpagesize"),
        ("maxpagesize=", "maxpagesize"),
        ("maxpagesize=-1", "maxpagesize"),
        ("maxpagesize=1&maxpagesize=1", "maxpagesize"),
        ("top=0", "top"),
        ("top=2147483648", "top"),
        ("top=x", "top"),
        ("top=", "top"),
        ("top=1&top=1", "top"),
        ("continuationToken=", "continuationToken"),
        ("continuationToken=abc", "continuationToken"),
        ("continuationToken=%F0%9F%98%80", "continuationToken"),
        ("continuationToken=" + "a" * 2049, "continuationToken"),
    ],
)
async def test_ra_083_ra_084_parameter_at_fault_answers_400(bench, five, query, target):
    five()
    answer = await bench.request("GET", LIST, query=query)
    assert (answer.status, answer.code, answer.json["target"]) == (400, "Error.BadRequest", target)


async def test_ra_084_token_of_another_group_hub_or_key_or_changed_answers_400(bench, five, world):
    five()
    right = {"hub": "chat", "group": "g", "after": "c1"}

    async def status(token):
        return (await bench.request("GET", LIST, query=f"continuationToken={token}")).status

    token = cursor.make(world.KEY, **right)
    assert await status(token) == 200
    assert await status(cursor.make(world.OTHER_KEY, **right)) == 200
    assert await status(cursor.make("third-key-of-nobody-with-enough-bytes", **right)) == 400
    assert await status(cursor.make(world.KEY, **{**right, "group": "h"})) == 400
    assert await status(cursor.make(world.KEY, **{**right, "hub": "chat2"})) == 400
    assert await status(token + token[:4]) == 400
    assert await status(token[:-1]) == 400
    changed = "B" if token[0] == "A" else "A"
    assert await status(changed + token[1:]) == 400
    assert await status(f"{token}&continuationToken={token}") == 400


async def test_ra_085_unknown_group_has_no_member(bench):
    assert await page(bench, "") == {"value": [], "nextLink": None}
    assert bench.hub.groups == {}
