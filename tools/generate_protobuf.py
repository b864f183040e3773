"""Makes `webpubsub_pb2.py` and its types from `src/hubbub/protocol/webpubsub.proto`.

python -m tools.generate_protobuf       writes both beside the schema; a test compares

Needs grpcio-tools, which brings the compiler. A newer one may write other code: pin it in
constraints.txt and run this again. The code needs a `protobuf` at least as new as the compiler.
"""

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path

SOURCE = Path(__file__).resolve().parent.parent / "src"
SCHEMA = "hubbub/protocol/webpubsub.proto"
"""Below the source folder: also its name in protobuf's registry, which no other package has."""
GENERATED = ("hubbub/protocol/webpubsub_pb2.py", "hubbub/protocol/webpubsub_pb2.pyi")
_HEAD = """\
# Made by `python -m tools.generate_protobuf`. Not for people.
# ruff: noqa
# fmt: off
# mypy: disable-error-code="type-arg,no-untyped-def"
"""


def generate(target: Path) -> None:
    """Write the generated files below `target`. Raises: ImportError, RuntimeError."""
    protoc = import_module("grpc_tools.protoc")
    arguments = [
        "protoc",
        f"--proto_path={SOURCE}",
        f"--proto_path={files('grpc_tools') / '_proto'}",
        f"--python_out={target}",
        f"--pyi_out={target}",
        SCHEMA,
    ]
    if protoc.main(arguments) != 0:
        raise RuntimeError(f"protoc of grpcio-tools {version('grpcio-tools')} failed")
    for name in GENERATED:
        path = target / name
        path.write_text(_HEAD + path.read_text(encoding="utf-8"), encoding="utf-8")


def main(argv: Sequence[str] | None = None) -> int:
    argparse.ArgumentParser(prog="python -m tools.generate_protobuf").parse_args(argv)
    generate(SOURCE)
    return 0


if __name__ == "__main__":
    sys.exit(main())
