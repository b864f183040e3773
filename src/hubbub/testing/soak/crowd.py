"""The clients of a soak: each sends, invokes, joins and leaves by a random script of its own."""

import asyncio
import random
import string
from collections import Counter
from typing import Any

from hubbub import clock
from hubbub.appserver import EventHandler, UserEventRequest
from hubbub.client import Client
from hubbub.client.events import GroupMessageEvent
from hubbub.protocol.client_events import ConnectedEvent
from hubbub.protocol.errors import InvocationError, SendMessageError
from hubbub.testing.soak.ledger import Ledger

_FILLING = string.ascii_letters * 40
_INVOKE_S = 60.0


class Backend:
    """Answers invocations with what they ask, and counts those that come a second time."""

    def __init__(self) -> None:
        self.handler = EventHandler("soak")
        self._latest: dict[int, int] = {}
        self.doubled = 0
        self.handler.on_event("echo")(self._echo)

    async def _echo(self, request: UserEventRequest) -> Any:
        client, number = request.data
        if number <= self._latest.get(client, 0):
            self.doubled += 1
        self._latest[client] = number
        return request.data


class Member:
    """One client and what it is to do. All its calls wait for their answer before the next."""

    def __init__(
        self, index: int, client: Client, ledger: Ledger, counts: Counter[str], groups: int
    ) -> None:
        self.index = index
        self.client = client
        self._ledger = ledger
        self._counts = counts
        self._groups = groups
        self._home = f"g{index % groups}"
        self._sent = 0
        self._invoked = 0
        self._is_visiting = ""
        client.on("group-message", self._on_message)
        client.on("connected", self._on_connected)
        for name in ("recovering", "recovered", "gap", "rejoin-group-failed", "handler-error"):
            client.on(name, lambda _, name=name: counts.update([name]))

    async def start(self) -> None:
        await self.client.start()
        await self._join(self._home)

    async def act(self, draw: random.Random, pause_s: float, until: float) -> None:
        """Go on until that time of the monotonic clock."""
        while (now := clock.monotonic()) < until:
            await asyncio.sleep(min(draw.expovariate(1 / pause_s), until - now))
            choice = draw.random()
            if choice < 0.8:
                await self.send(draw)
            elif choice < 0.9:
                await self._invoke()
            else:
                await self._visit(draw)

    async def send(self, draw: random.Random, group: str | None = None) -> None:
        group = group or f"g{draw.randrange(self._groups)}"
        filling = _FILLING[: draw.choice((0, 10, 200, 2_000))]
        self._sent += 1
        number, begun_at = self._sent, clock.monotonic()
        try:
            await self.client.send_to_group(group, [self.index, number, filling])
        except SendMessageError as error:
            self._counts[f"send {error.outcome}"] += 1
        else:
            self._ledger.accepted(self.index, group, number, begun_at)

    async def send_home(self) -> None:
        await self.send(random.Random(self.index), self._home)

    async def _invoke(self) -> None:
        self._invoked += 1
        asked = [self.index, self._invoked]
        try:
            answer = await self.client.invoke_event("echo", asked, timeout=_INVOKE_S)
        except InvocationError as error:
            self._counts[f"invoke {error.outcome}"] += 1
        else:
            self._counts["invoke answered"] += 1
            self._counts["invoke answered wrongly"] += answer.data != asked

    async def _visit(self, draw: random.Random) -> None:
        """Join a second group, or leave it again."""
        if not self._is_visiting:
            group = f"g{draw.randrange(self._groups)}"
            if group != self._home:
                self._is_visiting = group
                await self._join(group)
            return
        group, self._is_visiting = self._is_visiting, ""
        self._ledger.leaves(self.index, group)
        try:
            await self.client.leave_group(group)
        except SendMessageError as error:
            self._counts[f"leave {error.outcome}"] += 1

    async def _join(self, group: str) -> None:
        try:
            await self.client.join_group(group)
        except SendMessageError as error:
            self._counts[f"join {error.outcome}"] += 1
        else:
            if group in self.client.joined_groups:
                self._ledger.joined(self.index, group, clock.monotonic())

    # --- handlers; plain functions, so that they run where the event is in its order -------------

    def _on_message(self, event: GroupMessageEvent) -> None:
        sender, number, _ = event.data
        self._ledger.got(self.index, sender, number)

    def _on_connected(self, event: ConnectedEvent) -> None:
        if event.is_reconnect:
            self._counts["reconnected"] += 1
            self._ledger.reconnected(self.index, event.rejoined, clock.monotonic())
