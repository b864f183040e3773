"""The hubbub service: `Service` runs one inside your own event loop.

async with Service(Settings(port=0)) as service:
    print(service.url)
"""

from hubbub.service.auth import local_access_key
from hubbub.service.run import Service, ServiceStateError, freeze_garbage
from hubbub.service.settings import EventHandlerSettings, HubSettings, Settings

__all__ = [
    "EventHandlerSettings",
    "HubSettings",
    "Service",
    "ServiceStateError",
    "Settings",
    "freeze_garbage",
    "local_access_key",
]
