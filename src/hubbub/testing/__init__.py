"""A kit to test programs that use hubbub: a real service in the test's own loop, and faults.

With pytest the fixture `hubbub` and the mark `virtual_time` are there by themselves (see `plugin`);
without, use `Hub` and `run_virtual` directly.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hubbub.testing.checks import History
    from hubbub.testing.clock import VirtualClock, VirtualTimeLoop, run_virtual, virtual_clock
    from hubbub.testing.expect import ExpectedEvent, eventually, expect_event
    from hubbub.testing.fake_peer import FakePeer
    from hubbub.testing.fake_service import FakeService
    from hubbub.testing.faults import FaultProxy
    from hubbub.testing.handler import HandlerServer
    from hubbub.testing.hub import Hub

__all__ = [
    "ExpectedEvent",
    "FakePeer",
    "FakeService",
    "FaultProxy",
    "HandlerServer",
    "History",
    "Hub",
    "VirtualClock",
    "VirtualTimeLoop",
    "eventually",
    "expect_event",
    "run_virtual",
    "virtual_clock",
]

_HOMES = {
    "ExpectedEvent": "expect",
    "FakePeer": "fake_peer",
    "FakeService": "fake_service",
    "FaultProxy": "faults",
    "HandlerServer": "handler",
    "History": "checks",
    "Hub": "hub",
    "VirtualClock": "clock",
    "VirtualTimeLoop": "clock",
    "eventually": "expect",
    "expect_event": "expect",
    "run_virtual": "clock",
    "virtual_clock": "clock",
}


def __getattr__(name: str) -> object:
    """Late, because pytest loads the plugin below this package in every run."""
    if name not in _HOMES:
        raise AttributeError(f"module 'hubbub.testing' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"hubbub.testing.{_HOMES[name]}"), name)
