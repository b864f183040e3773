"""Numbers, sizes, dates and ages as a reader sees them."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta

from pkgstats.models import NOT_AVAILABLE, Block, Origin, OriginState

BLOCK_WORDS = {
    Block.REGISTRY: "registry",
    Block.DATE: "version date",
    Block.DOWNLOADS: "downloads",
    Block.README: "readme",
    Block.FILES: "files",
    Block.SEARCH: "search of the whole registry",
    Block.USER_PACKAGES: "packages of a user",
    Block.ORG_PACKAGES: "packages of a scope",
    Block.CHANGES: "changes feed",
}

MARKS = {
    OriginState.KNOWN: "",
    OriginState.STALE: "stale",
    OriginState.LOADING: "stale",
    OriginState.NO_DATA: "none",
    OriginState.NOT_AVAILABLE: "none",
    OriginState.FAILING: "fail",
    OriginState.SIMULATED: "sim",
}
"""The form before an origin says how far it can be relied on; colour is never needed."""


def thousands(value: int) -> str:
    return f"{value:,}"


def short(value: int) -> str:
    """`134 k`, `10.4 M` for lists; the full figure stands on the package's page."""
    if value >= 1_000_000:
        return f"{value / 1_000_000:.1f} M"
    return f"{value / 1000:.0f} k" if value >= 10_000 else thousands(value)


def packages(count: int) -> str:
    return f"{count:,} package{'' if count == 1 else 's'}"


def size(count: int) -> str:
    """Bytes in decimal units, as npm writes them."""
    value, unit = float(count), "B"
    for bigger in ("kB", "MB", "GB"):
        if value < 1000:
            break
        value, unit = value / 1000, bigger
    return f"{count} B" if unit == "B" else f"{value:.1f} {unit}"


def version_range(text: str) -> str:
    """`>=20.0.0` as it is said; anything less plain stays as the package wrote it."""
    plain = re.fullmatch(r">=\s*(\d+(?:\.\d+)*?)(?:\.0)*", text)
    return f"≥ {plain[1]}" if plain else text


def day(value: date) -> str:
    return f"{value.day} {value:%B} {value.year}"


def moment(value: datetime) -> str:
    return f"{day(value.astimezone(UTC))}, {value.astimezone(UTC):%H:%M} UTC"


def age(value: datetime, now: datetime) -> str:
    """`2 min ago`; what lies in the future by a wrong clock is "just now"."""
    passed = max(now - value, timedelta(0))
    minutes = int(passed.total_seconds() // 60)
    if minutes < 1:
        return "just now"
    if minutes < 60:
        return f"{minutes} min ago"
    if minutes < 48 * 60:
        return _plural(minutes // 60, "hour")
    if passed.days < 60:
        return _plural(passed.days, "day")
    if passed.days < 730:
        return _plural(passed.days // 30, "month")
    return _plural(passed.days // 365, "year")


def origin_words(origin: Origin, now: datetime) -> str:
    """What stands behind the mark of an origin, without the name of its block."""
    as_of = origin.as_of
    match origin.state:
        case OriginState.KNOWN:
            return origin.words or (age(as_of, now) if as_of else "known here")
        case OriginState.SIMULATED:
            return origin.words or "simulated"
        case OriginState.STALE:
            return origin.words or (f"last known on {moment(as_of)}" if as_of else "an older copy")
        case OriginState.LOADING:
            return origin.words or "asked for, not here yet"
        case OriginState.NO_DATA:
            return origin.words or "none for this name"
        case OriginState.NOT_AVAILABLE:
            return origin.words or NOT_AVAILABLE
        case OriginState.FAILING:
            return origin.words or "no answer"


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'} ago"
