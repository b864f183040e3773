"""The browser client when links break: recovery, reconnect, keep-alive, stopping."""

import pytest
from tests.browser.driver import Driver, start
from tests.browser.fake_service import FakeService

pytestmark = pytest.mark.asyncio(loop_scope="session")

QUICK = {"reconnectRetryOptions": {"retryDelayInMs": 10}}
RECOVERY = {"access_token": "old", "n": "1", "awps_connection_id": "c1"}


async def test_cp_131_close_1008_is_not_recovered_and_asks_for_a_fresh_url(
    driver: Driver, service: FakeService
) -> None:
    peer = await start(driver, service, **QUICK)
    await peer.send(type="system", event="disconnected", message="too slow")
    await peer.close(1008, "slow")
    again = await service.accept_connected("c2")
    assert again.query == {"access_token": "old", "n": "2"}
    await driver.wait_for("connected", 2)
    events = await driver.events()
    assert [name for name, _ in events] == ["connected", "disconnected", "connected"]
    assert events[1][1] == {
        "connectionId": "c1",
        "message": {"event": "disconnected", "message": "too slow"},
        "closeCode": 1008,
        "closeReason": "slow",
    }


async def test_cp_132_recovery_goes_on_after_refused_handshakes_and_emits_connected_once(
    driver: Driver, service: FakeService
) -> None:
    peer = await start(driver, service)
    service.refusals = [502, 502]
    await peer.close(1001)
    again = await service.accept()
    assert again.query == {**RECOVERY, "awps_reconnection_token": "t1"}
    assert await again.receive() == {"type": "ping"}
    await again.connected("c1", "t2")
    await driver.wait_for("recovered")
    again.cut()
    third = await service.accept()
    assert third.query["awps_reconnection_token"] == "t2"
    await third.connected("c1", None)
    await driver.wait_for("recovered", 2)
    third.cut()
    fourth = await service.accept()
    assert fourth.query == {**RECOVERY, "awps_reconnection_token": "t2"}
    await fourth.send(type="pong")
    await driver.wait_for("recovered", 3)
    assert await driver.names() == ["connected", *["recovering", "recovered"] * 3]


async def test_cp_133_repeated_sequence_ids_are_dropped_but_confirmed(
    driver: Driver, service: FakeService
) -> None:
    peer = await start(driver, service)
    for sequence_id in (3, 3, 2, 4):
        await peer.group_message(sequence_id, sequence_id)
    await driver.wait_for("group-message", 2)
    assert await peer.receive() == {"type": "sequenceAck", "sequenceId": 4}
    await peer.group_message(4, 4)
    assert await peer.receive() == {"type": "sequenceAck", "sequenceId": 4}
    got = [e["message"]["data"] for name, e in await driver.events() if name == "group-message"]
    assert got == [3, 4]


async def test_sequence_ids_are_confirmed_every_200_messages(
    timed_driver: Driver, service: FakeService
) -> None:
    driver = timed_driver
    peer = await start(driver, service)
    await driver.freeze()
    for sequence_id in range(1, 402):
        await peer.group_message(sequence_id, "x")
    assert await peer.receive() == {"type": "sequenceAck", "sequenceId": 200}
    assert await peer.receive() == {"type": "sequenceAck", "sequenceId": 400}


async def test_cp_134_silent_link_is_left_and_recovered_although_the_peer_answers_no_close(
    driver: Driver, service: FakeService
) -> None:
    peer = await start(driver, service, keepAliveIntervalInMs=100, keepAliveTimeoutInMs=200)
    assert await peer.receive() == {"type": "ping"}
    peer.socket.transport.pause_reading()
    again = await service.accept()
    assert await driver.run("return sockets[0].readyState") == 2  # CLOSING
    assert again.query["awps_connection_id"] == "c1"
    await again.send(type="pong")
    await driver.wait_for("recovered")
    peer.cut()


async def test_link_that_answers_pings_stays_up(driver: Driver, service: FakeService) -> None:
    peer = await start(driver, service, keepAliveIntervalInMs=60, keepAliveTimeoutInMs=5000)
    for _ in range(3):
        assert await peer.receive() == {"type": "ping"}
        await peer.send(type="pong")
    assert await driver.names() == ["connected"]


