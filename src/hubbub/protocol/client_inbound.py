"""The flow of messages into a client: each once, in order, and confirmed to the service."""

from hubbub.protocol.client_events import ClientOptions
from hubbub.protocol.messages import DataMessage, GroupStateSnapshot, GroupStateUpdate

Numbered = DataMessage | GroupStateSnapshot | GroupStateUpdate
"""Messages that are counted, confirmed, and repeated after a recovery."""


class Inbound:
    """Sequence ids of one connection id and when to confirm them. Made anew with each."""

    __slots__ = (
        "_bytes",
        "_messages",
        "_options",
        "ack_at",
        "duplicates",
        "has_message",
        "jumps",
        "largest",
    )

    def __init__(self, options: ClientOptions, counted: "Inbound | None" = None) -> None:
        """`counted`: of the connection before; its totals go on."""
        self._options = options
        self._messages = 0
        self._bytes = 0
        self.largest = 0
        """Largest sequence id seen; 0: none yet."""
        self.ack_at: float | None = None
        """When the next sequence ack is due."""
        self.has_message = False
        self.duplicates: int = counted.duplicates if counted is not None else 0
        self.jumps: int = counted.jumps if counted is not None else 0

    def accept(self, message: Numbered, size_bytes: int, now: float) -> bool:
        """Count a message; False: it was there before and must not be delivered again.

        A repeated message is confirmed too: the service repeats what it thinks we lack.
        """
        self.has_message |= isinstance(message, DataMessage)
        sequence_id = message.sequence_id
        if sequence_id is None or not self._options.is_reliable:
            return True
        self._note_unconfirmed(size_bytes, now)
        if sequence_id <= self.largest:
            self.duplicates += 1
            return False
        if sequence_id > self.largest + 1:
            self.jumps += 1
        self.largest = sequence_id
        return True

    def confirm_again(self, now: float) -> None:
        """After a recovery: the last sequence ack may be lost."""
        self.ack_at = now if self.largest else None

    def confirmed(self) -> None:
        self.ack_at = None
        self._messages = self._bytes = 0

    def _note_unconfirmed(self, size_bytes: int, now: float) -> None:
        options = self._options
        self._messages += 1
        self._bytes += size_bytes
        if self.ack_at is None:
            self.ack_at = now + options.sequence_ack_s
        if (
            self._messages >= options.sequence_ack_messages
            or self._bytes >= options.sequence_ack_bytes
        ):
            self.ack_at = now
