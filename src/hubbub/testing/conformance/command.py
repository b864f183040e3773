"""The command line of the runner; `hubbub conformance` and `python -m` share it.

Importing it loads nothing heavy: every command of `hubbub` reads its options at the start.
"""

import argparse
import contextlib
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from hubbub.testing.conformance.failures import CannotRun

if TYPE_CHECKING:
    from hubbub.testing.conformance.report import Report, Result

DESCRIPTION = (
    "Run the conformance cases that can be seen from outside against a Web PubSub service,\n"
    "whoever made it, and say which passed, which failed and why, and which do not apply.\n"
    "Names of hubs are its own, so that it may run beside other users of the service."
)
EXIT_STATUS = (
    "exit status: 0 no case failed, 1 a case failed, 2 wrong use, or no service that lets a\n"
    "client in, 130 interrupted"
)
EPILOG = f"""\
{EXIT_STATUS}

examples:
  hubbub conformance                              the local service, without an event handler
  hubbub conformance --only 'CP-0*' --only RA-024
  hubbub conformance --print-config --handler-listen 127.0.0.1:9000 > hubbub.toml
  hubbub conformance --handler-listen 127.0.0.1:9000 --markdown result.md
"""
_INTERRUPTED = 130
SECOND_VARIABLE = "HUBBUB_CONNECTION_STRING_SECONDARY"
_HUB = "conformance"
"""Where an event handler is needed: the service has to know the name beforehand."""


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="PATTERN",
        help="run only the ids that match, for example CP-034 or 'CP-0*'; may be repeated",
    )
    parser.add_argument("--list", action="store_true", help="print the cases, and run nothing")
    parser.add_argument(
        "--hub",
        metavar="NAME",
        help="what the names of hubs begin with (default: a random name, or"
        f" {_HUB} when there is an event handler)",
    )
    parser.add_argument(
        "--timeout",
        type=_seconds,
        default=10,
        metavar="S",
        help="how many seconds to wait for each answer (default: 10)",
    )
    parser.add_argument(
        "--concurrency",
        type=_count,
        default=16,
        metavar="N",
        help="how many cases run side by side (default: 16)",
    )
    parser.add_argument(
        "--recovery-window",
        type=_seconds,
        default=30,
        metavar="S",
        help="how many seconds the service keeps a lost session (default: 30)",
    )
    parser.add_argument(
        "--handler-listen",
        type=_place,
        metavar="HOST:PORT",
        help="listen here as the event handler; the service has to be configured for it",
    )
    parser.add_argument(
        "--handler-url",
        metavar="URL",
        help="where the service reaches that listener (default: http://HOST:PORT)",
    )
    parser.add_argument(
        "--print-config",
        action="store_true",
        help="print the configuration that the upstream cases need, and run nothing",
    )
    parser.add_argument("--markdown", metavar="FILE", help="write the result as Markdown too")
    parser.add_argument("--json-file", metavar="FILE", help="write the result as JSON too")


def _seconds(text: str) -> float:
    with contextlib.suppress(ValueError):
        if 0 < (seconds := float(text)) <= 3600:
            return seconds
    raise argparse.ArgumentTypeError("must be a number above 0 and at most 3600")


def _count(text: str) -> int:
    with contextlib.suppress(ValueError):
        if 1 <= (count := int(text)) <= 256:
            return count
    raise argparse.ArgumentTypeError("must be a whole number from 1 to 256")


