"""A crowd of clients and a network that breaks, for as long as you like: `python -m hubbub.testing.soak`."""

from hubbub.testing.soak.run import Options, Report, run

__all__ = ["Options", "Report", "run"]
