"""The docs name every setting, command, route, close code and promise that there is."""

import inspect
import re
import tomllib

import pytest
from tests.docs.pages import ROOT
from tools import generated, pages

import hubbub
from hubbub.client import Client, ClientOptions
from hubbub.protocol import errors, subprotocols
from hubbub.service.settings_table import HANDLER_SETTINGS, HUB_SETTINGS, TABLES

DOCS = ROOT / "docs"


@pytest.mark.parametrize(("page", "name"), pages.GENERATED)
def test_part_that_a_program_writes_is_the_written_one(page: str, name: str) -> None:
    made = pages.GENERATED[page, name]()
    assert generated.read(DOCS / page, name) == made.strip(), "run: python -m tools.pages"


def test_every_setting_is_in_the_reference() -> None:
    text = (DOCS / "reference" / "settings.md").read_text()
    rows = [row for table in TABLES.values() for row in table.values()]
    for row in [*rows, *HUB_SETTINGS, *HANDLER_SETTINGS]:
        assert f"`{row.key}`" in text, row.key
    for table in TABLES:
        assert f"## `[{table}]`" in text


def test_every_command_and_option_is_in_the_reference() -> None:
    text = (DOCS / "reference" / "cli.md").read_text()
    assert pages.commands()
    for name, parser in pages.commands().items():
        section = text.partition(f"## `hubbub {name}`")[2].partition("\n## ")[0]
        assert section, name
        for action in pages._options(parser):
            for option in action.option_strings or [str(action.metavar)]:
                assert f"`{option}" in section, (name, option)


def test_every_error_code_is_in_the_reference() -> None:
    text = (DOCS / "reference" / "errors.md").read_text()
    for kind in vars(errors).values():
        if isinstance(kind, type) and issubclass(kind, errors.HubbubError):
            assert f"| `{kind.code}` |" in text, kind


def test_readme_of_the_tests_names_every_folder() -> None:
    text = (ROOT / "tests" / "README.md").read_text()
    files = [*(ROOT / "tests").rglob("test_*.py"), *(ROOT / "tests" / "typing").glob("*.py")]
    folders = {file.relative_to(ROOT / "tests").parts[0] for file in files}
    assert {"wire", "typing", "docs"} <= folders
    for folder in folders:
        assert f"| `{folder}/` |" in text, folder


def test_wire_page_names_subprotocols_and_close_codes() -> None:
    text = (DOCS / "wire.md").read_text()
    for name in subprotocols.SUPPORTED:
        assert f"`{name}`" in text
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    codes = {kind.close_code for kind in kinds if issubclass(kind, errors.InvalidMessage)}
    assert codes == {1003, 1007, 1009}
    for code in {*codes, 1001, 1002, 1008, 1011}:
        assert f"| {code} |" in text, code


def test_settings_that_pages_name_exist() -> None:
    known = {row.key for table in TABLES.values() for row in table.values()}
    known |= {row.key for row in (*HUB_SETTINGS, *HANDLER_SETTINGS)}
    known |= set(ClientOptions.__annotations__)
    known |= set(inspect.signature(Client.open_group_stream).parameters)
    written = [
        DOCS / "start.md",
        DOCS / "wire.md",
        *DOCS.glob("howto/*.md"),
        *DOCS.glob("design/*.md"),
    ]
    for page in [*written, ROOT / "README.md", ROOT / "SECURITY.md"]:
        text = page.read_text()
        for name in re.findall(r"`((?:strict|max|outbound|recovery|close|drain)_\w+)`", text):
            assert name in known, (page, name)


def test_readme_says_what_is_not_there_yet_and_no_more() -> None:
    readme = (ROOT / "README.md").read_text()
    works, _, rest = readme.partition("**Not yet:**")
    not_yet = rest.partition("\n\n")[0]
    for name in subprotocols.SUPPORTED:
        assert f"`{name}`" in works, name
    speaks_protobuf = any(name.startswith("protobuf") for name in subprotocols.SUPPORTED)
    assert ("protobuf" in not_yet.lower()) == (not speaks_protobuf)
    for table in TABLES.values():
        for row in table.values():
            if row.key in ("compression", "metrics", "dashboard"):
                assert (row.key in not_yet) == (not row.field), row.key


def test_changelog_has_the_current_version() -> None:
    text = (ROOT / "CHANGELOG.md").read_text()
    latest = re.search(r"^## \[(\d+\.\d+\.\d+)\]", text, re.MULTILINE)
    assert latest is not None
    assert latest[1] == hubbub.__version__
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["version"] == hubbub.__version__
