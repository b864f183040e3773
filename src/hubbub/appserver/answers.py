"""What event handlers and negotiators answer, and what an adapter asks of them."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from hubbub.appserver.asgi import HandlerApp
    from hubbub.appserver.on_aiohttp import AiohttpRoute
    from hubbub.appserver.wsgi import WsgiApp

MAX_BODY_BYTES: Final = 16 * 1_048_576
"""One request: far above what the service sends, far below what would hurt."""


@dataclass(frozen=True, slots=True)
class HandlerAnswer:
    """The answer to one request; a header name may stand in several lines."""

    status: int
    headers: Sequence[tuple[str, str]] = ()
    body: bytes = b""


def text_answer(status: int, text: str) -> HandlerAnswer:
    if not text:
        return HandlerAnswer(status)
    headers = [("Content-Type", "text/plain; charset=utf-8")]
    return HandlerAnswer(status, headers, text.encode(errors="replace"))


class HttpHandler(ABC):
    """Whatever answers HTTP requests of any framework, by one of the adapters."""

    @abstractmethod
    async def answer_http(
        self, method: str, query: str, headers: Iterable[tuple[str, str]], body: bytes
    ) -> HandlerAnswer:
        """One request, whole."""

    @abstractmethod
    async def aclose(self) -> None:
        """End what runs."""

    def asgi(self) -> "HandlerApp":
        """An ASGI app, to serve alone or to mount at any path."""
        from hubbub.appserver.asgi import HandlerApp

        return HandlerApp(self)

    def wsgi(self) -> "WsgiApp":
        """A WSGI app, for Flask, Django and the like."""
        from hubbub.appserver.wsgi import WsgiApp

        return WsgiApp(self)

    def aiohttp(self) -> "AiohttpRoute":
        """A request handler for aiohttp: `app.router.add_route("*", path, handler.aiohttp())`."""
        from hubbub.appserver.on_aiohttp import aiohttp_route

        return aiohttp_route(self)
