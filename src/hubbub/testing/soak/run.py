"""A soak, put together: service, proxies, clients, faults, and the verdict at the end."""

import asyncio
import contextlib
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

from hubbub import clock
from hubbub.appserver import ServiceClient
from hubbub.client import Client, RecoveryOptions, RetryOptions
from hubbub.service import EventHandlerSettings
from hubbub.testing.faults import FaultProxy
from hubbub.testing.handler import HandlerServer
from hubbub.testing.hub import ALL_ROLES, Hub
from hubbub.testing.soak import figures
from hubbub.testing.soak.crowd import Backend, Member
from hubbub.testing.soak.ledger import Ledger
from hubbub.testing.soak.schedule import Fault, schedule

_GROUP_SIZE = 5
_CLIENTS_PER_PROXY, _FEWEST_PROXIES = 50, 4
_STARTS_AT_ONCE = 50
_SETTLE_S, _LOOK_S = 120.0, 0.1
_PROGRESS_S = 10.0
_SPARE_TASKS, _SPARE_FILES = 30, 30
"""Of connections between service and handler, which come and go."""


@dataclass(frozen=True, slots=True)
class Options:
    """`rate`: calls per second of all clients together; None: a tenth of their number."""

    clients: int = 1000
    seconds: float = 180.0
    seed: int = 1
    rate: float | None = None


@dataclass(slots=True)
class Report:
    options: Options
    counts: Counter[str] = field(default_factory=lambda: Counter[str]())
    faults: Counter[str] = field(default_factory=lambda: Counter[str]())
    samples: list[figures.Sample] = field(default_factory=lambda: list[figures.Sample]())
    problems: list[str] = field(default_factory=lambda: list[str]())
    cpu_s: float = 0.0

    @property
    def is_good(self) -> bool:
        return not self.problems

    def __str__(self) -> str:
        early, late = figures.growth(self.samples)
        rows = [
            f"seed {self.options.seed}: {self.options.clients} clients, "
            f"{self.options.seconds:.0f} s, {self.cpu_s:.0f} s of CPU",
            "faults: " + ", ".join(f"{n} {kind}" for kind, n in sorted(self.faults.items())),
            "counts: " + ", ".join(f"{name} {n}" for name, n in sorted(self.counts.items())),
            f"memory: {self.samples[0].rss_mb:.0f} MB when all were connected, {early:.0f} MB in "
            f"the second quarter, {late:.0f} MB in the last, {self.samples[-1].rss_mb:.0f} MB at "
            "the end",
            *(f"WRONG: {problem}" for problem in self.problems),
            "good" if self.is_good else "not good",
        ]
        return "\n".join(rows)


async def run(options: Options, *, say: Callable[[str], None] = lambda _: None) -> Report:
    """Break what can break for so many seconds, let it heal, and judge. `say`: hears progress."""
    before = set(asyncio.all_tasks())
    files_before = figures.take(0).files
    report = Report(options)
    async with _Stage.open(options) as stage:
        await _Soak(options, stage, report, say).run()
    orphans = asyncio.all_tasks() - before
    if orphans:
        names = sorted({task.get_name().rstrip("0123456789-") for task in orphans})
        report.problems.append(f"{len(orphans)} tasks were left behind: {', '.join(names[:5])}")
    if (left := figures.take(0).files - files_before) > 3:
        report.problems.append(f"{left} files or sockets were left open")
    return report


