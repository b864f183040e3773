"""Faults that other clients have when they come back: recovery, reconnect, the first frame.

On the session alone, with a clock of the test's own; docs/known-faults.md tells each fault.
"""

import random
from collections.abc import Callable

import pytest
from tests.client.test_known_faults_links import PLAIN, connected, joined, tries
from tests.protocol.test_client_session import (
    Driver,
    events,
    message,
    of,
    send,
    written,
)

from hubbub.protocol.client_events import (
    AbortSocket,
    ConnectedEvent,
    Deliver,
    GapEvent,
    GetUrl,
    OperationDone,
    RecoveredEvent,
    SocketFailed,
    Start,
    Started,
    State,
    TimerDue,
    UrlFailed,
    UrlObtained,
)
from hubbub.protocol.client_options import ClientOptions
from hubbub.protocol.messages import Ack, Connected, JoinGroup, Ping, SequenceAck

# --- recovery -----------------------------------------------------------------------------------


def test_f20_recovery_is_proven_by_a_frame_and_not_by_an_open_socket() -> None:
    driver = connected()
    driver.lose()
    for _ in range(5):
        driver.open()
        link = driver.link
        assert of(driver.wait(5), AbortSocket) == [AbortSocket(link)]
        if driver.session.state is State.RECOVERING:
            driver.wait(1)
    assert driver.session.state is State.RECONNECTING
    assert RecoveredEvent not in map(type, events(driver.actions))
    assert driver.now <= 1031


def test_recovery_that_does_not_open_in_time_is_given_more_time_by_the_next_try() -> None:
    """Else a service that is slow because everybody comes back at once would answer nobody."""
    driver = connected()
    driver.lose()
    for limit_s in (5, 10):
        link = driver.link
        assert of(driver.wait(limit_s - 0.1), AbortSocket) == []
        assert of(driver.wait(0.1), AbortSocket) == [AbortSocket(link)]
        driver.wait(1)
    driver.do(SocketFailed(driver.link, "refused"))
    driver.wait(1)
    assert of(driver.wait(5), AbortSocket), "an answer came quickly: the limit is short again"


def test_f14_lost_confirmation_is_made_up_for_and_the_service_never_holds_too_much() -> None:
    driver = connected()
    driver.receive(*(message(n) for n in range(1, 200)))
    assert written(driver.wait(1)) == [SequenceAck(199)]
    driver.lose()  # with the frame that was just written
    actions = driver.recover()
    assert written(actions) == [SequenceAck(199)]
    confirmed = 199
    for number in range(200, 2200):
        for request in written(driver.receive(message(number))):
            assert isinstance(request, SequenceAck)
            confirmed = request.sequence_id
        assert number - confirmed < 1000
    driver.wait(1)
    assert written(driver.actions)[-1] == SequenceAck(2199)


def test_f23_burst_of_messages_is_confirmed_while_it_comes() -> None:
    driver = connected()
    confirmed, most = 0, 0
    for number in range(1, 5001):
        driver.now += 0.0001
        for request in written(driver.receive(message(number))):
            assert isinstance(request, SequenceAck)
            confirmed = request.sequence_id
        most = max(most, number - confirmed)
    assert most < 1000, "where the service closes for good"
    assert len(of(driver.actions, Deliver)) == 5000


# --- reconnect ----------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [PLAIN, ClientOptions()])
def test_f09_client_is_back_soon_after_ten_minutes_without_a_service(
    options: ClientOptions,
) -> None:
    driver = connected(options)
    driver.lose()
    if options.is_reliable:
        driver.do(SocketFailed(driver.link, "refused"))
    tries(driver, 600)
    assert driver.session.state in (State.RECONNECTING, State.RECOVERING)
    assert of(driver.wait(30), GetUrl), "and its try finds a service"
    driver.connect("c2")
    assert driver.session.state is State.CONNECTED


