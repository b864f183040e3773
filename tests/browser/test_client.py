"""The browser client against a scripted service: operations, events, errors."""

import gzip

import pytest
from tests.browser.driver import Driver, start
from tests.browser.fake_service import FakeService

from hubbub.browser import client_source

pytestmark = pytest.mark.asyncio(loop_scope="session")

QUICK = {"messageRetryOptions": {"retryDelayInMs": 10}}


async def test_module_is_at_most_6_kib_of_gzip() -> None:
    assert len(gzip.compress(client_source())) <= 6 * 1024


async def test_start_when_connected_arrived_resolves_and_emits_connected(
    driver: Driver, service: FakeService
) -> None:
    await driver.make()
    await driver.call("start", "client.start()")
    peer = await service.accept()
    assert peer.socket.subprotocol == "json.reliable.webpubsub.azure.v1"
    assert peer.query == {"access_token": "old", "n": "1"}
    assert await driver.events() == []
    await peer.connected("c7")
    assert await driver.outcome("start") == {"value": None}
    assert await driver.events() == [("connected", {"connectionId": "c7", "userId": "u1"})]


async def test_start_with_plain_protocol_and_static_url_connects(
    driver: Driver, service: FakeService
) -> None:
    await driver.page.evaluate(
        "(url) => attach(new module.WebPubSubClient(url, {protocol: 'json.webpubsub.azure.v1'}))",
        service.url,
    )
    await driver.call("start", "client.start()")
    peer = await service.accept_connected(token=None)
    assert peer.socket.subprotocol == "json.webpubsub.azure.v1"
    assert await driver.outcome("start") == {"value": None}


async def test_start_when_refused_throws_and_can_be_repeated(
    driver: Driver, service: FakeService
) -> None:
    service.refusals = [401]
    await driver.make()
    await driver.call("start", "client.start()")
    assert (await driver.outcome("start"))["code"] == 1006
    await driver.call("again", "client.start()")
    await service.accept_connected()
    assert await driver.outcome("again") == {"value": None}
    assert await driver.names() == ["connected"]


async def test_start_when_credential_fails_throws_its_error(driver: Driver) -> None:
    await driver.run(
        "attach(new module.WebPubSubClient({getClientAccessUrl() { throw new Error('no url') }}))"
    )
    await driver.call("start", "client.start()")
    assert (await driver.outcome("start"))["message"] == "no url"
    await driver.run("attach(new module.WebPubSubClient({getClientAccessUrl: async () => 5}))")
    await driver.call("start", "client.start()")
    assert (await driver.outcome("start"))["name"] == "TypeError"


async def test_start_twice_throws(driver: Driver, service: FakeService) -> None:
    await start(driver, service)
    await driver.call("start", "client.start()")
    assert "stopped client" in (await driver.outcome("start"))["message"]


async def test_start_when_aborted_throws_and_leaves_the_client_stopped(
    driver: Driver, service: FakeService
) -> None:
    # The page may hear of its handshake later than the service; a socket that is closed before it
    # is open does not carry our close code.
    await driver.run("""
        window.abort = new AbortController();
        const Native = WebSocket;
        window.WebSocket = class extends Native {
          constructor(...of) {
            super(...of);
            this.addEventListener("open", () => { window.isOpen = true; });
          }
        };""")
    await driver.make()
    await driver.call("start", "client.start({abortSignal: abort.signal})")
    peer = await service.accept()
    await driver.page.wait_for_function("() => window.isOpen")
    await driver.run("abort.abort()")
    assert (await driver.outcome("start"))["message"] == "The client was stopped"
    assert await peer.closed() == 1000


async def test_options_when_timeout_is_not_above_interval_throws(driver: Driver) -> None:
    assert (
        await driver.run("""
        const names = [];
        const good = [{}, {keepAliveIntervalInMs: 0, keepAliveTimeoutInMs: 0},
          {keepAliveTimeoutInMs: 0}, {keepAliveTimeoutInMs: undefined, protocol: undefined},
          {keepAliveIntervalInMs: 5, keepAliveTimeoutInMs: 6}];
        const bad = [{keepAliveIntervalInMs: -1}, {keepAliveTimeoutInMs: -1},
          {keepAliveIntervalInMs: 5, keepAliveTimeoutInMs: 5}, {keepAliveIntervalInMs: NaN}];
        for (const options of [...good, ...bad]) {
          try { new module.WebPubSubClient("ws://x", options); names.push("ok"); }
          catch (error) { names.push(error.name); }
        }
        return names;
    """)
        == ["ok"] * 5 + ["RangeError"] * 4
    )


