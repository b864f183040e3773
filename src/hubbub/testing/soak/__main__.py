"""`python -m hubbub.testing.soak --clients 1000 --seconds 180 --seed 1`; exit status 0: all was well."""

import argparse
import asyncio
import logging
import resource
import secrets
import sys
from collections.abc import Sequence

from hubbub.testing.soak import Options, run


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m hubbub.testing.soak", description=__doc__)
    parser.add_argument("--clients", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=180.0, help="how long things break")
    parser.add_argument("--seed", type=int, help="of an earlier run, to have it again")
    parser.add_argument("--rate", type=float, help="calls per second, of all clients together")
    args = parser.parse_args(argv)
    seed = args.seed if args.seed is not None else secrets.randbelow(10**6)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    # A thousand clients in one loop all say so when it is late.
    logging.getLogger("hubbub.client").setLevel(logging.ERROR)
    print(f"seed {seed}", flush=True)
    options = Options(args.clients, args.seconds, seed, args.rate)
    report = asyncio.run(run(options, say=lambda line: print(line, flush=True)))
    print(report)
    return 0 if report.is_good else 1


if __name__ == "__main__":
    sys.exit(main())
