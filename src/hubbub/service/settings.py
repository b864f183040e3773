"""Settings of a service: one table, from which file, environment, flags and docs are read."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from hubbub.protocol import limits


@dataclass(frozen=True, slots=True)
class EventHandlerSettings:
    """One `[[hubs.NAME.event_handlers]]` table; the first that matches an event gets it."""

    url_template: str
    user_event_pattern: str = ""
    system_events: tuple[str, ...] = ()
    bearer_token_env: str | None = None
    timeout_s: float = 100
    retry_pauses_s: tuple[float, ...] = (1, 3, 5)
    validate: str = "lazy"


@dataclass(frozen=True, slots=True)
class HubSettings:
    anonymous_connect_policy: str = "deny"
    web_socket_keep_alive_interval_s: float = limits.KEEP_ALIVE_INTERVAL_S
    web_socket_keep_alive_timeout_s: float | None = None
    """None = three intervals."""
    event_handlers: tuple[EventHandlerSettings, ...] = ()


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything a service needs to know. Keys are never in a file, a flag or a `repr`."""

    host: str = "127.0.0.1"
    port: int = 8080
    public_endpoint: str | None = None
    trust_forwarded_headers: bool = False
    max_connections: int = 0
    max_message_bytes: int = limits.MAX_MESSAGE_BYTES
    outbound_queue_messages: int = limits.OUTBOUND_QUEUE_MESSAGES
    outbound_queue_bytes: int = limits.OUTBOUND_QUEUE_BYTES
    recovery_window_s: float = limits.RECOVERY_WINDOW_S
    reconnection_token_life_s: float = limits.RECONNECTION_TOKEN_LIFE_S
    ack_id_memory: int = limits.ACK_ID_MEMORY
    clock_skew_s: float = limits.CLOCK_SKEW_S
    max_invocations_per_connection: int = limits.MAX_INVOCATIONS
    max_streams_per_connection: int = limits.MAX_STREAMS
    max_groups_per_connection: int = limits.MAX_GROUPS
    drain_timeout_s: float = 20
    close_flush_timeout_s: float = limits.CLOSE_FLUSH_TIMEOUT_S
    engine_url: str = "memory:"
    strict_json_frames: bool = False
    strict_path_decoding: bool = False
    drop_on_event_failure: bool = False
    generate_token_requires_entra: bool = False
    protobuf_json_field: str = "text_data"
    oidc_issuer: str | None = None
    oidc_audience: str = "https://webpubsub.azure.com"
    log_level: str = "info"
    log_format: str = "text"
    hubs: Mapping[str, HubSettings] = field(default_factory=dict)
    access_key: str | None = field(default=None, repr=False)
    """None: a random key for the life of the service."""
    access_key_secondary: str | None = field(default=None, repr=False)

    def hub(self, name: str) -> HubSettings:
        """Settings of a hub (lower-case name); hubs without a table use the defaults."""
        return self.hubs.get(name, _DEFAULT_HUB)


_DEFAULT_HUB = HubSettings()
