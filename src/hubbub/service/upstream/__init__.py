"""Requests from the service to the customer's event handlers.

upstream = Upstream(settings, keys)
await upstream.open()
answer = await upstream.connect(source, ConnectRequest(...))
"""

from hubbub.protocol.cloudevents import ConnectAnswer, ConnectRequest, EventAnswer
from hubbub.service.upstream.choose import check_handler
from hubbub.service.upstream.events import Upstream
from hubbub.service.upstream.source import EventSource

__all__ = [
    "ConnectAnswer",
    "ConnectRequest",
    "EventAnswer",
    "EventSource",
    "Upstream",
    "check_handler",
]
