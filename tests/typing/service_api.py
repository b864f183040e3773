"""The service embedded by a stranger: only type-checked, never run."""

import asyncio
from collections.abc import Mapping
from typing import assert_type

from hubbub import HubbubError
from hubbub.service import (
    EventHandlerSettings,
    HubSettings,
    Service,
    ServiceStateError,
    Settings,
    freeze_garbage,
    local_access_key,
)


def settings() -> Settings:
    handler = EventHandlerSettings(
        "http://127.0.0.1:3000/events?hub={hub}",
        user_event_pattern="*",
        system_events=("connect", "disconnected"),
        timeout_s=5,
        retry_pauses_s=(),
    )
    hubs: Mapping[str, HubSettings] = {
        "chat": HubSettings(
            anonymous_connect_policy="allow",
            web_socket_keep_alive_interval_s=0.5,
            event_handlers=(handler,),
        )
    }
    return Settings(port=0, hubs=hubs, access_key=local_access_key(), recovery_window_s=2.5)


async def with_block() -> None:
    async with Service(settings()) as service:
        assert_type(service, Service)
        assert_type(service.url, str)
        assert_type(service.connection_string, str)
        assert_type(service.counts, dict[str, int])
        assert_type(service.settings.hub("chat").anonymous_connect_policy, str)


async def by_hand() -> None:
    service = Service(now=lambda: 0.0)
    try:
        assert_type(await service.start(), None)
    except ServiceStateError as error:
        assert_type(error.code, str)
        assert_type(error.retryable, bool)
        raise
    assert_type(service.reload(settings()), tuple[str, ...])
    await service.drain()
    await service.stop()


def what_is_refused() -> None:
    Service("memory:")  # type: ignore[arg-type]
    Settings(port="8080")  # type: ignore[arg-type]
    Settings(prot=8080)  # type: ignore[call-arg]
    HubSettings(event_handlers=[])  # type: ignore[arg-type]
    Settings().port = 1  # type: ignore[misc]


def main() -> None:
    freeze_garbage()
    try:
        asyncio.run(with_block())
    except HubbubError as error:
        print(error.code)
