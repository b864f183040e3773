"""A service of which each test says what it does, frame by frame; for faults no real one has.

async def script(peer):
    join = await peer.expect("joinGroup", group="news")
    await peer.ack(join)
    await peer.message("hello", group="news")

async with FakeService(script) as service, Client(service.url) as client: …
"""

import asyncio
import logging
import ssl
from collections import Counter
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Self

import picows

from hubbub.testing.fake_peer import FakePeer, polite

Script = Callable[[FakePeer], Awaitable[None]]
_quiet = logging.Logger("hubbub.testing.picows", logging.CRITICAL + 1)
"""What a script does on purpose would be a warning."""
_MAX_FRAME_BYTES = 64 * 1_048_576


class FakeService:
    """`async with` runs it on a free port. `peers`: every connection so far, in order.

    A client hears `connected` first, and again after a recovery. Then its script runs; when that
    ends, the connection stays open. A script that fails fails the test.
    """

    def __init__(
        self,
        *scripts: Script,
        says_connected: bool = True,
        answers_pings: bool = True,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        """Connection number n runs script number n, and all later ones the last; with none, each
        request is done and acked. `says_connected`: False leaves that to the script, as
        `peer.connected()`. `answers_pings`: those of the protocol, with `pong`. `ssl_context`: speaks TLS."""
        self._scripts = scripts or (polite,)
        self._says_connected = says_connected
        self._answers_pings = answers_pings
        self._ssl_context = ssl_context
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._failure: BaseException | None = None
        self._refusals: list[tuple[int, dict[str, str]]] = []
        self._has_new_peer = asyncio.Event()
        self.peers: list[FakePeer] = []
        self.executed: Counter[int] = Counter()
        """How often the request with each ack id was done; see `FakePeer.ack`."""
        self.refused = 0
        """Handshakes that were answered with an HTTP status."""

    @property
    def url(self) -> str:
        """A Client Access URL of the hub "chat"."""
        assert self._server is not None, "the service runs inside `async with`"
        port = self._server.sockets[0].getsockname()[1]
        scheme = "ws" if self._ssl_context is None else "wss"
        return f"{scheme}://127.0.0.1:{port}/client/hubs/chat?access_token=SECRET"

    def refuse(self, status: int, *, retry_after_s: int | None = None, times: int = 1) -> None:
        """Answer so many of the next handshakes with an HTTP status (400 or above)."""
        headers = {} if retry_after_s is None else {"Retry-After": str(retry_after_s)}
        self._refusals += [(status, headers)] * times

    async def peer(self, number: int) -> FakePeer:
        """The connection of this number, the first is 0; waits until it is there."""
        while len(self.peers) <= number:
            self._has_new_peer.clear()
            await self._has_new_peer.wait()
        return self.peers[number]

    # --- life --------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        self._server = await picows.ws_create_server(
            self._handshake,
            "127.0.0.1",
            0,
            websocket_handshake_timeout=None,
            logger_name=_quiet,
            max_frame_size=_MAX_FRAME_BYTES,
            enable_auto_pong=False,
            use_aiofastnet=False,
            ssl=self._ssl_context,
        )
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._server is not None, "entered before"
        self._server.close()
        for peer in self.peers:
            peer.abort()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()
        if self._failure is not None and not isinstance(exc, asyncio.CancelledError):
            raise self._failure from exc

    # --- connections -------------------------------------------------------------------------

    def _handshake(self, request: picows.WSUpgradeRequest) -> picows.WSUpgradeResponseWithListener:
        refusal = self._refusals.pop(0) if self._refusals else None
        if self._failure is not None:
            refusal = (401, {})  # which a client with a fixed address takes for the end
        if refusal is not None:
            self.refused += 1
            status, headers = refusal
            answer = picows.WSUpgradeResponse.create_error_response(status, b"", headers)
            return picows.WSUpgradeResponseWithListener(answer, None)
        peer = FakePeer(self, len(self.peers), request, answers_pings=self._answers_pings)
        self.peers.append(peer)
        names = {"Sec-WebSocket-Protocol": peer.subprotocol} if peer.subprotocol else None
        answer = picows.WSUpgradeResponse.create_101_response(names)
        return picows.WSUpgradeResponseWithListener(answer, peer.listener(self._opened))

    def _opened(self, peer: FakePeer) -> None:
        self._has_new_peer.set()
        task = asyncio.get_running_loop().create_task(self._run(peer), name=f"script {peer.number}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self, peer: FakePeer) -> None:
        script = self._scripts[min(peer.number, len(self._scripts) - 1)]
        try:
            if self._says_connected:
                await peer.connected(peer.query.get("awps_connection_id", "c1"))
            await script(peer)
        except ConnectionError:
            pass  # the client went away; what that means is for the test to say
        except Exception as error:
            error.add_note(f"in the script of connection {peer.number}")
            self._failure = self._failure or error
            for other in self.peers:
                other.abort()
