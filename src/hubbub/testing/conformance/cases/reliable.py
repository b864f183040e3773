"""Sequence ids, their acks, and recovery."""

import asyncio
from typing import Any

from hubbub.testing.conformance.cases.json import join, send
from hubbub.testing.conformance.registry import case
from hubbub.testing.conformance.trial import Trial
from hubbub.testing.conformance.wire import JSON, RELIABLE, WireClient

_GONE_S = 5
"""How much later than the recovery window a session may end."""


async def publish(trial: Trial, *texts: str) -> None:
    for text in texts:
        await trial.send(text.encode(), to="/groups/g1")


async def numbered(client: WireClient, *wanted: tuple[int, str]) -> None:
    """The next data messages have these sequence ids and texts."""
    for sequence_id, data in wanted:
        message = await client.wait(type="message")
        came = (message.get("sequenceId"), message.get("data"))
        if came != (sequence_id, data):
            client.fail(f"sequenceId {sequence_id} with {data!r}", message)


async def confirm(client: WireClient, sequence_id: int) -> None:
    await client.send({"type": "sequenceAck", "sequenceId": sequence_id})
    await client.quiet()


async def lost(client: WireClient) -> None:
    """Cut the link. What is sent from now on finds the client away, or about to be."""
    client.cut()
    await asyncio.sleep(0.2)


async def is_refused(trial: Trial, client: WireClient, **options: Any) -> None:
    """A recovery that gets 101, then 1008, and no `connected`."""
    again = await trial.recover(client, expects_hello=False, **options)
    await again.closed(1008)
    again.nothing_unread()


@case("CP-084")
async def connected_has_a_token(trial: Trial) -> None:
    client = await trial.client(RELIABLE)
    trial.check(client.hello.get("reconnectionToken"), "a reconnectionToken", client.hello)


@case("CP-085")
async def messages_are_numbered(trial: Trial) -> None:
    client = await trial.client(RELIABLE, groups=["g1"])
    await publish(trial, "a", "b", "c")
    await numbered(client, (1, "a"), (2, "b"), (3, "c"))
    ack = await client.ask(join(1, "g2"))
    trial.check("sequenceId" not in ack, "no sequenceId in an ack", ack)
    await client.send({"type": "ping"})
    pong = await client.wait(type="pong")
    trial.check("sequenceId" not in pong, "no sequenceId in a pong", pong)


@case("CP-086")
async def recovery_replays(trial: Trial) -> None:
    client = await trial.client(RELIABLE, groups=["g1"])
    await publish(trial, *"12345")
    await numbered(client, *((i, str(i)) for i in range(1, 6)))
    await confirm(client, 3)
    await lost(client)
    again = await trial.recover(client)
    await numbered(again, (4, "4"), (5, "5"))
    await publish(trial, "6")
    await numbered(again, (6, "6"))


@case("CP-100")
async def connected_comes_first(trial: Trial) -> None:
    client = await trial.client(RELIABLE, groups=["g1"], user="u1")
    await publish(trial, "1")
    await numbered(client, (1, "1"))
    await lost(client)
    again = await trial.recover(client)
    trial.equal(again.hello.get("connectionId"), client.connection_id, "connectionId")
    trial.equal(again.hello.get("userId"), "u1", "userId")
    trial.check(again.hello.get("reconnectionToken"), "a reconnectionToken", again.hello)
    await numbered(again, (1, "1"))


@case("CP-087", variant="", seconds=5)
async def messages_of_the_absence(trial: Trial) -> None:
    group = trial.name()
    client = await trial.client(RELIABLE, groups=[group])
    client.cut()
    await asyncio.sleep(min(5, trial.recovery_window_s / 2))
    await trial.send(b"while away", to=f"/groups/{group}")
    again = await trial.recover(client)
    await numbered(again, (1, "while away"))
    await trial.send(b"back", to=f"/groups/{group}")
    await numbered(again, (2, "back"))
    trial.equal(len(trial.desk.events("connect")), 1, "the number of connect events")


@case("CP-088")
async def recovery_without_an_access_token(trial: Trial) -> None:
    for token in ("", trial.token(life_s=-3600)):
        client = await trial.client(RELIABLE)
        await lost(client)
        await trial.recover(client, token=token)


@case("CP-089")
async def wrong_proof(trial: Trial) -> None:
    client, other = await trial.client(RELIABLE), await trial.client(RELIABLE)
    for options in (
        {"proof": "wrong"},
        {"proof": other.hello.get("reconnectionToken")},
        {"connection_id": "unknown"},
        {"hub": f"{trial.hub}x"},
    ):
        await is_refused(trial, client, **options)
    await client.quiet()


