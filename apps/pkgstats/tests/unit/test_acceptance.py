"""Every row of the acceptance table in the README has a test that carries its id."""

import re
from pathlib import Path

APP = Path(__file__).parents[2]
ROW = re.compile(r"^\| ([SRFAL]\d+) \| .* \| \[[^\]]+\]\(([^)]+)\) \|$", re.MULTILINE)
TEST = re.compile(r"^\s*(?:async )?def test_((?:[srfal]\d+_)+)", re.MULTILINE)

OPEN: set[str] = set()
"""Rows that have no test yet. It only ever gets shorter."""


def rows() -> list[tuple[str, str]]:
    return ROW.findall((APP / "README.md").read_text("utf-8"))


def ids_with_a_test() -> set[str]:
    names = [
        name
        for path in (APP / "tests").rglob("test_*.py")
        for name in TEST.findall(path.read_text("utf-8"))
    ]
    return {f"{part[0].upper()}{int(part[1:])}" for name in names for part in name.split("_")[:-1]}


def test_f08_every_row_of_the_acceptance_table_has_a_test() -> None:
    ids = [id_ for id_, _ in rows()]
    assert len(ids) == len(set(ids)) == 24 + 16 + 8 + 13 + 15
    assert set(ids) - ids_with_a_test() <= OPEN
    assert ids_with_a_test() <= set(ids), "a test names a row that there is not"
    assert OPEN <= set(ids)


def test_the_code_that_the_table_names_is_there() -> None:
    missing = [path for _, path in rows() if not (APP / path).exists()]
    assert missing == []
