"""Commands that do something and end, over the recorded source."""

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from pkgstats import catalog as catalog_module
from pkgstats import project
from pkgstats.__main__ import main
from pkgstats.settings import Settings
from pkgstats.sources.choose import ABILITIES, Chosen, Place
from pkgstats.sources.record import recording, write_recording
from pkgstats.sources.recorded import RecordedSource, data_json
from pkgstats.sources.slim import slim_packument

VISITOR = "abcdefghijklmnopqrstuv"

Write = Callable[[object], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(content: object) -> Path:
        path = tmp_path / "package.json"
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return path

    return write


@pytest.fixture
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The database of the commands; their source is the recorded one."""

    async def choose(settings: Settings, *, demo: bool) -> Chosen:
        places = dict.fromkeys(ABILITIES, Place("recorded", "a test"))
        return Chosen(RecordedSource(), places, "", lambda name: True)

    monkeypatch.setattr(catalog_module, "choose_source", choose)
    monkeypatch.setenv("PKGSTATS_DB", str(tmp_path / "test.db"))
    return tmp_path / "test.db"


def column(database: Path, query: str) -> list[str]:
    db = sqlite3.connect(database)
    found = [row[0] for row in db.execute(query)]
    db.close()
    return found


def test_import_loads_what_a_project_needs_and_stars_it(
    write: Write, database: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write({"dependencies": {"ws": "^8", "no-such-demo": "1"}, "devDependencies": {"y": ""}})
    assert main(["import", str(path), "--watch", VISITOR]) == 0
    told = capsys.readouterr().out.splitlines()
    assert told[:3] == ["ws: loaded", "no-such-demo: no such package", "y: no such package"]
    assert told[-1] == "3 of 3 are on the watch list"
    assert column(database, "SELECT name FROM package WHERE level = 'seen'") == ["ws"]
    assert column(database, "SELECT name FROM star ORDER BY name") == ["no-such-demo", "ws", "y"]
    assert main(["import", str(path)]) == 0
    assert "ws: known already" in capsys.readouterr().out


def test_refresh_asks_for_what_is_due_only(
    write: Write, database: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["import", str(write({"dependencies": {"ws": "", "react": ""}}))])
    db = sqlite3.connect(database)
    db.execute("UPDATE package SET fetched_at = '2020-01-01T00:00:00+00:00' WHERE name = 'ws'")
    db.commit()
    db.close()
    capsys.readouterr()
    assert main(["refresh"]) == 0
    assert capsys.readouterr().out.splitlines() == ["ws: refreshed", "1 of 1"]
    assert main(["refresh"]) == 0
    assert capsys.readouterr().out.splitlines() == ["0 of 0"]


@pytest.mark.parametrize(
    ("content", "words"),
    [("{", "no JSON"), ("[]", "no package.json"), ("[" * 100_000, "no JSON"), ("{}", "depends on")],
)
def test_import_of_what_is_no_project_says_so_and_exits_1(
    write: Write, database: Path, capsys: pytest.CaptureFixture[str], content: str, words: str
) -> None:
    assert main(["import", str(write(content))]) == 1
    assert words in capsys.readouterr().err
    assert main(["import", str(write({})), "--watch", "me"]) == 1
    assert "watch list" in capsys.readouterr().err
    assert main(["import", str(database.parent / "missing.json")]) == 1
    assert "missing.json" in capsys.readouterr().err


def test_read_project_takes_packages_of_a_registry_only(write: Write) -> None:
    wanted = {
        "a": "^1",
        "alias": "npm:@s/real@^2",
        "bare-alias": "npm:other",
        "@types/x": "*",
        "folder": "file:../folder",
        "local": "workspace:*",
        "linked": "link:x",
        "web": "https://host.example/x.tgz",
        "code": "owner/repo#main",
        "git": "git+ssh://host.example/x.git",
        "../escape": "1",
        "_hidden": "1",
        "odd": 7,
    }
    found = project.read_project(write({"dependencies": wanted, "peerDependencies": {"a": "1"}}))
    assert found == ("a", "@s/real", "other", "@types/x", "odd")
    assert project.read_project(write({"dependencies": ["x"], "devDependencies": None})) == ()


def test_read_project_of_a_huge_file_stops(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(project, "MAX_BYTES", 1000)
    with pytest.raises(project.NotAProject, match="larger"):
        project.read_project(write(" " * 1001))


def test_a12_recording_keeps_facts_and_no_people(tmp_path: Path) -> None:
    at = "@"
    body = data_json("packuments/made-up.full-form.json")
    version = next(iter(body["versions"].values()))
    version |= {
        "scripts": {"postinstall": "x"},
        "author": {"name": "P", "email": f"p{at}h.example"},
        "repository": {"type": "git", "url": f"git{at}code.example:a/b.git"},
        "description": f"ask somebody{at}host.example",
        "dist": {"tarball": "https://r.example/demo/-/demo-1.tgz", "signatures": [1]},
    }
    path = write_recording(body, tmp_path / "new")
    text = path.read_text("utf-8")
    for gone in (f"p{at}h", f"somebody{at}", "maintainers", "_npmUser", "scripts", "signatures"):
        assert gone not in text, gone
    assert "r.example" not in text
    again = json.loads(text)
    assert again == recording(body)
    slim = slim_packument(again, body["name"])
    assert [r.version for r in slim.releases] == [
        r.version for r in slim_packument(body, body["name"]).releases
    ]


def test_record_of_too_many_or_of_no_name_exits_1(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["record", *"abcdef"]) == 1
    assert main(["record", "--to", "x", "../y"]) == 1
    assert "no package name" in capsys.readouterr().err
