"""What the REST API answers: every status, header and error body is made here."""

import msgspec
from starlette.responses import Response

API_VERSIONS = ("2021-10-01", "2022-11-01", "2023-07-01", "2024-01-01", "2024-12-01")

BAD_REQUEST = "Error.BadRequest"
SERVICE_UNAVAILABLE = "Error.ServiceUnavailable"
INTERNAL_SERVER_ERROR = "Error.InternalServerError"
NOT_FOUND = "Error.NotFound"
METHOD_NOT_ALLOWED = "Error.MethodNotAllowed"
NO_CONNECTION_TO_ADD = "Error.Connection.NotExisted"
NO_CONNECTION_OR_PERMISSION = "Info.Connection.NotExisted"
NO_CONNECTION = "Warning.Connection.NotExisted"
NO_USER = "Warning.User.NotExisted"
NO_GROUP = "Warning.Group.NotExisted"
CONFLICT = "Error.Connection.Conflict"

_VERSION_HEADERS = {"api-supported-versions": ", ".join(API_VERSIONS)}


class Refused(Exception):
    """A request that gets an error answer. An empty `code` means: no body, the status says it."""

    def __init__(
        self,
        status: int,
        code: str = "",
        message: str = "",
        *,
        target: str = "Request",
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message or str(status))
        self.status = status
        self.code = code
        self.message = message
        self.target = target
        self.headers = headers

    def answer(self, method: str) -> Response:
        """The error as a response; an answer to HEAD has headers only."""
        headers = {**(self.headers or {})}
        if not self.code:
            return empty(self.status, headers)
        headers["x-ms-error-code"] = self.code
        if method == "HEAD":
            return empty(self.status, headers)
        body = {"code": self.code, "message": self.message, "target": self.target}
        return json_answer(self.status, body, headers)


def bad_request(message: str, target: str = "Request") -> Refused:
    return Refused(400, BAD_REQUEST, message, target=target)


def unauthorized() -> Refused:
    """Tells nothing about the reason: the caller is a stranger."""
    return Refused(401, headers={"WWW-Authenticate": "Bearer"})


def unsupported_media_type() -> Refused:
    return Refused(415)


def no_connection(connection_id: str, code: str) -> Refused:
    return Refused(404, code, f"Connection `{connection_id}` is not found.", target="Connection")


def unavailable() -> Refused:
    """Nothing was done; the same request may be repeated."""
    message = "The service cannot take this request now. Nothing was done; try again."
    return Refused(503, SERVICE_UNAVAILABLE, message, headers={"Retry-After": "1"})


def internal_error() -> Refused:
    return Refused(500, INTERNAL_SERVER_ERROR, "The service failed on this request.")


def unknown_path() -> Refused:
    return Refused(404, NOT_FOUND, "There is no such route.")


def method_not_allowed(allowed: str) -> Refused:
    message = f"This route takes {allowed}."
    return Refused(405, METHOD_NOT_ALLOWED, message, headers={"Allow": allowed})


def empty(status: int, headers: dict[str, str] | None = None) -> Response:
    return Response(status_code=status, headers={**_VERSION_HEADERS, **(headers or {})})


def json_answer(status: int, body: object, headers: dict[str, str] | None = None) -> Response:
    return Response(
        msgspec.json.encode(body),
        status_code=status,
        headers={
            **_VERSION_HEADERS,
            **(headers or {}),
            "Content-Type": "application/json; charset=utf-8",
        },
    )
