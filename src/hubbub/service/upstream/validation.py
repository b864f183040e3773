"""Does a handler want events of this service? Asked before its first event and every minute."""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from yarl import URL

from hubbub.protocol import cloudevents
from hubbub.protocol.errors import UpstreamError
from hubbub.service.upstream.call import Caller, Reply
from hubbub.service.upstream.choose import Handler

logger = logging.getLogger(__name__)

VALID_FOR_S: Final = 60
MAX_PAUSE_S: Final = 60
"""After failures the next question waits 1, 2, 4 … up to this many seconds."""
QUESTION_TIMEOUT_S: Final = 10
_MAX_REMEMBERED: Final = 1000
"""Results kept, by handler address and origin; clients choose the origin they connect with."""


class _Result:
    """What is known about one address and origin."""

    __slots__ = ("due_at", "failures", "is_valid", "question")

    def __init__(self) -> None:
        self.is_valid = False
        self.failures = 0
        self.due_at = 0.0
        self.question: asyncio.Task[None] | None = None


class Validator:
    """Keeps the results; events that come while a first question is open wait for it."""

    def __init__(
        self,
        caller: Caller,
        *,
        monotonic: Callable[[], float],
        timeout_s: float = QUESTION_TIMEOUT_S,
    ) -> None:
        self._caller = caller
        self._monotonic = monotonic
        self._timeout_s = timeout_s
        self._results: OrderedDict[tuple[str, str], _Result] = OrderedDict()
        self._questions: set[asyncio.Task[None]] = set()

    async def check(self, handler: Handler, origin: str) -> None:
        """Return when the handler wants events of `origin`; else raise `UpstreamError`."""
        result = self._result(handler, origin)
        question = self._ask_when_due(handler, origin, result)
        if question is not None and not result.is_valid:
            # Shielded: others wait for the same question when this event is given up.
            await asyncio.shield(question)
        if not result.is_valid:
            raise UpstreamError("the handler did not confirm that it wants events of this service")

    def start(self, handler: Handler, origin: str) -> None:
        """Ask now, without waiting, so that the first event need not."""
        self._ask_when_due(handler, origin, self._result(handler, origin))

    async def close(self) -> None:
        for question in self._questions:
            question.cancel()
        await asyncio.gather(*self._questions, return_exceptions=True)

    def _result(self, handler: Handler, origin: str) -> _Result:
        key = (handler.validation_url, origin.lower())
        result = self._results.get(key)
        if result is None:
            result = self._results[key] = _Result()
            if len(self._results) > _MAX_REMEMBERED:
                self._results.popitem(last=False)
        self._results.move_to_end(key)
        return result

    def _ask_when_due(
        self, handler: Handler, origin: str, result: _Result
    ) -> asyncio.Task[None] | None:
        """The question under way, begun now if it is time, or None."""
        if result.question is None and self._monotonic() >= result.due_at:
            result.question = asyncio.create_task(self._ask(handler, origin, result))
            self._questions.add(result.question)
            result.question.add_done_callback(self._questions.discard)
        return result.question

    async def _ask(self, handler: Handler, origin: str, result: _Result) -> None:
        try:
            problem = await self._problem(handler, origin)
            result.is_valid = problem is None
            if problem is None:
                result.failures = 0
                result.due_at = self._monotonic() + VALID_FOR_S
            else:
                pause_s = min(2**result.failures, MAX_PAUSE_S)
                result.failures = min(result.failures + 1, 10)
                result.due_at = self._monotonic() + pause_s
                logger.warning("handler=%r origin=%s: %s", handler, origin, problem)
        finally:
            result.question = None

    async def _problem(self, handler: Handler, origin: str) -> str | None:
        """Ask once. None, or the product's word for the failure and what came."""
        try:
            reply = await self._question("OPTIONS", handler, origin)
            if reply.status == 404:
                reply = await self._question("GET", handler, origin)
        except UpstreamError as error:
            return f"AbuseProtectionResponseFailed: {error}"
        if not reply.is_success:
            return f"AbuseProtectionResponseInvalidStatusCode: status {reply.status}"
        if not cloudevents.is_origin_allowed(
            reply.headers.getall("WebHook-Allowed-Origin", []), origin
        ):
            return "AbuseProtectionResponseMissingAllowedOrigin: neither * nor our origin"
        return None

    async def _question(self, method: str, handler: Handler, origin: str) -> Reply:
        return await self._caller.call(
            method,
            URL(handler.validation_url, encoded=True),
            cloudevents.validation_headers(origin),
            timeout_s=self._timeout_s,
            retry_pauses_s=handler.settings.retry_pauses_s,
        )
