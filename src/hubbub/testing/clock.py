"""Virtual time: an event loop in which waiting takes no time.

Whenever nothing is left to do but wait for a timer, the clock jumps to it. What runs, sockets
included, is real. In a test, everything that waits must live in this one loop: a peer in another
thread or process would find its hours gone in a moment.
"""

import asyncio
import contextlib
import selectors
import socket
import time
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from threading import get_ident
from typing import Any, TypeVar, TypeVarTuple

from hubbub.clock import set_clock

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

DAY_S = 86_400.0
_ROUNDS = 4
"""How often something is sent over loopback before time moves: a TCP handshake takes three ways,
and a packet that answers another one is behind the first of ours."""


_PATIENCE_S = 5.0
"""How long time stands still, really, for work in a thread; it might itself wait for a timer."""


class VirtualClock:
    """The time of one loop: `time` for timers, `wall` and `boottime` for those who ask hubbub."""

    def __init__(self, limit_s: float) -> None:
        self._limit_s = self._over_at_s = limit_s
        self._time = 0.0
        self._slept_s = 0.0
        self._began_at = time.time()
        self._stepped_s = 0.0
        self._holds = 0
        self._threads = 0  # calls that the loop has out

    def time(self) -> float:
        """Seconds since the loop was made; what `loop.time()` says."""
        return self._time

    def boottime(self) -> float:
        """As `time`, but `suspend` moves it too."""
        return self._time + self._slept_s

    def wall(self) -> float:
        """Unix seconds; began with the real time."""
        return self._began_at + self._time + self._slept_s + self._stepped_s

    def suspend(self, seconds: float) -> None:
        """The machine sleeps so long: no timer moves on, `boottime` and `wall` do.

        Service and client are on the same machine; that the service went on meanwhile is for the
        test to add, by `hub.cut()` or `hub.lose_sessions()`.
        """
        if seconds < 0:
            raise ValueError("a machine cannot sleep for less than no time")
        self._slept_s += seconds

    def set_wall(self, unix_seconds: float) -> None:
        """Somebody sets the machine's clock; nothing but `wall` may notice."""
        self._stepped_s += unix_seconds - self.wall()

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Time passes as it really does, for a peer that is a thread or process of its own."""
        self._holds += 1
        try:
            yield
        finally:
            self._holds -= 1

    # --- for the loop ------------------------------------------------------------------------

    def _advance(self, seconds: float) -> None:
        self._time += seconds
        if self._time > self._over_at_s:
            # Once, so that what the test had open is closed before the next test begins.
            self._over_at_s = self._time + self._limit_s
            raise RuntimeError(
                f"{self._limit_s:g} s of virtual time are over: something waits for what never"
                " comes; VirtualTimeLoop(limit_s=…) allows more"
            )


class _Selector(selectors.DefaultSelector):
    """Waits for sockets, or lets the time pass at once."""

    def __init__(self, clock: VirtualClock) -> None:
        super().__init__()
        self._clock = clock
        self._wire = _Wire()

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if ready or (timeout is not None and timeout <= 0):
            return ready
        if timeout is None:  # no timer: whatever comes, comes from outside
            return super().select(None)
        if self._clock._holds:
            ready = super().select(timeout)
        elif self._clock._threads:
            ready = super().select(max(timeout, _PATIENCE_S))
        else:
            self._wire.let_arrive()
            ready = super().select(0)
        if not ready:
            self._clock._advance(timeout)
        return ready

    def close(self) -> None:
        self._wire.close()
        super().close()


class _Wire:
    """Knows when everything sent over loopback so far has arrived."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._socket.connect(self._socket.getsockname())
        self._socket.settimeout(5.0)

    def let_arrive(self) -> None:
        """Loopback keeps the order: what was sent before a packet of ours is there before it."""
        for _ in range(_ROUNDS):
            self._socket.send(b".")
            self._socket.recv(1)

    def close(self) -> None:
        self._socket.close()


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """An event loop that never waits for a timer. `clock`: its time, which begins at 0.

    While work is out in threads (`asyncio.to_thread`, `run_in_executor`), time stands still, for
    them too; for work that takes longer than 5 s it passes as it really does.
    """

    def __init__(self, *, limit_s: float = DAY_S) -> None:
        """`limit_s`: a test that lasts longer, in virtual seconds, fails with RuntimeError."""
        self.clock = VirtualClock(limit_s)
        super().__init__(_Selector(self.clock))
        set_clock(self, self.clock)

    def time(self) -> float:
        return self.clock.time()

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[*Ts], T], *args: *Ts
    ) -> asyncio.Future[T]:
        def work() -> T:
            set_clock(get_ident(), self.clock)
            try:
                return func(*args)
            finally:
                set_clock(get_ident(), None)

        if executor is None or isinstance(executor, ThreadPoolExecutor):
            future = super().run_in_executor(executor, work)
        else:
            future = super().run_in_executor(executor, func, *args)
        self.clock._threads += 1
        future.add_done_callback(self._thread_is_back)
        return future

    def _thread_is_back(self, _: object) -> None:
        self.clock._threads -= 1

    def close(self) -> None:
        set_clock(self, None)
        super().close()


def run_virtual(main: Coroutine[Any, Any, T], *, limit_s: float = DAY_S) -> T:
    """`asyncio.run` in virtual time."""
    with asyncio.Runner(loop_factory=lambda: VirtualTimeLoop(limit_s=limit_s)) as runner:
        return runner.run(main)


def virtual_clock() -> VirtualClock:
    """The clock of the running loop. Raises: RuntimeError where it is not a virtual one."""
    loop = asyncio.get_running_loop()
    if not isinstance(loop, VirtualTimeLoop):
        raise RuntimeError(
            "this loop runs in real time; mark the test with @pytest.mark.virtual_time, or use"
            " run_virtual"
        )
    return loop.clock
