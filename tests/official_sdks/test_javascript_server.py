"""`@azure/web-pubsub` 1.2.0, unmodified: its tokens and sends, received by real clients."""

from pathlib import Path

import pytest
import pytest_asyncio
from tests.official_sdks.conftest import NodeAnswer, run_node

from hubbub.service import Service

pytestmark = pytest.mark.node


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def js(service: Service) -> NodeAnswer:
    settings = {
        "connectionString": service.connection_string,
        "url": service.url,
        "hub": "JavaScript",
    }
    return await run_node("server.mjs", settings)


def test_token_carries_user_groups_and_roles(js: NodeAnswer) -> None:
    js.check("token")


def test_token_made_with_a_key_credential_lets_in(js: NodeAnswer) -> None:
    js.check("tokenByKey")


def test_cp_042_send_to_connection(js: NodeAnswer) -> None:
    js.check("sendToConnection")


def test_send_to_user(js: NodeAnswer) -> None:
    js.check("sendToUser")


def test_cp_041_send_to_group(js: NodeAnswer) -> None:
    js.check("sendToGroup")


def test_send_to_all(js: NodeAnswer) -> None:
    js.check("sendToAll")


def test_wrong_key_is_refused(js: NodeAnswer) -> None:
    js.check("wrongKey")


def test_every_scenario_of_the_script_is_checked(js: NodeAnswer) -> None:
    js.check_all_named_in(Path(__file__))
