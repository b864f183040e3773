"""Runs cases side by side, each bounded in time, and turns what happens into results."""

import asyncio
import logging
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import aiohttp

from hubbub.protocol import connection_string, names
from hubbub.testing.conformance import registry, unseen
from hubbub.testing.conformance.failures import CannotRun, CaseFailed, NobodyThere, NotApplicable
from hubbub.testing.conformance.handler import Listener
from hubbub.testing.conformance.registry import Case
from hubbub.testing.conformance.report import FAILED, NOT_APPLICABLE, PASSED, Report, Result
from hubbub.testing.conformance.trial import Target, Trial
from hubbub.testing.conformance.variants import VARIANTS
from hubbub.testing.conformance.wire import Refused

log = logging.getLogger("hubbub.testing.conformance")
_LINES_SHOWN = 12
_LONGEST_SUFFIX = 20
"""Of a hub's name behind what the names of hubs begin with."""
_CASE_LIMIT_S = 60.0
"""Of a whole case, on top of what it says it has to wait."""

NO_HANDLER = "no event handler: give --handler-listen, and configure the service (--print-config)"
NO_SECOND_KEY = "no second key: give the service's second connection string"


@dataclass(frozen=True, slots=True)
class Options:
    """`only`: patterns of ids. `timeout_s`: of each answer. `hub`: what names of hubs begin with.

    `recovery_window_s`: how long the service keeps a lost session.
    """

    connection_string: str = field(repr=False)
    second_connection_string: str | None = field(default=None, repr=False)
    only: Sequence[str] = ()
    hub: str | None = None
    timeout_s: float = 10
    concurrency: int = 16
    recovery_window_s: float = 30


def target_of(options: Options) -> Target:
    """Raises: InvalidConnectionString."""
    first = connection_string.parse(options.connection_string)
    second = options.second_connection_string
    return Target(
        first.endpoint,
        first.client_endpoint or first.endpoint,
        first.access_key,
        None if second is None else connection_string.parse(second).access_key,
    )


async def run(
    options: Options,
    tell: Callable[[Result, int, int], None],
    listener: Listener | None = None,
) -> Report:
    """Run the wanted cases. `tell`: each result, how many there are so far, of how many.

    `listener`: of the event handler, running; without one the upstream cases do not apply.
    Raises: CannotRun, InvalidConnectionString, InvalidName.
    """
    target = target_of(options)
    registry.check_patterns(options.only)
    if options.hub is not None:
        # The names of the hubs have more behind it.
        names.hub_name(options.hub + "x" * _LONGEST_SUFFIX)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:
        runner = _Runner(options, target, http, listener)
        await runner.meet_service()
        return Report(target.endpoint, await runner.run_all(tell))


