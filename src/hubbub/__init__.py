"""hubbub: real-time publish/subscribe over WebSocket, wire-compatible with Azure Web PubSub.

Importing this package loads nothing heavy: only the error tree; the clients are loaded when
first asked for. The parts are `hubbub.client` (the asyncio client and its blocking twin),
`hubbub.service` (the server), `hubbub.appserver` (the SDK for a backend), `hubbub.testing` (a
pytest plugin), `hubbub.protocol` (messages and sessions without I/O).
"""

from typing import TYPE_CHECKING

from hubbub.protocol.errors import (
    AckTimeoutError,
    AuthenticationError,
    ClientError,
    ClientStateError,
    ClientStoppedError,
    ConnectError,
    ConnectTimeoutError,
    CredentialError,
    HubbubError,
    InvocationError,
    InvocationTimeoutError,
    SendMessageError,
    StreamClosedError,
    StreamError,
    StreamTimeoutError,
    SubprotocolError,
)

if TYPE_CHECKING:
    from hubbub.client import Client, SyncClient, connect, connect_sync

__version__ = "0.1.0"
__all__ = [
    "AckTimeoutError",
    "AuthenticationError",
    "Client",
    "ClientError",
    "ClientStateError",
    "ClientStoppedError",
    "ConnectError",
    "ConnectTimeoutError",
    "CredentialError",
    "HubbubError",
    "InvocationError",
    "InvocationTimeoutError",
    "SendMessageError",
    "StreamClosedError",
    "StreamError",
    "StreamTimeoutError",
    "SubprotocolError",
    "SyncClient",
    "__version__",
    "connect",
    "connect_sync",
]


def __getattr__(name: str) -> object:
    if name in ("Client", "SyncClient", "connect", "connect_sync"):
        from hubbub import client

        return getattr(client, name)
    raise AttributeError(f"module 'hubbub' has no attribute {name!r}")
