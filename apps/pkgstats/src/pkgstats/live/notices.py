"""A bar on every page while the registry lets nothing be refreshed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable

from pkgstats.catalog import Catalog
from pkgstats.sources.state import AbilityState, SourceState

LOOK_EVERY_S = 15.0
ABILITY = "packument"
_PAUSED = (AbilityState.LIMITED, AbilityState.FAILING)


async def tell_of_pauses(catalog: Catalog, publish: Callable[[str], Awaitable[None]]) -> None:
    """Publish a notice when the refresh pauses and "" when it goes on, until cancelled."""
    shown = ""
    while True:
        text = words(await catalog.sources())
        if text != shown:
            await publish(text)
            shown = text
        await asyncio.sleep(LOOK_EVERY_S)


def words(states: Iterable[SourceState]) -> str:
    """What the bar says; "" while there is nothing to say."""
    for state in states:
        if state.ability == ABILITY and state.state in _PAUSED:
            until = f" until {state.until:%H:%M} UTC" if state.until else ""
            return f"Data refresh is paused{until}: pages show what was known before."
    return ""