def _place(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not colon or not (port.isascii() and port.isdigit()) or int(port) > 65535:
        raise argparse.ArgumentTypeError("must be HOST:PORT, for example 127.0.0.1:9000")
    return host.strip("[]"), int(port)


def run(args: argparse.Namespace, connection_string: str | None) -> int:
    """Do what the options say; the exit status.

    Raises: CannotRun, InvalidConnectionString.
    """
    if args.list:
        _print_list(args)
        return 0
    if args.print_config:
        print(_configuration(args), end="")
        return 0
    if connection_string is None:
        raise CannotRun(
            "give the service's connection string in HUBBUB_CONNECTION_STRING or with"
            " --connection-string"
        )
    # Late, because it loads HTTP and WebSocket libraries.
    import asyncio

    from hubbub.testing.conformance import report

    files = _Files(args.markdown, args.json_file)
    tell = _Progress(sys.stderr.isatty())
    try:
        found = asyncio.run(_run_cases(args, connection_string, tell))
    except KeyboardInterrupt:
        print(f"{tell.newline}interrupted after {tell.done or 0} cases", file=sys.stderr)
        return _INTERRUPTED
    files.write(found)
    print(report.as_json(found) if args.json else report.as_text(found), flush=True)
    return found.exit_status


async def _run_cases(
    args: argparse.Namespace, connection_string: str, tell: "_Progress"
) -> "Report":
    from hubbub.testing.conformance.handler import Listener
    from hubbub.testing.conformance.runner import Options, run

    options = Options(
        connection_string,
        os.environ.get(SECOND_VARIABLE),
        only=args.only,
        hub=_hub(args) if args.handler_listen else args.hub,
        timeout_s=args.timeout,
        concurrency=args.concurrency,
        recovery_window_s=args.recovery_window,
    )
    if args.handler_listen is None:
        return await run(options, tell)
    async with Listener(*args.handler_listen) as listener:
        return await run(options, tell, listener)


def _hub(args: argparse.Namespace) -> str:
    return str(args.hub or _HUB)


def _configuration(args: argparse.Namespace) -> str:
    from hubbub.testing.conformance import variants

    url = args.handler_url
    if url is None:
        if args.handler_listen is None:
            raise CannotRun("--print-config wants --handler-listen or --handler-url")
        host, port = args.handler_listen
        if port == 0:
            raise CannotRun("a configuration names a port; 0 means another one each time")
        url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    return variants.as_toml(_hub(args), url.rstrip("/"))


def _print_list(args: argparse.Namespace) -> None:
    """The wanted cases, and for those that are not run the reason."""
    from hubbub.testing.conformance import registry, unseen

    registry.check_patterns(args.only)
    runnable = {case_id for case in registry.all_cases() for case_id in case.ids}
    reasons = unseen.reasons()
    rows = [
        {"id": it.id, "summary": it.summary, "notRun": reasons.get(it.id, "")}
        for it in registry.known().values()
        if registry.is_wanted(it.id, args.only)
    ]
    if args.json:
        print(json.dumps(rows, ensure_ascii=False, indent=1))
        return
    for row in rows:
        print(f"{row['id']}  {row['summary']}")
        if row["id"] not in runnable:
            print(f"        not run: {row['notRun']}")


class _Files:
    """Reports in files. Opened before the run, so that a wrong path costs no run."""

    def __init__(self, markdown: str | None, json_file: str | None) -> None:
        self._paths = {"markdown": markdown, "json": json_file}
        for path in filter(None, self._paths.values()):
            try:
                Path(path).touch()
            except OSError as error:
                raise CannotRun(f"cannot write {path}: {error.strerror}") from error

    def write(self, found: "Report") -> None:
        from hubbub.testing.conformance import report

        for form, path in self._paths.items():
            if path is not None:
                text = (
                    report.as_json(found)
                    if form == "json"
                    else f"# Conformance\n\n{report.as_markdown(found)}"
                )
                Path(path).write_text(text + "\n", encoding="utf-8")


class _Progress:
    """How far it is, on standard error: one line on a terminal; else each failure, when it comes."""

    def __init__(self, is_terminal: bool) -> None:
        self._is_terminal = is_terminal
        self.done = ""
        """So many of so many."""

    @property
    def newline(self) -> str:
        """Ends a line of the terminal that is not whole."""
        return "\n" if self._is_terminal and self.done else ""

    def __call__(self, result: "Result", done: int, total: int) -> None:
        self.done = f"{done} of {total}"
        if self._is_terminal:
            text = f"{done}/{total}  {result.id} {result.status}"
            end = "\n" if done == total else ""
            print(f"\r{text:<60}", end=end, file=sys.stderr, flush=True)
        elif result.status == "failed":
            print(f"{result.id} failed: {result.text}", file=sys.stderr, flush=True)
