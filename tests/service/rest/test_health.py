import pytest

from hubbub import __version__


@pytest.mark.parametrize("query", ["api-version=2024-12-01", ""])
async def test_ra_001_ra_002_health_by_head_needs_no_token(bench, query):
    answer = await bench.request("HEAD", "/api/health", query=query, token=None)
    assert (answer.status, answer.body) == (200, b"")


async def test_ra_099_health_by_get_tells_the_state(bench):
    answer = await bench.request("GET", "/api/health", token=None)
    assert answer.status == 200
    assert answer.json == {"status": "ok", "version": __version__, "engine": "memory"}


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_ra_099_health_when_draining_answers_503(bench, method):
    bench.node.is_draining = True
    answer = await bench.request(method, "/api/health", token=None)
    assert (answer.status, answer.headers["retry-after"]) == (503, "1")


async def test_ready_needs_a_token_and_tells_the_drain_state(bench):
    assert (await bench.request("GET", "/_hubbub/ready", token=None)).status == 401
    assert (await bench.request("GET", "/_hubbub/ready")).json["status"] == "ok"
    bench.node.is_draining = True
    answer = await bench.request("GET", "/_hubbub/ready")
    assert (answer.status, answer.json["status"]) == (503, "draining")
