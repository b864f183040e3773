"""Receives the events that the service sends to an application, for one hub.

No framework: `handle` takes method, headers and body of a request and gives the answer. The rules
are those of CloudEvents webhooks (who may call) and of the service's binary-mode events.
"""

import asyncio
import hmac
import inspect
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

from hubbub.appserver import wire
from hubbub.appserver.answers import HandlerAnswer, HttpHandler, text_answer
from hubbub.appserver.events import (
    ConnectedRequest,
    ConnectRequest,
    ConnectResponse,
    DisconnectedRequest,
    EventContext,
    Refused,
    UserEventRequest,
    UserEventResponse,
)
from hubbub.protocol import cloudevents, names

_log = logging.getLogger(__name__)

_MAX_NOTIFICATIONS: Final = 1000
"""`connected` and `disconnected` callbacks that run at once; further events wait for an answer."""

ConnectCallback = Callable[[ConnectRequest], Awaitable[ConnectResponse | None]]
ConnectedCallback = Callable[[ConnectedRequest], Awaitable[None]]
DisconnectedCallback = Callable[[DisconnectedRequest], Awaitable[None]]
UserEventCallback = Callable[[UserEventRequest], Awaitable[Any]]

_Connect = TypeVar("_Connect", bound=ConnectCallback)
_Connected = TypeVar("_Connected", bound=ConnectedCallback)
_Disconnected = TypeVar("_Disconnected", bound=DisconnectedCallback)
_UserEvent = TypeVar("_UserEvent", bound=UserEventCallback)
_Notice = TypeVar("_Notice", ConnectedRequest, DisconnectedRequest)


