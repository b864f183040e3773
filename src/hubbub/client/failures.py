"""What the session reports, as the errors that callers see."""

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
    SubprotocolError,
)
from hubbub.protocol.messages import Invoke, InvokeResponse


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
    if failed.cause is ce.Cause.STOPPED and failed.outcome is ce.Outcome.NOT_SENT:
        return ClientStoppedError("the client was stopped before this was sent")
    if failed.cause is ce.Cause.ID_IN_USE:
        return ValueError("this id is in use by a pending operation")
    name = failed.error.name if failed.error is not None else ""
    message = failed.error.message if failed.error is not None else ""
    reason = f"{name}: {message}" if name else failed.cause.value
    text = f"{reason} (outcome: {failed.outcome.value})"
    is_timeout = failed.cause is ce.Cause.TIMED_OUT
    if isinstance(request, Invoke):
        invocation = InvocationTimeoutError if is_timeout else InvocationError
        return invocation(
            f"the invocation failed: {text}",
            invocation_id=request.invocation_id,
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
    )


def start_error(failed: ce.StartFailed) -> Exception:
    if failed.phase == "start" and failed.error == "stopped":
        return ClientStoppedError("the client was stopped while it started")
    if failed.is_timeout:
        return ConnectTimeoutError(f"no connection: {failed.phase} timed out", phase=failed.phase)
    if failed.status in (401, 403):
        return AuthenticationError(failed.error, status=failed.status)
    if failed.phase == "credential":
        return CredentialError(failed.error)
    if "subprotocol" in failed.error:
        return SubprotocolError(failed.error)
    return ConnectError(failed.error, status=failed.status, close_code=failed.close_code)
