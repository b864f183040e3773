"""The pages of the documentation and the code blocks in them."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(
    [
        *ROOT.glob("*.md"),
        *(ROOT / "docs").rglob("*.md"),
        *(ROOT / "tests").glob("*.md"),
        ROOT / "apps" / "pkgstats" / "README.md",
        ROOT / "examples" / "README.md",
    ]
)

_FENCE = re.compile(r"^```(?P<info>[^\n`]*)\n(?P<text>.*?)^```$", re.DOTALL | re.MULTILINE)


class Block(NamedTuple):
    page: Path
    line: int
    language: str
    marks: frozenset[str]
    """Words behind the language: `run`, `file=NAME`."""
    text: str

    @property
    def name(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    @property
    def file(self) -> str | None:
        """The name under which the reader saves it."""
        names = [mark.removeprefix("file=") for mark in self.marks if mark.startswith("file=")]
        return names[0] if names else None


def blocks_of(page: Path) -> Iterator[Block]:
    text = page.read_text(encoding="utf-8")
    for found in _FENCE.finditer(text):
        language, *marks = found["info"].split() or [""]
        line = text.count("\n", 0, found.start()) + 1
        yield Block(page, line, language, frozenset(marks), found["text"])


def blocks(language: str) -> list[Block]:
    return [block for page in PAGES for block in blocks_of(page) if block.language == language]


def prose(page: Path) -> str:
    """The page without its code blocks."""
    return _FENCE.sub("", page.read_text(encoding="utf-8"))
