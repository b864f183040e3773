"""`/_hubbub/openapi.json`: the REST API as an OpenAPI document, made from the table of routes.

What a route cannot tell (parameters, bodies, answers) stands in a table here, by operation name;
an operation without a row there has no document.
"""

import functools
import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import msgspec
from starlette.responses import Response

from hubbub import __version__
from hubbub.protocol import limits
from hubbub.service.rest import answers
from hubbub.service.rest.call import Call
from hubbub.service.rest.router import Handler, Operation, Operations

Routes = Sequence[tuple[str, Operations]]
Json = dict[str, Any]

_JSON_TYPE = "application/json"


class _Row(NamedTuple):
    """What one operation takes and gives, besides names in the path and `api-version`."""

    summary: str
    success: int
    query: tuple[str, ...] = ()
    body: str = ""
    """`message` or `groups`."""
    answer: str = ""
    """Schema of the JSON with which it succeeds."""
    refusals: tuple[int, ...] = ()
    """Statuses that not every operation has."""


_MESSAGE = ("messageTtlSeconds",)

_ROWS: dict[str, _Row] = {
    "health": _Row("Does the service take requests?", 200, answer="Health"),
    "generate client token": _Row(
        "Make a client access token",
        200,
        ("userId", "role", "group", "minutesToExpire", "clientType"),
        answer="Token",
    ),
    "send to all": _Row(
        "Send a message to every connection of the hub",
        202,
        (*_MESSAGE, "excluded", "filter"),
        "message",
        refusals=(415,),
    ),
    "send to connection": _Row(
        "Send a message to one connection", 202, _MESSAGE, "message", refusals=(415,)
    ),
    "send to user": _Row(
        "Send a message to the connections of a user",
        202,
        (*_MESSAGE, "filter"),
        "message",
        refusals=(415,),
    ),
    "send to group": _Row(
        "Send a message to the members of a group",
        202,
        (*_MESSAGE, "excluded", "filter"),
        "message",
        refusals=(415,),
    ),
    "close all connections": _Row("Close the connections of the hub", 204, ("excluded", "reason")),
    "close connections of a group": _Row(
        "Close the connections that are members of a group", 204, ("excluded", "reason")
    ),
    "close connections of a user": _Row(
        "Close the connections of a user", 204, ("excluded", "reason")
    ),
    "close connection": _Row("Close one connection", 204, ("reason",)),
    "connection exists": _Row("Does the connection exist?", 200, refusals=(404,)),
    "user exists": _Row("Does the user have a connection?", 200, refusals=(404,)),
    "group exists": _Row("Does the group have a member?", 200, refusals=(404,)),
    "add connection to group": _Row("Make a connection a member", 200, refusals=(404,)),
    "remove connection from group": _Row("Make a connection leave the group", 204),
    "remove connection from all groups": _Row("Make a connection leave all groups", 204),
    "add user to group": _Row("Make the user's connections of now members", 200),
    "remove user from group": _Row("Make the user's connections leave the group", 204),
    "remove user from all groups": _Row("Make the user's connections leave all groups", 204),
    "add connections to groups": _Row(
        "Make every connection that matches a filter a member of groups",
        200,
        body="groups",
        refusals=(415,),
    ),
    "remove connections from groups": _Row(
        "Make every connection that matches a filter leave groups",
        200,
        body="groups",
        refusals=(415,),
    ),
    "grant permission": _Row(
        "Let a connection do something in one group", 200, ("targetName",), refusals=(404, 409)
    ),
    "revoke permission": _Row(
        "Forbid a connection something in one group", 204, ("targetName",), refusals=(409,)
    ),
    "check permission": _Row(
        "May a connection do something in one group?", 200, ("targetName",), refusals=(404,)
    ),
    "list connections of a group": _Row(
        "List the members of a group, page by page",
        200,
        ("maxpagesize", "top", "continuationToken"),
        answer="Page",
    ),
    "browser client": _Row("The browser client, one ES module", 200),
    "ready": _Row("How the service is, in detail", 200, answer="Ready"),
    "API description": _Row("This document", 200, answer="Document"),
}

