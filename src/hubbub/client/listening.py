"""`on` and `off`, with the type of each event; both twins have them from here.

There are two forms of `on` for each name, so that an editor knows what a handler is given,
and a wrong one is refused by a type checker.
"""

from collections.abc import Callable
from typing import Any, Generic, Literal, Protocol, TypedDict, TypeVar, Unpack, overload

from hubbub.client.events import (
    NAMES,
    GroupMessageEvent,
    HandlerErrorEvent,
    ServerMessageEvent,
    SlowConsumerEvent,
)
from hubbub.client.options import BufferOptions
from hubbub.protocol import client_events as ce

R = TypeVar("R")
T = TypeVar("T")
E = TypeVar("E")


class Decorator(Protocol[E]):
    """Registers a function and gives it back."""

    def __call__(self, handler: Callable[[E], T], /) -> Callable[[E], T]: ...


class HandlerOptions(TypedDict, total=False):
    """The keywords of `on`."""

    group: str | None
    max_concurrency: int
    thread: bool
    buffer: BufferOptions | None


class Listening(Generic[R]):
    """`R`: what a registration is."""

    @overload
    def on(
        self, event: Literal["connected"], **options: Unpack[HandlerOptions]
    ) -> Decorator[ce.ConnectedEvent]: ...
    @overload
    def on(
        self,
        event: Literal["connected"],
        handler: Callable[[ce.ConnectedEvent], object],
        **options: Unpack[HandlerOptions],
    ) -> R: ...

    @overload
    def on(
        self, event: Literal["disconnected"], **options: Unpack[HandlerOptions]
    ) -> Decorator[ce.DisconnectedEvent]: ...
    @overload
    def on(
        self,
        event: Literal["disconnected"],
        handler: Callable[[ce.DisconnectedEvent], object],
        **options: Unpack[HandlerOptions],
    ) -> R: ...

    @overload
    def on(
        self, event: Literal["stopped"], **options: Unpack[HandlerOptions]
    ) -> Decorator[ce.StoppedEvent]: ...
    @overload
    def on(
        self,
        event: Literal["stopped"],
        handler: Callable[[ce.StoppedEvent], object],
        **options: Unpack[HandlerOptions],
    ) -> R: ...

    @overload
    def on(
        self, event: Literal["server-message"], **options: Unpack[HandlerOptions]
    ) -> Decorator[ServerMessageEvent]: ...
    @overload
    def on(
        self,
        event: Literal["server-message"],
        handler: Callable[[ServerMessageEvent], object],
        **options: Unpack[HandlerOptions],
    ) -> R: ...

    @overload
    def on(
        self, event: Literal["group-message"], **options: Unpack[HandlerOptions]
    ) -> Decorator[GroupMessageEvent]: ...
    @overload
    def on(
        self,
        event: Literal["group-message"],
        handler: Callable[[GroupMessageEvent], object],
        **options: Unpack[HandlerOptions],
    ) -> R: ...

    @overload
    def on(
        self, event: Literal["rejoin-group-failed"], **options: Unpack[HandlerOptions]
    ) -> Decorator[ce.RejoinGroupFailedEvent]: ...
    @overload
    def on(
        self,
        event: Literal["rejoin-group-failed"],
        handler: Callable[[ce.RejoinGroupFailedEvent], object],
        **options: Unpack[HandlerOptions],
    ) -> R: ...

    @overload
    def on(
        self, event: Literal["recovering"], **options: Unpack[HandlerOptions]
    ) -> Decorator[ce.RecoveringEvent]: ...
    @overload
    def on(
        self,
        event: Literal["recovering"],
        handler: Callable[[ce.RecoveringEvent], object],
        **options: Unpack[HandlerOptions],
    ) -> R: ...

    @overload
    def on(
        self, event: Literal["recovered"], **options: Unpack[HandlerOptions]
    ) -> Decorator[ce.RecoveredEvent]: ...
    @overload
    def on(
        self,
        event: Literal["recovered"],
        handler: Callable[[ce.RecoveredEvent], object],
        **options: Unpack[HandlerOptions],
    ) -> R: ...

    @overload
    def on(
        self, event: Literal["reconnecting"], **options: Unpack[HandlerOptions]
    ) -> Decorator[ce.ReconnectingEvent]: ...
    @overload
    def on(
        self,
        event: Literal["reconnecting"],
        handler: Callable[[ce.ReconnectingEvent], object],
        **options: Unpack[HandlerOptions],
    ) -> R: ...

    @overload
    def on(
        self, event: Literal["gap"], **options: Unpack[HandlerOptions]
    ) -> Decorator[ce.GapEvent]: ...
    @overload
    def on(
        self,
        event: Literal["gap"],
        handler: Callable[[ce.GapEvent], object],
        **options: Unpack[HandlerOptions],
    ) -> R: ...

    @overload
    def on(
        self, event: Literal["group-states-changed"], **options: Unpack[HandlerOptions]
    ) -> Decorator[ce.GroupStatesChangedEvent]: ...
    @overload
    def on(
        self,
        event: Literal["group-states-changed"],
        handler: Callable[[ce.GroupStatesChangedEvent], object],
        **options: Unpack[HandlerOptions],
    ) -> R: ...

    @overload
    def on(
        self, event: Literal["slow-consumer"], **options: Unpack[HandlerOptions]
    ) -> Decorator[SlowConsumerEvent]: ...
    @overload
    def on(
        self,
        event: Literal["slow-consumer"],
        handler: Callable[[SlowConsumerEvent], object],
        **options: Unpack[HandlerOptions],
    ) -> R: ...

    @overload
    def on(
        self, event: Literal["handler-error"], **options: Unpack[HandlerOptions]
    ) -> Decorator[HandlerErrorEvent]: ...
    @overload
    def on(
        self,
        event: Literal["handler-error"],
        handler: Callable[[HandlerErrorEvent], object],
        **options: Unpack[HandlerOptions],
    ) -> R: ...

    def on(
        self,
        event: str,
        handler: Callable[[Any], object] | None = None,
        *,
        group: str | None = None,
        max_concurrency: int = 1,
        thread: bool = False,
        buffer: BufferOptions | None = None,
    ) -> Any:
        """Call `handler` for each event of this name; also as a decorator.

        An `async def` or a plain, quick function, which runs in the event loop; with `thread` a
        plain one that may take its time. `group`: only messages of this group. `max_concurrency`:
        calls that may run at once, started in order. `buffer`: of the events that wait for it.
        Handlers run in a copy of the context in which they were registered. Returns the
        registration (the decorator returns the handler). Raises: ValueError for unknown names.
        """
        check_name(event)
        if max_concurrency < 1:
            raise ValueError("max_concurrency must be at least 1")
        options = HandlerOptions(
            group=group, max_concurrency=max_concurrency, thread=thread, buffer=buffer
        )
        if handler is not None:
            return self._register(event, handler, options)

        def register(function: Callable[[Any], T]) -> Callable[[Any], T]:
            self._register(event, function, options)
            return function

        return register

    def off(self, event: str, handler: Callable[[Any], object]) -> None:
        """Take off the oldest registration of this handler; nothing happens without one."""
        self._unregister(event, handler)

    def _register(self, event: str, handler: Callable[[Any], object], options: HandlerOptions) -> R:
        raise NotImplementedError

    def _unregister(self, event: str, handler: Callable[[Any], object]) -> None:
        raise NotImplementedError


def check_name(event: str) -> None:
    """Raises: ValueError unless there is an event of this name."""
    if event not in NAMES.values():
        known = ", ".join(sorted(NAMES.values()))
        raise ValueError(f"there is no event {event!r}; there are {known}")
