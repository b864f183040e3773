"""Functions that block, away from the event loop: in threads that never hold up the end.

The threads of the usual executors are waited for by `asyncio.run` and by the interpreter; a
credential or a handler that hangs would hang both.
"""

import asyncio
import contextvars
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any, ParamSpec, TypeVar

_T = TypeVar("_T")
_P = ParamSpec("_P")
_Job = tuple[Callable[[], Any], "Future[Any]"]


class Worker(Executor):
    """Up to `threads` daemon threads that take jobs in their order. `close` lets them end."""

    def __init__(self, name: str, threads: int = 1) -> None:
        self._name = name
        self._limit = threads
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._threads = 0

    async def run(self, function: Callable[..., _T], *args: object) -> _T:
        """In one of the threads, in a copy of the caller's context. Cancelling stops the wait."""
        context = contextvars.copy_context()
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self, lambda: context.run(function, *args))

    def submit(self, fn: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs) -> "Future[_T]":
        future: Future[_T] = Future()
        self._jobs.put((lambda: fn(*args, **kwargs), future))
        if self._threads < self._limit:
            self._threads += 1
            threading.Thread(
                target=self._work, args=(self._jobs,), name=self._name, daemon=True
            ).start()
        return future

    def close(self) -> None:
        """The threads end after what they do and what was given to them before."""
        jobs, self._jobs = self._jobs, queue.SimpleQueue()  # what comes later is for others
        for _ in range(self._threads):
            jobs.put(None)
        self._threads = 0

    @staticmethod
    def _work(jobs: "queue.SimpleQueue[_Job | None]") -> None:
        while (job := jobs.get()) is not None:
            function, future = job
            if future.set_running_or_notify_cancel():
                try:
                    result = function()
                except BaseException as error:  # of any kind: who waits is to see it
                    is_odd = isinstance(error, StopIteration)  # asyncio's futures take none
                    future.set_exception(RuntimeError("StopIteration") if is_odd else error)
                else:
                    future.set_result(result)
            del job, function, future  # hold nothing while waiting


async def run_in_thread(function: Callable[..., _T], *args: object, name: str) -> _T:
    """In a thread of its own. Cancelling stops the wait, not the function."""
    worker = Worker(name)
    try:
        return await worker.run(function, *args)
    finally:
        worker.close()
