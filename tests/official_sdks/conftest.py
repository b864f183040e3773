"""The service, its application server, and Node.js for the official packages."""

import asyncio
import json
import os
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from tests.official_sdks.upstream import Upstream

from hubbub.service import EventHandlerSettings, HubSettings, Service, Settings

HERE = Path(__file__).parent
NODE = shutil.which("node")
PACKAGES = HERE.parent / "node" / "node_modules"
NODE_TIMEOUT_S = 60
SYSTEM_EVENTS = ("connect", "connected", "disconnected")


def _missing() -> str | None:
    if NODE is None:
        return "Node.js was not found: the official JavaScript packages did not run."
    if not PACKAGES.is_dir():
        return "The official JavaScript packages are not installed (npm ci --prefix tests/node): they did not run."
    return None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    reason = _missing()
    for item in items:
        if reason and item.path.is_relative_to(HERE) and item.get_closest_marker("node"):
            item.add_marker(pytest.mark.skip(reason=reason))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if reason := _missing():
        terminalreporter.write_line(reason, yellow=True)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def upstream() -> AsyncIterator[Upstream]:
    async with Upstream() as upstream:
        yield upstream


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def service(upstream: Upstream) -> AsyncIterator[Service]:
    """Hub `chat` has an event handler, all others have none."""
    handler = EventHandlerSettings(
        f"{upstream.url}/events",
        user_event_pattern="*",
        system_events=SYSTEM_EVENTS,
        retry_pauses_s=(),
    )
    settings = Settings(port=0, hubs={"chat": HubSettings(event_handlers=(handler,))})
    async with Service(settings) as service:
        yield service


@dataclass(frozen=True)
class NodeAnswer:
    """What a script printed: an entry per scenario, None where all went well."""

    results: dict[str, str | None]
    cuts: int = 0

    def check(self, scenario: str) -> None:
        problem = self.results[scenario]
        assert problem is None, problem

    def check_all_named_in(self, test_file: Path) -> None:
        """Nothing of the script is left without a test."""
        text = test_file.read_text()
        assert [name for name in self.results if f'.check("{name}")' not in text] == []


async def run_node(script: str, settings: dict[str, Any]) -> NodeAnswer:
    """Runs tests/official_sdks/js/<script> to its end."""
    assert NODE is not None
    environment = {"PATH": os.environ.get("PATH", ""), "NODE_NO_WARNINGS": "1"}
    process = await asyncio.create_subprocess_exec(
        NODE,
        str(HERE / "js" / script),
        json.dumps(settings),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=environment,
    )
    try:
        async with asyncio.timeout(NODE_TIMEOUT_S):
            out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, err.decode()
    return NodeAnswer(json.loads(out))
