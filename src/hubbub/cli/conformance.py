"""`hubbub conformance`: checks a service against the conformance cases."""

import argparse
from typing import Any

from hubbub.cli import command, target
from hubbub.testing.conformance import command as runner
from hubbub.testing.conformance.failures import CannotRun, NobodyThere


def add(commands: Any, common: argparse.ArgumentParser) -> None:
    parser = commands.add_parser(
        "conformance",
        parents=[common],
        formatter_class=argparse.RawDescriptionHelpFormatter,
        help="check a service, of hubbub or another, against the conformance cases",
        description=runner.DESCRIPTION,
        epilog=runner.EPILOG,
    )
    target.add_option(parser)
    runner.add_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    needs_service = not (args.list or args.print_config)
    try:
        return runner.run(args, target.find(args) if needs_service else None)
    except CannotRun as error:
        text = str(error)
        if isinstance(error, NobodyThere) and target.given_text(args) is None:
            text += (
                "\nstart one with `hubbub serve`, or give the service's connection string in"
                f" {target.VARIABLE}"
            )
        raise command.CommandFailed(text, exit_code=command.WRONG_USE) from error
