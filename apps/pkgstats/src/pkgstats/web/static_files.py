"""Style, script and hubbub's browser client: read once, served with a name for each content."""

from __future__ import annotations

import gzip
import hashlib
from dataclasses import dataclass
from importlib import resources

from starlette.requests import Request
from starlette.responses import Response

from hubbub.browser import client_source

_TYPES = {
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
_NAMES = ("page.js", "site.js", "quality.js", "icon.svg")
_STYLES = ("tokens.css", "pkgstats.css")
"""Sent as one file: a page waits for its style, so it shall wait once."""


@dataclass(frozen=True, slots=True)
class StaticFile:
    content: bytes
    media_type: str
    version: str


class StaticFiles:
    """The few files of the pages, in memory."""

    def __init__(self) -> None:
        folder = resources.files("pkgstats.web") / "static"
        contents = {name: (folder / name).read_bytes() for name in _NAMES}
        contents["style.css"] = b"".join((folder / name).read_bytes() for name in _STYLES)
        contents["hubbub.js"] = client_source()
        contents |= {n: _light(text) for n, text in contents.items() if n.endswith(".js")}
        self._files = {
            name: StaticFile(content, _TYPES[name.rpartition(".")[2]], _version(content))
            for name, content in contents.items()
        }

    def address(self, name: str) -> str:
        """An address that changes with the content, so that it may be kept for ever."""
        return f"/static/{name}?v={self._files[name].version}"

    def packed_size(self, name: str) -> int:
        """Bytes of the file as it travels."""
        return len(gzip.compress(self._files[name].content, mtime=0))

    def answer(self, request: Request) -> Response | None:
        """The file of the path's last part; None: there is none."""
        file = self._files.get(request.path_params["name"])
        if file is None:
            return None
        is_current = request.query_params.get("v") == file.version
        headers = {
            "cache-control": "public, max-age=31536000, immutable" if is_current else "no-cache",
            "etag": f'W/"{file.version}"',
        }
        if request.headers.get("if-none-match") == headers["etag"]:
            return Response(status_code=304, headers=headers)
        return Response(file.content, headers=headers, media_type=file.media_type)


def _light(script: bytes) -> bytes:
    """A script without its comment lines and indentation: a fifth less to load.

    Holds for scripts whose comments stand on lines of their own and that have no text over
    several lines; a test keeps ours that way.
    """
    kept, in_comment = [], False
    for line in script.decode().splitlines():
        text = line.strip()
        if in_comment or text.startswith("/*"):
            in_comment = not text.endswith("*/")
        elif text and not text.startswith("//"):
            kept.append(text)
    return "\n".join(kept).encode() + b"\n"


def _version(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]
