"""Plain clients, events and invocations with a handler behind the service, as clients see them."""

import asyncio
import json
from typing import Any

from hubbub.testing.conformance.cases.reliable import lost
from hubbub.testing.conformance.cases.streams_and_state import closed_as, open_stream, start
from hubbub.testing.conformance.cases.upstream_connect import answer, event, never
from hubbub.testing.conformance.cases.upstream_events import FAILED, content_type, held
from hubbub.testing.conformance.handler import Reply
from hubbub.testing.conformance.registry import case
from hubbub.testing.conformance.trial import Trial
from hubbub.testing.conformance.wire import RELIABLE, WireClient

# --- plain clients ---------------------------------------------------------------------------


@case("CP-023", variant="")
async def text_there_and_back(trial: Trial) -> None:
    trial.desk.answers["message"] = Reply(200, b"pong", "text/plain")
    client = await trial.client(None)
    await client.send("ping")
    await client.frame("pong")


@case("CP-024", variant="")
async def binary_there_and_back(trial: Trial) -> None:
    trial.desk.answers["message"] = Reply(200, b"\x01\x02", "application/octet-stream")
    client = await trial.client(None)
    await client.send(b"\x00\xff")
    await client.frame(b"\x01\x02")
    (call,) = trial.desk.events("message")
    trial.equal(content_type(call), "application/octet-stream", "the Content-Type")


@case("CP-025", variant="")
async def no_content(trial: Trial) -> None:
    client = await trial.client(None)
    await client.send("silent")
    await trial.desk.wait_for("message")
    trial.desk.answers["message"] = Reply(200, b"loud", "text/plain")
    await client.send("loud")
    await client.frame("loud")


@case("CP-026", variant="", seconds=9)
async def failed_frame(trial: Trial) -> None:
    trial.desk.answers["message"] = Reply(500)
    client = await trial.client(None)
    await client.send("x")
    await trial.desk.wait_for("message", 4)
    await client.closed(1011)


# --- events ----------------------------------------------------------------------------------


@case("CP-051", variant="")
async def event_without_a_role(trial: Trial) -> None:
    client = await trial.client(roles=())
    await client.ask(event("e1", 1))
    trial.equal(len(trial.desk.events("e1")), 1, "the number of requests")


@case("CP-052", variant="")
async def answer_before_the_ack(trial: Trial) -> None:
    trial.desk.answers["e1"] = answer({"ok": True})
    client = await trial.client()
    await client.send(event("e1", 1))
    first = await client.next()
    wanted = {"type": "message", "from": "server", "dataType": "json", "data": {"ok": True}}
    trial.equal(first, wanted, "the first message after the event")
    await client.ack(1)


@case("CP-054", variant="", seconds=9)
async def failed_event_without_ack_id(trial: Trial) -> None:
    trial.desk.answers["e1"] = Reply(500)
    client = await trial.client()
    await client.send(event("e1"))
    await trial.desk.wait_for("e1", 4)
    await client.ask(event("e2", 1))
    await client.quiet()


@case("CP-148", variant="", is_ours=True)
async def ping_passes_and_a_join_waits(trial: Trial) -> None:
    gate = asyncio.Event()
    trial.desk.answers["e1"] = held(Reply(), gate)
    client = await trial.client()
    await client.send(event("e1", 1), {"type": "joinGroup", "group": trial.name(), "ackId": 2})
    await client.quiet()
    gate.set()
    for ack_id in (1, 2):
        trial.equal((await client.next()).get("ackId"), ack_id, "the ackId of the next message")


# --- invocations -----------------------------------------------------------------------------


def invoke(number: str, name: str = "e1", **more: Any) -> dict[str, Any]:
    return {"type": "invoke", "invocationId": number, "target": "event", "event": name, **more}


async def answered(client: WireClient, number: str, error: str | None = None) -> dict[str, Any]:
    """`invokeResponse` of an invocation: a success, or the named error."""
    response = await client.wait(type="invokeResponse", invocationId=number)
    name = (response.get("error") or {}).get("name")
    if response.get("success") is not (error is None) or name != error:
        client.fail(f"success, or for a failure the error {error}", response)
    return response


