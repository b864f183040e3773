"""What an application of the asyncio client hears of: handlers and iterators."""

from collections.abc import Callable
from typing import Any, overload

from hubbub.client.dispatch import Dispatcher
from hubbub.client.events import (
    MESSAGES,
    ClientEvent,
    GroupMessageEvent,
    ServerMessageEvent,
)
from hubbub.client.inbox import Registration
from hubbub.client.iterators import EventStream, StreamLane
from hubbub.client.listening import HandlerOptions, Listening, check_name
from hubbub.client.options import BufferOptions


class Subscriptions(Listening[Registration]):
    """The part of `Client` that listens. Before a start, during and after it is the same."""

    _dispatcher: Dispatcher
    _buffer: BufferOptions

    def _register(
        self, event: str, handler: Callable[[Any], object], options: HandlerOptions
    ) -> Registration:
        registration = Registration(
            self._dispatcher,
            event,
            handler,
            options.get("group"),
            options.get("buffer") or self._buffer,
            max_concurrency=options.get("max_concurrency", 1),
            thread=options.get("thread", False),
        )
        self._dispatcher.add(registration)
        return registration

    def _unregister(self, event: str, handler: Callable[[Any], object]) -> None:
        registration = self._dispatcher.find(event, handler)
        if registration is not None:
            registration.close()

    @overload
    def messages(
        self, *, group: str, buffer: BufferOptions | None = None, forever: bool = False
    ) -> EventStream[GroupMessageEvent]: ...
    @overload
    def messages(
        self, *, group: None = None, buffer: BufferOptions | None = None, forever: bool = False
    ) -> EventStream[GroupMessageEvent | ServerMessageEvent]: ...

    def messages(
        self,
        *,
        group: str | None = None,
        buffer: BufferOptions | None = None,
        forever: bool = False,
    ) -> EventStream[Any]:
        """Messages as an async iterator: of one group, or all, those of the server included.

        It ends when the client is stopped, unless `forever`: then it waits for the next start.
        """
        wanted = MESSAGES if group is None else frozenset({"group-message"})
        return self._stream(wanted, group, buffer, forever)

    def events(
        self, *wanted: str, buffer: BufferOptions | None = None, forever: bool = False
    ) -> EventStream[ClientEvent]:
        """Events as an async iterator, in one order; without names all of them.

        `forever`: as of `messages`. Raises: ValueError for unknown names.
        """
        for name in wanted:
            check_name(name)
        return self._stream(frozenset(wanted) or None, None, buffer, forever)

    def _stream(
        self,
        wanted: frozenset[str] | None,
        group: str | None,
        buffer: BufferOptions | None,
        forever: bool,
    ) -> EventStream[Any]:
        dispatcher, limits = self._dispatcher, buffer or self._buffer

        def make() -> StreamLane:
            return StreamLane(dispatcher, wanted, group, limits, forever=forever)

        return EventStream(make, dispatcher.add)
