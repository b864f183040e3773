"""Engines under contract. A further engine adds a factory to `CLUSTERS`; the tests stay."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Protocol

import pytest

from hubbub.service.engine.interface import Engine, NodeInfo, NodeState
from hubbub.service.engine.memory import MemoryBus, MemoryEngine


class Cluster(Protocol):
    """Nodes that hear of each other."""

    async def node(self, name: str) -> Engine:
        """One more, open; the nodes before it know it."""

    async def kill(self, engine: Engine) -> None:
        """It goes without a word, as in a power failure."""

    async def close(self) -> None: ...


class MemoryCluster:
    def __init__(self) -> None:
        self._bus = MemoryBus(lease_s=0.2)
        self._names: dict[Engine, str] = {}

    async def node(self, name: str) -> Engine:
        engine = MemoryEngine(self._bus)
        await engine.open(NodeInfo(name, "1"))
        self._names[engine] = name
        return engine

    async def kill(self, engine: Engine) -> None:
        self._bus.cut(self._names[engine])

    async def close(self) -> None:
        for engine in self._names:
            await engine.close(0)


CLUSTERS: dict[str, Callable[[], Cluster]] = {"memory": MemoryCluster}


@pytest.fixture(params=list(CLUSTERS))
async def cluster(request: pytest.FixtureRequest) -> AsyncIterator[Cluster]:
    cluster = CLUSTERS[request.param]()
    yield cluster
    await cluster.close()


class Inbox:
    """Keeps what a callback gets; `await until(n)` waits for n messages in all."""

    def __init__(self) -> None:
        self.got: list[tuple[tuple[str, ...], bytes]] = []
        self.nodes: list[tuple[str, NodeState]] = []
        self._changed = asyncio.Event()

    def take(self, subject: tuple[str, ...], data: bytes) -> None:
        self.got.append((subject, data))
        self._changed.set()

    def hear(self, node: NodeInfo) -> None:
        self.nodes.append((node.id, node.state))
        self._changed.set()

    async def until(self, is_enough: Callable[["Inbox"], bool]) -> None:
        async with asyncio.timeout(10):
            while not is_enough(self):
                self._changed.clear()
                await self._changed.wait()

    async def until_data(self, *data: bytes) -> None:
        await self.until(lambda inbox: len(inbox.got) >= len(data))
        assert [d for _, d in self.got] == list(data)


@pytest.fixture
def inbox() -> Inbox:
    return Inbox()


@pytest.fixture
def other_inbox() -> Inbox:
    return Inbox()
