"""One user: does it have connections, and their groups. A user is its connections of the moment."""

from starlette.responses import Response

from hubbub.service.connection import Connection
from hubbub.service.hub import Hub
from hubbub.service.rest import answers
from hubbub.service.rest.call import Call
from hubbub.service.rest.turns import in_turns


async def exists(call: Call) -> Response:
    if call.user_id not in call.hub.users:
        raise answers.Refused(404, answers.NO_USER, "The user has no connection.", target="User")
    return answers.empty(200)


async def join_group(call: Call) -> Response:
    """All connections that the user has now. A user without any is no error."""
    hub, group = call.hub, call.group
    await in_turns(_connections(hub, call), lambda connection: hub.join_group(connection, group))
    return answers.empty(200)


async def leave_group(call: Call) -> Response:
    hub, group = call.hub, call.group
    await in_turns(_connections(hub, call), lambda connection: hub.leave_group(connection, group))
    return answers.empty(204)


async def leave_all_groups(call: Call) -> Response:
    hub = call.hub
    await in_turns(_connections(hub, call), hub.leave_all_groups)
    return answers.empty(204)


def _connections(hub: Hub, call: Call) -> list[Connection]:
    return list(hub.users.get(call.user_id, {}).values())
