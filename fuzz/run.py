"""Coverage-guided fuzzing of the harnesses, one process for each.

    python -m fuzz.run [NAME ...] [--seconds 30]
    python -m fuzz.run NAME --input FILE

Needs atheris. What it finds is saved in .artifacts/fuzz/.
"""

import argparse
import hashlib
import importlib.util
import logging
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[1] / ".artifacts" / "fuzz"
MAX_INPUT_BYTES = 4096
SLOWEST_INPUT_S = 10
MEMORY_LIMIT_MB = 2048
MISSING = "atheris is not installed; it is no part of the development set-up: pip install atheris"


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="harnesses; default: all")
    parser.add_argument("--seconds", type=int, default=30, help="for each harness (default 30)")
    parser.add_argument("--input", type=Path, metavar="FILE", help="give one harness this once")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.input is not None:
        return _once(options.names, options.input)
    if importlib.util.find_spec("atheris") is None:
        print(MISSING, file=sys.stderr)
        return 2
    if options.worker:
        return _fuzz(options.names[0], options.seconds)
    from fuzz.harnesses import HARNESSES

    unknown = set(options.names) - HARNESSES.keys()
    if unknown:
        parser.error(
            f"no such harness: {', '.join(sorted(unknown))}; there are {', '.join(HARNESSES)}"
        )
    broken = [name for name in options.names or HARNESSES if not _run(name, options.seconds)]
    print(f"found something: {', '.join(broken)}" if broken else "found nothing")
    return 1 if broken else 0


def _once(names: list[str], file: Path) -> int:
    from fuzz.harnesses import HARNESSES

    (name,) = names
    with HARNESSES[name].open() as run:
        run(file.read_bytes())
    return 0


def _run(name: str, seconds: int) -> bool:
    """True if the harness kept its promises in its time. The process is ours: libFuzzer ends it."""
    command = [sys.executable, "-m", "fuzz.run", name, "--worker", "--seconds", str(seconds)]
    log = FOLDER / f"{name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output:
        status = subprocess.run(command, stdout=output, stderr=subprocess.STDOUT).returncode
    lines = log.read_text(errors="replace").splitlines()
    told = [line for line in lines if line.startswith(("stat::number_of_executed", "Done "))]
    print(
        f"{name:<20} {'; '.join(told) if status == 0 else f'status {status}, see {log}'}",
        flush=True,
    )
    return status == 0


def _fuzz(name: str, seconds: int) -> int:
    """Does not come back: libFuzzer ends the process."""
    import atheris  # type: ignore[import-untyped]

    with atheris.instrument_imports(include=["hubbub"], enable_loader_override=False):
        from fuzz.harnesses import HARNESSES
    logging.getLogger("hubbub").addHandler(logging.NullHandler())
    harness = HARNESSES[name]
    corpus, seeds = FOLDER / "corpus" / name, FOLDER / "seeds" / name
    corpus.mkdir(parents=True, exist_ok=True)
    seeds.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(harness.seeds):
        (seeds / str(number)).write_bytes(seed)
    words = FOLDER / f"{name}.dict"
    lines = [
        '"' + "".join(f"\\x{byte:02x}" for byte in word[:60]) + '"\n' for word in harness.words
    ]
    words.write_text("".join(lines))
    with harness.open() as run:

        def saving(data: bytes) -> None:
            try:
                run(data)
            except BaseException:  # whatever it is: libFuzzer ends the process without saving it
                digest = hashlib.sha256(data).hexdigest()[:16]
                (FOLDER / f"{name}-{digest}").write_bytes(data)
                raise

        arguments = [
            name,
            f"-max_total_time={seconds}",
            f"-max_len={MAX_INPUT_BYTES}",
            f"-timeout={SLOWEST_INPUT_S}",
            f"-rss_limit_mb={MEMORY_LIMIT_MB}",
            f"-dict={words}",
            f"-artifact_prefix={FOLDER}/{name}-",
            "-print_final_stats=1",
            str(corpus),
            str(seeds),
        ]
        atheris.Setup(arguments, saving)
        atheris.Fuzz()
    return 0


if __name__ == "__main__":
    sys.exit(main())
