"""Measure hubbub beside the bare `websockets` library, on this machine, in one run.

    python bench/run.py [--quick] [--save NAME] [--only SCENARIO]

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
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from load import Target

from hubbub.appserver import ServiceClient

HERE = Path(__file__).parent
OPEN_FILES = 4096
MEASUREMENT_LIMIT_S = 90
ROLES = ["webpubsub.joinLeaveGroup", "webpubsub.sendToGroup"]
SERVERS = ("hubbub", "websockets")


@dataclass(frozen=True)
class Measurement:
    """`figure`: the one of the result that is compared; `is_more_better`: which way."""

    scenario: str
    arguments: dict[str, Any]
    figure: str
    is_more_better: bool = True

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
        *fanouts,
        Measurement("handshakes", {"seconds": seconds}, "handshakes_per_s"),
        Measurement("idle", idle, "kib_per_connection", is_more_better=False),
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
def running(server: str) -> Iterator[Target]:
    """A fresh server process, ready; ended afterwards."""
    key = secrets.token_urlsafe(32)
    if server == "hubbub":
        program = str(Path(sys.executable).parent / "hubbub")
        command = [program, "serve", "--host", "127.0.0.1", "--port", "0", "--json"]
    else:
        command = [sys.executable, str(HERE / "server_websockets.py")]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "HUBBUB_ACCESS_KEY": key},
        preexec_fn=lambda: _prepare(0),  # no threads here, so this is safe
    )
    try:
        assert process.stdout is not None
        first = process.stdout.readline()
        if not first:
            raise SystemExit(f"{server} did not start: exit status {process.wait(10)}")
        yield _target(server, json.loads(first), key, process.pid)
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _target(server: str, told: dict[str, Any], key: str, pid: int) -> Target:
    if server != "hubbub":
        return Target(server, "127.0.0.1", told["port"], "/", pid)
    text = f"Endpoint={told['url']};AccessKey={key};Version=1.0;"
    client = ServiceClient.from_connection_string(text, "bench")
    url = urlsplit(client.get_client_access_token(user_id="u", roles=ROLES).url)
    assert url.hostname is not None
    assert url.port is not None
    return Target(server, url.hostname, url.port, f"{url.path}?{url.query}", pid)


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
        "versions": {name: version(name) for name in ("hubbub", "picows", "uvloop", "websockets")},
    }


def medians(rounds: list[dict[str, float]]) -> dict[str, float]:
    return {name: statistics.median(one[name] for one in rounds) for name in rounds[0]}


def show(measurement: Measurement, result: dict[str, dict[str, float]]) -> None:
    ours, theirs = (result[server][measurement.figure] for server in SERVERS)
    ratio = ours / theirs if measurement.is_more_better else theirs / ours
    print(f"{measurement.title}: {measurement.figure}")
    print(f"  hubbub {ours:>12,.1f}   websockets {theirs:>12,.1f}   {ratio:.2f} times as good")
    for name in result["hubbub"]:
        if "cpu" in name and name in result["websockets"]:
            values = [result[server][name] for server in SERVERS]
            print(f"  {name:<32} hubbub {values[0]:>8.2f}   websockets {values[1]:>8.2f}")
    if any(result[server]["generator_cpu_share"] > 0.95 for server in SERVERS):
        print("  the generator was the limit: read the CPU figures, not the rates")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="one short round, about 15 seconds")
    parser.add_argument("--save", metavar="NAME", help="name of the file in bench/results")
    parser.add_argument("--only", metavar="SCENARIO", help="fanout, handshakes or idle")
    options = parser.parse_args()
    rounds = 1 if options.quick else 3
    before = machine()
    results: list[dict[str, Any]] = []
    for measurement in measurements(quick=options.quick):
        if options.only and measurement.scenario != options.only:
            continue
        by_server: dict[str, list[dict[str, float]]] = {server: [] for server in SERVERS}
        for _ in range(rounds):
            for server in SERVERS:
                with running(server) as target:
                    by_server[server].append(measure(measurement, target))
        result = {server: medians(by_server[server]) for server in SERVERS}
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
