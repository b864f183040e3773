"""Style, script and hubbub's browser client: read once, served with a name for each content."""

from __future__ import annotations

import gzip
import hashlib
import re
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response

from hubbub.browser import client_source

_TYPES = {
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
_NAMES = ("quality.js", "icon.svg")
_STYLES = ("tokens.css", "pkgstats.css")
"""Sent as one file: a page waits for its style, so it shall wait once."""
_SCRIPTS = {
    "page.js": ("page.js", "site.js"),
    "package.js": ("page.js", "package.js", "site.js"),
    "lists.js": ("page.js", "lists.js", "site.js"),
    "home.js": ("page.js", "lists.js", "home.js", "site.js"),
    "results.js": ("page.js", "lists.js", "results.js", "site.js"),
    "curator.js": ("page.js", "curator.js", "site.js"),
}
"""What a kind of page loads, and the files it is made of: one request, one scope."""


_REMARK = re.compile(r"([;,{(]) // [^\"'`]*$")


@dataclass(frozen=True, slots=True)
class StaticFile:
    content: bytes
    media_type: str
    version: str


class StaticFiles:
    """The few files of the pages, in memory."""

    def __init__(self, official_client: str = "") -> None:
        """`official_client`: path of a module that pages may load in the place of hubbub's own."""
        folder = resources.files("pkgstats.web") / "static"
        contents = {name: (folder / name).read_bytes() for name in _NAMES}
        contents["style.css"] = b"".join((folder / name).read_bytes() for name in _STYLES)
        for name, parts in _SCRIPTS.items():
            contents[name] = b"\n".join((folder / part).read_bytes() for part in parts)
        contents["hubbub.js"] = client_source()
        contents |= {n: _light(text) for n, text in contents.items() if n.endswith(".js")}
        if official_client:
            contents["official.js"] = Path(official_client).read_bytes()
        self._files = {
            name: StaticFile(content, _TYPES[name.rpartition(".")[2]], _version(content))
            for name, content in contents.items()
        }

    def address(self, name: str) -> str:
        """An address that changes with the content, so that it may be kept for ever."""
        return f"/static/{name}?v={self._files[name].version}"

    def has(self, name: str) -> bool:
        return name in self._files

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
    """A script without its comments and indentation: a fifth less to load.

    Holds for scripts that have no text over several lines; a test keeps ours that way. So behind
    a comment at the end of a line there is no quote: else it could be part of a text.
    """
    kept, in_comment = [], False
    for line in script.decode().splitlines():
        text = line.strip()
        if in_comment or text.startswith("/*"):
            in_comment = not text.endswith("*/")
        elif text and not text.startswith("//"):
            kept.append(_REMARK.sub(r"\1", text))
    return "\n".join(kept).encode() + b"\n"


def _version(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]
