"""The scripted service: each word of it, by what a client does."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from tests.client.certificates import make_certificate

from hubbub.client import Client, State, SubProtocol, TransportOptions
from hubbub.protocol import protobuf_codec
from hubbub.protocol.errors import (
    ClientStoppedError,
    ConnectError,
    ConnectTimeoutError,
    SendMessageError,
)
from hubbub.protocol.messages import Connected
from hubbub.testing import FakePeer, FakeService, eventually, expect_event
from hubbub.testing.fake_peer import polite

pytestmark = pytest.mark.virtual_time


async def nothing(_: FakePeer) -> None:
    pass


async def test_script_reads_acks_and_writes() -> None:
    async def script(peer: FakePeer) -> None:
        join = await peer.expect("joinGroup", group="news")
        await peer.ack(join)
        await peer.message("hello", group="news")
        await peer.message({"n": 1})

    async with FakeService(script) as service, Client(service.url) as client:
        async with client.messages() as messages:
            await client.join_group("news")
            first, second = await anext(messages), await anext(messages)
        assert (first.group, first.data, first.sequence_id) == ("news", "hello", 1)
        assert (second.data, second.sequence_id) == ({"n": 1}, 2)
        peer = await service.peer(0)
        assert peer.path == "/client/hubs/chat"
        assert peer.query == {"access_token": "SECRET"}
        assert not peer.is_recovery
        assert service.executed == {1: 1}


async def test_cl_037_operations_done_before_a_cut_are_done_once() -> None:
    async def cut_in_the_middle(peer: FakePeer) -> None:
        for _ in range(10):
            peer.execute(await peer.read("sendToGroup"))
        peer.abort()

    async with FakeService(cut_in_the_middle, polite) as service:
        async with Client(service.url) as client:
            sends = (client.send_to_group("g", number) for number in range(20))
            results = await asyncio.gather(*sends)
    assert [result.is_duplicated for result in results] == [True] * 10 + [False] * 10
    assert service.executed == dict.fromkeys(range(1, 21), 1)
    recovery = service.peers[1]
    assert recovery.is_recovery
    assert recovery.query["awps_connection_id"] == "c1"
    assert recovery.query["awps_reconnection_token"] == "RECONNECT-SECRET"


async def test_request_that_is_refused_is_not_done() -> None:
    async def script(peer: FakePeer) -> None:
        await peer.ack(await peer.read("joinGroup"), error="Forbidden")

    async with FakeService(script) as service, Client(service.url) as client:
        with pytest.raises(SendMessageError, match="Forbidden"):
            await client.join_group("g")
        assert not service.executed


async def test_invocation_is_answered() -> None:
    async def script(peer: FakePeer) -> None:
        await peer.answer(await peer.expect("invoke", event="add"), {"sum": 3})

    async with FakeService(script) as service, Client(service.url) as client:
        assert (await client.invoke_event("add", [1, 2])).data == {"sum": 3}


@pytest.mark.parametrize(("close_code", "event"), [(1011, "recovered"), (1008, "disconnected")])
async def test_close_code_reaches_the_client(close_code: int, event: str) -> None:
    async def script(peer: FakePeer) -> None:
        await peer.read("sendToGroup")
        await peer.close(close_code, "because")

    async with FakeService(script, polite) as service, Client(service.url) as client:
        async with expect_event(client, event):
            await client.send_to_group("g", "x", fire_and_forget=True)


async def test_refused_handshakes_are_counted_and_say_when_to_come_back() -> None:
    async with FakeService() as service:
        service.refuse(503, retry_after_s=7)
        with pytest.raises(ConnectError, match="503"):
            await Client(service.url).start()
        service.refuse(500, times=2)
        async with Client(service.url, retry_first_connect=True) as client:
            assert client.is_connected
        assert service.refused == 3
        assert len(service.peers) == 1


async def test_cl_002_service_that_is_late_with_connected() -> None:
    async def late(peer: FakePeer) -> None:
        await asyncio.sleep(3)
        await peer.connected("mine", user_id="me")

    loop = asyncio.get_running_loop()
    async with FakeService(late, says_connected=False) as service:
        async with Client(service.url) as client:
            assert (client.connection_id, client.user_id, loop.time()) == ("mine", "me", 3)
    async with FakeService(nothing, says_connected=False) as service:
        client = Client(service.url, start_timeout=10)
        with pytest.raises(ConnectTimeoutError):
            await client.start()
        assert (client.state, loop.time()) == (State.STOPPED, 13)


async def test_client_that_is_not_reliable_gets_no_sequence_ids() -> None:
    async def script(peer: FakePeer) -> None:
        assert not peer.is_reliable
        await peer.message("x")

    async with FakeService(script) as service:
        client = Client(service.url, protocol=SubProtocol.JSON)
        async with client.messages() as messages, client:
            assert (await anext(messages)).sequence_id is None


async def test_protobuf_is_spoken_raw() -> None:
    import picows

    async def script(peer: FakePeer) -> None:
        assert await peer.read_raw() == b"\x01\x02"
        await peer.write_raw(b"\x03")

    got: list[bytes] = []

    class Listener(picows.WSListener):
        def on_ws_frame(self, transport: picows.WSTransport, frame: picows.WSFrame) -> None:
            got.append(frame.get_payload_as_bytes())

    async with FakeService(script) as service:
        name = "protobuf.reliable.webpubsub.azure.v1"
        transport, _ = await picows.ws_connect(
            Listener, service.url, extra_headers={"Sec-WebSocket-Protocol": name}
        )
        transport.send(picows.WSMsgType.BINARY, b"\x01\x02", fin=False)
        transport.send(picows.WSMsgType.CONTINUATION, b"")
        await eventually(lambda: len(got), 2)
        assert protobuf_codec.decode_response(got[0]) == Connected("c1", "u", "RECONNECT-SECRET")
        assert got[1] == b"\x03"
        with pytest.raises(TypeError, match="read_raw"):
            transport.send(picows.WSMsgType.BINARY, b"x")
            await service.peers[0].read()
        transport.disconnect(graceful=False)


async def test_cl_066_idle_client_pings_each_15_s_for_an_hour() -> None:
    async with FakeService(nothing) as service, Client(service.url) as client:
        await asyncio.sleep(3600)
        pings = [frame for frame in service.peers[0].received if "ping" in frame]
        assert len(pings) in (239, 240)
        assert client.is_connected
        assert len(service.peers) == 1


async def test_cl_104_no_pings_of_the_websocket_library_in_an_idle_hour() -> None:
    """The service is asked nothing but protocol pings, and pings each 120 s by itself."""

    async def keep_alive(peer: FakePeer) -> None:
        while True:
            await asyncio.sleep(120)
            await peer.ping()

    async with FakeService(keep_alive) as service, Client(service.url) as client:
        await asyncio.sleep(3600)
        peer = service.peers[0]
        assert peer.pings == 0
        assert peer.pongs >= 29
        assert client.is_connected
        assert len(service.peers) == 1


async def test_cl_067_service_that_answers_nothing_is_left_after_30_s() -> None:
    async with FakeService(nothing, answers_pings=False) as service:
        async with Client(service.url) as client:
            await expect_event(client, "recovering", within=40)
            assert 30 <= asyncio.get_running_loop().time() <= 31


async def test_held_peer_reads_nothing_until_it_is_resumed() -> None:
    async with FakeService(polite) as service, Client(service.url) as client:
        peer = await service.peer(0)
        peer.hold()
        sending = asyncio.ensure_future(client.send_to_group("g", "x"))
        await asyncio.sleep(10)
        assert not sending.done()
        peer.resume()
        assert (await sending).ack_id == 1


async def test_writer_waits_for_a_client_that_does_not_read() -> None:
    written: list[int] = []

    async def script(peer: FakePeer) -> None:
        for number in range(1000):
            await peer.message("x" * 100_000)
            written.append(number)

    request = (
        b"GET /client/hubs/chat HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    )
    async with FakeService(script) as service:
        port = int(service.url.split(":")[2].split("/")[0])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request)
        await asyncio.sleep(10)
        assert 0 < len(written) < 900
        while len(written) < 1000:
            await reader.read(1_000_000)
        writer.close()
        await writer.wait_closed()


async def test_ping_is_answered_after_what_was_written_before() -> None:
    got: list[object] = []
    async with FakeService(nothing) as service, Client(service.url) as client:
        client.on("server-message", lambda event: got.append(event.data))
        for number in range(3):
            await service.peers[0].message(number)
        await service.peers[0].ping()
        assert got == [0, 1, 2]
        assert service.peers[0].pongs == 1


async def test_service_can_speak_tls(tmp_path: Path) -> None:
    server_side, client_side = make_certificate(tmp_path)
    async with FakeService(ssl_context=server_side) as service:
        options = TransportOptions(ssl_context=client_side)
        async with Client(service.url, transport=options) as client:
            assert (await client.join_group("g")).ack_id == 1
        with pytest.raises(ConnectError):
            await Client(service.url).start()


async def test_stop_of_the_client_is_seen_as_1000() -> None:
    async with FakeService(nothing) as service:
        async with Client(service.url):
            peer = await service.peer(0)
        await peer.expect_close(1000)
        assert not peer.is_open
        with pytest.raises(ConnectionError):
            await peer.read()


# --- what a script says when it is not as expected ---------------------------------------------


async def test_failing_script_fails_the_test_and_ends_the_client() -> None:
    async def script(peer: FakePeer) -> None:
        await peer.expect("leaveGroup", group="g")

    expected = r"expected leaveGroup group='g', got \{'type': 'joinGroup'.*received so far: \["
    with pytest.raises(AssertionError, match=expected) as failed:
        async with FakeService(script) as service, Client(service.url) as client:
            with pytest.raises((SendMessageError, ClientStoppedError)):
                await client.join_group("g")
            await client.wait_stopped()
    assert failed.value.__notes__ == ["in the script of connection 0"]


async def test_expectations_of_a_peer_name_what_came() -> None:
    async with FakeService(nothing) as service, Client(service.url) as client:
        peer = await service.peer(0)
        await peer.expect_nothing(within=60)
        with pytest.raises(AssertionError, match=r"expected sendToGroup, got nothing within 5 s"):
            await peer.expect("sendToGroup")
        with pytest.raises(AssertionError, match="close with 1000 within 1 s, but it is there"):
            await peer.expect_close(within=1)
        await client.send_to_group("g", "x" * 300, fire_and_forget=True)
        with pytest.raises(AssertionError, match=r"expected nothing for 5 s, got .*sendToGroup"):
            await peer.expect_nothing()
        await client.stop()
        with pytest.raises(AssertionError, match=r"the end of the connection \(close code 1000\)"):
            await peer.expect("ping")
        with pytest.raises(AssertionError, match="expected close code None, got 1000"):
            await peer.expect_close(None)


async def test_writing_to_a_client_that_went_does_nothing() -> None:
    async with FakeService(nothing) as service:
        async with Client(service.url):
            peer: Any = await service.peer(0)
        await peer.expect_close()
        await peer.message("too late")
        with pytest.raises(ConnectionError):
            await peer.ping()
        await peer.write_bytes(b"x")
        await peer.close()
        peer.abort()
        peer.hang_up()
        peer.hold()
