"""Calls of the application that wait for the service: one future each, no task and no timer."""

import asyncio

from hubbub.client import failures
from hubbub.client.driver import Driver
from hubbub.client.options import check_limit
from hubbub.clock import boottime
from hubbub.protocol import client_events as ce
from hubbub.protocol.errors import ClientStateError

Settled = ce.OperationDone | ce.OperationFailed


class Calls:
    """The pending ones, each until the session settles it."""

    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        self._pending: dict[ce.OperationKey, asyncio.Future[Settled]] = {}
        self._last_key = 0

    def __len__(self) -> int:
        return len(self._pending)

    async def operate(
        self,
        request: ce.OperationRequest,
        ack_id: int | None,
        limit: float | None,
        *,
        is_acked: bool,
    ) -> ce.OperationDone:
        """One operation until it is settled.

        Raises: ClientStateError, SendMessageError, InvocationError, ValueError.
        """
        driver = self._driver
        if driver.state in (ce.State.STOPPED, ce.State.STOPPING):
            raise ClientStateError(f"the client is {driver.state.value}")
        driver.bind()
        check_limit("timeout", limit)
        if not driver.fits(request):
            raise ValueError("the message is larger than the service takes")
        self._last_key += 1
        key = self._last_key
        settled: asyncio.Future[Settled] = asyncio.get_running_loop().create_future()
        self._pending[key] = settled
        deadline = None if limit is None else boottime() + limit
        driver.feed(ce.Submit(key, request, deadline, is_acked, ack_id))
        try:
            result = await settled
        except asyncio.CancelledError:
            driver.feed(ce.Cancel(key))
            raise
        finally:
            self._pending.pop(key, None)
            driver.listener.on_idle()
        if isinstance(result, ce.OperationFailed):
            raise failures.operation_error(request, result)
        if not is_acked:
            try:
                async with asyncio.timeout(limit):
                    await driver.drained()
            except TimeoutError:
                late = ce.OperationFailed(key, ce.Cause.TIMED_OUT, ce.Outcome.UNKNOWN, attempts=1)
                raise failures.operation_error(request, late) from None
        return result

    def settle(self, result: Settled) -> None:
        settled = self._pending.get(result.key)
        if settled is not None and not settled.done():
            settled.set_result(result)

    def fail_all(self) -> None:
        """After a fault of ours."""
        for key in list(self._pending):
            self.settle(ce.OperationFailed(key, ce.Cause.STOPPED, ce.Outcome.UNKNOWN))
