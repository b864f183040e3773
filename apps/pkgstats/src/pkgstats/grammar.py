"""What the box understands: one text in, one meaning out.

The same rules serve the box, the routes, the API and the live suggestions.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

MAX_NAME_LENGTH = 214
"""The registry's own limit, scope included."""
MAX_SEARCH_LENGTH = 64
"""The registry's search refuses longer texts."""
MAX_VERSION_LENGTH = 256
MAX_COMPARED = 6

_SEGMENT = re.compile(r"[A-Za-z0-9\-._~!'()*]+")
_VERSION = re.compile(r"[A-Za-z0-9\-._~+]+")

NOTE_NOT_A_NAME = "That is no package name, so it was searched for."
NOTE_CUT = f"The text was cut to {MAX_SEARCH_LENGTH} characters."


@dataclass(frozen=True, slots=True)
class HomeQuery:
    """Nothing was asked."""


@dataclass(frozen=True, slots=True)
class PackageQuery:
    """A package; `version` is a version or a dist-tag."""

    name: str
    version: str | None = None


@dataclass(frozen=True, slots=True)
class NameQuery:
    """`@name`: a user or a scope, and nobody guesses which."""

    name: str


@dataclass(frozen=True, slots=True)
class UserQuery:
    """A user only."""

    name: str


@dataclass(frozen=True, slots=True)
class ScopeQuery:
    """A scope (organisation) only; `name` is without the @."""

    name: str


@dataclass(frozen=True, slots=True)
class SearchQuery:
    """Free text; `note` tells the reader what was done to it ("" when nothing was)."""

    text: str
    note: str = ""


Query = HomeQuery | PackageQuery | NameQuery | UserQuery | ScopeQuery | SearchQuery


def is_segment(text: str) -> bool:
    """Whether the text can be a user, a scope (without @) or one half of a scoped name."""
    return (
        len(text) <= MAX_NAME_LENGTH
        and _SEGMENT.fullmatch(text) is not None
        and text not in (".", "..")
    )


def is_package_name(text: str) -> bool:
    """Whether the registry could hold a package of this name (old capitals included)."""
    if len(text) > MAX_NAME_LENGTH:
        return False
    if text.startswith("@"):
        scope, slash, name = text[1:].partition("/")
        return bool(slash) and is_segment(scope) and is_segment(name)
    return is_segment(text) and text[0] not in "._"


def is_version(text: str) -> bool:
    """Whether the text can be a version or a dist-tag in an address."""
    return (
        len(text) <= MAX_VERSION_LENGTH
        and _VERSION.fullmatch(text) is not None
        and text not in (".", "..")
    )


def parse(text: str) -> Query:
    """The meaning of a text; the first rule that fits wins, prefixes count only at the start."""
    text = clean(text)
    if not text:
        return HomeQuery()
    prefix, colon, rest = text.partition(":")
    if colon and (prefixed := _prefixed(prefix.lower(), rest.strip(), text)) is not None:
        return prefixed
    if text.startswith("@"):
        if (at := _at(text)) is not None:
            return at
    elif text.startswith("~") and is_segment(text[1:]):
        return UserQuery(text[1:])
    elif len(text) == 1 and is_package_name(text):
        return PackageQuery(text)
    return _free_text(text, "")


def clean(text: str) -> str:
    """White space collapsed; control characters and lone surrogates count as white space."""
    kept = (" " if unicodedata.category(char) in ("Cc", "Cs") else char for char in text)
    return " ".join("".join(kept).split())


def package_query(text: str) -> PackageQuery | None:
    """`NAME`, `NAME@VERSION`, `@s/n`, `@s/n@VERSION` or None."""
    name, at, version = text.partition("@") if not text.startswith("@") else _split_scoped(text)
    if not is_package_name(name):
        return None
    if not at:
        return PackageQuery(name)
    return PackageQuery(name, version) if is_version(version) else None


def _split_scoped(text: str) -> tuple[str, str, str]:
    name, at, version = text[1:].partition("@")
    return "@" + name, at, version


def _prefixed(prefix: str, rest: str, text: str) -> Query | None:
    if prefix == "pkg":
        if not rest:
            return HomeQuery()
        return package_query(rest) or _search_instead(rest, text)
    name = rest.removeprefix("@")
    if prefix in ("scope", "org") and is_segment(name):
        return ScopeQuery(name)
    if prefix == "user" and is_segment(name):
        return UserQuery(name)
    return None


def _search_instead(rest: str, text: str) -> SearchQuery:
    """Search for what follows `pkg:`, unless that alone would mean something else."""
    meaning = parse(rest)
    if isinstance(meaning, SearchQuery):
        return SearchQuery(meaning.text, _notes(NOTE_NOT_A_NAME, meaning.note))
    return _free_text(text, NOTE_NOT_A_NAME)


def _at(text: str) -> Query | None:
    name = text[1:]
    if is_segment(name):
        return NameQuery(name)
    if name.endswith("/") and is_segment(name[:-1]):
        return ScopeQuery(name[:-1])
    return package_query(text)


def _free_text(text: str, note: str) -> SearchQuery:
    if len(text) <= MAX_SEARCH_LENGTH:
        return SearchQuery(text, note)
    short = text[:MAX_SEARCH_LENGTH].rstrip()
    if text[len(short)] != " " and " " in short:
        at_word = short.rpartition(" ")[0].rstrip()
        # "@name" followed by one endless word: cut at the word, it would be no search any more.
        if parse(at_word) == SearchQuery(at_word):
            short = at_word
    # One endless word behind a sign or prefix: what is left without it is the search.
    while len(short) > 2 and parse(short) != SearchQuery(short):
        short = (short.partition(":")[2] or short[1:]).lstrip()
    return SearchQuery(short, _notes(note, NOTE_CUT))


def _notes(*notes: str) -> str:
    return " ".join(dict.fromkeys(note for note in notes if note))
