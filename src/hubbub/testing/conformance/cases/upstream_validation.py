"""Before the first event the service asks the handler whether it wants events (UE-001 …)."""

import asyncio
from urllib.parse import urlsplit

from hubbub.testing.conformance.handler import Call
from hubbub.testing.conformance.registry import case
from hubbub.testing.conformance.trial import Trial

_SEEN_BEFORE = "the service had asked this handler before the run: wait a minute and run again"


async def _question(trial: Trial) -> Call:
    """The first OPTIONS about the main handler."""
    await trial.client()
    asked = trial.listener.asked("main")
    if not asked:
        trial.not_applicable(_SEEN_BEFORE)
    return asked[0]


@case("UE-001", variant="")
async def asked_before_any_event(trial: Trial) -> None:
    question = await _question(trial)
    trial.equal(trial.listener.first["main"], "OPTIONS", "the method of the first request")
    path = question.target.partition("?")[0]
    trial.equal(path, f"/main/{trial.hub}/validate", "the path of the question")


@case("UE-002", variant="")
async def headers_of_the_question(trial: Trial) -> None:
    question = await _question(trial)
    host = urlsplit(trial.target.client_base).hostname
    for name, wanted in (
        ("webhook-request-origin", host),
        ("ce-awpsversion", "1.0"),
        ("ce-signature", None),
        ("cookie", None),
    ):
        trial.equal(question.header(name), wanted, f"{name} of the question")


async def _is_accepted(trial: Trial) -> None:
    await trial.client()
    trial.equal(len(trial.desk.events("connect")), 1, "the number of connect events")


for _id, _variant in (("UE-003", ""), ("UE-004", "case"), ("UE-005", "lines"), ("UE-009", "get")):
    case(_id, variant=_variant)(_is_accepted)


async def _is_refused(trial: Trial) -> None:
    await trial.refused(500)
    trial.equal(len(trial.desk.calls), 0, "the number of events")


for _id, _variant in (("UE-006", "bare"), ("UE-007", "other"), ("UE-008", "denied")):
    case(_id, variant=_variant)(_is_refused)


@case("UE-012", variant="mute", seconds=10, is_ours=True)
async def question_without_an_answer(trial: Trial) -> None:
    opening = asyncio.ensure_future(trial.refused(500, patience_s=60))
    try:
        await asyncio.wait({opening}, timeout=trial.timeout_s)
        if not trial.listener.asked("mute"):
            trial.not_applicable(f"the hub {trial.hub} is not configured (--print-config)")
        await opening
    finally:
        opening.cancel()
        await asyncio.gather(opening, return_exceptions=True)


@case("UE-010", "UE-011", variant="burst")
async def many_clients_ask_once(trial: Trial) -> None:
    await asyncio.gather(*(trial.client() for _ in range(10)))
    if not trial.listener.asked("burst"):
        known = "burst" in trial.listener.first
        trial.not_applicable(
            _SEEN_BEFORE if known else f"the hub {trial.hub} is not configured (--print-config)"
        )
    trial.equal(len(trial.listener.asked("burst")), 1, "the number of questions")
    trial.equal(len(trial.desk.events("connect")), 10, "the number of connect events")
    await trial.client()
    trial.equal(len(trial.listener.asked("burst")), 1, "the number of questions")
