"""Filters of REST sends: who gets a message, and that a fault reaches nobody."""

from urllib.parse import quote

from hubbub.testing.conformance.registry import case
from hubbub.testing.conformance.trial import Answer, Trial
from hubbub.testing.conformance.wire import WireClient


async def _filtered(trial: Trial, text: str, *, to: str = "", expect: int = 202) -> Answer:
    query = f"api-version=2024-12-01&filter={quote(text, safe='')}"
    return await trial.send(b"hi", to=to, query=query, expect=expect)


async def _got(trial: Trial, text: str, people: dict[str, WireClient], to: str = "") -> str:
    """Names of those whom a send with this filter reaches."""
    await _filtered(trial, text, to=to)
    return await trial.reached(people)


async def _refused(trial: Trial, text: str) -> None:
    plain = await trial.client(None)
    await _filtered(trial, text, expect=400)
    await trial.fence(plain)


@case("RA-039")
async def by_user(trial: Trial) -> None:
    people = {"A": await trial.client(user="u1"), "B": await trial.client(user="u2")}
    trial.equal(await _got(trial, "userId eq 'u1'", people), "A", "who is reached")


@case("RA-040")
async def not_of_a_number(trial: Trial) -> None:
    await _refused(trial, "not length(userId) gt 5")


@case("RA-041")
async def unterminated(trial: Trial) -> None:
    await _refused(trial, "userId eq 'x")


@case("RA-042")
async def unknown_name(trial: Trial) -> None:
    await _refused(trial, "foo eq 1")


@case("RA-043")
async def empty(trial: Trial) -> None:
    clients = [await trial.client(user=user) for user in ("u1", None)]
    await _filtered(trial, "")
    for client in clients:
        await client.message(data="hi")


@case("RA-044")
async def decoded_once(trial: Trial) -> None:
    people = {
        "A": await trial.client(groups=["all", "vip"]),
        "B": await trial.client(groups=["all"]),
    }
    reached = await _got(trial, "'vip' in groups", people, "/groups/all")
    trial.equal(reached, "A", "who is reached")


@case("RA-045")
async def documented_filters(trial: Trial) -> None:
    people = {
        "A": await trial.client(user="user-ab-de", groups=["group1", "vip"]),
        "B": await trial.client(),
        "C": await trial.client(user="User1", groups=["group1"]),
    }
    second = people["B"].connection_id
    for text, wanted in {
        "userId eq 'user-ab-de'": "A",
        "userId eq null": "B",
        "userId ne null": "AC",
        "tolower(userId) eq 'user1'": "C",
        "'group1' in groups": "AC",
        "'GROUP1' in groups": "",
        "not ('group1' in groups)": "B",
        f"userId in ('User1','x') or connectionId eq '{second}'": "BC",
        "length(groups) gt 1": "A",
        "length(userId) lt 6": "C",
        "substring(userId,5,2) eq 'ab'": "A",
        "indexof(userId,'-ab-') ge 0": "A",
        "startswith(userId,'user') and connectionId ne 'c9'": "A",
        "true": "ABC",
        "userId eq 'o''hara'": "",
    }.items():
        trial.equal(await _got(trial, text, people), wanted, f"who {text} reaches")


@case("RA-046")
async def nested_too_deep(trial: Trial) -> None:
    await _refused(trial, "(" * 101 + "true" + ")" * 101)
