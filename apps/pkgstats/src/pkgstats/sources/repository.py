"""Repository addresses: every spelling a manifest uses becomes one link for people."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

_SHORT_HOSTS = {
    "": "https://github.com/",
    "github": "https://github.com/",
    "gitlab": "https://gitlab.com/",
    "bitbucket": "https://bitbucket.org/",
    "gist": "https://gist.github.com/",
}
_SHORT = re.compile(r"(?:(github|gitlab|bitbucket|gist):)?([\w.-]+(?:/[\w.-]+)*)")
_SCP = re.compile(r"(?:[\w.-]+@)?([A-Za-z0-9.-]+\.[A-Za-z]+):(?!//)(?:\d+/)?([^\s:]+)")
_PATH = re.compile(r"[\w.~/%+-]+")
_SCHEMES = ("http", "https", "git", "ssh", "git+https", "git+http", "git+ssh", "git+git")


def repository_link(value: object) -> str | None:
    """The web address of a repository field, or None; user, port of ssh and `.git` are cut."""
    text = _url(value)
    if not text:
        return None
    if "://" in text:
        return _from_url(text)
    if scp := _SCP.fullmatch(text):
        return _joined(f"https://{scp[1]}", scp[2])
    if short := _SHORT.fullmatch(text.partition("#")[0]):
        if not short[1] and short[2].count("/") != 1:
            return None
        return _joined(_SHORT_HOSTS[short[1] or ""].rstrip("/"), short[2])
    return None


def repository_directory(value: object) -> str | None:
    """The folder of the package in its repository; a path that leaves it is none."""
    directory = value.get("directory") if isinstance(value, dict) else None
    if not isinstance(directory, str):
        return None
    directory = directory.removeprefix("./").strip("/")
    if not _PATH.fullmatch(directory) or ".." in directory.split("/") or len(directory) > 300:
        return None
    return directory


def file_base(repo_url: str, *, raw: bool) -> str:
    """The address under which the repository's host shows (or, raw, hands out) its files."""
    host = urlsplit(repo_url).hostname or ""
    if "gitlab" in host:
        return f"{repo_url}/-/{'raw' if raw else 'blob'}/HEAD/"
    if "bitbucket" in host:
        return f"{repo_url}/{'raw' if raw else 'src'}/HEAD/"
    return f"{repo_url}/{'raw' if raw else 'blob'}/HEAD/"


def _url(value: object) -> str:
    if isinstance(value, list) and value:
        value = value[0]
    if isinstance(value, dict):
        value = value.get("url")
    return value.strip() if isinstance(value, str) and len(value) <= 500 else ""


def _from_url(text: str) -> str | None:
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError:
        # git+ssh://git@host:owner/name: the "port" is a folder.
        scp = _SCP.fullmatch(text.partition("://")[2])
        return _joined(f"https://{scp[1]}", scp[2]) if scp else None
    if parts.scheme not in _SCHEMES or not host or not re.fullmatch(r"[a-z0-9.-]+", host):
        return None
    is_web = parts.scheme.endswith(("http", "https")) and port is not None
    return _joined(f"https://{host}:{port}" if is_web else f"https://{host}", parts.path)


def _joined(base: str, path: str) -> str | None:
    path = path.partition("#")[0].strip("/").removesuffix(".git")
    if not _PATH.fullmatch(path) or ".." in path.split("/"):
        return None
    return f"{base}/{path}"
