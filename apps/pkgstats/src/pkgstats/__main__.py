"""The commands of pkgstats."""

from __future__ import annotations

import argparse
import asyncio
import logging
import secrets
import signal
import sqlite3
import sys
from collections.abc import Sequence
from pathlib import Path

from hubbub import HubbubError
from pkgstats import commands
from pkgstats.commands import CommandFailed
from pkgstats.live.negotiate import HUB
from pkgstats.settings import InvalidSetting, Settings
from pkgstats.site import PortInUse, running_site
from pkgstats.store.store import IncompatibleDatabase

EXAMPLE = "@azure/web-pubsub-client"
SITE = "http://127.0.0.1:8000"
DEMO_DAY_S = 8.0
"""A reader of the demo sees the figure move soon, and a release next."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the exit status."""
    args = _parser().parse_args(argv)
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    try:
        status: int = asyncio.run(args.run(args))
    except KeyboardInterrupt:
        return 130
    except (PortInUse, InvalidSetting, HubbubError, CommandFailed, IncompatibleDatabase) as error:
        print(f"pkgstats: {error}", file=sys.stderr)
        return 1
    except (OSError, sqlite3.Error) as error:
        # The database's folder, a port below 1024: the system's own words name the place.
        print(f"pkgstats: cannot start: {error}", file=sys.stderr)
        return 1
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="pkgstats", description="npm package pages that change by themselves."
    )
    subcommands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    demo = subcommands.add_parser(
        "demo",
        help="recorded packages in a simulated world, offline, nothing kept",
        description="Recorded packages in a simulated world: offline, with a temporary database.",
    )
    demo.set_defaults(demo=True, run=_site)
    demo.add_argument(
        "--day",
        type=_seconds,
        default=DEMO_DAY_S,
        metavar="SECONDS",
        help="how long a day of the simulated world lasts while a page is open (default: 8)",
    )
    serve = subcommands.add_parser(
        "serve",
        help="the registry of your npm configuration",
        description="The registry of your npm configuration; PKGSTATS_* variables say otherwise.",
    )
    serve.set_defaults(demo=False, run=_site)
    for command in (demo, serve):
        command.add_argument("--port", type=_port, default=8000, help="of the pages; 0: any free")
        command.add_argument(
            "--hubbub-port", type=_port, default=8080, help="of the own hubbub; 0: any free"
        )
        command.add_argument(
            "--origin",
            action="append",
            default=[],
            metavar="URL",
            help="a further address under which browsers see the pages, for example of a proxy",
        )
    _add_short_commands(subcommands)
    tail = subcommands.add_parser(
        "tail",
        help="follow a package in the terminal",
        description="Print what happens to a package on a running site, until Ctrl-C.",
    )
    tail.add_argument("name", metavar="NAME", help="the package")
    tail.set_defaults(run=_tail)
    feed = subcommands.add_parser(
        "feed",
        help="follow the picks in the terminal",
        description="Print picks and new versions of a running site, until Ctrl-C.",
    )
    feed.set_defaults(run=_feed)
    for command in (tail, feed):
        command.add_argument("--site", default=SITE, metavar="URL", help=f"default: {SITE}")
    return parser


def _add_short_commands(subcommands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Those that do something and end."""
    add = subcommands.add_parser(
        "import",
        help="load the packages that a package.json names",
        description="Load the packages that a package.json names, so that search knows them.",
    )
    add.add_argument("file", type=Path, help="a package.json")
    add.add_argument(
        "--watch", metavar="ID", help="put them on a watch list, too: the id that the list shows"
    )
    add.set_defaults(run=_import)
    refresh = subcommands.add_parser(
        "refresh",
        help="ask once for everything that is due",
        description="Ask the sources once for everything known here that is due.",
    )
    refresh.set_defaults(run=_refresh)
    record = subcommands.add_parser(
        "record",
        help="write packages as recorded files",
        description="Write packages as recorded files, facts only, through the npm client.",
    )
    record.add_argument("names", nargs="+", metavar="NAME", help="a package, five at most")
    record.add_argument(
        "--to", type=Path, default=Path("recorded"), metavar="FOLDER", help="default: recorded"
    )
    record.set_defaults(run=_record)


async def _import(args: argparse.Namespace) -> int:
    return await commands.import_project(Settings.from_environ(), args.file, args.watch)


async def _refresh(args: argparse.Namespace) -> int:
    return await commands.refresh(Settings.from_environ())


async def _tail(args: argparse.Namespace) -> int:
    return await commands.tail(args.site.rstrip("/"), args.name)


async def _feed(args: argparse.Namespace) -> int:
    return await commands.feed(args.site.rstrip("/"))


async def _record(args: argparse.Namespace) -> int:
    return await commands.record(args.names, args.to)


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65_535:
        raise argparse.ArgumentTypeError("a port is a number from 0 to 65535")
    return int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0
    if not 0.1 <= seconds <= 86_400:
        raise argparse.ArgumentTypeError("a day lasts from 0.1 to 86400 seconds")
    return seconds


async def _site(args: argparse.Namespace) -> int:
    """Serve until SIGINT or SIGTERM."""
    if args.demo:
        settings = Settings(world_day_s=args.day, curator=secrets.token_urlsafe(16))
    else:
        settings = Settings.from_environ()
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with running_site(
        settings,
        demo=args.demo,
        port=args.port,
        hubbub_port=args.hubbub_port,
        origins=args.origin,
    ) as site:
        if args.demo:
            print("simulated data: recorded packages, invented changes, nothing is kept")
        print(f"hubbub  {site.hubbub_url} (hub {HUB})")
        if site.service is None:
            print(f"        must send the hub's events to {site.url}/eventhandler")
        if args.demo:
            print(f"curator {site.url}/curator (key {settings.curator})")
        print(f"page    {site.url}/pkg:{EXAMPLE}")
        print(f"ready {site.url}", flush=True)
        await stop.wait()
    return 0


if __name__ == "__main__":
    sys.exit(main())
