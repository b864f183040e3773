"""Loggers of the client: `hubbub.client`, `.transport`, `.frames`. Tokens are never logged.

`HUBBUB_LOG` or `AZURE_LOG_LEVEL` in the environment sets the level when the client is loaded.
"""

import logging
import os
from collections.abc import Mapping, MutableMapping
from typing import Any

from hubbub.protocol.messages import (
    DataMessage,
    Invoke,
    InvokeResponse,
    Payload,
    Request,
    Response,
    SendEvent,
    SendToGroup,
    StreamData,
)

log = logging.getLogger("hubbub.client")
frames_log = logging.getLogger("hubbub.client.frames")
_LEVELS = {
    "verbose": logging.DEBUG,
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}
_ENVIRONMENT = ("HUBBUB_LOG", "AZURE_LOG_LEVEL")
_SHOWN = ("group", "event", "ack_id", "sequence_id", "invocation_id", "stream_id", "connection_id")
"""Attributes of messages that say what a frame is about; none is a secret."""


def set_log_level(level: str) -> None:
    """Log what the client does from this level on: verbose (debug), info, warning or error.

    Where the program has set up no logging, lines go to stderr. Raises: ValueError.
    """
    if level.lower() not in _LEVELS:
        raise ValueError(f"there is no level {level!r}; there are {', '.join(_LEVELS)}")
    log.setLevel(_LEVELS[level.lower()])
    if not log.hasHandlers():
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
        log.addHandler(handler)


def set_level_from(environ: Mapping[str, str]) -> None:
    """A level that is none is told and passed over: a program must not fail for it."""
    for name in _ENVIRONMENT:
        if level := environ.get(name):
            try:
                set_log_level(level)
            except ValueError as error:
                log.warning("%s: %s", name, error)
            return


class ClientLog(logging.LoggerAdapter[logging.Logger]):
    """Lines of one client carry `client`, `connection_id` and `state` as attributes."""

    def __init__(self, name: str | None) -> None:
        super().__init__(log)
        self.prefix = f"[{name}] " if name else ""
        self.fields: dict[str, Any] = {"client": name, "connection_id": None, "state": "stopped"}

    def process(
        self, msg: Any, kwargs: MutableMapping[str, Any]
    ) -> tuple[Any, MutableMapping[str, Any]]:
        kwargs["extra"] = self.fields
        return f"{self.prefix}{msg}", kwargs


def describe(message: Request | Response | None, *, with_payload: bool) -> str:
    """A frame in words: its kind and what it is about, the data only when asked for."""
    if message is None:
        return "a frame of an unknown kind"
    words = [type(message).__name__]
    for name in _SHOWN:
        value = getattr(message, name, None)
        if value is not None:
            words.append(f"{name}={value}")
    payload = _payload_of(message)
    if payload is not None:
        words.append(f"{payload.data_type.value} of {len(payload.raw)} bytes")
        if with_payload:
            words.append(repr(bytes(payload.raw)))
    return " ".join(words)


def _payload_of(message: Request | Response) -> Payload | None:
    if isinstance(
        message, DataMessage | SendToGroup | SendEvent | Invoke | InvokeResponse | StreamData
    ):
        return message.payload
    return None


set_level_from(os.environ)
