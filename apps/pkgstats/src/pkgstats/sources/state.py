"""How each ability of the sources is doing, as the page /sources tells it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class AbilityState(StrEnum):
    ON = "on"
    STALE = "stale"
    """It answered when it was last asked, but that is more than a day ago."""
    LIMITED = "limited"
    NOT_OFFERED = "not offered"
    NOT_SET = "not set"
    FAILING = "failing"
    NOT_ASKED = "not asked yet"
    SIMULATED = "simulated"


@dataclass(frozen=True, slots=True)
class SourceState:
    """A line of /sources: one thing that can be asked, and how that goes."""

    ability: str
    state: AbilityState
    setting: str
    """The setting that chose the address, as words ("registry= in the user's .npmrc")."""
    address: str | None
    since: datetime | None = None
    until: datetime | None = None
    last_contact: datetime | None = None
    detail: str = ""