class _Runner:
    def __init__(
        self,
        options: Options,
        target: Target,
        http: aiohttp.ClientSession,
        listener: Listener | None,
    ) -> None:
        self._options = options
        self._target = target
        self._http = http
        self._listener = listener
        self._known = registry.known()
        self._base = options.hub or (f"conformance{secrets.token_hex(4)}")
        self._run_id = secrets.token_hex(3)
        self._probes: dict[str, asyncio.Task[str | None]] = {}
        self._room = asyncio.Semaphore(options.concurrency)

    async def meet_service(self) -> None:
        """One client, so that a wrong address or key is told once and not by every case."""
        trial = self._trial("meet")
        async with trial.running(None):
            try:
                await trial.client()
            except Refused as refused:
                hint = " (is it the key of this service?)" if refused.status == 401 else ""
                text = f"{self._target.client_base} refused a client: {refused.status}{hint}"
                raise CannotRun(text) from None
            except (OSError, CaseFailed) as error:
                text = f"no Web PubSub service answers at {self._target.client_base}: {error}"
                raise NobodyThere(text) from None

    async def run_all(self, tell: Callable[[Result, int, int], None]) -> list[Result]:
        """In the order of the ids."""
        only = self._options.only
        wanted = [case_id for case_id in self._known if registry.is_wanted(case_id, only)]
        results: dict[str, Result] = {}

        def add(found: Sequence[Result]) -> None:
            for result in found:
                if result.id in wanted:
                    results[result.id] = result
                    tell(result, len(results), len(wanted))

        cases = [it for it in registry.all_cases() if set(it.ids) & set(wanted)]
        runnable = {case_id for case in cases for case_id in case.ids}
        reasons = unseen.reasons()
        for case_id in wanted:
            if case_id not in runnable:
                add([self._result(case_id, NOT_APPLICABLE, text=reasons[case_id])])

        async def run_one(case: Case) -> None:
            async with self._room:
                add(await self._run(case))

        async with asyncio.TaskGroup() as tasks:
            for name in {name for case in cases for name in case.variants}:
                self._probes[name] = tasks.create_task(self._probe(name))
            # The longest waits first, so that the others run meanwhile.
            for case in sorted(cases, key=lambda it: -it.seconds):
                tasks.create_task(run_one(case))
        return [results[case_id] for case_id in wanted]

    async def _run(self, case: Case) -> list[Result]:
        started = time.monotonic()
        trial = self._trial(case.ids[0], next(iter(case.variants), None))
        status, text = await self._outcome(case, trial)
        said = tuple(trial.lines)[-_LINES_SHOWN:] if status == FAILED else ()
        seconds = time.monotonic() - started
        return [
            self._result(i, status, text=text, said=said, seconds=seconds, is_ours=case.is_ours)
            for i in case.ids
        ]

    async def _outcome(self, case: Case, trial: Trial) -> tuple[str, str]:
        reason = await self._reason_against(case)
        if reason is not None:
            return NOT_APPLICABLE, reason
        limit_s = _CASE_LIMIT_S + self._wait_of(case)
        try:
            async with asyncio.timeout(limit_s):
                listener = self._listener if case.variants else None
                async with trial.running(listener):
                    await case.run(trial)
        except NotApplicable as error:
            return NOT_APPLICABLE, str(error)
        except CaseFailed as error:
            return FAILED, str(error)
        except Refused as error:
            return FAILED, f"expected the client to be let in; came {error.status}"
        except TimeoutError:
            return FAILED, f"expected the case to end; came no end within {limit_s:g} s"
        except (OSError, aiohttp.ClientError) as error:
            return FAILED, f"expected the service to be reachable; came {error}"
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            return FAILED, f"expected the documented form; came another ({error!r}; see below)"
        except Exception as error:  # a fault of the case must not end all others
            log.exception("case %s could not judge what came", case.ids[0])
            return FAILED, f"expected an answer that can be judged; came {error!r}"
        return PASSED, ""

    def _wait_of(self, case: Case) -> float:
        return case.seconds + (self._options.recovery_window_s if case.seconds else 0)

    async def _reason_against(self, case: Case) -> str | None:
        """Why this case cannot be run against this service, or None."""
        if case.needs_second_key and self._target.second_key is None:
            return NO_SECOND_KEY
        for name in case.variants:
            reason = await self._probes[name]
            if reason is not None:
                return reason
        return None

    async def _probe(self, name: str) -> str | None:
        """Why the cases of this variant do not apply, or None. A client of its hub finds out."""
        if self._listener is None:
            return NO_HANDLER
        variant = VARIANTS[name]
        if not variant.is_probed:
            return None
        trial = self._trial("probe", name)
        is_refused = False
        async with trial.running(self._listener):
            try:
                client = await trial.client(user=trial.name("u"))
                await client.send({"type": "event", "event": "a", "data": 1, "ackId": 1})
                await client.wait(type="ack", ackId=1)
            except (Refused, CaseFailed, OSError) as error:
                is_refused = isinstance(error, Refused) and error.status == 500
        paths = {path.lstrip("/").partition("/")[0] for path in variant.paths}
        if is_refused or paths & self._listener.first.keys():
            return None
        return (
            f"the service does not call the event handler for the hub {variant.hub(self._base)}"
            f" ({variant.what}; --print-config)"
        )

    def _trial(self, case_id: str, variant: str | None = None) -> Trial:
        if variant is None:
            hub = f"{self._base}_{self._run_id}_{case_id.replace('-', '').lower()}"
        else:
            hub = VARIANTS[variant].hub(self._base)
        trial = Trial(self._target, hub, self._http, self._options.timeout_s)
        trial.recovery_window_s = self._options.recovery_window_s
        trial.hubs = {it.name: it.hub(self._base) for it in VARIANTS.values()}
        return trial

    def _result(self, case_id: str, status: str, **more: object) -> Result:
        known = self._known[case_id]
        return Result(case_id, status, summary=known.summary, area=known.area, **more)  # type: ignore[arg-type]