@case("CP-090", variant="", seconds=_GONE_S)
async def recovery_after_the_window(trial: Trial) -> None:
    client = await trial.client(RELIABLE)
    await trial.desk.wait_for("connected")
    client.cut()
    await asyncio.sleep(trial.recovery_window_s + 1)
    await is_refused(trial, client)
    await trial.desk.wait_for("disconnected")
    trial.equal(len(trial.desk.events("disconnected")), 1, "the number of disconnected events")


@case("CP-091")
async def not_reliable_is_not_recovered(trial: Trial) -> None:
    client, reliable = await trial.client(JSON), await trial.client(RELIABLE)
    proof = reliable.hello.get("reconnectionToken")
    await is_refused(trial, client, proof=proof, subprotocol=RELIABLE)


@case("CP-092", variant="")
async def close_1000_ends_the_session(trial: Trial) -> None:
    client = await trial.client(RELIABLE)
    await client.close(1000)
    await trial.desk.wait_for("disconnected")
    await is_refused(trial, client)


@case("CP-093")
async def close_without_a_code_keeps_the_session(trial: Trial) -> None:
    client = await trial.client(RELIABLE)
    await client.close(None)
    await trial.recover(client)


@case("CP-094")
async def new_socket_takes_over(trial: Trial) -> None:
    client = await trial.client(RELIABLE, groups=["g1"])
    again = await trial.recover(client)
    await client.closed(1006, 1000, 1001, 1005, 1008)
    await publish(trial, "x")
    await numbered(again, (1, "x"))


@case("CP-095")
async def too_many_unacknowledged(trial: Trial) -> None:
    client, sender = await trial.client(RELIABLE, groups=["g1"]), await trial.client()
    for ack_id in range(1, 1001):
        await sender.send(send("x", ack_id))
    for ack_id in range(1, 1001):
        await sender.ack(ack_id)
    await numbered(client, *((i, "x") for i in range(1, 1001)))
    await client.quiet()
    await sender.ask(send("one too many", 1001))
    await client.closed(1008)
    await is_refused(trial, client)


@case("CP-096")
async def ack_id_over_a_recovery(trial: Trial) -> None:
    member, client = await trial.client(groups=["g1"]), await trial.client(RELIABLE)
    await client.send(send("once", 7))
    await member.message(data="once")
    await lost(client)
    again = await trial.recover(client)
    await again.send(send("once", 7))
    await again.find(
        lambda it: it.get("ackId") == 7 and it.get("success") is False, "a failed ack for ackId 7"
    )
    await member.quiet()


@case("CP-098", is_ours=True)
async def ack_beyond_the_highest(trial: Trial) -> None:
    client = await trial.client(RELIABLE, groups=["g1"])
    await publish(trial, *"123")
    await numbered(client, (1, "1"), (2, "2"), (3, "3"))
    await confirm(client, 1000)
    await publish(trial, "4")
    await numbered(client, (4, "4"))
    await lost(client)
    await numbered(await trial.recover(client), (4, "4"))


@case("CP-099")
async def smaller_ack(trial: Trial) -> None:
    client = await trial.client(RELIABLE, groups=["g1"])
    await publish(trial, *"1234")
    await numbered(client, *((i, str(i)) for i in range(1, 5)))
    await confirm(client, 3)
    await confirm(client, 2)
    await lost(client)
    await numbered(await trial.recover(client), (4, "4"))


@case("CP-142", seconds=3, is_ours=True)
async def expired_copy(trial: Trial) -> None:
    client, sender = await trial.client(RELIABLE, groups=["g1"]), await trial.client()
    client.cut()
    await asyncio.sleep(1)
    await sender.ask(send("short-lived", 1, ttlSeconds=1))
    await sender.ask(send("lasting", 2))
    await asyncio.sleep(2)
    await numbered(await trial.recover(client), (2, "lasting"))


@case("RA-101", seconds=3)
async def expired_copy_by_rest(trial: Trial) -> None:
    client = await trial.client(RELIABLE)
    client.cut()
    await asyncio.sleep(0.5)
    await trial.send(b"short-lived", query="messageTtlSeconds=1")
    await trial.send(b"lasting")
    await asyncio.sleep(3)
    await numbered(await trial.recover(client), (2, "lasting"))


@case("CP-143", variant="lively", seconds=3)
async def silent_peer(trial: Trial) -> None:
    client = await trial.client(RELIABLE, answers_pings=False, patience_s=5)
    await client.closed(1006)
    await trial.recover(client)


@case("RA-100", variant="", seconds=5)
async def closed_while_away(trial: Trial) -> None:
    client = await trial.client(RELIABLE)
    await trial.desk.wait_for("connected")
    client.cut()
    await asyncio.sleep(min(5, trial.recovery_window_s / 2))
    path = f"/connections/{client.connection_id}"
    await trial.rest("DELETE", path, query="reason=bye", expect=204)
    await is_refused(trial, client)
    await trial.desk.wait_for("disconnected")
    trial.equal(len(trial.desk.events("disconnected")), 1, "the number of disconnected events")
