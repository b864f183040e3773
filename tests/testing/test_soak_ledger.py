"""The parts of a soak by themselves: who is owed what, and what breaks when."""

import itertools
from collections import Counter

from hubbub.testing.soak import figures
from hubbub.testing.soak.ledger import Ledger
from hubbub.testing.soak.schedule import schedule


def two_in_a_group() -> Ledger:
    ledger = Ledger(2)
    ledger.joined(0, "g", 1.0)
    ledger.joined(1, "g", 1.0)
    return ledger


def test_message_is_owed_until_it_comes_whether_before_or_after_its_ack() -> None:
    ledger = two_in_a_group()
    ledger.got(0, 0, 1)
    ledger.accepted(0, "g", 1, 2.0)
    assert ledger.owed == 1
    ledger.got(1, 0, 1)
    assert ledger.owed == 0
    ledger.close()
    assert (ledger.counts["lost"], ledger.counts["doubled"]) == (0, 0)


def test_message_that_is_passed_over_or_never_comes_is_lost() -> None:
    ledger = two_in_a_group()
    for number in (1, 2, 3):
        ledger.accepted(0, "g", number, 2.0)
    ledger.got(0, 0, 1)
    ledger.got(0, 0, 3)
    assert ledger.counts["lost"] == 1
    ledger.close()
    assert ledger.counts["lost"] == 4
    assert ledger.examples[0] == "lost: number 2 of client 0 to 0"


def test_message_that_comes_again_or_late_is_told_apart() -> None:
    ledger = two_in_a_group()
    for number in (1, 2):
        ledger.accepted(0, "g", number, 2.0)
    for number in (2, 1, 2):
        ledger.got(0, 0, number)
    assert (ledger.counts["lost"], ledger.counts["reordered"], ledger.counts["doubled"]) == (
        0,
        1,
        1,
    )


def test_only_members_from_before_the_send_until_its_ack_are_owed_it() -> None:
    ledger = two_in_a_group()
    ledger.joined(1, "g", 3.0)
    ledger.accepted(0, "g", 1, 2.0)
    assert ledger.owed == 1, "the second joined while it was sent"
    ledger.leaves(0, "g")
    ledger.leaves(1, "g")
    ledger.accepted(0, "g", 2, 4.0)
    assert ledger.owed == 1, "what was accepted before the leave still is"


def test_new_session_excuses_what_was_under_way_and_owes_what_comes() -> None:
    ledger = two_in_a_group()
    ledger.accepted(0, "g", 1, 2.0)
    ledger.reconnected(1, frozenset({"g"}), 5.0)
    assert (ledger.owed, ledger.counts["excused"]) == (1, 1)
    ledger.accepted(0, "g", 2, 4.0)
    ledger.accepted(0, "g", 3, 6.0)
    ledger.close()
    assert ledger.counts["lost"] == 4, "two of each"


def test_schedule_is_that_of_its_seed_and_over_in_time() -> None:
    first = schedule(7, 5, 120)
    assert first == schedule(7, 5, 120)
    assert first != schedule(8, 5, 120)
    assert all(fault.at_s + fault.lasts_s <= 120 for fault in first)
    kinds = Counter(fault.kind for fault in first)
    assert len(kinds) == 8
    for lane in range(5):
        mine = [fault for fault in first if fault.lane == lane]
        for before, after in itertools.pairwise(mine):
            assert before.at_s + before.lasts_s <= after.at_s, "one after the other"


def test_memory_that_grows_in_the_second_half_is_a_problem() -> None:
    flat = [figures.Sample(at_s, 0.0, 100.0, 1, 1) for at_s in range(101)]
    assert figures.memory_problem(flat) is None
    growing = [figures.Sample(at_s, 0.0, 100.0 + at_s, 1, 1) for at_s in range(101)]
    assert figures.memory_problem(growing) == "memory grew from 137 to 188 MB"
