"""Calls of the application that wait for the service: one future each, no task and no timer."""

import asyncio

from hubbub.client import failures
from hubbub.client.driver import Driver
from hubbub.client.inbox import present_handler
from hubbub.client.observer import Watch
from hubbub.client.options import check_limit
from hubbub.clock import boottime
from hubbub.protocol import client_events as ce
from hubbub.protocol.errors import (
    ClientStateError,
    InvocationError,
    SendMessageError,
    UnsupportedFrame,
)
from hubbub.protocol.messages import Invoke

Settled = ce.OperationDone | ce.OperationFailed


class Calls:
    """The pending ones, each until the session settles it."""

    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        self._pending: dict[ce.OperationKey, asyncio.Future[Settled]] = {}
        self._last_key = 0
        self._chosen: dict[int, tuple[ce.OperationKey, ce.OperationRequest]] = {}
        """Pending operations whose ack id the application has chosen."""
        self._sharers: dict[ce.OperationKey, list[asyncio.Future[Settled]]] = {}
        self.of_handlers = 0
        """Those that a handler waits for."""
        self.is_closed = False
        """No new ones are taken, because the client is about to stop."""

    def __len__(self) -> int:
        return len(self._pending)

    @property
    def waiting(self) -> list[asyncio.Future[Settled]]:
        return list(self._pending.values())

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
        self._check(request, limit)
        if ack_id is not None and is_acked and ack_id in self._chosen:
            result = await self._share(request, ack_id, limit)
        else:
            result = await self._submit(request, ack_id, limit, is_acked=is_acked)
        if isinstance(result, ce.OperationFailed):
            raise failures.operation_error(request, result)
        if not is_acked:
            try:
                async with asyncio.timeout(limit):
                    await self._driver.drained()
            except TimeoutError:
                raise _late(request, None, ce.Outcome.UNKNOWN) from None
        return result

    def _check(self, request: ce.OperationRequest, limit: float | None) -> None:
        driver = self._driver
        if self.is_closed or driver.state in (ce.State.STOPPED, ce.State.STOPPING):
            state = "stopping" if self.is_closed else driver.state.value
            raise ClientStateError(f"the client is {state}")
        driver.bind()
        check_limit("timeout", limit)
        try:
            fits = driver.fits(request)
        except UnsupportedFrame as error:
            assert isinstance(request, Invoke), "the rest has a form in every subprotocol"
            raise InvocationError(
                str(error),
                invocation_id=request.invocation_id,
                outcome="not-sent",
                error_name=error.code,
            ) from error
        if not fits:
            raise ValueError("the message is larger than the service takes")

    async def _submit(
        self,
        request: ce.OperationRequest,
        ack_id: int | None,
        limit: float | None,
        *,
        is_acked: bool,
    ) -> Settled:
        self._last_key += 1
        key = self._last_key
        settled: asyncio.Future[Settled] = asyncio.get_running_loop().create_future()
        self._pending[key] = settled
        if ack_id is not None and is_acked:
            self._chosen[ack_id] = key, request
        deadline = None if limit is None else boottime() + limit
        self._driver.feed(ce.Submit(key, request, deadline, is_acked, ack_id))
        is_of_handler = present_handler() is not None
        self.of_handlers += is_of_handler
        try:
            return await settled
        except asyncio.CancelledError:
            if key not in self._sharers:
                self._forget(key, ack_id)
                self._driver.feed(ce.Cancel(key))
            raise
        finally:
            self.of_handlers -= is_of_handler
            self._pending.pop(key, None)
            if settled.done() and not settled.cancelled():
                self._forget(key, ack_id)
            self._driver.listener.on_idle()

    async def _share(
        self, request: ce.OperationRequest, ack_id: int, limit: float | None
    ) -> Settled:
        """The same call while it is pending has the same result. Raises: ValueError."""
        key, pending = self._chosen[ack_id]
        if pending != request:
            raise ValueError("this ack id is in use by another pending operation")
        settled: asyncio.Future[Settled] = asyncio.get_running_loop().create_future()
        sharers = self._sharers.setdefault(key, [])
        sharers.append(settled)
        try:
            async with asyncio.timeout(limit):
                return await settled
        except TimeoutError:
            raise _late(request, ack_id, ce.Outcome.UNKNOWN) from None
        finally:
            if settled in sharers:
                sharers.remove(settled)
            if settled.done() and not settled.cancelled():
                self._forget(key, ack_id)
            elif not sharers and self._sharers.pop(key, None) is not None:
                if key not in self._pending:  # whoever asked first has given up before
                    self._forget(key, ack_id)
                    self._driver.feed(ce.Cancel(key))

    def _forget(self, key: ce.OperationKey, ack_id: int | None) -> None:
        if ack_id is not None and self._chosen.get(ack_id, (None,))[0] == key:
            del self._chosen[ack_id]

    def settle(self, result: Settled) -> None:
        for settled in (self._pending.get(result.key), *self._sharers.pop(result.key, ())):
            if settled is not None and not settled.done():
                settled.set_result(result)
        self._forget(result.key, result.ack_id)

    def fail_all(self) -> None:
        """After a fault of ours."""
        for key in {*self._pending, *self._sharers}:
            self.settle(ce.OperationFailed(key, ce.Cause.STOPPED, ce.Outcome.UNKNOWN))
        self._chosen.clear()


class WatchedCalls(Calls):
    """Calls that an observer hears of. One with wrong arguments is none."""

    def __init__(self, driver: Driver, watch: Watch) -> None:
        super().__init__(driver)
        self._watch = watch

    async def operate(
        self,
        request: ce.OperationRequest,
        ack_id: int | None,
        limit: float | None,
        *,
        is_acked: bool,
    ) -> ce.OperationDone:
        began = boottime()
        outcome = ""
        try:
            done = await super().operate(request, ack_id, limit, is_acked=is_acked)
            outcome = _outcome(done)
            return done
        except (SendMessageError, InvocationError) as error:
            outcome = error.outcome
            raise
        except ClientStateError:
            outcome = "not-sent"
            raise
        except asyncio.CancelledError:
            outcome = "cancelled"
            raise
        finally:
            if outcome:
                self._watch.operation(request, boottime() - began, outcome)


def _outcome(done: ce.OperationDone) -> str:
    if done.response is not None and done.response.error is not None:
        return "rejected"
    return "duplicated" if done.is_duplicated else "done"


def _late(request: ce.OperationRequest, ack_id: int | None, outcome: ce.Outcome) -> Exception:
    late = ce.OperationFailed(0, ce.Cause.TIMED_OUT, outcome, ack_id, attempts=1)
    return failures.operation_error(request, late)
