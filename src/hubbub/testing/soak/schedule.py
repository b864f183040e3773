"""What breaks when: drawn from a seed before the run, so that a run can be had again."""

import random
from dataclasses import dataclass
from typing import Literal

Kind = Literal["cut", "refuse", "half-open", "deaf", "mute", "delay", "close", "restart"]

_KINDS: dict[Kind, int] = {
    "cut": 30, "refuse": 15, "half-open": 12, "deaf": 8, "mute": 8, "delay": 17, "close": 10,
}  # fmt: skip
"""Of the links of one proxy → how often."""
_PAUSE_S = 8.0
"""Between the faults of one proxy, on average."""
_LONGEST_S = 16.0
"""Longer than it takes to notice that a link is dead."""
_RESTART_EVERY_S = 45.0


@dataclass(frozen=True, slots=True)
class Fault:
    """`lane`: number of the proxy, None for the service. `lasts_s` 0: over at once."""

    at_s: float
    lane: int | None
    kind: Kind
    lasts_s: float


def schedule(seed: int, lanes: int, seconds: float) -> list[Fault]:
    """The faults of so many seconds, in their order; all are over when the time is."""
    faults: list[Fault] = []
    for lane in range(lanes):
        draw = random.Random(f"{seed} lane {lane}")
        at_s = draw.uniform(0.0, _PAUSE_S)
        while at_s < seconds:
            kind = draw.choices(list(_KINDS), list(_KINDS.values()))[0]
            lasts_s = 0.0 if kind in ("cut", "close") else draw.uniform(0.2, _LONGEST_S)
            lasts_s = min(lasts_s, seconds - at_s)
            faults.append(Fault(at_s, lane, kind, lasts_s))
            at_s += lasts_s + draw.expovariate(1 / _PAUSE_S)
    draw = random.Random(f"{seed} service")
    at_s = min(_RESTART_EVERY_S, seconds / 2)
    while at_s < seconds:
        lasts_s = min(draw.uniform(0.0, 3.0), seconds - at_s)
        faults.append(Fault(at_s, None, "restart", lasts_s))
        at_s += _RESTART_EVERY_S * draw.uniform(0.8, 1.2)
    return sorted(faults, key=lambda fault: fault.at_s)
