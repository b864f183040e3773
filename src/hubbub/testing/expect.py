"""Waiting for what is to come. An AssertionError says what was expected and what came instead."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Generator
from types import TracebackType
from typing import Any, Final

from hubbub.client import Client
from hubbub.client.events import NAMES, ClientEvent

WITHIN_S: Final = 5.0
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.001, 0.05
_GRACE_S = 5.0
_SHOWN = 10
_SOMETHING_TRUE: Final = object()


async def eventually(
    check: Callable[[], Any], expected: object = _SOMETHING_TRUE, *, within: float = WITHIN_S
) -> Any:
    """Call `check`, which may be async, until it gives `expected`, or something true.

    A check may also `assert`; one that does nothing else gives None: `eventually(check, None)`.
    `within`: seconds; a check that still runs 5 s later is cancelled. Returns: what it gave.
    Raises: AssertionError with what was expected and what came last.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + within
    pause_s = _FIRST_PAUSE_S
    while True:
        failure: AssertionError | None = None
        try:
            result = check()
            if inspect.isawaitable(result):
                got = await _in_time(result, deadline + _GRACE_S)
            else:
                got = result
        except AssertionError as error:
            failure = error
        else:
            if got if expected is _SOMETHING_TRUE else got == expected:
                return got
        if loop.time() >= deadline:
            break
        await asyncio.sleep(min(pause_s, deadline - loop.time()))
        pause_s = min(pause_s * 1.5, _LONGEST_PAUSE_S)
    if failure is not None:
        raise AssertionError(f"after {within:g} s still: {failure}") from failure
    wanted = "something true" if expected is _SOMETHING_TRUE else repr(expected)
    raise AssertionError(f"expected {wanted} within {within:g} s, got {got!r}")


async def _in_time(check: Awaitable[Any], deadline: float) -> Any:
    """Raises: AssertionError for a check that hangs; its own TimeoutError passes."""
    try:
        async with asyncio.timeout_at(deadline) as limit:
            return await check
    except TimeoutError:
        if not limit.expired():
            raise
        raise AssertionError("the check itself does not end") from None


def expect_event(
    client: Client, event: str, *, within: float = WITHIN_S, **fields: object
) -> "ExpectedEvent":
    """The client's next event of this name, with these values in its fields.

        hub.cut()
        recovered = await expect_event(client, "recovered")

    or, where it may come before the next `await` is over:

        async with expect_event(client, "disconnected", close_code=1008):
            await hub.close_clients(1008)

    Raises: AssertionError with the events that came instead.
    """
    if event not in NAMES.values():
        raise ValueError(f"there is no event {event!r}; there are {', '.join(NAMES.values())}")
    return ExpectedEvent(client, event, within, fields)


class ExpectedEvent:
    """`await` it, or use it as an async context manager; then `event` is what came."""

    def __init__(
        self, client: Client, name: str, within_s: float, fields: dict[str, object]
    ) -> None:
        self._client = client
        self._name = name
        self._within_s = within_s
        self._fields = fields
        self.event: Any = None

    def __await__(self) -> Generator[Any, None, Any]:
        return self._wait().__await__()

    async def _wait(self) -> Any:
        async with self:
            pass
        return self.event

    async def __aenter__(self) -> "ExpectedEvent":
        self._stream = self._client.events()
        await self._stream.__aenter__()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            if exc is None:
                await self._receive()
        finally:
            await self._stream.__aexit__(None, None, None)

    async def _receive(self) -> None:
        came: list[ClientEvent] = []
        why = "then the client stopped"
        try:
            async with asyncio.timeout(self._within_s):
                async for event in self._stream:
                    if self._matches(event):
                        self.event = event
                        return
                    came.append(event)
        except TimeoutError:
            why = f"nothing else within {self._within_s:g} s"
        wanted = ", ".join(f"{name}={value!r}" for name, value in self._fields.items())
        raise AssertionError(
            f"expected the event {self._name}({wanted}), got "
            + "; ".join([*map(described, came[-_SHOWN:]), why])
        )

    def _matches(self, event: ClientEvent) -> bool:
        return NAMES[type(event)] == self._name and all(
            getattr(event, name, _SOMETHING_TRUE) == value for name, value in self._fields.items()
        )


def described(event: ClientEvent) -> str:
    """An event under the name by which it is registered for."""
    return NAMES[type(event)] + repr(event).removeprefix(type(event).__name__)