async def test_silence_while_timers_stood_still_is_asked_about_first(
    timed_driver: Driver, service: FakeService
) -> None:
    driver = timed_driver
    peer = await start(driver, service)
    await driver.page.clock.fast_forward(600_000)
    assert await peer.receive() == {"type": "ping"}
    await peer.send(type="pong")
    await peer.group_message(1, "alive")
    await driver.wait_for("group-message")
    await driver.page.clock.run_for(10_000)
    assert await driver.names() == ["connected", "group-message"]


async def test_recovery_after_30_s_gives_up_and_reconnects(
    timed_driver: Driver, service: FakeService
) -> None:
    driver = timed_driver
    peer = await start(driver, service, **QUICK)
    service.refusals = [503] * 100
    peer.cut()
    await driver.wait_for("recovering")
    await driver.page.clock.fast_forward(31_000)
    await driver.wait_for("disconnected")
    service.refusals = []
    again = await service.accept_connected("c2")
    assert "awps_connection_id" not in again.query
    await driver.wait_for("connected", 2)


async def test_recovery_answered_with_1008_ends_in_a_new_connection(
    driver: Driver, service: FakeService
) -> None:
    peer = await start(driver, service, **QUICK)
    await peer.close(1000)
    await (await service.accept()).close(1008)
    await service.accept_connected("c2")
    await driver.wait_for("connected", 2)
    assert await driver.names() == ["connected", "recovering", "disconnected", "connected"]


async def test_recovery_on_a_mute_socket_is_tried_again(
    timed_driver: Driver, service: FakeService
) -> None:
    driver = timed_driver
    peer = await start(driver, service)
    peer.cut()
    mute = await service.accept()
    assert await mute.receive() == {"type": "ping"}
    await driver.page.clock.run_for(6_100)
    assert await mute.closed() == 1005
    await (await service.accept()).send(type="pong")
    await driver.wait_for("recovered")


async def test_plain_protocol_is_not_recovered(driver: Driver, service: FakeService) -> None:
    peer = await start(driver, service, protocol="json.webpubsub.azure.v1", **QUICK)
    peer.cut()
    again = await service.accept_connected("c2", None)
    assert again.query == {"access_token": "old", "n": "2"}
    await driver.wait_for("connected", 2)
    assert await driver.names() == ["connected", "disconnected", "connected"]


async def test_loss_without_auto_reconnect_stops(driver: Driver, service: FakeService) -> None:
    peer = await start(driver, service, autoReconnect=False)
    await peer.close(1008)
    await driver.wait_for("stopped")
    assert await driver.names() == ["connected", "disconnected", "stopped"]


async def test_reconnect_draws_growing_pauses_and_stops_after_the_last_retry(
    driver: Driver, service: FakeService
) -> None:
    options = {"retryDelayInMs": 64, "maxRetryDelayInMs": 200, "maxRetries": 4}
    peer = await start(driver, service, reconnectRetryOptions=options)
    await driver.run("""
        Math.random = () => 0.5;
        window.pauses = [];
        const original = window.setTimeout;
        window.setTimeout = (f, ms) => { pauses.push(ms); return original(f, ms); };
    """)
    service.refusals = [503] * 10
    await peer.close(1008)
    await driver.wait_for("stopped")
    assert [ms for ms in await driver.run("return pauses") if ms <= 200] == [32, 64, 100, 100]
    assert service.handshakes == 5


async def test_groups_are_joined_again_after_a_reconnect_and_not_after_a_recovery(
    driver: Driver, service: FakeService
) -> None:
    peer = await start(driver, service, **QUICK)
    for group in ("kept", "left", "refused"):
        await driver.call(group, f"client.joinGroup('{group}')")
        await peer.ack(await peer.receive("joinGroup"))
        await driver.outcome(group)
    await driver.call("no", "client.joinGroup('no')")
    await peer.ack(await peer.receive("joinGroup"), "Forbidden")
    await driver.outcome("no")
    await driver.call("leave", "client.leaveGroup('left')")
    await peer.ack(await peer.receive("leaveGroup"))
    peer.cut()
    recovered = await service.accept()
    await recovered.connected("c1")
    await driver.wait_for("recovered")
    await recovered.close(1008)
    again = await service.accept_connected("c2")
    first, second = await again.receive(), await again.receive()
    assert {first["group"], second["group"]} == {"kept", "refused"}
    for frame in (first, second):
        await again.ack(frame, "Forbidden" if frame["group"] == "refused" else None)
    await driver.wait_for("connected", 2)
    events = await driver.events()
    assert [name for name, _ in events][-3:] == ["disconnected", "rejoin-group-failed", "connected"]
    assert events[-2][1]["group"] == "refused"
    await driver.call("last", "client.joinGroup('last')")
    assert (await again.receive())["group"] == "last"


