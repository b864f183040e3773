"""`hubbub watch`: prints the messages that a client gets, one a line, until Ctrl-C."""

import argparse
import asyncio
import base64
import json
from typing import TYPE_CHECKING, Any

from hubbub.cli import command, target

if TYPE_CHECKING:
    from hubbub.client import Client, EventStream

_EXAMPLES = """\
examples:
  hubbub watch --hub chat                   messages to everybody
  hubbub watch --hub chat --group news      and those of a group
  hubbub watch --hub chat --user alice      and those to a user
"""


def add(commands: Any, common: argparse.ArgumentParser) -> None:
    parser = commands.add_parser(
        "watch",
        parents=[common],
        formatter_class=argparse.RawDescriptionHelpFormatter,
        help="print messages as they come",
        description="Connect as a client and print each message on a line: where it is from, its\n"
        "type, its data. Lost connections are told and healed. Ends with Ctrl-C.",
        epilog=_EXAMPLES,
    )
    parser.add_argument("--hub", required=True, help="hub to watch, for example chat")
    to = parser.add_mutually_exclusive_group()
    to.add_argument("--group", metavar="NAME", help="the messages of this group")
    to.add_argument("--user", metavar="ID", help="the messages to this user")
    parser.add_argument(
        "--count", type=_count, metavar="N", help="end after so many messages, with status 0"
    )
    target.add_option(parser)
    parser.set_defaults(run=run)


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError("must be a number above 0")
    return int(text)


def run(args: argparse.Namespace) -> int:
    try:
        return asyncio.run(_watch(args))
    except KeyboardInterrupt:
        return command.DONE


async def _watch(args: argparse.Namespace) -> int:
    # Here, because they load what other commands do not need.
    from hubbub.appserver import ServiceClient
    from hubbub.client import Client
    from hubbub.protocol.errors import AuthenticationError, ConnectError

    text = target.find(args)
    async with ServiceClient.from_connection_string(text, args.hub) as backend:
        groups = [args.group] if args.group is not None else []

        def access_url() -> str:
            return backend.get_client_access_token(user_id=args.user, groups=groups).url

        client = Client(access_url)
        _tell_of_the_connection(args, client)
        # Open before the start: messages may come right behind the first frame.
        async with client.events("group-message", "server-message", "stopped") as events:
            try:
                await client.start()
            except AuthenticationError as error:
                raise command.CommandFailed(
                    f"{backend.endpoint} refused the client: {error} (is it the key of this"
                    " service?)"
                ) from error
            except ConnectError as error:
                if isinstance(error.__cause__, OSError) and target.given_text(args) is None:
                    raise command.CommandFailed(target.NOBODY_THERE) from error
                raise command.CommandFailed(f"{backend.endpoint}: {error}") from error
            try:
                return await _print_messages(args, events)
            finally:
                await client.stop()


def _tell_of_the_connection(args: argparse.Namespace, client: "Client") -> None:
    def lost(event: Any, word: str = "lost") -> None:
        code, said = event.close_code, getattr(event, "message", None)
        text = f"-- connection {word}"
        text += f", close code {code}" if code is not None else ""
        text += f": {said}" if said else ""
        command.say(args, text, {"event": word, "closeCode": code, "message": said})

    def ended(event: Any) -> None:
        if event.will_reconnect:
            lost(event, "ended")

    def back(event: Any) -> None:
        command.say(
            args, "-- connected", {"event": "connected", "connectionId": event.connection_id}
        )

    client.on("connected", back)
    client.on("recovered", back)
    client.on("recovering", lost)
    client.on("disconnected", ended)


async def _print_messages(args: argparse.Namespace, events: "EventStream[Any]") -> int:
    seen = 0
    async for event in events:
        if type(event).__name__ == "StoppedEvent":
            raise command.CommandFailed(f"the client stopped: {event.reason} {event.error}")
        line = _as_dict(event)
        source = f"group {line['group']}" if line["from"] == "group" else "server"
        data = line["data"] if isinstance(line["data"], str) else json.dumps(line["data"])
        command.say(args, f"{source}\t{line['dataType']}\t{data}", line)
        seen += 1
        if seen == args.count:
            break
    return command.DONE


def _as_dict(event: Any) -> dict[str, object]:
    data = event.data
    if isinstance(data, bytes):
        data = base64.b64encode(data).decode()
    group = getattr(event, "group", None)
    line: dict[str, object] = {"from": "server" if group is None else "group"}
    if group is not None:
        line["group"] = group
        if event.from_user_id is not None:
            line["fromUserId"] = event.from_user_id
    return {**line, "dataType": event.data_type.value, "data": data}
