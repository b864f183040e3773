"""The engine of one process: nodes on a `MemoryBus`, or one node alone.

A service takes it alone and nothing here is on the way of its messages. Several nodes on one bus
behave like nodes on a network that loses nothing, for tests of what happens between nodes.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Iterator, Mapping
from dataclasses import replace
from typing import Any, Generic, TypeVar

from hubbub.protocol.errors import (
    EngineError,
    EngineUnavailable,
    MessageTooLarge,
    NoResponders,
    Overloaded,
    TimedOut,
)
from hubbub.service.engine.interface import (
    Answers,
    Callback,
    EngineGuarantees,
    Handler,
    HealthState,
    NodeId,
    NodeInfo,
    NodeState,
    Subject,
    Subscription,
)

MAX_PAYLOAD_BYTES = 64 * 1_048_576
MAX_INBOX_BYTES = 64 * 1_048_576
"""What may wait for one node. An empty inbox takes any payload."""
LEASE_S = 3.5
"""How long the others count on a node that says nothing any more."""

T = TypeVar("T")


class _Registration(Generic[T]):
    """One subscription or server. `is_over`: nothing may reach it any more."""

    __slots__ = ("function", "interest", "is_over", "is_wild", "subject")

    def __init__(
        self, interest: "_Interest[T]", subject: Subject, function: T, is_wild: bool
    ) -> None:
        self.interest = interest
        self.subject = subject
        self.function = function
        self.is_wild = is_wild
        self.is_over = False


class _Interest(Generic[T]):
    """Registrations by subject."""

    __slots__ = ("_exact", "_wild")

    def __init__(self) -> None:
        self._exact: dict[Subject, list[_Registration[T]]] = {}
        self._wild: dict[Subject, list[_Registration[T]]] = {}

    def add(self, subject: Subject, function: T, is_wild: bool) -> _Registration[T]:
        registration = _Registration(self, subject, function, is_wild)
        self._table(is_wild).setdefault(subject, []).append(registration)
        return registration

    def remove(self, registration: _Registration[T]) -> None:
        registration.is_over = True
        table = self._table(registration.is_wild)
        rest = [other for other in table.get(registration.subject, ()) if other is not registration]
        if rest:
            table[registration.subject] = rest
        else:
            table.pop(registration.subject, None)

    def clear(self) -> None:
        for registrations in (*self._exact.values(), *self._wild.values()):
            for registration in registrations:
                registration.is_over = True
        self._exact.clear()
        self._wild.clear()

    def matching(self, subject: Subject) -> Iterator[_Registration[T]]:
        yield from self._exact.get(subject, ())
        if self._wild:
            for length in range(len(subject) + 1):
                yield from self._wild.get(subject[:length], ())

    def _table(self, is_wild: bool) -> dict[Subject, list[_Registration[T]]]:
        return self._wild if is_wild else self._exact


class MemoryBus:
    """Joins the `MemoryEngine`s of one event loop.

    Args:   lease_s: seconds from `cut` until the others hear that the node has left.
    """

    def __init__(self, *, lease_s: float = LEASE_S) -> None:
        self._lease_s = lease_s
        self._live: dict[NodeId, NodeInfo] = {}
        self._engines: dict[NodeId, MemoryEngine] = {}
        """Those that can be reached; a node that was cut is live for a while, but not here."""

    def cut(self, node_id: NodeId) -> None:
        """As if the node's machine lost power: it sends, gets and answers nothing any more."""
        self._engines.pop(node_id)._lose_bus()
        asyncio.get_running_loop().call_later(self._lease_s, self._end_lease, node_id)

    def _end_lease(self, node_id: NodeId) -> None:
        if node_id in self._live and node_id not in self._engines:
            self._tell(replace(self._live[node_id], state=NodeState.LEFT))

    def _join(self, me: NodeInfo, engine: "MemoryEngine") -> None:
        if me.id in self._live:
            raise EngineError(f"node id {me.id!r} is taken")
        self._engines[me.id] = engine
        self._tell(me)

    def _tell(self, node: NodeInfo) -> None:
        """Make it known, to all but the node itself."""
        if node.state is NodeState.LEFT:
            self._live.pop(node.id, None)
            self._engines.pop(node.id, None)
        else:
            self._live[node.id] = node
        for node_id, engine in self._engines.items():
            if node_id != node.id:
                engine._hear(node)


