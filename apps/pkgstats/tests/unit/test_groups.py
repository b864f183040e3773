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


def test_l08_somebody_is_here_from_connected_to_disconnected_whatever_the_page() -> None:
    watchers = Watchers(publish_nothing, lambda counts: None)
    assert not watchers.present.is_set()
    watchers.connected("tab-1", "u")
    watchers.watch("tab-2", "u", "ws")  # its `connected` was lost
    assert (watchers.user_of("tab-1"), watchers.user_of("tab-2")) == ("u", "u")
    watchers.disconnected("tab-1")
    assert watchers.present.is_set()
    watchers.disconnected("tab-2")
    assert not watchers.present.is_set()
    assert watchers.user_of("tab-2") is None


def test_l04_list_keeps_packages_fresh_and_makes_nobody_a_watcher() -> None:
    watchers = Watchers(publish_nothing, lambda counts: None)
    watchers.watch_list("c", "u", ["ws", "react"])
    watchers.watch("d", "u", "ws")
    assert watchers.counts() == {"ws": 1, "react": 1}
    assert (watchers.count("ws"), watchers.count("react")) == (1, 0)
    watchers.unwatch("c", ["react", "unknown"])
    watchers.unwatch("nobody", ["ws"])
    assert watchers.counts() == {"ws": 1}
    full = [f"p{i}" for i in range(MAX_NAMES_PER_CONNECTION)]
    with pytest.raises(TooManyNames):
        watchers.watch_list("c", "u", full)  # with "ws" it is one too many: all or none
    assert watchers.counts() == {"ws": 1}
