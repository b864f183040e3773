"""What one connection may do in one group, by its literal name: grant, revoke, check."""

from starlette.responses import Response

from hubbub.protocol.roles import Permissions, TooManyRules
from hubbub.service.rest import answers
from hubbub.service.rest.call import Call, checked_group


async def grant(call: Call) -> Response:
    connection_id, permission, group = call.connection_id, call.permission, _group(call)
    permissions = _permissions(call, connection_id)
    if permissions is None:
        raise answers.no_connection(connection_id, answers.NO_CONNECTION_OR_PERMISSION)
    try:
        permissions.grant(permission, group)
    except TooManyRules as error:
        raise _conflict(error) from None
    return answers.empty(200)


async def revoke(call: Call) -> Response:
    """Beats the roles of the connection, until it is granted again. Memberships stay."""
    connection_id, permission, group = call.connection_id, call.permission, _group(call)
    permissions = _permissions(call, connection_id)
    if permissions is not None:
        try:
            permissions.revoke(permission, group)
        except TooManyRules as error:
            raise _conflict(error) from None
    return answers.empty(204)


async def check(call: Call) -> Response:
    """404 also for a connection that exists and may not."""
    connection_id, permission, group = call.connection_id, call.permission, _group(call)
    permissions = _permissions(call, connection_id)
    if permissions is None or not permissions.allows(permission, group):
        raise answers.no_connection(connection_id, answers.NO_CONNECTION_OR_PERMISSION)
    return answers.empty(200)


def _permissions(call: Call, connection_id: str) -> Permissions | None:
    connection = call.hub.connections.get(connection_id)
    return None if connection is None else connection.session.permissions


def _group(call: Call) -> str:
    return checked_group(call.value("targetName") or "", "targetName")


def _conflict(error: TooManyRules) -> answers.Refused:
    return answers.Refused(409, answers.CONFLICT, f"{error}.", target="Connection")