async def test_groups_are_joined_again_before_what_waits_for_them_is_sent(
    driver: Driver, service: FakeService
) -> None:
    peer = await start(driver, service, **QUICK)
    await driver.call("join", "client.joinGroup('g')")
    await peer.ack(await peer.receive())
    await driver.outcome("join")
    await driver.run(
        "client.on('disconnected', () => { client.sendToGroup('g', 'late', 'text'); })"
    )
    await peer.close(1008)
    again = await service.accept_connected("c2")
    frames = [await again.receive(), await again.receive()]
    assert [frame["type"] for frame in frames] == ["joinGroup", "sendToGroup"]


async def test_groups_with_auto_rejoin_off_are_not_joined_again(
    driver: Driver, service: FakeService
) -> None:
    peer = await start(driver, service, autoRejoinGroups=False, **QUICK)
    await driver.call("join", "client.joinGroup('g')")
    await peer.ack(await peer.receive())
    await driver.outcome("join")
    await peer.close(1008)
    again = await service.accept_connected("c2")
    await driver.wait_for("connected", 2)
    await driver.call("next", "client.joinGroup('other')")
    assert (await again.receive())["group"] == "other"


async def test_operations_without_an_ack_are_written_again_after_a_recovery(
    driver: Driver, service: FakeService
) -> None:
    peer = await start(driver, service)
    await driver.call("one", "client.sendToGroup('g', 1, 'json')")
    await driver.call("two", "client.joinGroup('g')")
    written = [await peer.receive(), await peer.receive()]
    peer.cut()
    await driver.wait_for("recovering")
    await driver.call("three", "client.sendEvent('e', 3, 'json')")
    await driver.call("four", "client.sendEvent('e', 4, 'json', {fireAndForget: true})")
    again = await service.accept()
    await again.send(type="pong")
    await again.receive("ping")
    frames = [await again.receive() for _ in range(4)]
    assert frames[:2] == written
    assert [frame["data"] for frame in frames[2:]] == [3, 4]
    await again.ack(frames[0], "Duplicate")
    await again.ack(frames[1])
    await again.ack(frames[2])
    assert (await driver.outcome("one"))["value"]["isDuplicated"] is True
    for name in ("two", "three", "four"):
        assert (await driver.outcome(name))["value"]["isDuplicated"] is False


async def test_operations_after_a_reconnect_fail_only_where_a_repeat_could_double(
    driver: Driver, service: FakeService
) -> None:
    peer = await start(driver, service, **QUICK)
    await driver.call("sent", "client.sendToGroup('g', 1, 'json')")
    await driver.call("join", "client.joinGroup('g')")
    await peer.receive()
    await peer.receive()
    await driver.run(
        "client.on('disconnected', () => { calls.late = outcome(client.sendEvent('e', 1, 'json')); })"
    )
    await peer.close(1008)
    again = await service.accept_connected("c2")
    assert (await driver.outcome("sent"))["ackId"] == 1
    join, late = await again.receive(), await again.receive()
    assert (join["type"], late["type"]) == ("joinGroup", "event")
    await again.ack(join)
    await again.ack(late)
    assert (await driver.outcome("join"))["value"]["ackId"] == join["ackId"]
    assert (await driver.outcome("late"))["value"]["ackId"] == late["ackId"]


async def test_invoke_when_the_link_breaks_fails_and_is_cancelled_after_the_recovery(
    driver: Driver, service: FakeService
) -> None:
    peer = await start(driver, service)
    await driver.call("invoke", "client.invokeEvent('e', 1, 'json')")
    invocation_id = (await peer.receive())["invocationId"]
    peer.cut()
    assert (await driver.outcome("invoke"))["name"] == "InvocationError"
    again = await service.accept()
    await again.send(type="pong")
    cancel = await again.receive("cancelInvocation")
    assert cancel["invocationId"] == invocation_id


