"""What event handlers and negotiators answer, and what an adapter asks of them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

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


class HttpHandler(Protocol):
    """Whatever the adapters for frameworks can carry."""

    async def answer_http(
        self, method: str, query: str, headers: Iterable[tuple[str, str]], body: bytes
    ) -> HandlerAnswer: ...

    async def aclose(self) -> None: ...
