"""The tables of a package's page: its versions, and its files by folder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from pkgstats.models import NOT_AVAILABLE, FileRow, VersionRow
from pkgstats.web import words

MAX_FOLDERS = 15
BAR_PX_PER_PERCENT = 1.4


class Column(NamedTuple):
    """A column of the versions table."""

    head: str
    missing: str
    """The words in the side head when no row has anything to put here."""
    right: bool
    cell: Callable[[VersionRow], str]


class Folder(NamedTuple):
    path: str
    files: int
    size: int
    percent: float
    bar: int


_COLUMNS: list[tuple[Column, Callable[[VersionRow], object]]] = [
    (
        Column(
            "Published",
            f"dates: {NOT_AVAILABLE}",
            False,
            lambda row: words.day(row.published_at) if row.published_at else "",
        ),
        lambda row: row.published_at,
    ),
    (Column("Licence", "", False, lambda row: row.license or ""), lambda row: row.license),
    (Column("Deps", "", True, lambda row: str(row.dependencies)), lambda row: True),
    (
        Column(
            "Unpacked",
            f"sizes: {NOT_AVAILABLE}",
            True,
            lambda row: "" if row.unpacked_size is None else words.size(row.unpacked_size),
        ),
        lambda row: row.unpacked_size,
    ),
    (
        Column(
            "Files", "", True, lambda row: "" if row.file_count is None else str(row.file_count)
        ),
        lambda row: row.file_count,
    ),
    (
        Column(
            "Last 7 days",
            "",
            True,
            lambda row: "" if row.weekly is None else words.thousands(row.weekly),
        ),
        lambda row: row.weekly,
    ),
]


def columns(rows: Sequence[VersionRow]) -> tuple[list[Column], list[str]]:
    """The columns somebody can fill, and the words for those nobody can."""
    shown, missing = [], []
    for column, value in _COLUMNS:
        if any(value(row) is not None for row in rows):
            shown.append(column)
        elif column.missing:
            missing.append(column.missing)
    return shown, missing


def folders(files: Sequence[FileRow]) -> list[Folder]:
    """Files added up by folder, two levels deep, largest first."""
    sums: dict[str, tuple[int, int]] = {}
    for file in files:
        parts = file.path.split("/")
        path = "/".join(parts[: min(2, len(parts) - 1)]) + "/" if len(parts) > 1 else file.path
        count, size = sums.get(path, (0, 0))
        sums[path] = count + 1, size + file.size
    whole = sum(file.size for file in files) or 1
    ordered = sorted(sums.items(), key=lambda item: (-item[1][1], item[0]))
    found = [_folder(path, count, size, whole) for path, (count, size) in ordered[:MAX_FOLDERS]]
    rest = [sums for _, sums in ordered[MAX_FOLDERS:]]
    if rest:
        count, size = sum(c for c, _ in rest), sum(s for _, s in rest)
        found.append(_folder(f"{len(rest)} smaller ones", count, size, whole))
    return found


def _folder(path: str, files: int, size: int, whole: int) -> Folder:
    percent = 100 * size / whole
    return Folder(path, files, size, percent, max(1, round(percent * BAR_PX_PER_PERCENT)))
