"""NpmCliSource over a stand-in for npm that prints what npm prints."""

import base64
import hashlib
import json
import os
import sys
from collections.abc import AsyncIterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from pkgstats.sources.base import Answer, Failing, NoData, NotOffered, NotSet, Release
from pkgstats.sources.http import HttpSource
from pkgstats.sources.npm_cli import NpmCliSource
from pkgstats.sources.npmrc import NpmConfig
from pkgstats.sources.recorded import data_json

STAND_IN = """#!{python}
import json, pathlib, sys
folder = pathlib.Path({folder!r})
(folder / "asked").open("a").write(json.dumps(sys.argv[1:]) + "\\n")
script = json.loads((folder / "script.json").read_text())
command = sys.argv[1]
what = sys.argv[sys.argv.index("--") + 1]
answer = script.get(f"{{command}} {{what}}", {{"code": 1, "out": {{"error": {{"code": "E404"}}}}}})
if "file" in answer:
    target = pathlib.Path(sys.argv[sys.argv.index("--pack-destination") + 1])
    (target / "x-1.0.0.tgz").write_bytes(bytes.fromhex(answer["file"]))
out = answer["out"]
sys.stdout.write(out if isinstance(out, str) else json.dumps(out))
sys.exit(answer.get("code", 0))
"""


class Npm:
    """An executable that answers by a script, and what it was asked."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.path = folder / "npm"
        self.path.write_text(STAND_IN.format(python=sys.executable, folder=str(folder)))
        os.chmod(self.path, 0o755)

    def answers(self, **script: Any) -> None:
        (self._folder / "script.json").write_text(json.dumps(script))

    @property
    def asked(self) -> list[list[str]]:
        return [json.loads(line) for line in (self._folder / "asked").read_text().splitlines()]


@pytest.fixture
def npm(tmp_path: Path) -> Npm:
    return Npm(tmp_path)


@pytest.fixture
async def source(npm: Npm) -> AsyncIterator[NpmCliSource]:
    source = NpmCliSource(HttpSource(NpmConfig(None)), npm=str(npm.path))
    yield source
    await source.close()


async def test_packument_is_put_together_from_two_views(npm: Npm, source: NpmCliSource) -> None:
    body = data_json("packuments/azure-web-pubsub-client.json")
    name, versions = body["name"], list(body["versions"])
    listed = {"versions": versions, "time": body["time"], "dist-tags": body["dist-tags"]}
    npm.answers(
        **{
            f"view {name}": {"out": listed},
            f"view {name}@{' || '.join(versions)}": {"out": list(body["versions"].values())},
        }
    )
    answer = await source.packument(name)
    assert isinstance(answer, Answer)
    assert answer.value.latest == "1.1.0"
    assert len(answer.value.releases) == 7
    assert all("--json" in asked for asked in npm.asked)
    assert npm.asked[0][-5:] == [name, "versions", "time", "dist-tags", "maintainers"]


async def test_packument_of_one_version_is_an_object_and_no_list(
    npm: Npm, source: NpmCliSource
) -> None:
    listed = {"versions": "1.0.0", "dist-tags": {"latest": "1.0.0"}}
    details = {"name": "demo-a", "version": "1.0.0", "description": "x"}
    npm.answers(**{"view demo-a": {"out": listed}, "view demo-a@1.0.0": {"out": details}})
    answer = await source.packument("demo-a")
    assert isinstance(answer, Answer)
    assert answer.value.releases[0].description == "x"


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        ({"code": 1, "out": {"error": {"code": "E404"}}}, NoData()),
        ({"out": ""}, NoData()),
        ({"code": 1, "out": ""}, Failing("npm failed")),
        ({"code": 1, "out": {"error": {"code": "ENOTFOUND"}}}, Failing("npm failed (ENOTFOUND)")),
        ({"out": "npm notice"}, Failing("npm printed no JSON")),
    ],
)
async def test_what_npm_says_instead_lands_in_its_row(
    npm: Npm, source: NpmCliSource, answer: dict[str, Any], outcome: object
) -> None:
    npm.answers(**{"view demo-a": answer, "view demo-a@latest": answer})
    assert await source.packument("demo-a") == outcome
    assert await source.latest("demo-a") == outcome


async def test_latest_is_the_printed_version(npm: Npm, source: NpmCliSource) -> None:
    npm.answers(**{"view demo-a@latest": {"out": "1.3.0"}})
    assert await source.latest("demo-a") == Failing("npm printed no JSON")
    npm.answers(**{"view demo-a@latest": {"out": '"1.3.0"'}})
    answer = await source.latest("demo-a")
    assert isinstance(answer, Answer)
    assert answer.value == "1.3.0"


async def test_contents_are_packed_by_npm_and_checked_by_us(npm: Npm, source: NpmCliSource) -> None:
    import io
    import tarfile

    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        member = tarfile.TarInfo("package/README.md")
        member.size = 4
        tar.addfile(member, io.BytesIO(b"# Hi"))
    data = buffer.getvalue()
    npm.answers(**{"pack demo-a@1.0.0": {"out": [{"id": "x"}], "file": data.hex()}})
    integrity = "sha512-" + base64.b64encode(hashlib.sha512(data).digest()).decode()
    answer = await source.contents("demo-a", Release("1.0.0", integrity=integrity))
    assert isinstance(answer, Answer)
    assert answer.value.readme == "# Hi"
    wrong = await source.contents("demo-a", Release("1.0.0", integrity="sha512-x"))
    assert wrong == NotOffered("the tarball does not match its checksum")
    assert isinstance(await source.contents("demo-b", Release("1.0.0")), NotOffered)


async def test_without_npm_everything_is_not_set() -> None:
    source = NpmCliSource(HttpSource(NpmConfig(None)), npm="")
    assert isinstance(await source.packument("demo-a"), NotSet)
    assert isinstance(await source.contents("demo-a", Release("1.0.0")), NotSet)
    day = date(2026, 7, 1)
    assert isinstance((await source.downloads(["demo-a"], day, day))["demo-a"], NotSet)
    await source.close()


async def test_npm_that_prints_without_end_is_ended(
    npm: Npm, source: NpmCliSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pkgstats.sources.npm_cli.MAX_OUTPUT", 1000)
    npm.answers(**{"view ws@latest": {"out": "x" * 5_000_000}})
    assert await source.latest("ws") == Failing("npm printed too much")
