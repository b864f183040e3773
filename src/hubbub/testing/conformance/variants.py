"""The hubs and event handlers that the upstream cases need, as configuration of the service.

Each variant is a hub of its own, because one hub cannot be configured in two ways. The main one
is enough for most cases; a service that knows only that one leaves the others not applicable.
"""

from collections.abc import Sequence
from dataclasses import dataclass

MAIN = ""
_CONNECT = ("connect", "connected", "disconnected")
_UNREACHABLE = "http://127.0.0.1:9"
"""Nobody listens on the discard port."""


@dataclass(frozen=True, slots=True)
class Variant:
    """`paths`: of the event handlers in their order, below the listener's address."""

    name: str
    what: str
    paths: tuple[str, ...]
    user_events: str = "*"
    system_events: tuple[str, ...] = _CONNECT
    allows_anonymous: bool = False
    timeout_s: int | None = None
    """None: as the service has it."""
    keep_alive_s: int | None = None
    is_probed: bool = True
    """Is a client let in first, to see whether the service has it? Else the case finds out."""

    def hub(self, base: str) -> str:
        return f"{base}_{self.name}" if self.name else base


def _plain(name: str, what: str, **more: object) -> Variant:
    return Variant(name, what, (f"/{name}/{{hub}}/{{event}}",), **more)  # type: ignore[arg-type]


VARIANTS = {
    variant.name: variant
    for variant in (
        Variant(MAIN, "all events", ("/main/{hub}/{event}?code=s%2B&e={event}",)),
        _plain(
            "events", "two user events and no system event", user_events="a,b", system_events=()
        ),
        Variant("two", "two handlers for the same events", ("/first/{event}", "/second/{event}")),
        _plain("slow", "a limit of two seconds", timeout_s=2),
        _plain("open", "clients without a token, with a connect event", allows_anonymous=True),
        _plain(
            "guests",
            "clients without a token, without a connect event",
            system_events=(),
            allows_anonymous=True,
        ),
        _plain("lively", "a keep-alive interval of one second", keep_alive_s=1),
        _plain("burst", "for ten clients at once", is_probed=False),
        _plain("case", "the listener names the service in capitals"),
        _plain("lines", "the listener names two services, the second one is right"),
        _plain("get", "the listener answers OPTIONS with 404 and GET with yes"),
        _plain("bare", "the listener answers OPTIONS with 200 and no more"),
        _plain("other", "the listener allows another service"),
        _plain("denied", "the listener answers OPTIONS with 401"),
        _plain("mute", "the listener never answers OPTIONS", is_probed=False),
        Variant("down", "a handler that cannot be reached", (f"{_UNREACHABLE}/{{event}}",)),
    )
}
"""By name. The listener tells them apart by the first part of the path (`handler`)."""


def as_toml(base: str, handler_url: str) -> str:
    """The configuration for `hubbub serve --config`; in words for other services."""
    lines = [
        "# For `hubbub serve --config FILE`. On another service configure the same hubs by its own",
        "# means: URL template, user event pattern, system events, anonymous clients.",
    ]
    for variant in VARIANTS.values():
        hub = variant.hub(base)
        lines += ["", f"# {variant.what}"]
        if variant.allows_anonymous:
            lines += [f"[hubs.{hub}]", 'anonymous_connect_policy = "allow"']
        if variant.keep_alive_s is not None:
            interval = f"web_socket_keep_alive_interval_s = {variant.keep_alive_s}"
            lines += [f"[hubs.{hub}]", interval]
        for path in variant.paths:
            url = path if path.startswith("http") else handler_url + path
            lines += [
                f"[[hubs.{hub}.event_handlers]]",
                f'url_template = "{url}"',
                f'user_event_pattern = "{variant.user_events}"',
                f"system_events = [{_quoted(variant.system_events)}]",
            ]
            if variant.timeout_s is not None:
                lines.append(f"timeout_s = {variant.timeout_s}")
    return "\n".join(lines) + "\n"


def _quoted(names: Sequence[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)
