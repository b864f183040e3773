"""Every reader of foreign bytes keeps its promises; `make fuzz` looks further with the same
functions."""

import random
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest
from fuzz.harnesses import HARNESSES, Harness, Run
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.fuzz.edits import damaged

from hubbub.protocol import tokens

FIXED = settings(max_examples=150, derandomize=True, database=None, deadline=None)
PURE = sorted(HARNESSES.keys() - {"sockets", "event_handler"})

FOUND: dict[str, list[bytes]] = {
    # A signed token of two parts was read as one without content.
    "tokens": [b"\2eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9"],
}
"""Inputs that once broke a promise."""


def inputs(harness: Harness) -> st.SearchStrategy[bytes]:
    """Mostly damaged seeds, and now and then bytes that look like nothing."""
    edited = st.builds(
        damaged, st.sampled_from(harness.seeds), st.just(harness.words), st.randoms()
    )
    return edited | edited | edited | st.binary(max_size=200)


@pytest.mark.parametrize("name", HARNESSES)
def test_hostile_bytes_break_no_promise(name: str) -> None:
    harness = HARNESSES[name]
    with harness.open() as run:
        for data in (b"", *harness.seeds, *harness.words, *FOUND.get(name, ())):
            run(data)

        @FIXED
        @given(inputs(harness))
        def try_it(data: bytes) -> None:
            run(data)

        try_it()


# --- time ------------------------------------------------------------------------------------

STEPS, STEPS_PER_BYTE = 3000, 150
"""Lines of Python for one input. A filter costs most: a few hundred for each of its words."""


def steps(run: Run, data: bytes) -> int:
    """Lines of Python that it takes: the same on every machine, unlike seconds."""
    count = 0

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal count
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        run(data)
    finally:
        sys.settrace(before)
    return count


REPEATED: dict[str, Callable[[int], bytes]] = {
    "words": lambda n: b" and userId eq 'x'" * n,
    "openings": lambda n: b"[" * n,
    "objects": lambda n: b'{"a":' * n,
    "parentheses": lambda n: b"(" * n,
    "quotes": lambda n: b"'" * n,
    "commas": lambda n: b"," * n,
    "dots": lambda n: b"." * n,
    "digits": lambda n: b"9" * n,
    "zeros": lambda n: b"\0" * n,
    "lines": lambda n: b"a: b\n" * n,
    "fields": lambda n: b"\x0a\x00" * n,
    "not text": lambda n: b"\xff" * n,
}


@pytest.mark.parametrize("name", PURE)
def test_steps_for_an_input_are_bounded_by_its_size(name: str) -> None:
    harness = HARNESSES[name]
    draw = random.Random(1)
    with harness.open() as run:
        for seed in harness.seeds:
            run(seed)
        many = [damaged(draw.choice(harness.seeds), harness.words, draw) for _ in range(200)]
        many += [make(n) for make in REPEATED.values() for n in (10, 1000, 8000)]
        many += [harness.seeds[0] + make(2000) for make in REPEATED.values()]
        for data in many:
            took = steps(run, data)
            assert took <= STEPS + STEPS_PER_BYTE * len(data), (took, len(data), data[:100])


# --- memory ----------------------------------------------------------------------------------

PASS = 1000
SPARE_BLOCKS = 300


@pytest.mark.parametrize("name", PURE)
def test_memory_does_not_grow_with_the_inputs(name: str) -> None:
    """Two passes of other inputs: the first may fill caches that have a bound."""
    harness = HARNESSES[name]
    draw = random.Random(2)
    with harness.open() as run:

        def blocks_after_a_pass() -> int:
            for _ in range(PASS):
                run(damaged(draw.choice(harness.seeds), harness.words, draw))
            tokens._known.cache_clear()  # bounded, but by more than a pass brings
            return sys.getallocatedblocks()

        blocks_after_a_pass()
        before = blocks_after_a_pass()
        assert blocks_after_a_pass() - before < SPARE_BLOCKS
