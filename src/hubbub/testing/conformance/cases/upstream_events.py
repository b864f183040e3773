"""User events on their way to the handler, and its answers on their way back."""

import asyncio
import base64
from collections.abc import Awaitable, Callable

from hubbub.testing.conformance.cases.json import ANY, ANY_BASE64
from hubbub.testing.conformance.cases.upstream_connect import event, never
from hubbub.testing.conformance.handler import Call, Reply
from hubbub.testing.conformance.registry import case
from hubbub.testing.conformance.trial import SEND, Trial
from hubbub.testing.conformance.wire import JSON

FAILED = "InternalServerError"
_TOO_LARGE = b"x" * (17 * 1_048_576)


def held(reply: Reply, until: asyncio.Event) -> Callable[[Call], Awaitable[Reply]]:
    async def answer(call: Call) -> Reply:
        await until.wait()
        return reply

    return answer


def content_type(call: Call) -> str:
    return (call.header("content-type") or "").partition(";")[0].strip()


# --- what the handler gets -------------------------------------------------------------------


@case("UE-046", variant="")
async def plain_frames(trial: Trial) -> None:
    client = await trial.client(None)
    await client.send("héllo", b"\x00\xff")
    text, data = await trial.desk.wait_for("message", 2)
    trial.equal(text.header("ce-type"), "azure.webpubsub.user.message", "ce-type")
    trial.equal((content_type(text), text.body), ("text/plain", "héllo".encode()), "the first")
    wanted = ("application/octet-stream", b"\x00\xff")
    trial.equal((content_type(data), data.body), wanted, "the second")


@case("UE-047", variant="")
async def data_types(trial: Trial) -> None:
    client = await trial.client()
    for ack_id, (kind, data, sent_as) in enumerate(
        (
            ("text", "hé", "text/plain"),
            ("json", {"a": [1, "b"]}, "application/json"),
            ("binary", base64.b64encode(b"\1\2\3").decode(), "application/octet-stream"),
        ),
        1,
    ):
        await client.ask(event("e", ack_id, dataType=kind, data=data))
        call = trial.desk.events("e")[-1]
        trial.equal(content_type(call), sent_as, f"the Content-Type of {kind}")
        came = call.json if kind == "json" else call.body
        wanted = {"text": "hé".encode(), "json": data, "binary": b"\1\2\3"}[kind]
        trial.equal(came, wanted, f"the body of {kind}")


@case("UE-048", variant="")
async def event_name(trial: Trial) -> None:
    client = await trial.client()
    await client.ask(event("Order.Created-1", 1))
    (call,) = trial.desk.user_events
    wanted = "azure.webpubsub.user.Order.Created-1"
    trial.equal(call.header("ce-type"), wanted, "ce-type")


@case("UE-049", variant="")
async def bad_event_names(trial: Trial) -> None:
    for name in ("1bad", "a/b"):
        client = await trial.client()
        await client.send(event(name, 1))
        await client.closed(1007)
    trial.equal(len(trial.desk.user_events), 0, "the number of user events")


@case("UE-060", variant="events")
async def pattern(trial: Trial) -> None:
    client = await trial.client(user=trial.name("u"))
    await client.ask(event("B", 1))
    await client.ask(event("c", 2), FAILED)
    names = [call.event for call in trial.desk.calls]
    trial.equal(names, ["B"], "the events at the handler")


@case("UE-061", variant="two")
async def first_match_only(trial: Trial) -> None:
    client = await trial.client()
    await client.ask(event("e", 1))
    paths = [call.path_name for call in trial.desk.events("e")]
    trial.equal(paths, ["first"], "the handlers that got the event")


@case("UE-062", variant="events")
async def no_connect_event(trial: Trial) -> None:
    client = await trial.client(user=trial.name("u"))
    await client.ask(event("a", 1))
    came = [(call.event, call.header("ce-id")) for call in trial.desk.calls]
    trial.equal(came, [("a", "1")], "the events and their ids")


@case("UE-063", variant="", and_variant="events")
async def user_event_named_connected(trial: Trial) -> None:
    client = await trial.client()
    await client.ask(event("connected", 1))
    (call,) = trial.desk.user_events
    trial.equal(call.header("ce-type"), "azure.webpubsub.user.connected", "ce-type")
    other = await trial.client(hub=trial.hubs["events"], user=trial.name("u"))
    await other.ask(event("connected", 1), FAILED)


@case("UE-065", variant="")
async def query_of_the_template(trial: Trial) -> None:
    client = await trial.client()
    await client.ask(event("Order.1", 1))
    (call,) = trial.desk.user_events
    query = call.target.partition("?")[2]
    trial.equal(query, "code=s%2B&e=Order.1", "the query of the request")


@case("UE-066", variant="")
async def user_outside_ascii(trial: Trial) -> None:
    client = await trial.client(user="Zoë")
    await client.ask(event("e", 1))
    (call,) = trial.desk.user_events
    values = [value for name, value in call.headers if name == "ce-userid"]
    trial.equal(values, [b"Zo\xc3\xab"], "the bytes of ce-userId")


@case("UE-067", variant="")
async def send_to_group_mode_makes_no_event(trial: Trial) -> None:
    group = trial.name()
    member = await trial.client(groups=[group])
    query = f"webpubsub_mode=sendToGroup&group={group}"
    plain = await trial.client(None, query=query, roles=SEND)
    await plain.send("hello")
    await member.message(group=group, data="hello")
    trial.equal(len(trial.desk.user_events), 0, "the number of user events")


