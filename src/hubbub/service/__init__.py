"""The hubbub service: `Service` runs one inside your own event loop.

async with Service(Settings(port=0)) as service:
    print(service.url)
"""

from typing import TYPE_CHECKING

from hubbub.service.auth import local_access_key
from hubbub.service.settings import EventHandlerSettings, HubSettings, Settings

if TYPE_CHECKING:
    from hubbub.service.run import Service, ServiceStateError, freeze_garbage

__all__ = [
    "EventHandlerSettings",
    "HubSettings",
    "Service",
    "ServiceStateError",
    "Settings",
    "freeze_garbage",
    "local_access_key",
]


def __getattr__(name: str) -> object:
    """Load the service itself only where it is asked for: keys and settings are needed without."""
    if name in ("Service", "ServiceStateError", "freeze_garbage"):
        from hubbub.service import run

        return getattr(run, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
