"""Parts of pages that are written by a program, between two comments that name it.

<!-- generated NAME: COMMAND -->
…
<!-- end NAME -->
"""

import re
from pathlib import Path


def _pattern(name: str) -> re.Pattern[str]:
    return re.compile(
        rf"(<!-- generated {re.escape(name)}: [^\n]*-->\n)(.*?)(<!-- end {re.escape(name)} -->)",
        re.DOTALL,
    )


def read(page: Path, name: str) -> str:
    """What stands between the comments, without blank lines around it."""
    return _match(page, name)[2].strip()


def write(page: Path, name: str, content: str) -> None:
    """Replace what stands between the comments."""
    match = _match(page, name)
    text = match.string
    new = f"{text[: match.end(1)]}\n{content.strip()}\n\n{text[match.start(3) :]}"
    page.write_text(new, encoding="utf-8")


def _match(page: Path, name: str) -> re.Match[str]:
    found = _pattern(name).search(page.read_text(encoding="utf-8"))
    if found is None:
        raise ValueError(f"{page} has no generated part {name!r}")
    return found
