"""The functions of OData filters. `None` is a filter's null; places and lengths count UTF-16 units."""

from collections.abc import Set as AbstractSet


def _units(text: str) -> bytes:
    """Two bytes per unit; half of a pair, which `substring` can cut out, is let through."""
    return text.encode("utf-16-le", "surrogatepass")


def length(value: str | AbstractSet[str] | None) -> int | None:
    if value is None:
        return None
    if not isinstance(value, str) or value.isascii():
        return len(value)
    return len(_units(value)) // 2


def tolower(text: str | None) -> str | None:
    return None if text is None else text.lower()


def toupper(text: str | None) -> str | None:
    return None if text is None else text.upper()


def trim(text: str | None) -> str | None:
    return None if text is None else text.strip()


def substring(text: str | None, start: int | None, *counts: int | None) -> str | None:
    """Null when the text or the place is, and when the place is not within the text."""
    if text is None or start is None or None in counts:
        return None
    units = text.encode("latin-1") if text.isascii() else _units(text)
    width = 1 if text.isascii() else 2
    size = len(units) // width
    end = size if not counts else start + (counts[0] or 0)
    if not 0 <= start <= end <= size:
        return None
    part = units[start * width : end * width]
    return part.decode("latin-1") if width == 1 else part.decode("utf-16-le", "surrogatepass")


def concat(one: str | None, other: str | None) -> str | None:
    if one is None or other is None:
        return one if other is None else other
    return one + other


def indexof(text: str | None, part: str | None) -> int:
    if text is None or part is None:
        return -1
    index = text.find(part)
    return index if index < 1 or text.isascii() else len(_units(text[:index])) // 2


def startswith(text: str | None, part: str | None) -> bool:
    return text is not None and part is not None and text.startswith(part)


def endswith(text: str | None, part: str | None) -> bool:
    return text is not None and part is not None and text.endswith(part)


def contains(text: str | None, part: str | None) -> bool:
    return text is not None and part is not None and part in text
