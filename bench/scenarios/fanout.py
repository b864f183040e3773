"""One publisher, a group of receivers: deliveries per second and CPU of the server for each.

`in_flight` messages are written at once and the next ones when all receivers have got these. The
publisher is no member of the group, and every receiver gets every message.
"""

import time

from load import Target, all_until, connect, connect_many, cpu_s, text_frame

TEXT = "x" * 100
SETTLE_MESSAGES = 20


async def measure(
    target: Target, *, seconds: float, connections: int, in_flight: int
) -> dict[str, float]:
    receivers = await connect_many(target, connections)
    publisher = await connect(target)
    for number, socket in enumerate(receivers):
        before = socket.received
        socket.write(text_frame({"type": "joinGroup", "group": "g", "ackId": number + 1}))
        await socket.until(before + 1)

    message = text_frame(
        {"type": "sendToGroup", "group": "g", "dataType": "text", "data": TEXT, "noEcho": True}
    )
    starts = [socket.received for socket in receivers]
    publisher.write(message)
    await receivers[0].until(starts[0] + 1)
    size = receivers[0].received - starts[0]
    sent = 1

    async def round_trip(count: int) -> None:
        nonlocal sent
        publisher.write(message * count)
        sent += count
        await all_until(receivers, (start + sent * size for start in starts))

    await all_until(receivers, (start + size for start in starts))
    await round_trip(SETTLE_MESSAGES)

    sent_before, cpu_before, began = sent, cpu_s(target.pid), time.perf_counter()
    while (took := time.perf_counter() - began) < seconds:
        await round_trip(in_flight)
    cpu = cpu_s(target.pid) - cpu_before
    deliveries = (sent - sent_before) * connections
    extra = max(
        s.received - start - sent * size for s, start in zip(receivers, starts, strict=True)
    )
    if extra >= size:  # less is a ping of the server
        raise RuntimeError(f"a receiver got {extra} bytes more than was sent to the group")
    for socket in (publisher, *receivers):
        socket.end()
    return {
        "deliveries_per_s": deliveries / took,
        "server_cpu_us_per_delivery": cpu / deliveries * 1e6,
        "server_cpu_share": cpu / took,
        "bytes_per_delivery": size,
    }
