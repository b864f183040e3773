"""What an application asks of the service: groups, sends, events, invocations."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hubbub.client import failures
from hubbub.client.calls import Calls
from hubbub.client.driver import Driver
from hubbub.client.options import DEFAULT, Default, check_limit, check_whole
from hubbub.client.payloads import Payloads, checked
from hubbub.protocol import client_events as ce
from hubbub.protocol import names
from hubbub.protocol.errors import ConnectTimeoutError, InvocationError
from hubbub.protocol.messages import (
    DataType,
    Invoke,
    InvokeResponse,
    JoinGroup,
    LeaveGroup,
    SendEvent,
    SendToGroup,
)


@dataclass(frozen=True, slots=True)
class SendResult:
    """`ack_id` None: fire and forget. `is_duplicated`: an earlier try had already done it."""

    ack_id: int | None
    is_duplicated: bool = False


@dataclass(frozen=True, slots=True)
class InvokeResult:
    """`data_type` None: the answer has no data."""

    invocation_id: str
    data_type: DataType | None
    data: Any


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Of calls that name none; None: no limit."""

    operation: float | None
    invoke: float | None


class Operations:
    """The part of `Client` that asks. In a client that is coming up, or back, calls wait."""

    _driver: Driver
    _calls: Calls
    _payloads: Payloads
    _timeouts: Timeouts

    async def join_group(
        self,
        group: str,
        *,
        ack_id: int | None = None,
        timeout: float | Default | None = DEFAULT,
    ) -> SendResult:
        """Be in a group, also after reconnects, until `leave_group`. Raises: SendMessageError."""
        request = JoinGroup(names.group_name(group))
        return await self._send(request, ack_id, timeout)

    async def leave_group(
        self,
        group: str,
        *,
        ack_id: int | None = None,
        timeout: float | Default | None = DEFAULT,
    ) -> SendResult:
        """Be in the group no more. Raises: SendMessageError."""
        request = LeaveGroup(names.group_name(group))
        return await self._send(request, ack_id, timeout)

    async def send_to_group(
        self,
        group: str,
        data: object,
        data_type: str | None = None,
        *,
        no_echo: bool = False,
        fire_and_forget: bool = False,
        ack_id: int | None = None,
        ttl: int = 0,
        metadata: Mapping[str, str] | None = None,
        timeout: float | Default | None = DEFAULT,
    ) -> SendResult:
        """Send to the members of a group; back when the service has acknowledged it.

        `data_type` None: str is text, bytes are binary, anything else JSON. `fire_and_forget`:
        back when it is written and the socket has taken all but 64 KiB. `ttl`: 0 to 300 s.
        Raises: SendMessageError, ValueError.
        """
        check_whole("ttl", ttl, lowest=0, highest=300)
        request = SendToGroup(
            names.group_name(group),
            self._payloads.encode(data, data_type),
            no_echo=no_echo,
            ttl_seconds=ttl,
            metadata=checked(metadata),
        )
        return await self._send(request, ack_id, timeout, is_acked=not fire_and_forget)

    async def send_event(
        self,
        name: str,
        data: object,
        data_type: str | None = None,
        *,
        fire_and_forget: bool = False,
        ack_id: int | None = None,
        metadata: Mapping[str, str] | None = None,
        timeout: float | Default | None = DEFAULT,
    ) -> SendResult:
        """Send an event to the application server. Raises: SendMessageError, ValueError."""
        request = SendEvent(
            names.event_name(name),
            self._payloads.encode(data, data_type),
            metadata=checked(metadata),
        )
        return await self._send(request, ack_id, timeout, is_acked=not fire_and_forget)

    async def invoke_event(
        self,
        name: str,
        data: object = None,
        data_type: str | None = None,
        *,
        invocation_id: str | None = None,
        timeout: float | Default | None = DEFAULT,
    ) -> InvokeResult:
        """Ask the application server and wait for its answer; at most once.

        Cancelling the call, or its time-out, tells the service to give up.
        Raises: InvocationError.
        """
        payload = None
        if data is not None or data_type is not None:
            payload = self._payloads.encode(data, data_type)
        request = Invoke(invocation_id or "", names.event_name(name), payload)
        limit = self._timeouts.invoke if isinstance(timeout, Default) else timeout
        done = await self._calls.operate(request, None, limit, is_acked=True)
        response = done.response
        assert response is not None, "an invocation ends with a response"
        if response.error is not None:
            raise failures.invocation_error(response)
        return self._invoke_result(response)

    async def ping(self, *, timeout: float = 5.0) -> float:
        """Seconds until the service has answered. Raises: ConnectError, ConnectTimeoutError."""
        check_limit("timeout", timeout)
        self._driver.bind()
        answer = self._driver.ping()
        try:
            with self._driver.awaiting():
                async with asyncio.timeout(timeout):
                    return await answer
        except TimeoutError:
            raise ConnectTimeoutError("no pong came in time", phase="total") from None

    async def _send(
        self,
        request: ce.OperationRequest,
        ack_id: int | None,
        timeout: float | Default | None,
        *,
        is_acked: bool = True,
    ) -> SendResult:
        if ack_id is not None:
            check_whole("ack_id", ack_id, lowest=1, highest=2**64 - 1)
        limit = self._timeouts.operation if isinstance(timeout, Default) else timeout
        done = await self._calls.operate(request, ack_id, limit, is_acked=is_acked)
        return SendResult(done.ack_id, done.is_duplicated)

    def _invoke_result(self, response: InvokeResponse) -> InvokeResult:
        payload = response.payload
        if payload is None:
            return InvokeResult(response.invocation_id, None, None)
        try:
            data = self._payloads.decode(payload)
        except (ValueError, RecursionError) as error:
            raise InvocationError(
                "the data of the answer cannot be decoded",
                invocation_id=response.invocation_id,
                outcome="unknown",
            ) from error
        return InvokeResult(response.invocation_id, payload.data_type, data)
