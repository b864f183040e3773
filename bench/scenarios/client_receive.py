"""CPU of a client process for each message that reaches the application.

The consumers take turns on the same stream of the same frames. `bare` is picows with the decoder
of our own client and nothing else: no sequence ids, no acks, no keep-alive, no UTF-8 check.
`json.loads` reads with the standard library. All call the same function with each message. With
pace `burst` the socket is always full, with `single` each message comes alone.
"""

import asyncio
import itertools
import json
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any

import picows
from load import Target

from hubbub.client import Client, SyncClient
from hubbub.protocol import json_responses

SUBPROTOCOL = "json.reliable.webpubsub.azure.v1"
_TEXT = picows.WSMsgType.TEXT
_decode_wire: Callable[[bytes], Any] = json_responses._decode_plain


class Meter:
    """Counts messages; CPU time from the end of the warm-up to the last. Any thread may count."""

    def __init__(self, count: int) -> None:
        self._warm_up = count // 10
        self._last = count
        self._next = itertools.count(1).__next__
        self._began = (0.0, 0.0)
        self._done = threading.Event()
        self.messages = self._last - self._warm_up
        self.cpu_s = self.took_s = 0.0

    def take(self, message: object) -> None:
        number = self._next()
        if number == self._last:
            self.cpu_s = time.process_time() - self._began[0]
            self.took_s = time.perf_counter() - self._began[1]
            self._done.set()
        elif number == self._warm_up:
            self._began = time.process_time(), time.perf_counter()

    @property
    def is_done(self) -> bool:
        return self._done.is_set()

    async def wait(self) -> None:
        while not self._done.is_set():  # noqa: ASYNC110 - threads set it; costs nothing
            await asyncio.sleep(0.05)


class Bare(picows.WSListener):
    """`take`: is called with the bytes of each text frame."""

    def __init__(self, take: Callable[[bytes], None], group: str) -> None:
        self._take = take
        self._group = group

    def on_ws_connected(self, transport: picows.WSTransport) -> None:
        join = {"type": "joinGroup", "group": self._group, "ackId": 1}
        transport.send(picows.WSMsgType.TEXT, json.dumps(join).encode())

    def on_ws_frame(self, transport: picows.WSTransport, frame: picows.WSFrame) -> None:
        if frame.msg_type is _TEXT and frame.fin:
            self._take(frame.get_payload_as_bytes())


async def _bare(target: Target, take: Callable[[bytes], None], group: str, meter: Meter) -> None:
    transport, _ = await picows.ws_connect(
        lambda: Bare(take, group),
        client_url(target),
        extra_headers={"Sec-WebSocket-Protocol": SUBPROTOCOL},
        websocket_handshake_timeout=None,
        enable_auto_ping=False,
    )
    await meter.wait()
    transport.disconnect()


async def bare(target: Target, group: str, meter: Meter) -> None:
    def take(data: bytes) -> None:
        wire = _decode_wire(data)
        if type(wire) is json_responses.PlainMessage:
            meter.take(wire.data)

    await _bare(target, take, group, meter)


async def json_loads(target: Target, group: str, meter: Meter) -> None:
    def take(data: bytes) -> None:
        message = json.loads(data)
        if message["type"] == "message":
            meter.take(message["data"])

    await _bare(target, take, group, meter)


async def handler(target: Target, group: str, meter: Meter) -> None:
    client = Client(client_url(target))
    client.on("group-message", meter.take)
    async with client:
        await client.join_group(group)
        await meter.wait()


async def iterator(target: Target, group: str, meter: Meter) -> None:
    client = Client(client_url(target))
    async with client, client.messages() as messages:
        await client.join_group(group)
        async for message in messages:
            meter.take(message)
            if meter.is_done:
                break


async def sync(target: Target, group: str, meter: Meter) -> None:
    def run() -> None:
        client = SyncClient(client_url(target))
        client.on("group-message", meter.take)
        with client:
            client.join_group(group)
            while not meter.is_done:
                time.sleep(0.05)

    await asyncio.to_thread(run)


async def sync_iterator(target: Target, group: str, meter: Meter) -> None:
    def run() -> None:
        client = SyncClient(client_url(target))
        with client, client.messages() as messages:
            client.join_group(group)
            while not meter.is_done:
                meter.take(next(messages))

    await asyncio.to_thread(run)


async def official_aio(target: Target, group: str, meter: Meter) -> None:
    from azure.messaging.webpubsubclient.aio import WebPubSubClient
    from azure.messaging.webpubsubclient.models import CallbackType

    async def take(message: object) -> None:
        meter.take(message)

    async with WebPubSubClient(client_url(target)) as client:
        await client.subscribe(CallbackType.GROUP_MESSAGE, take)
        await client.join_group(group)
        await meter.wait()


async def official_sync(target: Target, group: str, meter: Meter) -> None:
    from azure.messaging.webpubsubclient import WebPubSubClient
    from azure.messaging.webpubsubclient.models import CallbackType

    def run() -> None:
        client = WebPubSubClient(client_url(target))
        with client:
            client.subscribe(CallbackType.GROUP_MESSAGE, meter.take)
            client.join_group(group)
            while not meter.is_done:
                time.sleep(0.05)

    await asyncio.to_thread(run)


def client_url(target: Target) -> str:
    return f"ws://{target.host}:{target.port}/client/hubs/bench?access_token=t"


Consumer = Callable[[Target, str, Meter], Awaitable[None]]
CONSUMERS: dict[str, tuple[Consumer, int]] = {
    "handler": (handler, 1),
    "bare": (bare, 1),
    "json.loads": (json_loads, 1),
    "iterator": (iterator, 1),
    "sync": (sync, 1),
    "sync iterator": (sync_iterator, 1),
    "official aio": (official_aio, 10),
    "official sync": (official_sync, 40),
}
"""Each with the part of the messages that it gets: slow ones fewer, so that all run for about a
second. Ours first."""


async def measure(target: Target, *, messages: int, kind: str, pace: str) -> dict[str, float]:
    consume, share = CONSUMERS[target.name]
    count = messages if pace == "single" else messages // share
    meter = Meter(count)
    await consume(target, f"{kind}.{count}.{pace}", meter)
    return {
        "client_cpu_us_per_message": meter.cpu_s / meter.messages * 1e6,
        "messages_per_s": meter.messages / meter.took_s,
        "client_cpu_share": meter.cpu_s / meter.took_s,
    }
