"""Which conformance cases have a test and which have not.

python -m tools.cases               covered, missing, later
python -m tools.cases --markdown    writes the count into tests/README.md

The cases are in `docs/cases.tsv`. A test carries the ids of its cases in its name or in the ids
of its parameters: `test_cp_034_cp_035_join…`, `pytest.param(…, id="ue_030")`.
"""

import argparse
import ast
import csv
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from tools import generated

ROOT = Path(__file__).resolve().parent.parent
TABLE = ROOT / "docs" / "cases.tsv"
TEST_FOLDERS = (ROOT / "tests", ROOT / "apps" / "pkgstats" / "tests")
README = ROOT / "tests" / "README.md"
NAME = "cases"
"""Of the generated part of the README."""

_ID = re.compile(r"(?<![a-z0-9])(cp|ra|ue|cl)_(\d{3})(?!\d)")


class Case(NamedTuple):
    id: str
    area: str
    summary: str
    scope: str
    """"now": has to have a test. "later": of a part that is not built yet."""


class Report(NamedTuple):
    covered: list[Case]
    """Every case with a test, of either scope."""
    missing: list[Case]
    later: list[Case]
    """Without a test, and of scope `later`."""


def read_cases(table: Path = TABLE) -> list[Case]:
    with table.open(encoding="utf-8", newline="") as file:
        rows = csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        if next(rows) != list(Case._fields):
            raise ValueError(f"{table}: the first line must name {Case._fields}")
        return [Case(*row) for row in rows]


def ids_in(text: str) -> set[str]:
    """The ids that a test's name carries, as in the table: `CP-034`."""
    return {f"{area.upper()}-{number}" for area, number in _ID.findall(text.lower())}


def ids_with_a_test(folders: Sequence[Path] = TEST_FOLDERS) -> dict[str, set[str]]:
    """Id → the tests that carry it, each as `path::function`."""
    found: dict[str, set[str]] = {}
    for folder in folders:
        for path in sorted(folder.rglob("test_*.py")):
            if "node_modules" in path.parts:
                continue
            where = path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else path.name
            for name, texts in _tests(ast.parse(path.read_text(encoding="utf-8"))):
                for case_id in set().union(*map(ids_in, texts)):
                    found.setdefault(case_id, set()).add(f"{where}::{name}")
    return found


def _tests(tree: ast.Module) -> Iterator[tuple[str, list[str]]]:
    """Each test function with the texts that may carry ids: its name, its parameters' ids."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if node.name.startswith("test_"):
            yield node.name, [node.name, *_parameter_ids(node.decorator_list)]


def _parameter_ids(decorators: Sequence[ast.expr]) -> Iterator[str]:
    for decorator in decorators:
        for node in ast.walk(decorator):
            if isinstance(node, ast.keyword) and node.arg in ("id", "ids"):
                for constant in ast.walk(node.value):
                    if isinstance(constant, ast.Constant) and isinstance(constant.value, str):
                        yield constant.value


def report(cases: Sequence[Case], tested: set[str]) -> Report:
    untested = [case for case in cases if case.id not in tested]
    return Report(
        [case for case in cases if case.id in tested],
        [case for case in untested if case.scope == "now"],
        [case for case in untested if case.scope != "now"],
    )


def markdown(cases: Sequence[Case], tested: set[str]) -> str:
    """The count for people, as a Markdown table."""
    lines = [
        "| area | cases | due now | of these tested | later | of these tested already |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    areas = list(dict.fromkeys(case.area for case in cases))
    for area in [*areas, None]:
        mine = [case for case in cases if area in (case.area, None)]
        cells = [len(mine)]
        for scope in ("now", "later"):
            due = [case for case in mine if case.scope == scope]
            cells += [len(due), sum(case.id in tested for case in due)]
        lines.append(f"| {area or '**all**'} | " + " | ".join(map(str, cells)) + " |")
    missing = report(cases, tested).missing
    lines += [
        "",
        "Due now and without a test: " + (", ".join(c.id for c in missing) or "none") + ".",
    ]
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status 1 when a case that is due has no test."""
    parser = argparse.ArgumentParser(prog="python -m tools.cases", description=__doc__)
    parser.add_argument("--markdown", action="store_true", help=f"write into {README.name}")
    args = parser.parse_args(argv)
    cases, tested = read_cases(), set(ids_with_a_test())
    found = report(cases, tested)
    unknown = sorted(tested - {case.id for case in cases})
    if args.markdown:
        generated.write(README, NAME, markdown(cases, tested))
    else:
        for title, group in zip(Report._fields, found, strict=True):
            print(f"{title}: {len(group)}")
            for case in () if title == "covered" else group:
                print(f"  {case.id}  {case.summary}")
    for case_id in unknown:
        print(f"a test carries {case_id}, which is no case", file=sys.stderr)
    return 1 if found.missing or unknown else 0


if __name__ == "__main__":
    sys.exit(main())
