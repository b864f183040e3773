"""`:generateToken`: a client access token, made on the server's behalf."""

from starlette.responses import Response

from hubbub.protocol import tokens
from hubbub.service.rest import answers
from hubbub.service.rest.call import Call, checked_group, checked_user_id

_CLIENT_PATHS = {"default": "/client/hubs/", "mqtt": "/clients/mqtt/hubs/"}
_DEFAULT_MINUTES = 60
_MAX_MINUTES = 2**31 - 1


async def generate_token(call: Call) -> Response:
    if call.node.settings.generate_token_requires_entra and call.is_key_signed:
        raise answers.unauthorized()
    hub = call.hub_name
    client_type = call.value("clientType")
    path = _CLIENT_PATHS.get("default" if client_type is None else client_type.lower())
    if path is None:
        raise answers.bad_request("Invalid clientType.", "clientType")
    minutes = call.integer(
        "minutesToExpire", default=_DEFAULT_MINUTES, lowest=1, highest=_MAX_MINUTES
    )
    user_id = call.value("userId")
    token = tokens.make_client_token(
        call.node.keys[0],
        audience=f"{call.origin}{path}{hub}",
        now=call.now(),
        life_s=minutes * 60,
        user_id=checked_user_id(user_id) if user_id else None,
        roles=call.values("role"),
        groups=[checked_group(group) for group in call.values("group")],
    )
    return answers.json_answer(200, {"token": token})
