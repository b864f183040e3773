"""What the session reports, as the errors that callers see."""

from email.utils import parsedate_to_datetime

from hubbub.clock import wall
from hubbub.protocol import client_events as ce
from hubbub.protocol.errors import (
    AckTimeoutError,
    AuthenticationError,
    ClientStoppedError,
    ConnectError,
    ConnectTimeoutError,
    CredentialError,
    InvocationError,
    InvocationTimeoutError,
    SendMessageError,
    StreamClosedError,
    StreamError,
)
from hubbub.protocol.messages import Invoke, InvokeResponse
from hubbub.protocol.messages import StreamError as ErrorOnWire


def invocation_error(response: InvokeResponse) -> InvocationError:
    error = response.error
    assert error is not None, "only failures come here"
    return InvocationError(
        f"the invocation failed: {error.name}: {error.message}",
        invocation_id=response.invocation_id,
        outcome="rejected",
        error_name=error.name,
        error_message=error.message,
    )


def operation_error(request: ce.OperationRequest, failed: ce.OperationFailed) -> Exception:
    """The error of one operation; that of a client that was stopped says so in its cause."""
    if failed.cause is ce.Cause.STOPPED and failed.outcome is ce.Outcome.NOT_SENT:
        return ClientStoppedError("the client was stopped before this was sent")
    if failed.cause is ce.Cause.ID_IN_USE:
        return ValueError("this id is in use by a pending operation")
    error = _failed_operation(request, failed)
    if failed.cause is ce.Cause.STOPPED:
        error.__cause__ = ClientStoppedError("the client was stopped")
    return error


def _failed_operation(request: ce.OperationRequest, failed: ce.OperationFailed) -> Exception:
    name = failed.error.name if failed.error is not None else ""
    message = failed.error.message if failed.error is not None else ""
    reason = f"{name}: {message}" if name else failed.cause.value
    text = f"{reason} (outcome: {failed.outcome.value})"
    is_timeout = failed.cause is ce.Cause.TIMED_OUT
    if isinstance(request, Invoke):
        invocation = InvocationTimeoutError if is_timeout else InvocationError
        return invocation(
            f"the invocation failed: {text}",
            invocation_id=failed.invocation_id or request.invocation_id,
            outcome=failed.outcome.value,
            error_name=name,
            error_message=message,
        )
    operation = AckTimeoutError if is_timeout else SendMessageError
    return operation(
        f"the operation failed: {text}",
        ack_id=failed.ack_id,
        outcome=failed.outcome.value,
        error_name=name,
        error_message=message,
        attempts=failed.attempts,
        retryable=failed.is_retryable,
        connection_id=failed.connection_id,
    )


def stream_error(stream_id: str, error: ErrorOnWire) -> StreamError:
    kind = StreamClosedError if error.name == "Closed" else StreamError
    text = f"{error.name}: {error.message}" if error.message else error.name
    return kind(
        f"the stream has ended: {text}",
        stream_id=stream_id,
        name=error.name,
        message=error.message,
        user_error_code=error.user_error_code,
    )


def start_error(failed: ce.StartFailed, error: ConnectError | None) -> Exception:
    """`error`: what the last try ran into, where it was an exception."""
    if failed.phase == "start" and failed.error == "stopped":
        return ClientStoppedError("the client was stopped while it started")
    if failed.is_timeout:
        phase = "total" if failed.phase == "start" else failed.phase
        late = ConnectTimeoutError(f"no connection: {phase} timed out", phase=phase)
        late.__cause__ = error
        return late
    if isinstance(error, CredentialError) and failed.status in (401, 403):
        refused = AuthenticationError(str(error), status=error.status, headers=error.headers)
        refused.__cause__ = error
        return refused
    if error is not None:
        return error
    kind = AuthenticationError if failed.status in (401, 403) else ConnectError
    return kind(
        failed.error,
        status=failed.status,
        close_code=failed.close_code,
        close_reason=failed.close_reason,
    )


def retry_after_s(error: ConnectError) -> float | None:
    """How long the other side asks to wait: seconds, or until a date of HTTP."""
    text = next((v for k, v in error.headers.items() if k.lower() == "retry-after"), "").strip()
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        at = parsedate_to_datetime(text).timestamp() if text else None
    except ValueError:
        return None
    return None if at is None else max(0.0, at - wall())