@case("UE-069", variant="")
async def second_event_waits(trial: Trial) -> None:
    gate = asyncio.Event()
    trial.desk.answers["first"] = held(Reply(), gate)
    client = await trial.client()
    await client.send(event("first", 1), event("second", 2))
    await trial.desk.wait_for("first")
    await client.quiet()
    names = [call.event for call in trial.desk.user_events]
    trial.equal(names, ["first"], "the user events before the first answer")
    gate.set()
    await client.ack(1)
    await client.ack(2)


@case("UE-070", variant="slow", seconds=2)
async def handler_past_the_limit(trial: Trial) -> None:
    trial.desk.answers["e"] = never
    client = await trial.client()
    await client.ask(event("e", 1), FAILED)
    trial.equal(len(trial.desk.events("e")), 1, "the number of attempts")


@case("UE-091", variant="guests")
async def guest(trial: Trial) -> None:
    client = await trial.client(token="")
    await client.ask(event("e", 1, data=trial.tag))
    (call,) = trial.desk.events("e")
    trial.equal(call.header("ce-userid"), None, "ce-userId")


# --- what the client gets --------------------------------------------------------------------


async def _comes_back(
    trial: Trial, reply: Reply, frame: str | bytes, kind: str, data: object
) -> None:
    """Plain clients get the frame; JSON clients the message, before the ack."""
    trial.desk.answers["*"] = reply
    client, plain = await trial.client(), await trial.client(None)
    await client.send(event("e", 1))
    first = await client.next()
    trial.equal(
        first,
        {"type": "message", "from": "server", "dataType": kind, "data": data},
        "the first message after the event",
    )
    await client.ack(1)
    await plain.send("x")
    await plain.frame(frame)


@case("UE-050", variant="")
async def text_answer(trial: Trial) -> None:
    reply = Reply(200, "hé".encode(), "text/plain; charset=utf-8")
    await _comes_back(trial, reply, "hé", "text", "hé")


@case("UE-051", variant="")
async def json_answer(trial: Trial) -> None:
    reply = Reply(200, b'{"a":1}', "application/json")
    await _comes_back(trial, reply, '{"a":1}', "json", {"a": 1})


@case("UE-052", variant="")
async def untyped_answer(trial: Trial) -> None:
    await _comes_back(trial, Reply(200, b"\1\2\3"), b"\1\2\3", "binary", "AQID")


@case("CP-141", variant="")
async def protobuf_answer(trial: Trial) -> None:
    await _comes_back(trial, Reply(200, ANY, "application/x-protobuf"), ANY, "protobuf", ANY_BASE64)


@case("UE-053", variant="")
async def empty_answer(trial: Trial) -> None:
    trial.desk.answers["*"] = Reply(200, b"", "application/octet-stream")
    client = await trial.client()
    await client.ask(event("e", 1))
    await client.quiet()


async def _fails(trial: Trial, reply: Reply) -> None:
    """A failed ack, or nothing; the JSON client stays and the plain one is closed."""
    trial.desk.answers["*"] = reply
    client, plain = await trial.client(JSON), await trial.client(None)
    await client.ask(event("e", 1), FAILED)
    await client.send(event("e"))
    await trial.desk.wait_for("e", 2)
    await client.quiet()
    await plain.send("x")
    await plain.closed(1011)


@case("UE-054", variant="")
async def html_answer(trial: Trial) -> None:
    await _fails(trial, Reply(200, b"<p>", "text/html"))


@case("UE-055", variant="", seconds=60)
async def answer_too_large(trial: Trial) -> None:
    trial.desk.answers["e"] = Reply(200, _TOO_LARGE, "text/plain")
    client = await trial.client(patience_s=60)
    await client.ask(event("e", 1), FAILED)


@case("UE-056", variant="")
async def refused_frame(trial: Trial) -> None:
    trial.desk.answers["message"] = Reply(400, b"secret", "text/plain")
    client = await trial.client(None)
    await client.send("x")
    reason = await client.closed(1011)
    trial.check("secret" not in reason, "no word of the handler in the reason", reason)


@case("UE-057", variant="")
async def refused_event(trial: Trial) -> None:
    trial.desk.answers["e"] = Reply(400)
    client = await trial.client()
    await client.ask(event("e", 1), FAILED)
    await client.quiet()


@case("UE-058", variant="")
async def refused_event_without_ack_id(trial: Trial) -> None:
    trial.desk.answers["e"] = Reply(400)
    client = await trial.client()
    await client.send(event("e"))
    await trial.desk.wait_for("e")
    await client.quiet()
    await client.ask(event("other", 1))


@case("UE-059", variant="")
async def repeated_ack_id(trial: Trial) -> None:
    client = await trial.client()
    await client.ask(event("e", 1))
    await client.ask(event("e", 1), "Duplicate")
    trial.equal(len(trial.desk.events("e")), 1, "the number of requests")
    trial.desk.answers["e"] = Reply(400)
    await client.ask(event("e", 2), FAILED)
    trial.desk.answers["e"] = Reply()
    await client.ask(event("e", 2))
    trial.equal(len(trial.desk.events("e")), 3, "the number of requests")
