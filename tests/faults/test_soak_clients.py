"""A thousand clients and a network that breaks, for two minutes; the hour is a command."""

import resource
from collections.abc import Iterator

import pytest

from hubbub.protocol.client_inbound import Inbound
from hubbub.testing.soak import Options, run

FILES_PER_CLIENT = 4
"""Its own end, both ends in the proxy, and the service's."""
SPARE_FILES = 500


@pytest.fixture
def crowd() -> Iterator[int]:
    """A thousand, or as many as this machine has open files for."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 1000 * FILES_PER_CLIENT + SPARE_FILES
    files = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, files), hard))
    yield (files - SPARE_FILES) // FILES_PER_CLIENT
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.timeout(600)
async def test_crowd_loses_and_doubles_nothing_while_everything_breaks(crowd: int) -> None:
    report = await run(Options(clients=crowd, seconds=120, seed=14))
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
