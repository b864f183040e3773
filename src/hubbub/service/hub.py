"""One hub on this node: who is connected, who is in which group, and what reaches whom.

Every change of membership and every direct message first flushes what the tick has pending, so
that a hub's messages keep their order and nobody gets what was sent before they came.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping

from hubbub.protocol.errors import EngineError, EngineUnavailable
from hubbub.protocol.filters import Predicate
from hubbub.protocol.messages import (
    Connected,
    DataMessage,
    Disconnected,
    Metadata,
    Payload,
    StreamInfo,
)
from hubbub.protocol.service_session import Effect, Input, State
from hubbub.protocol.service_streams import Fragment
from hubbub.service.connection import Connection, Socket
from hubbub.service.delivery import MAX_JOINED_BYTES, Batch, Group, fan_out
from hubbub.service.engine.interface import Engine, HealthState
from hubbub.service.forms import PLAIN, Outgoing
from hubbub.service.group_states import GroupStates
from hubbub.service.observe import Counts
from hubbub.service.settings import Settings
from hubbub.service.upstream import Upstream

log = logging.getLogger("hubbub.service")

NOBODY: frozenset[str] = frozenset()


def select(
    candidates: Iterable[Connection],
    excluded: frozenset[str] = NOBODY,
    matches: Predicate | None = None,
) -> Iterable[Connection]:
    """The candidates that are not excluded and match the filter; without either, as they are."""
    if excluded:
        candidates = [c for c in candidates if c.id not in excluded]
    if matches is not None:
        candidates = [c for c in candidates if matches(c.attributes)]
    return candidates


class Hub:
    def __init__(
        self,
        name: str,
        settings: Settings,
        engine: Engine,
        upstream: Upstream,
        counts: Counts,
        make_reconnection_token: Callable[[str, str], str],
    ) -> None:
        """`make_reconnection_token(hub, connection_id)` proves a later recovery."""
        self.name = name
        self.settings = settings
        self.connections: dict[str, Connection] = {}
        self.groups: dict[str, Group] = {}
        self.users: dict[str, dict[str, Connection]] = {}
        self._engine = engine
        self._upstream = upstream
        self._counts = counts
        self._make_token = make_reconnection_token
        self._states = GroupStates(lambda: self._loop.call_soon(self._flush_states))
        self._pending: list[Group] = []
        self._published: dict[str, Group] = {}
        """Where each publisher of this tick has published last."""
        self._loop = asyncio.get_running_loop()

    # --- coming, going, coming back ----------------------------------------------------------

    def admit(self, connection: Connection, socket: Socket, groups: Iterable[str]) -> None:
        """A new client: in its groups before its first frame; hears `connected` first."""
        self.connections[connection.id] = connection
        if connection.user_id:
            self.users.setdefault(connection.user_id, {})[connection.id] = connection
        connection.attach(socket)
        self._counts["connections.opened"] += 1
        if connection.form is not PLAIN:
            connection.respond(self._connected(connection))
        for group in groups:
            self.join_group(connection, group)
        self._upstream.connected(connection.source)

    def find_recoverable(self, connection_id: str) -> Connection | None:
        connection = self.connections.get(connection_id)
        return connection if connection is not None and connection.form.is_reliable else None

    def recover(self, connection: Connection, socket: Socket) -> bool:
        """A lost client on a new socket: `connected`, then the replay, then live messages.

        False: refused, the caller closes with 1008.
        """
        self.flush()  # may close slow clients: this one too
        effect = connection.session.feed(Input.RECOVERED)
        if effect is Effect.REFUSE:
            return False
        if connection.window is not None:
            connection.window.cancel()
            connection.window = None
        if effect is Effect.TAKE_OVER and connection.socket is not None:
            old = connection.socket
            connection.detach()
            old.abort()
        connection.attach(socket)
        self._counts["connections.recovered"] += 1
        unacknowledged = connection.session.unacknowledged
        assert unacknowledged is not None, "only reliable connections are recovered"
        is_taken = connection.respond(self._connected(connection))
        for sequence_id, message in unacknowledged.replay(self._loop.time()):
            assert isinstance(message, Outgoing), "the hub keeps nothing else"
            data = connection.form.message(message, sequence_id)
            is_taken = is_taken and socket.outbox.write(data, 1, message.expires_at)
        is_taken = is_taken and connection.release_held()
        if connection.streams is not None:
            for stands_at in connection.streams.resume():
                is_taken = is_taken and connection.respond(stands_at)
        if not is_taken:
            self.close_slow([connection])
            return True
        if connection.lane is not None and connection.lane.is_full:
            socket.pause_reading()
        return True

    def socket_ended(
        self, connection: Connection, socket: Socket, event: Input, reason: str
    ) -> None:
        """The socket is gone or going: SOCKET_LOST, CLIENT_CLOSED or SERVICE_CLOSED."""
        if connection.socket is not socket:
            return  # taken over by another socket, or ended before
        connection.detach()
        self._end_invocations_without_socket(connection)
        effect = connection.session.feed(event)
        if effect is Effect.START_WINDOW:
            self._counts["connections.lost"] += 1
            connection.window = self._loop.call_later(
                self.settings.recovery_window_s, self._window_over, connection
            )
        elif effect is Effect.END:
            self._forget(connection, reason)

    def _end_invocations_without_socket(self, connection: Connection) -> None:
        """Invocations of a reliable client go on; those of another one have nobody to answer."""
        if connection.form.is_reliable or connection.invocation_tasks is None:
            return
        for task in connection.invocation_tasks.values():
            task.cancel()

    def _window_over(self, connection: Connection) -> None:
        connection.window = None
        if connection.session.feed(Input.WINDOW_OVER) is Effect.END:
            self._forget(connection, "Connection recovery timed out.")

    def close_connection(
        self,
        connection: Connection,
        code: int,
        reason: str,
        *,
        cause: str | None = None,
        drop_queue: bool = False,
    ) -> None:
        """End the session from our side: `disconnected`, the close frame, no recovery.

        `cause`: the word for metrics and for the event handler where `reason` is not its own.
        """
        self.flush()
        if connection.session.feed(Input.SERVICE_CLOSED) is not Effect.END:
            return
        if connection.window is not None:
            connection.window.cancel()
            connection.window = None
        socket = connection.socket
        connection.detach()
        if socket is not None:
            if drop_queue:
                socket.outbox.drop_queue()
            if connection.form is not PLAIN:
                socket.outbox.write(connection.form.response(Disconnected(reason or None)))
            socket.close(code, reason)
        self._forget(connection, cause or reason)

    def close_for_app_server(self, connection: Connection, reason: str) -> None:
        """The customer's backend wants the client out; it hears of it with the same reason."""
        if connection.session.state is not State.ENDED:
            self._counts["closed.ClosedByAppServer"] += 1
            self.close_connection(connection, 1000, reason)

    def close_slow(self, slow: Iterable[Connection]) -> None:
        for connection in slow:
            if connection.session.state is State.ENDED:
                continue
            self._counts["closed.SlowClient"] += 1
            log.warning("closing a slow client hub=%s connection_id=%s", self.name, connection.id)
            self.close_connection(
                connection, 1008, "the client reads too slowly", cause="SlowClient", drop_queue=True
            )

    def close(self) -> None:
        """The node stops at once: every session ends and every socket is cut, without a word."""
        for connection in list(self.connections.values()):
            connection.session.feed(Input.SERVICE_CLOSED)
            for timer in (connection.window, connection.stream_timer):
                if timer is not None:
                    timer.cancel()
            socket = connection.socket
            connection.detach()
            if socket is not None:
                socket.abort()
        self.connections.clear()

    def _forget(self, connection: Connection, reason: str) -> None:
        del self.connections[connection.id]
        if connection.user_id:
            mine = self.users[connection.user_id]
            del mine[connection.id]
            if not mine:
                del self.users[connection.user_id]
        for name in list(connection.groups or ()):
            self._remove(connection, name)
        for task in (connection.invocation_tasks or {}).values():
            task.cancel()
        if connection.lane is not None:
            connection.lane.queue.clear()
        self._cancel_streams(connection)
        self._states.gone(connection)
        self._counts["connections.ended"] += 1
        self._upstream.disconnected(connection.source, reason)

    def _cancel_streams(self, connection: Connection) -> None:
        """Members hear that the streams of a publisher that is gone will not go on."""
        if connection.stream_timer is not None:
            connection.stream_timer.cancel()
            connection.stream_timer = None
        if connection.streams is None:
            return
        for fragment in connection.streams.cancel():
            try:
                self.send_fragment(connection, fragment)
            except EngineError as error:
                log.warning("the end of a stream was not sent hub=%s: %s", self.name, error)

    def send_fragment(self, connection: Connection, fragment: Fragment) -> None:
        """Raises: EngineUnavailable: nothing was sent."""
        self.send_to_group(
            fragment.group,
            fragment.payload,
            from_user_id=connection.user_id,
            no_echo=connection.id if fragment.no_echo else None,
            publisher=connection.id,
            stream=fragment.info,
        )

    def _connected(self, connection: Connection) -> Connected:
        token = self._make_token(self.name, connection.id) if connection.form.is_reliable else None
        return Connected(connection.id, connection.user_id or None, token)

    # --- groups ------------------------------------------------------------------------------

    def join_group(self, connection: Connection, name: str) -> None:
        """Joining twice changes nothing, and who has left the hub joins no more."""
        group = self.groups.get(name)
        if group is not None and group.pending:
            self.flush()  # may close slow clients: this one, or the group's last
            group = self.groups.get(name)
        if connection.session.state is State.ENDED:
            return
        if group is None:
            group = self.groups[name] = Group(name)
        group.members[connection.id] = connection
        if connection.groups is None:
            connection.groups = set()
        connection.groups.add(group.name)

    def leave_group(self, connection: Connection, name: str) -> None:
        if connection.groups is not None and name in connection.groups:
            self.flush()  # may close slow clients, this one too
            if name in connection.groups:
                self._remove(connection, name)

    def group_state_fault(
        self, connection: Connection, group: str, state: Mapping[str, str] | None = None
    ) -> str:
        """Why the connection cannot have this state, or subscribe; "" if it can."""
        return self._states.fault(connection, group, state)

    def set_group_state(
        self, connection: Connection, group: str, state: Mapping[str, str] | None
    ) -> None:
        """Replace what the connection, a member, says of itself in the group; None clears it."""
        self._states.set(connection, group, state)

    def subscribe_group_state(self, connection: Connection, group: str) -> None:
        """A snapshot now, then every change until it unsubscribes or leaves the group."""
        self._flush_states()
        if connection.session.state is State.ENDED:
            return  # its own ack, or what came before, may have been too much for it
        self.close_slow(self._states.subscribe(connection, group))

    def unsubscribe_group_state(self, connection: Connection, group: str) -> None:
        self._states.unsubscribe(connection, group)

    def _flush_states(self) -> None:
        """Changes of states come after the messages of their tick."""
        self.flush()
        self.close_slow(self._states.flush())

    def leave_all_groups(self, connection: Connection) -> None:
        if connection.groups:
            self.flush()
            for name in list(connection.groups):
                self._remove(connection, name)

    def _remove(self, connection: Connection, name: str) -> None:
        assert connection.groups is not None, "a member knows its groups"
        connection.groups.discard(name)
        group = self.groups[name]
        del group.members[connection.id]
        if not group.members:
            del self.groups[name]
        self._states.left(connection, name)

    # --- sending -----------------------------------------------------------------------------

    def send_to_group(
        self,
        group: str,
        payload: Payload,
        *,
        from_user_id: str | None = None,
        no_echo: str | None = None,
        excluded: frozenset[str] = NOBODY,
        matches: Predicate | None = None,
        ttl_seconds: int = 0,
        metadata: Metadata | None = None,
        stream: StreamInfo | None = None,
        publisher: str | None = None,
    ) -> None:
        """Accepted when it returns. `no_echo`: the sending connection, which gets no copy.

        `publisher`: the sending connection; who is in several groups gets its messages in the
        order in which it sent them. `matches`: the filter; None = no filter, which costs nothing per member.
        Raises: EngineUnavailable: nothing was sent.
        """
        self._require_engine()
        if matches is not None:
            self.flush()  # so that this one can go at once and keeps its place in the group
        members = self.groups.get(group)
        if members is None:
            return
        if no_echo is not None:
            excluded = excluded | {no_echo}
        message = self._outgoing(payload, ttl_seconds, metadata, group, from_user_id, stream)
        if publisher is not None:
            earlier = self._published.setdefault(publisher, members)
            if earlier is not members:
                self.flush()  # joined per group, its messages would overtake each other
                if stream is not None and not stream.is_end and publisher not in self.connections:
                    return  # the flush has turned it out, and members know that its streams ended
                members = self.groups.get(group)
                if members is None:
                    return
                self._published[publisher] = members
        if matches is not None:
            self._deliver(select(members.members.values(), excluded, matches), message)
            return
        if not members.pending:
            if not self._pending:
                self._loop.call_soon(self.flush)
            self._pending.append(members)
        members.add(message, excluded)
        if members.pending_bytes > MAX_JOINED_BYTES:
            self.flush()

    def send_to_all(
        self,
        payload: Payload,
        *,
        excluded: frozenset[str] = NOBODY,
        matches: Predicate | None = None,
        ttl_seconds: int = 0,
        metadata: Metadata | None = None,
    ) -> None:
        """To every connection of the hub that the filter matches. Raises: EngineUnavailable."""
        self._prepare_direct()
        members = select(self.connections.values(), excluded, matches)
        self._deliver(members, self._outgoing(payload, ttl_seconds, metadata))

    def send_to_user(
        self,
        user_id: str,
        payload: Payload,
        *,
        matches: Predicate | None = None,
        ttl_seconds: int = 0,
        metadata: Metadata | None = None,
    ) -> None:
        """To every connection of the user that the filter matches. Raises: EngineUnavailable."""
        self._prepare_direct()
        members = select(self.users.get(user_id, {}).values(), NOBODY, matches)
        self._deliver(members, self._outgoing(payload, ttl_seconds, metadata))

    def send_to_connection(
        self,
        connection_id: str,
        payload: Payload,
        *,
        ttl_seconds: int = 0,
        metadata: Metadata | None = None,
    ) -> None:
        """To one connection, if it exists. Raises: EngineUnavailable."""
        self._prepare_direct()
        connection = self.connections.get(connection_id)
        members = () if connection is None else (connection,)
        self._deliver(members, self._outgoing(payload, ttl_seconds, metadata))

    def _prepare_direct(self) -> None:
        """A direct message overtakes nothing that was sent before it."""
        self._require_engine()
        self.flush()

    def _deliver(self, members: Iterable[Connection], message: Outgoing) -> None:
        self.close_slow(fan_out(members, Batch((message,))))

    def _outgoing(
        self,
        payload: Payload,
        ttl_seconds: int,
        metadata: Metadata | None,
        group: str | None = None,
        from_user_id: str | None = None,
        stream: StreamInfo | None = None,
    ) -> Outgoing:
        self._counts["messages.accepted"] += 1
        expires_at = self._loop.time() + ttl_seconds if ttl_seconds else None
        message = DataMessage(payload, group, from_user_id, None, metadata, stream)
        return Outgoing(message, expires_at=expires_at)

    @property
    def is_accepting(self) -> bool:
        return self._engine.health is HealthState.UP

    def _require_engine(self) -> None:
        if not self.is_accepting:
            raise EngineUnavailable("the engine is not up; nothing was sent")

    def flush(self) -> None:
        """Deliver what this tick has brought, group by group in the order of their first message."""
        while self._pending:
            pending, self._pending = self._pending, []
            self._published.clear()
            slow: list[Connection] = []
            for group in pending:
                try:
                    slow += group.flush()
                except Exception:  # the other groups are not at fault
                    log.exception("messages of a group were lost hub=%s", self.name)
            if slow:
                self.close_slow(slow)
