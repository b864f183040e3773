"""`hubbub connection-string`: what a backend needs to talk to this user's service."""

import argparse
from typing import Any

from hubbub.cli import command, serve, target


def add(commands: Any, common: argparse.ArgumentParser) -> None:
    parser = commands.add_parser(
        "connection-string",
        parents=[common],
        help="print the connection string of the local service, key included",
        description="Print the connection string of the service that `hubbub serve` runs with the"
        " same options. It holds the access key, which no other command shows: keep it like a"
        " password. The key is made when there is none yet.",
    )
    serve.add_settings_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    settings = serve.load_settings(args)
    endpoint = settings.public_endpoint
    if endpoint is None:
        if settings.port == 0:
            raise command.CommandFailed(
                "with port 0 the address is known only when the service runs",
                exit_code=command.WRONG_USE,
            )
        endpoint = f"http://{_reachable_host(settings.host)}:{settings.port}"
    text = target.local(endpoint)
    command.say(args, text, {"connectionString": text})
    return command.DONE


def _reachable_host(host: str) -> str:
    """A host that a program on this machine can call."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(host, host)
    return f"[{host}]" if ":" in host else host
