"""Each case that is due has a test, and the README of the tests says how many."""

import ast
import re
from pathlib import Path

from tools import cases, generated

CASES = cases.read_cases()


def test_table_has_every_case_once_in_order() -> None:
    numbers = {"CP": 148, "RA": 104, "UE": 95, "CL": 108}
    expected = [f"{area}-{n:03}" for area, last in numbers.items() for n in range(1, last + 1)]
    assert [case.id for case in CASES] == expected


def test_every_case_is_a_sentence_of_a_known_scope() -> None:
    for case in CASES:
        assert case.scope in ("now", "later"), case.id
        given, arrow, then = case.summary.partition(" -> ")
        assert given, case.id
        assert arrow, case.id
        assert then, case.id


def test_case_that_is_due_has_a_test() -> None:
    tested = cases.ids_with_a_test()
    assert [case.id for case in cases.report(CASES, set(tested)).missing] == []


def test_id_that_a_test_carries_is_a_case() -> None:
    tested = cases.ids_with_a_test()
    assert set(tested) - {case.id for case in CASES} == set()


def test_readme_of_the_tests_says_the_count() -> None:
    table = cases.markdown(CASES, set(cases.ids_with_a_test()))
    written = generated.read(cases.README, cases.NAME)
    assert written == table.strip(), "run: python -m tools.cases --markdown"


def test_ids_are_read_from_names_and_from_parameters(tmp_path: Path) -> None:
    (tmp_path / "test_x.py").write_text(
        "import pytest\n"
        "@pytest.mark.parametrize('x', [pytest.param(1, id='ue_030'), 'ra_099'], ids=['cp_110_a'])\n"
        "async def test_cp_001_cp_002_joins(x): ...\n"
        "def test_cp_0034_no_id(): 'cp_005'\n"
        "def helper_cp_006(): ...\n"
    )
    assert set(cases.ids_with_a_test([tmp_path])) == {"CP-001", "CP-002", "UE-030", "CP-110"}


def test_report_tells_missing_from_later() -> None:
    scopes = {"CP-001": "now", "CP-002": "now", "CP-003": "later"}
    some = [cases.Case(id, "client protocol", "a -> b", scope) for id, scope in scopes.items()]
    found = cases.report(some, {"CP-001"})
    assert [[case.id for case in group] for group in found] == [["CP-001"], ["CP-002"], ["CP-003"]]
    assert "Due now and without a test: CP-002." in cases.markdown(some, {"CP-001"})


def test_no_test_that_carries_an_id_is_switched_off() -> None:
    """A case that is only skipped is not tested; markers for a missing tool are set elsewhere."""
    off = []
    for folder in cases.TEST_FOLDERS:
        for path in folder.rglob("test_*.py"):
            if "node_modules" in path.parts:
                continue
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                    marks = " ".join(ast.unparse(mark) for mark in node.decorator_list)
                    if cases.ids_in(node.name) and re.search(r"mark\.(skip|xfail)\b", marks):
                        off.append(f"{path.name}::{node.name}")
    assert off == []
