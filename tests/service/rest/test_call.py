"""Names in the path, and parameters of the query, as every operation reads them."""

import pytest


async def send_to(bench, kind: str, segment: str, **options):
    return await bench.request("POST", f"/api/hubs/chat/{kind}/{segment}/:send", **options)


@pytest.mark.parametrize(
    ("segment", "name"),
    [
        ("alice%20smith", "alice smith"),
        ("alice+bob", "alice+bob"),
        ("a%2Fb", "a/b"),
        ("a%2fb", "a/b"),
        ("a%252Fb", "a%2Fb"),
        ("g%2F1%20%2B%C3%A9", "g/1 +é"),
        ("é", "é"),
        ("%25", "%"),
        ("100%", "100%"),
        ("%zz", "%zz"),
        ("..", ".."),
        (":send", ":send"),
        ("Case", "Case"),
    ],
)
@pytest.mark.parametrize(
    ("kind", "verb"), [("groups", "group"), ("users", "user"), ("connections", "connection")]
)
async def test_ra_094_ra_095_segment_is_decoded_once(bench, kind, verb, segment, name):
    assert (await send_to(bench, kind, segment)).status == 202
    assert (bench.only.verb, bench.only.target) == (verb, name)


@pytest.mark.parametrize(
    ("segment", "name"),
    [
        ("tenant%2Falice", "tenant%2Falice"),
        ("tenant%2falice", "tenant%2falice"),
        ("tenant%252Falice", "tenant%2Falice"),
        ("alice%20smith%2F%C3%A9", "alice smith%2Fé"),
    ],
)
async def test_ra_095_segment_when_decoding_is_strict_keeps_the_encoded_slash(
    make_bench, segment, name
):
    bench = make_bench(strict_path_decoding=True)
    assert (await send_to(bench, "users", segment)).status == 202
    assert bench.only.target == name


@pytest.mark.parametrize("segment", ["%FF", "a%C3", "%ED%A0%80"])
@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("groups", "Invalid group name."),
        ("users", "Invalid user ID."),
        ("connections", "Invalid connection ID."),
    ],
)
async def test_segment_when_not_utf8_answers_400(bench, kind, message, segment):
    answer = await send_to(bench, kind, segment)
    assert (answer.status, answer.code) == (400, "Error.BadRequest")
    assert (answer.json["message"], bench.sent) == (message, [])


@pytest.mark.parametrize("hub", ["1bad", "", "a" * 129, "a-b", "a%20b", "%FF", "a%0A", "é"])
async def test_ra_050_hub_name_when_bad_answers_400(bench, hub):
    answer = await bench.request("POST", f"/api/hubs/{hub}/:send")
    assert (answer.status, answer.code) == (400, "Error.BadRequest")
    assert (answer.json["message"], answer.json["target"]) == ("Invalid hub name.", "hub")


@pytest.mark.parametrize(
    ("hub", "name"), [("CHAT", "chat"), ("a" * 128, "a" * 128), ("a%5B1%5D.x,_`", "a[1].x,_`")]
)
async def test_ra_050_hub_name_reaches_the_lower_case_hub(bench, hub, name):
    assert (await bench.request("POST", f"/api/hubs/{hub}/:send")).status == 202
    assert bench.only.hub == name


@pytest.mark.parametrize(
    ("segment", "status"),
    [("a" * 1025, 400), ("%20%20", 400), ("%09", 400), ("", 400), ("a" * 1024, 202), ("%20a", 202)],
)
async def test_ra_051_group_name_has_1_to_1024_characters(bench, segment, status):
    answer = await send_to(bench, "groups", segment)
    assert answer.status == status
    if status == 400:
        assert answer.json["message"] == "Invalid group name."


async def test_user_and_connection_when_empty_answer_400(bench):
    assert (await send_to(bench, "users", "")).json["message"] == "Invalid user ID."
    assert (await send_to(bench, "connections", "")).json["message"] == "Invalid connection ID."


@pytest.mark.parametrize("kind", ["", "/connections/c", "/users/u", "/groups/g"])
@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("messageTtlSeconds=0", 202),
        ("messageTtlSeconds=300", 202),
        ("messageTtlSeconds=301", 400),
        ("messageTtlSeconds=-1", 400),
        ("messageTtlSeconds=x", 400),
        ("messageTtlSeconds=", 400),
        ("messageTtlSeconds=1.0", 400),
        ("messageTtlSeconds=%2B1", 400),
        ("messageTtlSeconds=1%0A", 400),
        ("messageTtlSeconds=%D9%A3", 400),
        ("messageTtlSeconds=" + "9" * 5000, 400),
        ("messageTtlSeconds=1&messageTtlSeconds=1", 400),
    ],
)
async def test_ra_036_message_ttl_seconds_is_0_to_300(bench, kind, query, status):
    answer = await bench.request("POST", f"/api/hubs/chat{kind}/:send", query=query)
    assert answer.status == status
    if status == 400:
        assert answer.json["message"] == "Invalid messageTtlSeconds."
    else:
        assert bench.only.options["ttl_seconds"] == int(query.partition("=")[2])


async def test_query_when_not_utf8_answers_400(bench):
    answer = await bench.send(query="excluded=%FF")
    assert (answer.status, answer.code) == (400, "Error.BadRequest")


async def test_query_unknown_parameters_are_ignored(bench):
    assert (await bench.send(query="foo=1&bar&api-version=2024-12-01&=")).status == 202
