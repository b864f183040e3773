"""Writes the blocking twin of `ServiceClient` from the async one.

    python tools/make_sync_service_client.py

A test compares the file with what this makes, so the two cannot drift apart.
"""

import subprocess
import sys
from pathlib import Path

APPSERVER = Path(__file__).parent.parent / "src" / "hubbub" / "appserver"
SOURCE = APPSERVER / "service_client.py"
TWIN = APPSERVER / "sync_service_client.py"

RULES = (
    (
        '"""What a backend asks of the service over REST, and tokens for its clients."""',
        '"""The blocking twin of `ServiceClient`: the same calls without `await`, for threads.\n\n'
        'Written by tools/make_sync_service_client.py; change `service_client.py` instead.\n"""',
    ),
    (
        "import asyncio\nfrom collections.abc import AsyncIterator, Awaitable, Callable, Iterable\n",
        "import time\nfrom collections.abc import Callable, Iterable, Iterator\n",
    ),
    ("class ServiceClient:", "class SyncServiceClient:"),
    (
        "Every operation on one hub, and access tokens for its clients.\n",
        "Every operation on one hub, and access tokens for its clients. Threads may share one.\n",
    ),
    ("            for member in members:\n                yield member\n", "            yield from members\n"),
    ("AsyncIterator", "Iterator"),
    ("httpx2.AsyncBaseTransport", "httpx2.BaseTransport"),
    ("httpx2.AsyncClient", "httpx2.Client"),
    ("Callable[[float], Awaitable[None]] = asyncio.sleep", "Callable[[float], None] = time.sleep"),
    ("async def ", "def "),
    ("async with ", "with "),
    ("async for ", "for "),
    ("await ", ""),
    ("__aenter__", "__enter__"),
    ("__aexit__", "__exit__"),
    ("aclose", "close"),
    ("aiter_bytes", "iter_bytes"),
)  # fmt: skip


def make() -> str:
    text = SOURCE.read_text()
    for old, new in RULES:
        if old not in text:
            raise SystemExit(f"{SOURCE.name} has no {old!r} any more: mend the rule")
        text = text.replace(old, new)
    formatted = subprocess.run(
        [sys.executable, "-m", "ruff", "format", "--stdin-filename", str(TWIN), "-"],
        input=text,
        capture_output=True,
        text=True,
        check=True,
    )
    return formatted.stdout


if __name__ == "__main__":
    TWIN.write_text(make())
