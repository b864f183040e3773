"""What no file of the repository may hold: places and people it was made with."""

import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

REGISTRIES = ["npmjs.org", "npmjs.com", "pypi.org", "pythonhosted.org", "yarnpkg.com", "jsr.io"]
"""Where packages come from is the business of whoever installs them. Only this line names them."""
REGISTRY = re.compile("|".join(rf"\b{re.escape(host)}" for host in REGISTRIES))
MAIL = re.compile(
    r"[\w.%+-]+@(?:[a-z0-9-]+\.)+(?!(?:example|invalid|test)\b)[a-z]{2,}\b", re.IGNORECASE
)
"""Names that are reserved for examples (RFC 2606) belong to nobody."""
MACHINE_PATH = re.compile(r"(?<![\w.~:/-])/(?:home|root|Users|work|workspace|mnt|tmp)/[\w.-]+")
CREDENTIAL = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----|\bgh[pousr]_\w{20,}|\bxox[abp]-\w{10,}|\bAKIA[A-Z0-9]{16}\b"
)


def tracked_texts() -> list[tuple[str, str]]:
    """Name and text of every file that git keeps here; binary files are left out."""
    git = shutil.which("git")
    if git is None or not (ROOT / ".git").exists():
        pytest.skip("this is no git checkout")
    listing = subprocess.run(
        [git, "-c", f"safe.directory={ROOT}", "-C", str(ROOT), "ls-files", "-z"],
        check=True,
        capture_output=True,
    ).stdout.decode()
    texts: list[tuple[str, str]] = []
    for name in filter(None, listing.split("\0")):
        path = ROOT / name
        if not path.is_file():  # deleted, and not yet committed
            continue
        data = path.read_bytes()
        if b"\0" not in data:
            texts.append((name, data.decode("utf-8", "replace")))
    return texts


def lines_with(pattern: re.Pattern[str]) -> list[str]:
    here = Path(__file__).resolve().relative_to(ROOT).as_posix()
    return [
        f"{name}:{number}: {found[0]}"
        for name, text in tracked_texts()
        if name != here
        for number, line in enumerate(text.splitlines(), 1)
        if (found := pattern.search(line))
    ]


@pytest.mark.parametrize(
    "pattern",
    [REGISTRY, MAIL, MACHINE_PATH, CREDENTIAL],
    ids=["registry_host", "mail_address", "machine_path", "credential"],
)
def test_tracked_files_hold_none_of(pattern: re.Pattern[str]) -> None:
    assert lines_with(pattern) == []


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        (REGISTRY, "https://registry." + REGISTRIES[0] + "/x"),
        (MAIL, "somebody" + "@" + "mail.acme.org"),
        (MACHINE_PATH, "see /home" + "/somebody/notes"),
        (CREDENTIAL, "-----BEGIN " + "RSA PRIVATE KEY-----"),
    ],
)
def test_pattern_finds_what_it_is_for(pattern: re.Pattern[str], text: str) -> None:
    assert pattern.search(text)


@pytest.mark.parametrize(
    "text", ["@azure/web-pubsub-client@1.0.4", "role@demo.example", "see docs/tmp/x", "~/.local/x"]
)
def test_patterns_leave_ordinary_texts_alone(text: str) -> None:
    assert not any(p.search(text) for p in (REGISTRY, MAIL, MACHINE_PATH, CREDENTIAL))


def test_constraints_pin_versions_and_name_no_address() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert pins
    for line in pins:
        assert re.fullmatch(r"[A-Za-z0-9_.-]+==[A-Za-z0-9_.+!-]+", line), line


def test_dependencies_come_from_the_index_alone() -> None:
    for project in ("pyproject.toml", "apps/pkgstats/pyproject.toml"):
        table = tomllib.loads((ROOT / project).read_text())["project"]
        extras = table.get("optional-dependencies", {}).values()
        wanted = [*table["dependencies"], *(line for extra in extras for line in extra)]
        assert wanted
        for line in wanted:
            assert "@" not in line, line
            assert "://" not in line, line


def test_node_packages_are_locked_without_addresses() -> None:
    lock = (ROOT / "tests" / "node" / "package-lock.json").read_text()
    assert '"integrity"' in lock
    assert '"resolved": "http' not in lock
