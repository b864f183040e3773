"""10,000 sends of one client in flight: CPU for each that is acknowledged, memory for each that waits.

The calls are tasks of the caller, as an application has them, for every client alike. `bare` is
picows with a dictionary of futures, and msgspec on both ways.
"""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import msgspec
import picows
from load import Target, resident_kib
from scenarios.client_receive import SUBPROTOCOL, client_url

from hubbub.client import Client

IN_FLIGHT = 10_000
TEXT = "x" * 100
Send = Callable[[], Awaitable[object]]


class Bare(picows.WSListener):
    def __init__(self) -> None:
        self._last = 0
        self._pending: dict[int, asyncio.Future[None]] = {}

    def on_ws_connected(self, transport: picows.WSTransport) -> None:
        self._transport = transport

    async def send(self) -> None:
        self._last += 1
        answer = self._pending[self._last] = asyncio.get_running_loop().create_future()
        message = {"type": "sendToGroup", "group": "g", "dataType": "text", "data": TEXT}
        data = msgspec.json.encode({**message, "ackId": self._last})
        self._transport.send(picows.WSMsgType.TEXT, data)
        await answer

    def on_ws_frame(self, transport: picows.WSTransport, frame: picows.WSFrame) -> None:
        message: dict[str, Any] = msgspec.json.decode(frame.get_payload_as_bytes())
        if message["type"] == "ack":
            self._pending.pop(message["ackId"]).set_result(None)


@asynccontextmanager
async def _bare(target: Target) -> Any:
    transport, listener = await picows.ws_connect(
        Bare,
        client_url(target),
        extra_headers={"Sec-WebSocket-Protocol": SUBPROTOCOL},
        websocket_handshake_timeout=None,
    )
    yield listener.send
    transport.disconnect()


@asynccontextmanager
async def _hubbub(target: Target) -> Any:
    async with Client(client_url(target), operation_timeout=55) as client:
        yield lambda: client.send_to_group("g", TEXT)


@asynccontextmanager
async def _official(target: Target) -> Any:
    from azure.messaging.webpubsubclient.aio import WebPubSubClient

    async with WebPubSubClient(client_url(target), ack_timeout=55) as client:
        yield lambda: client.send_to_group("g", TEXT, "text")


CLIENTS: dict[str, Callable[[Target], AbstractAsyncContextManager[Send]]] = {
    "hubbub": _hubbub,
    "bare": _bare,
    "official aio": _official,
}


async def measure(target: Target, *, times: int) -> dict[str, float]:
    cpu_s = took_s = 0.0
    kib = 0
    async with CLIENTS[target.name](target) as send:
        await asyncio.gather(*(send() for _ in range(100)))
        for _ in range(times):
            before = resident_kib(os.getpid())
            cpu, began = time.process_time(), time.perf_counter()
            calls = [asyncio.ensure_future(send()) for _ in range(IN_FLIGHT)]
            await asyncio.sleep(0)  # each has run up to its wait
            kib = max(kib, resident_kib(os.getpid()) - before)
            await asyncio.gather(*calls)
            cpu_s += time.process_time() - cpu
            took_s += time.perf_counter() - began
    return {
        "client_cpu_us_per_send": cpu_s / times / IN_FLIGHT * 1e6,
        "kib_per_send_in_flight": kib / IN_FLIGHT,
        "sends_per_s": times * IN_FLIGHT / took_s,
    }
