"""One connection: does it exist, close it, take it out of its groups. And closing in bulk."""

from collections.abc import Iterable

from starlette.responses import Response

from hubbub.service.connection import Connection
from hubbub.service.hub import Hub, select
from hubbub.service.rest import answers
from hubbub.service.rest.call import Call
from hubbub.service.rest.turns import in_turns

_DEFAULT_REASON = "Closed by REST API."


async def exists(call: Call) -> Response:
    """A reliable connection whose client is away exists until its recovery window ends."""
    connection_id = call.connection_id
    if connection_id not in call.hub.connections:
        raise answers.no_connection(connection_id, answers.NO_CONNECTION)
    return answers.empty(200)


async def close(call: Call) -> Response:
    hub, connection_id, reason = call.hub, call.connection_id, _reason(call)
    connection = hub.connections.get(connection_id)
    if connection is not None:
        hub.close_for_app_server(connection, reason)
    return answers.empty(204)


async def leave_all_groups(call: Call) -> Response:
    hub, connection_id = call.hub, call.connection_id
    connection = hub.connections.get(connection_id)
    if connection is not None:
        hub.leave_all_groups(connection)
    return answers.empty(204)


async def close_all(call: Call) -> Response:
    hub = call.hub
    return await _close(call, hub, hub.connections.values())


async def close_group(call: Call) -> Response:
    """Every member of the group loses its connection, not only its membership."""
    hub = call.hub
    group = hub.groups.get(call.group)
    return await _close(call, hub, () if group is None else group.members.values())


async def close_user(call: Call) -> Response:
    hub = call.hub
    return await _close(call, hub, hub.users.get(call.user_id, {}).values())


async def _close(call: Call, hub: Hub, candidates: Iterable[Connection]) -> Response:
    reason = _reason(call)
    chosen = list(select(candidates, call.excluded))
    await in_turns(chosen, lambda connection: hub.close_for_app_server(connection, reason))
    return answers.empty(204)


def _reason(call: Call) -> str:
    return call.value("reason") or _DEFAULT_REASON
