"""The description of the REST API: it names every route, and the service does what it says."""

import asyncio
import json
import re
import time
from collections.abc import Iterator
from typing import Any, cast

import hypothesis
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import load_all_checks
from schemathesis.core.transport import Response
from schemathesis.specs.openapi import checks
from tests.service import kinds
from tests.service.rest.conftest import FakeSocket

from hubbub.protocol import connection_string, tokens
from hubbub.protocol.roles import Permissions
from hubbub.protocol.service_session import ServiceSession
from hubbub.service import Service, Settings
from hubbub.service.connection import Connection, Socket
from hubbub.service.rest import openapi
from hubbub.service.rest.app import ROUTES, create_app
from hubbub.service.upstream import EventSource

PATH = "/_hubbub/openapi.json"
DOCUMENT = openapi.document(ROUTES)
OPERATIONS = [
    (method.upper(), path) for path, methods in DOCUMENT["paths"].items() for method in methods
]


async def test_document_is_json_for_those_with_a_token(bench):
    answer = await bench.request("GET", PATH)
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json; charset=utf-8"
    assert answer.json == json.loads(json.dumps(DOCUMENT))
    assert (await bench.request("GET", PATH, token=None)).status == 401


def test_document_has_every_route_and_no_other():
    assert OPERATIONS == [(method, path) for path, methods in ROUTES for method in methods]


def test_every_row_is_of_an_operation():
    named = {operation.name for _, methods in ROUTES for operation in methods.values()}
    assert set(openapi._ROWS) == named


def test_operation_ids_are_unique_and_schemas_are_used():
    operations = [one for methods in DOCUMENT["paths"].values() for one in methods.values()]
    ids = [one["operationId"] for one in operations]
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch("[A-Za-z]+", one) for one in ids)
    used = set(re.findall(r"#/components/schemas/(\w+)", json.dumps(DOCUMENT["paths"])))
    assert used == set(DOCUMENT["components"]["schemas"])


def test_open_routes_need_no_token_and_the_others_can_answer_401():
    for path, methods in ROUTES:
        for method, operation in methods.items():
            described = DOCUMENT["paths"][path][method.lower()]
            assert (described.get("security") == []) == operation.is_open
            assert ("401" in described["responses"]) != operation.is_open


# --- requests made from the description ------------------------------------------------------

SEED = 20261124
EXAMPLES = 2
"""Random ones of each kind for every operation, after about a thousand at the bounds in all."""
ORIGIN = "http://push.test"
LIVE = {"hub": "chat", "connection": "c1", "user": "u1", "group": "g1"}

# Every call carries a right token; that one without is refused is pinned elsewhere.
SCHEMA = schemathesis.openapi.from_dict({**DOCUMENT, "security": []})
DESCRIBED = {
    f"{found.ok().method.upper()} {found.ok().path}": found.ok()
    for found in SCHEMA.get_all_operations()
}
ALWAYS = [
    schemathesis.checks.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
]
load_all_checks()


class QuietSocket(FakeSocket):
    def abort(self) -> None:
        pass


class Caller:
    """The ASGI app of a real service, with one client that most names of `LIVE` are about."""

    def __init__(self, runner: asyncio.Runner) -> None:
        self.runner = runner
        self.service = Service(Settings(port=0))
        runner.run(self.service.start())
        node = self.service._node
        assert node is not None
        self.node = node
        self.app = create_app(node)
        self.key = connection_string.parse(self.service.connection_string).access_key

    def call(self, case: schemathesis.Case) -> Response:
        request = requests.Request(**case.as_transport_kwargs(base_url=ORIGIN)).prepare()
        return self.runner.run(self._call(request))

    async def _call(self, request: requests.PreparedRequest) -> Response:
        hub = self.node.hub(LIVE["hub"])
        if LIVE["connection"] not in hub.connections:
            id, user = LIVE["connection"], LIVE["user"]
            source = EventSource(hub=hub.name, connection_id=id, origin="h", user_id=user)
            session = ServiceSession(id, Permissions(()), is_reliable=False)
            connection = Connection(session, source, form=kinds.JSON, subprotocol="json")
            hub.admit(connection, cast(Socket, QuietSocket()), [LIVE["group"]])
        path, _, query = request.path_url.partition("?")
        token = tokens.make_rest_token(self.key, url=ORIGIN + path, now=time.time(), life_s=60)
        body = request.body or b""
        body = body.encode() if isinstance(body, str) else body
        headers = {**request.headers, "Host": "push.test", "Authorization": f"Bearer {token}"}
        scope = {
            "type": "http",
            "method": request.method,
            "scheme": "http",
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "headers": [
                (name.lower().encode(), value if isinstance(value, bytes) else value.encode())
                for name, value in headers.items()
            ],
        }
        sent: list[Any] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: Any) -> None:
            sent.append(message)

        await self.app(scope, receive, send)
        start, *rest = sent
        answered: dict[str, list[str]] = {}
        for name, value in start["headers"]:
            answered.setdefault(name.decode(), []).append(value.decode())
        return Response(
            status_code=start["status"],
            headers=answered,
            content=b"".join(message["body"] for message in rest),
            request=request,
            elapsed=0.001,
            verify=False,
        )


@pytest.fixture(scope="module")
def caller() -> Iterator[Caller]:
    with asyncio.Runner() as runner:
        caller = Caller(runner)
        yield caller
        runner.run(caller.service.stop())


def run(operation: Any, mode: GenerationMode, check: Any) -> None:
    """Give `check` the cases of one operation at its bounds, then random ones; always the same."""
    print(f"seed {SEED}")
    config = SCHEMA.config.generation_for(operation=operation)
    for case in SCHEMA.iter_coverage_cases(
        operation, generation_modes=[mode], generation_config=config
    ):
        check(case, False)

    @hypothesis.seed(SEED)
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(operation.as_strategy(generation_mode=mode), st.booleans())
    def examine(case: schemathesis.Case, is_live: bool) -> None:
        check(case, is_live)

    examine()


@pytest.mark.parametrize("name", DESCRIBED)
def test_call_that_the_description_allows_is_taken_and_answered_as_described(
    caller: Caller, name: str
) -> None:
    def check(case: schemathesis.Case, is_live: bool) -> None:
        if is_live:
            case.path_parameters.update(
                {name: LIVE[name] for name in case.path_parameters if name in LIVE}
            )
        case.validate_response(caller.call(case), checks=ALWAYS)
        # What these hold is more than their schema can tell: without them all must be taken.
        for hard in ("filter", "continuationToken"):
            case.query.pop(hard, None)
            if isinstance(case.body, dict):
                case.body.pop(hard, None)
        taken = [*ALWAYS, checks.positive_data_acceptance]
        case.validate_response(caller.call(case), checks=taken)

    run(DESCRIBED[name], GenerationMode.POSITIVE, check)


@pytest.mark.parametrize("name", DESCRIBED)
def test_call_that_the_description_forbids_is_refused_as_described(
    caller: Caller, name: str
) -> None:
    def check(case: schemathesis.Case, is_live: bool) -> None:
        response = caller.call(case)
        case.validate_response(response, checks=[*ALWAYS, checks.negative_data_rejection])

    run(DESCRIBED[name], GenerationMode.NEGATIVE, check)
