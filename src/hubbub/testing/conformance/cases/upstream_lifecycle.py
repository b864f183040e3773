"""`connected` and `disconnected`, and what the handler gives a connection to keep."""

import asyncio

from hubbub.testing.conformance.cases.reliable import lost
from hubbub.testing.conformance.cases.upstream_connect import event
from hubbub.testing.conformance.handler import Reply
from hubbub.testing.conformance.registry import case
from hubbub.testing.conformance.trial import Trial
from hubbub.testing.conformance.wire import RELIABLE

_STATE = "ce-connectionstate"


def _state(value: str, status: int = 204) -> Reply:
    return Reply(status, headers=(("ce-connectionState", value),))


def _names(trial: Trial) -> list[str]:
    return [call.event for call in trial.desk.calls]


@case("UE-038", variant="")
async def state_of_connect(trial: Trial) -> None:
    trial.desk.answers["connect"] = _state("abc")
    client = await trial.client()
    await trial.desk.wait_for("connected")
    await client.ask(event("e", 1))
    await client.close()
    await trial.desk.wait_for("disconnected")
    for call in trial.desk.calls:
        wanted = None if call.event == "connect" else "abc"
        trial.equal(call.header(_STATE), wanted, f"ce-connectionState of {call.event}")


@case("UE-039", variant="")
async def changed_state(trial: Trial) -> None:
    trial.desk.answers |= {
        "connect": _state("abc"),
        "change": _state("def"),
        "fail": _state("ghi", 400),
    }
    client = await trial.client()
    await client.ask(event("change", 1))
    await client.ask(event("fail", 2), "InternalServerError")
    await client.ask(event("e", 3))
    came = [call.header(_STATE) for call in trial.desk.user_events]
    trial.equal(came, ["abc", "def", "def"], "ce-connectionState of the three events")


@case("UE-040", variant="")
async def empty_state(trial: Trial) -> None:
    trial.desk.answers |= {"connect": _state("abc"), "empty": _state("")}
    client = await trial.client()
    await client.ask(event("empty", 1))
    await client.ask(event("e", 2))
    came = [call.header(_STATE) for call in trial.desk.user_events]
    trial.equal(came, ["abc", None], "ce-connectionState of the two events")


@case("UE-041", variant="")
async def cookies(trial: Trial) -> None:
    trial.desk.answers["connect"] = Reply(204, headers=(("Set-Cookie", "node=n1; Path=/"),))
    client = await trial.client()
    await client.ask(event("e", 1))
    (call,) = trial.desk.events("e")
    trial.equal(call.header("cookie"), "node=n1", "Cookie of a later event")


@case("UE-042", variant="", seconds=9)
async def connected(trial: Trial) -> None:
    trial.desk.answers["connected"] = Reply(500)
    client = await trial.client()
    (call, *_) = await trial.desk.wait_for("connected")
    trial.equal(call.json, {}, "the body of connected")
    trial.equal(call.header("content-type"), "application/json; charset=utf-8", "Content-Type")
    await client.quiet()
    await client.ask(event("e", 1))


@case("UE-043", variant="")
async def disconnected(trial: Trial) -> None:
    client = await trial.client()
    await client.close(1000)
    (call, *_) = await trial.desk.wait_for("disconnected")
    trial.check("reason" in call.json, "a body with `reason`", call.json)
    await asyncio.sleep(1)
    trial.equal(len(trial.desk.events("disconnected")), 1, "the number of disconnected events")


@case("UE-044", variant="")
async def closed_by_rest(trial: Trial) -> None:
    client = await trial.client()
    path = f"/connections/{client.connection_id}"
    await trial.rest("DELETE", path, query="reason=bye", expect=204)
    (call, *_) = await trial.desk.wait_for("disconnected")
    trial.equal(call.json.get("reason"), "bye", "the reason")


@case("UE-045", variant="", seconds=5)
async def recovery_is_no_event(trial: Trial) -> None:
    client, gone = await trial.client(RELIABLE), await trial.client(RELIABLE)
    await trial.desk.wait_for("connected", 2)
    gone.cut()
    await lost(client)
    client = await trial.recover(client)
    await client.ask(event("e", 1))
    wanted = ["connect", "connect", "connected", "connected", "e"]
    trial.equal(sorted(_names(trial)), wanted, "the events after a recovery")
    await asyncio.sleep(trial.recovery_window_s + 1)
    await trial.desk.wait_for("disconnected")
    trial.equal(len(trial.desk.events("disconnected")), 1, "the number of disconnected events")


@case("UE-090", variant="", seconds=5)
async def lost_for_good(trial: Trial) -> None:
    client = await trial.client(RELIABLE)
    await trial.desk.wait_for("connected")
    client.cut()
    await asyncio.sleep(trial.recovery_window_s)
    (call, *_) = await trial.desk.wait_for("disconnected")
    trial.equal(call.json.get("reason"), "Connection recovery timed out.", "the reason")
