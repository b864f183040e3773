"""Group states in the client's session, on a clock of the test's own."""

from collections.abc import Mapping
from typing import Any

import pytest
from tests.protocol.test_client_session import DUPLICATE, FORBIDDEN, PASSING, Driver, of, written

from hubbub.protocol import limits
from hubbub.protocol.client_events import (
    Action,
    Cancel,
    Cause,
    ConnectedEvent,
    Emit,
    GapEvent,
    GroupStatesChangedEvent,
    OperationDone,
    OperationFailed,
    Outcome,
)
from hubbub.protocol.client_group_states import GroupView
from hubbub.protocol.messages import (
    Ack,
    GroupStateItem,
    GroupStateSnapshot,
    GroupStateUpdate,
    JoinGroup,
    LeaveGroup,
    Pong,
    Request,
    SequenceAck,
    SetGroupState,
    SubscribeGroupState,
    UnsubscribeGroupState,
)

CHANGED = Emit(GroupStatesChangedEvent("g"))


@pytest.fixture
def driver() -> Driver:
    driver = Driver()
    driver.start()
    driver.actions.clear()
    return driver


def item(
    connection_id: str, updated_at: int, state: Mapping[str, str] | None = None
) -> GroupStateItem:
    return GroupStateItem(connection_id, updated_at, "u", state)


def snapshot(*items: GroupStateItem, sequence_id: int | None = None) -> GroupStateSnapshot:
    return GroupStateSnapshot("g", items, sequence_id)


def update(*items: GroupStateItem, sequence_id: int | None = None) -> GroupStateUpdate:
    return GroupStateUpdate("g", items, sequence_id)


A, B = {"a": "1"}, {"b": "2"}


def ack_id(request: Request) -> int:
    assert isinstance(request, SetGroupState | SubscribeGroupState | UnsubscribeGroupState)
    assert request.ack_id is not None
    return request.ack_id


def do(driver: Driver, request: Any, key: object = "op") -> list[Action]:
    """Ask and confirm."""
    (asked,) = written(driver.ask(key, request))
    return driver.receive(Ack(ack_id(asked)))


def states(driver: Driver) -> dict[str, Mapping[str, str] | None] | None:
    items = driver.session.states.states("g")
    return None if items is None else {item.connection_id: item.state for item in items}


def subscribed(driver: Driver, *items: GroupStateItem) -> None:
    do(driver, SubscribeGroupState("g"))
    driver.receive(snapshot(*items))


# --- how changes and snapshots merge ------------------------------------------------------------


def test_cl_097_newer_wins_and_the_same_twice_is_no_change() -> None:
    view = GroupView()
    assert view.replace([item("c1", 10, A)], 0)
    assert not view.replace([item("c1", 10, A)], 0)
    assert view.update([item("c1", 12, B)], 0)
    assert not view.update([item("c1", 12, B)], 0)
    assert not view.update([item("c1", 11, A)], 0)
    assert view.states["c1"].item == item("c1", 12, B)


def test_cl_097_change_before_an_older_snapshot_stays() -> None:
    view = GroupView()
    assert view.update([item("c1", 20, B), item("c2", 21, B)], 0)
    assert not view.replace([item("c1", 10, A)], 1), "both are newer than the snapshot"
    assert view.replace([item("c1", 10, A), item("c3", 30, A)], 2), "c2 is not in a newer one"
    assert {n: k.item.updated_at for n, k in view.states.items()} == {"c1": 20, "c3": 30}


def test_snapshot_is_the_truth_but_for_late_changes() -> None:
    view = GroupView()
    view.update([item("c1", 20, B), item("c2", 21, B)], 0)
    late = limits.GROUP_STATE_MEMORY_S
    assert not view.replace([item("c1", 10, A)], late - 1)
    assert view.replace([item("c1", 10, A)], late)
    assert {n: k.item.updated_at for n, k in view.states.items()} == {"c1": 10}


def test_cl_097_cleared_state_does_not_come_back_with_an_older_snapshot() -> None:
    view = GroupView()
    view.replace([item("c1", 10, A)], 0)
    assert view.update([item("c1", 11)], 0)
    assert not view.update([item("c1", 12)], 0), "it was cleared already"
    assert not view.replace([item("c1", 12, A)], 1)
    assert not view.update([item("c1", 12, A)], 1)
    assert view.update([item("c1", 13, A)], 2)
    assert list(view.states) == ["c1"]


