"""The flow of messages into a client: each once, in order, and confirmed to the service."""

from hubbub.protocol.client_options import ClientOptions
from hubbub.protocol.messages import DataMessage, GroupStateSnapshot, GroupStateUpdate

Numbered = DataMessage | GroupStateSnapshot | GroupStateUpdate
"""Messages that are counted, confirmed, and repeated after a recovery."""


class Inbound:
    """Sequence ids of one connection id and when to confirm them. Made anew with each."""

    __slots__ = (
        "_bytes",
        "_is_counting",
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
        self._is_counting = options.is_reliable
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
        if sequence_id is None or not self._is_counting:
            return True
        self._messages += 1
        self._bytes += size_bytes
        self.plan(now)
        if sequence_id <= self.largest:
            self.duplicates += 1
            return False
        if sequence_id > self.largest + 1:
            self.jumps += 1
        self.largest = sequence_id
        return True

    def take(self, sequence_id: int | None, size_bytes: int) -> bool:
        """`accept` for the next message in order; `plan` comes after all that were read together.

        False: nothing was counted; `accept` is to judge it.
        """
        if self._is_counting and sequence_id is not None:
            if sequence_id != self.largest + 1:
                return False
            self.largest = sequence_id
            self._messages += 1
            self._bytes += size_bytes
        self.has_message = True
        return True

    @property
    def is_unplanned(self) -> bool:
        """There is something for `plan` to do."""
        return bool(self._messages) and (self.ack_at is None or self._is_much)

    @property
    def is_unconfirmed(self) -> bool:
        return self.ack_at is not None or bool(self._messages)

    @property
    def _is_much(self) -> bool:
        options = self._options
        return (
            self._messages >= options.sequence_ack_messages
            or self._bytes >= options.sequence_ack_bytes
        )

    def plan(self, now: float) -> None:
        """Set the time of the next sequence ack: soon, or now where much is unconfirmed."""
        if self._messages and self.ack_at is None:
            self.ack_at = now + self._options.sequence_ack_s
        if self._is_much:
            self.ack_at = now

    def confirm_again(self, now: float) -> None:
        """After a recovery: the last sequence ack may be lost."""
        self.ack_at = now if self.largest else None

    def confirmed(self) -> None:
        self.ack_at = None
        self._messages = self._bytes = 0
