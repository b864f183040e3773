"""Clients come and go in every way there is, and nothing of them stays behind."""

import asyncio
import gc
import struct
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from tests.wire.client import (
    CLOSE,
    CONTINUATION,
    JR,
    PING,
    TEXT,
    WAIT_S,
    Closed,
    J,
    RawClient,
    Refusal,
    until,
)
from tests.wire.upstream_helpers import Recorded, RecordingHandler, Reply

from hubbub.service import EventHandlerSettings, HubSettings, Service

Connect = Callable[..., Awaitable[RawClient]]
StartService = Callable[..., Awaitable[Service]]
Step = Callable[["Crowd", RawClient], Awaitable[None]]

ROUNDS, WARM_UP = 8, 2
"""More of them by hand: 44 rounds are 2,000 sockets and find what 8 find."""
OURS = {
    "Connection",
    "Door",
    "EventSource",
    "Group",
    "Outbox",
    "Outgoing",
    "RefusingListener",
    "ServiceSession",
    "Unacknowledged",
    "WebSocketListener",
}
SPARE = 40
"""Tasks of idle HTTP connections to the handler, which are the test's own."""


class Crowd:
    def __init__(self, service: Service, connect: Connect, recover: Connect) -> None:
        self.service = service
        self.connect = connect
        self.recover = recover
        host, port = service.url.removeprefix("http://").split(":")
        self.address = host, int(port)


# --- ways to go ------------------------------------------------------------------------------


async def cut(crowd: Crowd, client: RawClient) -> None:
    client.cut()


async def close_1000(crowd: Crowd, client: RawClient) -> None:
    await client.close(1000)


async def close_without_code(crowd: Crowd, client: RawClient) -> None:
    await client.close(None)


async def close_unheard(crowd: Crowd, client: RawClient) -> None:
    await client.send_frame(CLOSE, struct.pack("!H", 1000))
    client.cut()


async def end_own_side(crowd: Crowd, client: RawClient) -> None:
    client.writer.write_eof()
    while await client.reader.read(65536):
        pass


async def bad_message(crowd: Crowd, client: RawClient) -> None:
    await client.send_frame(TEXT, b"\xff")
    await client.expect_close()


async def bad_frame(crowd: Crowd, client: RawClient) -> None:
    await client.send_frame(TEXT, b"{}", masked=False)
    await client.expect_close()


async def too_large(crowd: Crowd, client: RawClient) -> None:
    client.writer.write(b"\x81\xff" + struct.pack("!Q", 2_000_000))
    await client.expect_close()


async def cut_in_a_fragment(crowd: Crowd, client: RawClient) -> None:
    await client.send_frame(TEXT, b'{"type":', fin=False)
    await client.send_frame(CONTINUATION, b'"ping"', fin=False)
    client.writer.write(b"\x80\xfe\x10\x00half")
    client.cut()


async def cut_with_work_pending(crowd: Crowd, client: RawClient) -> None:
    event = {"event": "slow", "dataType": "text", "data": "x"}
    for ack_id in range(3):
        await client.send({"type": "event", "ackId": ack_id, **event})
        await client.send({"type": "joinGroup", "group": f"late {ack_id}"})
        await client.send(
            {"type": "invoke", "invocationId": f"i{ack_id}", "target": "event", **event}
        )
    await client.send({"type": "cancelInvocation", "invocationId": "i0"})
    client.cut()


async def turned_out(crowd: Crowd, client: RawClient) -> None:
    hub = crowd.service._node.hub("hub1")  # type: ignore[union-attr]
    for connection in list(hub.users.get("u", {}).values()):
        hub.close_connection(connection, 1000, "out")
    await client.expect_close()


async def publish_and_go(crowd: Crowd, client: RawClient) -> None:
    for i in range(20):
        message = {"group": "g", "dataType": "text", "data": str(i), "ttlSeconds": i % 2}
        await client.send({"type": "sendToGroup", "noEcho": bool(i % 3), **message})
    await client.send_frame(PING)
    client.cut()


async def recover_and_go(crowd: Crowd, client: RawClient) -> None:
    if client.headers.get("sec-websocket-protocol") != JR:
        return client.cut()
    again = await crowd.recover(crowd.service, client)  # takes over, or is refused
    third = await crowd.recover(crowd.service, client)
    client.cut()
    again.cut()
    await third.send({"type": "sequenceAck", "sequenceId": 1})
    third.cut()


