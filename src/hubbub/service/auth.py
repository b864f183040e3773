"""Access keys: from the environment, or one of this machine's user that is made at first use.

A key is text; its UTF-8 bytes sign tokens and events. Keys are never logged and never part of an
error message.
"""

import os
import secrets
import stat
from collections.abc import Mapping
from pathlib import Path

from hubbub.protocol.errors import SettingsError

KEY_VARIABLE = "HUBBUB_ACCESS_KEY"
SECONDARY_KEY_VARIABLE = "HUBBUB_ACCESS_KEY_SECONDARY"

MIN_KEY_BYTES = 32
"""HS256 wants a key as long as its hash (RFC 7518, 3.2)."""
MAX_KEY_BYTES = 4096


def random_access_key() -> str:
    """A new key of 44 characters, 33 random bytes."""
    return secrets.token_urlsafe(33)


def access_key_fault(key: str) -> str:
    """What is wrong with a key, or "". The text never holds the key."""
    try:
        size = len(key.encode())
    except UnicodeEncodeError:
        return "is no valid UTF-8"
    if not key:
        return "is set but empty"
    if key != key.strip():
        return "has white space around it"
    if ";" in key or any(ord(char) < 32 or 127 <= ord(char) < 160 for char in key):
        return 'holds a ";" or a control character'
    if not MIN_KEY_BYTES <= size <= MAX_KEY_BYTES:
        return f"must have {MIN_KEY_BYTES} to {MAX_KEY_BYTES:,} bytes, has {size:,}"
    return ""


def keys_from_environment(environ: Mapping[str, str]) -> tuple[str | None, str | None]:
    """Primary and secondary key, None where not set; raises `SettingsError` for unusable ones."""
    primary = environ.get(KEY_VARIABLE)
    secondary = environ.get(SECONDARY_KEY_VARIABLE)
    problems = [
        f"{name}: the key {fault}"
        for name, key in ((KEY_VARIABLE, primary), (SECONDARY_KEY_VARIABLE, secondary))
        if key is not None and (fault := access_key_fault(key))
    ]
    if secondary is not None and primary is None:
        problems.append(f"{SECONDARY_KEY_VARIABLE}: set, but {KEY_VARIABLE} is not")
    if problems:
        raise SettingsError(problems)
    return primary, secondary


def local_access_key(environ: Mapping[str, str] | None = None) -> str:
    """The key of this machine's user, made at first use; raises `SettingsError`.

    Every program of the user gets the same key, also when several ask at the same moment.
    """
    path = local_key_path(os.environ if environ is None else environ)
    try:
        try:
            return _read_key(path)
        except FileNotFoundError:
            _make_private_folder(path.parent)
            _create_key(path)
            return _read_key(path)
    except OSError as error:
        raise SettingsError(
            [f"cannot keep an access key in {path}: {error.strerror}; set {KEY_VARIABLE}"]
        ) from error


def local_key_path(environ: Mapping[str, str]) -> Path:
    """`hubbub/access-key` in the user's state folder."""
    state_home = Path(environ.get("XDG_STATE_HOME", ""))
    # The XDG rules: a relative path is to be ignored.
    if not state_home.is_absolute():
        home = Path(environ.get("HOME", ""))
        try:
            home = home if home.is_absolute() else Path.home()
        except RuntimeError as error:
            message = f"this user has no home folder for an access key; set {KEY_VARIABLE}"
            raise SettingsError([message]) from error
        state_home = home / ".local" / "state"
    return state_home / "hubbub" / "access-key"


def _read_key(path: Path) -> str:
    with path.open("rb") as file:
        if os.name == "posix" and stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o077:
            raise SettingsError([f"{path}: others may read this key; run: chmod 600 '{path}'"])
        data = file.read(MAX_KEY_BYTES + 2)
    try:
        key = data.decode().removesuffix("\n")
    except UnicodeDecodeError:
        fault = "is no valid UTF-8"
    else:
        fault = access_key_fault(key)
    if fault:
        raise SettingsError([f"{path}: the key {fault}; remove the file to get a new one"])
    return key


def _make_private_folder(folder: Path) -> None:
    """Make the folder and those above it that are missing, each for the user alone."""
    if not folder.parent.exists():
        _make_private_folder(folder.parent)
    folder.mkdir(mode=0o700, exist_ok=True)


def _create_key(path: Path) -> None:
    """Put a whole new key at `path`, unless another program was first."""
    draft = path.with_name(f".{path.name}-{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with open(descriptor, "w", encoding="ascii") as file:
            file.write(random_access_key() + "\n")
            file.flush()
            os.fsync(file.fileno())
        # A link appears whole or not at all, and never replaces a key that is in use.
        try:
            os.link(draft, path)
        except FileExistsError:
            return
    finally:
        draft.unlink()
