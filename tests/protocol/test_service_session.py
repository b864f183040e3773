"""The service's side of a connection: states, requests, numbering."""

from dataclasses import dataclass

import pytest

from hubbub.protocol import limits
from hubbub.protocol.messages import (
    Ack,
    CancelInvocation,
    ErrorDetail,
    Invoke,
    InvokeResponse,
    JoinGroup,
    LeaveGroup,
    Ping,
    Pong,
    SendEvent,
    SendToGroup,
    SequenceAck,
    text_payload,
)
from hubbub.protocol.roles import Permissions
from hubbub.protocol.service_session import (
    TRANSITIONS,
    Effect,
    Input,
    ServiceSession,
    State,
    Unacknowledged,
)


@dataclass(frozen=True)
class Sent:
    name: str
    size: int = 10
    expires_at: float | None = None


def session(*roles: str, is_reliable: bool = True, **limits: int) -> ServiceSession:
    return ServiceSession("c1", Permissions(roles), is_reliable=is_reliable, **limits)


ALL = ("webpubsub.joinLeaveGroup", "webpubsub.sendToGroup")
SEND = SendToGroup("g", text_payload("x"), ack_id=1)


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("event", Input)
def test_every_pair_of_state_and_input_follows_the_table(state: State, event: Input) -> None:
    here = session()
    here.state = state
    expected = TRANSITIONS.get((state, event), (state, Effect.NONE))
    effect = here.feed(event)
    assert (here.state, effect) == expected


@pytest.mark.parametrize("event", [Input.SOCKET_LOST, Input.CLIENT_CLOSED, Input.SERVICE_CLOSED])
def test_session_that_is_not_reliable_ends_with_its_socket(event: Input) -> None:
    here = session(is_reliable=False)
    assert here.feed(event) is Effect.END
    assert here.state is State.ENDED


def test_session_that_is_not_reliable_refuses_recovery_and_lives_on() -> None:
    here = session(is_reliable=False)
    assert here.feed(Input.RECOVERED) is Effect.REFUSE
    assert here.state is State.ATTACHED


def test_ended_session_never_comes_back() -> None:
    here = session()
    here.feed(Input.CLIENT_CLOSED)
    for event in Input:
        here.feed(event)
        assert here.state is State.ENDED


@pytest.mark.parametrize(
    "request_", [SEND, JoinGroup("g", 1), LeaveGroup("g", 1), SendEvent("e", text_payload("x"), 1)]
)
def test_permitted_request_is_handed_back_to_execute(request_: SendToGroup) -> None:
    here = session(*ALL)
    assert here.receive(request_) is request_
    assert here.finished(1) == Ack(1)
    answer = here.receive(request_)
    assert isinstance(answer, Ack)
    assert answer.error is not None
    assert answer.error.name == "Duplicate"


def test_failed_request_may_come_again_with_its_ack_id() -> None:
    here = session(*ALL)
    error = ErrorDetail("InternalServerError")
    assert here.receive(SEND) is SEND
    assert here.finished(1, error) == Ack(1, error)
    assert here.receive(SEND) is SEND


def test_forbidden_request_uses_no_ack_id_up() -> None:
    here = session()
    answer = here.receive(SEND)
    assert isinstance(answer, Ack)
    assert answer.error is not None
    assert answer.error.name == "Forbidden"
    here.permissions = Permissions(ALL)
    assert here.receive(SEND) is SEND


def test_forbidden_request_without_ack_id_is_silent() -> None:
    assert session().receive(JoinGroup("g")) is None


@pytest.mark.parametrize("memory", [1, 3])
def test_ack_ids_are_forgotten_first_in_first_out(memory: int) -> None:
    here = session(*ALL, ack_memory=memory)
    for ack_id in range(memory + 1):
        here.finished(ack_id)
    assert isinstance(here.receive(JoinGroup("g", 0)), JoinGroup)
    for ack_id in range(1, memory + 1):
        assert isinstance(here.receive(JoinGroup("g", ack_id)), Ack)


def test_ping_is_answered_and_sequence_ack_is_taken() -> None:
    here = session()
    assert here.receive(Ping()) == Pong()
    assert here.unacknowledged is not None
    here.unacknowledged.append([Sent("a"), Sent("b")], 20)
    assert here.receive(SequenceAck(1)) is None
    assert len(here.unacknowledged) == 1
    assert session(is_reliable=False).receive(SequenceAck(1)) is None