def test_cleared_states_are_forgotten_after_a_time_and_beyond_a_number() -> None:
    view = GroupView()
    view.update([item("c1", 10)], 0)
    assert view.replace([item("c1", 9, A)], limits.GROUP_STATE_MEMORY_S)
    view = GroupView()
    names = [f"c{number}" for number in range(limits.MAX_CLEARED_STATES + 1)]
    view.update([item(name, 10) for name in names], 0)
    view.replace([item(name, 9, A) for name in names], 0)
    assert list(view.states) == ["c0"]


# --- in a session -------------------------------------------------------------------------------


def test_own_state_is_what_was_last_confirmed(driver: Driver) -> None:
    own = driver.session.states.own
    (first,) = written(driver.ask("a", SetGroupState("g", A)))
    assert own("g") == {}
    (second,) = written(driver.ask("b", SetGroupState("g", B)))
    driver.receive(Ack(ack_id(first)))
    assert own("g") == A
    driver.receive(Ack(ack_id(second), FORBIDDEN))
    assert own("g") == A
    own("g")["a"] = "mine"
    assert own("g") == A, "a copy"
    do(driver, SetGroupState("g"))
    assert own("g") == {}


def test_repeat_of_an_old_state_does_not_undo_a_later_one(driver: Driver) -> None:
    (first,) = written(driver.ask("a", SetGroupState("g", A)))
    driver.receive(Ack(ack_id(first), PASSING))
    do(driver, SetGroupState("g", B))
    actions = driver.wait(10)
    assert [type(r) for r in written(actions)] == []
    (failed,) = of(actions, OperationFailed)
    assert (failed.key, failed.cause) == ("a", Cause.REJECTED)
    assert driver.session.states.own("g") == B


def test_state_that_is_tried_again_takes_a_fresh_ack_id(driver: Driver) -> None:
    (first,) = written(driver.ask("a", SetGroupState("g", A)))
    driver.receive(Ack(ack_id(first), PASSING))
    (again,) = written(driver.wait(2))
    assert ack_id(again) != ack_id(first)
    assert of(driver.receive(Ack(ack_id(again))), OperationDone)


def test_leaving_a_group_forgets_state_and_subscription(driver: Driver) -> None:
    do(driver, SetGroupState("g", A))
    subscribed(driver, item("c2", 1, A))
    driver.ask("leave", LeaveGroup("g"))
    assert driver.session.states.own("g") == {}
    assert states(driver) is None
    assert driver.receive(update(item("c2", 2, B))) == []


def test_subscription_counts_when_the_service_has_confirmed_it(driver: Driver) -> None:
    (asked,) = written(driver.ask("s", SubscribeGroupState("g")))
    assert states(driver) is None
    assert driver.receive(snapshot(item("c2", 1, A))) == [], "it may come before the ack"
    assert CHANGED in driver.receive(Ack(ack_id(asked)))
    assert states(driver) == {"c2": A}
    assert driver.receive(update(item("c2", 2), item("c3", 3, B))) == [CHANGED]
    assert states(driver) == {"c3": B}
    assert driver.receive(update(item("c3", 3, B))) == []
    do(driver, UnsubscribeGroupState("g"))
    assert states(driver) is None
    assert driver.receive(update(item("c3", 4, A))) == []


def test_states_are_told_of_only_while_they_can_be_listed(driver: Driver) -> None:
    driver.ask("s", SubscribeGroupState("g"), deadline_s=1)
    driver.wait(2)
    assert driver.receive(snapshot(item("c2", 1, A))) == []
    assert states(driver) is None
    assert CHANGED in do(driver, SubscribeGroupState("g"))
    assert states(driver) == {"c2": A}


def test_refused_subscription_is_none(driver: Driver) -> None:
    (asked,) = written(driver.ask("s", SubscribeGroupState("g")))
    (failed,) = driver.receive(Ack(ack_id(asked), FORBIDDEN))
    assert isinstance(failed, OperationFailed)
    assert failed.outcome is Outcome.REJECTED
    assert states(driver) is None
    assert driver.receive(snapshot(item("c2", 1, A))) == []


def test_subscription_that_was_given_up_meanwhile_is_not_tried_again(driver: Driver) -> None:
    (asked,) = written(driver.ask("s", SubscribeGroupState("g")))
    driver.receive(Ack(ack_id(asked), PASSING))
    do(driver, UnsubscribeGroupState("g"), "u")
    assert written(driver.wait(10)) == []
    assert states(driver) is None


def test_recovery_changes_nothing(driver: Driver) -> None:
    do(driver, SetGroupState("g", A))
    subscribed(driver, item("c2", 1, A))
    driver.lose()
    actions = driver.recover()
    assert CHANGED not in actions
    assert not any(isinstance(r, SubscribeGroupState) for r in written(actions))
    assert (driver.session.states.own("g"), states(driver)) == (A, {"c2": A})


