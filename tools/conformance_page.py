"""The result of the conformance runner against our own service, as docs/conformance.md tells it.

python -m tools.conformance_page    runs it (a quarter of a minute) and writes the page

The table of cases that the runner carries is a copy of docs/cases.tsv; this copies it too.
"""

import asyncio
import base64
import shutil
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from tools import generated

from hubbub.protocol import connection_string
from hubbub.service import Service, Settings
from hubbub.service.settings_loader import load
from hubbub.testing.conformance import variants
from hubbub.testing.conformance.handler import Listener
from hubbub.testing.conformance.report import Report, Result, as_markdown
from hubbub.testing.conformance.runner import Options, run

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "conformance.md"
TABLE = ROOT / "docs" / "cases.tsv"
COPY = ROOT / "src" / "hubbub" / "testing" / "conformance" / "cases.tsv"
NAME = "conformance"
"""Of the generated part of the page."""

_HUB = "conformance"
_KEY = base64.b64encode(bytes(range(32))).decode()
_SECOND_KEY = "the second key of a service that is checked"
_WINDOW_S = 8.0
"""Shorter than the default, so that nobody waits half a minute for a lost session to end."""


def settings_of(configuration: str) -> Settings:
    """What `hubbub serve` makes of the printed configuration, on a free port and with two keys."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "hubbub.toml"
        file.write_text(configuration)
        settings = load(file, environ={}, flags={})
    return replace(
        settings,
        port=0,
        access_key=_KEY,
        access_key_secondary=_SECOND_KEY,
        recovery_window_s=_WINDOW_S,
    )


async def check_own_service() -> Report:
    """Every case against a service of our own, with event handlers as --print-config says."""
    async with Listener("127.0.0.1", 0) as listener:
        settings = settings_of(variants.as_toml(_HUB, listener.url))
        async with Service(settings) as service:
            options = Options(
                service.connection_string,
                connection_string.build(service.url, _SECOND_KEY),
                hub=_HUB,
                recovery_window_s=_WINDOW_S,
            )
            return await run(options, _tell, listener)


def _tell(result: Result, done: int, total: int) -> None:
    """Nothing: who calls this reads the report."""


def main() -> int:
    """Exit status 1 when a case fails; the page says so then."""
    shutil.copyfile(TABLE, COPY)
    report = asyncio.run(check_own_service())
    generated.write(PAGE, NAME, as_markdown(report))
    for result in report.of("failed"):
        print(f"{result.id} failed: {result.text}", file=sys.stderr)
    return report.exit_status


if __name__ == "__main__":
    sys.exit(main())
