"""`hubbub check-config`: every fault of a configuration file at once."""

import argparse
import os
from pathlib import Path
from typing import Any

from hubbub.cli import command


def add(commands: Any, common: argparse.ArgumentParser) -> None:
    parser = commands.add_parser(
        "check-config",
        parents=[common],
        help="find all faults of a configuration file",
        description="Read a configuration file as `hubbub serve --config FILE` does, environment"
        " included, and print every fault with its line and key. Exit 2 when there is one.",
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="TOML file to read")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    # Here, because it loads the parts of the service that know what an event handler may be.
    from hubbub.service.settings_loader import check

    _, problems = check(args.file, environ=os.environ)
    data: dict[str, object] = {
        "ok": not problems,
        "problems": [
            {"line": problem.line, "key": problem.key, "message": problem.message}
            for problem in problems
        ],
    }
    lines = [f"{args.file}: {problem}" for problem in problems]
    command.say(args, "\n".join(lines) or f"{args.file}: no faults found", data)
    return command.WRONG_USE if problems else command.DONE
