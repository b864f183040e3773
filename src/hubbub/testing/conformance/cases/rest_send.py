"""Sends by REST: forms, sizes, and who gets the message."""

from collections.abc import AsyncIterator

from hubbub.testing.conformance.registry import case
from hubbub.testing.conformance.trial import Trial
from hubbub.testing.conformance.wire import ABSENT, RELIABLE, WireClient

_LIMIT = 1_048_576


async def _server_message(client: WireClient, data_type: str, data: object) -> None:
    await client.message(**{"from": "server", "dataType": data_type, "data": data})


@case("RA-023")
async def token_as_the_python_sdk_makes_it(trial: Trial) -> None:
    plain = await trial.client(None)
    url = f"{trial.target.endpoint}/api/hubs/{trial.hub}/:send"
    await trial.send(b'{"a": 1}', "application/json", token=trial.rest_token(url, life_s=60))
    await plain.frame('{"a": 1}')


@case("RA-024")
async def text_in_each_form(trial: Trial) -> None:
    plain, client = await trial.client(None), await trial.client()
    await trial.send(b"Hello")
    await plain.frame("Hello")
    await _server_message(client, "text", "Hello")


@case("RA-025")
async def json_string_to_a_plain_client(trial: Trial) -> None:
    plain = await trial.client(None)
    await trial.send(b'"hi"', "application/json")
    await plain.frame('"hi"')


@case("RA-026")
async def binary_in_each_form(trial: Trial) -> None:
    plain, client = await trial.client(None), await trial.client()
    await trial.send(b"\x00\x01", "application/octet-stream")
    await plain.frame(b"\x00\x01")
    await _server_message(client, "binary", "AAE=")


@case("RA-027")
async def malformed_json(trial: Trial) -> None:
    plain = await trial.client(None)
    answer = await trial.send(b"{", "application/json", expect=400)
    answer.expect(400, "Error.BadRequest")
    await trial.fence(plain)


@case("RA-028")
async def html(trial: Trial) -> None:
    plain = await trial.client(None)
    await trial.send(b"x", "text/html", expect=415)
    await trial.fence(plain)


@case("RA-029")
async def protobuf_body(trial: Trial) -> None:
    plain = await trial.client(None)
    await trial.send(b"\x0a\x00", "application/x-protobuf", expect=415)
    await trial.fence(plain)


@case("RA-030")
async def no_content_type(trial: Trial) -> None:
    plain = await trial.client(None)
    await trial.send(b"hi", None)
    await plain.frame(b"hi")


@case("RA-031")
async def utf_16(trial: Trial) -> None:
    plain = await trial.client(None)
    await trial.send("grüße €".encode("utf-16"), "text/plain; charset=utf-16")
    await plain.frame("grüße €")


@case("RA-032")
async def unknown_charset(trial: Trial) -> None:
    await trial.send(b"x", "text/plain; charset=nope", expect=415)


@case("RA-033", seconds=25)
async def largest_body(trial: Trial) -> None:
    plain = await trial.client(None, patience_s=trial.large_s)
    await trial.send(b"x" * _LIMIT)
    await plain.frame("x" * _LIMIT)


@case("RA-034", seconds=25)
async def body_above_the_limit(trial: Trial) -> None:
    plain = await trial.client(None)
    answer = await trial.send(b"x" * (_LIMIT + 1), expect=400)
    trial.equal(answer.json.get("message"), "Invalid Content-Length header.", "the message")
    await trial.fence(plain)


@case("RA-035", is_ours=True)
async def chunked_body(trial: Trial) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield b"in "
        yield b"chunks"

    plain = await trial.client(None)
    await trial.send(chunks())
    await plain.frame("in chunks")


@case("RA-036")
async def time_to_live(trial: Trial) -> None:
    for text, status in (("300", 202), ("301", 400), ("-1", 400), ("x", 400)):
        await trial.send(b"x", query=f"messageTtlSeconds={text}", expect=status)


@case("RA-037")
async def excluded(trial: Trial) -> None:
    first, second, third = [await trial.client() for _ in range(3)]
    query = f"excluded={first.connection_id}&excluded={second.connection_id}"
    await trial.send(b"some", query=query)
    await third.message(data="some")
    await trial.fence(first, second, third)


@case("RA-038")
async def excluded_in_other_case(trial: Trial) -> None:
    client = await trial.client()
    other_case = client.connection_id.swapcase()
    if other_case == client.connection_id:
        trial.not_applicable("the connection id has no letters")
    await trial.send(b"all", query=f"excluded={other_case}")
    await client.message(data="all")


@case("RA-047")
async def send_to_an_unknown_connection(trial: Trial) -> None:
    one, other = await trial.client(), await trial.client()
    await trial.send(b"x", to="/connections/nobody")
    await trial.send(b"hi", to=f"/connections/{one.connection_id}")
    await _server_message(one, "text", "hi")
    await trial.fence(one, other)


@case("RA-048")
async def send_to_a_user(trial: Trial) -> None:
    plain = await trial.client(None, user="u")
    client = await trial.client(user="u")
    reliable = await trial.client(RELIABLE, user="u")
    other = await trial.client(user="v")
    await trial.send(b"x", to="/users/nobody")
    await trial.send(b"hi", to="/users/u")
    await plain.frame("hi")
    await _server_message(client, "text", "hi")
    await reliable.message(sequenceId=1, data="hi")
    await trial.fence(plain, client, reliable, other)


@case("RA-049")
async def send_to_a_group(trial: Trial) -> None:
    member, other = await trial.client(groups=["g"]), await trial.client(groups=["G"])
    await trial.send(b"x", to="/groups/empty")
    await trial.send(b"hi", to="/groups/g")
    await member.message(**{"from": "group", "group": "g", "data": "hi", "fromUserId": ABSENT})
    await trial.fence(member, other)


@case("RA-050")
async def hub_names(trial: Trial) -> None:
    plain = await trial.client(None)
    for hub in ("1bad", "a" * 129):
        await trial.send(b"x", hub=hub, expect=400)
    await trial.send(b"hi", hub=trial.hub.upper())
    await plain.frame("hi")


@case("RA-051")
async def bad_group_names(trial: Trial) -> None:
    for group in ("x" * 1025, "%20%20"):
        await trial.send(b"x", to=f"/groups/{group}", expect=400)


@case("RA-094")
async def user_in_the_path(trial: Trial) -> None:
    for segment, user in (("alice%20smith", "alice smith"), ("alice+bob", "alice+bob")):
        plain = await trial.client(None, user=user)
        await trial.send(b"hi", to=f"/users/{segment}")
        await plain.frame("hi")


@case("RA-095", is_ours=True)
async def slash_in_the_path(trial: Trial) -> None:
    plain = await trial.client(None, user="a/b")
    await trial.send(b"hi", to="/users/a%2Fb")
    await plain.frame("hi")


@case("RA-097")
async def get_on_send(trial: Trial) -> None:
    await trial.rest("GET", "/:send", expect=405)
