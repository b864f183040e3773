"""Figures, sizes and ages in words."""

from datetime import UTC, datetime, timedelta

import pytest

from pkgstats.models import Block, Origin, OriginState
from pkgstats.web import words

NOW = datetime(2026, 7, 1, 10, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (9_999, "9,999"), (10_000, "10 k"), (134_113, "134 k"), (10_400_000, "10.4 M")],
)
def test_short_figure(value: int, text: str) -> None:
    assert words.short(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(999, "999 B"), (1_000, "1.0 kB"), (935_414, "935.4 kB"), (10**7, "10.0 MB")],
)
def test_size(value: int, text: str) -> None:
    assert words.size(value) == text


@pytest.mark.parametrize(
    ("passed", "text"),
    [
        (timedelta(seconds=-5), "just now"),
        (timedelta(seconds=59), "just now"),
        (timedelta(minutes=2), "2 min ago"),
        (timedelta(hours=1), "1 hour ago"),
        (timedelta(hours=47), "47 hours ago"),
        (timedelta(days=2), "2 days ago"),
        (timedelta(days=61), "2 months ago"),
        (timedelta(days=800), "2 years ago"),
    ],
)
def test_age(passed: timedelta, text: str) -> None:
    assert words.age(NOW - passed, NOW) == text


@pytest.mark.parametrize("state", OriginState)
def test_every_state_of_an_origin_has_words_and_a_mark(state: OriginState) -> None:
    origin = Origin(Block.DOWNLOADS, state)
    assert words.origin_words(origin, NOW)
    assert state in words.MARKS
    assert words.origin_words(Origin(Block.DOWNLOADS, state, words="own words"), NOW) == "own words"


def test_every_block_has_words() -> None:
    assert set(words.BLOCK_WORDS) == set(Block)


def test_a03_what_no_source_offers_is_not_available_from_this_source() -> None:
    origin = Origin(Block.SEARCH, OriginState.NOT_AVAILABLE)
    assert words.origin_words(origin, NOW) == "not available from this source"
