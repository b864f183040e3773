"""What the upstream side keeps for one connection."""

import asyncio
import re
from collections.abc import Callable
from typing import Final

import aiohttp
from yarl import URL

_TRACEPARENT: Final = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}(-\S{0,256})?")
_MAX_COOKIES: Final = 50
"""Cookies that handlers may keep at one connection; later ones are not taken."""


class EventSource:
    """The connection that events come from. Mutable; owned by the connection.

    `hub` in lower case; `origin`: host of the service as the client addressed it, without port.
    The owner may set `user_id` and `subprotocol` when they become known.
    """

    __slots__ = (
        "_cookies",
        "_running",
        "_when_idle",
        "connection_id",
        "has_left",
        "hub",
        "next_event_id",
        "origin",
        "state",
        "subprotocol",
        "traceparent",
        "user_id",
    )

    def __init__(
        self,
        *,
        hub: str,
        connection_id: str,
        origin: str,
        user_id: str | None = None,
        subprotocol: str | None = None,
        traceparent: str | None = None,
    ) -> None:
        self.hub = hub
        self.connection_id = connection_id
        self.origin = origin
        self.user_id = user_id
        self.subprotocol = subprotocol
        # The client wrote it: a malformed one is left out and must not fail the client's events.
        is_valid = traceparent is not None and _TRACEPARENT.fullmatch(traceparent)
        self.traceparent = traceparent if is_valid else None
        self.state = ""
        self.next_event_id = 1
        self.has_left = False
        self._cookies: aiohttp.CookieJar | None = None
        self._running = 0
        self._when_idle: Callable[[], None] | None = None

    def take_event_id(self) -> int:
        event_id = self.next_event_id
        self.next_event_id += 1
        return event_id

    # --- order: `disconnected` is the last event -------------------------------------------------

    def begin_call(self) -> None:
        self._running += 1

    def end_call(self) -> None:
        self._running -= 1
        if self._running == 0 and self._when_idle is not None:
            # Not from here: an action that ends another call would nest without end.
            asyncio.get_running_loop().call_soon(self._when_idle)
            self._when_idle = None

    def when_idle(self, action: Callable[[], None]) -> None:
        """Run the action once no call of this connection is under way, maybe at once."""
        if self._running == 0:
            action()
        else:
            self._when_idle = action

    # --- cookies ---------------------------------------------------------------------------------

    def cookie_header(self, url: URL) -> str:
        """Value of `Cookie` for a URL, or ""."""
        if self._cookies is None:
            return ""
        return self._cookies.filter_cookies(url).output(header="", sep=";").strip()

    def keep_cookies(self, set_cookie: list[str], url: URL) -> None:
        if not set_cookie:
            return
        if self._cookies is None:
            # unsafe: handlers are often addressed by IP address, and the jar is theirs alone.
            self._cookies = aiohttp.CookieJar(unsafe=True)
        if len(self._cookies) < _MAX_COOKIES:
            self._cookies.update_cookies_from_headers(set_cookie, url)
