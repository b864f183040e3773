"""npm package discovery and stats viewer whose pages change by themselves."""

__version__ = "0.1.0"
