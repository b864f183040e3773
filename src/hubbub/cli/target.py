"""Which service a command talks to."""

import argparse
import os

from hubbub.protocol import connection_string
from hubbub.service.auth import keys_from_environment, local_access_key

VARIABLE = "HUBBUB_CONNECTION_STRING"
LOCAL_ENDPOINT = "http://127.0.0.1:8080"
"""Where `hubbub serve` listens when nothing else is set."""
NOBODY_THERE = (
    f"no service answers at {LOCAL_ENDPOINT}; start one with `hubbub serve`, or give the service's"
    f" connection string in {VARIABLE}"
)


def add_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--connection-string",
        metavar="TEXT",
        help=f"address and key of the service; better kept in {VARIABLE}, because other users can"
        f" see command lines. Without either: {LOCAL_ENDPOINT} with this user's key",
    )


def find(args: argparse.Namespace) -> str:
    """The connection string of the service to talk to."""
    given = given_text(args)
    return local(LOCAL_ENDPOINT) if given is None else given


def given_text(args: argparse.Namespace) -> str | None:
    """The connection string that was given, or None: the service of this machine is meant."""
    if args.connection_string is not None:
        return str(args.connection_string)
    return os.environ.get(VARIABLE)


def local(endpoint: str) -> str:
    """The connection string of this user's own service, with the key that `serve` takes."""
    primary, _ = keys_from_environment(os.environ)
    return connection_string.build(endpoint, primary or local_access_key())
