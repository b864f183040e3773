"""How the pages are checked: the limits, and what was measured last.

The tests of tests/quality hold the pages against these very limits and write the report.
"""

from __future__ import annotations

import json
from datetime import date
from functools import cache
from importlib import resources
from typing import NamedTuple

MAX_HTML = 30_000
MAX_CSS = 8_000
MAX_SCRIPT = 10_000
MAX_NODES = 1_500
MAX_LCP_MS = 1_500
MAX_CLS = 0.02
MAX_LONG_TASKS_MS = 100
NARROW = 320
THROTTLED = "4 times slower processor, 1.6 Mbit/s, 150 ms round trip"

SCRIPTS = (
    "page.js",
    "package.js",
    "lists.js",
    "home.js",
    "results.js",
    "curator.js",
)
"""A page loads one of them, and hubbub.js."""
WEIGHED = ("style.css", *SCRIPTS, "hubbub.js")


class Gate(NamedTuple):
    """A promise, and how it is held against the pages."""

    what: str
    limit: str
    how: str


GATES = (
    Gate(
        "Accessible",
        "no violation",
        "axe with the WCAG 2.2 AA rules, every kind of page, light and dark",
    ),
    Gate("Keyboard", "everything in reach", "skip link, /, arrows, Enter and Escape in the box"),
    Gate("Narrow screens", f"no sideways scrolling at {NARROW} px", "every kind of page"),
    Gate("Largest paint", f"at most {MAX_LCP_MS:,} ms", THROTTLED),
    Gate("Layout shift", f"at most {MAX_CLS}", THROTTLED),
    Gate("Long tasks", f"at most {MAX_LONG_TASKS_MS} ms together", THROTTLED),
    Gate("Page", f"at most {MAX_HTML // 1000} kB packed", "without the readme"),
    Gate("Style", f"at most {MAX_CSS // 1000} kB packed", "the whole style"),
    Gate("Script", f"at most {MAX_SCRIPT // 1000} kB packed", "all scripts of a page together"),
    Gate("Elements", f"at most {MAX_NODES:,}", "every kind of page"),
    Gate("Other hosts", "no request", "every request of every kind of page"),
)


class Measured(NamedTuple):
    """One kind of page, as it was measured."""

    page: str
    violations: int
    html: int
    """Bytes of the packed page."""
    nodes: int
    lcp_ms: int
    cls: float
    long_tasks_ms: int
    other_hosts: int


class Report(NamedTuple):
    """The last full run."""

    at: date
    browser: str
    axe: str
    pages: tuple[Measured, ...]


@cache
def report() -> Report | None:
    """What the tests measured last; None: they have not run yet."""
    file = resources.files("pkgstats") / "data" / "quality.json"
    if not file.is_file():
        return None
    found = json.loads(file.read_text("utf-8"))
    return Report(
        at=date.fromisoformat(found["at"]),
        browser=found["browser"],
        axe=found["axe"],
        pages=tuple(Measured(**page) for page in found["pages"]),
    )
