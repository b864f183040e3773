"""Groups: do they have members, who they are, who joins and leaves, alone and in bulk.

The roles of a client do not matter here: they limit what it may ask for itself.
"""

import heapq
from collections.abc import Callable
from urllib.parse import quote, urlencode

import msgspec
from starlette.responses import Response

from hubbub.protocol.filters import Predicate
from hubbub.protocol.messages import DataType
from hubbub.service.connection import Connection
from hubbub.service.hub import Hub, select
from hubbub.service.rest import answers, cursor
from hubbub.service.rest.body import read_payload
from hubbub.service.rest.call import Call, checked_filter, checked_group
from hubbub.service.rest.turns import in_turns, settled

_MAX_PAGE_SIZE = 200
_MAX_TOP = 2**31 - 1


async def exists(call: Call) -> Response:
    """A group exists while it has a member."""
    if call.group not in call.hub.groups:
        raise answers.Refused(404, answers.NO_GROUP, "The group has no member.", target="Group")
    return answers.empty(200)


async def add_connection(call: Call) -> Response:
    hub, group, connection_id = call.hub, call.group, call.connection_id
    connection = hub.connections.get(connection_id)
    if connection is None:
        raise answers.no_connection(connection_id, answers.NO_CONNECTION_TO_ADD)
    hub.join_group(connection, group)
    return answers.empty(200)


async def remove_connection(call: Call) -> Response:
    hub, group, connection_id = call.hub, call.group, call.connection_id
    connection = hub.connections.get(connection_id)
    if connection is not None:
        hub.leave_group(connection, group)
    return answers.empty(204)


# --- in bulk ---------------------------------------------------------------------------------


async def add_matching(call: Call) -> Response:
    """Every connection of the hub that the filter matches joins every group."""
    return await _change_matching(call, call.hub.join_group)


async def remove_matching(call: Call) -> Response:
    return await _change_matching(call, call.hub.leave_group)


async def _change_matching(call: Call, change: Callable[[Connection, str], None]) -> Response:
    hub = call.hub
    groups, matches = await _read_bulk(call)
    if matches is not None:
        matches = await settled(matches, hub.connections.values())
    chosen = list(select(hub.connections.values(), matches=matches))
    pairs = ((connection, group) for connection in chosen for group in groups)
    await in_turns(pairs, lambda pair: change(*pair))
    return answers.empty(200)


async def _read_bulk(call: Call) -> tuple[list[str], Predicate | None]:
    """The groups and the filter, all of it checked before anything changes."""
    payload = await read_payload(call)
    if payload.data_type is not DataType.JSON:
        raise answers.unsupported_media_type()
    try:
        body = msgspec.json.decode(payload.raw)
    except (msgspec.DecodeError, RecursionError):
        raise answers.bad_request("The request body is not a valid JSON.") from None
    if not isinstance(body, dict):
        raise answers.bad_request("The request body is not an object.")
    values = {name.lower(): value for name, value in body.items()}
    groups, text = values.get("groups"), values.get("filter")
    if not isinstance(groups, list) or not groups:
        raise answers.bad_request("The groups are missing.")
    if not all(isinstance(group, str) for group in groups):
        raise answers.bad_request("Invalid group name.")
    if text is not None and not isinstance(text, str):
        raise answers.bad_request("The filter is not a string.")
    names = [checked_group(group, "Request") for group in groups]
    return names, checked_filter(text)


# --- members ---------------------------------------------------------------------------------


async def list_connections(call: Call) -> Response:
    """One page of the members by connection id, and the address of the next."""
    hub, group = call.hub, call.group
    page_size = call.integer(
        "maxpagesize", default=_MAX_PAGE_SIZE, lowest=1, highest=_MAX_PAGE_SIZE
    )
    top = call.integer("top", default=_MAX_TOP, lowest=1, highest=_MAX_TOP)
    after = _after(call, hub, group)
    size = min(page_size, top)
    members = hub.groups[group].members if group in hub.groups else {}
    ids = heapq.nsmallest(size + 1, (id for id in members if id > after))
    page = ids[:size]
    next_link = None
    if len(ids) > size and top > size:
        next_link = _next_link(call, hub, group, page[-1], top - size)
    value = [{"connectionId": id, "userId": members[id].user_id} for id in page]
    return answers.json_answer(200, {"value": value, "nextLink": next_link})


def _after(call: Call, hub: Hub, group: str) -> str:
    token = call.value("continuationToken")
    if token is None:
        return ""
    after = cursor.read(token, call.node.keys, hub=hub.name, group=group)
    if after is None:
        raise answers.bad_request("Invalid continuationToken.", "continuationToken")
    return after


def _next_link(call: Call, hub: Hub, group: str, after: str, top: int) -> str:
    query = {"api-version": answers.API_VERSIONS[-1]}
    page_size = call.value("maxpagesize")
    if page_size is not None:
        query["maxpagesize"] = page_size
    query["continuationToken"] = cursor.make(
        call.node.keys[0], hub=hub.name, group=group, after=after
    )
    if call.value("top") is not None:
        query["top"] = str(top)
    path = f"/api/hubs/{quote(hub.name, safe='')}/groups/{quote(group, safe='')}/connections"
    return f"{call.origin}{path}?{urlencode(query)}"
