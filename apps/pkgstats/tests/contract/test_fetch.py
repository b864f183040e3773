"""A host that fails is left alone for a while, and asked again after it."""

from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime

import httpx2
import pytest

from pkgstats.sources import fetch
from pkgstats.sources.base import Failing
from pkgstats.sources.fetch import Body, Fetcher

NOW = datetime(2026, 7, 1, 6, 0, tzinfo=UTC)
LEFT_ALONE = Failing("no connection a moment ago")


class Host:
    """Answers with the statuses that the test says, the last one for ever; 0: no connection."""

    def __init__(self) -> None:
        self.statuses = [200]
        self.asked = 0

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        self.asked += 1
        status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
        if status == 0:
            raise httpx2.ConnectError("refused")
        return httpx2.Response(status, json={})


@pytest.fixture
def host() -> Host:
    return Host()


@pytest.fixture
async def fetcher(
    host: Host, network: Callable[[Callable[..., httpx2.Response]], httpx2.MockTransport]
) -> AsyncIterator[Fetcher]:
    fetcher = Fetcher(now=lambda: NOW, transport=network(host))
    yield fetcher
    await fetcher.close()


@pytest.mark.parametrize("status", [0, 503])
async def test_a_host_that_fails_three_times_in_a_row_is_left_alone(
    fetcher: Fetcher, host: Host, status: int
) -> None:
    host.statuses = [status]
    for _ in range(fetch.FAILURES_UNTIL_BREAK):
        assert await fetcher.get("https://host.example/x", 100) != LEFT_ALONE
    assert await fetcher.get("https://host.example/y", 100) == LEFT_ALONE
    assert host.asked == fetch.FAILURES_UNTIL_BREAK
    assert await fetcher.get("https://other.example/x", 100) != LEFT_ALONE


async def test_a_host_that_fails_now_and_then_is_asked_on(fetcher: Fetcher, host: Host) -> None:
    host.statuses = [503, 503, 200, 503, 503, 404, 503, 503, 200]
    answers = [await fetcher.get("https://host.example/x", 100) for _ in range(9)]
    assert LEFT_ALONE not in answers
    assert isinstance(answers[-1], Body)


def test_pauses_grow_up_to_a_limit_and_end_with_the_first_success(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("random.uniform", lambda low, high: 1.0)
    breaker = fetch._Breaker()
    pauses = []
    now = 0.0
    for _ in range(10):
        breaker.note(failed=True, now=now)
        pauses.append(breaker._closed_until - now)
        now = max(now, breaker._closed_until)
        assert breaker.lets_through(now)
        assert breaker._closed_until == 0.0 or not breaker.lets_through(now - 0.1)
    assert pauses[2:6] == [30.0, 60.0, 120.0, 240.0]
    assert pauses[-1] == fetch.LONGEST_BREAK_S
    breaker.note(failed=False, now=now)
    breaker.note(failed=True, now=now)
    assert breaker.lets_through(now)
