"""`@azure/web-pubsub-client` 1.0.4 and 1.1.0, unmodified, against our service.

The scenarios are in js/clients.mjs; one Node.js process runs all of them for one version.
"""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from aiohttp import web
from tests.official_sdks.conftest import NodeAnswer, run_node
from tests.official_sdks.proxy import CuttingProxy
from tests.official_sdks.python_clients import until
from tests.official_sdks.upstream import Upstream

from hubbub.service import Service, Settings

pytestmark = pytest.mark.node

PACKAGES = {"1.0.4": "wps-client-104", "1.1.0": "wps-client-110"}
CUT_AFTER_BYTES = (20_000, 1, 50_001, 90_002, 10_003, 70_004)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def answers(service: Service, upstream: Upstream) -> AsyncIterator[dict[str, NodeAnswer]]:
    """Both versions run at the same time: most of the run is waiting."""
    runs = [_run(package, service, upstream) for package in PACKAGES.values()]
    yield dict(zip(PACKAGES, await asyncio.gather(*runs), strict=True))


async def _run(package: str, service: Service, upstream: Upstream) -> NodeAnswer:
    forgetful = Service(Settings(port=0, recovery_window_s=0.05))
    async with (
        forgetful,
        CuttingProxy(forgetful.url) as gate,
        CuttingProxy(service.url, cut_after=CUT_AFTER_BYTES) as proxy,
        _Control(gate, forgetful) as control,
    ):
        answer = await run_node(
            "clients.mjs",
            {
                "client": package,
                "connectionString": service.connection_string,
                "upstream": upstream.url,
                "cutting": proxy.through(service.connection_string),
                "forgetful": gate.through(forgetful.connection_string),
                "forgetfulDirect": forgetful.connection_string,
                "control": control.url,
            },
        )
        return NodeAnswer(answer.results, proxy.cuts)


class _Control:
    """A request to `url` cuts the links of a proxy and opens it when the session is gone."""

    def __init__(self, gate: CuttingProxy, service: Service) -> None:
        self._gate = gate
        self._service = service

    async def __aenter__(self) -> "_Control":
        app = web.Application()
        app.router.add_get("/", self._lose)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}/"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    async def _lose(self, request: web.Request) -> web.Response:
        self._gate.is_refusing = True
        self._gate.cut()
        await until(lambda: self._service.counts.get("connections.ended") == 1)
        self._gate.is_refusing = False
        return web.Response()


@pytest.fixture(params=sorted(PACKAGES))
def js(request: pytest.FixtureRequest, answers: dict[str, NodeAnswer]) -> NodeAnswer:
    version: str = request.param
    return answers[version]


def test_connect_by_url_and_stop(js: NodeAnswer) -> None:
    js.check("connectByUrl")


def test_connect_by_callback(js: NodeAnswer) -> None:
    js.check("connectByCallback")


def test_plain_json_protocol(js: NodeAnswer) -> None:
    js.check("plainProtocol")


def test_cp_034_cp_035_cp_037_cp_040_join_send_leave(js: NodeAnswer) -> None:
    js.check("joinAndLeave")


def test_cp_044_cp_045_cp_046_cp_047_cp_085_all_data_types_arrive_unchanged(js: NodeAnswer) -> None:
    js.check("dataTypes")


def test_cp_038_cp_039_no_echo(js: NodeAnswer) -> None:
    js.check("noEcho")


def test_fire_and_forget(js: NodeAnswer) -> None:
    js.check("fireAndForget")


def test_cp_051_cp_052_events_are_answered_and_failures_acked(js: NodeAnswer) -> None:
    js.check("events")


def test_cp_055_ack_id_used_again_is_a_duplicate(js: NodeAnswer) -> None:
    js.check("ackReuse")


def test_cp_048_cp_049_forbidden_is_told_and_the_connection_stays(js: NodeAnswer) -> None:
    js.check("forbidden")


def test_cp_126_invoke_returns_the_answer(js: NodeAnswer) -> None:
    js.check("invoke")


def test_cp_127_invoke_errors_have_names(js: NodeAnswer) -> None:
    js.check("invokeErrors")


def test_cp_128_invoke_when_aborted_reaches_the_event_handler(js: NodeAnswer) -> None:
    js.check("invokeAbort")


def test_cp_090_lost_session_is_a_new_connection_in_its_old_groups(js: NodeAnswer) -> None:
    js.check("closeAndRejoin")


def test_cp_086_cut_links_lose_and_repeat_nothing(js: NodeAnswer) -> None:
    js.check("recovery")
    assert js.cuts == len(CUT_AFTER_BYTES)


def test_every_scenario_of_the_script_is_checked(answers: dict[str, NodeAnswer]) -> None:
    for answer in answers.values():
        answer.check_all_named_in(Path(__file__))
