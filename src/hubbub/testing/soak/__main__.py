"""`python -m hubbub.testing.soak --clients 1000 --seconds 180 --seed 1`."""

import argparse
import asyncio
import logging
import secrets
import sys
from collections.abc import Sequence

_DESCRIPTION = (
    "Run a service, a network that breaks and a crowd of clients in this process, and say whether\n"
    "anything was lost, doubled, reordered or left behind. Needs Linux."
)
_EPILOG = (
    "exit status: 0 all was well, 1 something was not, 2 wrong use, 130 interrupted\n\n"
    "examples:\n"
    "  python -m hubbub.testing.soak --clients 50 --seconds 10\n"
    "  python -m hubbub.testing.soak --clients 1000 --seconds 3600 --seed 1"
)
_INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run a soak; its exit status."""
    args = _parser().parse_args(argv)
    if sys.platform != "linux":
        print("soak: needs Linux, which tells it of memory and open files", file=sys.stderr)
        return 2
    import resource  # not on Windows, where --help is to work

    from hubbub.testing.soak import Options, run

    seed = args.seed if args.seed is not None else secrets.randbelow(10**6)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    # A thousand clients in one loop all say so when it is late.
    logging.getLogger("hubbub.client").setLevel(logging.ERROR)
    print(f"seed {seed}", flush=True)
    options = Options(args.clients, args.seconds, seed, args.rate)
    try:
        report = asyncio.run(run(options, say=lambda line: print(line, flush=True)))
    except KeyboardInterrupt:
        print("soak: interrupted, nothing was judged", file=sys.stderr)
        return _INTERRUPTED
    print(report)
    return 0 if report.is_good else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m hubbub.testing.soak",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description=_DESCRIPTION,
        epilog=_EPILOG,
    )
    parser.add_argument(
        "--clients",
        type=_count,
        default=1000,
        metavar="N",
        help="how many; a thousand need about 4,000 file descriptors (default: 1000)",
    )
    parser.add_argument(
        "--seconds",
        type=_above_0,
        default=180.0,
        metavar="S",
        help="how long things break; connecting and mending come on top (default: 180)",
    )
    parser.add_argument(
        "--seed", type=int, metavar="N", help="of an earlier run; without it a new one is drawn"
    )
    parser.add_argument(
        "--rate",
        type=_above_0,
        metavar="R",
        help="calls per second of all clients together (default: a tenth of their number)",
    )
    return parser


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or int(text) < 1:
        raise argparse.ArgumentTypeError("must be a whole number above 0")
    return int(text)


def _above_0(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError("must be a number above 0")
    return value


if __name__ == "__main__":
    sys.exit(main())
