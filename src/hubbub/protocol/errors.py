"""The whole error tree.

    HubbubError
    ├── InvalidMessage        a peer sent something that is no message of the subprotocol
    │   ├── MessageTooLarge
    │   └── UnsupportedFrame
    ├── InvalidName           a hub, group, event or user name against the rules
    ├── InvalidToken          an access token that does not let its bearer in
    ├── InvalidConnectionString
    ├── SettingsError         a setting with a wrong name, type or value
    ├── EngineError
    │   ├── EngineUnavailable
    │   ├── Overloaded
    │   ├── NoResponders
    │   └── TimedOut
    ├── UpstreamError         an event handler did not give a usable answer
    │   └── ConnectRejected   it refused the client
    └── RequestError          the service refused a REST call (hubbub.appserver)

`code` is a stable word for programs; `retryable` tells whether the same call may succeed later.
"""

from typing import ClassVar


class HubbubError(Exception):
    """Root of all errors of hubbub."""

    code: str = "Error"
    retryable: bool = False


class InvalidMessage(HubbubError):
    """The peer sent bytes that are no valid message. `close_code` ends the connection."""

    code = "InvalidMessage"
    close_code: ClassVar[int] = 1007


class MessageTooLarge(InvalidMessage):
    """A message above the limit of bytes; it must not be repeated."""

    code = "MessageTooLarge"
    close_code = 1009


class UnsupportedFrame(InvalidMessage):
    """A frame type that the subprotocol does not carry."""

    code = "UnsupportedFrame"
    close_code = 1003


class InvalidName(HubbubError, ValueError):
    """A hub, group, event or user name against the rules."""

    code = "InvalidName"


class InvalidToken(HubbubError):
    """A token that does not let its bearer in. The message never holds the token or the key."""

    code = "InvalidToken"


class InvalidConnectionString(HubbubError, ValueError):
    """No `Endpoint=…;AccessKey=…;Version=1.0;`; the message says what is missing, never the key."""

    code = "InvalidConnectionString"


class SettingsError(HubbubError, ValueError):
    """Settings that cannot be used. `problems`: every fault, each a sentence that names its key."""

    code = "Settings"

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class EngineError(HubbubError):
    """What carries messages between nodes could not do it."""

    code = "Engine"


class EngineUnavailable(EngineError):
    """Not accepted; nothing was sent; safe to repeat."""

    code = "EngineUnavailable"
    retryable = True


class Overloaded(EngineError):
    """A node does not keep up; nothing was sent."""

    code = "Overloaded"
    retryable = True


class NoResponders(EngineError):
    """Nobody serves this subject."""

    code = "NoResponders"


class TimedOut(EngineError):
    """No answer in time; whether it happened is unknown."""

    code = "TimedOut"
    retryable = True


class UpstreamError(HubbubError):
    """An event handler was not reachable or its answer is unusable.

    `status`: HTTP status of the answer, or None when there was none (or no handler).
    `text`: what may be told to the client (at most 1 KiB), or "".
    """

    code = "Upstream"

    def __init__(
        self, message: str, *, status: int | None = None, text: str = "", no_handler: bool = False
    ) -> None:
        super().__init__(message)
        self.status = status
        self.text = text
        self.no_handler = no_handler


class ConnectRejected(UpstreamError):
    """The handshake gets `reply_status` and, where not empty, `text` as a text/plain body."""

    code = "ConnectRejected"

    def __init__(
        self, message: str, *, reply_status: int, status: int | None = None, text: str = ""
    ) -> None:
        super().__init__(message, status=status, text=text)
        self.reply_status = reply_status


class RequestError(HubbubError):
    """A REST call was refused or could not be made.

    `status`: HTTP status, or None when the service was not reached. `error_code`: the service's
    own code (`x-ms-error-code`), or "".
    """

    code = "Request"

    def __init__(
        self, message: str, *, status: int | None, error_code: str = "", retryable: bool = False
    ) -> None:
        super().__init__(message)
        self.status = status
        self.error_code = error_code
        self.retryable = retryable
