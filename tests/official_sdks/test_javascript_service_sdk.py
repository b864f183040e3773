"""`@azure/web-pubsub` 1.2.0, unmodified: all that it can do beside tokens and plain sends."""

from pathlib import Path

import pytest
import pytest_asyncio
from tests.official_sdks.conftest import NodeAnswer, run_node

from hubbub.service import Service

pytestmark = pytest.mark.node


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def js(service: Service) -> NodeAnswer:
    return await run_node("service.mjs", {"connectionString": service.connection_string})


def test_ra_039_ra_040_ra_044_sends_with_a_filter(js: NodeAnswer) -> None:
    js.check("filter")


def test_ra_052_ra_053_ra_054_ra_055_close(js: NodeAnswer) -> None:
    js.check("close")


def test_ra_056_ra_057_ra_058_existence(js: NodeAnswer) -> None:
    js.check("exists")


def test_ra_059_ra_060_ra_062_ra_063_ra_065_ra_066_groups(js: NodeAnswer) -> None:
    js.check("groups")


def test_ra_072_ra_074_ra_078_ra_079_cp_056_permissions(js: NodeAnswer) -> None:
    js.check("permissions")


def test_ra_081_ra_082_ra_085_ra_086_members_are_listed_page_by_page(js: NodeAnswer) -> None:
    js.check("list")


def test_every_scenario_of_the_script_is_checked(js: NodeAnswer) -> None:
    js.check_all_named_in(Path(__file__))
