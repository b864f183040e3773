"""`pkgstats tail` against a running site: lines appear as things happen."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from pkgstats.__main__ import main
from pkgstats.live.terminal import SiteUnreachable, feed, line_of, tail
from pkgstats.site import Site

MODEL = "@azure/web-pubsub-client"

in_module_loop = pytest.mark.asyncio(loop_scope="module")


async def following(lines: AsyncIterator[str], count: int) -> list[str]:
    async with asyncio.timeout(20):
        return [await anext(lines) for _ in range(count)]


@in_module_loop
async def test_l14_tail_prints_a_line_for_each_change_and_none_twice(
    site: Site, catalog: Any
) -> None:
    lines = tail(site.url, MODEL)
    assert await following(lines, 1) == [f"following {MODEL} on {site.url}"]
    rows = []
    for t, data in (
        ("downloads", {"total": 134226}),
        ("release", {"version": "1.1.0"}),
        ("deprecated", {"text": "old\x1b[2J"}),
    ):
        catalog.commit(t, data)
        rows.append(t)
    told: list[str] = []
    async with asyncio.timeout(20):
        while len(told) < 3:
            line = await anext(lines)
            if "watchers" not in line:
                told.append(line)
    assert [line.partition(" ")[2] for line in told] == [
        "downloads 134,226 (simulated data)",
        "release 1.1.0 (simulated data)",
        "deprecated: old\ufffd[2J (simulated data)",
    ]
    await lines.aclose()  # type: ignore[attr-defined]


@in_module_loop
async def test_l14_feed_prints_picks_and_new_versions(site: Site, catalog: Any) -> None:
    lines = feed(site.url)
    assert await following(lines, 1) == [f"following the feed of {site.url}"]
    pick = {"kind": "random", "name": "ws", "reason": "drawn"}
    for group in ("feed.bot", "feed.random"):  # the second one says the same
        catalog.commit_to(group, "pick", pick)
    catalog.commit_to("feed.newest", "newest", {"name": "ws", "version": "9.0.0"})
    assert [line.partition(" ")[2] for line in await following(lines, 2)] == [
        "random pick ws: drawn (simulated data)",
        "new ws 9.0.0 (simulated data)",
    ]
    await lines.aclose()  # type: ignore[attr-defined]


@in_module_loop
async def test_tail_of_no_site_says_which_address_was_asked(unused_tcp_port: int) -> None:
    with pytest.raises(SiteUnreachable, match=str(unused_tcp_port)):
        await anext(tail(f"http://127.0.0.1:{unused_tcp_port}", MODEL))


def test_tail_without_a_site_exits_1(
    unused_tcp_port: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["tail", "ws", "--site", f"http://127.0.0.1:{unused_tcp_port}"]) == 1
    assert "no pkgstats answers" in capsys.readouterr().err
    assert main(["feed", "--site", f"http://127.0.0.1:{unused_tcp_port}"]) == 1
    assert "no pkgstats answers" in capsys.readouterr().err
    assert main(["tail", "../ws"]) == 1


@pytest.mark.parametrize("message", [{}, {"t": 7}, {"t": "downloads", "data": {"total": "x"}}])
def test_line_of_what_is_not_as_agreed_is_a_line(message: dict[str, Any]) -> None:
    assert line_of(message).strip()
