"""Settings of pkgstats: one table, read from the environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

STARTER = ("@azure/web-pubsub-client", "@azure/web-pubsub", "express", "react", "ws")
MAX_STARTER = 20
MIN_KEY = 16


class InvalidSetting(ValueError):
    """A setting has a value that cannot be used; the text names the setting."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What `PKGSTATS_*` says; empty strings mean "not set"."""

    registry: str = ""
    downloads: str = ""
    replicate: str = ""
    npm_site: str = ""
    via: Literal["http", "npm"] = "http"
    images: Literal["off", "click", "direct"] = "click"
    starter: tuple[str, ...] = STARTER
    db: str = ""
    """Database file; empty: a file in the user's data folder (demo: a temporary one)."""
    world_day_s: float = 10.0
    """demo: seconds after which a day of the simulated world passes; 0: never by itself."""
    hubbub: str = ""
    """hubbub connection string; empty: an own hubbub on loopback."""
    curator: str = field(default="", repr=False)
    """Key of those who may post picks; empty: nobody may."""
    official_client: str = ""
    """Module file of another browser client, which `?client=official` uses; empty: none."""

    @classmethod
    def from_environ(cls, environ: Mapping[str, str] | None = None) -> Settings:
        """The settings of the environment; raises InvalidSetting."""
        environ = os.environ if environ is None else environ
        values: dict[str, object] = {}
        for item in fields(cls):
            text = environ.get(f"PKGSTATS_{item.name.upper()}")
            if text is not None:
                values[item.name] = _value(item.name, text.strip())
        return cls(**values)  # type: ignore[arg-type]

    def database(self) -> Path:
        """Where `serve` keeps its database."""
        if self.db:
            return Path(self.db)
        home = os.environ.get("XDG_DATA_HOME") or str(Path.home() / ".local" / "share")
        return Path(home) / "pkgstats" / "pkgstats.sqlite3"


def _value(name: str, text: str) -> object:
    if name == "via":
        return _one_of(name, text or "http", ("http", "npm"))
    if name == "images":
        return _one_of(name, text or "click", ("off", "click", "direct"))
    if name == "world_day_s":
        return _seconds(name, text)
    if name == "curator" and 0 < len(text) < MIN_KEY:
        raise InvalidSetting(f"PKGSTATS_CURATOR must have at least {MIN_KEY} characters")
    if name == "starter":
        names = tuple(part for part in text.replace(",", " ").split() if part)
        return names[:MAX_STARTER]
    if name in ("registry", "downloads", "replicate", "npm_site") and text:
        return base_url(f"PKGSTATS_{name.upper()}", text)
    return text


def _seconds(name: str, text: str) -> float:
    try:
        seconds = float(text)
    except ValueError as error:
        raise InvalidSetting(f"PKGSTATS_{name.upper()} must be a number") from error
    if not 0 <= seconds <= 86_400:
        raise InvalidSetting(f"PKGSTATS_{name.upper()} must be between 0 and 86400")
    return seconds


def _one_of(name: str, text: str, allowed: tuple[str, ...]) -> str:
    if text not in allowed:
        raise InvalidSetting(f"PKGSTATS_{name.upper()} must be one of {', '.join(allowed)}")
    return text


def base_url(setting: str, text: str) -> str:
    """A base address without trailing slash; refuses user, password and other schemes.

    The text itself is not repeated in the error: it may hold a password.
    """
    try:
        parts = urlsplit(text)
        host, _port = parts.hostname, parts.port
    except ValueError as error:
        raise InvalidSetting(f"{setting} is no address") from error
    if parts.scheme not in ("http", "https") or not host:
        raise InvalidSetting(f"{setting} must be an http or https address")
    if parts.username is not None or parts.password is not None:
        raise InvalidSetting(f"{setting} must not hold a user or a password")
    if parts.query or parts.fragment:
        raise InvalidSetting(f"{setting} must not hold a query or a fragment")
    return text.rstrip("/")
