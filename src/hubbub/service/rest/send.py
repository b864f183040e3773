"""Sends to a hub, a connection, a user, a group. 202 = accepted; nobody there is no error."""

from starlette.responses import Response

from hubbub.protocol import limits
from hubbub.protocol.filters import Predicate
from hubbub.service.hub import NOBODY
from hubbub.service.rest import answers
from hubbub.service.rest.body import read_metadata, read_payload
from hubbub.service.rest.call import Call, checked_filter
from hubbub.service.rest.turns import settled

_ACCEPTED = answers.empty(202)


async def send_to_all(call: Call) -> Response:
    hub = call.hub
    excluded, ttl_seconds, matches = _options(call)
    metadata = read_metadata(call)
    payload = await read_payload(call)
    if matches is not None:
        matches = await settled(matches, hub.connections.values())
    hub.send_to_all(
        payload, excluded=excluded, matches=matches, ttl_seconds=ttl_seconds, metadata=metadata
    )
    return _ACCEPTED


async def send_to_group(call: Call) -> Response:
    hub, group = call.hub, call.group
    excluded, ttl_seconds, matches = _options(call)
    metadata = read_metadata(call)
    payload = await read_payload(call)
    if matches is not None:
        members = hub.groups[group].members if group in hub.groups else {}
        matches = await settled(matches, members.values())
    hub.send_to_group(
        group,
        payload,
        excluded=excluded,
        matches=matches,
        ttl_seconds=ttl_seconds,
        metadata=metadata,
    )
    return _ACCEPTED


async def send_to_user(call: Call) -> Response:
    hub, user_id = call.hub, call.user_id
    _, ttl_seconds, matches = _options(call)
    metadata = read_metadata(call)
    payload = await read_payload(call)
    if matches is not None:
        matches = await settled(matches, hub.users.get(user_id, {}).values())
    hub.send_to_user(user_id, payload, matches=matches, ttl_seconds=ttl_seconds, metadata=metadata)
    return _ACCEPTED


async def send_to_connection(call: Call) -> Response:
    hub, connection_id = call.hub, call.connection_id
    ttl_seconds = _ttl_seconds(call)
    metadata = read_metadata(call)
    payload = await read_payload(call)
    hub.send_to_connection(connection_id, payload, ttl_seconds=ttl_seconds, metadata=metadata)
    return _ACCEPTED


def _options(call: Call) -> tuple[frozenset[str], int, Predicate | None]:
    """(excluded connections, TTL in seconds, filter); most requests have none of these."""
    if not call.query:
        return NOBODY, 0, None
    return call.excluded, _ttl_seconds(call), checked_filter(call.value("filter"))


def _ttl_seconds(call: Call) -> int:
    return call.integer("messageTtlSeconds", default=0, lowest=0, highest=limits.MAX_TTL_S)
