"""The database: search, outbox, memory of absences, and what must not be in it."""

import asyncio
import random
import sqlite3
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from pkgstats.models import DayCount, Dependency, PublishedSource, Readme
from pkgstats.sources.base import Contents, Found, Packument, Release
from pkgstats.sources.recorded import data_json
from pkgstats.sources.slim import slim_packument
from pkgstats.store import (
    counts,
    outbox,
    packages,
    people,
    saving,
    search,
    states,
    trimming,
)
from pkgstats.store.states import BlockState, Ended
from pkgstats.store.store import IncompatibleDatabase, Store

NOW = datetime(2026, 7, 1, 6, 0, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    store = Store(tmp_path / "folder" / "test.db")
    await store.open()
    yield store
    await store.close()


def recorded(file: str) -> Packument:
    body = data_json(f"packuments/{file}.json")
    return slim_packument(body, body["name"])


def simple(name: str, version: str = "1.0.0", **fields: object) -> Packument:
    release = replace(Release(version), **fields)  # type: ignore[arg-type]
    tags = (("latest", version),)
    return Packument(name, version, tags, (release,), PublishedSource.UNKNOWN)


async def save(store: Store, *packuments: Packument, now: datetime = NOW) -> None:
    for one in packuments:
        await store.write(
            lambda db, one=one: saving.save_packument(db, one, now=now, simulated=False)  # type: ignore[misc]
        )


async def find(store: Store, text: str) -> list[str]:
    return await store.read(lambda db: search.search(db, text))


async def sent(store: Store) -> list[tuple[str, str, str]]:
    rows = await store.read(lambda db: outbox.pending(db, 1000))
    return [(row.target_kind, row.target, row.t) for row in rows]


# The file


async def test_open_when_the_file_is_no_database_says_so(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    path.write_text("this is no database, and it is long enough to be noticed as such" * 20)
    store = Store(path)
    with pytest.raises(IncompatibleDatabase, match=r"x\.db"):
        await store.open()
    await store.close()


async def test_open_when_the_database_is_of_another_version_touches_nothing(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    db = sqlite3.connect(path)
    db.execute("PRAGMA user_version = 99")
    db.close()
    store = Store(path)
    with pytest.raises(IncompatibleDatabase, match="schema 99"):
        await store.open()
    await store.close()


async def test_open_makes_a_newer_schema_of_an_older_one_and_keeps_what_is_there(
    tmp_path: Path,
) -> None:
    path, new = tmp_path / "old.db", tmp_path / "new.db"
    script = (Path(__file__).parent / "old" / "schema-1.sql").read_text("utf-8")
    db = sqlite3.connect(path)
    db.executescript(f"{script} PRAGMA user_version = 1;")
    db.execute(
        "INSERT INTO package (name, level, first_seen_at, changed_at, fetched_at)"
        " VALUES ('demo', 'seen', ?1, ?1, ?1)",
        (NOW.isoformat(),),
    )
    db.commit()
    db.close()
    shapes = []
    for file in (path, new):
        store = Store(file)
        await store.open()
        shapes.append(await store.read(shape))
        names = await store.read(packages.seen_names)
        assert names == (["demo"] if file == path else [])
        await save(store, recorded("ws"))
        await store.close()
    assert shapes[0] == shapes[1]


async def test_a_migration_that_breaks_off_leaves_the_old_database(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "old.db"
    script = (Path(__file__).parent / "old" / "schema-1.sql").read_text("utf-8")
    db = sqlite3.connect(path)
    # The last table of the script is there already, so its end fails.
    db.executescript(f"{script} CREATE TABLE note (x TEXT); PRAGMA user_version = 1;")
    before = shape(db)
    db.close()
    store = Store(path)
    with pytest.raises(IncompatibleDatabase, match="note"):
        await store.open()
    await store.close()
    db = sqlite3.connect(path)
    assert shape(db) == before
    assert db.execute("PRAGMA user_version").fetchone()[0] == 1
    db.close()


def shape(db: sqlite3.Connection) -> dict[str, list[tuple[str, str]]]:
    """Tables and indexes with the names and types of their columns."""
    names = [row[0] for row in db.execute("SELECT name FROM sqlite_master ORDER BY name")]
    return {
        name: sorted((row[1], row[2]) for row in db.execute(f"PRAGMA table_info('{name}')"))
        for name in names
    }


async def test_what_was_written_is_there_after_opening_again(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    for _ in range(2):
        store = Store(path)
        await store.open()
        if not await store.read(packages.seen_names):
            await save(store, recorded("ws"))
        names = await store.read(packages.seen_names)
        await store.close()
    assert names == ["ws"]


async def test_write_that_fails_in_the_middle_leaves_nothing(store: Store) -> None:
    def broken(db: sqlite3.Connection) -> None:
        saving.save_packument(db, recorded("ws"), now=NOW, simulated=False)
        raise RuntimeError("the lights go out")

    with pytest.raises(RuntimeError):
        await store.write(broken)
    assert await store.read(packages.seen_names) == []
    assert await sent(store) == []


# Packages


async def test_save_packument_twice_with_the_same_facts_tells_nothing_new(store: Store) -> None:
    await save(store, recorded("ws"))
    before = await sent(store)
    await save(store, recorded("ws"), now=LATER)
    assert await sent(store) == before
    stored = await store.read(lambda db: packages.find(db, "ws"))
    assert stored is not None
    assert (stored.fetched_at, stored.changed_at) == (LATER, NOW)


async def test_release_is_told_to_group_newest_and_everybody_who_starred(store: Store) -> None:
    await save(store, simple("demo-a"))
    await store.write(lambda db: people.star(db, "visitor-1", "demo-a", NOW))
    await store.write(lambda db: outbox.mark_sent(db, [1], NOW))
    await save(store, simple("demo-a", "1.1.0"))
    assert await sent(store) == [
        ("group", "pkg:demo-a", "release"),
        ("group", "feed.newest", "newest"),
        ("user", "visitor-1", "release"),
    ]
    row = (await store.read(lambda db: outbox.pending(db, 1)))[0]
    assert row.envelope()["data"]["previous"] == "1.0.0"
    assert "simulated" not in row.envelope()


async def test_a08_deprecation_is_told_to_the_group(store: Store) -> None:
    await save(store, simple("demo-a"), simple("demo-a", deprecated="no more"))
    assert (await sent(store))[-1] == ("group", "pkg:demo-a", "deprecated")


async def test_versions_keep_their_order_tags_and_own_facts(store: Store) -> None:
    await save(store, recorded("react"), recorded("made-up.full-form"))
    rows = await store.read(lambda db: packages.versions(db, "@demo/widget"))
    assert [(row.version, row.tags) for row in rows] == [
        ("3.0.0-beta.2", ("next",)),
        ("2.1.0", ("latest",)),
        ("1.9.9", ("legacy",)),
    ]
    old = await store.read(lambda db: packages.release(db, "react", "0.5.2"))
    new = await store.read(lambda db: packages.release(db, "react", "latest"))
    assert old is not None
    assert new is not None
    assert old.description != new.description  # another project had the name
    assert await store.read(lambda db: packages.release(db, "react", "99.0.0")) is None


async def test_contents_come_back_as_they_were_stored(store: Store) -> None:
    await save(store, simple("demo-a"))
    found = Contents("# Hi", True, (), 10, 20, "sha512-x")
    readme = Readme("<h2>Hi</h2>", (), True)
    await store.write(
        lambda db: saving.save_contents(
            db, "demo-a", "1.0.0", found, readme, "r1", now=NOW, simulated=True
        )
    )
    back = await store.read(lambda db: packages.contents(db, "demo-a", "1.0.0"))
    assert back is not None
    assert (back.readme, back.packed, back.unpacked, back.renderer) == (readme, 10, 20, "r1")
    assert await store.read(lambda db: packages.markdown(db, "demo-a", "1.0.0")) == "# Hi"
    assert (await sent(store))[-1] == ("group", "pkg:demo-a", "readme")
    await save(store, simple("demo-a", description="new"))  # sizes stay
    rows = await store.read(lambda db: packages.versions(db, "demo-a"))
    assert rows[0].unpacked_size == 20


async def test_forget_withdrawn_takes_the_package_out_of_lists_and_search(store: Store) -> None:
    await save(store, simple("demo-a", description="a thing"))
    await store.write(lambda db: saving.forget_withdrawn(db, "demo-a"))
    assert await find(store, "demo-a") == []
    assert await store.read(lambda db: packages.find(db, "demo-a")) is None


async def test_a12_no_mail_address_of_registry_data_is_in_the_database(
    store: Store, tmp_path: Path
) -> None:
    for file in ("made-up.full-form", "made-up.odd-forms", "left-pad"):
        await save(store, recorded(file))
    await store.close()
    data = b"".join(path.read_bytes() for path in (tmp_path / "folder").iterdir())
    assert b"demo-team" in data
    assert b"role" + b"@demo.example" not in data


# Counts


def week(*numbers: int | None) -> list[DayCount]:
    return [DayCount(date(2026, 6, 24) + timedelta(days=i), n) for i, n in enumerate(numbers)]


async def test_counts_that_are_new_are_told_once(store: Store) -> None:
    await save(store, simple("demo-a"))
    for _ in range(2):
        await store.write(
            lambda db: counts.save(db, "demo-a", week(1, 2, 3), now=NOW, simulated=True)
        )
    told = [row for row in await sent(store) if row[2] == "downloads"]
    assert told == [("group", "pkg:demo-a", "downloads")]
    row = (await store.read(lambda db: outbox.pending(db, 10)))[-1]
    assert row.data["total"] == 6
    assert row.envelope()["simulated"] is True


async def test_s11_holes_at_the_newest_end_do_not_shorten_the_month(store: Store) -> None:
    await save(store, simple("demo-a"))
    numbers: list[int | None] = [*([1000] * 33), None, None]
    days = [DayCount(date(2026, 5, 27) + timedelta(days=i), n) for i, n in enumerate(numbers)]
    await store.write(lambda db: counts.save(db, "demo-a", days, now=NOW, simulated=False))
    month = await store.read(lambda db: counts.load(db, "demo-a", 30, simulated=False))
    assert month is not None
    assert (month.total, month.holes, len(month.days)) == (30_000, 0, 30)


async def test_first_wanted_asks_again_for_the_last_days_only(store: Store) -> None:
    end = date(2026, 7, 10)
    wanted = await store.read(lambda db: counts.first_wanted(db, ["demo-a"], end))
    assert wanted == end - timedelta(days=547)
    await store.write(lambda db: counts.save(db, "demo-a", week(1, 2), now=NOW, simulated=False))
    wanted = await store.read(lambda db: counts.first_wanted(db, ["demo-a"], end))
    assert wanted == date(2026, 6, 18)


# Search


async def test_s03_a04_search_ranks_name_before_keywords_before_words(store: Store) -> None:
    await save(
        store,
        simple("table", description="x"),
        simple("tablet", description="x"),
        simple("@demo/table", description="x"),
        simple("big-table-view", description="x"),
        simple("grid", keywords=("table",)),
        simple("words", description="draws a table of things"),
        simple("other", description="nothing of the kind"),
        simple("table-old", deprecated="gone"),
    )
    assert await find(store, "table") == [
        "table",
        "@demo/table",
        "tablet",
        "big-table-view",
        "grid",
        "words",
        "table-old",
    ]
    assert await store.read(search.count_seen) == 8


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("draw table", ["words"]),  # porter: draws
        ("keywords:table", ["grid"]),
        ("maintainer:demo-team", ["@demo/widget"]),
        ("maintainer:nobody", []),
        ("scope:demo", ["@demo/widget"]),
        ("scope:demo gadget", []),
        ("@demo/widget", ["@demo/widget"]),
        ("wid", ["@demo/widget", "demo-widget"]),
        ("WIDGET", ["@demo/widget", "demo-widget"]),
        ("wi", ["@demo/widget", "demo-widget"]),
        ("not:deprecated", []),
        ('"', []),
        ("% _ * ( ) NEAR AND -", []),
        ("%", []),
    ],
)
async def test_s03_search_understands_words_and_qualifiers(
    store: Store, text: str, names: list[str]
) -> None:
    await save(
        store,
        recorded("made-up.full-form"),
        simple("grid", keywords=("table",)),
        simple("words", description="draws a table of things"),
    )
    assert await find(store, text) == names


@pytest.mark.parametrize("text", ["", "a", '"""', '"a" OR "b"', "% * NEAR(", "x" * 500])
async def test_near_takes_any_text(store: Store, text: str) -> None:
    await save(store, simple("table"))
    assert await store.read(lambda db: search.near(db, text, 5)) == []


async def test_search_among_equals_more_downloads_come_first(store: Store) -> None:
    await save(store, simple("part-a"), simple("part-b"), simple("part-c"))
    await store.write(lambda db: counts.save(db, "part-b", week(5), now=NOW, simulated=False))
    assert await find(store, "part") == ["part-b", "part-a", "part-c"]


async def test_names_of_dependencies_are_found_after_what_was_seen(store: Store) -> None:
    await save(store, recorded("azure-web-pubsub-client"))
    assert await find(store, "abort-controller") == ["@azure/abort-controller"]
    assert await store.read(search.count_seen) == 1
    assert await store.read(lambda db: packages.find(db, "@azure/abort-controller")) is None


async def test_dependents_are_counted_anew_whenever_somebody_changes_what_it_needs(
    store: Store,
) -> None:
    needs = (Dependency("dependencies", "demo-base", "1"), Dependency("peerDependencies", "x", "1"))
    twice = (*needs, Dependency("peerDependencies", "demo-base", "1"))
    steps = [
        ([simple("demo-a", dependencies=twice)], 1),
        ([simple("demo-b", dependencies=needs), simple("demo-base")], 2),
        ([simple("demo-a", "2.0.0")], 1),
    ]
    for saved, wanted in steps:
        await save(store, *saved)
        row = await store.read(
            lambda db: db.execute(
                "SELECT dependents FROM package WHERE name = 'demo-base'"
            ).fetchone()
        )
        assert row["dependents"] == wanted
    await store.write(lambda db: saving.forget_withdrawn(db, "demo-b"))
    found = await store.read(lambda db: packages.find(db, "demo-base"))
    assert found is not None
    assert found.dependents == 0


async def test_suggestions_of_many_are_found_by_index_and_the_best_come_first(
    store: Store,
) -> None:
    names = [f"web-{i:04}" for i in range(600)] + ["@demo/web-own", "Web-Old", "x-web"]
    await store.write(lambda db: saving.save_names(db, names, NOW))
    await save(store, simple("web-0599"), simple("@demo/web-own"))
    found = await store.read(lambda db: search.by_prefix(db, "web-", 4))
    assert found == ["@demo/web-own", "web-0599", "Web-Old", "web-0000"]
    plans = await store.read(
        lambda db: [
            row["detail"]
            for text in (search.BY_PREFIX, people.NEWEST, people.POPULAR)
            for row in db.execute(f"EXPLAIN QUERY PLAN {text}", ("a", "b", 3)[: text.count("?")])
        ]
    )
    assert not [plan for plan in plans if plan.startswith("SCAN") and "INDEX" not in plan], plans


async def test_save_found_never_overwrites_what_was_loaded_here(store: Store) -> None:
    await save(store, simple("demo-a", description="ours"))
    found = [
        Found(name, "9.0.0", "theirs", "demo-team", NOW, "MIT", (), (), 7)
        for name in ("demo-a", "demo-b")
    ]
    await store.write(lambda db: saving.save_found(db, found, NOW))

    def read(db: sqlite3.Connection) -> dict[str, tuple[str, str]]:
        rows = db.execute("SELECT name, description, latest FROM package")
        return {row["name"]: (row["description"], row["latest"]) for row in rows}

    assert await store.read(read) == {"demo-a": ("ours", "1.0.0"), "demo-b": ("theirs", "9.0.0")}


async def test_by_prefix_finds_the_own_part_of_scoped_names(store: Store) -> None:
    await save(store, recorded("azure-web-pubsub-client"), simple("web"), simple("a_b"))
    names = await store.read(lambda db: search.by_prefix(db, "web", 5))
    assert names == ["web", "@azure/web-pubsub-client"]
    assert await store.read(lambda db: search.by_prefix(db, "a%", 5)) == []
    assert await store.read(lambda db: search.by_prefix(db, "a_", 5)) == ["a_b"]


# Outbox, states, people


@pytest.mark.parametrize("tries", [0, 20])
async def test_draw_takes_each_that_may_be_drawn_equally_often_and_none_twice(
    store: Store, monkeypatch: pytest.MonkeyPatch, tries: int
) -> None:
    monkeypatch.setattr(people, "TRIES_EACH", tries)
    assert await store.read(lambda db: people.draw(db, random.Random(1), 3)) == []
    good = [f"good-{n}" for n in range(6)]
    await save(store, simple("mute"), simple("old", description="x", deprecated="x"))
    await save(store, *(simple(name, description="x") for name in good))
    choice = random.Random(1)
    drawn = Counter[str]()
    for _ in range(400):
        names = await store.read(lambda db: people.draw(db, choice, 3))
        assert len(names) == len(set(names)) == 3
        drawn.update(names)
    assert set(drawn) == set(good)
    assert all(150 < times < 250 for times in drawn.values())
    everything = await store.read(lambda db: people.draw(db, choice, 50))
    assert sorted(everything) == good


async def test_outbox_ids_are_never_used_again(store: Store) -> None:
    def add(db: sqlite3.Connection) -> int:
        return outbox.add(db, "all", "", "notice", {}, now=NOW, simulated=False)

    first = await store.write(add)
    await store.write(lambda db: outbox.mark_sent(db, [first], NOW))
    await store.write(lambda db: outbox.mark_sent(db, [], NOW + timedelta(days=2)))
    assert await store.write(add) == first + 1
    assert await store.read(outbox.last_id) == first + 1


async def test_outbox_after_a_crash_repeats_but_loses_nothing(tmp_path: Path) -> None:
    """A publisher that dies after sending and before marking: the effect is exactly once."""
    applied: dict[int, str] = {}
    path = tmp_path / "x.db"
    for life in range(6):
        store = Store(path)
        await store.open()
        await save(store, simple("demo-a", f"1.{life}.0"))
        for row in await store.read(lambda db: outbox.pending(db, 100)):
            applied.setdefault(row.id, row.t)  # a page drops ids that it knows
            if life % 2:  # … and every second life ends before the mark
                await store.write(lambda db, row=row: outbox.mark_sent(db, [row.id], NOW))  # type: ignore[misc]
        await store.close()
    assert list(applied.values()) == ["package", *["release", "newest"] * 5]


async def test_outbox_that_nobody_empties_has_an_end(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "MAX_KEPT", 3)

    def add(db: sqlite3.Connection) -> int:
        return outbox.add(db, "all", "", "notice", {}, now=NOW, simulated=False)

    ids = [await store.write(add) for _ in range(5)]
    rows = await store.read(lambda db: outbox.pending(db, 10))
    assert [row.id for row in rows] == ids[2:]


async def test_r12_absence_is_remembered_until_its_time(store: Store) -> None:
    state = BlockState(Ended.NO_DATA, NOW, LATER, "")
    await store.write(lambda db: states.save_block(db, "nope", "registry", state))
    assert await store.read(lambda db: states.block(db, "nope", "registry")) == state
    assert await store.read(lambda db: states.block(db, "nope", "readme", "1.0.0")) is None


async def test_a05_ability_states_keep_since_while_they_stay(store: Store) -> None:
    for ended, now in ((Ended.OK, NOW), (Ended.OK, LATER), (Ended.FAILING, LATER)):
        await store.write(
            lambda db, ended=ended, now=now: states.save_ability(db, "search", ended, now=now)  # type: ignore[misc]
        )
        found = (await store.read(states.abilities))["search"]
        assert found.since == (LATER if ended is Ended.FAILING else NOW)
        assert found.last_contact == now


async def test_stars_have_a_limit_and_can_be_taken_back(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(people, "MAX_STARS", 2)
    stars = [await store.write(lambda db, n=n: people.star(db, "v", n, NOW)) for n in "abc"]  # type: ignore[misc]
    assert stars == [True, True, False]
    await store.write(lambda db: people.unstar(db, "v", "a"))
    assert [row["name"] for row in await store.read(lambda db: people.stars(db, "v"))] == ["b"]


async def test_readers_are_not_held_up_by_a_writer(store: Store) -> None:
    await save(store, simple("demo-a"))
    inside, go_on = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def slow(db: sqlite3.Connection) -> None:
        db.execute("DELETE FROM package")
        loop.call_soon_threadsafe(inside.set)
        asyncio.run_coroutine_threadsafe(go_on.wait(), loop).result(10)

    writing = asyncio.create_task(store.write(slow))
    await inside.wait()
    assert await store.read(packages.seen_names) == ["demo-a"]
    go_on.set()
    await writing
    assert await store.read(packages.seen_names) == []


async def test_trim_forgets_the_longest_unasked_and_keeps_what_somebody_stars(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trimming, "MAX_SEEN", 3)
    monkeypatch.setattr(trimming, "MAX_CONTENTS", 1)
    monkeypatch.setattr(trimming, "AT_ONCE", 2)
    names = [f"demo-{letter}" for letter in "abcdefg"]
    for hours, name in enumerate(names):
        at = NOW + timedelta(hours=hours)
        await save(store, simple(name), now=at)
        contents = Contents("# x", False, (), 1, 1, "sha512-x")
        await store.write(
            lambda db, name=name, at=at, contents=contents: saving.save_contents(  # type: ignore[misc]
                db, name, "1.0.0", contents, None, "r", now=at, simulated=False
            )
        )
    await store.write(lambda db: people.star(db, "v", "demo-a", NOW))
    await store.write(lambda db: people.add_visits(db, {"demo-b": 1}, NOW.date()))
    rounds = 1
    while await store.write(lambda db: trimming.trim(db, LATER)):
        rounds += 1
    assert rounds == 2
    assert await store.read(packages.seen_names) == ["demo-a", "demo-b", "demo-g"]
    assert await find(store, "demo-c") == []
    left = await store.read(lambda db: [r["name"] for r in db.execute("SELECT name FROM contents")])
    assert left == ["demo-g"]


async def test_stars_of_all_visitors_together_have_a_limit(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(people, "MAX_ALL_STARS", 2)
    stars = [await store.write(lambda db, v=v: people.star(db, v, "a", NOW)) for v in "xyz"]  # type: ignore[misc]
    assert stars == [True, True, False]
