"""What a client asks for, carried out: groups, sends, events, invocations.

Requests of one connection are executed in order of arrival. A user event that waits for its
handler holds back the requests behind it in the connection's lane; `ping`, `sequenceAck`,
`invoke` and `cancelInvocation` pass, else a slow handler would look like a dead link.
"""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any, cast

from hubbub.protocol.errors import EngineError, UpstreamError
from hubbub.protocol.messages import (
    CancelInvocation,
    ErrorDetail,
    Invoke,
    InvokeResponse,
    JoinGroup,
    LeaveGroup,
    Ping,
    Request,
    Response,
    SendEvent,
    SendToGroup,
    SequenceAck,
    SetGroupState,
    StreamData,
    StreamEnd,
    StreamStart,
    SubscribeGroupState,
    UnsubscribeGroupState,
)
from hubbub.protocol.service_session import State
from hubbub.service.connection import Connection, Lane
from hubbub.service.forms import PLAIN
from hubbub.service.hub import Hub
from hubbub.service.observe import Counts
from hubbub.service.streams import Streams
from hubbub.service.upstream import Upstream

log = logging.getLogger("hubbub.service")

_PASSES_THE_LANE = frozenset((Ping, SequenceAck, Invoke, CancelInvocation))
_INTERNAL = ErrorDetail("InternalServerError", "Internal server error")
_BUSY = ErrorDetail("InternalServerError", "the service cannot take the message now, try again")


