"""`hubbub`: reads the command line and runs one command."""

import argparse
from collections.abc import Sequence

from hubbub import __version__
from hubbub.cli import (
    check_config,
    command,
    conformance,
    connection_string,
    send,
    serve,
    url,
    watch,
)
from hubbub.protocol.errors import (
    HubbubError,
    InvalidConnectionString,
    InvalidName,
    SettingsError,
)

_COMMANDS = (serve, url, send, watch, connection_string, check_config, conformance)
_WRONG_USE = (SettingsError, InvalidConnectionString, InvalidName)


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="hubbub",
        description="Real-time publish/subscribe over WebSocket. Start with `hubbub serve`.",
        epilog="Exit status: 0 done, 1 failed, 2 wrong use or configuration.",
    )
    parser.add_argument("--version", action="version", version=f"hubbub {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    common = command.common_options()
    for module in _COMMANDS:
        module.add(commands, common)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; its exit status."""
    args = build_parser().parse_args(argv)
    try:
        return int(args.run(args))
    except command.CommandFailed as error:
        command.say_error(args, error)
        return error.exit_code
    except HubbubError as error:
        command.say_error(args, error)
        return command.WRONG_USE if isinstance(error, _WRONG_USE) else command.FAILED
    except ModuleNotFoundError as error:
        extra = _EXTRAS.get(error.name or "")
        if extra is None:
            raise
        failure = command.CommandFailed(
            f"this command needs more packages; install them with: pip install 'hubbub[{extra}]'"
        )
        command.say_error(args, failure)
        return command.FAILED
    except KeyboardInterrupt:
        return command.FAILED


_EXTRAS = {
    "aiohttp": "service",
    "httptools": "service",
    "starlette": "service",
    "uvicorn": "service",
    "httpx2": "appserver",
    "jwt": "service,appserver",
}
"""Modules that are not in the base installation, and what brings them."""


if __name__ == "__main__":
    raise SystemExit(main())
