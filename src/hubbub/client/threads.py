"""Functions that block, away from the event loop: in threads that never hold up the end.

The threads of an executor are waited for by `asyncio.run` and by the interpreter; a credential or
a handler that hangs would hang both.
"""

import asyncio
import contextlib
import contextvars
import queue
import threading
from collections.abc import Callable
from typing import Any, TypeVar

_T = TypeVar("_T")
_Job = tuple[Callable[[], Any], "asyncio.Future[Any]", asyncio.AbstractEventLoop]


class Worker:
    """Up to `threads` threads that take jobs in their order. `close` lets them end."""

    def __init__(self, name: str, threads: int = 1) -> None:
        self._name = name
        self._limit = threads
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []

    async def run(self, function: Callable[..., _T], *args: object) -> _T:
        """In one of the threads, in a copy of the caller's context. Cancelling stops the wait."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[_T] = loop.create_future()
        context = contextvars.copy_context()
        self._jobs.put((lambda: context.run(function, *args), done, loop))
        if len(self._threads) < self._limit:
            thread = threading.Thread(target=self._work, name=self._name, daemon=True)
            self._threads.append(thread)
            thread.start()
        return await done

    def close(self) -> None:
        """The threads end after what they do and what was given to them before."""
        for _ in self._threads:
            self._jobs.put(None)
        self._threads = []

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            function, done, loop = job
            del job
            try:
                result = function()
            except BaseException as error:  # of any kind: the waiting side is to see it
                _tell(loop, done, None, error)
            else:
                _tell(loop, done, result, None)
            del function, done


async def run_in_thread(function: Callable[..., _T], *args: object, name: str) -> _T:
    """In a thread of its own. Cancelling stops the wait, not the function."""
    worker = Worker(name)
    try:
        return await worker.run(function, *args)
    finally:
        worker.close()


def _tell(
    loop: asyncio.AbstractEventLoop,
    done: "asyncio.Future[Any]",
    result: object,
    error: BaseException | None,
) -> None:
    def settle() -> None:
        if done.done():
            return
        if error is None:
            done.set_result(result)
        elif isinstance(error, StopIteration):  # a future takes none
            done.set_exception(RuntimeError("the function raised StopIteration"))
        else:
            done.set_exception(error)

    with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits
        loop.call_soon_threadsafe(settle)
