"""The pytest plugin: the fixture `hubbub`. Loaded by pytest itself; loads hubbub when used.

    async def test_client_gets_what_it_missed(hubbub):
        async with hubbub.hub() as hub, hub.client(groups=["news"]) as client:
            async with client.messages() as messages:
                hub.cut()
                await hub.backend.send_to_group("news", "while it was away")
                assert (await anext(messages)).data == "while it was away"

The fixture itself is not async, so it works with pytest-asyncio, anyio, or neither.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from hubbub.testing.checks import History
    from hubbub.testing.hub import Hub


class Hubbub:
    """What the fixture `hubbub` is."""

    def hub(
        self,
        name: str | None = None,
        *,
        event_handler: str | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> "Hub":
        """A hub with a service of its own: `async with hubbub.hub() as hub`. See `Hub`."""
        from hubbub.testing.hub import Hub

        return Hub(name, event_handler=event_handler, settings=settings)

    def history(self) -> "History":
        """Tells what was lost, doubled or reordered. See `History`."""
        from hubbub.testing.checks import History

        return History()


@pytest.fixture
def hubbub() -> Hubbub:
    """Services, clients and faults for one test."""
    return Hubbub()
