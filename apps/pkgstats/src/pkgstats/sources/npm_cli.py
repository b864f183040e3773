"""The same source through the npm client, where only npm may or can reach the registry.

Slower (a process per question), but npm knows the sign-in, the proxy and the certificates. Counts
come over HTTP as ever: npm has no command for them.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import tempfile
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from pkgstats.models import DayCount
from pkgstats.readme.tarball import MAX_PACKED, BadTarball, read_contents
from pkgstats.sources.base import (
    Answer,
    Changes,
    Contents,
    Failing,
    FoundPage,
    NoData,
    NotOffered,
    NotSet,
    Packument,
    Refusal,
    Release,
    Unchanged,
    Validators,
)
from pkgstats.sources.http import HttpSource
from pkgstats.sources.slim import NotAPackument, slim_packument

TIMEOUT_S = 60.0
MAX_OUTPUT = 64 * 1024 * 1024
MAX_PROCESSES = 3
"""Each takes half a second of a core and 80 MB."""
NEWEST_RELEASES = 40
"""Details are asked for so many releases: the command line has to name each of them."""

_QUIET = ("--json", "--no-audit", "--no-fund", "--no-update-notifier", "--loglevel=error")


class NpmCliSource:
    """`npm view` and `npm pack`; names reach the command line only as checked package names."""

    simulated = False

    def __init__(
        self,
        counts: HttpSource,
        *,
        npm: str | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._counts = counts
        self._npm = shutil.which("npm") if npm is None else npm
        self._now = now
        self._gate = asyncio.Semaphore(MAX_PROCESSES)

    async def packument(
        self, name: str, validators: Validators | None = None
    ) -> Answer[Packument] | Unchanged | Refusal:
        """First which versions there are, then the details of the newest ones."""
        body = await self.body(name)
        if not isinstance(body, dict):
            return body
        try:
            return Answer(slim_packument(body, name), self._now())
        except NotAPackument as error:
            return Failing(str(error))

    async def body(self, name: str) -> dict[str, Any] | Refusal:
        """A packument as the registry has it, as far as npm tells: its newest releases."""
        listed = await self._view(name, "versions", "time", "dist-tags", "maintainers")
        if not isinstance(listed, dict):
            return listed if listed is not None else NoData()
        versions = listed.get("versions")
        names = [versions] if isinstance(versions, str) else versions
        if not isinstance(names, list) or not names:
            return NoData()
        wanted = [item for item in names if isinstance(item, str)][-NEWEST_RELEASES:]
        tags = listed.get("dist-tags")
        tags = tags if isinstance(tags, dict) else {}
        wanted = list(dict.fromkeys([*wanted, *(v for v in tags.values() if isinstance(v, str))]))
        details = await self._view(f"{name}@{' || '.join(wanted)}")
        if isinstance(details, dict):
            details = [details]
        if not isinstance(details, list):
            return details if details is not None else NoData()
        return {
            "name": name,
            "dist-tags": tags,
            "time": listed.get("time"),
            "maintainers": listed.get("maintainers"),
            "versions": {
                item["version"]: item
                for item in details
                if isinstance(item, dict) and isinstance(item.get("version"), str)
            },
        }

    async def latest(self, name: str) -> Answer[str] | Refusal:
        version = await self._view(f"{name}@latest", "version")
        if isinstance(version, str):
            return Answer(version, self._now())
        return NoData() if version is None or isinstance(version, dict | list) else version

    async def contents(self, name: str, release: Release) -> Answer[Contents] | Refusal:
        with tempfile.TemporaryDirectory(prefix="pkgstats-pack-") as folder:
            packed = await self._run(
                "pack", "--pack-destination", folder, "--", f"{name}@{release.version}"
            )
            if not isinstance(packed, list):
                return packed if isinstance(packed, Failing | NotSet) else NotOffered("no tarball")
            try:
                data = await asyncio.to_thread(_only_file, Path(folder))
                contents = await asyncio.to_thread(read_contents, data, release.integrity)
            except BadTarball as error:
                return NotOffered(str(error))
        return Answer(contents, self._now())

    async def downloads(
        self, names: Sequence[str], start: date, end: date
    ) -> dict[str, Answer[tuple[DayCount, ...]] | Refusal]:
        return await self._counts.downloads(names, start, end)

    async def version_downloads(self, name: str) -> Answer[dict[str, int]] | Refusal:
        return await self._counts.version_downloads(name)

    async def changes(self, since: str | None) -> Answer[Changes] | Refusal:
        return await self._counts.changes(since)

    async def search(self, text: str, size: int, offset: int) -> Answer[FoundPage] | Refusal:
        return NotOffered("not asked through the npm client")

    async def scope_packages(self, scope: str) -> Answer[tuple[str, ...]] | Refusal:
        return NotOffered("not asked through the npm client")

    async def close(self) -> None:
        await self._counts.close()

    async def _view(self, what: str, *fields: str) -> Any:
        """Parsed output, None for "there is none", or a refusal."""
        return await self._run("view", "--", what, *fields)

    async def _run(self, command: str, *arguments: str) -> Any:
        if not self._npm:
            return NotSet("install npm, or unset PKGSTATS_VIA")
        async with self._gate:
            return await self._run_now(self._npm, command, *arguments)

    async def _run_now(self, npm: str, command: str, *arguments: str) -> Any:
        process = await asyncio.create_subprocess_exec(
            npm,
            command,
            *_QUIET,
            *arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            async with asyncio.timeout(TIMEOUT_S):
                output = await _read_all(process)
                if output is None:
                    return Failing("npm printed too much")
                await process.wait()
        except TimeoutError:
            return Failing("npm gave no answer in time")
        finally:
            if process.returncode is None:
                process.kill()
                await process.communicate()
        return await asyncio.to_thread(_read_output, output, process.returncode)


async def _read_all(process: asyncio.subprocess.Process) -> bytes | None:
    """What a process prints; None when it is more than MAX_OUTPUT."""
    assert process.stdout is not None
    output = bytearray()
    while chunk := await process.stdout.read(64 * 1024):
        output += chunk
        if len(output) > MAX_OUTPUT:
            return None
    return bytes(output)


def _read_output(output: bytes, returncode: int | None) -> Any:
    """npm prints `{"error": {"code": "E404", …}}` where something went wrong."""
    if not output.strip():
        return None if returncode == 0 else Failing("npm failed")
    try:
        parsed = json.loads(output)
    except ValueError:
        return Failing("npm printed no JSON")
    error = parsed.get("error") if isinstance(parsed, dict) else None
    if isinstance(error, dict):
        code = str(error.get("code", ""))[:20]
        return None if code in ("E404", "ETARGET") else Failing(f"npm failed ({code or 'unknown'})")
    return parsed if returncode == 0 else Failing("npm failed")


def _only_file(folder: Path) -> bytes:
    files = list(folder.iterdir())
    if len(files) != 1:
        raise BadTarball("npm packed nothing")
    if files[0].stat().st_size > MAX_PACKED:
        raise BadTarball(f"larger than {MAX_PACKED // 2**20} MB")
    return files[0].read_bytes()
