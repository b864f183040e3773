"""Settings from flags, environment and TOML file, in this order; every fault is found at once."""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from hubbub.protocol import names
from hubbub.protocol.errors import InvalidName, SettingsError
from hubbub.service.auth import keys_from_environment
from hubbub.service.settings import EventHandlerSettings, HubSettings, Settings
from hubbub.service.settings_table import (
    HANDLER_SETTINGS,
    HUB_SETTINGS,
    SETTINGS,
    TABLES,
    Setting,
    shown,
)
from hubbub.service.toml_lines import Path as TomlPath
from hubbub.service.toml_lines import TomlLines
from hubbub.service.upstream.choose import check_handler

_MAX_FILE_BYTES = 1_048_576
_HANDLER_KEYS = {row.key: row for row in HANDLER_SETTINGS}
_HUB_KEYS = {row.key: row for row in HUB_SETTINGS}


@dataclass(frozen=True, slots=True)
class Problem:
    """One fault. `key`: where in the settings, `line`: where in the file, if it comes from there."""

    key: str
    message: str
    line: int | None = None

    def __str__(self) -> str:
        place = f"line {self.line}: " if self.line is not None else ""
        return f"{place}{self.key}: {self.message}" if self.key else f"{place}{self.message}"


def load(
    file: Path | None = None,
    *,
    environ: Mapping[str, str],
    flags: Mapping[str, str | None] | None = None,
) -> Settings:
    """The settings, with keys from the environment; raises `SettingsError` with all faults.

    `flags`: command line texts by setting, for example `{"service.port": "80"}`; None = not given.
    """
    settings, problems = check(file, environ=environ, flags=flags)
    if problems:
        raise SettingsError([str(problem) for problem in problems])
    return settings


def check(
    file: Path | None = None,
    *,
    environ: Mapping[str, str],
    flags: Mapping[str, str | None] | None = None,
) -> tuple[Settings, list[Problem]]:
    """As `load`, with the faults as a list; the settings are to be used only when it is empty."""
    loader = _Loader(environ)
    if file is not None:
        loader.read_file(file)
    loader.read_environment()
    loader.read_flags(flags or {})
    return loader.finish(), loader.problems