class EventHandler(HttpHandler):
    """The callbacks of one hub.

    `connect` and user events wait for their callback. `connected` and `disconnected` are answered
    at once; their callbacks run in tasks of this handler, for each connection one after the other.
    """

    def __init__(
        self,
        hub: str,
        *,
        access_keys: Sequence[str] | None = None,
        allowed_endpoints: Sequence[str] | None = None,
    ) -> None:
        """`access_keys`: the service's keys; with them only events that it has signed are taken.

        `allowed_endpoints`: addresses of the services that may send events; None = all.
        """
        self.hub = names.hub_name(hub)
        self._access_keys = _checked_list("access_keys", access_keys)
        endpoints = _checked_list("allowed_endpoints", allowed_endpoints)
        self._allowed_origins = None if endpoints is None else _origins(endpoints)
        self._on_connect: ConnectCallback | None = None
        self._on_connected: ConnectedCallback | None = None
        self._on_disconnected: DisconnectedCallback | None = None
        self._on_events: dict[str, UserEventCallback] = {}
        self._notifications = asyncio.Semaphore(_MAX_NOTIFICATIONS)
        self._tasks: set[asyncio.Task[None]] = set()
        self._latest: dict[str, asyncio.Task[None]] = {}

    # --- registration ------------------------------------------------------------------------

    def on_connect(self, callback: _Connect) -> _Connect:
        """Decorator: asked before a client is let in; raises `Refused` to keep it out."""
        _check_new(callback, self._on_connect, "connect")
        self._on_connect = callback
        return callback

    def on_connected(self, callback: _Connected) -> _Connected:
        """Decorator: told that a client is in."""
        _check_new(callback, self._on_connected, "connected")
        self._on_connected = callback
        return callback

    def on_disconnected(self, callback: _Disconnected) -> _Disconnected:
        """Decorator: told that a client is gone."""
        _check_new(callback, self._on_disconnected, "disconnected")
        self._on_disconnected = callback
        return callback

    def on_event(self, event: str) -> Callable[[_UserEvent], _UserEvent]:
        """Decorator: answers a user event; "*" takes all that no other callback takes.

        The callback returns a `UserEventResponse`, or just its data; None sends nothing.
        """
        if event != "*":
            names.event_name(event)

        def register(callback: _UserEvent) -> _UserEvent:
            _check_new(callback, self._on_events.get(event), event)
            self._on_events[event] = callback
            return callback

        return register

    # --- requests ----------------------------------------------------------------------------

    async def handle(
        self,
        method: str,
        headers: Mapping[str, str] | Iterable[tuple[str, str]],
        body: bytes = b"",
    ) -> HandlerAnswer:
        """Answer one HTTP request of the service.

        Of a repeated header the first counts. Failures of callbacks are logged and answered with
        500; this method raises nothing but `CancelledError`.
        """
        fields = wire.first_values(headers)
        try:
            if method == "OPTIONS":
                return self._validate(fields)
            if method != "POST":
                return HandlerAnswer(405, [("Allow", "OPTIONS, POST")])
            return await self._receive(fields, body)
        except Refused as refusal:
            return text_answer(refusal.status, refusal.text)

    async def answer_http(
        self, method: str, query: str, headers: Iterable[tuple[str, str]], body: bytes
    ) -> HandlerAnswer:
        """For the adapters: an event's query says nothing."""
        return await self.handle(method, headers, body)

    async def aclose(self, *, timeout: float = 10.0) -> None:
        """Wait for running `connected` and `disconnected` callbacks, then cancel what is left."""
        if not self._tasks:
            return
        _, late = await asyncio.wait(set(self._tasks), timeout=timeout)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)

    def _validate(self, fields: Mapping[str, str]) -> HandlerAnswer:
        """Tell the service whether its events are wanted here; it compares the names itself."""
        if "ce-awpsversion" not in fields:
            raise Refused(404)
        if not fields.get("webhook-request-origin"):
            raise Refused(400, "WebHook-Request-Origin is missing")
        allowed = ["*"] if self._allowed_origins is None else self._allowed_origins
        return HandlerAnswer(200, [("WebHook-Allowed-Origin", origin) for origin in allowed])

    async def _receive(self, fields: Mapping[str, str], body: bytes) -> HandlerAnswer:
        kind = self._check_event(fields)
        context = wire.read_context(fields, kind)
        if kind.startswith(cloudevents.USER_PREFIX):
            request = wire.read_user_event(context, fields, body)
            return await self._answer_user_event(request)
        match kind.removeprefix(cloudevents.SYSTEM_PREFIX):
            case "connect":
                return await self._answer_connect(wire.read_connect(context, body))
            case "connected":
                return await self._notify(self._on_connected, ConnectedRequest(context))
            case "disconnected":
                reason = wire.read_reason(body)
                return await self._notify(
                    self._on_disconnected, DisconnectedRequest(context, reason)
                )
            case _:
                raise Refused(404, "this event is not known here")

    def _check_event(self, fields: Mapping[str, str]) -> str:
        """The event's type, when the request is an event for this hub from an allowed service."""
        if "ce-awpsversion" not in fields:
            raise Refused(404)
        origin = fields.get("webhook-request-origin", "")
        if not origin:
            raise Refused(400, "WebHook-Request-Origin is missing")
        if fields.get("ce-hub", "").lower() != self.hub:
            raise Refused(404, "no event handler for this hub")
        if self._allowed_origins is not None and origin.lower() not in self._allowed_origins:
            raise Refused(403, "this service is not allowed here")
        connection_id = fields.get("ce-connectionid", "")
        if not connection_id or not connection_id.isascii():
            raise Refused(400, "ce-connectionId is missing or not ASCII")
        if self._access_keys is not None and not _is_signed(
            connection_id, fields.get("ce-signature", ""), self._access_keys
        ):
            raise Refused(401, "ce-signature is missing or wrong")
        return fields.get("ce-type", "")

    # --- callbacks ---------------------------------------------------------------------------

    async def _answer_connect(self, request: ConnectRequest) -> HandlerAnswer:
        if self._on_connect is None:
            return HandlerAnswer(204)
        try:
            response = await self._on_connect(request)
            headers, body = wire.write_connect(response)
        except Refused:
            raise
        except Exception:
            return _failed(request.context)
        return HandlerAnswer(200 if body else 204, headers, body)

    async def _answer_user_event(self, request: UserEventRequest) -> HandlerAnswer:
        if not self._on_events:
            return HandlerAnswer(204)
        callback = self._on_events.get(request.event) or self._on_events.get("*")
        if callback is None:
            raise Refused(404, "no callback takes this event")
        try:
            answer = await callback(request)
            if not isinstance(answer, UserEventResponse):
                answer = UserEventResponse(answer)
            headers, body = wire.write_user_event(answer)
        except Refused:
            raise
        except Exception:
            return _failed(request.context)
        return HandlerAnswer(200 if body else 204, headers, body)

    async def _notify(
        self, callback: Callable[[_Notice], Awaitable[None]] | None, request: _Notice
    ) -> HandlerAnswer:
        """Start a callback in the background, behind the earlier ones of the same connection."""
        if callback is None:
            return HandlerAnswer(204)
        await self._notifications.acquire()
        key = request.context.connection_id
        task = asyncio.create_task(self._run(callback, request, self._latest.get(key)))
        self._tasks.add(task)
        self._latest[key] = task

        def forget(task: asyncio.Task[None]) -> None:
            self._notifications.release()
            self._tasks.discard(task)
            if self._latest.get(key) is task:
                del self._latest[key]

        task.add_done_callback(forget)
        return HandlerAnswer(204)

    async def _run(
        self,
        callback: Callable[[_Notice], Awaitable[None]],
        request: _Notice,
        earlier: asyncio.Task[None] | None,
    ) -> None:
        if earlier is not None:
            await asyncio.wait([earlier])
        try:
            await callback(request)
        except Exception:
            _failed(request.context)