async def test_sequence_ids_go_on_after_a_recovery_and_start_anew_on_a_new_connection(
    driver: Driver, service: FakeService
) -> None:
    peer = await start(driver, service, **QUICK)
    await peer.group_message(1, "a")
    await peer.group_message(2, "b")
    await driver.wait_for("group-message", 2)
    peer.cut()
    again = await service.accept()
    await again.connected("c1")
    assert await again.receive("sequenceAck") == {"type": "sequenceAck", "sequenceId": 2}
    for sequence_id, data in ((1, "a"), (2, "b"), (3, "c")):
        await again.group_message(sequence_id, data)
    await driver.wait_for("group-message", 3)
    await again.close(1008)
    new = await service.accept_connected("c2")
    await new.group_message(1, "d")
    await driver.wait_for("group-message", 4)
    got = [e["message"]["data"] for name, e in await driver.events() if name == "group-message"]
    assert got == ["a", "b", "c", "d"]


async def test_link_that_breaks_at_once_does_not_make_the_client_spin(
    timed_driver: Driver, service: FakeService
) -> None:
    driver = timed_driver
    peer = await start(driver, service)
    await driver.page.clock.run_for(2_000)
    peer.cut()
    again = await service.accept()
    await again.send(type="pong")
    await driver.wait_for("recovered")
    await driver.freeze()
    again.cut()
    await driver.wait_for("recovering", 2)
    await driver.page.clock.run_for(900)
    assert await driver.run("return sockets.length") == 2
    await driver.page.clock.run_for(100)
    await (await service.accept()).send(type="pong")
    await driver.wait_for("recovered", 2)


async def test_stop_when_connected_closes_with_1000_and_fails_what_waits(
    driver: Driver, service: FakeService
) -> None:
    peer = await start(driver, service)
    await driver.call("send", "client.sendEvent('e', 1, 'json')")
    await peer.receive()
    await driver.run("await Promise.all([client.stop(), client.stop()]); await client.stop()")
    assert (await driver.outcome("send"))["name"] == "SendMessageError"
    assert await peer.closed() == 1000
    assert await driver.names() == ["connected", "disconnected", "stopped"]


async def test_stop_while_the_credential_is_asked_ends_the_start(
    driver: Driver, service: FakeService
) -> None:
    await driver.run("""
        window.asked = new Promise((resolve) => attach(new module.WebPubSubClient(
          { getClientAccessUrl: ({ abortSignal }) => new Promise(() => resolve(abortSignal)) })));
    """)
    await driver.call("start", "client.start()")
    assert await driver.run(
        "const signal = await asked; await client.stop(); return signal.aborted"
    )
    assert (await driver.outcome("start"))["message"] == "The client was stopped"
    assert service.handshakes == 0
    assert await driver.names() == []


@pytest.mark.parametrize("state", ["recovering", "disconnected"])
async def test_stop_when_the_link_is_gone_ends_all_attempts(
    timed_driver: Driver, service: FakeService, state: str
) -> None:
    driver = timed_driver
    peer = await start(driver, service)
    service.refusals = [503] * 100
    if state == "recovering":
        peer.cut()
    else:
        await peer.close(1008)
    await driver.wait_for(state)
    await driver.run("await client.stop()")
    attempts = await driver.run("return sockets.length")
    await driver.page.clock.run_for(60_000)
    assert await driver.run("return sockets.length") == attempts
    assert (await driver.names())[-2:] == ["disconnected", "stopped"]


async def test_start_in_a_stopped_listener_connects_again_and_joins(
    driver: Driver, service: FakeService
) -> None:
    peer = await start(driver, service)
    await driver.call("join", "client.joinGroup('g')")
    await peer.ack(await peer.receive())
    await driver.outcome("join")
    await driver.run("client.on('stopped', () => client.start()); await client.stop()")
    again = await service.accept_connected("c2")
    assert (await again.receive())["group"] == "g"


@pytest.mark.parametrize("event", ["connected", "recovering", "recovered", "disconnected"])
async def test_stop_in_a_listener_is_obeyed(
    driver: Driver, service: FakeService, event: str
) -> None:
    await driver.make(**QUICK)
    await driver.run(f"client.on('{event}', () => client.stop())")
    await driver.call("start", "client.start()")
    peer = await service.accept_connected()
    if event != "connected":
        await driver.wait_for("connected")
        await peer.close(1008 if event == "disconnected" else 1001)
    if event == "recovered":
        peer = await service.accept()
        await peer.send(type="pong")
    await driver.wait_for("stopped")
    await peer.closed()
    names = await driver.names()
    assert names.count("connected") == names.count("disconnected") == 1
    assert await driver.outcome("start") == {"value": None}
    await driver.run("client.off('connected'); window.events = []")
    await driver.call("again", "client.start()")
    await service.accept_connected("c9")
    assert await driver.outcome("again") == {"value": None}
