"""Which event handler gets an event: patterns, system events and URL templates."""

import math
import re
from collections.abc import Sequence
from typing import Final
from urllib.parse import quote, urlsplit

from hubbub.protocol import cloudevents, names
from hubbub.protocol.errors import InvalidName
from hubbub.service.settings import EventHandlerSettings

VALIDATION_EVENT: Final = "validate"
"""Stands for `{event}` while a handler is asked whether it wants our events."""
VALIDATE_MODES: Final = ("lazy", "start", "off")

_PARAMETER: Final = re.compile(r"\{(.*?)\}")


class Handler:
    """One event handler of a hub, its settings made ready for choosing. Settings are checked."""

    def __init__(self, hub: str, settings: EventHandlerSettings, bearer: str = "") -> None:
        """`bearer`: the token that the handler wants to see; never shown."""
        self.hub = hub
        self.settings = settings
        self.bearer = bearer
        self._template = _PARAMETER.sub(
            lambda match: "{" + match[1].lower() + "}", settings.url_template
        ).replace("{hub}", quote(hub, safe=""))
        self._names = frozenset(name.lower() for name in _pattern_names(settings))
        self._system_events = frozenset(settings.system_events)
        self.validation_url = self.url(VALIDATION_EVENT)

    def wants_system_event(self, event: str) -> bool:
        return event in self._system_events

    def wants_user_event(self, event: str) -> bool:
        return "*" in self._names or event.lower() in self._names

    def url(self, event: str) -> str:
        return self._template.replace("{event}", quote(event, safe=""))

    def __repr__(self) -> str:
        """Without the query, which may hold the handler's secret."""
        return self._template.partition("?")[0]


def choose_system(handlers: Sequence[Handler], event: str) -> Handler | None:
    """The first handler that subscribes to the system event."""
    return next((handler for handler in handlers if handler.wants_system_event(event)), None)


def choose_user(handlers: Sequence[Handler], event: str) -> Handler | None:
    """The first handler whose pattern takes the user event; names compare case-insensitively."""
    return next((handler for handler in handlers if handler.wants_user_event(event)), None)


def _pattern_names(settings: EventHandlerSettings) -> list[str]:
    pattern = settings.user_event_pattern.strip()
    return [name.strip() for name in pattern.split(",")] if pattern else []


def check_handler(settings: EventHandlerSettings) -> list[str]:
    """Every fault of one handler's settings, each a sentence that starts with its key."""
    problems = [f"url_template: {problem}" for problem in _check_template(settings.url_template)]
    problems += _check_pattern(settings)
    for event in settings.system_events:
        if event not in cloudevents.SYSTEM_EVENTS:
            known = ", ".join(cloudevents.SYSTEM_EVENTS)
            problems.append(f"system_events: {event!r} is none of {known}")
    if not (0 < settings.timeout_s < math.inf):
        problems.append(f"timeout_s: {settings.timeout_s} is not above 0 seconds")
    for pause in settings.retry_pauses_s:
        if not (0 <= pause < math.inf):
            problems.append(f"retry_pauses_s: {pause} is no number of seconds")
    if settings.validate not in VALIDATE_MODES:
        problems.append(f"validate: {settings.validate!r} is none of {', '.join(VALIDATE_MODES)}")
    if settings.bearer_token_env == "":
        problems.append("bearer_token_env: the name of the environment variable is empty")
    return problems


def _check_pattern(settings: EventHandlerSettings) -> list[str]:
    items = _pattern_names(settings)
    if items == ["*"]:
        return []
    problems = []
    for item in items:
        try:
            names.event_name(item)
        except InvalidName:
            problems.append(
                f"user_event_pattern: {item!r} is no event name; use *, one name, or several"
                " with commas between"
            )
    return problems


def _check_template(template: str) -> list[str]:
    if not template.isascii() or not template.isprintable() or " " in template:
        return ["write spaces and characters outside ASCII percent-encoded"]
    problems = []
    for parameter in _PARAMETER.findall(template):
        if parameter.lower().startswith("@microsoft.keyvault"):
            problems.append("secrets from a key vault are not supported; use bearer_token_env")
        elif parameter.lower() not in ("hub", "event"):
            problems.append(f"{{{parameter}}} is no parameter; there are {{hub}} and {{event}}")
    if problems:
        return problems
    plain = _PARAMETER.sub("x", template)
    if "{" in plain or "}" in plain:
        return ["a brace is open or closed without its other half"]
    try:
        parts = urlsplit(template)
        _ = urlsplit(plain).port
    except ValueError as error:
        return [f"no valid URL: {error}"]
    if parts.scheme == "tunnel":
        return ["tunnels are not supported; use the http or https address of the handler"]
    if parts.scheme not in ("http", "https"):
        return ["must start with http:// or https://"]
    if "{" in parts.netloc:
        return ["a parameter must not stand in the host"]
    if not parts.hostname:
        return ["has no host"]
    if "@" in parts.netloc:
        return ["must not hold a user name or password; use bearer_token_env"]
    if "#" in template:
        return ["a fragment (#) is never sent to a handler"]
    return []