def _failed(context: EventContext) -> HandlerAnswer:
    """Log the failure of a callback, and the answer for it."""
    _log.exception(
        "event callback failed: hub=%s event=%s connection_id=%s",
        context.hub,
        context.event_name,
        context.connection_id,
    )
    return HandlerAnswer(500)


def _is_signed(connection_id: str, signature: str, access_keys: Sequence[str]) -> bool:
    """True when any part of `ce-signature` was made with any of the keys."""
    parts = [part.strip().encode(errors="replace") for part in signature.split(",")]
    is_signed = False
    for key in access_keys:
        own = cloudevents.signature(connection_id, [key]).encode()
        for part in parts:
            is_signed |= hmac.compare_digest(own, part)
    return is_signed


def _check_new(callback: object, present: object, event: str) -> None:
    if not inspect.iscoroutinefunction(callback) and not inspect.iscoroutinefunction(
        getattr(callback, "__call__", None)  # noqa: B004 - an object may be an async callable
    ):
        raise TypeError(f'the callback for "{event}" must be an async function')
    if present is not None:
        raise ValueError(f'there is already a callback for "{event}"')


def _checked_list(name: str, items: Sequence[str] | None) -> list[str] | None:
    """The items; refuses what would silently let in all or nobody."""
    if items is None:
        return None
    if isinstance(items, str) or not items or not all(items):
        raise ValueError(f"{name} must be a list of texts, none empty, or None")
    return list(items)


def _origins(endpoints: Sequence[str]) -> list[str]:
    """The names under which the services ask: the host, and where there is a port, with it too.

    A service gives its host name without port; an address with a port must match it all the same.
    """
    origins: list[str] = []
    for endpoint in endpoints:
        parts = urlsplit(endpoint if "//" in endpoint else f"//{endpoint}")
        if not parts.hostname:
            raise ValueError(f"allowed_endpoints holds no address: {endpoint!r}")
        host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
        default_port = {"http": 80, "https": 443}.get(parts.scheme)
        if parts.port is not None and parts.port != default_port:
            origins.append(f"{host}:{parts.port}")
        origins.append(host)
    return list(dict.fromkeys(origins))