_TEXT: Json = {"type": "string"}
_GROUP: Json = {
    "type": "string",
    "minLength": 1,
    "maxLength": limits.MAX_GROUP_NAME_CHARS,
    "pattern": r"\S",
}
_COUNT: Json = {"type": "integer", "minimum": 1, "maximum": 2**31 - 1}

_PATH_NAMES: dict[str, Json] = {
    "hub": {"type": "string", "pattern": r"^[A-Za-z][A-Za-z0-9_`,.\[\]]{0,127}$"},
    "group": _GROUP,
    "user": {"type": "string", "minLength": 1, "maxLength": limits.MAX_USER_ID_CHARS},
    "connection": {"type": "string", "minLength": 1},
    "permission": {"type": "string", "enum": ["sendToGroup", "joinLeaveGroup"]},
}

_QUERY: dict[str, tuple[str, Json]] = {
    "api-version": ("Left out: the newest.", {"type": "string", "enum": [*answers.API_VERSIONS]}),
    "userId": (
        "Left out or empty: an anonymous client.",
        {"type": "string", "maxLength": limits.MAX_USER_ID_CHARS},
    ),
    "role": ("What the client may do.", {"type": "array", "items": _TEXT}),
    "group": ("Groups in which the client starts.", {"type": "array", "items": _GROUP}),
    "minutesToExpire": ("Life of the token.", {**_COUNT, "default": 60}),
    "clientType": (
        "Which protocol family the token is for.",
        {"type": "string", "enum": ["Default", "MQTT"]},
    ),
    "messageTtlSeconds": (
        "A connection that does not take the message in this time does not get it; 0 = no limit.",
        {"type": "integer", "minimum": 0, "maximum": limits.MAX_TTL_S},
    ),
    "excluded": ("Connection ids that are left out.", {"type": "array", "items": _TEXT}),
    "filter": ("An OData filter over connections; empty = all.", _TEXT),
    "reason": ("Told to the client.", _TEXT),
    "targetName": ("The group, by its literal name.", _GROUP),
    "maxpagesize": ("Members of a page.", {"type": "integer", "minimum": 1, "maximum": 200}),
    "top": ("Members over all pages.", _COUNT),
    "continuationToken": (
        "From `nextLink` of the page before.",
        {"type": "string", "minLength": 1},
    ),
}
_REQUIRED = {"targetName"}

_BODIES: dict[str, Json] = {
    "message": {
        "description": "A message of at most `max_message_bytes`. `X-WebPubSub-Metadata-NAME`"
        " headers go with it. No Content-Type means bytes.",
        "content": {
            _JSON_TYPE: {"schema": {}},
            "text/plain": {"schema": _TEXT},
            "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
        },
    },
    "groups": {
        "required": True,
        "content": {
            _JSON_TYPE: {
                "schema": {
                    "type": "object",
                    "required": ["groups"],
                    "properties": {
                        "groups": {"type": "array", "minItems": 1, "items": _GROUP},
                        "filter": {"type": ["string", "null"]},
                    },
                }
            }
        },
    },
}


def _object(**properties: Json) -> Json:
    return {"type": "object", "required": [*properties], "properties": properties}


_HEALTH = {"status": _TEXT, "version": _TEXT, "engine": _TEXT}
_NODE = _object(id=_TEXT, version=_TEXT, state=_TEXT)
_MEMBER = _object(connectionId=_TEXT, userId={"type": ["string", "null"]})

_SCHEMAS: dict[str, Json] = {
    "Error": _object(code=_TEXT, message=_TEXT, target=_TEXT),
    "Token": _object(token=_TEXT),
    "Page": _object(
        value={"type": "array", "items": _MEMBER}, nextLink={"type": ["string", "null"]}
    ),
    "Health": _object(**_HEALTH),
    "Ready": _object(
        **_HEALTH,
        engineHealth=_TEXT,
        nodes={"type": "array", "items": _NODE},
        connections={"type": "integer", "minimum": 0},
    ),
    "Document": _object(openapi=_TEXT, paths={"type": "object"}),
}

