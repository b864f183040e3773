"""Access keys: where they come from, and that the kept one is private and made only once."""

import os
import stat
import threading
from pathlib import Path

import pytest

from hubbub.protocol.errors import SettingsError
from hubbub.service import auth

GOOD = "k" * 32
OTHER = "o" * 44


def test_random_key_is_usable_and_new_each_time() -> None:
    first, second = auth.random_access_key(), auth.random_access_key()
    assert len(first) == 44
    assert first != second
    assert auth.access_key_fault(first) == ""


@pytest.mark.parametrize(
    ("key", "word"),
    [
        ("", "empty"),
        ("k" * 31, "32 to 4,096 bytes"),
        ("k" * 4097, "32 to 4,096 bytes"),
        (" " + GOOD, "white space"),
        (GOOD + "\n", "white space"),
        (GOOD + ";x", "control"),
        (GOOD + "\x00x", "control"),
        (GOOD + "\x85x", "control"),
        (GOOD + "\udcff", "UTF-8"),
    ],
)
def test_key_when_malformed_is_refused_without_telling_it(key: str, word: str) -> None:
    fault = auth.access_key_fault(key)
    assert word in fault
    assert GOOD not in fault


def test_key_of_exactly_32_bytes_counts_bytes_not_characters() -> None:
    assert auth.access_key_fault(GOOD) == ""
    assert auth.access_key_fault("é" * 16) == ""
    assert auth.access_key_fault("é" * 15) != ""
    assert auth.access_key_fault("k" * 4096) == ""


def test_keys_from_environment_when_set_are_taken_as_they_are() -> None:
    both = {"HUBBUB_ACCESS_KEY": GOOD, "HUBBUB_ACCESS_KEY_SECONDARY": OTHER}
    assert auth.keys_from_environment(both) == (GOOD, OTHER)
    assert auth.keys_from_environment({"HUBBUB_ACCESS_KEY": GOOD}) == (GOOD, None)
    assert auth.keys_from_environment({}) == (None, None)


def test_keys_from_environment_when_both_are_wrong_tells_both() -> None:
    with pytest.raises(SettingsError) as caught:
        auth.keys_from_environment(
            {"HUBBUB_ACCESS_KEY": "", "HUBBUB_ACCESS_KEY_SECONDARY": "short-secret"}
        )
    assert [problem.split(":")[0] for problem in caught.value.problems] == [
        "HUBBUB_ACCESS_KEY",
        "HUBBUB_ACCESS_KEY_SECONDARY",
    ]
    assert "short-secret" not in str(caught.value)


def test_secondary_key_alone_is_an_error() -> None:
    with pytest.raises(SettingsError, match="HUBBUB_ACCESS_KEY is not"):
        auth.keys_from_environment({"HUBBUB_ACCESS_KEY_SECONDARY": GOOD})


def test_local_key_when_first_asked_is_made_private_and_kept(tmp_path: Path) -> None:
    environ = {"XDG_STATE_HOME": str(tmp_path / "a" / "b")}
    key = auth.local_access_key(environ)
    file = tmp_path / "a" / "b" / "hubbub" / "access-key"
    assert file.read_text() == key + "\n"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    for folder in (tmp_path / "a", tmp_path / "a" / "b", file.parent):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert auth.local_access_key(environ) == key
    assert os.listdir(file.parent) == ["access-key"]


def test_local_key_without_or_with_relative_state_folder_is_under_home(tmp_path: Path) -> None:
    home = {"HOME": str(tmp_path)}
    expected = tmp_path / ".local" / "state" / "hubbub" / "access-key"
    assert auth.local_key_path(home) == expected
    assert auth.local_key_path(home | {"XDG_STATE_HOME": "relative"}) == expected


def test_local_key_when_many_ask_at_once_is_one_key(tmp_path: Path) -> None:
    environ = {"XDG_STATE_HOME": str(tmp_path)}
    start = threading.Barrier(16)
    keys: list[str] = []

    def ask() -> None:
        start.wait()
        keys.append(auth.local_access_key(environ))

    threads = [threading.Thread(target=ask) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(keys) == 16
    assert len(set(keys)) == 1
    assert os.listdir(tmp_path / "hubbub") == ["access-key"]


def test_local_key_when_others_may_read_it_is_refused(tmp_path: Path) -> None:
    environ = {"XDG_STATE_HOME": str(tmp_path)}
    key = auth.local_access_key(environ)
    auth.local_key_path(environ).chmod(0o640)
    with pytest.raises(SettingsError, match="chmod 600") as caught:
        auth.local_access_key(environ)
    assert key not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"short\n", b"\xff" * 40, GOOD.encode() + b"\n\n"])
def test_local_key_when_file_is_damaged_says_so_and_keeps_it(
    tmp_path: Path, content: bytes
) -> None:
    environ = {"XDG_STATE_HOME": str(tmp_path)}
    file = auth.local_key_path(environ)
    file.parent.mkdir()
    file.write_bytes(content)
    file.chmod(0o600)
    with pytest.raises(SettingsError, match="remove the file"):
        auth.local_access_key(environ)
    assert file.read_bytes() == content


def test_local_key_when_folder_cannot_be_made_names_the_way_out(tmp_path: Path) -> None:
    (tmp_path / "hubbub").write_text("a file where the folder should be")
    with pytest.raises(SettingsError, match="HUBBUB_ACCESS_KEY"):
        auth.local_access_key({"XDG_STATE_HOME": str(tmp_path)})
