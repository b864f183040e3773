"""A service that cannot start leaves nothing behind."""

import asyncio
import socket

import pytest

from hubbub.service import Service, Settings
from hubbub.service.engine.interface import NodeInfo
from hubbub.service.engine.memory import MemoryEngine


async def test_start_when_another_program_listens_first_leaves_nothing_open(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Two programs may bind a port; who listens first has it."""
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", 0))
        open_engine = MemoryEngine.open

        async def open_late(engine: MemoryEngine, me: NodeInfo) -> None:
            await open_engine(engine, me)
            other.listen()

        monkeypatch.setattr(MemoryEngine, "open", open_late)
        service = Service(Settings(port=other.getsockname()[1]))
        with pytest.raises(OSError, match="in use"):
            await service.start()
    timers = getattr(asyncio.get_running_loop(), "_scheduled", ())
    assert [timer for timer in timers if not timer.cancelled()] == []
