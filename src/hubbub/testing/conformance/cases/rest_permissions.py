"""Permissions of one connection: grant, revoke, check."""

import asyncio

from hubbub.testing.conformance.cases.json import send
from hubbub.testing.conformance.registry import case
from hubbub.testing.conformance.trial import SEND, Trial
from hubbub.testing.conformance.wire import WireClient

_UNKNOWN = "Info.Connection.NotExisted"
_ROOM = "targetName=room"


def _path(client: WireClient | None, permission: str = "sendToGroup") -> str:
    connection = "nobody" if client is None else client.connection_id
    return f"/permissions/{permission}/connections/{connection}"


@case("RA-072")
async def grant(trial: Trial) -> None:
    client = await trial.client(roles=())
    await trial.rest("PUT", _path(client), query=_ROOM, expect=200)
    await client.ask(send("x", 1, group="room"))
    await client.ask(send("x", 2, group="other"), "Forbidden")


@case("RA-073")
async def grant_without_a_target(trial: Trial) -> None:
    await trial.rest("PUT", _path(await trial.client()), expect=400)


@case("RA-074")
async def grant_to_an_unknown_connection(trial: Trial) -> None:
    answer = await trial.rest("PUT", _path(None), query=_ROOM)
    answer.expect(404, _UNKNOWN)


@case("RA-075")
async def names_of_permissions(trial: Trial) -> None:
    client = await trial.client()
    await trial.rest("PUT", _path(client, "unknown"), query=_ROOM, expect=400)
    await trial.rest("PUT", _path(client, "SENDTOGROUP"), query=_ROOM, expect=200)


@case("RA-076")
async def star_is_literal(trial: Trial) -> None:
    client = await trial.client(roles=())
    await trial.rest("PUT", _path(client), query="targetName=*", expect=200)
    await trial.rest("HEAD", _path(client), query=_ROOM, expect=404)


@case("RA-077")
async def revoke_beats_the_role(trial: Trial) -> None:
    client = await trial.client(roles=SEND, groups=["room"])
    await trial.rest("DELETE", _path(client), query=_ROOM, expect=204)
    await client.ask(send("x", 1, group="room"), "Forbidden")
    await client.ask(send("x", 2, group="other"))
    await trial.send(b"still in", to="/groups/room")
    await client.message(group="room", data="still in")


@case("RA-078")
async def revoke_from_an_unknown_connection(trial: Trial) -> None:
    await trial.rest("DELETE", _path(None), query=_ROOM, expect=204)


@case("RA-079")
async def check_is_literal(trial: Trial) -> None:
    client = await trial.client(roles=())
    await trial.rest("HEAD", _path(client), query=_ROOM, expect=404)
    await trial.rest("PUT", _path(client), query=_ROOM, expect=200)
    await trial.rest("HEAD", _path(client), query=_ROOM, expect=200)
    await trial.rest("HEAD", _path(client), query="targetName=Room", expect=404)


@case("RA-080")
async def one_grant_too_many(trial: Trial) -> None:
    client = await trial.client(roles=())
    for first in range(0, 1000, 20):
        await asyncio.gather(
            *(
                trial.rest("PUT", _path(client), query=f"targetName=g{i}", expect=200)
                for i in range(first, first + 20)
            )
        )
    answer = await trial.rest("PUT", _path(client), query="targetName=g1000")
    answer.expect(409, "Error.Connection.Conflict")
