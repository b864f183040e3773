"""`hubbub send`: one message into a hub."""

import argparse
import asyncio
import sys
from pathlib import Path
from typing import Any

import msgspec

from hubbub.cli import command, target
from hubbub.protocol.errors import RequestError

_EXAMPLES = """\
examples:
  hubbub send --hub chat "hello"                        to all
  hubbub send --hub chat --group news "hello"
  hubbub send --hub chat --user alice --json-data '{"title": "hello"}'
  hubbub send --hub chat --file picture.png
  date | hubbub send --hub chat --file - --content-type text/plain
"""

_JSON = "application/json"
_TEXT = "text/plain"
_BINARY = "application/octet-stream"
_BY_SUFFIX = {".json": _JSON, ".txt": _TEXT, ".md": _TEXT}

_MAX_FILE_BYTES = 64 * 1_048_576
"""Largest message that any service can be set to take."""


def add(commands: Any, common: argparse.ArgumentParser) -> None:
    parser = commands.add_parser(
        "send",
        parents=[common],
        formatter_class=argparse.RawDescriptionHelpFormatter,
        help="send one message to clients",
        description="Send one message to all clients of a hub, or to those of a group, of a user,\n"
        "or to one connection. Done means that the service has accepted it, also when nobody\n"
        "is there to get it.",
        epilog=_EXAMPLES,
    )
    parser.add_argument("--hub", required=True, help="hub to send into, for example chat")
    to = parser.add_mutually_exclusive_group()
    to.add_argument("--group", metavar="NAME", help="only to clients in this group")
    to.add_argument("--user", metavar="ID", help="only to clients of this user")
    to.add_argument("--connection", metavar="ID", help="only to this connection")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("text", nargs="?", metavar="TEXT", help="a text to send")
    what.add_argument("--json-data", type=_json_text, metavar="JSON", help="a JSON value to send")
    what.add_argument(
        "--file", metavar="FILE", help="send the content of a file; - = standard input"
    )
    parser.add_argument(
        "--content-type",
        choices=(_JSON, _TEXT, _BINARY),
        help="how a file is sent; by default .json as JSON, .txt and .md as text, all else as bytes",
    )
    target.add_option(parser)
    parser.set_defaults(run=run)


def _json_text(text: str) -> bytes:
    try:
        msgspec.json.decode(text, type=msgspec.Raw)
        return text.encode()
    except (msgspec.DecodeError, RecursionError, UnicodeEncodeError) as error:
        raise argparse.ArgumentTypeError(f"no valid JSON: {error}") from error


def run(args: argparse.Namespace) -> int:
    content_type, body = _message(args)
    try:
        asyncio.run(_send(args, body, content_type))
    except RequestError as error:
        if error.status is None and target.given_text(args) is None:
            raise command.CommandFailed(target.NOBODY_THERE) from error
        raise
    command.say(args, "accepted", {"accepted": True})
    return command.DONE


def _message(args: argparse.Namespace) -> tuple[str, bytes]:
    """Content type and bytes of the message."""
    if args.file is not None:
        content_type = args.content_type or _BY_SUFFIX.get(Path(args.file).suffix.lower(), _BINARY)
        return content_type, _read(args.file)
    if args.content_type is not None:
        raise command.CommandFailed("--content-type goes with --file", exit_code=command.WRONG_USE)
    if args.json_data is not None:
        return _JSON, args.json_data
    return _TEXT, args.text.encode(errors="surrogateescape")


def _read(file: str) -> bytes:
    try:
        if file == "-":
            data = sys.stdin.buffer.read(_MAX_FILE_BYTES + 1)
        else:
            with open(file, "rb") as stream:
                data = stream.read(_MAX_FILE_BYTES + 1)
    except OSError as error:
        raise command.CommandFailed(
            f"cannot read {file}: {error.strerror}", exit_code=command.WRONG_USE
        ) from error
    if len(data) > _MAX_FILE_BYTES:
        raise command.CommandFailed(f"{file} is larger than any message may be")
    return data


async def _send(args: argparse.Namespace, body: bytes, content_type: str) -> None:
    # Here, because it loads the HTTP client, which other commands do not need.
    from hubbub.appserver import ServiceClient

    async with ServiceClient.from_connection_string(target.find(args), args.hub) as client:
        if args.group is not None:
            await client.send_to_group(args.group, body, content_type=content_type)
        elif args.user is not None:
            await client.send_to_user(args.user, body, content_type=content_type)
        elif args.connection is not None:
            await client.send_to_connection(args.connection, body, content_type=content_type)
        else:
            await client.send_to_all(body, content_type=content_type)
