"""Death in the middle: whatever the moment, a change and its message stay together, and the
messages' effect is once.

A reader stands for a page: it applies each message id once and drops repeats.
"""

import asyncio
import json
import random
import sqlite3
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest

from hubbub.appserver import RequestError, ServiceClient
from pkgstats.catalog import Catalog, open_catalog
from pkgstats.live.publisher import publish_changes
from pkgstats.models import OutboxRow
from pkgstats.settings import Settings
from pkgstats.store import outbox
from pkgstats.store.store import Store

NOW = datetime(2026, 7, 1, 6, 0, tzinfo=UTC)
LIVES = 8

WRITER = """
import asyncio, json, sys
from datetime import UTC, datetime
from pathlib import Path
from pkgstats.store import outbox
from pkgstats.store.store import Store

NOW = datetime(2026, 7, 1, 6, 0, tzinfo=UTC)

def change(db):
    '''A change and its message: the n-th one says n.'''
    n = db.execute("SELECT count(*) FROM visit").fetchone()[0] + 1
    db.execute("INSERT INTO visit VALUES (?, 'demo', ?)", (f"day-{n:06}", n))
    for k in range(3):  # a change may have several messages: all of them or none
        outbox.add(db, "group", "g", "t", {"n": n, "k": k}, now=NOW, simulated=False)

async def main():
    store = Store(Path(sys.argv[1]))
    await store.open()
    while True:
        await store.write(change)
        for row in await store.read(lambda db: outbox.pending(db, 4)):
            print(json.dumps([row.id, row.data["n"], row.data["k"]]), flush=True)
            await store.write(lambda db: outbox.mark_sent(db, [row.id], NOW))

asyncio.run(main())
"""


async def test_killed_processes_leave_each_change_with_all_its_messages_sent_once_in_effect(
    tmp_path: Path,
) -> None:
    """kill -9 after a random number of sent messages, again and again, on one file."""
    path = tmp_path / "x.db"
    choice = random.Random(7)
    applied: dict[int, tuple[int, int]] = {}
    repeats = 0
    for _ in range(LIVES):
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", WRITER, str(path), stdout=asyncio.subprocess.PIPE
        )
        assert process.stdout is not None
        for _ in range(choice.randint(1, 25)):
            line = await asyncio.wait_for(process.stdout.readline(), 30)
            id_, n, k = json.loads(line)
            repeats += id_ in applied
            assert applied.setdefault(id_, (n, k)) == (n, k)
        process.kill()
        rest = await process.stdout.read()  # written before the kill: sent as well
        for line in rest.splitlines(keepends=True):
            if line.endswith(b"\n"):
                id_, n, k = json.loads(line)
                applied[id_] = (n, k)
        await process.wait()
    store = Store(path)
    await store.open()
    for row in await store.read(lambda db: outbox.pending(db, 1000)):
        applied[row.id] = (row.data["n"], row.data["k"])
    await store.close()
    db = sqlite3.connect(path)
    changes = [row[0] for row in db.execute("SELECT count FROM visit ORDER BY day")]
    assert db.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
    db.close()
    assert changes == list(range(1, len(changes) + 1))
    in_order = [applied[id_] for id_ in sorted(applied)]
    assert in_order == [(n, k) for n in changes for k in range(3)]


class Dies(Exception):
    """The publisher's process ends here."""


class Group:
    """Stands for hubbub: hands every message to one page; dies or refuses where it is told."""

    def __init__(self, choice: random.Random) -> None:
        self._choice = choice
        self.heard: list[int] = []
        self.page: dict[int, Any] = {}

    async def send_to_group(self, group: str, message: dict[str, Any]) -> None:
        fate = self._choice.random()
        if fate < 0.02:
            raise Dies  # before it was sent
        if fate < 0.05:
            raise RequestError("not now", status=503, retryable=True)
        self.heard.append(message["id"])
        self.page.setdefault(message["id"], message)
        if fate < 0.07:
            raise Dies  # sent, not yet marked

    send_to_user = send_to_group


@pytest.fixture
async def demo(tmp_path: Path) -> AsyncIterator[Catalog]:
    settings = Settings(world_day_s=0, db=str(tmp_path / "demo.db"))
    async with open_catalog(settings, demo=True) as catalog:
        await catalog.mark_sent([row.id for row in await catalog.pending(10_000)])
        yield catalog


@pytest.mark.parametrize("seed", range(5))
async def test_publisher_that_dies_anywhere_loses_nothing_and_keeps_the_order(
    demo: Catalog, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    monkeypatch.setattr("pkgstats.catalog.RESEND_PAUSE_S", 0.001)
    await demo.pass_day()
    committed = await demo.pending(10_000)
    assert len(committed) > 20
    group = Group(random.Random(seed))
    client = cast(ServiceClient, group)
    lives = 0
    async with asyncio.timeout(60):
        while await demo.pending(1):
            lives += 1
            publishing = asyncio.create_task(publish_changes(demo, client))
            drained = asyncio.create_task(_drained(demo))
            await asyncio.wait([publishing, drained], return_when=asyncio.FIRST_COMPLETED)
            for task in (publishing, drained):
                task.cancel()
            await asyncio.gather(publishing, drained, return_exceptions=True)
    assert lives > 1
    assert list(group.page) == [row.id for row in committed]  # first hearings come in order
    assert len(group.heard) > len(group.page)  # there were repeats, and the page dropped them
    assert [message["data"] for message in group.page.values()] == [_data(r) for r in committed]


async def _drained(catalog: Catalog) -> None:
    while await catalog.pending(1):
        await asyncio.sleep(0)


def _data(row: OutboxRow) -> dict[str, Any]:
    return row.envelope()["data"]  # type: ignore[no-any-return]
