"""How the service is: `/api/health` for load balancers, `/_hubbub/ready` for operators."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.responses import Response

from hubbub import __version__
from hubbub.service.engine.interface import HealthState
from hubbub.service.rest import answers
from hubbub.service.rest.call import Call

if TYPE_CHECKING:
    from hubbub.service.node import Node


async def health(call: Call) -> Response:
    """200 while messages get through. Draining is refused before a request comes here."""
    if _status(call.node) != "ok":
        raise answers.unavailable()
    if call.method == "HEAD":
        return answers.empty(200)
    return answers.json_answer(200, _summary(call.node))


async def ready(call: Call) -> Response:
    """The same answer in detail, in trouble too."""
    node = call.node
    state = {
        **_summary(node),
        "engineHealth": node.engine.health.value,
        "nodes": [
            {"id": info.id, "version": info.version, "state": info.state.value}
            for info in node.engine.nodes().values()
        ],
        "connections": node.connection_count,
    }
    if state["status"] == "ok":
        return answers.json_answer(200, state)
    return answers.json_answer(503, state, {"Retry-After": "1"})


def _summary(node: Node) -> dict[str, object]:
    return {
        "status": _status(node),
        "version": __version__,
        "engine": node.settings.engine_url.partition(":")[0],
    }


def _status(node: Node) -> str:
    if node.is_draining:
        return "draining"
    return "ok" if node.engine.health is HealthState.UP else "engine " + node.engine.health.value
