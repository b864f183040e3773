"""What a project's package.json depends on."""

from __future__ import annotations

import json
import re
from pathlib import Path

from pkgstats import grammar

MAX_BYTES = 5 * 1024 * 1024
MAX_NAMES = 2000

_FIELDS = ("dependencies", "devDependencies", "peerDependencies", "optionalDependencies")
_ALIAS = re.compile(r"npm:((?:@[^@/]+/)?[^@/]+)(?:@.*)?")
_ELSEWHERE = re.compile(
    r"(?:file|link|portal|workspace|git|git\+\w+|github|https?):|^[\w.-]+/[\w.-]+"
)


class NotAProject(ValueError):
    """The file is no package.json; the text says why."""


def read_project(path: Path) -> tuple[str, ...]:
    """Names of all packages that the project takes from a registry; raises NotAProject, OSError.

    An alias (`"x": "npm:y@1"`) is the package behind it; what comes from a folder, an address or a
    repository is left out.
    """
    with path.open("rb") as file:
        data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise NotAProject(f"larger than {MAX_BYTES // 2**20} MB")
    try:
        project = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise NotAProject("this is no JSON") from error
    if not isinstance(project, dict):
        raise NotAProject("this is no package.json")
    names: dict[str, None] = {}
    for field in _FIELDS:
        wanted = project.get(field)
        for name, spec in wanted.items() if isinstance(wanted, dict) else ():
            found = _package(name, spec if isinstance(spec, str) else "")
            if found is not None:
                names[found] = None
    return tuple(names)[:MAX_NAMES]


def _package(name: str, spec: str) -> str | None:
    if alias := _ALIAS.fullmatch(spec.strip()):
        name = alias[1]
    elif _ELSEWHERE.match(spec.strip()):
        return None
    return name if grammar.is_package_name(name) else None
