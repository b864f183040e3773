"""`pkgstats demo` and `pkgstats serve`."""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
import sqlite3
import sys
from collections.abc import Sequence

from hubbub import HubbubError
from pkgstats.live.negotiate import HUB
from pkgstats.settings import InvalidSetting, Settings
from pkgstats.site import PortInUse, running_site

EXAMPLE = "@azure/web-pubsub-client"
DEMO_DAY_S = 8.0
"""A reader of the demo sees the figure move soon, and a release next."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the exit status."""
    args = _parser().parse_args(argv)
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    try:
        settings = Settings(world_day_s=args.day) if args.demo else Settings.from_environ()
        asyncio.run(_run(args, settings))
    except (PortInUse, InvalidSetting, HubbubError) as error:
        print(f"pkgstats: {error}", file=sys.stderr)
        return 1
    except (OSError, sqlite3.Error) as error:
        # The database's folder, a port below 1024: the system's own words name the place.
        print(f"pkgstats: cannot start: {error}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="pkgstats", description="npm package pages that change by themselves."
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    demo = commands.add_parser(
        "demo",
        help="recorded packages in a simulated world, offline, nothing kept",
        description="Recorded packages in a simulated world: offline, with a temporary database.",
    )
    demo.set_defaults(demo=True)
    demo.add_argument(
        "--day",
        type=_seconds,
        default=DEMO_DAY_S,
        metavar="SECONDS",
        help="how long a day of the simulated world lasts while a page is open (default: 8)",
    )
    serve = commands.add_parser(
        "serve",
        help="the registry of your npm configuration",
        description="The registry of your npm configuration; PKGSTATS_* variables say otherwise.",
    )
    serve.set_defaults(demo=False)
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
    return parser


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


async def _run(args: argparse.Namespace, settings: Settings) -> None:
    """Serve until SIGINT or SIGTERM."""
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
        print(f"page    {site.url}/pkg:{EXAMPLE}")
        print(f"ready {site.url}", flush=True)
        await stop.wait()


if __name__ == "__main__":
    sys.exit(main())
