"""The other side of the client's measurements: frames made beforehand, acks, and nothing else.

A client that joins the group `KIND.COUNT.PACE` gets so many messages of that kind, with sequence
ids, as the service would write them: PACE `burst` in pieces of 64 KiB as fast as they are read,
`single` one at a time with a pause between them. Any other request with an ack id is acknowledged.
"""

import asyncio
import json
import os
from typing import Any

import msgspec
import picows

from hubbub.protocol.json_codec import data_message_tail
from hubbub.protocol.messages import DataType, Payload

PIECE_BYTES = 65_536
PAUSE_S = 0.001
RECORD = {
    "package": "hubbub",
    "version": "1.2.3",
    "downloads": [{"day": f"2026-11-{day:02}", "count": 1000 + day} for day in range(1, 25)],
    "tags": ["pubsub", "websocket", "asyncio"],
    "note": "n" * 60,
}
PAYLOADS = {
    "text": Payload(DataType.TEXT, raw=b"x" * 100),
    "json": Payload(DataType.JSON, raw=msgspec.json.encode(RECORD)),
}


def frame(text: bytes) -> bytes:
    size = len(text)
    if size < 126:
        return bytes((0x81, size)) + text
    return b"\x81\x7e" + size.to_bytes(2, "big") + text


def frames(kind: str, group: str, count: int) -> list[bytes]:
    tail = data_message_tail(PAYLOADS[kind], group, "u", None)
    return [frame(b'{"sequenceId":%d,%b' % (number, tail)) for number in range(1, count + 1)]


class Peer(picows.WSListener):
    """One client."""

    def __init__(self, number: int) -> None:
        self._number = number
        self._can_write = asyncio.Event()
        self._can_write.set()
        self._sending: asyncio.Task[None] | None = None

    def on_ws_connected(self, transport: picows.WSTransport) -> None:
        connected = (
            b'{"type":"system","event":"connected","userId":"u","connectionId":"c%d",'
            b'"reconnectionToken":"r"}' % self._number
        )
        transport.send(picows.WSMsgType.TEXT, connected)

    def on_ws_frame(self, transport: picows.WSTransport, frame: picows.WSFrame) -> None:
        if frame.msg_type is picows.WSMsgType.CLOSE:
            transport.send_close(picows.WSCloseCode.OK)
            transport.disconnect()
        elif frame.msg_type is picows.WSMsgType.TEXT:
            self._answer(transport, msgspec.json.decode(frame.get_payload_as_bytes()))

    def _answer(self, transport: picows.WSTransport, request: dict[str, Any]) -> None:
        if "ackId" in request:
            ack = b'{"type":"ack","ackId":%d,"success":true}' % request["ackId"]
            transport.send(picows.WSMsgType.TEXT, ack)
        if request["type"] == "joinGroup" and request["group"].count(".") == 2:
            kind, count, pace = request["group"].split(".")
            work = self._stream(transport, frames(kind, request["group"], int(count)), pace)
            self._sending = asyncio.get_running_loop().create_task(work)

    async def _stream(self, transport: picows.WSTransport, them: list[bytes], pace: str) -> None:
        write = transport.underlying_transport.write
        if pace == "single":
            for one in them:
                write(one)
                await asyncio.sleep(PAUSE_S)
            return
        each = max(1, PIECE_BYTES // len(them[-1]))
        for start in range(0, len(them), each):
            write(b"".join(them[start : start + each]))
            await asyncio.sleep(0)
            await self._can_write.wait()

    def on_ws_disconnected(self, transport: picows.WSTransport) -> None:
        self._can_write.set()
        if self._sending is not None:
            self._sending.cancel()

    def pause_writing(self) -> None:
        self._can_write.clear()

    def resume_writing(self) -> None:
        self._can_write.set()


async def main() -> None:
    number = 0

    def accept(request: picows.WSUpgradeRequest) -> picows.WSUpgradeResponseWithListener:
        nonlocal number
        number += 1
        offered = request.headers.get("Sec-WebSocket-Protocol", "")
        answer = picows.WSUpgradeResponse.create_101_response(
            {"Sec-WebSocket-Protocol": offered.partition(",")[0]}
        )
        return picows.WSUpgradeResponseWithListener(answer, Peer(number))

    server = await picows.ws_create_server(
        accept,
        "127.0.0.1",
        0,
        backlog=1024,
        enable_auto_ping=False,
        websocket_handshake_timeout=None,
    )
    port = server.sockets[0].getsockname()[1]
    print(json.dumps({"port": port, "pid": os.getpid()}), flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    import uvloop

    uvloop.run(main())
