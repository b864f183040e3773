"""The table of all settings: file, environment, flags, checks and docs are read from it."""

import json
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, Literal
from urllib.parse import urlsplit

from hubbub.service.settings import EventHandlerSettings, HubSettings, Settings

Kind = Literal["text", "int", "number", "bool", "texts", "numbers"]

_MAX_LIST_ITEMS = 10


@dataclass(frozen=True, slots=True)
class Setting:
    """One row. `field` "": the value is checked but nothing in this version reads it."""

    table: str
    key: str
    kind: Kind
    help: str
    default: Any
    field: str
    unit: str = ""
    low: float = 0
    high: float = 0
    choices: tuple[str, ...] = ()
    check: Callable[[Any], str] | None = None
    """Gives the fault of a value of the right type, or ""."""
    form: str = ""
    """What a right value looks like, where type and range do not tell."""
    flag: str = ""
    required: bool = False

    @property
    def path(self) -> str:
        return f"{self.table}.{self.key}"

    @property
    def variable(self) -> str:
        """Its environment variable."""
        return f"HUBBUB_{self.table}_{self.key}".upper()

    @property
    def expected(self) -> str:
        """What a right value looks like, in words."""
        if self.form:
            return self.form
        if self.choices:
            names = " or ".join(f'"{choice}"' for choice in self.choices)
            return f"a list of {names}" if self.kind == "texts" else names
        span = f" from {self.low:g} to {_digits(self.high)}" if self.high else ""
        unit = f" {self.unit}" if self.unit else ""
        match self.kind:
            case "int":
                return f"a whole number{span}{unit}"
            case "number":
                return f"a number{span}{unit}"
            case "numbers":
                return f"a list of at most {_MAX_LIST_ITEMS} numbers{span}{unit}"
            case "bool":
                return "true or false"
            case "texts":
                return "a list of texts"
            case "text":
                return "a text"

    def read(self, value: object) -> Any:
        """The value as the settings keep it; ValueError with a sentence when it is wrong."""
        match self.kind, value:
            case ("bool", bool()) | ("text", str()):
                result: Any = value
            case ("int" | "number", bool()):
                raise ValueError(self._wrong(value))
            case ("int", int()) | ("number", int() | float()):
                result = self._in_range(value)
            case ("texts", list()) if all(isinstance(item, str) for item in value):
                result = tuple(value)
            case ("numbers", list()) if _are_numbers(value) and len(value) <= _MAX_LIST_ITEMS:
                result = tuple(self._in_range(item) for item in value)
            case _:
                raise ValueError(self._wrong(value))
        if self.choices:
            chosen = result if isinstance(result, tuple) else (result,)
            if any(item not in self.choices for item in chosen):
                raise ValueError(self._wrong(value))
        fault = self.check(result) if self.check else ""
        if fault:
            raise ValueError(fault)
        return result

    def read_text(self, text: str) -> Any:
        """The same for a value that comes as text: environment and flags."""
        value: object = text
        try:
            if self.kind == "bool":
                value = {"true": True, "1": True, "false": False, "0": False}[text.lower()]
            elif self.kind == "int":
                value = int(text)
            elif self.kind == "number":
                value = float(text)
        except (KeyError, ValueError):
            raise ValueError(self._wrong(text)) from None
        return self.read(value)

    def _in_range(self, number: Any) -> Any:
        # Written so that "not a number", which compares false with everything, is refused.
        if not self.low <= number <= self.high:
            raise ValueError(self._wrong(number))
        return number

    def _wrong(self, value: object) -> str:
        return f"expected {self.expected}, got {shown(value)}"