class MemoryEngine:
    """See `interface.Engine`. Without a bus there can be no other node."""

    def __init__(self, bus: MemoryBus | None = None) -> None:
        self._bus = bus or MemoryBus()
        self._guarantees = EngineGuarantees(
            distributed=bus is not None, max_payload_bytes=MAX_PAYLOAD_BYTES, settle_s=0
        )
        self._me: NodeInfo | None = None
        self._is_up = False
        self._subscriptions: _Interest[Callback] = _Interest()
        self._servers: _Interest[Handler] = _Interest()
        self._inbox: deque[tuple[_Registration[Callback], Subject, bytes]] = deque()
        self._inbox_bytes = 0
        self._node_callbacks: list[Callable[[NodeInfo], None]] = []
        self._answering: set[asyncio.Task[None]] = set()

    @property
    def guarantees(self) -> EngineGuarantees:
        return self._guarantees

    @property
    def health(self) -> HealthState:
        return HealthState.UP if self._is_up else HealthState.DOWN

    # --- coming and going ---------------------------------------------------------------------

    async def open(self, me: NodeInfo) -> None:
        if self._me is not None:
            raise EngineError("an engine is opened once")
        self._bus._join(me, self)
        self._me = me
        self._is_up = True

    async def close(self, grace_s: float) -> None:
        """Questions that came before are answered, for up to `grace_s`."""
        if self._me is None or not self._is_up:
            return
        self._is_up = False
        if self._answering and grace_s > 0:
            self._bus._tell(replace(self._me, state=NodeState.DRAINING))
            await asyncio.wait(self._answering, timeout=grace_s)
        self._bus._tell(replace(self._me, state=NodeState.LEFT))
        self._lose_bus()
        if self._answering:
            await asyncio.wait(self._answering)

    def _lose_bus(self) -> None:
        self._is_up = False
        self._subscriptions.clear()
        self._servers.clear()
        self._inbox.clear()
        self._inbox_bytes = 0
        for task in self._answering:
            task.cancel()

    # --- messages -----------------------------------------------------------------------------

    def publish(self, subject: Subject, data: bytes) -> None:
        me = self._check(data)
        receivers = []
        for node_id, engine in self._bus._engines.items():
            if node_id != me.id and (found := list(engine._subscriptions.matching(subject))):
                if engine._inbox and engine._inbox_bytes + len(data) > MAX_INBOX_BYTES:
                    raise Overloaded(f"node {node_id} does not keep up")
                receivers.append((engine, found))
        for engine, found in receivers:
            engine._receive(found, subject, data)

    async def published(self, timeout_s: float = 1) -> None:
        self._check(b"")

    async def subscribe(
        self, subject: Subject, callback: Callback, *, wild: bool = False
    ) -> Subscription:
        self._check(b"")
        return self._subscriptions.add(subject, callback, wild)

    async def unsubscribe(self, subscription: Subscription) -> None:
        assert isinstance(subscription, _Registration)
        subscription.interest.remove(subscription)

    def _receive(self, found: list[_Registration[Callback]], subject: Subject, data: bytes) -> None:
        """From the publisher's call: only put it down, the callbacks come in a later one."""
        if not self._inbox:
            asyncio.get_running_loop().call_soon(self._hand_out)
        self._inbox.extend((registration, subject, data) for registration in found)
        self._inbox_bytes += len(data) * len(found)

    def _hand_out(self) -> None:
        """What is in the inbox now; what a callback causes waits for the next turn of the loop."""
        for _ in range(len(self._inbox)):
            if not self._inbox:  # a callback has closed us
                return
            registration, subject, data = self._inbox.popleft()
            self._inbox_bytes -= len(data)
            if not registration.is_over:
                _call(registration.function, subject, data)
        if self._inbox:
            asyncio.get_running_loop().call_soon(self._hand_out)

    # --- questions ----------------------------------------------------------------------------

    async def ask(self, subject: Subject, data: bytes, timeout_s: float = 1) -> bytes:
        self._check(data)
        for engine in self._bus._engines.values():
            for server in engine._servers.matching(subject):
                answer = engine._answer(server, subject, data)
                try:
                    return await asyncio.wait_for(answer, timeout_s)
                except TimeoutError:
                    raise TimedOut(f"no answer within {timeout_s} s") from None
        raise NoResponders(f"nobody serves {subject!r}")

    async def ask_nodes(self, data: bytes, timeout_s: float) -> Answers:
        self._check(data)
        subject = ("_node",)
        asked: dict[asyncio.Future[bytes], NodeId] = {}
        for node_id, engine in self._bus._engines.items():
            for server in engine._servers.matching(subject):
                asked[engine._answer(server, subject, data)] = node_id
                break
        live = frozenset(self._bus._live)
        if asked:
            await asyncio.wait(asked, timeout=timeout_s)
        replies = {node_id: answer.result() for answer, node_id in asked.items() if answer.done()}
        return Answers(replies, live - replies.keys())

    async def serve(
        self, subject: Subject, handler: Handler, *, wild: bool = False
    ) -> Subscription:
        self._check(b"")
        return self._servers.add(subject, handler, wild)

    def _answer(
        self, server: _Registration[Handler], subject: Subject, data: bytes
    ) -> asyncio.Future[bytes]:
        """The answer to come; never, when the handler fails or this node goes away."""
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

        async def run() -> None:
            try:
                reply = await server.function(subject, data)
                _check_size(reply)
            except Exception as error:
                _report("a handler of a question failed", error)
                return
            if not answer.done():
                answer.set_result(reply)

        self._own(run())
        return answer

    def _own(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._answering.add(task)
        task.add_done_callback(self._answering.discard)

    # --- nodes --------------------------------------------------------------------------------

    def nodes(self) -> Mapping[NodeId, NodeInfo]:
        return dict(self._bus._live)

    def on_node(self, callback: Callable[[NodeInfo], None]) -> None:
        self._node_callbacks.append(callback)

    def _hear(self, node: NodeInfo) -> None:
        loop = asyncio.get_running_loop()
        for callback in self._node_callbacks:
            loop.call_soon(_call, callback, node)

    # --- checks -------------------------------------------------------------------------------

    def _check(self, data: bytes) -> NodeInfo:
        if self._me is None or not self._is_up:
            raise EngineUnavailable("the engine is not open")
        _check_size(data)
        return self._me


def _check_size(data: bytes) -> None:
    if len(data) > MAX_PAYLOAD_BYTES:
        raise MessageTooLarge(f"{len(data)} bytes, at most {MAX_PAYLOAD_BYTES} can be carried")


def _call(callback: Callable[..., None], *args: object) -> None:
    """One callback that raises must not cost the others their messages."""
    try:
        callback(*args)
    except Exception as error:
        _report("a callback of the engine failed", error)


def _report(what: str, error: Exception) -> None:
    asyncio.get_running_loop().call_exception_handler({"message": what, "exception": error})
