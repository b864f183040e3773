"""The committed protobuf code is what the schema gives."""

from pathlib import Path

import pytest
from tools import generate_protobuf


def test_generated_code_is_that_of_the_schema(tmp_path: Path) -> None:
    pytest.importorskip("grpc_tools")
    generate_protobuf.generate(tmp_path)
    for name in generate_protobuf.GENERATED:
        committed = (generate_protobuf.SOURCE / name).read_text()
        assert (tmp_path / name).read_text() == committed, (
            f"{name}: run python -m tools.generate_protobuf"
        )