WAYS: tuple[Step, ...] = (
    cut, close_1000, close_without_code, close_unheard, end_own_side, bad_message, bad_frame,
    too_large, cut_in_a_fragment, cut_with_work_pending, turned_out, publish_and_go,
    recover_and_go,
)  # fmt: skip


# --- ways not to come in ---------------------------------------------------------------------


async def no_clients(crowd: Crowd) -> None:
    for data in (
        b"GET /client/hubs/hub1 HT",
        b"GET /client/hubs/hub1?access_token=x HTTP/1.1\r\nUpgrade: websocket\r\n\r\n",
        b"\x00" * 100,
        b"GET /api/health HTTP/1.1\r\nHost: x\r\n\r\n",
        b"",
    ):
        _, writer = await asyncio.open_connection(*crowd.address)
        writer.write(data)
        await asyncio.sleep(0)
        writer.transport.abort()
    with pytest.raises(Refusal):
        await RawClient.open(crowd.service, "/client/hubs/hub1?access_token=no", subprotocols=J)
    refused = await RawClient.open(
        crowd.service,
        "/client/hubs/hub1?awps_connection_id=no&awps_reconnection_token=no",
        subprotocols=JR,
    )
    await refused.expect_close()


async def one(crowd: Crowd, kind: str | None, way: Step) -> None:
    client = await crowd.connect(crowd.service, kind, user_id="u", groups=("g", f"g-{way}"))
    try:
        await way(crowd, client)
    except (Closed, ConnectionError):
        pass  # another one of the same user was turned out meanwhile, and this one with it
    finally:
        client.cut()


async def everybody(crowd: Crowd) -> None:
    """13 ways, three kinds of clients, and 7 that do not get in: 46 sockets and 3 recoveries."""
    await asyncio.gather(*(one(crowd, kind, way) for way in WAYS for kind in (None, J, JR)))
    await no_clients(crowd)
    RawClient.opened.clear()


def alive() -> Counter[str]:
    gc.collect()
    found = Counter(type(o) for o in gc.get_objects())
    return Counter(
        {
            kind.__name__: count
            for kind, count in found.items()
            if kind.__name__ in OURS and kind.__module__.startswith("hubbub.")
        }
    )


async def slow(request: Recorded) -> Reply:
    await asyncio.sleep(0.01)
    return Reply(200, b"answer", "text/plain")


@pytest.fixture
async def handler() -> AsyncIterator[RecordingHandler]:
    async with RecordingHandler() as recording:
        recording.answers["slow"] = slow
        recording.answers["message"] = slow
        yield recording


async def test_nothing_is_left_of_clients_that_are_gone(
    start_service: StartService, handler: RecordingHandler, connect: Connect, recover: Connect
) -> None:
    settings = EventHandlerSettings(
        url_template=handler.url + "/{event}",
        user_event_pattern="*",
        system_events=("connect", "connected", "disconnected"),
    )
    hubs = {"hub1": HubSettings(event_handlers=(settings,))}
    service = await start_service(hubs=hubs, recovery_window_s=0.05)
    node, front = service._node, service._front
    assert node is not None
    assert front is not None
    crowd = Crowd(service, connect, recover)
    hub, requests = node.hub("hub1"), node.requests("hub1")

    async def settle() -> None:
        await until(lambda: not (front.sockets or front.doors or front._tasks or requests._tasks))
        await until(lambda: not hub.connections)
        await node.upstream.drain(WAIT_S)
        handler.requests.clear()
        handler.aborted.clear()

    for _ in range(WARM_UP):
        await everybody(crowd)
    await settle()
    tasks = len(asyncio.all_tasks())
    for _ in range(ROUNDS):
        await everybody(crowd)
    await settle()
    assert hub.groups == {}
    assert hub.users == {}
    assert hub._pending == []
    assert node.pending_handshakes == 0
    assert not any(bucket for k in front._keep_alive.values() for bucket in k._buckets)
    assert alive() == Counter()
    counts = service.counts
    assert counts["connections.opened"] == (WARM_UP + ROUNDS) * len(WAYS) * 3
    assert counts["connections.ended"] == counts["connections.opened"]
    assert len(asyncio.all_tasks()) <= tasks + SPARE, asyncio.all_tasks()
    loop = asyncio.get_running_loop()
    scheduled = getattr(loop, "_scheduled", ())  # of uvloop nobody sees it
    timers = [timer for timer in scheduled if not timer.cancelled()]
    assert len(timers) < 20, timers
