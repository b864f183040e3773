"""`hubbub url`: an address with which one client can connect."""

import argparse
from typing import Any

from hubbub.cli import command, target

_EXAMPLES = """\
examples:
  hubbub url --hub chat --user alice
  hubbub url --hub chat --user alice --group news \\
      --role webpubsub.joinLeaveGroup --role webpubsub.sendToGroup.news
"""


def add(commands: Any, common: argparse.ArgumentParser) -> None:
    parser = commands.add_parser(
        "url",
        parents=[common],
        formatter_class=argparse.RawDescriptionHelpFormatter,
        help="print an address with which a client can connect",
        description="Print one Client Access URL and nothing else. It holds a token: whoever has the\n"
        "address can connect until it expires. No request is made.",
        epilog=_EXAMPLES,
    )
    parser.add_argument("--hub", required=True, help="hub to connect to, for example chat")
    parser.add_argument("--user", metavar="ID", help="user id; without one the client is anonymous")
    parser.add_argument(
        "--role",
        action="append",
        default=[],
        help="what the client may do, for example webpubsub.joinLeaveGroup (any group) or"
        " webpubsub.sendToGroup.NAME; may be repeated; without any it can only send events",
    )
    parser.add_argument(
        "--group",
        action="append",
        default=[],
        metavar="NAME",
        help="group that the client is in from the start; may be repeated",
    )
    parser.add_argument(
        "--minutes",
        type=_minutes,
        default=60,
        metavar="N",
        help="how long the address is good (default: 60)",
    )
    target.add_option(parser)
    parser.set_defaults(run=run)


def _minutes(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or int(text) < 1:
        raise argparse.ArgumentTypeError("must be a whole number, at least 1")
    return int(text)


def run(args: argparse.Namespace) -> int:
    # Here, because it loads the HTTP client, which other commands do not need.
    from hubbub.appserver import ServiceClient

    client = ServiceClient.from_connection_string(target.find(args), args.hub)
    access = client.get_client_access_token(
        user_id=args.user, roles=args.role, groups=args.group, minutes_to_expire=args.minutes
    )
    data: dict[str, object] = {
        "baseUrl": access.base_url,
        "token": access.token,
        "url": access.url,
    }
    command.say(args, access.url, data)
    return command.DONE
