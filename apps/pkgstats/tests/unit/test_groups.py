"""Watchers are counted as people, and within bounds."""

import pytest

from pkgstats.live.groups import MAX_NAMES_PER_CONNECTION, TooManyNames, Watchers


async def publish_nothing(name: str, count: int) -> None: ...


def test_l08_closed_tab_of_a_person_with_another_one_open_counts_no_less() -> None:
    watchers = Watchers(publish_nothing, lambda counts: None)
    for connection in ("tab-1", "tab-2"):
        watchers.watch(connection, "u", "ws")
    watchers.watch("tab-2", "u", "ws")  # said again, as after a recovery
    watchers.disconnected("tab-1")
    watchers.disconnected("unknown")
    assert watchers.counts() == {"ws": 1}
    watchers.disconnected("tab-2")
    assert watchers.counts() == {}


def test_l08_connection_may_watch_so_many_packages_and_no_more() -> None:
    watchers = Watchers(publish_nothing, lambda counts: None)
    for i in range(MAX_NAMES_PER_CONNECTION):
        watchers.watch("c", "u", f"p{i}")
    with pytest.raises(TooManyNames):
        watchers.watch("c", "u", "one-more")
    watchers.disconnected("c")
    assert watchers.counts() == {}
