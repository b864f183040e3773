"""What all commands share: how they say what they did, and how they fail."""

import argparse
import json
import sys

from hubbub.protocol.errors import HubbubError

DONE = 0
FAILED = 1
WRONG_USE = 2
"""Wrong use or configuration: the same call fails again until it is changed."""


class CommandFailed(HubbubError):
    """A command cannot do what it was asked; the text is for the person who called it."""

    code = "CommandFailed"

    def __init__(self, message: str, *, exit_code: int = FAILED) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def common_options() -> argparse.ArgumentParser:
    """Options of every command."""
    options = argparse.ArgumentParser(add_help=False)
    options.add_argument(
        "--json", action="store_true", help="print results and errors as JSON, for programs"
    )
    return options


def say(args: argparse.Namespace, text: str, data: dict[str, object]) -> None:
    """Print a result at once: the text, or with --json the data on one line."""
    print(json.dumps(data) if args.json else text, flush=True)


def say_error(args: argparse.Namespace, error: HubbubError) -> None:
    """Print a failure: sentences on standard error, or with --json an object on standard output."""
    lines = getattr(error, "problems", None) or [str(error)]
    if args.json:
        data = {"error": {"code": error.code, "retryable": error.retryable, "messages": lines}}
        print(json.dumps(data), flush=True)
        return
    for line in lines:
        print(f"hubbub: {line}", file=sys.stderr)