async def test_operations_write_the_frames_of_the_protocol(
    driver: Driver, service: FakeService
) -> None:
    peer = await start(driver, service)
    await driver.run("""
        const bytes = new Uint8Array([0, 1, 2, 3, 255]);
        client.joinGroup("g");
        client.leaveGroup("g");
        client.sendToGroup("g", "hi", "text", { noEcho: true });
        client.sendToGroup("g", { a: [1] }, "json", { fireAndForget: true });
        client.sendToGroup("g", bytes.buffer, "binary", { ackId: 50 });
        client.sendEvent("e", bytes.subarray(1, 4), "protobuf");
        client.sendEvent("e", 0, "json", { fireAndForget: true });
        client.invokeEvent("e", { a: 1 }, "json");
        client.invokeEvent("e", undefined, undefined, { invocationId: "mine" });
    """)
    assert [await peer.receive() for _ in range(9)] == [
        {"type": "joinGroup", "group": "g", "ackId": 1},
        {"type": "leaveGroup", "group": "g", "ackId": 2},
        {"type": "sendToGroup", "group": "g", "noEcho": True, "dataType": "text", "data": "hi", "ackId": 3},
        {"type": "sendToGroup", "group": "g", "noEcho": False, "dataType": "json", "data": {"a": [1]}},
        {"type": "sendToGroup", "group": "g", "noEcho": False, "dataType": "binary", "data": "AAECA/8=", "ackId": 50},
        {"type": "event", "event": "e", "dataType": "protobuf", "data": "AQID", "ackId": 51},
        {"type": "event", "event": "e", "dataType": "json", "data": 0},
        {"type": "invoke", "invocationId": "1", "target": "event", "event": "e", "dataType": "json", "data": {"a": 1}},
        {"type": "invoke", "invocationId": "mine", "target": "event", "event": "e"},
    ]  # fmt: skip


@pytest.mark.parametrize(
    "call",
    [
        "client.sendToGroup('g', 5, 'text')",
        "client.sendToGroup('g', 'x', 'binary')",
        "client.sendToGroup('g', null, 'json')",
        "client.sendEvent('e', undefined, 'json')",
        "client.sendEvent('e', 'x', 'xml')",
        "client.sendEvent('e', 'x', 'text', {ackId: -1})",
        "client.sendEvent('e', 'x', 'text', {ackId: 1.5})",
    ],
)
async def test_operation_with_bad_argument_throws_and_writes_nothing(
    driver: Driver, service: FakeService, call: str
) -> None:
    peer = await start(driver, service)
    await driver.call("bad", call)
    assert (await driver.outcome("bad"))["name"] in ("TypeError", "RangeError")
    await driver.run("await client.sendEvent('good', 1, 'json', {fireAndForget: true})")
    assert (await peer.receive())["event"] == "good"


async def test_ack_resolves_and_duplicate_counts_as_success(
    driver: Driver, service: FakeService
) -> None:
    peer = await start(driver, service)
    await driver.call("one", "client.joinGroup('g')")
    await peer.ack(await peer.receive())
    assert await driver.outcome("one") == {"value": {"ackId": 1, "isDuplicated": False}}
    await driver.call("two", "client.sendToGroup('g', 1, 'json', {ackId: 9})")
    await peer.ack(await peer.receive(), "Duplicate")
    assert await driver.outcome("two") == {"value": {"ackId": 9, "isDuplicated": True}}


async def test_ack_with_forbidden_is_not_retried(driver: Driver, service: FakeService) -> None:
    peer = await start(driver, service, **QUICK)
    await driver.call("join", "client.joinGroup('g')")
    await peer.ack(await peer.receive(), "Forbidden")
    error = await driver.outcome("join")
    assert (error["name"], error["ackId"]) == ("SendMessageError", 1)
    assert error["errorDetail"] == {"name": "Forbidden", "message": "because"}
    await driver.call("next", "client.joinGroup('other')")
    assert (await peer.receive())["group"] == "other"


async def test_ack_with_transient_error_is_retried_with_the_same_id_until_it_succeeds(
    driver: Driver, service: FakeService
) -> None:
    peer = await start(driver, service, **QUICK)
    await driver.call("send", "client.sendToGroup('g', 'x', 'text', {noEcho: true})")
    first = await peer.receive()
    for name in ("InternalServerError", "TransientError", "ServiceUnavailable"):
        await peer.ack(first, name)
        assert await peer.receive() == first
    await peer.ack(first)
    assert await driver.outcome("send") == {"value": {"ackId": 1, "isDuplicated": False}}


