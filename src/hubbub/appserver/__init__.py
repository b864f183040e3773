"""SDK for a backend: send into a hub, let clients in, answer their events.

async with ServiceClient.from_connection_string(text, "chat") as client:
    await client.send_to_group("news", {"title": "hello"})

handler = EventHandler("chat", access_keys=[key])
app = handler.asgi()
"""

from hubbub.appserver.event_handler import EventHandler, HandlerAnswer
from hubbub.appserver.events import (
    ConnectedRequest,
    ConnectRequest,
    ConnectResponse,
    DisconnectedRequest,
    EventContext,
    Refused,
    UserEventRequest,
    UserEventResponse,
)
from hubbub.appserver.service_client import ClientAccessToken, ServiceClient
from hubbub.protocol.errors import InvalidConnectionString, InvalidName, RequestError
from hubbub.protocol.messages import DataType

__all__ = [
    "ClientAccessToken",
    "ConnectRequest",
    "ConnectResponse",
    "ConnectedRequest",
    "DataType",
    "DisconnectedRequest",
    "EventContext",
    "EventHandler",
    "HandlerAnswer",
    "InvalidConnectionString",
    "InvalidName",
    "Refused",
    "RequestError",
    "ServiceClient",
    "UserEventRequest",
    "UserEventResponse",
]
