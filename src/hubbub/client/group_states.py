"""The part of `Client` that shares a small map of texts with the members of a group."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hubbub.client.driver import Driver
from hubbub.client.operations import Operations, SendResult
from hubbub.client.options import DEFAULT, Default
from hubbub.protocol import names
from hubbub.protocol.messages import SetGroupState, SubscribeGroupState, UnsubscribeGroupState


@dataclass(frozen=True, slots=True)
class GroupMemberState:
    """State of one connection in a group. `updated_at`: Unix milliseconds of the service."""

    connection_id: str
    user_id: str | None
    state: Mapping[str, str]
    updated_at: int


class GroupStates(Operations):
    """State belongs to a connection: it goes with it. A recovery changes nothing.

    After a reconnect the own state is empty, subscriptions are made again, and the list fills
    when the service has answered; each change is told by `group-states-changed`.
    """

    _driver: Driver

    async def set_group_state(
        self,
        group: str,
        state: Mapping[str, str],
        *,
        ack_id: int | None = None,
        timeout: float | Default | None = DEFAULT,
    ) -> SendResult:
        """Replace the whole state of this connection in a group that it is in.

        Raises: SendMessageError; TypeError unless keys and values are str.
        """
        pairs: dict[Any, Any] = dict(state)  # whatever it is said to be
        if not all(isinstance(text, str) for pair in pairs.items() for text in pair):
            raise TypeError("a group state has texts as keys and values")
        return await self._send(SetGroupState(names.group_name(group), pairs), ack_id, timeout)

    async def clear_group_state(
        self,
        group: str,
        *,
        ack_id: int | None = None,
        timeout: float | Default | None = DEFAULT,
    ) -> SendResult:
        """Have no state in the group any more. Raises: SendMessageError."""
        return await self._send(SetGroupState(names.group_name(group)), ack_id, timeout)

    def get_group_state(self, group: str) -> dict[str, str]:
        """The own state as last confirmed; empty if none is set. A copy.

        Raises: KeyError for a group that this client does not want to be in.
        """
        session = self._driver.session
        if not session.groups.is_wished(group):
            raise KeyError(group)
        return session.states.own(group)

    async def subscribe_group_states(
        self,
        group: str,
        *,
        ack_id: int | None = None,
        timeout: float | Default | None = DEFAULT,
    ) -> SendResult:
        """Hear of the states of all connections in a group, until it is left or unsubscribed.

        The list comes right after the answer; wait for `group-states-changed`.
        Raises: SendMessageError.
        """
        return await self._send(SubscribeGroupState(names.group_name(group)), ack_id, timeout)

    async def unsubscribe_group_states(
        self,
        group: str,
        *,
        ack_id: int | None = None,
        timeout: float | Default | None = DEFAULT,
    ) -> SendResult:
        """Hear of them no more. Raises: SendMessageError."""
        return await self._send(UnsubscribeGroupState(names.group_name(group)), ack_id, timeout)

    def list_group_states(self, group: str) -> list[GroupMemberState]:
        """The states of all connections that have one. Copies.

        Raises: KeyError for a group that is not subscribed to.
        """
        items = self._driver.session.states.states(group)
        if items is None:
            raise KeyError(group)
        return [
            GroupMemberState(
                item.connection_id, item.user_id, dict(item.state or {}), item.updated_at
            )
            for item in items
        ]
