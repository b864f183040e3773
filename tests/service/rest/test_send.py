import pytest

from hubbub.protocol.messages import DataType, Payload

NO_OPTIONS = {"excluded": frozenset(), "ttl_seconds": 0, "metadata": None}


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
    assert bench.only.options == {"ttl_seconds": 7, "metadata": {"a": "b"}}


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
