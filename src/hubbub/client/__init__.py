"""The client library: groups, events and invocations over a connection that heals itself.

async with connect(url) as client:
    async with client.messages(group="news") as messages:
        await client.join_group("news")
        async for message in messages:
            print(message.data)
"""

from hubbub.client.async_client import Client, State, connect
from hubbub.client.client_options import ClientOptions
from hubbub.client.credential import CredentialContext, CredentialProvider
from hubbub.client.events import (
    GroupMessageEvent,
    HandlerErrorEvent,
    ServerMessageEvent,
    SlowConsumerEvent,
)
from hubbub.client.group_states import GroupMemberState
from hubbub.client.inbox import Registration
from hubbub.client.iterators import EventStream
from hubbub.client.logs import set_log_level
from hubbub.client.negotiate import NegotiateCredential
from hubbub.client.observer import Observer
from hubbub.client.operations import InvokeResult, SendResult
from hubbub.client.options import (
    BufferOptions,
    RecoveryOptions,
    RetryOptions,
    SequenceAckOptions,
    SubProtocol,
)
from hubbub.client.portal import Portal
from hubbub.client.stats import ClientStats
from hubbub.client.stream_readers import (
    GroupStream,
    GroupStreams,
    StreamPart,
    StreamRegistration,
)
from hubbub.client.streams import GroupStreamWriter
from hubbub.client.sync_client import SyncClient, connect_sync
from hubbub.client.sync_group_streams import (
    SyncGroupStream,
    SyncGroupStreams,
    SyncGroupStreamWriter,
)
from hubbub.client.sync_streams import SyncEventStream, SyncRegistration
from hubbub.client.transport import TransportOptions
from hubbub.protocol.client_events import (
    ConnectedEvent,
    DisconnectedEvent,
    GapEvent,
    GroupStatesChangedEvent,
    ReconnectingEvent,
    RecoveredEvent,
    RecoveringEvent,
    RejoinGroupFailedEvent,
    StoppedEvent,
)
from hubbub.protocol.codecs import Codec
from hubbub.protocol.errors import StreamClosedError, StreamError, StreamTimeoutError
from hubbub.protocol.messages import StreamInfo

__all__ = [
    "BufferOptions",
    "Client",
    "ClientOptions",
    "ClientStats",
    "Codec",
    "ConnectedEvent",
    "CredentialContext",
    "CredentialProvider",
    "DisconnectedEvent",
    "EventStream",
    "GapEvent",
    "GroupMemberState",
    "GroupMessageEvent",
    "GroupStatesChangedEvent",
    "GroupStream",
    "GroupStreamWriter",
    "GroupStreams",
    "HandlerErrorEvent",
    "InvokeResult",
    "NegotiateCredential",
    "Observer",
    "Portal",
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
    "StreamClosedError",
    "StreamError",
    "StreamInfo",
    "StreamPart",
    "StreamRegistration",
    "StreamTimeoutError",
    "SubProtocol",
    "SyncClient",
    "SyncEventStream",
    "SyncGroupStream",
    "SyncGroupStreamWriter",
    "SyncGroupStreams",
    "SyncRegistration",
    "TransportOptions",
    "connect",
    "connect_sync",
    "set_log_level",
]
