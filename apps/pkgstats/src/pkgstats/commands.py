"""Commands beside a site: import, refresh, record, tail."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path

from pkgstats import grammar, project
from pkgstats.catalog import open_catalog
from pkgstats.live import terminal
from pkgstats.live.negotiate import visitor_id
from pkgstats.settings import Settings
from pkgstats.sources.http import HttpSource
from pkgstats.sources.npm_cli import NpmCliSource
from pkgstats.sources.npmrc import NpmConfig
from pkgstats.sources.record import MAX_RECORDED, write_recording


class CommandFailed(Exception):
    """A command could not do its work; the text says why."""


async def import_project(settings: Settings, path: Path, watch: str | None) -> int:
    """Load the packages of a package.json, and star them for a visitor of the site."""
    visitor = None if watch is None else _visitor(watch)
    try:
        names = project.read_project(path)
    except (project.NotAProject, OSError) as error:
        raise CommandFailed(f"{path} cannot be read: {error}") from error
    if not names:
        raise CommandFailed(f"{path} depends on no package of a registry")
    async with open_catalog(replace(settings, starter=())) as catalog:
        failed = await _print(catalog.add(names))
        if visitor is not None:
            starred = [await catalog.star(visitor, name) for name in names]
            print(f"{sum(starred)} of {len(names)} are on the watch list")
    return 1 if failed == len(names) else 0


async def refresh(settings: Settings) -> int:
    """Ask again for everything that is due, once."""
    async with open_catalog(replace(settings, starter=())) as catalog:
        failed = await _print(catalog.refresh())
    return 1 if failed else 0


async def tail(site: str, name: str) -> int:
    """Print what happens to a package, until Ctrl-C."""
    if not grammar.is_package_name(name):
        raise CommandFailed(f"{name} is no package name")
    return await _follow(terminal.tail(site, name))


async def feed(site: str) -> int:
    """Print picks and new versions, until Ctrl-C."""
    return await _follow(terminal.feed(site))


async def _follow(lines: AsyncIterator[str]) -> int:
    try:
        async for line in lines:
            print(line, flush=True)
    except terminal.SiteUnreachable as error:
        raise CommandFailed(str(error)) from error
    return 0


async def record(names: Sequence[str], folder: Path) -> int:
    """Write packuments as recorded files, through the npm client."""
    if len(names) > MAX_RECORDED:
        raise CommandFailed(f"at most {MAX_RECORDED} names at once")
    for name in names:
        if not grammar.is_package_name(name):
            raise CommandFailed(f"{name} is no package name")
    source = NpmCliSource(HttpSource(NpmConfig(None)))
    failed = 0
    try:
        for name in names:
            body = await source.body(name)
            if isinstance(body, dict):
                print(f"{name}: {write_recording(body, folder)}")
            else:
                failed += 1
                print(f"{name}: {type(body).__name__}")
    finally:
        await source.close()
    return 1 if failed else 0


async def _print(results: AsyncIterator[tuple[str, str]]) -> int:
    """One line each; returns how many could not be had."""
    failed = count = 0
    async for name, words in results:
        count += 1
        failed += words not in ("loaded", "refreshed", "known already")
        print(f"{name}: {words}", flush=True)
    print(f"{count - failed} of {count}")
    return failed


def _visitor(text: str) -> str:
    found = visitor_id(text)
    if found is None:
        raise CommandFailed("--watch needs the id that your watch list shows")
    return found