def test_invocation_is_pending_until_finished_or_cancelled() -> None:
    here = session(max_invocations=1)
    invoke = Invoke("1", "e")
    assert here.receive(invoke) is invoke
    for refused in (invoke, Invoke("2", "e")):
        answer = here.receive(refused)
        assert isinstance(answer, InvokeResponse)
        assert answer.error is not None
        assert answer.error.name == "BadRequest"
    assert here.receive(CancelInvocation("2")) is None
    assert here.receive(CancelInvocation("1")) == CancelInvocation("1")
    assert here.invocation_finished(InvokeResponse("1")) is None
    assert here.receive(invoke) is invoke
    assert here.invocation_finished(InvokeResponse("1")) == InvokeResponse("1")
    assert here.receive(invoke) is invoke


def test_data_of_pending_invocations_has_a_bound_together() -> None:
    here = session()
    half = text_payload("x" * (limits.MAX_INVOCATIONS_BYTES // 2))
    assert isinstance(here.receive(Invoke("1", "e", half)), Invoke)
    assert isinstance(here.receive(Invoke("2", "e", half)), Invoke)
    answer = here.receive(Invoke("3", "e", text_payload("x")))
    assert isinstance(answer, InvokeResponse)
    assert answer.error is not None
    assert answer.error.name == "BadRequest"
    assert isinstance(here.receive(Invoke("3", "e")), Invoke)
    assert here.invocation_finished(InvokeResponse("1")) is not None
    assert isinstance(here.receive(Invoke("4", "e", text_payload("x"))), Invoke)


def test_invocation_alone_is_taken_whatever_its_size() -> None:
    more = text_payload("x" * (limits.MAX_INVOCATIONS_BYTES + 1))
    assert isinstance(session().receive(Invoke("1", "e", more)), Invoke)


# --- numbering -------------------------------------------------------------------------------


def names(unacknowledged: Unacknowledged, now: float = 0) -> list[tuple[int, str]]:
    found = []
    for sequence_id, message in unacknowledged.replay(now):
        assert isinstance(message, Sent)
        found.append((sequence_id, message.name))
    return found


def test_numbers_start_at_one_and_grow_by_one() -> None:
    queue = Unacknowledged(10, 1000)
    assert queue.append([Sent("a")], 10) == 1
    assert queue.append([Sent("b"), Sent("c")], 20) == 2
    assert queue.append([Sent("d")], 10) == 4
    assert names(queue) == [(1, "a"), (2, "b"), (3, "c"), (4, "d")]


@pytest.mark.parametrize("acked", range(7))
def test_acknowledge_forgets_up_to_the_id_also_inside_a_batch(acked: int) -> None:
    queue = Unacknowledged(10, 1000)
    queue.append([Sent("1"), Sent("2"), Sent("3")], 30)
    queue.append([Sent("4"), Sent("5")], 20)
    queue.acknowledge(acked)
    left = [(n, str(n)) for n in range(acked + 1, 6)]
    assert names(queue) == left
    assert (len(queue), queue.size) == (len(left), 10 * len(left))
    assert queue.append([Sent("6")], 10) == 6


def test_acknowledge_beyond_the_highest_counts_as_the_highest() -> None:
    queue = Unacknowledged(10, 1000)
    queue.append([Sent("a")], 10)
    queue.acknowledge(1000)
    assert queue.append([Sent("b")], 10) == 2
    assert names(queue) == [(2, "b")]


def test_expired_message_is_skipped_and_its_number_stays_used() -> None:
    queue = Unacknowledged(10, 1000)
    queue.append([Sent("a", expires_at=5.0)], 10)
    queue.append([Sent("b")], 10)
    assert names(queue, now=4.9) == [(1, "a"), (2, "b")]
    assert names(queue, now=5.0) == [(2, "b")]


@pytest.mark.parametrize(("count", "overflows"), [(2, False), (3, False), (4, True)])
def test_more_than_max_messages_overflows(count: int, overflows: bool) -> None:
    queue = Unacknowledged(3, 1000)
    queue.append([Sent("x")] * count, 10 * count)
    assert queue.is_overflowing is overflows


@pytest.mark.parametrize(("size", "overflows"), [(99, False), (100, False), (101, True)])
def test_more_than_max_bytes_overflows(size: int, overflows: bool) -> None:
    queue = Unacknowledged(3, 100)
    queue.append([Sent("x", size=size)], size)
    assert queue.is_overflowing is overflows