def shown(value: object) -> str:
    """A value as TOML writes it; a long one is cut."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 100 else text[:100] + "…"


def _digits(number: float) -> str:
    return f"{number:,.0f}" if number == int(number) else str(number)


def _are_numbers(items: list[Any]) -> bool:
    return all(isinstance(item, int | float) and not isinstance(item, bool) for item in items)


def address_fault(url: str) -> str:
    """What is wrong with the base address of a service, or ""."""
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - reading it checks it
    except ValueError as error:
        return f"no valid address: {error}"
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return f'expected an address like "https://chat.example", got {shown(url)}'
    if parts.path not in ("", "/") or parts.query or parts.fragment or parts.username is not None:
        return "expected only scheme, host and port, without path, query or user"
    return ""


def issuer_fault(address: str, *, may_query: bool = False) -> str:
    """What is wrong with the address of an issuer, or "". Keys must not come over an open line."""
    try:
        parts = urlsplit(address)
        parts.port  # noqa: B018 - reading it checks it
    except ValueError as error:
        return f"no valid address: {error}"
    is_local = parts.hostname in ("localhost", "127.0.0.1", "::1")
    if not parts.hostname or parts.scheme not in (("http", "https") if is_local else ("https",)):
        return 'expected an address like "https://id.example"; http only on this machine'
    if (parts.query and not may_query) or parts.fragment or parts.username is not None:
        return "expected only scheme, host and path, without query or user"
    return ""


def _engine_fault(url: str) -> str:
    if url == "memory:":
        return ""
    if url.startswith("nats:"):
        return 'comes with the NATS engine, not in this version; use "memory:"'
    return f'expected "memory:", got {shown(url)}'


def _not_yet(default: object, what: str) -> Callable[[Any], str]:
    """Refuses every value but the default of a setting whose feature is not in this version."""

    def fault(value: Any) -> str:
        return "" if value == default else f"comes with {what}, not in this version"

    return fault


_DAY_S = 24 * 3600
_LARGEST_MESSAGE_BYTES = 64 * 1_048_576
_DEFAULTS = Settings()


def _row(table: str, key: str, kind: Kind, help: str, *, field: str = "", **rest: Any) -> Setting:
    """A row whose value goes to a field of `Settings`, which also holds the default."""
    field = field or key
    default = getattr(_DEFAULTS, field)
    return Setting(table, key, kind, help, default=default, field=field, **rest)


def _future(table: str, key: str, kind: Kind, help: str, default: object, **rest: Any) -> Setting:
    """A row that nothing reads yet."""
    return Setting(table, key, kind, help, default=default, field="", **rest)


SETTINGS: tuple[Setting, ...] = (
    _row("service", "host", "text", "Address to listen on.", flag="--host",
         check=lambda host: "" if host.strip() else "expected a host name or an address"),
    _row("service", "port", "int", "Port to listen on; 0 = any free one.", high=65_535, flag="--port"),
    _row("service", "public_endpoint", "text",
         "Base address that clients see, for example behind a proxy: accepted in tokens, used in"
         " addresses that the service makes.", check=address_fault,
         form='an address like "https://chat.example"'),
    _row("service", "trust_forwarded_headers", "bool",
         "Take scheme and host of a request from `X-Forwarded-Proto` and `X-Forwarded-Host`."
         " Only behind a proxy that sets them."),
    _row("service", "max_connections", "int",
         "Connections of this node; above it a client is answered 429. 0 = no limit.", high=10_000_000),
    _row("service", "max_message_bytes", "int", "Largest WebSocket message or REST body.",
         unit="bytes", low=1, high=_LARGEST_MESSAGE_BYTES),
    _row("service", "outbound_queue_messages", "int",
         "Messages that may wait for one connection, or stay unacknowledged by a reliable one;"
         " a slower client is closed with 1008.", low=1, high=1_000_000),
    _row("service", "outbound_queue_bytes", "int", "The same, in bytes.",
         unit="bytes", low=1, high=1024 * 1_048_576),
    _row("service", "recovery_window_s", "number", "How long a lost reliable session lives.",
         unit="seconds", high=_DAY_S),
    _row("service", "reconnection_token_life_s", "number", "Life of a reconnection token.",
         unit="seconds", low=1, high=90 * _DAY_S),
    _row("service", "ack_id_memory", "int",
         "Latest successful ack ids that are remembered per connection.", low=1, high=1_000_000),
    _row("service", "clock_skew_s", "number", "Tolerance for the times in a token.",
         unit="seconds", high=3600),
    _row("service", "max_groups_per_connection", "int",
         "Groups of a connection; above it the client's own joins fail, those over REST do not.",
         low=1, high=1_000_000),
    _row("service", "max_streams_per_connection", "int",
         "Active group streams of one connection.", low=1, high=10_000),
    _row("service", "max_invocations_per_connection", "int",
         "Pending `invoke` calls of one connection.", low=1, high=10_000),
    _row("service", "drain_timeout_s", "number",
         "How long a stopping service lets clients and calls come to an end.",
         unit="seconds", high=3600),
    _row("service", "close_flush_timeout_s", "number",
         "How long a connection that is being closed may take to read what is queued for it.",
         unit="seconds", high=600),
    _future("service", "compression", "bool", "Negotiate permessage-deflate.", False,
            check=_not_yet(False, "compression")),
    _row("engine", "url", "text", "What carries messages between nodes.", field="engine_url",
         check=_engine_fault, form='"memory:"'),
    _row("compat", "strict_json_frames", "bool",
         "Close a JSON client that sends a binary frame with 1003 instead of reading it."),
    _row("compat", "strict_path_decoding", "bool",
         "Leave `%2F` in REST paths as it is, like the official service."),
    _row("compat", "drop_on_event_failure", "bool",
         "Close every client with 1011 when its event fails."),
    _row("compat", "generate_token_requires_entra", "bool",
         "Refuse `:generateToken` calls that are signed with the access key; tokens of the"
         " `oidc_issuer` may make them."),
    _row("compat", "protobuf_json_field", "text",
         "The field in which JSON data reaches protobuf clients. `json_data` is not in the official"
         " documentation, but it tells JSON from text.",
         choices=("text_data", "json_data")),
    _row("auth", "oidc_issuer", "text",
         "Identity provider (OpenID Connect) whose tokens REST calls may carry instead of key-signed"
         " ones, as its tokens name it in `iss`. Whoever gets a token for our audience from it may make"
         " every call. Needs `hubbub[oidc]`.", check=issuer_fault,
         form='an address like "https://id.example"'),
    _row("auth", "oidc_audience", "text", "What such a token must have in `aud`.",
         check=lambda audience: "" if audience else "expected a text that is not empty"),
    _future("observe", "dashboard", "bool", "The dashboard.", True),
    _future("observe", "metrics", "bool", "The metrics route.", True),
    _row("observe", "log_level", "text", "Least severe log lines that are written.",
         choices=("debug", "info", "warning", "error")),
    _row("observe", "log_format", "text", "Lines for people or one JSON object per line.",
         choices=("text", "json")),
)  # fmt: skip

_HUB = HubSettings()

HUB_SETTINGS: tuple[Setting, ...] = (
    Setting("hubs.NAME", "anonymous_connect_policy", "text",
            "Whether a client without a token may come in, without roles.",
            _HUB.anonymous_connect_policy, "anonymous_connect_policy", choices=("deny", "allow")),
    Setting("hubs.NAME", "web_socket_keep_alive_interval_s", "number",
            "Time between two WebSocket pings.", _HUB.web_socket_keep_alive_interval_s,
            "web_socket_keep_alive_interval_s", unit="seconds", low=1, high=120),
    Setting("hubs.NAME", "web_socket_keep_alive_timeout_s", "number",
            "How long a client may be silent before it counts as lost; three intervals when not"
            " set.", None, "web_socket_keep_alive_timeout_s", unit="seconds", low=1, high=3600),
)  # fmt: skip

_HANDLER = {f.name: f.default for f in fields(EventHandlerSettings)}

HANDLER_SETTINGS: tuple[Setting, ...] = (
    Setting("hubs.NAME.event_handlers", "url_template", "text",
            "Where events go; `{hub}` and `{event}` are replaced.", None, "url_template",
            required=True),
    Setting("hubs.NAME.event_handlers", "user_event_pattern", "text",
            "User events that this handler takes: `*`, a name, or names with commas.",
            _HANDLER["user_event_pattern"], "user_event_pattern"),
    Setting("hubs.NAME.event_handlers", "system_events", "texts",
            "System events that this handler takes.", _HANDLER["system_events"], "system_events",
            choices=("connect", "connected", "disconnected")),
    Setting("hubs.NAME.event_handlers", "timeout_s", "number",
            "Time for one call, its repeats included.", _HANDLER["timeout_s"], "timeout_s",
            unit="seconds", low=0.1, high=3600),
    Setting("hubs.NAME.event_handlers", "retry_pauses_s", "numbers",
            "Pauses before a failed call is repeated; `[]` = never.", _HANDLER["retry_pauses_s"],
            "retry_pauses_s", unit="seconds", high=300),
    Setting("hubs.NAME.event_handlers", "validate", "text",
            "When the handler is asked whether it wants events of this service: before the first"
            " event, at the start of the service, or never.", _HANDLER["validate"], "validate",
            choices=("lazy", "start", "off")),
)  # fmt: skip

HANDLER_AUTH_HELP = (
    '`"none"`, or `{type = "bearer", token_env = "NAME"}`: the handler gets'
    " `Authorization: Bearer` with the value of that environment variable."
)

TABLES: dict[str, dict[str, Setting]] = {}
for _setting in SETTINGS:
    TABLES.setdefault(_setting.table, {})[_setting.key] = _setting
