"""The page of known faults has every fault once, and its tests exist."""

import re

import pytest
from tests.docs.pages import ROOT
from tests.docs.test_guarantees import names_in

_PAGE = (ROOT / "docs" / "known-faults.md").read_text()
FAULTS = re.findall(r"^\| F(\d+) \| (.+?) \| (.+?) \| (.+?) \|$", _PAGE, re.MULTILINE)


def test_page_has_every_fault_once_in_order() -> None:
    assert [int(number) for number, *_ in FAULTS] == list(range(1, 48))


@pytest.mark.parametrize(
    ("number", "fault", "ours", "tests"), FAULTS, ids=[f"F{number}" for number, *_ in FAULTS]
)
def test_fault_has_two_sentences_and_tests_that_exist(
    number: str, fault: str, ours: str, tests: str
) -> None:
    assert fault.endswith(".")
    assert ours.endswith(".")
    named = re.findall(r"`([^`:]+)::(\w+)`", tests)
    assert named
    assert ", ".join(f"`{path}::{name}`" for path, name in named) == tests
    for path, name in named:
        assert name in names_in(path), f"{path}::{name}"
    assert any(f"_f{int(number):02}_" in name for _, name in named), "one is about this fault"


def test_each_test_of_a_fault_is_named_in_its_row() -> None:
    rows = {int(number): tests for number, _, _, tests in FAULTS}
    for folder in ("client", "official_sdks"):
        for path in sorted((ROOT / "tests" / folder).glob("test_known_faults_*.py")):
            for name in names_in(path.relative_to(ROOT).as_posix()):
                for number in re.findall(r"_f(\d\d)(?=_)", name):
                    assert name in rows[int(number)], f"{path.name}::{name}"