@case("CP-126", variant="", is_ours=True)
async def invocation(trial: Trial) -> None:
    trial.desk.answers["e1"] = answer({"status": "ok"})
    client = await trial.client(roles=())
    await client.send(invoke("7", dataType="json", data={"orderId": 1}))
    response = await answered(client, "7")
    trial.equal(response.get("data"), {"status": "ok"}, "the data of the response")
    await client.quiet()


@case("UE-084", variant="", is_ours=True)
async def invocation_and_not_found(trial: Trial) -> None:
    trial.desk.answers |= {"e1": answer({"ok": True}), "lost": Reply(404)}
    client = await trial.client()
    await client.send(invoke("1", dataType="json", data={"orderId": 1}), invoke("2", "lost"))
    trial.equal((await answered(client, "1")).get("data"), {"ok": True}, "the data")
    await answered(client, "2", "NotFound")
    trial.equal(json.loads(trial.desk.events("e1")[0].body), {"orderId": 1}, "the request")


@case("CP-127", variant="", and_variant="events", seconds=9, is_ours=True)
async def failed_invocations(trial: Trial) -> None:
    client = await trial.client()
    for status, name in ((403, "Forbidden"), (422, "BadRequest"), (500, FAILED)):
        trial.desk.answers[f"e{status}"] = Reply(status)
        await client.send(invoke(str(status), f"e{status}"))
        await trial.desk.wait_for(f"e{status}", 4 if status == 500 else 1)
        await answered(client, str(status), name)
    await client.quiet()
    other = await trial.client(hub=trial.hubs["events"], user=trial.name("u"))
    await other.send(invoke("1", "unknown"))
    await answered(other, "1", "NotFound")


@case("UE-092", variant="", and_variant="slow", seconds=9, is_ours=True)
async def errors_of_invocations(trial: Trial) -> None:
    client = await trial.client()
    for status, name in ((401, "Forbidden"), (422, "BadRequest"), (500, FAILED)):
        trial.desk.answers[f"e{status}"] = Reply(status)
        await client.send(invoke(str(status), f"e{status}"))
        calls = await trial.desk.wait_for(f"e{status}", 4 if status == 500 else 1)
        trial.equal(calls[0].header("ce-invocationid"), str(status), "ce-invocationId")
        await answered(client, str(status), name)
    trial.desk.answers["late"] = never
    other = await trial.client(hub=trial.hubs["slow"])
    await other.send(invoke("1", "late"))
    await answered(other, "1", FAILED)


async def _cancelled(trial: Trial) -> None:
    gate = asyncio.Event()
    trial.desk.answers["e1"] = held(Reply(200, b"late", "text/plain"), gate)
    client = await trial.client()
    await client.send(invoke("1"))
    await trial.desk.wait_for("e1")
    await client.send({"type": "cancelInvocation", "invocationId": "1"})
    await client.quiet()
    gate.set()
    await client.ask(event("e2", 1))
    await client.quiet()


@case("CP-128", variant="", is_ours=True)
async def cancelled_invocation(trial: Trial) -> None:
    await _cancelled(trial)


@case("UE-093", variant="", is_ours=True)
async def cancelled_invocation_is_aborted(trial: Trial) -> None:
    trial.desk.answers["e1"] = never
    client = await trial.client()
    await client.send(invoke("1"))
    await trial.desk.wait_for("e1")
    await client.send({"type": "cancelInvocation", "invocationId": "1"})
    await trial.desk.until(lambda: len(trial.desk.aborted) == 1, "the end of the request")
    await client.quiet()


@case("CP-144", variant="", is_ours=True)
async def one_too_many(trial: Trial) -> None:
    gate = asyncio.Event()
    trial.desk.answers["e1"] = held(Reply(), gate)
    client = await trial.client()
    await client.send(*(invoke(f"i{i}") for i in range(100)), invoke("one more"))
    await answered(client, "one more", "BadRequest")
    for i in range(100):
        await open_stream(client, f"s{i}")
    await client.send(start("one more"))
    await closed_as(client, "BadRequest", "one more")
    gate.set()
    await answered(client, "i99")


@case("CP-145", variant="", is_ours=True)
async def invocation_over_a_recovery(trial: Trial) -> None:
    gate = asyncio.Event()
    trial.desk.answers["e1"] = held(Reply(), gate)
    client = await trial.client(RELIABLE)
    await client.send(invoke("1"))
    await trial.desk.wait_for("e1")
    await lost(client)
    again = await trial.recover(client)
    gate.set()
    await answered(again, "1")
