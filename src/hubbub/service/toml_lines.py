"""On which line of a TOML text a key stands, for messages that point at it."""

import re
import tomllib

Path = tuple[str | int, ...]
"""Names of tables and the key; a number is the place in an array of tables."""

_HEADER = re.compile(r"\s*(\[\[?)\s*(.+?)\s*\]\]?\s*(?:#.*)?")
_KEY = re.compile(r"""\s*((?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*'|\s*\.\s*)+?)\s*=""")


class TomlLines:
    """Lines of a valid TOML text. Best effort: a value over several lines may hide a key."""

    def __init__(self, text: str) -> None:
        self._lines: dict[Path, int] = {}
        self._arrays: dict[Path, int] = {}
        table: Path = ()
        for number, line in enumerate(text.splitlines(), start=1):
            if header := _HEADER.fullmatch(line):
                table = self._enter(_names(header[2]), is_array=header[1] == "[[")
                self._lines.setdefault(table, number)
            elif key := _KEY.match(line):
                self._lines.setdefault(table + _names(key[1]), number)

    def find(self, path: Path) -> int | None:
        """The line of the key, or of the nearest table around it."""
        while path:
            if path in self._lines:
                return self._lines[path]
            path = path[:-1]
        return None

    def _enter(self, names: Path, *, is_array: bool) -> Path:
        table: Path = ()
        for place, name in enumerate(names):
            table += (name,)
            if is_array and place == len(names) - 1:
                self._arrays[table] = self._arrays.get(table, -1) + 1
            if table in self._arrays:
                table += (self._arrays[table],)
        return table


def _names(dotted: str) -> Path:
    """The parts of a dotted key, quotes resolved."""
    try:
        level = tomllib.loads(f"{dotted} = 0")
    except tomllib.TOMLDecodeError:
        return (dotted,)
    names: list[str] = []
    while isinstance(level, dict):
        name, level = next(iter(level.items()))
        names.append(name)
    return tuple(names)
