"""The JSON API, and the answer that it shares with the suggestions over the socket."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from pkgstats.catalog import Catalog

MAX_TEXT = 500
"""Longer texts are no search: the grammar cuts at 64 characters anyway."""
MAX_LIMIT = 20
DEFAULT_LIMIT = 8


class BadQuestion(ValueError):
    """A question that has no answer; the text says what was wanted."""


async def suggestions(catalog: Catalog, text: object, limit: object) -> dict[str, Any]:
    """Suggestions as JSON. Nothing found is an empty list; raises BadQuestion."""
    if not isinstance(text, str) or len(text) > MAX_TEXT:
        raise BadQuestion(f"q must be a text of at most {MAX_TEXT} characters")
    if not isinstance(limit, int) or isinstance(limit, bool) or not 1 <= limit <= MAX_LIMIT:
        raise BadQuestion(f"limit must be a number from 1 to {MAX_LIMIT}")
    items = await catalog.suggest(text, limit)
    answer: dict[str, Any] = {"items": [asdict(item) for item in items]}
    if catalog.simulated:
        answer["simulated"] = True
    return answer
