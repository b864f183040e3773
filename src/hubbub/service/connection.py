"""One client's state on this node; with a reliable subprotocol it outlives its socket."""

import asyncio
from collections import deque
from typing import Protocol

from hubbub.protocol import limits
from hubbub.protocol.filters import Attributes
from hubbub.protocol.messages import Ack, Request, Response, StreamClosed
from hubbub.protocol.service_session import ServiceSession
from hubbub.protocol.service_streams import PublishedStreams
from hubbub.service.forms import PLAIN, Form
from hubbub.service.outbox import Outbox
from hubbub.service.upstream.source import EventSource

_NO_GROUPS: frozenset[str] = frozenset()


class Socket(Protocol):
    """What a connection may ask of the socket that carries it."""

    @property
    def outbox(self) -> Outbox: ...

    def close(self, code: int, reason: str) -> None:
        """Send what is queued, then the close frame; cut after the flush time-out."""

    def abort(self) -> None:
        """Cut at once, without a close frame."""

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


class Lane:
    """Requests that wait behind a user event of their connection, in order of arrival."""

    __slots__ = ("queue", "size")

    def __init__(self) -> None:
        self.queue: deque[tuple[Request, int]] = deque()
        self.size = 0

    def append(self, request: Request, size: int) -> None:
        self.queue.append((request, size))
        self.size += size

    def popleft(self) -> Request:
        request, size = self.queue.popleft()
        self.size -= size
        return request

    @property
    def is_full(self) -> bool:
        return (
            len(self.queue) >= limits.INBOUND_QUEUE_MESSAGES
            or self.size >= limits.INBOUND_QUEUE_BYTES
        )


class Connection:
    __slots__ = (
        "_held",
        "form",
        "groups",
        "id",
        "invocation_tasks",
        "lane",
        "outbox",
        "session",
        "socket",
        "source",
        "stream_timer",
        "streams",
        "subprotocol",
        "user_id",
        "window",
    )

    def __init__(
        self,
        session: ServiceSession,
        source: EventSource,
        *,
        form: Form,
        subprotocol: str | None,
    ) -> None:
        self.id = session.connection_id
        self.session = session
        self.source = source
        self.user_id = source.user_id
        self.form = form
        self.subprotocol = subprotocol
        self.groups: set[str] | None = None
        self.socket: Socket | None = None
        self.outbox: Outbox | None = None
        self.lane: Lane | None = None
        """Present while a user event waits for its handler."""
        self.invocation_tasks: dict[str, asyncio.Task[None]] | None = None
        self.streams: PublishedStreams | None = None
        self.stream_timer: asyncio.TimerHandle | None = None
        """Runs while a stream may become idle too long."""
        self.window: asyncio.TimerHandle | None = None
        self._held: deque[Ack | StreamClosed] | None = None

    @property
    def attributes(self) -> Attributes:
        """What a filter sees of it now."""
        return Attributes(self.id, self.user_id, self.groups or _NO_GROUPS, self.subprotocol)

    def attach(self, socket: Socket) -> None:
        self.socket = socket
        self.outbox = socket.outbox

    def detach(self) -> None:
        self.socket = None
        self.outbox = None

    def respond(self, response: Response) -> bool:
        """Send a response that carries no sequence id. False: the reader is too slow.

        While the client is away acks and ends of its streams wait for its return (as many as ack
        ids are remembered); other responses are dropped. A plain client gets none.
        """
        if self.form is PLAIN:
            return True
        if self.outbox is None:
            if isinstance(response, Ack | StreamClosed):
                if self._held is None:
                    self._held = deque(maxlen=limits.ACK_ID_MEMORY)
                self._held.append(response)
            return True
        return self.outbox.write(self.form.response(response))

    def release_held(self) -> bool:
        """After a recovery: the answers that waited. False: the reader is too slow."""
        held, self._held = self._held, None
        return all(self.respond(answer) for answer in held or ())
