"""Carries out what the session says: the sockets, the clock, the credential.

All rules are in `hubbub.protocol.client_session`. What the application is to hear of goes to a
`Listener`; what it asks for comes in as inputs (`feed`).
"""

import asyncio
import logging
import random
import secrets
from collections import deque
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, Literal, Protocol

from hubbub.client.credential import (
    CredentialContext,
    CredentialProvider,
    access_url,
    recovery_url,
)
from hubbub.client.transport import RefusedHandshake, Transport, TransportOptions
from hubbub.clock import boottime
from hubbub.protocol import client_events as ce
from hubbub.protocol.client_session import ClientSession
from hubbub.protocol.errors import ConnectError, CredentialError, InvalidMessage
from hubbub.protocol.json_codec import decode_response, encode_request
from hubbub.protocol.messages import DataMessage

log = logging.getLogger("hubbub.client")


class Listener(Protocol):
    """Who hears of what the session says. Called in its order, never for user code."""

    def on_event(self, event: ce.Event) -> None: ...

    def on_data(self, message: DataMessage) -> None: ...

    def on_settled(self, result: ce.OperationDone | ce.OperationFailed) -> None: ...

    def on_stream(self, news: ce.StreamBegan | ce.StreamNews) -> None: ...

    def on_start_ended(self, result: ce.Started | ce.StartFailed | ce.StartRefused) -> None: ...

    def on_state(self) -> None:
        """The state of the session is another one."""

    def on_idle(self) -> None:
        """All inputs so far have been carried out."""

    def on_broken(self, error: Exception) -> None:
        """A fault of ours ended the session; the driver holds a new one, which is stopped."""


class _Link:
    """The socket of one try; what a closed one still says is known by its number."""

    def __init__(self, feed: Callable[[ce.Input], None], number: int) -> None:
        self._feed = feed
        self._number = number
        self.transport: Transport | None = None
        self.task: asyncio.Task[None] | None = None

    def on_open(self) -> None:
        self._feed(ce.SocketOpened(self._number))

    def on_message(self, data: bytes) -> None:
        try:
            message = decode_response(data)
        except InvalidMessage as error:
            log.warning("a frame is no message: %s", error)
            self._feed(ce.Undecodable(self._number))
        else:
            self._feed(ce.Received(self._number, message, len(data)))

    def on_life(self) -> None:
        self._feed(ce.Received(self._number, None))

    def on_lost(self, close_code: int | None, error: str, *, is_too_large: bool) -> None:
        lost = ce.SocketLost(self._number, close_code, error, is_too_large)
        self._feed(lost)

    def drop(self) -> None:
        if self.task is not None:
            self.task.cancel()
        if self.transport is not None:
            self.transport.abort()