_MEANINGS = {
    200: "Done.",
    202: "Accepted for delivery.",
    204: "Done, also when there was nothing to do.",
    304: "The module is still the one that the client has.",
    400: "A name, a parameter or the body is malformed.",
    401: "There is no token, or it is not good for this call.",
    404: "It does not exist, or the answer is no.",
    409: "The connection has as many rules as it may have.",
    415: "The body is of a type or charset that is not taken.",
    503: "Nothing was done; the same call may be repeated.",
}
_WITHOUT_BODY = {401, 415}
_HEADERS: dict[int, dict[str, Json]] = {
    401: {"WWW-Authenticate": {"required": True, "schema": _TEXT}},
    503: {"Retry-After": {"required": True, "schema": {"type": "integer"}}},
}


def handler(routes: Callable[[], Routes]) -> Handler:
    """Answers with the document of the routes, which is made at the first call."""

    @functools.cache
    def encoded() -> msgspec.Raw:
        return msgspec.Raw(msgspec.json.encode(document(routes())))

    async def describe(call: Call) -> Response:
        return answers.json_answer(200, encoded())

    return describe


def document(routes: Routes) -> Json:
    """The OpenAPI document of these routes."""
    paths: Json = {}
    for path, operations in routes:
        names = re.findall(r"{(\w+)}", path)
        paths[path] = {
            method.lower(): _operation(operation, method, names)
            for method, operation in operations.items()
        }
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "hubbub",
            "version": __version__,
            "description": "Send to WebSocket clients and manage them. Paths are percent-encoded;"
            " names in them may hold an encoded slash.",
        },
        "servers": [{"url": "/"}],
        "security": [{"bearer": []}],
        "paths": paths,
        "components": {
            "schemas": _SCHEMAS,
            "securitySchemes": {
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "bearerFormat": "JWT",
                    "description": "Signed with an access key, `aud` being the address of the call"
                    " without its query; or of the identity provider that the service trusts.",
                }
            },
        },
    }


def _operation(operation: Operation, method: str, names: list[str]) -> Json:
    row = _ROWS[operation.name]
    made: Json = {
        "operationId": _id(operation.name, method),
        "summary": row.summary,
        "parameters": [_path_parameter(name) for name in names]
        + [_query_parameter(name) for name in ("api-version", *row.query)],
        "responses": _responses(operation, row, has_content=method != "HEAD"),
    }
    if operation.is_open:
        made["security"] = []
    if row.body:
        made["requestBody"] = _BODIES[row.body]
    return made


def _id(name: str, method: str) -> str:
    """One operation may be there with GET and HEAD; ids are unique all the same."""
    first, *more = (f"{name} head" if method == "HEAD" else name).split()
    return first + "".join(word.capitalize() for word in more)


def _path_parameter(name: str) -> Json:
    return {"name": name, "in": "path", "required": True, "schema": _PATH_NAMES[name]}


def _query_parameter(name: str) -> Json:
    description, schema = _QUERY[name]
    parameter = {"name": name, "in": "query", "description": description, "schema": schema}
    return parameter | ({"required": True} if name in _REQUIRED else {})


def _responses(operation: Operation, row: _Row, *, has_content: bool) -> Json:
    statuses = [row.success, 400, 503, *row.refusals]
    if not operation.is_open:
        statuses.append(401)
    is_module = operation.name == "browser client"
    if is_module:
        statuses.append(304)
    responses: Json = {}
    for status in sorted(statuses):
        headers = dict(_HEADERS.get(status, {}))
        if not (is_module and status < 400):
            headers["api-supported-versions"] = {"required": True, "schema": _TEXT}
        if status >= 400 and status not in _WITHOUT_BODY:
            headers["x-ms-error-code"] = {"schema": _TEXT}
        response: Json = {"description": _MEANINGS[status], "headers": headers}
        if has_content and (content := _content(row, status, is_module)):
            response["content"] = content
        responses[str(status)] = response
    return responses


def _content(row: _Row, status: int, is_module: bool) -> Json:
    if status in _WITHOUT_BODY or status == 304:
        return {}
    if status == 503 and row.answer == "Ready":
        return _json_content("Ready")
    if status >= 400:
        return _json_content("Error")
    if is_module:
        return {"text/javascript": {"schema": _TEXT}}
    return _json_content(row.answer) if row.answer else {}


def _json_content(schema: str) -> Json:
    return {_JSON_TYPE: {"schema": {"$ref": f"#/components/schemas/{schema}"}}}
