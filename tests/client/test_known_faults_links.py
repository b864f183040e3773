"""Faults that other clients have with their links: silence, and how they end.

On the session alone, with a clock of the test's own; docs/known-faults.md tells each fault.
"""

import pytest
from tests.protocol.test_client_session import (
    Driver,
    events,
    message,
    of,
    send,
    states,
    written,
)

from hubbub.protocol.client_events import (
    AbortSocket,
    DisconnectedEvent,
    GetUrl,
    OpenSocket,
    RecoveringEvent,
    SocketFailed,
    SocketLost,
    State,
    StoppedEvent,
    UrlObtained,
)
from hubbub.protocol.client_options import ClientOptions
from hubbub.protocol.messages import Ack, JoinGroup, Ping, Pong

HOUR_S = 3600
PLAIN = ClientOptions(is_reliable=False)


def connected(options: ClientOptions | None = None, *, u: float = 0.5) -> Driver:
    driver = Driver(options, u=u)
    driver.start()
    driver.actions.clear()
    return driver


def joined(driver: Driver, group: str) -> None:
    driver.ask(group, JoinGroup(group))
    driver.receive(Ack(1))
    driver.actions.clear()


def tries(driver: Driver, seconds: float) -> int:
    """How many sockets were asked for while each of them was refused."""
    count, end = 0, driver.now + seconds
    while driver.timer is not None and driver.timer <= end:
        actions = driver.wait(driver.timer - driver.now)
        while opened := of(actions, GetUrl) + of(actions, OpenSocket):
            last = opened[-1]
            if isinstance(last, GetUrl):
                actions = driver.do(UrlObtained(last.link))
            else:
                count += 1
                actions = driver.do(SocketFailed(last.link, "refused"))
    driver.wait(end - driver.now)
    return count


# --- alive or not -------------------------------------------------------------------------------


def test_f01_idle_client_is_never_silent_for_twenty_seconds() -> None:
    driver = connected()
    said_at = driver.now
    while driver.now < 1000 + HOUR_S:
        if written(driver.wait(0.5)):
            said_at = driver.now
            driver.receive(Pong())
        assert driver.now - said_at < 20
    assert driver.session.state is State.CONNECTED


@pytest.mark.parametrize("asleep_s", [60, 900])
def test_f21_client_that_slept_notices_a_dead_link_within_six_seconds(asleep_s: float) -> None:
    driver = connected()
    driver.wait(14)
    driver.sleep(asleep_s)
    driver.wait(6)
    assert driver.session.state is State.RECOVERING
    driver.wait(6)
    assert driver.session.state is State.RECONNECTING
    assert of(driver.actions, GetUrl), "awake for twelve seconds, and a new connection is begun"


@pytest.mark.parametrize(("options", "limit_s"), [(PLAIN, 36), (ClientOptions(), 66)])
def test_f22_half_open_link_without_reconnect_ends_in_stopped(
    options: ClientOptions, limit_s: float
) -> None:
    is_reliable = options.is_reliable
    driver = connected(ClientOptions(is_reliable=is_reliable, auto_reconnect=False))
    driver.wait(limit_s)
    kinds = [type(event) for event in events(driver.actions)]
    assert kinds[-2:] == [DisconnectedEvent, StoppedEvent]
    assert driver.session.state is State.STOPPED
    assert driver.timer is None


