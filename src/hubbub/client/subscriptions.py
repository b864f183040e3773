"""What an application hears of: handlers and iterators."""

from typing import Any

from hubbub.client.dispatch import Dispatcher
from hubbub.client.events import MESSAGES, NAMES
from hubbub.client.inbox import EventStream, Handler, Registration
from hubbub.client.options import BufferOptions


class Subscriptions:
    """The part of `Client` that listens. Before a start, during and after it is the same."""

    _dispatcher: Dispatcher
    _buffer: BufferOptions

    def on(
        self,
        event: str,
        handler: Handler | None = None,
        *,
        group: str | None = None,
        buffer: BufferOptions | None = None,
    ) -> Any:
        """Call `handler` for each event of this name; also as a decorator.

        `async def` or a plain, quick function. `group`: only messages of this group. Returns the
        registration (the decorator returns the handler). Raises: ValueError for unknown names.
        """
        if event not in NAMES.values():
            known = ", ".join(sorted(NAMES.values()))
            raise ValueError(f"there is no event {event!r}; there are {known}")
        if handler is None:

            def register(function: Handler) -> Handler:
                self.on(event, function, group=group, buffer=buffer)
                return function

            return register
        registration = Registration(self._dispatcher, event, handler, group, buffer or self._buffer)
        self._dispatcher.add(registration)
        return registration

    def off(self, event: str, handler: Handler) -> None:
        """Take off the oldest registration of this handler; nothing happens without one."""
        registration = self._dispatcher.find(event, handler)
        if registration is not None:
            registration.close()

    def messages(
        self, *, group: str | None = None, buffer: BufferOptions | None = None
    ) -> EventStream:
        """Messages as an async iterator: of one group, or all, those of the server included."""
        wanted = MESSAGES if group is None else frozenset({"group-message"})
        return self._stream(wanted, group, buffer)

    def events(self, *wanted: str, buffer: BufferOptions | None = None) -> EventStream:
        """Events as an async iterator, in one order; without names all of them."""
        unknown = set(wanted) - set(NAMES.values())
        if unknown:
            raise ValueError(f"there is no event {sorted(unknown)[0]!r}")
        return self._stream(frozenset(wanted) or None, None, buffer)

    def _stream(
        self, wanted: frozenset[str] | None, group: str | None, buffer: BufferOptions | None
    ) -> EventStream:
        dispatcher = self._dispatcher
        return EventStream(dispatcher, wanted, group, buffer or self._buffer, open_=dispatcher.add)