def test_cl_097_reconnect_forgets_everything_and_renews_subscriptions(driver: Driver) -> None:
    (join,) = written(driver.ask("j", JoinGroup("g")))
    assert isinstance(join, JoinGroup)
    driver.receive(Ack(join.ack_id or 0))
    do(driver, SetGroupState("g", A))
    subscribed(driver, item("c2", 1, A))
    actions = driver.lose(1008)
    assert actions.count(CHANGED) == 1
    assert (driver.session.states.own("g"), states(driver)) == ({}, {})
    (rejoin,) = written(driver.reconnect())
    assert isinstance(rejoin, JoinGroup)
    actions = driver.receive(Ack(rejoin.ack_id or 0))
    (again,) = written(actions)
    assert isinstance(again, SubscribeGroupState)
    told = [type(a.event) for a in of(actions, Emit)]
    assert told == [ConnectedEvent, GapEvent]
    assert CHANGED not in driver.receive(Ack(ack_id(again)), snapshot())
    assert driver.receive(snapshot(item("c3", 1, A))) == [CHANGED]


def test_subscription_that_cannot_be_renewed_is_told(driver: Driver) -> None:
    subscribed(driver)
    driver.lose(1008)
    (again,) = written(driver.reconnect())
    assert driver.receive(Ack(ack_id(again), FORBIDDEN)) == [CHANGED]
    assert states(driver) is None
    driver.lose(1008)
    assert written(driver.reconnect("c3")) == []


def test_subscription_is_renewed_where_the_rejoin_ended_early(driver: Driver) -> None:
    subscribed(driver)
    driver.ask("j", JoinGroup("g"))
    driver.lose(1008)
    driver.reconnect()
    driver.lose()
    driver.open()
    kinds = [type(request) for request in written(driver.receive(Pong()))]
    assert kinds[-2:] == [JoinGroup, SubscribeGroupState]


def test_pending_calls_over_a_reconnect(driver: Driver) -> None:
    """A subscription is made on the new connection, its end needs none, a state is unknown."""
    driver.ask("sub", SubscribeGroupState("g"))
    driver.ask("unsub", UnsubscribeGroupState("h"))
    driver.ask("set", SetGroupState("g", A))
    actions = driver.lose(1008)
    assert [done.key for done in of(actions, OperationDone)] == ["unsub"]
    assert [(f.key, f.outcome) for f in of(actions, OperationFailed)] == [("set", Outcome.UNKNOWN)]
    (again,) = written(driver.reconnect())
    assert [d.key for d in of(driver.receive(Ack(ack_id(again))), OperationDone)] == ["sub"]
    assert states(driver) == {}


def test_repeat_after_a_recovery_keeps_its_ack_id(driver: Driver) -> None:
    (asked,) = written(driver.ask("set", SetGroupState("g", A)))
    driver.lose()
    assert asked in written(driver.recover())
    (done,) = of(driver.receive(Ack(ack_id(asked), DUPLICATE)), OperationDone)
    assert done.is_duplicated
    assert driver.session.states.own("g") == A


def test_cancelled_call_is_not_made(driver: Driver) -> None:
    driver.lose()
    driver.ask("set", SetGroupState("g", A))
    driver.do(Cancel("set"))
    assert not any(isinstance(r, SetGroupState) for r in written(driver.recover()))


def test_cl_105_states_are_counted_confirmed_and_taken_once(driver: Driver) -> None:
    do(driver, SubscribeGroupState("g"))
    first = snapshot(item("c2", 1, A), sequence_id=1)
    second = update(item("c2", 2, B), sequence_id=2)
    assert CHANGED in driver.receive(first, second)
    assert written(driver.wait(1)) == [SequenceAck(2)]
    assert driver.session.inbound.jumps == 0
    driver.lose()
    driver.open()
    third = update(item("c3", 3, A), sequence_id=3)
    actions = driver.receive(first, second, third)
    assert actions.count(CHANGED) == 1
    assert driver.session.inbound.duplicates == 2
    assert states(driver) == {"c2": B, "c3": A}
    assert SequenceAck(3) in written(actions) + written(driver.wait(1))


def test_states_alone_make_no_gap(driver: Driver) -> None:
    subscribed(driver, item("c2", 1, A))
    driver.lose(1008)
    actions = driver.reconnect()
    assert not any(isinstance(a.event, GapEvent) for a in of(actions, Emit))
