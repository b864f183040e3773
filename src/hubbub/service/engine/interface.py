"""The Engine interface and what every implementation must guarantee.

One contract suite (`tests/engine_contract`) runs on each engine; differences are data
(`EngineGuarantees`), never a method that refuses. The log and record parts of the design come
with the first engine that keeps them.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple, Protocol

Subject = tuple[str, ...]
"""Raw names, for example ("g", hub, group). Escaping is the engine's business."""

NodeId = str


@dataclass(frozen=True, slots=True)
class EngineGuarantees:
    """`distributed`: other nodes may exist. `max_payload_bytes`: of one publish, question or
    answer. `settle_s`: seconds after `subscribe` until interest is exact everywhere; 0 = at once."""

    distributed: bool
    max_payload_bytes: int
    settle_s: float


class HealthState(Enum):
    UP = "up"
    DOWN = "down"
    DEAF = "deaf"
    """Connected, but our own probe does not come back."""


class NodeState(Enum):
    JOINED = "joined"
    DRAINING = "draining"
    LEFT = "left"


@dataclass(frozen=True, slots=True)
class NodeInfo:
    id: NodeId
    version: str
    state: NodeState = NodeState.JOINED


class Answers(NamedTuple):
    replies: dict[NodeId, bytes]
    missing: frozenset[NodeId]
    """Live nodes that did not answer in time."""


class Subscription(Protocol):
    @property
    def subject(self) -> Subject: ...


Callback = Callable[[Subject, bytes], None]
Handler = Callable[[Subject, bytes], Awaitable[bytes]]


class Engine(Protocol):
    """A message bus between nodes. All methods belong to one event loop."""

    @property
    def guarantees(self) -> EngineGuarantees: ...

    @property
    def health(self) -> HealthState: ...

    async def open(self, me: NodeInfo) -> None:
        """Join. Afterwards `nodes()` holds me, and the others hear of me."""

    async def close(self, grace_s: float) -> None:
        """Leave; the others hear `LEFT`. Idempotent."""

    def publish(self, subject: Subject, data: bytes) -> None:
        """Hand `data` to every other node that subscribed. At most once, never back to me.

        Order: FIFO per (publishing node, subject). Never blocks.
        Raises: EngineUnavailable, Overloaded, MessageTooLarge; then nobody gets it.
        """

    async def published(self, timeout_s: float = 1) -> None:
        """Back when every earlier publish of mine is with the engine. Raises TimedOut."""

    async def subscribe(
        self, subject: Subject, callback: Callback, *, wild: bool = False
    ) -> Subscription:
        """Back when interest is confirmed. `callback` is plain, called in order, never from
        inside `publish`. `wild`: every subject that starts with `subject`."""

    async def unsubscribe(self, subscription: Subscription) -> None:
        """Afterwards the callback is not called again."""

    async def ask(self, subject: Subject, data: bytes, timeout_s: float = 1) -> bytes:
        """One answer from one server of the subject, my own included.

        Raises: NoResponders at once when nobody serves it; TimedOut.
        """

    async def ask_nodes(self, data: bytes, timeout_s: float) -> Answers:
        """Ask every live node, me included, what it serves under ("_node",)."""

    async def serve(
        self, subject: Subject, handler: Handler, *, wild: bool = False
    ) -> Subscription:
        """Answer questions until `unsubscribe`. A raising handler gives the asker TimedOut."""

    def nodes(self) -> Mapping[NodeId, NodeInfo]:
        """Live nodes, me included."""

    def on_node(self, callback: Callable[[NodeInfo], None]) -> None:
        """Call with each node that joined, drains or left."""