class Requests:
    """Executes the requests of one hub's clients; owns the tasks that wait for handlers."""

    def __init__(
        self, hub: Hub, upstream: Upstream, counts: Counts, *, drop_on_event_failure: bool
    ) -> None:
        self._hub = hub
        self._upstream = upstream
        self._counts = counts
        self._drop_on_event_failure = drop_on_event_failure
        self._streams = Streams(hub)
        self._tasks: set[asyncio.Task[None]] = set()

    def take(self, connection: Connection, request: Request, size: int) -> None:
        """One request, decoded. `size`: bytes of its message, for the bound of the lane."""
        lane = connection.lane
        if lane is None or type(request) in _PASSES_THE_LANE:
            self._execute(connection, request)
            return
        lane.append(request, size)
        if lane.is_full and connection.socket is not None:
            connection.socket.pause_reading()

    async def finish(self, timeout_s: float) -> None:
        """Let pending events and invocations end; cancel what is left."""
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=timeout_s)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late)

    # --- one request -------------------------------------------------------------------------

    def _execute(self, connection: Connection, request: Request) -> None:
        verdict = connection.session.receive(request)
        match verdict:
            case SendToGroup():
                self._send_to_group(connection, verdict)
            case None:
                if connection.form is PLAIN and isinstance(request, SendToGroup):
                    # A plain client has no ack to read the refusal from.
                    reason = "no permission to send to the group"
                    self._hub.close_connection(connection, 1008, reason)
            case JoinGroup():
                self._join_group(connection, verdict)
            case LeaveGroup():
                self._hub.leave_group(connection, verdict.group)
                self._ack(connection, verdict.ack_id)
            case SendEvent():
                connection.lane = connection.lane or Lane()
                self._start(self._run_lane(connection, verdict))
            case Invoke():
                tasks = connection.invocation_tasks
                if tasks is None:
                    tasks = connection.invocation_tasks = {}
                tasks[verdict.invocation_id] = self._start(self._invoke(connection, verdict))
            case CancelInvocation():
                if connection.invocation_tasks is not None:
                    task = connection.invocation_tasks.pop(verdict.invocation_id, None)
                    if task is not None:
                        task.cancel()
            case StreamStart() | StreamData() | StreamEnd():
                self._streams.take(connection, verdict)
            case SetGroupState():
                self._set_group_state(connection, verdict)
            case SubscribeGroupState():
                self._subscribe_group_state(connection, verdict)
            case UnsubscribeGroupState():
                self._hub.unsubscribe_group_state(connection, verdict.group)
                self._ack(connection, verdict.ack_id)
            case Ping() | SequenceAck():
                raise AssertionError("the session executes these itself")
            case response:
                self._respond(connection, response)

    def _send_to_group(self, connection: Connection, request: SendToGroup) -> None:
        try:
            self._hub.send_to_group(
                request.group,
                request.payload,
                from_user_id=connection.user_id,
                no_echo=connection.id if request.no_echo else None,
                publisher=connection.id,
                ttl_seconds=request.ttl_seconds,
                metadata=request.metadata,
            )
        except EngineError:
            self._ack(connection, request.ack_id, _BUSY)
        else:
            self._ack(connection, request.ack_id)

    def _join_group(self, connection: Connection, request: JoinGroup) -> None:
        error = None
        most = self._hub.settings.max_groups_per_connection
        mine = connection.groups or ()
        if len(mine) >= most and request.group not in mine:
            error = ErrorDetail("BadRequest", f"{most} groups are the most for a connection")
        else:
            self._hub.join_group(connection, request.group)
        self._ack(connection, request.ack_id, error)

    def _set_group_state(self, connection: Connection, request: SetGroupState) -> None:
        error = None
        if connection.groups is None or request.group not in connection.groups:
            error = ErrorDetail("Forbidden", "only members have a state in a group")
        elif request.state is not None and (
            fault := self._hub.group_state_fault(connection, request.group, request.state)
        ):
            error = ErrorDetail("BadRequest", fault)
        else:
            self._hub.set_group_state(connection, request.group, request.state)
        self._ack(connection, request.ack_id, error)

    def _subscribe_group_state(self, connection: Connection, request: SubscribeGroupState) -> None:
        if fault := self._hub.group_state_fault(connection, request.group):
            self._ack(connection, request.ack_id, ErrorDetail("BadRequest", fault))
            return
        self._ack(connection, request.ack_id)
        self._hub.subscribe_group_state(connection, request.group)

    def _ack(
        self, connection: Connection, ack_id: int | None, error: ErrorDetail | None = None
    ) -> None:
        ack = connection.session.finished(ack_id, error)
        if ack is not None:
            self._respond(connection, ack)

    def _respond(self, connection: Connection, response: Request | Response) -> None:
        if not connection.respond(cast(Response, response)):
            self._hub.close_slow((connection,))

    def _start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("a request ended with an unexpected error", exc_info=task.exception())

    # --- user events -------------------------------------------------------------------------

    async def _run_lane(self, connection: Connection, event: SendEvent | None) -> None:
        """Events one after another, and between them whatever waits in the lane."""
        try:
            while event is not None:
                await self._call_handler(connection, event)
                event = self._next_event(connection)
        except Exception:
            # What waits in the lane is lost with it, so the connection must not go on.
            log.exception("an event failed connection_id=%s", connection.id)
            self._hub.close_connection(connection, 1011, "internal error")
        connection.lane = None  # not if cancelled, at a drain: nothing may overtake what waits

    def _next_event(self, connection: Connection) -> SendEvent | None:
        lane = connection.lane
        assert lane is not None, "only this task ends the lane"
        was_full = lane.is_full
        event = None
        while lane.queue and event is None and connection.session.state is not State.ENDED:
            request = lane.popleft()
            if isinstance(request, SendEvent):
                verdict = connection.session.receive(request)
                if isinstance(verdict, SendEvent):
                    event = verdict
                elif verdict is not None:
                    self._respond(connection, verdict)
            else:
                self._execute(connection, request)
        if was_full and not lane.is_full and connection.socket is not None:
            connection.socket.resume_reading()
        return event

    async def _call_handler(self, connection: Connection, event: SendEvent) -> None:
        hub = self._hub
        try:
            answer = await self._upstream.user_event(
                connection.source, event.event, event.payload, metadata=event.metadata
            )
        except UpstreamError as error:
            self._counts["events.failed"] += 1
            log.warning(
                "user event failed hub=%s connection_id=%s event=%s: %s",
                hub.name, connection.id, event.event, error,
            )  # fmt: skip
            self._fail_event(connection, event)
            return
        if connection.session.state is State.ENDED:
            return
        try:
            if answer.payload is not None:
                hub.send_to_connection(connection.id, answer.payload, metadata=answer.metadata)
        except EngineError:
            self._fail_event(connection, event)
        else:
            self._ack(connection, event.ack_id)

    def _fail_event(self, connection: Connection, event: SendEvent) -> None:
        if connection.session.state is State.ENDED:
            return
        if connection.form is not PLAIN:
            self._ack(connection, event.ack_id, _INTERNAL)
        if connection.form is PLAIN or self._drop_on_event_failure:
            self._hub.close_connection(connection, 1011, "the event was not handled")

    # --- invocations -------------------------------------------------------------------------

    async def _invoke(self, connection: Connection, request: Invoke) -> None:
        """Cancelled by the client's `cancelInvocation` or with the connection."""
        invocation_id = request.invocation_id
        try:
            answer = await self._upstream.user_event(
                connection.source, request.event, request.payload, invocation_id=invocation_id
            )
        except UpstreamError as error:
            self._counts["events.failed"] += 1
            response = InvokeResponse(invocation_id, error=_invocation_error(error))
        except Exception:
            log.exception("an invocation failed connection_id=%s", connection.id)
            response = InvokeResponse(invocation_id, error=_INTERNAL)
        else:
            response = InvokeResponse(invocation_id, answer.payload)
        if connection.invocation_tasks is not None:
            connection.invocation_tasks.pop(invocation_id, None)
        due = connection.session.invocation_finished(response)
        if due is not None and connection.session.state is not State.ENDED:
            self._respond(connection, due)


def _invocation_error(error: UpstreamError) -> ErrorDetail:
    status = error.status
    if error.no_handler or status == 404:
        return ErrorDetail("NotFound", error.text or "nobody handles this event")
    if status in (401, 403):
        return ErrorDetail("Forbidden", error.text or "the event handler refused")
    if status is not None and 400 <= status < 500:
        return ErrorDetail("BadRequest", error.text or "the event handler refused")
    return ErrorDetail("InternalServerError", error.text or "the event handler failed")
