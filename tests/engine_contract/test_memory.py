"""What only the memory engine promises."""

import asyncio

import pytest

from hubbub.protocol.errors import EngineError, EngineUnavailable, Overloaded
from hubbub.service.engine import memory
from hubbub.service.engine.interface import HealthState, NodeInfo
from hubbub.service.engine.memory import MemoryBus, MemoryEngine


async def test_engine_alone_is_not_distributed():
    assert not MemoryEngine().guarantees.distributed
    assert MemoryEngine(MemoryBus()).guarantees.distributed


async def test_publish_to_a_node_that_does_not_keep_up_is_refused_for_all(monkeypatch, inbox):
    monkeypatch.setattr(memory, "MAX_INBOX_BYTES", 10)
    bus = MemoryBus()
    a, b, c = MemoryEngine(bus), MemoryEngine(bus), MemoryEngine(bus)
    for name, engine in zip("abc", (a, b, c), strict=True):
        await engine.open(NodeInfo(name, "1"))
    await b.subscribe(("x",), inbox.take)
    await c.subscribe(("y",), inbox.take, wild=False)
    a.publish(("x",), b"0123456789")
    with pytest.raises(Overloaded):
        a.publish(("x",), b"1")
    await inbox.until_data(b"0123456789")
    a.publish(("x",), b"2")
    await inbox.until_data(b"0123456789", b"2")


async def test_node_that_was_cut_is_down():
    bus = MemoryBus(lease_s=0)
    a = MemoryEngine(bus)
    await a.open(NodeInfo("a", "1"))
    bus.cut("a")
    assert a.health is HealthState.DOWN
    with pytest.raises(EngineUnavailable):
        a.publish(("x",), b"")
    await a.close(0)


async def test_node_id_that_is_taken_and_a_second_open_are_refused():
    bus = MemoryBus()
    a = MemoryEngine(bus)
    await a.open(NodeInfo("a", "1"))
    with pytest.raises(EngineError, match="taken"):
        await MemoryEngine(bus).open(NodeInfo("a", "1"))
    with pytest.raises(EngineError, match="once"):
        await a.open(NodeInfo("b", "1"))


async def test_close_ends_running_handlers():
    a = MemoryEngine(MemoryBus())
    await a.open(NodeInfo("a", "1"))
    started = asyncio.Event()

    async def never(subject, data):
        started.set()
        await asyncio.Event().wait()
        return b""

    await a.serve(("q",), never)
    question = asyncio.ensure_future(a.ask(("q",), b"", timeout_s=60))
    await started.wait()
    await a.close(0)
    assert len(asyncio.all_tasks()) == 2  # this test and the question
    question.cancel()