def test_f36_steady_traffic_needs_no_ping_and_is_no_loss() -> None:
    driver = connected()
    for number in range(HOUR_S // 14):
        driver.wait(14)
        driver.receive(message(number + 1))
    assert Ping() not in written(driver.actions)
    assert driver.session.state is State.CONNECTED


def test_f37_silent_link_is_cut_hard_after_thirty_seconds() -> None:
    driver = connected()
    link = driver.link
    driver.wait(15)
    assert written(driver.actions) == [Ping()]
    actions = driver.wait(15)
    assert of(actions, AbortSocket) == [AbortSocket(link)]


def test_f38_link_lost_by_silence_leaves_the_next_one_its_full_time() -> None:
    driver = connected()
    driver.wait(30)
    driver.recover()
    driver.actions.clear()
    driver.wait(14.9)
    assert Ping() not in written(driver.actions)
    for _ in range(HOUR_S // 15):
        driver.wait(15)
        driver.receive(Pong())
    assert events(driver.actions) == []


def test_f42_loop_that_stood_still_for_forty_seconds_is_no_loss() -> None:
    """The handler slept; what came meanwhile is read before any verdict."""
    driver = connected()
    driver.wait(15)
    driver.sleep(40)
    driver.receive(Pong())
    driver.wait(14)
    assert events(driver.actions) == []
    silent = connected()
    silent.wait(15)
    silent.sleep(40)
    assert silent.session.state is State.CONNECTED
    silent.wait(6)
    assert silent.session.state is State.RECOVERING, "nothing came in running time either"


# --- how a link ends ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "loss", [SocketLost(0, None, "reset"), SocketLost(0), SocketLost(0, 1009, is_too_large=True)]
)
def test_f08_broken_socket_is_no_1008_and_is_recovered(loss: SocketLost) -> None:
    driver = connected()
    actions = driver.do(
        SocketLost(driver.link, loss.close_code, loss.error, is_too_large=loss.is_too_large)
    )
    assert driver.session.state is State.RECOVERING
    assert [type(event) for event in events(actions)] == [RecoveringEvent]


def by_end_of_stream(driver: Driver) -> None:
    driver.lose()


def by_write_error(driver: Driver) -> None:
    driver.ask("s", send())
    driver.do(SocketLost(driver.link, None, "broken pipe"))


def by_silence(driver: Driver) -> None:
    driver.wait(30)


def by_close_frame(driver: Driver) -> None:
    driver.lose(1001)


@pytest.mark.parametrize("options", [PLAIN, ClientOptions()])
def test_f34_link_comes_back_the_same_way_however_its_loss_was_noticed(
    options: ClientOptions,
) -> None:
    traces = []
    for lose in (by_end_of_stream, by_write_error, by_silence, by_close_frame):
        driver = connected(options)
        joined(driver, "g")
        lose(driver)
        if options.is_reliable:
            tries(driver, 40)
        driver.reconnect()
        rejoin = [r for r in written(driver.actions) if isinstance(r, JoinGroup)]
        assert len(rejoin) == 1
        driver.receive(Ack(rejoin[0].ack_id or 0))
        assert driver.session.groups.joined == {"g"}
        kinds = [
            k for e in events(driver.actions) if (k := type(e).__name__) != "ReconnectingEvent"
        ]
        traces.append((kinds, states(driver.actions)))
    assert all(trace == traces[0] for trace in traces)


def test_f39_old_socket_is_gone_before_the_next_and_its_late_end_harms_nothing() -> None:
    driver = connected()
    old = driver.link
    actions = driver.wait(30)
    kinds = [type(a) for a in actions if isinstance(a, AbortSocket | OpenSocket)]
    assert kinds == [AbortSocket, OpenSocket]
    driver.recover()
    assert driver.do(SocketLost(old, 1006)) == []
    assert driver.receive() == []
    assert driver.session.state is State.CONNECTED


@pytest.mark.parametrize("code", [1000, 1001, 1002, 1008, 1011, 1012, 4000])
def test_f24_close_code_and_reason_are_told_to_the_application(code: int) -> None:
    driver = connected()
    driver.do(SocketLost(driver.link, code, reason="why"))
    first = events(driver.actions)[0]
    assert isinstance(first, DisconnectedEvent if code == 1008 else RecoveringEvent)
    assert (first.close_code, first.close_reason) == (code, "why")
    if isinstance(first, RecoveringEvent):
        driver.open()
        driver.lose(1008)
        last = events(driver.actions)[-1]
        assert isinstance(last, DisconnectedEvent)
        told = (last.close_code, last.close_reason)
        assert told == (code, "why"), "what began it, not how the recovery was refused"
