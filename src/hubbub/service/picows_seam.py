"""The one place that knows how picows makes its server-side protocol object.

picows has no public constructor for it, but its public `ws_create_server` hands a protocol
factory to `loop.create_server`. We call it once at start with that method replaced and keep the
factory. `tests/service/test_picows_seam.py` fails when a new picows does this otherwise.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Any, cast

import picows

log = logging.getLogger("hubbub.service.websocket")


class _Log:
    """picows makes a child `logging.Logger` per connection out of a real logger; not out of this.

    What it calls an error is mostly a peer's fault: a line at INFO. Our own faults keep their trace.
    """

    def isEnabledFor(self, _level: int) -> bool:
        return False

    def _ignore(self, *_args: object, **_kwargs: object) -> None:
        pass

    log = debug = info = _ignore

    def error(self, message: str, *args: object) -> None:
        log.info(message, *args)

    warning = error

    def exception(self, message: str, *args: object) -> None:
        log.exception(message, *args)

    critical = exception


class WebSocketFactory:
    """Turns an accepted transport into a WebSocket with our listener."""

    def __init__(self, make_protocol: Callable[[], Any], slot: "list[Any]") -> None:
        self._make_protocol = make_protocol
        self._slot = slot

    @classmethod
    async def create(cls, *, max_frame_bytes: int) -> "WebSocketFactory":
        slot: list[Any] = []
        captured: list[Callable[[], Any]] = []

        async def keep_factory(factory: Callable[[], Any], *_args: Any, **_kwargs: Any) -> None:
            captured.append(factory)

        loop = asyncio.get_running_loop()
        original = loop.create_server
        patched: Any = loop
        is_instance_attribute = "create_server" in getattr(loop, "__dict__", {})
        patched.create_server = keep_factory
        try:
            await picows.ws_create_server(
                lambda _request: slot.pop(),
                enable_auto_ping=False,
                enable_auto_pong=False,  # else pings never count as life
                max_frame_size=max_frame_bytes,
                read_buffer_init_size=2048,
                websocket_handshake_timeout=None,
                logger_name=cast(logging.Logger, _Log()),
                use_aiofastnet=False,
            )
        finally:
            if is_instance_attribute:
                patched.create_server = original
            else:
                del patched.create_server
        return cls(captured[0], slot)

    def open(
        self,
        transport: asyncio.Transport,
        listener: picows.WSListener,
        *,
        key: str,
        subprotocol: str | None,
        early: bytes,
    ) -> None:
        """Answer 101 and let picows read the socket from now on.

        picows gets a head of our own: the client's may be larger than it takes, or have a
        `Connection` header that it refuses (Firefox). `early`: bytes that came behind the head.
        """
        headers = {"Sec-WebSocket-Protocol": subprotocol} if subprotocol else None
        response = picows.WSUpgradeResponse.create_101_response(headers)
        self._slot.append(picows.WSUpgradeResponseWithListener(response, listener))
        protocol = self._make_protocol()
        protocol.connection_made(transport)
        transport.set_protocol(protocol)
        head = (
            "GET / HTTP/1.1\r\nHost: hubbub\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n"
        )
        _feed(protocol, head.encode())
        if early and not transport.is_closing():
            _feed(protocol, early)


def _feed(protocol: Any, data: bytes) -> None:
    while data:
        buffer = protocol.get_buffer(-1)
        size = min(len(buffer), len(data))
        buffer[:size] = data[:size]
        protocol.buffer_updated(size)
        data = data[size:]
