"""A thread with an event loop of its own, through which blocking programs use asyncio clients."""

import asyncio
import concurrent.futures
import os
import threading
from collections.abc import Callable, Coroutine
from typing import Any, Self, TypeVar

from hubbub.protocol.errors import ClientStoppedError

_T = TypeVar("_T")
_LAST_CALLS_S = 0.1
"""For calls of other threads that come while the loop ends."""


class Portal:
    """One thread for any number of `SyncClient`s: `with Portal() as portal: …`.

    It begins with the first call and ends with `close`; after that it may begin anew.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._pid = os.getpid()
        self._calls = 0
        """How many threads wait for an answer."""
        self.is_needed: Callable[[], bool] | None = None
        """Asked after the last call: a thread that nothing needs ends. None: it goes on."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def is_running(self) -> bool:
        return self._loop is not None and os.getpid() == self._pid

    def call(self, work: Coroutine[Any, Any, _T]) -> _T:
        """Run it in the loop and wait. Ctrl-C while waiting cancels the work.

        Raises: what the work raises; RuntimeError in the portal's own thread and after a fork.
        """
        with self._lock:
            future = self._submit(work)
            self._calls += 1
        try:
            return future.result()
        except concurrent.futures.CancelledError:
            raise ClientStoppedError("the client was stopped meanwhile") from None
        except KeyboardInterrupt:
            future.cancel()
            raise
        finally:
            self._end_call()

    def submit(self, work: Coroutine[Any, Any, _T]) -> "concurrent.futures.Future[_T]":
        """Run it in the loop and do not wait. Raises: RuntimeError as `call`."""
        with self._lock:
            return self._submit(work)

    def _submit(self, work: Coroutine[Any, Any, _T]) -> "concurrent.futures.Future[_T]":
        """Under the lock, so that whatever was handed to a loop is before the end of it."""
        try:
            loop = self._running_loop()
        except BaseException:
            work.close()
            raise
        return asyncio.run_coroutine_threadsafe(work, loop)

    def run(self, what: Callable[[], _T]) -> _T:
        """Do something quick in the loop; where there is none, here, and none begins for it."""

        async def work() -> _T:
            return what()

        with self._lock:
            if not self.is_running:
                return what()
        return self.call(work())

    def check_caller(self) -> None:
        """Raises: RuntimeError in the portal's own thread and after a fork."""
        if os.getpid() != self._pid:
            raise RuntimeError("a client cannot be used in a forked process: make one there")
        if threading.current_thread() is self._thread:
            raise RuntimeError(
                "this is the client's own thread: calling it here would wait for ever"
            )

    def _running_loop(self) -> asyncio.AbstractEventLoop:
        self.check_caller()
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            self._thread = threading.Thread(
                target=self._loop.run_forever, name="hubbub client", daemon=True
            )
            self._thread.start()
        return self._loop

    def _end_call(self) -> None:
        """Calls of a client that is stopped begin a thread too; it must not outlive them."""
        with self._lock:
            self._calls -= 1
            if self._calls or self.is_needed is None or self.is_needed():
                return
            loop, thread = self._detach()
        _end(loop, thread)

    def close(self) -> None:
        """End the thread. What still runs in it is cancelled. Idempotent.

        Raises: RuntimeError in that thread itself.
        """
        if os.getpid() != self._pid:
            return
        self.check_caller()
        with self._lock:
            loop, thread = self._detach()
        _end(loop, thread)

    def _detach(self) -> tuple[asyncio.AbstractEventLoop | None, threading.Thread | None]:
        loop, thread = self._loop, self._thread
        self._loop = self._thread = None
        return loop, thread


def _end(loop: asyncio.AbstractEventLoop | None, thread: threading.Thread | None) -> None:
    if loop is None or thread is None:
        return
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.run_until_complete(_end_calls())
    loop.close()


async def _end_calls() -> None:
    """Calls of other threads that came at the very end: they end too, or are cancelled."""
    await asyncio.sleep(0)
    rest = asyncio.all_tasks() - {asyncio.current_task()}
    if rest:
        _, late = await asyncio.wait(rest, timeout=_LAST_CALLS_S)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)
