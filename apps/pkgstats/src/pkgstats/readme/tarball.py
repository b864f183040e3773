"""What is inside a release's tarball, without unpacking it anywhere.

The bytes are hashed before anything is read from them; only regular files count; nothing is
written to disk and nothing is run.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import hmac
import io
import re
import tarfile
import zlib

from pkgstats.models import FileRow
from pkgstats.sources.base import Contents

MAX_PACKED = 10 * 1024 * 1024
MAX_UNPACKED = 50 * 1024 * 1024
MAX_TEXT = 512 * 1024
MAX_FILES = 20_000
MAX_PATH = 500

_README = re.compile(r"readme(?:\.(md|markdown|mkd|txt))?", re.IGNORECASE)


class BadTarball(ValueError):
    """The tarball cannot be used; the text says why and is safe to show."""


def check_integrity(data: bytes, integrity: str | None) -> str:
    """The integrity that the bytes were held against; raises BadTarball when they differ."""
    if integrity is None:
        raise BadTarball("the registry names no checksum for the tarball")
    kind, _dash, wanted = integrity.partition("-")
    if kind == "sha512":
        actual = base64.b64encode(hashlib.sha512(data).digest()).decode("ascii")
    else:
        actual = hashlib.sha1(data, usedforsecurity=False).hexdigest()
    if not hmac.compare_digest(actual, wanted):
        raise BadTarball("the tarball does not match its checksum")
    return integrity


def read_contents(data: bytes, integrity: str | None) -> Contents:
    """Readme and file list of a packed release; raises BadTarball."""
    checked = check_integrity(data, integrity)
    files: list[FileRow] = []
    readmes: dict[str, tuple[str, bool]] = {}
    try:
        with tarfile.open(fileobj=_Bounded(data), mode="r|") as tar:
            for member in tar:
                if (path := _path(member)) is None:
                    continue
                files.append(FileRow(path, member.size))
                if len(files) > MAX_FILES:
                    raise BadTarball(f"the tarball holds more than {MAX_FILES} files")
                if _README.fullmatch(path) and (stream := tar.extractfile(member)):
                    readmes[path] = _text(stream.read(MAX_TEXT + 1))
    except (tarfile.TarError, zlib.error, EOFError, OSError) as error:
        raise BadTarball("the tarball cannot be read") from error
    readme, truncated = _best(readmes)
    files.sort(key=lambda row: row.path)
    return Contents(
        readme=readme,
        readme_truncated=truncated,
        files=tuple(files),
        packed_size=len(data),
        unpacked_size=sum(row.size for row in files),
        integrity=checked,
    )


class _Bounded(io.RawIOBase):
    """Unpacks while it is read and stops at MAX_UNPACKED: a small file can unpack to anything."""

    def __init__(self, data: bytes) -> None:
        self._gzip = gzip.GzipFile(fileobj=io.BytesIO(data))
        self._left = MAX_UNPACKED + 1024 * MAX_FILES

    def read(self, size: int = -1) -> bytes:
        data = self._gzip.read(min(size, self._left) if size >= 0 else self._left)
        self._left -= len(data)
        if self._left <= 0:
            raise BadTarball(f"the tarball unpacks to more than {MAX_UNPACKED // 2**20} MB")
        return data


def _path(member: tarfile.TarInfo) -> str | None:
    """The path below the top folder (mostly, but not always, `package/`)."""
    if not member.isreg() or member.size < 0:
        return None
    top, _slash, path = member.name.removeprefix("./").partition("/")
    parts = path.split("/")
    is_plain = top and path and len(path) <= MAX_PATH and ".." not in parts and "" not in parts
    return path if is_plain and path.isprintable() else None


def _text(data: bytes) -> tuple[str, bool]:
    text = data[:MAX_TEXT].decode("utf-8", "replace").removeprefix("\ufeff")
    return text, len(data) > MAX_TEXT


def _best(readmes: dict[str, tuple[str, bool]]) -> tuple[str | None, bool]:
    """Markdown before plain text, else the first name by alphabet."""
    if not readmes:
        return None, False
    name = min(readmes, key=lambda name: (not name.lower().endswith(".md"), name))
    return readmes[name]
