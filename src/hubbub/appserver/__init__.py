"""SDK for a backend: send into a hub, let clients in, answer their events.

async with ServiceClient.from_connection_string(text, "chat") as client:
    await client.send_to_group("news", {"title": "hello"})

handler = EventHandler("chat", access_keys=[key])
app = handler.asgi()
"""

from hubbub.appserver.answers import HandlerAnswer
from hubbub.appserver.calls import ClientAccessToken, GroupMember, Permission
from hubbub.appserver.event_handler import EventHandler
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
from hubbub.appserver.negotiate import ClientGrant, NegotiateRequest, Negotiator
from hubbub.appserver.service_client import ServiceClient
from hubbub.appserver.sync_service_client import SyncServiceClient
from hubbub.protocol.errors import InvalidConnectionString, InvalidName, RequestError
from hubbub.protocol.messages import DataType

__all__ = [
    "ClientAccessToken",
    "ClientGrant",
    "ConnectRequest",
    "ConnectResponse",
    "ConnectedRequest",
    "DataType",
    "DisconnectedRequest",
    "EventContext",
    "EventHandler",
    "GroupMember",
    "HandlerAnswer",
    "InvalidConnectionString",
    "InvalidName",
    "NegotiateRequest",
    "Negotiator",
    "Permission",
    "Refused",
    "RequestError",
    "ServiceClient",
    "SyncServiceClient",
    "UserEventRequest",
    "UserEventResponse",
]