class Driver:
    """One session and its socket. All calls belong to one event loop."""

    listener: Listener

    def __init__(
        self,
        credential: str | CredentialProvider,
        subprotocol: str,
        options: ce.ClientOptions,
        transport_options: TransportOptions,
    ) -> None:
        self._credential = credential
        self._subprotocol = subprotocol
        self._options = options
        self._transport_options = transport_options
        self.session = self._new_session()
        self._inputs: deque[ce.Input] = deque()
        self._is_feeding = False
        self._url = ""
        self.links: dict[int, _Link] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def _new_session(self) -> ClientSession:
        prefix = secrets.token_hex(4) + "-"
        return ClientSession(self._options, draw=random.random, invocation_prefix=prefix)

    @property
    def state(self) -> ce.State:
        return self.session.state

    def bind(self) -> None:
        """Belong to the running loop. Raises: RuntimeError while it runs in another one."""
        loop = asyncio.get_running_loop()
        if self._loop is not None and self._loop is not loop:
            if self.state is not ce.State.STOPPED:
                raise RuntimeError(
                    "a client belongs to the event loop in which it was started; SyncClient is for"
                    " any thread"
                )
        self._loop = loop

    # --- in and out --------------------------------------------------------------------------

    def feed(self, received: ce.Input) -> None:
        """Give the session an input and carry out what it says; what that causes comes after."""
        self._inputs.append(received)
        if self._is_feeding:
            return
        self._is_feeding = True
        try:
            while self._inputs:
                try:
                    for action in self.session.handle(self._inputs.popleft(), boottime()):
                        self._carry_out(action)
                except Exception as error:
                    self._break_down(error)
            self.listener.on_idle()
        finally:
            self._is_feeding = False

    def fits(self, request: ce.OperationRequest) -> bool:
        """Whether the service takes a message of this size."""
        return len(encode_request(request)) <= self._transport_options.max_send_bytes

    def pause_reading(self) -> None:
        for transport in self._transports():
            transport.pause_reading()

    def resume_reading(self) -> None:
        for transport in self._transports():
            transport.resume_reading()

    async def drained(self) -> None:
        """Back when the socket has taken all but 64 KiB of what was written."""
        for transport in self._transports():
            await transport.drained()

    def _transports(self) -> list[Transport]:
        return [link.transport for link in self.links.values() if link.transport is not None]

    def _break_down(self, error: Exception) -> None:
        """A fault of ours: stop and say so, rather than live on by half."""
        log.critical("internal error, the client stops", exc_info=error)
        self._inputs.clear()
        self._arm(None)
        links, self.links = self.links, {}
        for link in links.values():
            link.drop()
        self.session = self._new_session()
        self.listener.on_broken(error)

    # --- actions -----------------------------------------------------------------------------

    def _carry_out(self, action: ce.Action) -> None:
        match action:
            case ce.Deliver():
                self.listener.on_data(action.message)
            case ce.Write():
                self._write(action)
            case ce.OperationDone() | ce.OperationFailed():
                self.listener.on_settled(action)
            case ce.StreamBegan() | ce.StreamNews():
                self.listener.on_stream(action)
            case ce.ArmTimer():
                self._arm(action.at)
            case ce.Emit():
                self.listener.on_event(action.event)
            case ce.StateChanged():
                log.info("state=%s cause=%s", action.state.value, action.cause)
                self.listener.on_state()
            case ce.GetUrl():
                self._run_link(action.link, partial(self._get_url, action))
            case ce.OpenSocket():
                self._run_link(action.link, partial(self._open_socket, action))
            case ce.CloseSocket():
                link = self.links.get(action.link)
                if link is not None and link.transport is not None:
                    link.transport.close(action.code)
            case ce.AbandonUrl() | ce.AbortSocket():
                link = self.links.pop(action.link, None)
                if link is not None:
                    link.drop()
            case ce.Started() | ce.StartFailed() | ce.StartRefused():
                self.listener.on_start_ended(action)

    def _run_link(self, number: int, work: Callable[[_Link], Coroutine[Any, Any, None]]) -> None:
        link = self.links.get(number)
        if link is None:
            link = _Link(self.feed, number)
            self.links = {number: link}

        async def run() -> None:
            try:
                await work(link)
            except Exception as error:
                self._break_down(error)

        link.task = asyncio.get_running_loop().create_task(run(), name=f"hubbub link {number}")

    async def _get_url(self, asked: ce.GetUrl, link: _Link) -> None:
        reason: Literal["start", "reconnect"] = "reconnect" if asked.is_reconnect else "start"
        context = CredentialContext(reason, asked.attempt)
        try:
            url = await access_url(self._credential, context)
        except CredentialError as error:
            failed: ce.Input = ce.UrlFailed(asked.link, str(error))
            if error.status in (401, 403):
                failed = ce.SocketFailed(asked.link, str(error), error.status)
            self.feed(failed)
        else:
            if self.links.get(asked.link) is link:  # a credential may outlive its cancellation
                self._url = url
                self.feed(ce.UrlObtained(asked.link))

    async def _open_socket(self, asked: ce.OpenSocket, link: _Link) -> None:
        url = self._url
        if asked.recovery is not None:
            url = recovery_url(url, asked.recovery, without_access_token=asked.without_access_token)
        transport = Transport(link, self._subprotocol, self._transport_options)
        link.transport = transport
        try:
            await transport.open(url)
        except RefusedHandshake as error:
            retry_after_s = error.retry_after_s
            self.feed(ce.SocketFailed(asked.link, str(error), error.status, retry_after_s))
        except ConnectError as error:
            self.feed(ce.SocketFailed(asked.link, str(error)))

    def _write(self, action: ce.Write) -> None:
        link = self.links.get(action.link)
        if link is not None and link.transport is not None:
            link.transport.send(encode_request(action.request))

    def _arm(self, at: float | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if at is not None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(max(0.0, at - boottime()), self._time_is_up)

    def _time_is_up(self) -> None:
        self._timer = None
        self.feed(ce.TimerDue())
