"""One message to many connections: encoded once per form, joined per tick, shared by all.

Nothing here awaits, and nobody waits for a slow reader: who is over the limit is named to the
caller, who closes the connection after the loop.
"""

from collections.abc import Iterable, Sequence

from hubbub.protocol.json_codec import numbered_tail
from hubbub.protocol.messages import DataMessage, GroupStateSnapshot, GroupStateUpdate
from hubbub.service.connection import JSON, PLAIN, RELIABLE, Connection
from hubbub.service.frames import BINARY, TEXT, frame

MAX_JOINED_BYTES = 65_536
"""A group's tick is flushed early beyond this, so that a burst does not delay other groups."""

_SEQUENCE_HEAD_BYTES = 40


class Outgoing:
    """A message on its way; each wire form is built when the first receiver needs it."""

    __slots__ = ("_json", "_plain", "_tail", "expires_at", "message", "size")

    def __init__(
        self,
        message: DataMessage | GroupStateSnapshot | GroupStateUpdate,
        *,
        expires_at: float | None = None,
    ) -> None:
        """`message` without a sequence id: each reliable receiver has its own."""
        self.message = message
        self.expires_at = expires_at
        self._tail = numbered_tail(message)
        self.size = len(self._tail) + _SEQUENCE_HEAD_BYTES
        self._json: bytes | None = None
        self._plain: bytes | None = None

    def json(self) -> bytes:
        if self._json is None:
            self._json = frame(TEXT, b"{" + self._tail)
        return self._json

    def reliable(self, sequence_id: int) -> bytes:
        return frame(TEXT, b'{"sequenceId":%d,' % sequence_id + self._tail)

    def plain(self) -> bytes:
        """The bare data. The end of a stream and group states are nothing to a plain client."""
        if self._plain is None:
            message = self.message
            if not isinstance(message, DataMessage) or (message.stream and message.stream.is_end):
                self._plain = b""
            else:
                opcode = TEXT if message.payload.is_text else BINARY
                self._plain = frame(opcode, message.payload.raw)
        return self._plain


class Batch:
    """Messages that go out together, and the buffers that their receivers share.

    A message that can expire stands alone, so that each copy can be dropped by itself.
    """

    __slots__ = ("_json", "_plain", "_reliable", "expires_at", "messages", "size")

    def __init__(self, messages: tuple[Outgoing, ...]) -> None:
        self.messages = messages
        self.size = sum(message.size for message in messages)
        self.expires_at = messages[0].expires_at if len(messages) == 1 else None
        self._json: bytes | None = None
        self._plain: bytes | None = None
        self._reliable: dict[int, bytes] = {}

    def json(self) -> bytes:
        if self._json is None:
            self._json = b"".join([message.json() for message in self.messages])
        return self._json

    def plain(self) -> bytes:
        if self._plain is None:
            self._plain = b"".join([message.plain() for message in self.messages])
        return self._plain

    def reliable(self, first: int) -> bytes:
        """Members whose next number is equal share one buffer."""
        buffer = self._reliable.get(first)
        if buffer is None:
            buffer = self._reliable[first] = b"".join(
                [message.reliable(first + i) for i, message in enumerate(self.messages)]
            )
        return buffer


def batches(messages: Sequence[Outgoing]) -> list[Batch]:
    """Runs of messages without an expiry are joined; order is kept."""
    if all(message.expires_at is None for message in messages):
        return [Batch(tuple(messages))] if messages else []
    parts: list[Batch] = []
    run: list[Outgoing] = []
    for message in messages:
        if message.expires_at is None:
            run.append(message)
            continue
        if run:
            parts.append(Batch(tuple(run)))
            run = []
        parts.append(Batch((message,)))
    if run:
        parts.append(Batch(tuple(run)))
    return parts


def fan_out(members: Iterable[Connection], batch: Batch) -> list[Connection]:
    """Hand the batch to each member. Returns those whose queue is full: slow clients.

    The measured hot loop of the service: no await, no lock, shared buffers only.
    """
    messages, size, count = batch.messages, batch.size, len(batch.messages)
    expires_at = batch.expires_at
    slow: list[Connection] = []
    for member in members:
        kind = member.kind
        outbox = member.outbox
        if kind == RELIABLE:
            unacknowledged = member.session.unacknowledged
            assert unacknowledged is not None, "a reliable connection numbers its messages"
            first = unacknowledged.append(messages, size)
            if unacknowledged.is_overflowing:
                slow.append(member)
                continue
            if outbox is None:  # away: kept for the replay
                continue
            buffer = batch.reliable(first)
        elif kind == JSON:
            buffer = batch.json()
        else:
            buffer = batch.plain()
        if outbox is not None and not outbox.write(buffer, count, expires_at):
            slow.append(member)
    return slow


class Group:
    """A named set of connections, and what this tick has brought for them."""

    __slots__ = ("members", "name", "pending", "pending_bytes")

    def __init__(self, name: str) -> None:
        self.name = name
        self.members: dict[str, Connection] = {}
        self.pending: list[tuple[Outgoing, frozenset[str]]] = []
        self.pending_bytes = 0

    def add(self, message: Outgoing, excluded: frozenset[str]) -> None:
        self.pending.append((message, excluded))
        self.pending_bytes += message.size

    def flush(self) -> list[Connection]:
        """Deliver what is pending. Returns the slow members."""
        pending, self.pending = self.pending, []
        self.pending_bytes = 0
        if not pending or not self.members:
            return []
        apart = {id for _, excluded in pending for id in excluded if id in self.members}
        if not apart:
            members: Iterable[Connection] = self.members.values()
        else:
            members = [m for m in self.members.values() if m.id not in apart]
        slow: list[Connection] = []
        for batch in batches([message for message, _ in pending]):
            slow += fan_out(members, batch)
        for connection_id in apart:
            wanted = [m for m, excluded in pending if connection_id not in excluded]
            for batch in batches(wanted):
                slow += fan_out((self.members[connection_id],), batch)
        return slow


__all__ = [
    "JSON",
    "MAX_JOINED_BYTES",
    "PLAIN",
    "RELIABLE",
    "Batch",
    "Group",
    "Outgoing",
    "batches",
    "fan_out",
]
