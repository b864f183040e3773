"""The engine of one process."""

from hubbub.service.engine.interface import EngineGuarantees, HealthState, NodeInfo


class MemoryEngine:
    guarantees = EngineGuarantees(distributed=False, max_payload_bytes=64 << 20, settle_s=0)
    health = HealthState.UP

    async def open(self, me: NodeInfo) -> None:
        """Nobody else to tell."""

    async def close(self, grace_s: float) -> None:
        """Nobody else to tell."""
