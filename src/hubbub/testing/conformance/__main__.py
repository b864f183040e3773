"""`python -m hubbub.testing.conformance`."""

import argparse
import os
import sys
from collections.abc import Sequence

from hubbub.protocol.errors import InvalidConnectionString, InvalidName
from hubbub.testing.conformance import command
from hubbub.testing.conformance.failures import CannotRun


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; its exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m hubbub.testing.conformance",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description=command.DESCRIPTION,
        epilog=command.EXIT_STATUS,
    )
    parser.add_argument(
        "--connection-string",
        metavar="TEXT",
        default=os.environ.get("HUBBUB_CONNECTION_STRING"),
        help="address and key of the service; better kept in HUBBUB_CONNECTION_STRING, because"
        " other users can see command lines",
    )
    parser.add_argument(
        "--json", action="store_true", help="print the result as JSON, for programs"
    )
    command.add_options(parser)
    args = parser.parse_args(argv)
    try:
        return command.run(args, args.connection_string)
    except (CannotRun, InvalidConnectionString, InvalidName) as error:
        print(f"conformance: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 1


if __name__ == "__main__":
    sys.exit(main())
