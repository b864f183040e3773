"""Requests from the service to the customer's event handlers.

upstream = Upstream(settings, keys)
await upstream.open()
answer = await upstream.connect(source, ConnectRequest(...))
"""

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from typing import Final
from urllib.parse import urlsplit

from yarl import URL

from hubbub import clock
from hubbub.protocol import cloudevents
from hubbub.protocol.cloudevents import ConnectAnswer, ConnectRequest, EventAnswer
from hubbub.protocol.errors import ConnectRejected, SettingsError, UpstreamError
from hubbub.protocol.messages import Metadata, Payload
from hubbub.service.settings import EventHandlerSettings, Settings
from hubbub.service.upstream import notifications, validation
from hubbub.service.upstream.call import Caller, Reply
from hubbub.service.upstream.choose import Handler, check_handler, choose_system, choose_user
from hubbub.service.upstream.notifications import Lane, Notification
from hubbub.service.upstream.source import EventSource
from hubbub.service.upstream.validation import Validator

logger = logging.getLogger(__name__)

_EMPTY_BODY: Final = b"{}"


class Upstream:
    """All event handlers of a service. Failures of blocking events are raised, others logged."""

    def __init__(
        self,
        settings: Settings,
        keys: Sequence[str],
        *,
        clock: Callable[[], float] = clock.wall,
        monotonic: Callable[[], float] = clock.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        validation_timeout_s: float = validation.QUESTION_TIMEOUT_S,
        max_queued_notifications: int = notifications.MAX_QUEUED,
        max_running_notifications: int = notifications.MAX_RUNNING,
    ) -> None:
        """keys: the primary first. Raises `SettingsError` with every fault of every handler."""
        self._settings = settings
        self._keys = tuple(keys)
        self._clock = clock
        self._handlers = _make_handlers(settings, {})
        self._caller = Caller(sleep)
        self._validator = Validator(
            self._caller, monotonic=monotonic, timeout_s=validation_timeout_s
        )
        self._max_queued = max_queued_notifications
        self._max_running = max_running_notifications
        self._lanes: dict[Handler, Lane] = {}
        self._dropped_by_gone_lanes = 0
        self._is_closed = False
        self._unsent = 0
        self._all_sent = asyncio.Event()
        self._all_sent.set()

    async def open(self) -> None:
        """Handlers with `validate = "start"` are asked now, under the public endpoint's host."""
        await self._caller.open()
        self._ask_at_start(_all(self._handlers))

    def reload(self, settings: Settings) -> None:
        """Other event handlers from the next event on.

        Calls under way and notifications that wait go to the handler for which they were meant;
        an unchanged handler stays the same one, and an address that was asked is not asked again.
        Raises `SettingsError` with every fault; then the handlers stay as they were.
        """
        before = self._handlers
        self._handlers = _make_handlers(settings, before)
        self._settings = settings
        self._forget_idle_lanes()
        known = set(_all(before))
        self._ask_at_start(handler for handler in _all(self._handlers) if handler not in known)

    def _ask_at_start(self, handlers: Iterable[Handler]) -> None:
        origin = urlsplit(self._settings.public_endpoint or "").hostname or self._settings.host
        for handler in handlers:
            if handler.settings.validate == "start":
                self._validator.start(handler, origin)

    async def close(self) -> None:
        """End everything under way; `drain` first if it shall arrive."""
        self._is_closed = True
        await asyncio.gather(*(lane.close() for lane in self._lanes.values()))
        await self._validator.close()
        await self._caller.close()

    @property
    def dropped_notifications(self) -> int:
        lanes = self._lanes.values()
        return self._dropped_by_gone_lanes + sum(lane.dropped for lane in lanes)

    # --- blocking events -------------------------------------------------------------------------

    def wants_connect(self, hub: str) -> bool:
        return self._choose_system(hub, "connect") is not None

    async def connect(self, source: EventSource, request: ConnectRequest) -> ConnectAnswer:
        """Ask the handler whether the client may come in.

        Raises `ConnectRejected` with the status that the client gets. A cancelled call is aborted.
        """
        handler = self._choose_system(source.hub, "connect")
        if handler is None:
            return ConnectAnswer()
        source.begin_call()
        try:
            reply = await self._send(
                handler,
                source,
                "connect",
                is_system=True,
                event_id=cloudevents.CONNECT_EVENT_ID,
                content_type=cloudevents.SYSTEM_CONTENT_TYPE,
                body=cloudevents.connect_body(request),
            )
            if not reply.is_success:
                raise _rejection(reply)
            answer = cloudevents.read_connect_answer(reply.body, request.subprotocols)
            _keep_state(source, reply)
            return answer
        except ConnectRejected:
            raise
        except UpstreamError as error:
            raise ConnectRejected(str(error), reply_status=500, status=error.status) from error
        finally:
            source.end_call()

    async def user_event(
        self,
        source: EventSource,
        event: str,
        payload: Payload | None,
        *,
        metadata: Metadata | None = None,
        invocation_id: str | None = None,
    ) -> EventAnswer:
        """Hand one user event to the handler whose pattern takes it, and read its answer.

        payload None: an invocation without data. Raises `UpstreamError` where the event failed;
        its `text` is for an invocation only. A cancelled call is aborted.
        """
        handler = choose_user(self._handlers.get(source.hub, ()), event)
        if handler is None:
            raise UpstreamError("no event handler takes this event", no_handler=True)
        source.begin_call()
        try:
            reply = await self._send(
                handler,
                source,
                event,
                is_system=False,
                event_id=source.take_event_id(),
                content_type=cloudevents.content_type(payload),
                body=payload.raw if payload is not None else b"",
                metadata=metadata,
                invocation_id=invocation_id,
            )
            if not reply.is_success:
                text = _refusal_text(reply, any_text=False)
                raise UpstreamError(
                    f"the handler answered {reply.status}", status=reply.status, text=text
                )
            answer = cloudevents.read_event_answer(
                reply.headers.get("Content-Type"), reply.body, reply.headers.items()
            )
            _keep_state(source, reply)
            return answer
        finally:
            source.end_call()

    # --- notifications ---------------------------------------------------------------------------

    def connected(self, source: EventSource) -> None:
        """Tell the handler, if it wants to know. Does not wait."""
        handler = self._choose_system(source.hub, "connected")
        if handler is not None:
            source.begin_call()
            self._unsent_grows()
            self._notify(handler, source, "connected", _EMPTY_BODY, self._clock())

    def disconnected(self, source: EventSource, reason: str | None) -> None:
        """Tell the handler, once, after all earlier events of the connection. Does not wait."""
        if source.has_left:
            return
        source.has_left = True
        handler = self._choose_system(source.hub, "disconnected")
        if handler is None:
            return
        body = cloudevents.disconnected_body(reason)
        left_at = self._clock()
        self._unsent_grows()

        def send() -> None:
            source.begin_call()
            self._notify(handler, source, "disconnected", body, left_at)

        source.when_idle(send)

    async def drain(self, timeout_s: float) -> None:
        """Wait until no notification is pending, at most `timeout_s` seconds."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._all_sent.wait()
        except TimeoutError:
            logger.warning("%s notifications were not sent in time", self._unsent)

    def _notify(
        self, handler: Handler, source: EventSource, event: str, body: bytes, happened_at: float
    ) -> None:
        event_id = source.take_event_id()

        async def send() -> None:
            try:
                reply = await self._send(
                    handler,
                    source,
                    event,
                    is_system=True,
                    event_id=event_id,
                    content_type=cloudevents.SYSTEM_CONTENT_TYPE,
                    body=body,
                    happened_at=happened_at,
                )
            except UpstreamError as error:
                problem = str(error)
            else:
                if reply.is_success:
                    return
                problem = f"status {reply.status}"
            logger.warning(
                "hub=%s connection_id=%s event=%s handler=%r: %s",
                source.hub,
                source.connection_id,
                event,
                handler,
                problem,
            )

        def done() -> None:
            source.end_call()
            self._unsent -= 1
            if self._unsent == 0:
                self._all_sent.set()

        if self._is_closed:
            done()
        else:
            self._lane(handler).put(Notification(send, done))

    def _lane(self, handler: Handler) -> Lane:
        lane = self._lanes.get(handler)
        if lane is None:
            lane = self._lanes[handler] = Lane(
                repr(handler), max_queued=self._max_queued, max_running=self._max_running
            )
        return lane

    def _forget_idle_lanes(self) -> None:
        """Those of handlers that are no more. One with work stays until a later reload."""
        current = set(_all(self._handlers))
        for handler, lane in list(self._lanes.items()):
            if handler not in current and lane.is_idle:
                self._dropped_by_gone_lanes += lane.dropped
                del self._lanes[handler]

    def _unsent_grows(self) -> None:
        self._unsent += 1
        self._all_sent.clear()

    # --- one request -----------------------------------------------------------------------------

    def _choose_system(self, hub: str, event: str) -> Handler | None:
        handlers = self._handlers.get(hub)
        return choose_system(handlers, event) if handlers else None

    async def _send(
        self,
        handler: Handler,
        source: EventSource,
        event: str,
        *,
        is_system: bool,
        event_id: int,
        content_type: str,
        body: bytes,
        happened_at: float | None = None,
        metadata: Metadata | None = None,
        invocation_id: str | None = None,
    ) -> Reply:
        """One event to its handler, asked before whether it wants events at all."""
        if handler.settings.validate != "off":
            await self._validator.check(handler, source.origin)
        url = URL(handler.url(event), encoded=True)
        headers = cloudevents.event_headers(
            event,
            is_system=is_system,
            content_type=content_type,
            hub=source.hub,
            connection_id=source.connection_id,
            origin=source.origin,
            event_id=event_id,
            time=cloudevents.utc_time(self._clock() if happened_at is None else happened_at),
            signature=cloudevents.signature(source.connection_id, self._keys),
            user_id=source.user_id,
            subprotocol=None if event_id == cloudevents.CONNECT_EVENT_ID else source.subprotocol,
            state=source.state,
            invocation_id=invocation_id,
            traceparent=source.traceparent,
            metadata=metadata,
        )
        if handler.bearer:
            headers["Authorization"] = f"Bearer {handler.bearer}"
        if cookie := source.cookie_header(url):
            headers["Cookie"] = cookie
        reply = await self._caller.call(
            "POST",
            url,
            headers,
            body,
            timeout_s=handler.settings.timeout_s,
            retry_pauses_s=handler.settings.retry_pauses_s,
        )
        if reply.is_success:
            source.keep_cookies(reply.headers.getall("Set-Cookie", []), url)
        return reply


def _keep_state(source: EventSource, reply: Reply) -> None:
    state = cloudevents.read_state(reply.headers.getall(cloudevents.STATE_HEADER, []))
    if state is not None:
        source.state = state


def _rejection(reply: Reply) -> ConnectRejected:
    is_passed_on = 400 <= reply.status < 600
    return ConnectRejected(
        f"the handler answered {reply.status}",
        reply_status=reply.status if is_passed_on else 500,
        status=reply.status,
        text=_refusal_text(reply, any_text=True) if is_passed_on else "",
    )


def _refusal_text(reply: Reply, *, any_text: bool) -> str:
    return cloudevents.refusal_text(
        reply.headers.get("Content-Type"), reply.body, any_text=any_text
    )


_Handlers = dict[str, tuple[Handler, ...]]


def _all(handlers: _Handlers) -> Iterator[Handler]:
    return (handler for of_hub in handlers.values() for handler in of_hub)


def _make_handlers(settings: Settings, before: _Handlers) -> _Handlers:
    """The handlers by hub. One that was there before and did not change is taken over."""
    handlers: _Handlers = {}
    problems: list[str] = []
    for hub, hub_settings in settings.hubs.items():
        for number, handler in enumerate(hub_settings.event_handlers, 1):
            place = f"hubs.{hub}.event_handlers, table {number}"
            faults = check_handler(handler)
            problems += [f"{place}, {problem}" for problem in faults or _bearer_faults(handler)]
        if hub_settings.event_handlers and not problems:
            name = hub.lower()
            known = before.get(name, ())
            handlers[name] = tuple(
                _make_handler(name, one, known) for one in hub_settings.event_handlers
            )
    if problems:
        raise SettingsError(problems)
    return handlers


def _make_handler(hub: str, settings: EventHandlerSettings, known: Sequence[Handler]) -> Handler:
    bearer = _bearer(settings)
    for handler in known:
        if handler.settings == settings and handler.bearer == bearer:
            return handler
    return Handler(hub, settings, bearer)


def _bearer(settings: EventHandlerSettings) -> str:
    """The token that a handler wants to see, from the environment; never shown in a message."""
    variable = settings.bearer_token_env
    return "" if variable is None else os.environ.get(variable, "")


def _bearer_faults(settings: EventHandlerSettings) -> list[str]:
    if settings.bearer_token_env is None:
        return []
    token = _bearer(settings)
    place = f"bearer_token_env: the environment variable {settings.bearer_token_env}"
    if not token:
        return [f"{place} is not set"]
    if not token.isascii() or not token.isprintable() or " " in token:
        return [f"{place} holds no token"]
    return []
