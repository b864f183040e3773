"""The `/negotiate` route: an application's own users get an address with which they may connect."""

import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import parse_qsl

import msgspec

from hubbub.appserver import wire
from hubbub.appserver.answers import HandlerAnswer, HttpHandler, text_answer
from hubbub.appserver.events import Refused
from hubbub.appserver.service_client import ServiceClient
from hubbub.appserver.sync_service_client import SyncServiceClient

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class NegotiateRequest:
    """Who asks. `query`: last value of each name. `headers`: names in lower case."""

    method: str
    query: Mapping[str, str]
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class ClientGrant:
    """What the client gets: who it is, what it may do, which groups it is in from the start."""

    user_id: str | None = None
    roles: Sequence[str] = ()
    groups: Sequence[str] = ()
    minutes_to_expire: int = 60


Decide = Callable[[NegotiateRequest], Awaitable[ClientGrant]]


class Negotiator(HttpHandler):
    """Answers GET and POST with `{"url": "ws…?access_token=…"}`, for this one client.

    `decide` looks at the application's own session and gives a grant, or raises `Refused`.
    """

    def __init__(self, client: ServiceClient | SyncServiceClient, decide: Decide) -> None:
        self._client = client
        self._decide = decide

    async def answer_http(
        self, method: str, query: str, headers: Iterable[tuple[str, str]], body: bytes
    ) -> HandlerAnswer:
        if method not in ("GET", "POST"):
            return HandlerAnswer(405, [("Allow", "GET, POST")])
        fields = wire.first_values(headers)
        request = NegotiateRequest(method, dict(parse_qsl(query, keep_blank_values=True)), fields)
        try:
            grant = await self._decide(request)
            access = self._client.get_client_access_token(
                user_id=grant.user_id,
                roles=grant.roles,
                groups=grant.groups,
                minutes_to_expire=grant.minutes_to_expire,
            )
        except Refused as refusal:
            return text_answer(refusal.status, refusal.text)
        except Exception:
            _log.exception("negotiation failed: hub=%s", self._client.hub)
            return HandlerAnswer(500)
        lines = [("Content-Type", "application/json"), ("Cache-Control", "no-store")]
        return HandlerAnswer(200, lines, msgspec.json.encode({"url": access.url}))

    async def aclose(self) -> None:
        """Nothing of its own runs; the client belongs to whoever made it."""
