"""How the service is: `/api/health` for load balancers, `/_hubbub/ready` for operators."""

from starlette.responses import Response

from hubbub import __version__
from hubbub.service.rest import answers
from hubbub.service.rest.call import Call


async def health(call: Call) -> Response:
    """Answers only while requests are served; draining is refused before."""
    if call.method == "HEAD":
        return answers.empty(200)
    return answers.json_answer(200, _state(call))


async def ready(call: Call) -> Response:
    if call.node.is_draining:
        return answers.json_answer(503, _state(call), {"Retry-After": "1"})
    return answers.json_answer(200, _state(call))


def _state(call: Call) -> dict[str, str]:
    node = call.node
    return {
        "status": "draining" if node.is_draining else "ok",
        "version": __version__,
        "engine": node.settings.engine_url.partition(":")[0],
    }
