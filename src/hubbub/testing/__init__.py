"""A kit to test programs that use hubbub: a real service in the test's own loop, and faults.

With pytest the fixture `hubbub` is there by itself (see `plugin`); without, use `Hub` directly.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hubbub.testing.checks import History
    from hubbub.testing.faults import FaultProxy
    from hubbub.testing.hub import Hub

__all__ = ["FaultProxy", "History", "Hub"]

_HOMES = {
    "FaultProxy": "hubbub.testing.faults",
    "History": "hubbub.testing.checks",
    "Hub": "hubbub.testing.hub",
}


def __getattr__(name: str) -> object:
    """Late, because pytest loads the plugin below this package in every run."""
    if name not in _HOMES:
        raise AttributeError(f"module 'hubbub.testing' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
