"""The pytest plugin: the fixture `hubbub` and the mark `virtual_time`.

    async def test_client_gets_what_it_missed(hubbub):
        async with hubbub.hub() as hub, hub.client(groups=["news"]) as client:
            async with client.messages() as messages:
                hub.cut()
                await hub.backend.send_to_group("news", "while it was away")
                assert (await anext(messages)).data == "while it was away"

Loaded by pytest itself in every run, so it loads hubbub only when used. The fixture itself is not
async, so it works with pytest-asyncio, anyio, or neither.
"""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from hubbub.testing.checks import History
    from hubbub.testing.clock import VirtualClock
    from hubbub.testing.hub import Hub


class Hubbub:
    """Services, clients, faults and time for one test."""

    def hub(
        self,
        name: str | None = None,
        *,
        event_handler: Any = None,
        settings: Mapping[str, Any] | None = None,
    ) -> "Hub":
        """A hub with a service of its own: `async with hubbub.hub() as hub`. See `Hub`."""
        from hubbub.testing.hub import Hub

        return Hub(name, event_handler=event_handler, settings=settings)

    def history(self) -> "History":
        """Tells what was lost, doubled or reordered. See `History`."""
        from hubbub.testing.checks import History

        return History()

    @property
    def clock(self) -> "VirtualClock":
        """The time of a test that is marked with `virtual_time`. See `VirtualClock`."""
        from hubbub.testing.clock import virtual_clock

        return virtual_clock()


@pytest.fixture
def hubbub() -> Hubbub:
    """Services, clients, faults and time for one test."""
    return Hubbub()


def pytest_configure(config: pytest.Config) -> None:
    text = "virtual_time: the event loop of this async test lets time pass at once (hubbub)"
    config.addinivalue_line("markers", text)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_generate_tests(metafunc: pytest.Metafunc) -> Iterator[None]:
    """A marked test gets its loop the way in which its async plugin takes one."""
    if metafunc.definition.get_closest_marker("virtual_time") is None:
        yield
        return
    from hubbub.testing.clock import VirtualTimeLoop

    if "anyio_backend" in metafunc.fixturenames:
        backend = ("asyncio", {"loop_factory": VirtualTimeLoop})
        _replace(metafunc, "anyio_backend", backend)
    if hasattr(metafunc.config.hook, "pytest_asyncio_loop_factories"):
        # For this one test only: with the hook there, pytest-asyncio would ask for every test.
        plugins = metafunc.config.pluginmanager
        chooser = _LoopChooser()
        plugins.register(chooser)
        try:
            yield
        finally:
            plugins.unregister(chooser)
        return
    if "event_loop_policy" in metafunc.fixturenames:  # pytest-asyncio before 1.4
        _replace(metafunc, "event_loop_policy", _virtual_policy())
    yield


class _LoopChooser:
    def pytest_asyncio_loop_factories(self, config: object, item: object) -> dict[str, Any]:
        from hubbub.testing.clock import VirtualTimeLoop

        return {"virtual": VirtualTimeLoop}


def _replace(metafunc: pytest.Metafunc, fixture: str, value: object) -> None:
    """In place of what the fixture would give; the test keeps its name."""
    hidden: Any = getattr(pytest, "HIDDEN_PARAM", "virtual")  # pytest 8.4
    metafunc.parametrize(fixture, [value], ids=[hidden], scope="function")


def _virtual_policy() -> object:
    import asyncio

    from hubbub.testing.clock import VirtualTimeLoop

    class Policy(asyncio.DefaultEventLoopPolicy):
        def new_event_loop(self) -> asyncio.AbstractEventLoop:
            return VirtualTimeLoop()

    return Policy()
