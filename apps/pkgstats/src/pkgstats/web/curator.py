"""The page of curators: somebody who knows the key may post picks to every open page."""

from __future__ import annotations

import hashlib
import hmac
from http import HTTPStatus

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from hubbub.appserver import ServiceClient
from pkgstats.live import negotiate
from pkgstats.live.groups import Watchers
from pkgstats.web.render import Renderer
from pkgstats.web.visitor import read_form, remember, visitor_of

COOKIE = "pkgstats_curator"
COOKIE_LIFE_S = 12 * 3600


class CuratorPages:
    """Signing in, posting (by the page itself, straight into the group), giving the right back."""

    def __init__(
        self, key: str, renderer: Renderer, client: ServiceClient, watchers: Watchers
    ) -> None:
        """`key` "": there are no curators, and no such page."""
        self._key = key
        self._renderer = renderer
        self._client = client
        self._watchers = watchers

    def routes(self) -> list[Route]:
        if not self._key:
            return []
        return [
            Route(negotiate.CURATOR_PAGE, self.page, methods=["GET"]),
            Route(negotiate.CURATOR_PAGE, self.change, methods=["POST"]),
        ]

    def is_curator(self, request: Request) -> bool:
        """Whether this visitor has shown the key."""
        visitor = visitor_of(request)
        if not self._key or visitor is None:
            return False
        shown = request.cookies.get(COOKIE, "")
        return hmac.compare_digest(shown.encode(), self._proof(visitor).encode())

    async def page(self, request: Request) -> Response:
        return self._renderer.html(request, "curator.html", is_curator=self.is_curator(request))

    async def change(self, request: Request) -> Response:
        """Sign in with the key, or give the right back for a connection that is open."""
        form = await read_form(request)
        if form.get("do") == "leave":
            return await self._leave(request, form.get("connection", ""))
        if not hmac.compare_digest(form.get("key", "").encode(), self._key.encode()):
            raise HTTPException(HTTPStatus.FORBIDDEN, "This is not the curators' key.")
        answer = RedirectResponse(negotiate.CURATOR_PAGE, HTTPStatus.SEE_OTHER)
        visitor = visitor_of(request)
        if visitor is None:
            visitor = negotiate.new_visitor_id()
            remember(request, answer, visitor)
        answer.set_cookie(
            COOKIE,
            self._proof(visitor),
            max_age=COOKIE_LIFE_S,
            secure=request.url.scheme == "https",
            httponly=True,
            samesite="strict",
        )
        return answer

    async def _leave(self, request: Request, connection_id: str) -> Response:
        """The token's right ends with the next connection; that of this one is revoked now."""
        visitor = visitor_of(request)
        if visitor is not None and self._watchers.user_of(connection_id) == visitor:
            await self._client.revoke_permission(
                "sendToGroup", connection_id, group=negotiate.BOT_GROUP
            )
        answer = RedirectResponse(negotiate.CURATOR_PAGE, HTTPStatus.SEE_OTHER)
        answer.delete_cookie(COOKIE)
        return answer

    def _proof(self, visitor: str) -> str:
        """Shows that this visitor knew the key, without the key."""
        return hmac.new(self._key.encode(), visitor.encode(), hashlib.sha256).hexdigest()