class _Stage:
    """A service with a handler, and a proxy for every fifty clients."""

    def __init__(self, hub: Hub, backend: Backend, proxies: list[FaultProxy]) -> None:
        self.hub = hub
        self.backend = backend
        self.proxies = proxies

    @classmethod
    @contextlib.asynccontextmanager
    async def open(cls, options: Options) -> AsyncIterator["_Stage"]:
        backend = Backend()
        async with contextlib.AsyncExitStack() as stack:
            server = await stack.enter_async_context(HandlerServer(backend.handler))
            rule = EventHandlerSettings(server.url, user_event_pattern="*", retry_pauses_s=())
            hub = Hub("soak", settings={"event_handlers": (rule,)})
            await stack.enter_async_context(hub)
            proxies = [
                await stack.enter_async_context(FaultProxy(hub.service.url))
                for _ in range(max(_FEWEST_PROXIES, options.clients // _CLIENTS_PER_PROXY))
            ]
            yield cls(hub, backend, proxies)

    def client(self, index: int) -> Client:
        proxy = self.proxies[index % len(self.proxies)]
        text = f"{self.hub.service.connection_string}ClientEndpoint={proxy.url};"
        tokens = ServiceClient.from_connection_string(text, self.hub.name)

        async def credential() -> str:
            return tokens.get_client_access_token(user_id=f"u{index}", roles=ALL_ROLES).url

        return Client(
            credential,
            keep_alive_interval=5.0,
            keep_alive_timeout=10.0,
            recovery=RecoveryOptions(window=30.0, delay=1.0, probe_timeout=5.0),
            reconnect_retry=RetryOptions(None, 0.5, 4.0, "exponential", 1.0),
        )

    async def inflict(self, fault: Fault) -> None:
        """One fault from its beginning to its end."""
        if fault.lane is None:
            await self.hub.stop_service()
            await asyncio.sleep(fault.lasts_s)
            await self.hub.start_service()
            return
        proxy = self.proxies[fault.lane]
        match fault.kind:
            case "cut":
                proxy.cut()
            case "close":
                await proxy.close_clients(1011, "soak")
            case "refuse":
                proxy.is_refusing = True
                proxy.cut()
            case "half-open":
                proxy.is_silent = True
            case "deaf":
                proxy.is_deaf = True
            case "mute":
                proxy.is_mute = True
            case "delay":
                proxy.delay_s = 0.1
        await asyncio.sleep(fault.lasts_s)
        self._heal(proxy)

    def _heal(self, proxy: FaultProxy) -> None:
        if proxy.is_deaf or proxy.is_mute:
            proxy.cut()  # what was swallowed is gone for good: that link can never be whole again
        proxy.is_refusing = proxy.is_silent = proxy.is_deaf = proxy.is_mute = False
        proxy.delay_s = 0.0


class _Soak:
    def __init__(
        self, options: Options, stage: _Stage, report: Report, say: Callable[[str], None]
    ) -> None:
        self._options = options
        self._stage = stage
        self._report = report
        self._say = say
        self._ledger = Ledger(options.clients)
        groups = max(1, options.clients // _GROUP_SIZE)
        self._members = [
            Member(index, stage.client(index), self._ledger, report.counts, groups)
            for index in range(options.clients)
        ]
        self._began_at = 0.0

    async def run(self) -> None:
        cpu_s = time.process_time()
        await self._start()
        self._began_at = clock.monotonic()
        watching = asyncio.create_task(self._watch(), name="soak watch")
        calm = figures.take(self._began_at)
        try:
            await self._storm()
            await self._heal(calm)
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
            await asyncio.gather(*(member.client.stop() for member in self._members))
        self._report.cpu_s = time.process_time() - cpu_s
        self._judge()

    async def _start(self) -> None:
        gate = asyncio.Semaphore(_STARTS_AT_ONCE)

        async def start(member: Member) -> None:
            async with gate:
                await member.start()

        await asyncio.gather(*map(start, self._members))
        self._say(f"{len(self._members)} clients are connected")

    async def _storm(self) -> None:
        """Everybody acts, everything breaks."""
        seconds, seed = self._options.seconds, self._options.seed
        rate = self._options.rate or self._options.clients / 10
        until = self._began_at + seconds
        faults = schedule(seed, len(self._stage.proxies), seconds)
        async with asyncio.TaskGroup() as everybody:
            for member in self._members:
                draw = random.Random(f"{seed} client {member.index}")
                everybody.create_task(member.act(draw, len(self._members) / rate, until))
            for fault in faults:
                everybody.create_task(self._inflict(fault))

    async def _inflict(self, fault: Fault) -> None:
        await asyncio.sleep(max(0.0, self._began_at + fault.at_s - clock.monotonic()))
        self._report.faults[fault.kind] += 1
        await self._stage.inflict(fault)

    async def _heal(self, calm: figures.Sample) -> None:
        """Nothing is broken any more: all come back, what is owed comes, old sockets end."""
        problems = self._report.problems
        if await self._within(lambda: not self._away):
            await asyncio.gather(*(member.send_home() for member in self._members))
        await self._within(lambda: not (self._away or self._ledger.owed or self._surplus(calm)))
        await asyncio.sleep(1.0)  # whatever comes twice has time to
        if away := self._away:
            problems.append(f"{away} clients did not come back")
        problems += self._surplus(calm)
        self._report.samples.append(figures.take(self._began_at))

    def _surplus(self, calm: figures.Sample) -> list[str]:
        """What there is more of than when all were connected and nothing had happened."""
        now = figures.take(self._began_at)
        found: list[str] = []
        if now.tasks > calm.tasks + _SPARE_TASKS:
            found.append(f"tasks grew from {calm.tasks} to {now.tasks}")
        if now.files > calm.files + _SPARE_FILES:
            found.append(f"open files grew from {calm.files} to {now.files}")
        return found

    @property
    def _away(self) -> int:
        return sum(not member.client.is_connected for member in self._members)

    async def _within(self, is_true: Callable[[], bool]) -> bool:
        for _ in range(round(_SETTLE_S / _LOOK_S)):
            if is_true():
                return True
            await asyncio.sleep(_LOOK_S)
        return is_true()

    async def _watch(self) -> None:
        said = figures.take(self._began_at)
        while True:
            sample = figures.take(self._began_at)
            self._report.samples.append(sample)
            if sample.at_s - said.at_s >= _PROGRESS_S:
                self._say(self._progress(said, sample))
                said = sample
            await asyncio.sleep(1.0)

    def _progress(self, before: figures.Sample, sample: figures.Sample) -> str:
        counts, ledger = self._report.counts, self._ledger.counts
        total = len(self._members)
        busy = (sample.cpu_s - before.cpu_s) / (sample.at_s - before.at_s)
        return (
            f"{sample.at_s:4.0f} s  connected {total - self._away}/{total}"
            f"  accepted {ledger['accepted']}  delivered {ledger['delivered']}"
            f"  owed {self._ledger.owed}  lost {ledger['lost']}  doubled {ledger['doubled']}"
            f"  recovered {counts['recovered']}  reconnected {counts['reconnected']}"
            f"  cpu {busy:.0%}  {sample.rss_mb:.0f} MB  {sample.tasks} tasks  {sample.files} files"
        )

    def _judge(self) -> None:
        report = self._report
        self._ledger.close()
        report.counts.update(self._ledger.counts)
        report.counts["cuts"] = sum(proxy.cuts for proxy in self._stage.proxies)
        report.counts["invoke doubled"] = self._stage.backend.doubled
        for name in (
            "lost", "doubled", "reordered", "invoke doubled", "invoke answered wrongly",
            "handler-error",
        ):  # fmt: skip
            if report.counts[name]:
                report.problems.append(f"{name}: {report.counts[name]}")
        report.problems += self._ledger.examples
        if problem := figures.memory_problem(report.samples):
            report.problems.append(problem)
