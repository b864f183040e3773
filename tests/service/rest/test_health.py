import pytest

from hubbub import __version__
from hubbub.service.engine.interface import HealthState


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


@pytest.mark.parametrize("state", [HealthState.DOWN, HealthState.DEAF])
async def test_health_when_the_engine_is_not_up_answers_503(bench, state):
    bench.node.engine.health = state
    answer = await bench.request("GET", "/api/health", token=None)
    assert (answer.status, answer.code) == (503, "Error.ServiceUnavailable")
    assert answer.headers["retry-after"] == "1"
    answer = await bench.request("GET", "/_hubbub/ready")
    assert (answer.status, answer.headers["retry-after"]) == (503, "1")
    assert (answer.json["status"], answer.json["engineHealth"]) == (
        f"engine {state.value}",
        state.value,
    )


async def test_ready_needs_a_token_and_tells_nodes_and_drain_state(bench):
    answer = await bench.request("GET", "/_hubbub/ready", token=None)
    assert (answer.status, answer.body) == (401, b"")
    answer = await bench.request("GET", "/_hubbub/ready")
    assert answer.status == 200
    assert answer.json == {
        "status": "ok",
        "version": __version__,
        "engine": "memory",
        "engineHealth": "up",
        "nodes": [{"id": "n1", "version": "1.2.3", "state": "joined"}],
        "connections": 7,
    }
    bench.node.is_draining = True
    answer = await bench.request("GET", "/_hubbub/ready")
    assert (answer.status, answer.json["status"]) == (503, "draining")
