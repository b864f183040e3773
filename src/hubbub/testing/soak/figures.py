"""What a soak measures of its own process, and what it finds wrong in it."""

import asyncio
import mmap
import os
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hubbub import clock

_GROWTH = 0.10
_SLACK_MB = 8.0
_SHORTEST_S = 60.0
"""Memory of a shorter run says nothing: pools and caches still fill."""


@dataclass(frozen=True, slots=True)
class Sample:
    at_s: float
    """Since the start of the run."""
    cpu_s: float
    """Of this process so far."""
    rss_mb: float
    tasks: int
    files: int


def take(since: float) -> Sample:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    files = len(os.listdir("/proc/self/fd"))
    rss_mb, tasks = pages * mmap.PAGESIZE / 2**20, len(asyncio.all_tasks())
    return Sample(clock.monotonic() - since, time.process_time(), rss_mb, tasks, files)


def growth(samples: Sequence[Sample]) -> tuple[float, float]:
    """RSS in MB in the second quarter of the run, and in its last: medians."""
    end_s = samples[-1].at_s
    early = [s.rss_mb for s in samples if 0.25 * end_s <= s.at_s < 0.5 * end_s]
    late = [s.rss_mb for s in samples if s.at_s >= 0.75 * end_s]
    return statistics.median(early or late), statistics.median(late)


def memory_problem(samples: Sequence[Sample]) -> str | None:
    early, late = growth(samples)
    if samples[-1].at_s < _SHORTEST_S or late <= early * (1 + _GROWTH) + _SLACK_MB:
        return None
    return f"memory grew from {early:.0f} to {late:.0f} MB"
