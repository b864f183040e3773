"""Recording packages for `data/`: facts only, in the shape of the files that are there.

Authors, maintainers, scripts and whatever looks like a mail address are left out, and the
registry's own address is replaced by a placeholder.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pkgstats.sources.slim import without_mail

MAX_RECORDED = 5

_FACTS = (
    "name",
    "version",
    "description",
    "keywords",
    "license",
    "licenses",
    "repository",
    "homepage",
    "main",
    "module",
    "type",
    "types",
    "typings",
    "exports",
    "bin",
    "engines",
    "dependencies",
    "peerDependencies",
    "optionalDependencies",
    "deprecated",
)
_DIST = ("integrity", "shasum", "tarball", "unpackedSize", "fileCount")


def recording(body: Mapping[str, Any]) -> dict[str, Any]:
    """A packument as it is recorded."""
    return {
        "_id": body["name"],
        "name": body["name"],
        "dist-tags": _clean(body.get("dist-tags") or {}),
        "versions": {version: _facts(item) for version, item in body["versions"].items()},
        "time": _clean(body.get("time") or {}),
    }


def write_recording(body: Mapping[str, Any], folder: Path) -> Path:
    """Write the recording of a packument; returns the file."""
    name = str(body["name"]).removeprefix("@").replace("/", "-")
    path = folder / f"{name}.json"
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(recording(body), indent=1, ensure_ascii=False)
    path.write_text(text + "\n", "utf-8")
    return path


def _facts(manifest: Mapping[str, Any]) -> dict[str, Any]:
    kept = {key: _clean(manifest[key]) for key in _FACTS if key in manifest}
    dist = manifest.get("dist")
    if isinstance(dist, dict):
        kept["dist"] = {key: dist[key] for key in _DIST if key in dist}
        path = urlsplit(str(dist.get("tarball", ""))).path
        kept["dist"]["tarball"] = "{REGISTRY}" + path
    return kept


def _clean(value: Any) -> Any:
    """Without what looks like a mail address; `git@host:` becomes a placeholder."""
    if isinstance(value, dict):
        return {key: _clean(item) for key, item in value.items() if key not in ("email", "author")}
    if isinstance(value, list):
        return [_clean(item) for item in value]
    if isinstance(value, str):
        return without_mail(value.replace("git@", "git{AT}"))
    return value
