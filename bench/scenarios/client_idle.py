"""1,000 clients in one process that do nothing: CPU for each start, memory for each that is open."""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from typing import Any

import picows
from load import HANDSHAKES_AT_ONCE, Target, resident_kib
from scenarios.client_receive import SUBPROTOCOL, client_url

from hubbub.client import Client

FIRST = 20
"""Opened before the first reading, so that what is made once is not counted."""
SETTLE_S = 0.5


class Bare(picows.WSListener):
    """Open when the `connected` message is there, as the others are."""

    def __init__(self) -> None:
        self.is_up = asyncio.Event()

    def on_ws_frame(self, transport: picows.WSTransport, frame: picows.WSFrame) -> None:
        self.is_up.set()


async def bare(target: Target) -> Any:
    transport, listener = await picows.ws_connect(
        Bare,
        client_url(target),
        extra_headers={"Sec-WebSocket-Protocol": SUBPROTOCOL},
        websocket_handshake_timeout=None,
        enable_auto_ping=False,
    )
    await listener.is_up.wait()
    return transport


async def hubbub(target: Target) -> Any:
    client = Client(client_url(target))
    await client.start()
    return client


async def official(target: Target) -> Any:
    from azure.messaging.webpubsubclient.aio import WebPubSubClient

    client = WebPubSubClient(client_url(target))
    await client.open()
    return client


OPENERS: dict[str, Callable[[Target], Awaitable[Any]]] = {
    "hubbub": hubbub,
    "bare": bare,
    "official aio": official,
}


async def _open_many(target: Target, count: int) -> list[Any]:
    opened: list[Any] = []
    while len(opened) < count:
        batch = min(HANDSHAKES_AT_ONCE, count - len(opened))
        opened += await asyncio.gather(*(OPENERS[target.name](target) for _ in range(batch)))
    return opened


async def measure(target: Target, *, clients: int) -> dict[str, float]:
    kept = await _open_many(target, FIRST)
    await asyncio.sleep(SETTLE_S)
    before, cpu = resident_kib(os.getpid()), time.process_time()
    kept += await _open_many(target, clients)
    cpu_s = time.process_time() - cpu
    await asyncio.sleep(SETTLE_S)
    after = resident_kib(os.getpid())
    assert len(kept) == FIRST + clients
    return {
        "kib_per_client": (after - before) / clients,
        "client_cpu_ms_per_start": cpu_s / clients * 1e3,
    }
