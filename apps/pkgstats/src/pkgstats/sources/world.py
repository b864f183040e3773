"""A small world that moves: recorded packages, invented ones, and a clock of its own.

The same seed gives the same world. Everything it says is simulated and says so.
"""

from __future__ import annotations

import math
import random
import time
import zlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from functools import cache
from typing import Any

from pkgstats.models import DayCount, FileRow, PublishedSource
from pkgstats.series import mark_holes
from pkgstats.sources.base import (
    Answer,
    Contents,
    NoData,
    Packument,
    Refusal,
    Release,
    Unchanged,
    Validators,
)
from pkgstats.sources.recorded import (
    MODEL,
    RECORDED_AT,
    RecordedSource,
    recorded_counts,
)
from pkgstats.sources.slim import slim_packument

SEED = 20260701
INVENTED = 54
HISTORY_DAYS = 400
RELEASES_A_DAY = 2
RELEASE_DAY = 2
"""The model package's next version comes a day after the first change of its figures."""
DEPRECATION_DAY = 3
NEXT_VERSION_DAY = 2

_THINGS = (
    "anchor beacon bridge buffer button cable canvas channel clock compass cursor dial draft echo"
    " fabric filter flag flow frame gauge grid harbor hinge index kettle lantern ledger lever loom"
    " marker mesh meter mosaic needle notch orbit palette pebble pipe pivot pulse quill ratchet"
    " relay ribbon rudder sail signal socket spindle splice spool timber token torch tunnel valve"
).split()
_DOINGS = (
    "Draws",
    "Keeps",
    "Sorts",
    "Measures",
    "Streams",
    "Checks",
    "Schedules",
    "Caches",
    "Formats",
)
_WHATS = (
    "tables",
    "time series",
    "job queues",
    "colour ramps",
    "log lines",
    "form fields",
    "byte buffers",
    "calendar days",
)
_TEAMS = ("demo-team", "demo-bot", "demo-other")
_SCALES = {"react": 4_000_000.0, "express": 3_500_000.0, "ws": 9_000_000.0, "left-pad": 90_000.0}


