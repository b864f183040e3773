"""Sends with a filter over many connections, inside this process: a hub whose connections are real
and whose sockets only count, so that neither the network nor the memory of clients is measured.

"no filter" sends to a group that has exactly the connections that the filter matches.
"""

import asyncio
import time
from types import SimpleNamespace
from typing import cast

from load import Target

from hubbub.protocol import subprotocols
from hubbub.protocol.filters import compile_filter
from hubbub.protocol.messages import text_payload
from hubbub.protocol.roles import Permissions
from hubbub.protocol.service_session import ServiceSession
from hubbub.service.connection import Connection, Socket
from hubbub.service.engine.interface import Engine, HealthState
from hubbub.service.forms import form_for
from hubbub.service.hub import Hub
from hubbub.service.observe import Counts
from hubbub.service.outbox import Outbox
from hubbub.service.settings import Settings
from hubbub.service.upstream import EventSource, Upstream

MATCHING = 10
FILTER = "'even' in groups and (userId eq 'nobody' or startswith(userId, 'some-'))"


class Wire:
    """Takes everything and counts it."""

    def __init__(self) -> None:
        self.count = 0
        self.outbox = Outbox(
            cast(asyncio.Transport, self),
            max_messages=1000,
            max_bytes=1_000_000,
            now=time.monotonic,
        )

    def write(self, data: bytes) -> None:
        self.count += 1


async def measure(target: Target, *, seconds: float, connections: int) -> dict[str, float]:
    hub = _hub()
    wires = [_join(hub, number, connections) for number in range(connections)]
    matching, written = wires[:: connections // MATCHING], sum(wire.count for wire in wires)
    payload, sent, is_filtered = text_payload("x" * 100), 0, target.name == "filter"
    cpu_before, began = time.process_time(), time.perf_counter()
    while (took := time.perf_counter() - began) < seconds:
        if is_filtered:
            hub.send_to_all(payload, matches=compile_filter(FILTER))
        else:
            hub.send_to_group("matching", payload)
            hub.flush()
        sent += 1
    cpu = time.process_time() - cpu_before
    if sum(wire.count for wire in wires) - written != sent * len(matching):
        raise RuntimeError("not exactly those who match got the messages")
    return {
        "sends_per_s": sent / took,
        "server_cpu_us_per_send": cpu / sent * 1e6,
        "server_cpu_us_per_send_and_1000_connections": cpu / sent * 1e9 / connections,
    }


def _hub() -> Hub:
    ignore = SimpleNamespace(connected=lambda source: None, disconnected=lambda *_: None)
    engine = SimpleNamespace(health=HealthState.UP)
    return Hub(
        "h", Settings(), cast(Engine, engine), cast(Upstream, ignore), Counts(), lambda *_: "t"
    )


def _join(hub: Hub, number: int, connections: int) -> Wire:
    is_matching = number % (connections // MATCHING) == 0
    user, name = "some" if is_matching else "other", f"{number:032x}"
    source = EventSource(
        hub="h", connection_id=name, origin="localhost", user_id=f"{user}-{number}"
    )
    session = ServiceSession(name, Permissions(()), is_reliable=False)
    connection = Connection(
        session, source, form=form_for(subprotocols.JSON), subprotocol=subprotocols.JSON.name
    )
    wire = Wire()
    groups = ["odd" if number % 2 else "even", "matching"][: 2 if is_matching else 1]
    hub.admit(connection, cast(Socket, wire), groups)
    return wire
