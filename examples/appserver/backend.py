"""What all the examples share: who may come in, and what happens to what they send."""

import os

from hubbub.appserver import (
    ClientGrant,
    ConnectRequest,
    ConnectResponse,
    EventHandler,
    NegotiateRequest,
    Negotiator,
    Refused,
    ServiceClient,
    UserEventRequest,
)

service = ServiceClient.from_connection_string(os.environ["HUBBUB_CONNECTION_STRING"], "chat")
handler = EventHandler("chat")


async def grant(request: NegotiateRequest) -> ClientGrant:
    name = request.query.get("name")
    if not name:
        raise Refused(401, "say who you are: /negotiate?name=…")
    return ClientGrant(user_id=name, roles=["webpubsub.joinLeaveGroup.news"], groups=["news"])


negotiator = Negotiator(service, grant)


@handler.on_connect
async def connect(request: ConnectRequest) -> ConnectResponse:
    return ConnectResponse(states={"greeted": request.context.user_id})


@handler.on_event("echo")
async def echo(request: UserEventRequest) -> object:
    return {"you": request.context.states["greeted"], "said": request.data}
