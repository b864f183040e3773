"""The recorded files as a source: offline, the same answers every time."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from functools import cache
from importlib import resources
from typing import Any

from pkgstats.models import DayCount, FileRow
from pkgstats.series import mark_holes
from pkgstats.sources.base import (
    Answer,
    Changes,
    Contents,
    FoundPage,
    NoData,
    NotOffered,
    Packument,
    Refusal,
    Release,
    Unchanged,
    Validators,
)
from pkgstats.sources.slim import slim_packument, version_key

MODEL = "@azure/web-pubsub-client"
MODEL_VERSION = "1.0.4"
MODEL_NEXT_VERSION = "1.1.0"

RECORDED_AT = datetime(2026, 7, 1, 6, 0, tzinfo=UTC)
"""The moment at which the recorded world stands still."""

PACKUMENTS = (
    "azure-web-pubsub-client",
    "express",
    "left-pad",
    "made-up.full-form",
    "react",
    "ws",
)
_DATA = resources.files("pkgstats") / "data"
_PLACEHOLDERS = {
    "{AT}": "@",
    "{REGISTRY}": "https://registry.example",
    "{DOWNLOADS}": "https://downloads.example",
    "{REPLICATE}": "https://replicate.example",
    "{NPM_SITE}": "https://site.example",
    "{EMAIL}": "role@demo.example",
}


def data_text(path: str) -> str:
    """A recorded file with its placeholders filled in."""
    text = (_DATA / path).read_text("utf-8")
    for placeholder, value in _PLACEHOLDERS.items():
        text = text.replace(placeholder, value)
    return text


def data_json(path: str) -> Any:
    """A recorded JSON file with its placeholders filled in."""
    return json.loads(data_text(path))


class RecordedSource:
    """Five real packuments and a made-up one, the model's files and readme, one month of counts.

    `held_back` versions are left out, and so does `latest` stand where it stood before them.
    """

    simulated = True

    def __init__(self, held_back: Mapping[str, frozenset[str]] | None = None) -> None:
        self.held_back = (
            {MODEL: frozenset({MODEL_NEXT_VERSION})} if held_back is None else held_back
        )
        self._bodies: dict[str, dict[str, Any]] = {}
        for file in PACKUMENTS:
            body = data_json(f"packuments/{file}.json")
            self._bodies[body["name"]] = body

    def now(self) -> datetime:
        """The time at which answers are given."""
        return RECORDED_AT

    def names(self) -> list[str]:
        """Every package this source has."""
        return sorted(self._bodies)

    async def packument(
        self, name: str, validators: Validators | None = None
    ) -> Answer[Packument] | Unchanged | Refusal:
        body = self._bodies.get(name)
        if body is None:
            return NoData()
        packument = slim_packument(_without(body, self.held_back.get(name, frozenset())), name)
        return Answer(packument, self.now(), simulated=True)

    async def latest(self, name: str) -> Answer[str] | Refusal:
        answer = await self.packument(name)
        if isinstance(answer, Answer) and answer.value.latest is not None:
            return Answer(answer.value.latest, answer.fetched_at, simulated=True)
        return NoData()

    async def contents(self, name: str, release: Release) -> Answer[Contents] | Refusal:
        if name != MODEL or release.version not in (MODEL_VERSION, MODEL_NEXT_VERSION):
            return NotOffered("no tarball was recorded")
        files = data_json(f"files/azure-web-pubsub-client-{MODEL_VERSION}.json")
        contents = Contents(
            readme=data_text(f"readmes/azure-web-pubsub-client-{MODEL_VERSION}.demo.md"),
            readme_truncated=False,
            files=tuple(FileRow(row["path"], row["size"]) for row in files["files"]),
            packed_size=files["packed"],
            unpacked_size=files["unpacked"],
            integrity=release.integrity or files["integrity"],
        )
        return Answer(contents, self.now(), simulated=True)

    async def downloads(
        self, names: Sequence[str], start: date, end: date
    ) -> dict[str, Answer[tuple[DayCount, ...]] | Refusal]:
        counts = tuple(item for item in recorded_counts() if start <= item.day <= end)
        return {
            name: Answer(counts, self.now(), simulated=True) if name == MODEL else NoData()
            for name in names
        }

    async def version_downloads(self, name: str) -> Answer[dict[str, int]] | Refusal:
        if name != MODEL:
            return NoData()
        exchange = data_json("http/versions/last-week.azure-web-pubsub-client.json")
        return Answer(exchange["response"]["body"]["downloads"], self.now(), simulated=True)

    async def changes(self, since: str | None) -> Answer[Changes] | Refusal:
        return NotOffered("no changes feed was recorded")

    async def search(self, text: str, size: int, offset: int) -> Answer[FoundPage] | Refusal:
        return NotOffered("no search was recorded")

    async def scope_packages(self, scope: str) -> Answer[tuple[str, ...]] | Refusal:
        return NotOffered("no organisation was recorded")

    async def close(self) -> None:
        """Nothing is open."""


@cache
def recorded_counts() -> tuple[DayCount, ...]:
    """The model package's invented counts of June 2026."""
    exchange = data_json("http/downloads/range-last-month.azure-web-pubsub-client.json")
    rows = exchange["response"]["body"]["downloads"]
    return mark_holes([DayCount(date.fromisoformat(row["day"]), row["downloads"]) for row in rows])


def _without(body: dict[str, Any], versions: frozenset[str]) -> dict[str, Any]:
    if not versions:
        return body
    kept = {version: item for version, item in body["versions"].items() if version not in versions}
    tags = {tag: version for tag, version in body["dist-tags"].items() if version in kept}
    stable = [version for version in kept if "-" not in version]
    tags.setdefault("latest", max(stable, key=version_key))
    return body | {"versions": kept, "dist-tags": tags}
