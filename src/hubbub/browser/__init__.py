"""The browser client: one ES module that any web server can hand out."""

from importlib.resources import files

__all__ = ["client_source"]


def client_source() -> bytes:
    """The text of the ES module, UTF-8; serve it as `text/javascript`."""
    return files(__name__).joinpath("hubbub.js").read_bytes()