async def test_ack_with_transient_error_after_the_last_retry_throws(
    driver: Driver, service: FakeService
) -> None:
    options = {"messageRetryOptions": {"maxRetries": 1, "retryDelayInMs": 10}}
    peer = await start(driver, service, **options)
    await driver.call("send", "client.sendEvent('e', 'x', 'text')")
    await peer.ack(await peer.receive(), "InternalServerError")
    await peer.ack(await peer.receive(), "InternalServerError")
    assert (await driver.outcome("send"))["errorDetail"]["name"] == "InternalServerError"


async def test_operation_when_aborted_throws_at_once(driver: Driver, service: FakeService) -> None:
    peer = await start(driver, service)
    await driver.run("window.abort = new AbortController()")
    await driver.call("send", "client.sendToGroup('g', 1, 'json', {abortSignal: abort.signal})")
    frame = await peer.receive()
    await driver.run("abort.abort()")
    assert (await driver.outcome("send"))["name"] == "SendMessageError"
    await peer.ack(frame)
    await driver.call("late", "client.joinGroup('g', {abortSignal: abort.signal})")
    assert (await driver.outcome("late"))["message"] == "The operation was cancelled"


async def test_operation_before_start_throws(driver: Driver) -> None:
    await driver.make()
    await driver.call("join", "client.joinGroup('g')")
    assert (await driver.outcome("join"))["message"] == "The client is not started"
    await driver.call("invoke", "client.invokeEvent('e')")
    assert (await driver.outcome("invoke"))["name"] == "InvocationError"


async def test_operation_with_an_id_that_waits_throws_and_the_first_goes_on(
    driver: Driver, service: FakeService
) -> None:
    peer = await start(driver, service)
    await driver.call("one", "client.joinGroup('g', {ackId: 5})")
    await driver.call("two", "client.joinGroup('h', {ackId: 5})")
    assert (await driver.outcome("two"))["ackId"] == 5
    await peer.ack(await peer.receive())
    assert (await driver.outcome("one"))["value"]["ackId"] == 5


async def test_operations_waiting_are_bounded(driver: Driver, service: FakeService) -> None:
    await start(driver, service)
    outcomes = await driver.run("""
        for (let n = 0; n < 1000; n += 1) client.sendEvent("e", n, "json").catch(() => {});
        return outcome(client.sendEvent("e", 1000, "json"));
    """)
    assert outcomes["name"] == "SendMessageError"


async def test_invoke_resolves_with_the_answer_of_any_type(
    driver: Driver, service: FakeService
) -> None:
    peer = await start(driver, service)
    await driver.call("json", "client.invokeEvent('e', 1, 'json')")
    await driver.call("none", "client.invokeEvent('e')")
    await driver.call(
        "bytes",
        "client.invokeEvent('e').then(({data}) => [data instanceof ArrayBuffer, ...new Uint8Array(data)])",
    )
    ids = [(await peer.receive())["invocationId"] for _ in range(3)]
    answer = {"type": "invokeResponse", "success": True}
    await peer.send(**answer, invocationId=ids[2], dataType="binary", data="AQL/")
    await peer.send(**answer, invocationId=ids[1])
    await peer.send(**answer, invocationId=ids[0], dataType="json", data={"a": 1})
    await peer.send(**answer, invocationId="unknown")
    assert (await driver.outcome("json"))["value"] == {
        "invocationId": ids[0],
        "dataType": "json",
        "data": {"a": 1},
    }
    assert (await driver.outcome("none"))["value"]["invocationId"] == ids[1]
    assert (await driver.outcome("bytes"))["value"] == [True, 1, 2, 255]


async def test_invoke_when_the_service_says_no_throws_with_the_detail(
    driver: Driver, service: FakeService
) -> None:
    peer = await start(driver, service)
    await driver.call("invoke", "client.invokeEvent('e', 'x', 'text')")
    invocation_id = (await peer.receive())["invocationId"]
    detail = {"name": "NotFound", "message": "no such thing"}
    await peer.send(type="invokeResponse", invocationId=invocation_id, success=False, error=detail)
    assert await driver.outcome("invoke") == {
        "name": "InvocationError",
        "message": "no such thing",
        "invocationId": invocation_id,
        "errorDetail": detail,
    }


