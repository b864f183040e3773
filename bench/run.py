"""Measure hubbub beside bare libraries that do the same, on this machine, in one run.

    python bench/run.py [--quick] [--rounds N] [--save NAME] [--only SCENARIO …]

The method is in bench/README.md. Linux only: it reads /proc.
"""

import argparse
import json
import os
import platform
import resource
import secrets
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlsplit

from load import Target

from hubbub.appserver import ServiceClient

HERE = Path(__file__).parent
OPEN_FILES = 4096
MEASUREMENT_LIMIT_S = 90
ROLES = ["webpubsub.joinLeaveGroup", "webpubsub.sendToGroup"]
SERVERS = ("hubbub", "websockets")
IN_PROCESS = ("filter", "no filter")
"""Nothing is started for these: the generator does all of it."""
VERSIONS = (
    "hubbub",
    "picows",
    "uvloop",
    "websockets",
    "uvicorn",
    "starlette",
    "aiohttp",
    "PyJWT",
)
PROGRAMS = {
    "websockets": "server_websockets.py",
    "starlette": "server_starlette.py",
    "aiohttp": "server_handler.py",
    "pkgstats": "server_pkgstats.py",
    "publisher": "server_publisher.py",
}
CLIENTS = ("hubbub", "bare", "official aio")
RECEIVERS = (
    "handler",
    "bare",
    "json.loads",
    "iterator",
    "sync",
    "sync iterator",
    "official aio",
    "official sync",
)


@dataclass(frozen=True)
class Measurement:
    """`figure`: the one of the result that is compared; `is_more_better`: which way.

    `servers`: what takes turns, ours first.
    """

    scenario: str
    arguments: dict[str, Any]
    figure: str
    is_more_better: bool = True
    servers: tuple[str, ...] = SERVERS

    @property
    def title(self) -> str:
        arguments = ", ".join(f"{key} {value}" for key, value in self.arguments.items())
        return f"{self.scenario} ({arguments})"


def measurements(*, quick: bool) -> list[Measurement]:
    seconds = 0.7 if quick else 1.5
    sizes = (100,) if quick else (100, 500)
    fanouts = [
        Measurement(
            "fanout",
            {"seconds": seconds, "connections": connections, "in_flight": in_flight},
            "deliveries_per_s",
        )
        for connections in sizes
        for in_flight in (1, 32)
    ]
    idle = {"connections": 200 if quick else 500}
    return [
        *client_measurements(quick=quick),
        *fanouts,
        Measurement("handshakes", {"seconds": seconds}, "handshakes_per_s"),
        Measurement("idle", idle, "kib_per_connection", is_more_better=False),
        *(
            Measurement(
                "rest",
                {"seconds": seconds, "to": to, "listeners": listeners, "tokens": tokens},
                "server_cpu_us_per_request",
                is_more_better=False,
                servers=("hubbub", "starlette"),
            )
            for to, listeners, tokens in (
                ("group", 0, 1),
                ("group", 0, 2000),
                ("group", 10, 1),
                ("user", 1, 2000),
                ("all", 10, 1),
            )
        ),
        Measurement(
            "filters",
            {"seconds": seconds, "connections": 1000 if quick else 10_000},
            "server_cpu_us_per_send",
            is_more_better=False,
            servers=("filter", "no filter"),
        ),
        Measurement(
            "upstream",
            {"seconds": seconds},
            "caller_cpu_us_per_event",
            is_more_better=False,
            servers=("hubbub", "aiohttp"),
        ),
        *(
            Measurement(
                "pages",
                {"seconds": seconds, "what": what},
                figure,
                is_more_better=figure != "p95_ms",
                servers=("pkgstats", "starlette"),
            )
            for what, figure in (
                ("page", "answers_per_s_and_core"),
                ("gzip", "answers_per_s_and_core"),
                ("suggest", "p95_ms"),
            )
        ),
        Measurement(
            "live",
            {"seconds": 4 * seconds, "pages": 200},
            "p95_ms",
            is_more_better=False,
            servers=("pkgstats", "bare"),
        ),
    ]