def test_f30_clients_of_a_restarted_service_come_back_spread_over_a_second() -> None:
    draw = random.Random(1)
    at = []
    for _ in range(1000):
        driver = connected(PLAIN, u=draw.random())
        driver.wait(10)
        driver.lose()
        assert driver.timer is not None
        at.append(driver.timer - driver.now)
    assert max(at) - min(at) >= 0.9
    tenths = [sum(int(pause_s * 10) == tenth for pause_s in at) for tenth in range(10)]
    assert min(tenths) > 50, tenths


def refused(driver: Driver) -> None:
    driver.do(UrlObtained(driver.link))
    driver.do(SocketFailed(driver.link, "refused"))


def unavailable(driver: Driver) -> None:
    driver.do(UrlObtained(driver.link))
    driver.do(SocketFailed(driver.link, "busy", status=503))


def not_found(driver: Driver) -> None:
    driver.do(UrlObtained(driver.link))
    driver.do(SocketFailed(driver.link, "no", status=404))


def unauthorized(driver: Driver) -> None:
    driver.do(UrlObtained(driver.link))
    driver.do(SocketFailed(driver.link, "no", status=401))


def no_address(driver: Driver) -> None:
    driver.do(UrlFailed(driver.link, "the credential failed"))


def closed_at_once(driver: Driver) -> None:
    driver.do(UrlObtained(driver.link))
    driver.open()
    driver.lose(4000)


def never_connected(driver: Driver) -> None:
    driver.do(UrlObtained(driver.link))
    driver.open()
    driver.wait(10)


def never_opened(driver: Driver) -> None:
    driver.do(UrlObtained(driver.link))
    driver.wait(10)


def never_an_address(driver: Driver) -> None:
    driver.wait(10)


FAILURES: tuple[Callable[[Driver], None], ...] = (
    refused, unavailable, not_found, unauthorized, no_address, closed_at_once, never_connected,
    never_opened, never_an_address,
)  # fmt: skip


def test_f33_no_kind_of_failed_try_ends_the_tries() -> None:
    driver = connected(PLAIN)
    driver.lose()
    for fail in (*FAILURES, *FAILURES):
        while not of(driver.wait(1), GetUrl):
            pass
        fail(driver)
        assert driver.session.state is State.RECONNECTING, fail.__name__
        assert driver.timer is not None, fail.__name__
    driver.reconnect()
    assert driver.session.state is State.CONNECTED


def test_f41_what_waited_for_the_new_connection_comes_after_the_rejoin() -> None:
    driver = connected(PLAIN)
    joined(driver, "g")
    driver.lose()
    driver.ask("s", send("first"))
    actions = driver.reconnect()
    assert written(actions) == [JoinGroup("g", 3)]
    actions = driver.receive(Ack(3))
    assert [type(event) for event in events(actions)] == [ConnectedEvent, GapEvent]
    (request,) = written(actions)
    assert request.payload.token == send("first").payload.token  # type: ignore[union-attr]
    assert of(driver.receive(Ack(2)), OperationDone)


def test_f44_pauses_start_small_again_after_a_stable_connection() -> None:
    driver = connected(PLAIN)
    driver.wait(10)
    driver.lose()
    for _ in range(5):
        while not of(driver.wait(1), GetUrl):
            pass
        refused(driver)
    while not of(driver.wait(1), GetUrl):
        pass
    driver.connect("c2")
    driver.wait(10)
    driver.lose()
    assert driver.timer is not None
    assert driver.timer - driver.now <= 1


def test_f35_there_is_one_keep_alive_however_many_connections_there_were() -> None:
    driver = connected()
    for _ in range(200):
        driver.lose()
        driver.wait(1)
        driver.recover()
        driver.wait(10)
    driver.actions.clear()
    driver.do(TimerDue())
    assert written(driver.wait(15)) == [Ping()]


def test_f15_client_is_not_started_before_the_service_said_connected() -> None:
    driver = Driver()
    driver.do(Start())
    driver.do(UrlObtained(driver.link))
    driver.open()
    assert of(driver.wait(3), Started) == []
    assert driver.session.connection_id is None
    assert of(driver.receive(Connected("c1", "u", "t")), Started)
    assert driver.session.connection_id == "c1"