async def test_invoke_when_aborted_throws_and_cancels(driver: Driver, service: FakeService) -> None:
    peer = await start(driver, service)
    await driver.run("window.abort = new AbortController()")
    await driver.call("invoke", "client.invokeEvent('e', 1, 'json', {abortSignal: abort.signal})")
    invocation_id = (await peer.receive())["invocationId"]
    await driver.run("abort.abort()")
    assert (await driver.outcome("invoke"))["name"] == "InvocationError"
    assert await peer.receive() == {"type": "cancelInvocation", "invocationId": invocation_id}


async def test_messages_reach_the_listeners_with_their_data(
    driver: Driver, service: FakeService
) -> None:
    peer = await start(driver, service)
    await driver.run("""
        window.bytes = [];
        client.on("group-message", ({ message }) => {
          if (message.data instanceof ArrayBuffer) bytes.push([...new Uint8Array(message.data)]);
        });
    """)
    group = {"type": "message", "from": "group", "group": "g", "fromUserId": "u2"}
    server = {"type": "message", "from": "server"}
    await peer.send(**group, sequenceId=1, dataType="text", data="hi")
    await peer.send(**group, sequenceId=2, dataType="binary", data="AP8=")
    await peer.send(**group, sequenceId=3, dataType="protobuf", data="AQ==")
    await peer.send(**server, sequenceId=4, dataType="json", data=None, metadata={"k": "v"})
    await driver.wait_for("server-message")
    events = await driver.events()
    assert events[1] == ("group-message", {"message": {"kind": "groupData", "group": "g",
        "fromUserId": "u2", "sequenceId": 1, "dataType": "text", "data": "hi"}})  # fmt: skip
    assert events[4] == ("server-message", {"message": {"kind": "serverData", "sequenceId": 4,
        "dataType": "json", "data": None, "metadata": {"k": "v"}}})  # fmt: skip
    assert await driver.run("return bytes") == [[0, 255], [1]]


async def test_cp_130_unknown_frames_and_garbage_are_ignored(
    driver: Driver, service: FakeService
) -> None:
    peer = await start(driver, service)
    await peer.send(type="tomorrow", ackId=1)
    await peer.send(type="system", event="joined", connectionId="x")
    await peer.send(type="message", sequenceId=1, **{"from": "moon"}, dataType="text", data="x")
    await peer.send(type="message", sequenceId=2, **{"from": "group"}, dataType="xml", data="x")
    for text in (
        "{",
        "null",
        "[]",
        "5",
        '"x"',
        '{"type":"message","dataType":"binary","data":"*"}',
    ):
        await peer.send_text(text)
    await peer.socket.send(b"\x00\xff")
    await peer.send(type="message", sequenceId=3, **{"from": "group"}, extra=1, group="g",
        dataType="text", data="good")  # fmt: skip
    await driver.wait_for("group-message")
    assert await driver.names() == ["connected", "group-message"]
    assert await peer.receive() == {"type": "sequenceAck", "sequenceId": 3}


async def test_listener_that_throws_breaks_nothing(driver: Driver, service: FakeService) -> None:
    await driver.make(reconnectRetryOptions={"retryDelayInMs": 10})
    await driver.run("""
        window.late = [];
        for (const name of ["connected", "disconnected", "group-message", "stopped"]) {
          client.on(name, () => { throw new Error("listener of " + name); });
          client.on(name, async () => { throw new Error("listener of " + name); });
          client.on(name, () => late.push(name));
        }
    """)
    problems: list[str] = []
    driver.page.on("pageerror", lambda error: problems.append(str(error)))
    await driver.call("start", "client.start()")
    peer = await service.accept_connected()
    await peer.group_message(1, "x")
    await peer.close(1008)
    peer = await service.accept_connected("c2")
    await driver.wait_for("connected", 2)
    await driver.run("await client.stop()")
    expected = [
        "connected",
        "group-message",
        "disconnected",
        "connected",
        "disconnected",
        "stopped",
    ]
    assert await driver.run("return late") == expected
    assert problems == []


async def test_off_when_called_ends_the_listening(driver: Driver, service: FakeService) -> None:
    peer = await start(driver, service)
    await driver.run("""
        window.heard = [];
        const listener = ({ message }) => {
          heard.push(message.data);
          client.off("group-message", listener);
        };
        client.on("group-message", listener);
        client.off("stopped", () => {});
    """)
    await peer.group_message(1, "one")
    await peer.group_message(2, "two")
    await driver.wait_for("group-message", 2)
    assert await driver.run("return heard") == ["one"]
