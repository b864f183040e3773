"""hubbub: real-time publish/subscribe over WebSocket, wire-compatible with Azure Web PubSub.

Importing this package loads nothing heavy: only the error tree. The parts are
`hubbub.service` (the server), `hubbub.appserver` (the SDK for a backend),
`hubbub.protocol` (messages and sessions without I/O).
"""

from hubbub.protocol.errors import HubbubError

__version__ = "0.1.0"
__all__ = ["HubbubError", "__version__"]