def client_measurements(*, quick: bool) -> list[Measurement]:
    """The measured process is the generator; what takes turns are clients."""
    receive = [
        ("text", "burst", 40_000 if quick else 200_000),
        ("json", "burst", 10_000 if quick else 50_000),
        ("text", "single", 300 if quick else 1500),
    ]
    return [
        *(
            Measurement(
                "client_receive",
                {"messages": messages, "kind": kind, "pace": pace},
                "client_cpu_us_per_message",
                is_more_better=False,
                servers=RECEIVERS,
            )
            for kind, pace, messages in receive
        ),
        Measurement(
            "client_sends",
            {"times": 1 if quick else 5},
            "client_cpu_us_per_send",
            is_more_better=False,
            servers=CLIENTS,
        ),
        Measurement(
            "client_idle",
            {"clients": 200 if quick else 1000},
            "kib_per_client",
            is_more_better=False,
            servers=CLIENTS,
        ),
    ]


# --- processes ----------------------------------------------------------------------------------


def _prepare(core: int) -> None:
    """In the child: its own core where there are two, and enough open files."""
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) > 1:
        os.sched_setaffinity(0, {cores[core]})
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    soft = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@contextmanager
def running(server: str, scenario: str) -> Iterator[Target]:
    """A fresh server process, ready; ended afterwards."""
    if server in IN_PROCESS:
        yield Target(server, "", 0, "", 0)
        return
    if scenario.startswith("client_"):
        with _process("publisher", _program("publisher"), core=0) as (pid, told):
            yield _target(server, told, "", pid, is_bare=True)
        return
    key = secrets.token_urlsafe(32)
    with ExitStack() as stack:
        if scenario == "live":
            what = [] if server == "pkgstats" else [server]
            command = [sys.executable, str(HERE / "server_live.py"), *what]
        elif server == "hubbub":
            program = str(Path(sys.executable).parent / "hubbub")
            command = [program, "serve", "--host", "127.0.0.1", "--port", "0", "--json"]
            if scenario == "upstream":
                _, handler = stack.enter_context(
                    _process("event handler", _program("aiohttp"), core=1)
                )
                folder = Path(stack.enter_context(TemporaryDirectory()))
                (folder / "hubbub.toml").write_text(
                    "[[hubs.bench.event_handlers]]\n"
                    f'url_template = "http://127.0.0.1:{handler["port"]}/"\n'
                    'user_event_pattern = "*"\n'
                )
                command += ["--config", str(folder / "hubbub.toml")]
        else:
            command = _program(server)
        core = 1 if server == "aiohttp" else 0
        pid, told = stack.enter_context(_process(server, command, core, key))
        yield _target(server, told, key, pid)


def _program(server: str) -> list[str]:
    return [sys.executable, str(HERE / PROGRAMS[server])]


@contextmanager
def _process(
    name: str, command: list[str], core: int, key: str = ""
) -> Iterator[tuple[int, dict[str, Any]]]:
    """A program that tells where it listens: its pid and its first line."""
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "HUBBUB_ACCESS_KEY": key},
        preexec_fn=lambda: _prepare(core),  # no threads here, so this is safe
    )
    try:
        assert process.stdout is not None
        first = process.stdout.readline()
        if not first:
            raise SystemExit(f"{name} did not start: exit status {process.wait(10)}")
        yield process.pid, json.loads(first)
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _target(
    server: str, told: dict[str, Any], key: str, pid: int, *, is_bare: bool = False
) -> Target:
    if is_bare or server != "hubbub":
        return Target(server, "127.0.0.1", told["port"], "/", pid)
    text = f"Endpoint={told['url']};AccessKey={key};Version=1.0;"
    client = ServiceClient.from_connection_string(text, "bench")
    url = urlsplit(client.get_client_access_token(user_id="u", roles=ROLES).url)
    assert url.hostname is not None
    assert url.port is not None
    return Target(server, url.hostname, url.port, f"{url.path}?{url.query}", pid, key)


