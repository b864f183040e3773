"""Two hundred clients and a network that breaks, for half a minute; the hour is a command."""

import pytest

from hubbub.protocol.client_inbound import Inbound
from hubbub.testing.soak import Options, run


@pytest.mark.timeout(300)
async def test_crowd_loses_and_doubles_nothing_while_everything_breaks() -> None:
    report = await run(Options(clients=200, seconds=20, seed=14))
    assert report.is_good, str(report)
    counts = report.counts
    assert counts["recovered"] > 50, str(report)
    assert counts["reconnected"] > 50, str(report)
    assert counts["delivered"] > 1_000, str(report)
    assert counts["invoke answered"] > 10, str(report)
    assert set(report.faults) >= {"cut", "refuse", "half-open", "delay", "restart"}, str(report)


async def test_soak_finds_a_client_that_takes_repeats_for_new_messages(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    accept = Inbound.accept

    def forgetful(self: Inbound, *arguments: object) -> bool:
        accept(self, *arguments)  # type: ignore[arg-type]
        return True

    monkeypatch.setattr(Inbound, "accept", forgetful)
    report = await run(Options(clients=40, seconds=8, seed=53, rate=200))
    assert report.counts["doubled"], str(report)
    assert not report.is_good
