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
    ├── RequestError          the service refused a REST call (hubbub.appserver)
    └── ClientError           from here on: hubbub.client
        ├── ClientStateError      a call at the wrong time
        │   └── ClientStoppedError
        ├── ConnectError          no connection came about
        │   ├── AuthenticationError
        │   ├── CredentialError
        │   ├── SubprotocolError
        │   └── ConnectTimeoutError
        ├── SendMessageError      a join, leave, send or event failed
        │   └── AckTimeoutError
        ├── InvocationError       an invocation failed
        │   └── InvocationTimeoutError
        └── StreamError           a group stream did not come to its end
            ├── StreamClosedError     the application itself has ended it
            └── StreamTimeoutError

`code` is a stable word for programs; `retryable` tells whether the same call may succeed later.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from hubbub.protocol.messages import ErrorDetail


class HubbubError(Exception):
    """Root of all errors of hubbub. Each can be pickled, whatever it was made with."""

    code: str = "Error"
    retryable: bool = False

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuilt, (type(self), self.args, self.__dict__)


def _rebuilt(kind: type[HubbubError], args: tuple[Any, ...], state: dict[str, Any]) -> HubbubError:
    error = kind.__new__(kind, *args)
    error.args = args
    error.__dict__.update(state)
    return error


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


class ClientError(HubbubError):
    """Whatever `hubbub.client` raises, but for wrong arguments."""

    code = "Client"


class ClientStateError(ClientError, RuntimeError):
    """The client is not in a state for this call."""

    code = "ClientState"


class ClientStoppedError(ClientStateError):
    """The client was stopped before or during the call."""

    code = "ClientStopped"


class ConnectError(ClientError, ConnectionError):
    """No connection came about. `status`, `headers`: of the HTTP answer, None and empty without
    one; `close_code`, `close_reason`: of a close frame; `url`: asked for, without its secrets."""

    code = "Connect"
    retryable = True

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        headers: Mapping[str, str] | None = None,
        close_code: int | None = None,
        close_reason: str = "",
        url: str = "",
    ) -> None:
        super().__init__(message)
        self.status = status
        self.headers: Mapping[str, str] = dict(headers or {})
        self.close_code = close_code
        self.close_reason = close_reason
        self.url = url


class AuthenticationError(ConnectError):
    """The service answered 401 or 403."""

    code = "Authentication"
    retryable = False


class CredentialError(ConnectError):
    """The credential gave no access URL."""

    code = "Credential"


class SubprotocolError(ConnectError):
    """The service did not choose the subprotocol that was offered."""

    code = "Subprotocol"
    retryable = False


class ConnectTimeoutError(ConnectError, TimeoutError):
    """`phase`: credential, open, connected, or total (the limit of the whole wait)."""

    code = "ConnectTimeout"

    def __init__(self, message: str, *, phase: str) -> None:
        super().__init__(message)
        self.phase = phase


class SendMessageError(ClientError):
    """A join, leave, send or event failed.

    `outcome`: "not-sent", "rejected" or "unknown" (it may have been done). `ack_id`: give it to
    the same call again, and the service does it once. `error_name`, `error_message`: of the
    service, or "". `attempts`: frames that were written, the last one on `connection_id`.
    `retryable`: the same call with this ack id cannot be done twice.
    """

    code = "SendMessage"

    def __init__(
        self,
        message: str,
        *,
        ack_id: int | None,
        outcome: str,
        error_name: str = "",
        error_message: str = "",
        attempts: int = 0,
        retryable: bool = False,
        connection_id: str | None = None,
    ) -> None:
        super().__init__(message)
        self.ack_id = ack_id
        self.outcome = outcome
        self.error_name = error_name
        self.error_message = error_message
        self.attempts = attempts
        self.retryable = retryable
        self.connection_id = connection_id

    @property
    def error_detail(self) -> "ErrorDetail | None":
        """What the service said, None if it said nothing."""
        return _detail(self.error_name, self.error_message)


class AckTimeoutError(SendMessageError, TimeoutError):
    """No answer within the call's time."""

    code = "AckTimeout"


class InvocationError(ClientError):
    """An invocation failed; it is never repeated. `error_name`, `error_message`: as above."""

    code = "Invocation"

    def __init__(
        self,
        message: str,
        *,
        invocation_id: str,
        outcome: str,
        error_name: str = "",
        error_message: str = "",
    ) -> None:
        super().__init__(message)
        self.invocation_id = invocation_id
        self.outcome = outcome
        self.error_name = error_name
        self.error_message = error_message

    @property
    def error_detail(self) -> "ErrorDetail | None":
        """What the service said, None if it said nothing."""
        return _detail(self.error_name, self.error_message)


class InvocationTimeoutError(InvocationError, TimeoutError):
    """No answer within the call's time; the service was told to give up."""

    code = "InvocationTimeout"


class StreamError(ClientError):
    """A group stream did not come to its end.

    `name`: of the service (`Forbidden`, `BadRequest`, `IdleTimeout`, `StreamNotFound`,
    `InternalServerError`), of the publisher as its readers see it (`UserError`, `Cancelled`), or
    ours (`ConnectionLost`, `ClientStopped`, `SequenceGap`, `IdleTimeout`, `Overflow`,
    `Unparsable`, `ProtocolViolation`, `Closed`, `TimedOut`). `message` says more, or is "".
    `user_error_code`: of a publisher, only with `UserError`.
    """

    code = "Stream"

    def __init__(
        self,
        text: str,
        *,
        stream_id: str,
        name: str,
        message: str = "",
        user_error_code: str | None = None,
    ) -> None:
        super().__init__(text)
        self.stream_id = stream_id
        self.name = name
        self.message = message
        self.user_error_code = user_error_code


class StreamClosedError(StreamError):
    """The application has ended this stream, or closed it for reading."""

    code = "StreamClosed"


class StreamTimeoutError(StreamError, TimeoutError):
    """Not within the call's time. A write that timed out was not done."""

    code = "StreamTimeout"


def _detail(name: str, message: str) -> "ErrorDetail | None":
    if not name:
        return None
    from hubbub.protocol.messages import ErrorDetail  # heavy: only who asks loads it

    return ErrorDetail(name, message)