def measure(measurement: Measurement, target: Target) -> dict[str, float]:
    told = subprocess.run(
        [sys.executable, str(HERE / "generate.py"), measurement.scenario],
        input=json.dumps({"target": asdict(target), "arguments": measurement.arguments}).encode(),
        stdout=subprocess.PIPE,
        check=True,
        timeout=MEASUREMENT_LIMIT_S,
        preexec_fn=lambda: _prepare(1),
    )
    result: dict[str, float] = json.loads(told.stdout)
    return result


# --- results ------------------------------------------------------------------------------------


def machine() -> dict[str, Any]:
    """What a reader needs to judge the figures; nothing that names the machine."""
    cpuinfo = Path("/proc/cpuinfo").read_text()
    models = {
        line.partition(":")[2].strip()
        for line in cpuinfo.splitlines()
        if line.startswith("model name")
    }
    return {
        "cpu": ", ".join(sorted(models)) or platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "load_average_before": os.getloadavg()[0],
        "versions": {name: version(name) for name in VERSIONS},
    }


def medians(rounds: list[dict[str, float]]) -> dict[str, float]:
    return {name: statistics.median(one[name] for one in rounds) for name in rounds[0]}


def show(measurement: Measurement, result: dict[str, dict[str, float]]) -> None:
    our_name, *other_names = measurement.servers
    ours = result[our_name][measurement.figure]
    print(f"{measurement.title}: {measurement.figure}")
    print(f"  {our_name:<16} {ours:>12,.2f}")
    for name in other_names:
        theirs = result[name][measurement.figure]
        ratio = ours / theirs if measurement.is_more_better else theirs / ours
        print(f"  {name:<16} {theirs:>12,.2f}   {our_name} is {ratio:.2f} times as good")
    for figure in result[our_name]:
        if figure != measurement.figure and ("cpu" in figure or "kib" in figure):
            found = [(name, result[name].get(figure)) for name in measurement.servers]
            print(f"  {figure:<32}", *(f"{n} {v:.2f}  " for n, v in found if v is not None))
    if measurement.scenario.startswith("client_"):
        return  # here the generator is what is measured
    if any(result[server]["generator_cpu_share"] > 0.95 for server in measurement.servers):
        print("  the generator was the limit: read the CPU figures, not the rates")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="one short round, about two minutes")
    parser.add_argument("--save", metavar="NAME", help="name of the file in bench/results")
    parser.add_argument(
        "--only", nargs="+", metavar="SCENARIO", help="for example fanout rest client"
    )
    parser.add_argument("--rounds", type=int, help="default 3, with --quick 1")
    options = parser.parse_args()
    rounds = options.rounds or (1 if options.quick else 3)
    before = machine()
    results: list[dict[str, Any]] = []
    for measurement in measurements(quick=options.quick):
        names = {measurement.scenario, measurement.scenario.partition("_")[0]}
        if options.only and names.isdisjoint(options.only):
            continue
        by_server: dict[str, list[dict[str, float]]] = {
            server: [] for server in measurement.servers
        }
        for _ in range(rounds):
            for server in measurement.servers:
                with running(server, measurement.scenario) as target:
                    by_server[server].append(measure(measurement, target))
        result = {server: medians(by_server[server]) for server in measurement.servers}
        show(measurement, result)
        results.append({**asdict(measurement), "medians": result, "rounds": by_server})
    now = datetime.now(UTC)
    name = options.save or now.strftime("%Y-%m-%d-%H%M%S")
    path = HERE / "results" / f"{name}.json"
    path.parent.mkdir(exist_ok=True)
    content = {"at": now.isoformat(timespec="seconds"), "machine": before, "results": results}
    path.write_text(json.dumps(content, indent=2) + "\n")
    print(f"saved: bench/results/{path.name}")


if __name__ == "__main__":
    main()
