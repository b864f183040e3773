"""The client library: groups, events and invocations over a connection that heals itself.

async with connect(url) as client:
    async with client.messages(group="news") as messages:
        await client.join_group("news")
        async for message in messages:
            print(message.data)
"""

from hubbub.client.async_client import Client, State, connect
from hubbub.client.credential import CredentialContext, NegotiateCredential
from hubbub.client.events import (
    GroupMessageEvent,
    HandlerErrorEvent,
    ServerMessageEvent,
    SlowConsumerEvent,
)
from hubbub.client.inbox import EventStream, Registration
from hubbub.client.operations import InvokeResult, SendResult
from hubbub.client.options import (
    BufferOptions,
    RecoveryOptions,
    RetryOptions,
    SequenceAckOptions,
    SubProtocol,
)
from hubbub.client.sync_client import SyncClient, SyncEventStream, connect_sync
from hubbub.client.transport import TransportOptions
from hubbub.protocol.client_events import (
    ConnectedEvent,
    DisconnectedEvent,
    GapEvent,
    ReconnectingEvent,
    RecoveredEvent,
    RecoveringEvent,
    RejoinGroupFailedEvent,
    StoppedEvent,
)

__all__ = [
    "BufferOptions",
    "Client",
    "ConnectedEvent",
    "CredentialContext",
    "DisconnectedEvent",
    "EventStream",
    "GapEvent",
    "GroupMessageEvent",
    "HandlerErrorEvent",
    "InvokeResult",
    "NegotiateCredential",
    "ReconnectingEvent",
    "RecoveredEvent",
    "RecoveringEvent",
    "RecoveryOptions",
    "Registration",
    "RejoinGroupFailedEvent",
    "RetryOptions",
    "SendResult",
    "SequenceAckOptions",
    "ServerMessageEvent",
    "SlowConsumerEvent",
    "State",
    "StoppedEvent",
    "SubProtocol",
    "SyncClient",
    "SyncEventStream",
    "TransportOptions",
    "connect",
    "connect_sync",
]
