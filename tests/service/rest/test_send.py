import asyncio
from urllib.parse import quote

import pytest

from hubbub.protocol.filters import Attributes
from hubbub.protocol.messages import DataType, Payload
from hubbub.service.rest import turns

NO_OPTIONS = {"excluded": frozenset(), "matches": None, "ttl_seconds": 0, "metadata": None}


async def test_send_to_all_reaches_the_hub(bench):
    answer = await bench.send(b"hi")
    assert (answer.status, answer.body) == (202, b"")
    assert answer.headers["content-length"] == "0"
    sent = bench.only
    assert (sent.hub, sent.verb) == ("chat", "all")
    assert sent.payload == Payload(DataType.TEXT, raw=b"hi")
    assert sent.options == NO_OPTIONS


async def test_ra_049_send_to_group_reaches_the_group_without_a_sender(bench):
    answer = await bench.request(
        "POST",
        "/api/hubs/chat/groups/g/:send",
        query="excluded=c1&messageTtlSeconds=7",
        headers={"content-type": "text/plain", "X-WebPubSub-Metadata-A": "b"},
    )
    assert answer.status == 202
    assert (bench.only.verb, bench.only.target) == ("group", "g")
    assert bench.only.options == {
        "excluded": frozenset({"c1"}),
        "matches": None,
        "ttl_seconds": 7,
        "metadata": {"a": "b"},
    }


@pytest.mark.parametrize(("kind", "verb"), [("users", "user"), ("connections", "connection")])
async def test_ra_047_ra_048_send_to_one_takes_no_excluded(bench, kind, verb):
    answer = await bench.request(
        "POST",
        f"/api/hubs/chat/{kind}/x/:send",
        query="excluded=c1&messageTtlSeconds=7",
        headers={"X-WebPubSub-Metadata-A": "b"},
    )
    assert answer.status == 202
    assert (bench.only.verb, bench.only.target) == (verb, "x")
    no_filter = {"matches": None} if verb == "user" else {}
    assert bench.only.options == {"ttl_seconds": 7, "metadata": {"a": "b"}, **no_filter}


@pytest.mark.parametrize(
    ("query", "excluded"),
    [
        ("excluded=c1&excluded=c2", {"c1", "c2"}),
        ("excluded=C1", {"C1"}),
        ("excluded=c1,c2", {"c1,c2"}),
        ("excluded=a%2Bb+c%26", {"a+b c&"}),
        ("api-version=2024-12-01&excluded=c1", {"c1"}),
    ],
)
async def test_ra_037_ra_038_excluded_is_repeatable_and_exact(bench, query, excluded):
    assert (await bench.send(query=query)).status == 202
    assert bench.only.options["excluded"] == excluded


# --- filter ----------------------------------------------------------------------------------

WITH_FILTER = ["", "/users/u", "/groups/g"]


@pytest.mark.parametrize("target", WITH_FILTER)
async def test_ra_044_filter_is_decoded_once_and_handed_on(bench, target):
    path = f"/api/hubs/chat{target}/:send"
    query = "filter=userId%20eq+%27a%20b%27%27c%2520%27%20and%20%27g%2F1%27%20in%20groups"
    assert (await bench.request("POST", path, query=query)).status == 202
    matches = bench.only.options["matches"]
    assert matches(Attributes("c", "a b'c%20", {"g/1"}, None)) is True
    assert matches(Attributes("c", "a b'c ", {"g/1"}, None)) is False
    assert matches(Attributes("c", "a b'c%20", set(), None)) is False


@pytest.mark.parametrize("target", WITH_FILTER)
async def test_ra_043_filter_when_empty_is_none(bench, target):
    answer = await bench.request("POST", f"/api/hubs/chat{target}/:send", query="filter=")
    assert (answer.status, bench.only.options["matches"]) == (202, None)


@pytest.mark.parametrize("target", WITH_FILTER)
@pytest.mark.parametrize(
    "query",
    [
        "filter=not%20length(userId)%20gt%205",
        "filter=userId%20eq%20'x",
        "filter=foo%20eq%201",
        "filter=" + "(" * 101 + "true" + ")" * 101,
        "filter=+",
        "filter=true&filter=true",
    ],
)
async def test_ra_040_ra_041_ra_042_ra_046_filter_at_fault_answers_400_and_sends_nothing(
    bench, target, query
):
    answer = await bench.request("POST", f"/api/hubs/chat{target}/:send", query=query)
    assert (answer.status, answer.code, bench.sent) == (400, "Error.BadRequest", [])


async def test_filter_at_fault_says_what_is_wrong(bench):
    answer = await bench.send(query="filter=not%20length(userId)%20gt%205")
    assert answer.json == {
        "code": "Error.BadRequest",
        "message": "Invalid syntax for 'not length(userId)': Type 'null', expect 'bool'."
        " (Parameter 'filter')",
        "target": "Request",
    }


async def test_send_to_connection_takes_no_filter(bench):
    path = "/api/hubs/chat/connections/c/:send"
    assert (await bench.request("POST", path, query="filter=(")).status == 202


@pytest.mark.parametrize("target", WITH_FILTER)
async def test_filter_that_takes_long_lets_others_run(bench, target, monkeypatch):
    monkeypatch.setattr(turns, "FILTER_TURN_S", 0)  # a turn for each connection
    for number in range(20):
        bench.connect(f"c{number}", user="u", groups=["g"])
    path, query = f"/api/hubs/chat{target}/:send", "filter=" + quote("connectionId eq 'c7'")
    ticks = 0

    async def others():
        nonlocal ticks
        while True:
            await asyncio.sleep(0)
            ticks += 1

    task = asyncio.create_task(others())
    answer = await bench.request("POST", path, query=query)
    task.cancel()
    assert answer.status == 202
    matches = bench.only.options["matches"]
    assert [matches(Attributes(id, "u", {"g"}, None)) for id in ("c7", "c8")] == [True, False]
    assert ticks > 10
