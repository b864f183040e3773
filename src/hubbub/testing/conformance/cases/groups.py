"""What roles and their patterns allow."""

from collections.abc import Sequence

from hubbub.testing.conformance.cases.json import join
from hubbub.testing.conformance.registry import case
from hubbub.testing.conformance.trial import Trial


async def _allows(trial: Trial, role: str, good: Sequence[str], bad: Sequence[str]) -> None:
    """A client with this role alone may use the good groups, and is refused the bad ones."""
    client = await trial.client(roles=[f"webpubsub.{role}"])
    verb = "sendToGroup" if role.startswith("send") else "joinGroup"
    for ack_id, group in enumerate([*good, *bad], 1):
        request = {"type": verb, "group": group, "data": 1, "ackId": ack_id}
        if verb == "joinGroup":
            del request["data"]
        await client.ask(request, None if group in good else "Forbidden")


@case("CP-110")
async def one_star(trial: Trial) -> None:
    await _allows(trial, "sendToGroups.a.*", ["a.b"], ["a.b.c", "A.b"])


@case("CP-111")
async def two_stars(trial: Trial) -> None:
    await _allows(trial, "joinLeaveGroups.a.**", ["a.b.c"], ["a", "ab"])


@case("CP-112")
async def question_mark_and_escape(trial: Trial) -> None:
    await _allows(trial, "sendToGroups.x?", ["x1"], ["x", "x."])
    await _allows(trial, r"sendToGroups.l\*s", ["l*s"], ["lXs"])


@case("CP-113")
async def singular_is_literal(trial: Trial) -> None:
    await _allows(trial, "sendToGroup.a*", ["a*"], ["ab"])


@case("CP-114", is_ours=True)
async def bad_patterns(trial: Trial) -> None:
    await _allows(trial, "sendToGroups.******", [], ["a"])
    await _allows(trial, "sendToGroups.a\\", [], ["a", "a\\"])


@case("CP-115")
async def granted_and_revoked(trial: Trial) -> None:
    client = await trial.client(roles=())
    path = f"/permissions/joinLeaveGroup/connections/{client.connection_id}"
    await client.ask(join(1), "Forbidden")
    await trial.rest("PUT", path, query="targetName=g1", expect=200)
    await client.ask(join(2))
    await trial.rest("DELETE", path, query="targetName=g1", expect=204)
    await client.ask(join(3), "Forbidden")
    await trial.send(b"x", to="/groups/g1")
    await client.message(group="g1", data="x")
