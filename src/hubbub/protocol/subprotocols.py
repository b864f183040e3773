"""The names of the predefined subprotocols and what each of them carries."""

from typing import Literal, NamedTuple


class Subprotocol(NamedTuple):
    name: str
    is_reliable: bool
    format: Literal["json", "protobuf"]


JSON = Subprotocol("json.webpubsub.azure.v1", False, "json")
JSON_RELIABLE = Subprotocol("json.reliable.webpubsub.azure.v1", True, "json")
PROTOBUF = Subprotocol("protobuf.webpubsub.azure.v1", False, "protobuf")
PROTOBUF_RELIABLE = Subprotocol("protobuf.reliable.webpubsub.azure.v1", True, "protobuf")

SUPPORTED: dict[str, Subprotocol] = {
    s.name: s for s in (JSON, JSON_RELIABLE, PROTOBUF, PROTOBUF_RELIABLE)
}
"""Spoken today. A name that is not here makes a plain client."""


def choose(offered: list[str]) -> Subprotocol | None:
    """The first offered name that we speak, or None: a plain client."""
    for name in offered:
        if name in SUPPORTED:
            return SUPPORTED[name]
    return None
