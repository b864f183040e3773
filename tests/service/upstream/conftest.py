"""A real event handler on loopback, a service side that calls it, and time under control."""

from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import pytest
from tests.wire.upstream_helpers import RecordingHandler

from hubbub.service.settings import EventHandlerSettings, HubSettings, Settings
from hubbub.service.upstream import EventSource, Upstream

KEYS = ("primary-key-primary-key-primary-key-0000", "secondary-key-secondary-key-0000000000")

MakeUpstream = Callable[..., Coroutine[Any, Any, Upstream]]


class Time:
    """A clock that only moves when told to, or when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 1_767_225_600.0
        self.pauses: list[float] = []

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
async def handler() -> AsyncIterator[RecordingHandler]:
    async with RecordingHandler() as handler:
        yield handler


@pytest.fixture
async def make_upstream(handler: RecordingHandler, time: Time) -> AsyncIterator[MakeUpstream]:
    """Upstream of hub `chat`; keywords are handler settings, `upstream` goes to `Upstream`."""
    made: list[Upstream] = []

    async def make(
        *others: EventHandlerSettings,
        upstream: dict[str, Any] | None = None,
        public_endpoint: str | None = None,
        **settings: Any,
    ) -> Upstream:
        values: dict[str, Any] = {
            "url_template": f"{handler.url}/eh/{{hub}}/{{event}}",
            "user_event_pattern": "*",
            "system_events": ("connect", "connected", "disconnected"),
        }
        handlers = (*others, EventHandlerSettings(**(values | settings)))
        one = Upstream(
            Settings(
                hubs={"chat": HubSettings(event_handlers=handlers)},
                public_endpoint=public_endpoint,
            ),
            KEYS,
            clock=time,
            monotonic=time,
            sleep=time.sleep,
            **(upstream or {}),
        )
        await one.open()
        made.append(one)
        return one

    yield make
    for one in made:
        await one.close()


@pytest.fixture
def source() -> EventSource:
    return EventSource(hub="chat", connection_id="c1", origin="service.example", user_id="alice")
