"""What time it is. Everything in hubbub asks here, so that a test can let hours pass at once.

A loop with virtual time (`hubbub.testing`) has a clock of its own; what runs in any other loop,
or in none, gets the clocks of the machine. Timers follow the loop anyway.
"""

import asyncio
import time
from threading import get_ident
from typing import Protocol

_BOOT_CLOCK: int | None = getattr(time, "CLOCK_BOOTTIME", None)


class Clock(Protocol):
    def time(self) -> float: ...

    def boottime(self) -> float: ...

    def wall(self) -> float: ...


_clocks: dict[asyncio.AbstractEventLoop | int, Clock] = {}
"""Of loops that have their own, and of threads that work for one. Empty outside tests, which
keeps asking cheap."""


def set_clock(owner: asyncio.AbstractEventLoop | int, clock: Clock | None) -> None:
    """Give a loop, or a thread by its identity, a clock of its own until it is set to None."""
    if clock is None:
        _clocks.pop(owner, None)
    else:
        _clocks[owner] = clock


def monotonic() -> float:
    """Seconds, never set back; stands still while the machine sleeps."""
    clock = _own_clock() if _clocks else None
    return time.monotonic() if clock is None else clock.time()


def boottime() -> float:
    """Seconds, never set back; goes on while the machine sleeps, where the platform can tell."""
    clock = _own_clock() if _clocks else None
    if clock is not None:
        return clock.boottime()
    return time.monotonic() if _BOOT_CLOCK is None else time.clock_gettime(_BOOT_CLOCK)


def wall() -> float:
    """Unix seconds; may be set to another time by whoever sets the machine's clock."""
    clock = _own_clock() if _clocks else None
    return time.time() if clock is None else clock.wall()


def _own_clock() -> Clock | None:
    try:
        return _clocks.get(asyncio.get_running_loop())
    except RuntimeError:
        return _clocks.get(get_ident())
