"""The software that this site stands on, read from what is installed."""

from __future__ import annotations

import re
from functools import cache
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from typing import NamedTuple

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_HOME = ("homepage", "home", "source", "source code", "repository", "documentation")
MAX_LICENCE = 40


class Credit(NamedTuple):
    """A package of other people, under which licence, and what it is for."""

    name: str
    version: str
    licence: str
    summary: str
    url: str
    is_direct: bool


@cache
def credits(of: str = "pkgstats") -> tuple[Credit, ...]:
    """Everything that `of` needs to run, what it names itself first, then by name."""
    direct = set(_needed(distribution(of), frozenset()))
    found: dict[str, Credit] = {}
    waiting: list[tuple[str, frozenset[str]]] = [(of, frozenset())]
    seen: set[tuple[str, frozenset[str]]] = set(waiting)
    while waiting:
        name, extras = waiting.pop()
        try:
            package = distribution(name)
        except PackageNotFoundError:
            continue  # for another system or Python
        key = _key(name)
        if key not in found and key != _key(of):
            found[key] = _credit(package, key in {_key(one) for one in direct})
        for needed, wanted in _needed(package, extras).items():
            if (needed, wanted) not in seen:
                seen.add((needed, wanted))
                waiting.append((needed, wanted))
    return tuple(sorted(found.values(), key=lambda item: (not item.is_direct, item.name.lower())))


def _needed(package: Distribution, extras: frozenset[str]) -> dict[str, frozenset[str]]:
    """Names of the requirements that hold without extras or with one of `extras`."""
    needed = {}
    for line in package.requires or ():
        text, _, marker = line.partition(";")
        extra = re.search(r"extra\s*==\s*['\"]([^'\"]+)", marker)
        if extra is not None and extra[1] not in extras:
            continue
        name = _NAME.match(text.strip())
        if name is not None:
            wanted = re.search(r"\[([^\]]*)\]", text)
            parts = wanted[1].split(",") if wanted else []
            needed[name[0]] = frozenset(part.strip() for part in parts)
    return needed


def _credit(package: Distribution, is_direct: bool) -> Credit:
    return Credit(
        name=package.metadata["Name"],
        version=package.version,
        licence=_licence(package),
        summary=_field(package, "Summary"),
        url=_url(package),
        is_direct=is_direct,
    )


def _licence(package: Distribution) -> str:
    said = _field(package, "License-Expression")
    if said:
        return said
    classified = [
        line.rpartition(" :: ")[2]
        for line in package.metadata.get_all("Classifier") or ()
        if line.startswith("License :: ") and not line.endswith("OSI Approved")
    ]
    if classified:
        return ", ".join(classified)
    text = _field(package, "License").strip()
    return text if 0 < len(text) <= MAX_LICENCE and "\n" not in text else "see the package"


def _url(package: Distribution) -> str:
    named = {}
    for line in package.metadata.get_all("Project-URL") or ():
        label, _, url = line.partition(",")
        named[label.strip().lower()] = url.strip()
    homes = [named[label] for label in _HOME if label in named]
    url = (homes or [_field(package, "Home-page"), *named.values()])[0]
    return url if url.startswith("https://") else ""


def _field(package: Distribution, name: str) -> str:
    values: list[str] = package.metadata.get_all(name) or [""]
    return values[0]


def _key(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