class _Loader:
    """Collects values and faults, weakest source first."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.problems: list[Problem] = []
        self._environ = environ
        self._values: dict[str, Any] = {}
        self._hubs: dict[str, HubSettings] = {}
        self._lines = TomlLines("")
        self._token_variables: set[str] = set()

    # --- file --------------------------------------------------------------------------------

    def read_file(self, file: Path) -> None:
        document = self._parse(file)
        for table, content in document.items():
            if table == "hubs":
                self._read_hubs(content)
            elif table not in TABLES:
                self._unknown((table,), [*TABLES, "hubs"])
            elif isinstance(content, dict):
                self._read_table(table, content)
            else:
                self._fault((table,), f"expected a table [{table}], got {shown(content)}")

    def _parse(self, file: Path) -> dict[str, Any]:
        try:
            with file.open("rb") as stream:
                data = stream.read(_MAX_FILE_BYTES + 1)
        except OSError as error:
            self.problems.append(Problem("", f"cannot read {file}: {error.strerror}"))
            return {}
        if len(data) > _MAX_FILE_BYTES:
            self.problems.append(Problem("", f"{file} is larger than {_MAX_FILE_BYTES:,} bytes"))
            return {}
        try:
            text = data.decode()
            document = tomllib.loads(text)
        except UnicodeDecodeError as error:
            line = data[: error.start].count(b"\n") + 1
            self.problems.append(Problem("", "no valid UTF-8", line))
        except RecursionError:
            self.problems.append(Problem("", "no valid TOML: nested too deeply"))
        except tomllib.TOMLDecodeError as error:
            self.problems.append(_syntax_problem(str(error)))
        else:
            self._lines = TomlLines(text)
            return document
        return {}

    def _read_table(self, table: str, content: dict[str, Any]) -> None:
        rows = TABLES[table]
        for key, value in content.items():
            if key in rows:
                self._take(rows[key], (table, key), value, self._values, rows[key].path)
            else:
                self._unknown((table, key), rows)

    def _read_hubs(self, hubs: object) -> None:
        if not isinstance(hubs, dict):
            self._fault(("hubs",), "expected tables [hubs.NAME]")
            return
        for name, content in hubs.items():
            path = ("hubs", name)
            try:
                hub = names.hub_name(name)
            except InvalidName as error:
                self._fault(path, str(error))
                continue
            if hub in self._hubs:
                self._fault(path, "this hub has another table; upper and lower case are the same")
            elif isinstance(content, dict):
                self._hubs[hub] = self._read_hub(path, content)
            else:
                self._fault(path, f"expected a table [hubs.{name}], got {shown(content)}")

    def _read_hub(self, path: TomlPath, content: dict[str, Any]) -> HubSettings:
        values: dict[str, Any] = {}
        for key, value in content.items():
            if key == "event_handlers":
                values[key] = self._read_handlers((*path, key), value)
            elif key in _HUB_KEYS:
                self._take(_HUB_KEYS[key], (*path, key), value, values)
            else:
                self._unknown((*path, key), [*_HUB_KEYS, "event_handlers"])
        hub = HubSettings(**values)
        timeout_s = hub.web_socket_keep_alive_timeout_s
        if timeout_s is not None and timeout_s < hub.web_socket_keep_alive_interval_s:
            key = "web_socket_keep_alive_timeout_s"
            self._fault((*path, key), "must not be shorter than the keep-alive interval")
        return hub

    def _read_handlers(self, path: TomlPath, content: object) -> tuple[EventHandlerSettings, ...]:
        if not isinstance(content, list) or not all(isinstance(item, dict) for item in content):
            self._fault(path, f"expected tables [[{_dotted(path)}]]")
            return ()
        return tuple(self._read_handler((*path, place), item) for place, item in enumerate(content))

    def _read_handler(self, path: TomlPath, content: dict[str, Any]) -> EventHandlerSettings:
        known_before = len(self.problems)
        values: dict[str, Any] = {"url_template": ""}
        for key, value in content.items():
            if key == "auth":
                values["bearer_token_env"] = self._read_handler_auth((*path, key), value)
            elif key in _HANDLER_KEYS:
                self._take(_HANDLER_KEYS[key], (*path, key), value, values)
            else:
                self._unknown((*path, key), [*_HANDLER_KEYS, "auth"])
        if "url_template" not in content:
            self._fault((*path, "url_template"), "is missing")
        told = {problem.key for problem in self.problems[known_before:]}
        handler = EventHandlerSettings(**values)
        for fault in check_handler(handler):
            key, _, message = fault.partition(": ")
            if _dotted((*path, key)) not in told:
                self._fault((*path, key), message)
        return handler

    def _read_handler_auth(self, path: TomlPath, value: object) -> str | None:
        """The name of the variable with the bearer token, or None."""
        match value:
            case "none":
                return None
            case {"type": "bearer", "token_env": str(variable), **rest} if not rest:
                self._token_variables.add(variable)
                token = self._environ.get(variable, "")
                if not token:
                    self._fault(path, f"the environment variable {variable!r} is not set")
                elif not (token.isascii() and token.isprintable()) or token != token.strip():
                    self._fault(path, f"the value of {variable!r} cannot be a bearer token")
                return variable
        self._fault(path, 'expected "none" or {type = "bearer", token_env = "NAME"}')
        return None

    # --- environment and flags ---------------------------------------------------------------

    def read_environment(self) -> None:
        rows = {row.variable: row for row in SETTINGS}
        starts = tuple(f"HUBBUB_{table.upper()}_" for table in TABLES)
        for variable in sorted(self._environ):
            row = rows.get(variable)
            if row is not None:
                self._take_text(row, variable, self._environ[variable])
            elif variable.startswith(starts) and variable not in self._token_variables:
                message = "there is no such setting" + _hint(variable, rows)
                self.problems.append(Problem(variable, message))
        try:
            primary, secondary = keys_from_environment(self._environ)
        except SettingsError as error:
            for problem in error.problems:
                variable, _, message = problem.partition(": ")
                self.problems.append(Problem(variable, message))
        else:
            self._values["access_key"] = primary
            self._values["access_key_secondary"] = secondary

    def read_flags(self, flags: Mapping[str, str | None]) -> None:
        rows = {row.path: row for row in SETTINGS}
        for path, text in flags.items():
            if text is not None:
                self._take_text(rows[path], rows[path].flag, text)

    # --- together ----------------------------------------------------------------------------

    def finish(self) -> Settings:
        fields = {row.path: row.field for row in SETTINGS}
        values = {
            fields.get(path, path): value
            for path, value in self._values.items()
            if fields.get(path, path)
        }
        if values.get("public_endpoint"):
            values["public_endpoint"] = values["public_endpoint"].removesuffix("/")
        settings = replace(Settings(), hubs=self._hubs, **values)
        if settings.outbound_queue_bytes < settings.max_message_bytes:
            message = "must not be smaller than max_message_bytes"
            self._fault(("service", "outbound_queue_bytes"), message)
        if settings.reconnection_token_life_s < settings.recovery_window_s:
            message = "must not be shorter than recovery_window_s"
            self._fault(("service", "reconnection_token_life_s"), message)
        return settings

    def _take(
        self,
        row: Setting,
        path: TomlPath,
        value: object,
        values: dict[str, Any],
        name: str | None = None,
    ) -> None:
        try:
            values[name or row.field] = row.read(value)
        except ValueError as error:
            self._fault(path, str(error))

    def _take_text(self, row: Setting, name: str, text: str) -> None:
        try:
            self._values[row.path] = row.read_text(text)
        except ValueError as error:
            self.problems.append(Problem(name, str(error)))

    def _fault(self, path: TomlPath, message: str) -> None:
        self.problems.append(Problem(_dotted(path), message, self._lines.find(path)))

    def _unknown(self, path: TomlPath, known: Any) -> None:
        self._fault(path, "there is no such setting" + _hint(str(path[-1]), known))


def _hint(name: str, known: Any) -> str:
    matches = get_close_matches(name, list(known), n=1)
    return f"; do you mean {matches[0]}?" if matches else ""


def _dotted(path: TomlPath) -> str:
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}"
    return text.removeprefix(".")


def _syntax_problem(message: str) -> Problem:
    place = re.search(r" \(at line (\d+), column \d+\)$", message)
    line = int(place[1]) if place else None
    text = message[: place.start()] if place else message
    return Problem("", f"no valid TOML: {text}", line)