class WorldSource(RecordedSource):
    """RecordedSource plus invented packages; `advance` lets one day pass."""

    def __init__(self, seed: int = SEED, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._seed = seed
        self._clock = clock
        self._day = 0
        self._day_began = clock()
        self._is_next_out = False
        for body in _invent(random.Random(seed)):
            self._bodies.setdefault(body["name"], body)

    def now(self) -> datetime:
        """The world's time: it runs as ours, and jumps when a day passes."""
        passed = min(self._clock() - self._day_began, 17 * 3600)
        return RECORDED_AT + timedelta(days=self._day, seconds=passed)

    def advance(self) -> list[str]:
        """Let a day pass; returns the names whose packument changed."""
        self._day += 1
        self._day_began = self._clock()
        choice = random.Random(f"{self._seed}:{self._day}")
        invented = [name for name in self.names() if _is_invented(name)]
        changed = choice.sample(invented, RELEASES_A_DAY)
        for name in changed:
            _release(self._bodies[name], self.now())
        if self._day == DEPRECATION_DAY:
            _deprecate(self._bodies[changed[0]])
        return (self.release_next() if self._day >= RELEASE_DAY else []) + changed

    def release_next(self) -> list[str]:
        """Publish the model package's next version; returns its name the first time."""
        if self._is_next_out:
            return []
        self._is_next_out = True
        self.held_back = {}
        return [MODEL]

    async def packument(
        self, name: str, validators: Validators | None = None
    ) -> Answer[Packument] | Unchanged | Refusal:
        answer = await super().packument(name, validators)
        if isinstance(answer, Answer) and _is_invented(name):
            value = replace(answer.value, published_source=PublishedSource.SIMULATED)
            return replace(answer, value=value)
        return answer

    async def contents(self, name: str, release: Release) -> Answer[Contents] | Refusal:
        if not _is_invented(name) or name not in self._bodies:
            return await super().contents(name, release)
        readme = _readme(name, release)
        files = (FileRow("README.md", len(readme)), FileRow("index.js", 2_345))
        size = sum(row.size for row in files)
        contents = Contents(readme, False, files, None, size, release.integrity or "")
        return Answer(contents, self.now(), simulated=True)

    async def downloads(
        self, names: Sequence[str], start: date, end: date
    ) -> dict[str, Answer[tuple[DayCount, ...]] | Refusal]:
        """Counts up to yesterday, as the real source has them."""
        last = min(end, self.now().date() - timedelta(days=1))
        return {
            name: Answer(self._counts(name, start, last), self.now(), simulated=True)
            if name in self._bodies
            else NoData()
            for name in names
        }

    def _counts(self, name: str, start: date, end: date) -> tuple[DayCount, ...]:
        first = max(start, RECORDED_AT.date() - timedelta(days=HISTORY_DAYS))
        days = [first + timedelta(days=offset) for offset in range((end - first).days + 1)]
        recorded = {item.day: item.count for item in recorded_counts()} if name == MODEL else {}
        return mark_holes(
            [
                DayCount(day, recorded[day] if day in recorded else _count(self._seed, name, day))
                for day in days
            ]
        )


def _is_invented(name: str) -> bool:
    return name.startswith(("demo-", "@demo/"))


def _count(seed: int, name: str, day: date) -> int:
    """Weekday shape, trend, noise and, for large packages, now and then a missing day."""
    scale, growth = _size_and_growth(seed, name)
    noise = zlib.crc32(f"{seed}:{name}:{day.isoformat()}".encode()) / 2**32
    if scale > 1_000 and noise < 0.01 and name != MODEL:
        return 0
    years = (day - RECORDED_AT.date()).days / 365
    weekday = 0.36 if day.weekday() >= 5 else 1.0
    return round(scale * weekday * math.exp(growth * years) * (0.92 + 0.16 * noise))


@cache
def _size_and_growth(seed: int, name: str) -> tuple[float, float]:
    own = random.Random(f"{seed}:{name}")
    scale, growth = own.lognormvariate(6.0, 1.6), own.uniform(-0.3, 1.2)
    return (5_250.0 if name == MODEL else _SCALES.get(name, scale)), growth


def _invent(choice: random.Random) -> list[dict[str, Any]]:
    things = choice.sample(_THINGS, INVENTED)
    names = [f"@demo/{thing}" if i % 4 == 0 else f"demo-{thing}" for i, thing in enumerate(things)]
    bodies = []
    for position, (name, thing) in enumerate(zip(names, things, strict=True)):
        created = RECORDED_AT - timedelta(
            days=choice.randint(60, 1500), hours=choice.randint(0, 23)
        )
        body: dict[str, Any] = {
            "name": name,
            "dist-tags": {},
            "versions": {},
            "time": {"created": created.isoformat()},
            "maintainers": [{"name": choice.choice(_TEAMS)}],
        }
        needed = choice.sample(names[:position], min(position, choice.randint(0, 3)))
        base: dict[str, Any] = {
            "description": f"{choice.choice(_DOINGS)} {choice.choice(_WHATS)} with {_article(thing)} {thing}",
            "license": choice.choice(["MIT", "MIT", "Apache-2.0", "ISC"]),
            "keywords": ["demo", thing, choice.choice(_WHATS)],
            "repository": f"https://code-host.example/demo/{thing}",
            "type": choice.choice(["module", "commonjs"]),
            "main": "index.js",
            "engines": {"node": choice.choice([">=18", ">=20", ">=22"])},
            "dependencies": {other: "^1.0.0" for other in needed},
        }
        count = choice.randint(1, 6)
        span = (RECORDED_AT - created) / (count + 1)
        for minor in range(count):
            _publish(body, base, f"1.{minor}.0", created + span * (minor + 1))
        bodies.append(body)
    return bodies


def _publish(body: dict[str, Any], base: dict[str, Any], version: str, at: datetime) -> None:
    body["versions"][version] = base | {"version": version}
    body["dist-tags"]["latest"] = version
    body["time"][version] = at.isoformat()


def _release(body: dict[str, Any], at: datetime) -> None:
    """The next minor version of whatever is the latest now."""
    latest = slim_packument(body, body["name"]).latest or "0.0.0"
    major, minor, _patch = latest.partition("-")[0].split(".")
    _publish(body, body["versions"][latest], f"{major}.{int(minor) + 1}.0", at)


def _deprecate(body: dict[str, Any]) -> None:
    latest = body["dist-tags"]["latest"]
    notice = {"deprecated": "No longer cared for; this notice is part of the simulated world."}
    body["versions"][latest] = body["versions"][latest] | notice


def _readme(name: str, release: Release) -> str:
    return (
        f"# {name}\n\n{release.description}. An invented package of the simulated world.\n\n"
        f"## Install\n\n```bash\nnpm install {name}\n```\n\n"
        f'## Use\n\n```js\nimport {{ start }} from "{name}";\n\nstart();\n```\n\n'
        "## Options\n\n| name | default |\n| --- | ---: |\n| `size` | 10 |\n| `quiet` | false |\n"
    )


def _article(thing: str) -> str:
    return "an" if thing[0] in "aeio" else "a"
