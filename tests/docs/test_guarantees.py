"""Every promise names tests, and these tests exist."""

import ast
import re
from functools import cache

import pytest
from tests.docs.pages import ROOT

_PAGE = (ROOT / "docs" / "guarantees.md").read_text()
PROMISES = re.findall(r"^\| (?!promise|---)(.+?) \| (.+?) \|$", _PAGE, re.MULTILINE)


@cache
def names_in(path: str) -> frozenset[str]:
    file = ROOT / path
    if not file.is_file():
        return frozenset()
    return frozenset(
        node.name
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    )


def test_there_are_promises() -> None:
    assert len(PROMISES) >= 30


@pytest.mark.parametrize(("promise", "tests"), PROMISES, ids=[p[:60] for p, _ in PROMISES])
def test_promise_is_a_sentence_with_tests_that_exist(promise: str, tests: str) -> None:
    assert promise.endswith(".")
    named = re.findall(r"`([^`:]+)::(\w+)`", tests)
    assert named
    assert ", ".join(f"`{path}::{name}`" for path, name in named) == tests
    for path, name in named:
        assert name in names_in(path), f"{path}::{name}"
