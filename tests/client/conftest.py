"""A real service, a backend that sends into it, and a proxy that cuts links."""

from collections.abc import AsyncIterator

import pytest
from tests.official_sdks.proxy import CuttingProxy

from hubbub.appserver import ServiceClient
from hubbub.service import Service, Settings

ROLES = ("webpubsub.joinLeaveGroup", "webpubsub.sendToGroup")


class Near:
    """A service behind a proxy. `url()` is a fresh Client Access URL through the proxy."""

    def __init__(self, service: Service, backend: ServiceClient, proxy: CuttingProxy) -> None:
        self.service = service
        self.backend = backend
        self.proxy = proxy
        self.asked = 0

    def url(
        self, *, roles: tuple[str, ...] = ROLES, user_id: str | None = "u1", minutes: int = 60
    ) -> str:
        self.asked += 1
        # Clients see the proxy's address only, so their tokens are made for it.
        text = self.proxy.through(self.service.connection_string)
        tokens = ServiceClient.from_connection_string(text, "chat")
        return tokens.get_client_access_token(
            user_id=user_id, roles=roles, minutes_to_expire=minutes
        ).url


@pytest.fixture
async def settings() -> Settings:
    return Settings(port=0)


@pytest.fixture
async def near(settings: Settings) -> AsyncIterator[Near]:
    async with Service(settings) as service, CuttingProxy(service.url) as proxy:
        text = service.connection_string
        async with ServiceClient.from_connection_string(text, "chat") as backend:
            yield Near(service, backend, proxy)
