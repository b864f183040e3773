"""One message to many connections: encoded once per form, joined per tick, shared by all.

Nothing here awaits, and nobody waits for a slow reader: who is over the limit is named to the
caller, who closes the connection after the loop.
"""

from collections.abc import Iterable, Mapping, Sequence

from hubbub.service.connection import Connection
from hubbub.service.forms import Form, Outgoing

MAX_JOINED_BYTES = 65_536
"""A group's tick is flushed early beyond this, so that a burst does not delay other groups."""


class Batch:
    """Messages that go out together, and the buffers that their receivers share.

    A message that can expire stands alone, so that each copy can be dropped by itself.
    """

    __slots__ = ("expires_at", "messages", "numbered", "shared", "size")

    def __init__(self, messages: tuple[Outgoing, ...]) -> None:
        self.messages = messages
        if len(messages) == 1:  # the usual case; a sum and joins would cost it 15 %
            self.size, self.expires_at = messages[0].size, messages[0].expires_at
        else:
            self.size, self.expires_at = sum(message.size for message in messages), None
        self.shared: dict[Form, bytes] = {}
        """The buffers made so far for forms that are not reliable."""
        self.numbered: dict[Form, dict[int, bytes]] = {}
        """The others: members whose next number is equal share one."""

    def share(self, form: Form) -> bytes:
        """Make the buffer for all members of this form."""
        messages = self.messages
        if len(messages) == 1:
            buffer = messages[0].frame(form)
        else:
            buffer = b"".join([message.frame(form) for message in messages])
        self.shared[form] = buffer
        return buffer

    def number(self, form: Form, first: int) -> bytes:
        """Make the buffer for the members of a reliable form whose next number is `first`."""
        messages = self.messages
        if len(messages) == 1:
            buffer = form.message(messages[0], first)
        else:
            buffer = b"".join(
                [form.message(message, number) for number, message in enumerate(messages, first)]
            )
        self.numbered.setdefault(form, {})[first] = buffer
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


_NONE: Mapping[int, bytes] = {}


def fan_out(members: Iterable[Connection], batch: Batch) -> list[Connection]:
    """Hand the batch to each member. Returns those whose queue is full: slow clients.

    The measured hot loop of the service: no await, no lock, shared buffers only.
    """
    messages, size, count = batch.messages, batch.size, len(batch.messages)
    expires_at, shared, numbered = batch.expires_at, batch.shared, batch.numbered
    slow: list[Connection] = []
    for member in members:
        form = member.form
        outbox = member.outbox
        if form.is_reliable:
            unacknowledged = member.session.unacknowledged
            assert unacknowledged is not None, "a reliable connection numbers its messages"
            first = unacknowledged.append(messages, size)
            if unacknowledged.is_overflowing:
                slow.append(member)
                continue
            if outbox is None:  # away: kept for the replay
                continue
            buffer = numbered.get(form, _NONE).get(first) or batch.number(form, first)
        else:
            buffer = shared.get(form) or batch.share(form)
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
