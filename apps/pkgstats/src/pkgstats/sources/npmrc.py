"""Which registry is asked, and who said so: our setting, then the npm configuration.

Of npm's configuration only addresses and the way to reach them are read (`registry`,
`@scope:registry`, `cafile`, `https-proxy`, `proxy`): no token and no password. A registry that
wants a sign-in is asked through the npm client (PKGSTATS_VIA=npm).
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pkgstats import grammar
from pkgstats.settings import InvalidSetting, base_url

MAX_NPMRC = 64 * 1024
ASK_TIMEOUT_S = 15.0

_READ = ("registry", "cafile", "https-proxy", "proxy")
_SCOPE_KEY = re.compile(r"@([^:/]+):registry", re.IGNORECASE)
_VARIABLE = re.compile(r"(?<!\\)\$\{([^}?]+)\??\}")

AskNpm = Callable[[str], Awaitable[str | None]]
"""Key of npm's configuration → its value, None when npm does not tell."""


@dataclass(frozen=True, slots=True)
class Found:
    """A value and the words for where it stood."""

    value: str
    where: str


@dataclass(frozen=True, slots=True)
class NpmConfig:
    """What of the npm configuration concerns us; `registry` None: nothing is set anywhere."""

    registry: Found | None
    scopes: Mapping[str, Found] = field(default_factory=dict)
    cafile: str | None = None
    proxy: str | None = None

    def registry_of(self, name: str) -> Found | None:
        """The registry of a package: its scope's own one, else the usual one."""
        if name.startswith("@"):
            own = self.scopes.get(name[1:].partition("/")[0])
            if own is not None:
                return own
        return self.registry

    def is_public(self, name: str) -> bool:
        """False for names of a scope with a registry of its own."""
        return self.registry_of(name) is self.registry


async def find_config(
    setting: str,
    *,
    environ: Mapping[str, str] = os.environ,
    project: Path | None = None,
    home: Path | None = None,
    ask_npm: AskNpm | None = None,
) -> NpmConfig:
    """The configuration that holds; raises InvalidSetting for an address nobody should use.

    `setting` is PKGSTATS_REGISTRY ("" when not set). The first of our setting, the environment,
    the project's, the user's and the global `.npmrc` wins; npm itself is asked last.
    """
    layers = _layers(environ, project or Path.cwd(), home or Path.home())
    ask = ask_npm or ask_npm_client

    def first(key: str) -> Found | None:
        for values, where in layers:
            if value := values.get(key):
                return Found(value, f"{key} in {where}")
        return None

    registry = Found(setting, "PKGSTATS_REGISTRY") if setting else first("registry")
    if registry is None and (told := await ask("registry")):
        registry = Found(told, "npm config get registry")
    cafile = first("cafile")
    proxy = first("https-proxy") or first("proxy")
    return NpmConfig(
        registry=_checked(registry) if registry else None,
        scopes=_scopes(layers),
        cafile=cafile.value if cafile else None,
        proxy=proxy.value if proxy else None,
    )


async def ask_npm_client(key: str) -> str | None:
    """What `npm config get KEY` prints; None without npm or without a value."""
    npm = shutil.which("npm")
    if npm is None:
        return None
    process = await asyncio.create_subprocess_exec(
        npm,
        "config",
        "get",
        key,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with asyncio.timeout(ASK_TIMEOUT_S):
            output, _ = await process.communicate()
    except TimeoutError:
        return None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    text = output.decode("utf-8", "replace").strip()
    return text if process.returncode == 0 and text not in ("", "null", "undefined") else None


def read_npmrc(text: str, environ: Mapping[str, str]) -> dict[str, str]:
    """The keys of an `.npmrc` that concern us, `${NAME}` filled in; the rest is not even kept."""
    values: dict[str, str] = {}
    for line in text.splitlines():
        key, equals, value = line.partition("=")
        key, value = key.strip(), value.strip()
        if not equals or key.startswith((";", "#", "[")):
            continue
        if key not in _READ and not _SCOPE_KEY.fullmatch(key):
            continue
        if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'":
            value = value[1:-1]
        expanded = _expanded(value, environ)
        if expanded is not None:
            values[key] = expanded
    return values


def _expanded(value: str, environ: Mapping[str, str]) -> str | None:
    """None when a variable is not set: half an address is none."""
    names = _VARIABLE.findall(value)
    if any(name not in environ for name in names):
        return None
    return _VARIABLE.sub(lambda match: environ[match[1]], value)


def _layers(
    environ: Mapping[str, str], project: Path, home: Path
) -> list[tuple[Mapping[str, str], str]]:
    from_environ = {}
    for name, value in environ.items():
        if name.lower().startswith("npm_config_") and value:
            key = name[len("npm_config_") :].lower()
            from_environ[key if key.startswith("@") else key.replace("_", "-")] = value
    user = from_environ.get("userconfig")
    files = [
        (project / ".npmrc", "the project's .npmrc"),
        (Path(user) if user else home / ".npmrc", "the user's .npmrc"),
        (_global_file(from_environ), "the global npmrc"),
    ]
    layers: list[tuple[Mapping[str, str], str]] = [(from_environ, "the environment (npm_config_*)")]
    for path, where in files:
        text = _read_file(path)
        if text is not None:
            layers.append((read_npmrc(text, environ), where))
    return layers


def _global_file(from_environ: Mapping[str, str]) -> Path | None:
    if named := from_environ.get("globalconfig"):
        return Path(named)
    if prefix := from_environ.get("prefix"):
        return Path(prefix) / "etc" / "npmrc"
    node = shutil.which("node")
    return Path(node).parent.parent / "etc" / "npmrc" if node else None


def _read_file(path: Path | None) -> str | None:
    if path is None:
        return None
    try:
        with path.open("rb") as file:
            return file.read(MAX_NPMRC).decode("utf-8", "replace")
    except OSError:
        return None  # as npm does: a file that cannot be read is a file that is not there


def _scopes(layers: list[tuple[Mapping[str, str], str]]) -> dict[str, Found]:
    scopes: dict[str, Found] = {}
    for values, where in layers:
        for key, value in values.items():
            match = _SCOPE_KEY.fullmatch(key)
            if match and grammar.is_segment(match[1]) and match[1] not in scopes:
                scopes[match[1]] = _checked(Found(value, f"{key} in {where}"))
    return scopes


def _checked(found: Found) -> Found:
    try:
        return Found(base_url(found.where, found.value), found.where)
    except InvalidSetting as error:
        raise InvalidSetting(f"{error} (set PKGSTATS_REGISTRY to use another registry)") from error
