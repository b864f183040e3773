"""`azure-messaging-webpubsubclient` 1.1.0, sync and aio, unmodified, against our service."""

import asyncio
import functools
import gc
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from azure.messaging.webpubsubclient.models import (
    SendMessageError,
    WebPubSubDataType,
    WebPubSubProtocolType,
)
from tests.official_sdks.proxy import CuttingProxy
from tests.official_sdks.python_clients import TIMEOUT_S, AsyncTester, Client, SyncTester, until

from hubbub.appserver import ServiceClient
from hubbub.service import Service, Settings

pytestmark = [
    pytest.mark.asyncio(loop_scope="session"),
    # The sync client leaves the socket of a lost link to the garbage collector.
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),
]

TEXT, JSON = WebPubSubDataType.TEXT, WebPubSubDataType.JSON
BINARY, PROTOBUF = WebPubSubDataType.BINARY, WebPubSubDataType.PROTOBUF
EVERYTHING = ["webpubsub.joinLeaveGroup", "webpubsub.sendToGroup"]
KINDS: dict[str, type[SyncTester] | type[AsyncTester]] = {"sync": SyncTester, "aio": AsyncTester}
ANSWER_DELAY_S = 0.02
"""The sync client misses an answer that comes before it begins to wait, and then stalls."""
CUT_AFTER_BYTES = (20_000, 60_001, 90_002)

_names = itertools.count()


class Lab:
    """Makes clients of one kind and lists them, so that they are closed."""

    def __init__(
        self, kind: str, service: Service, proxy: CuttingProxy, clients: list[Client]
    ) -> None:
        self.kind = kind
        self.service = service
        self.connection_string = proxy.through(service.connection_string)
        self.group = f"{kind}-{next(_names)}"
        self.clients = clients

    def url(self, connection_string: str | None = None, **token: Any) -> str:
        text = connection_string or self.connection_string
        client = ServiceClient.from_connection_string(text, "chat")
        token = {"roles": EVERYTHING, **token}
        return client.get_client_access_token(**token).url

    async def client(
        self, connection_string: str | None = None, options: Any = None, **token: Any
    ) -> Client:
        options = {"message_retry_total": 0, **(options or {})}
        client = KINDS[self.kind](lambda: self.url(connection_string, **token), **options)
        await self.open(client)
        return client

    async def open(self, client: Client) -> None:
        self.clients.append(client)
        await client.open()
        await until(lambda: len(client.log.connected) == 1)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def proxy(service: Service) -> AsyncIterator[CuttingProxy]:
    async with CuttingProxy(service.url, delay_s=ANSWER_DELAY_S) as proxy:
        yield proxy


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def clients(proxy: CuttingProxy) -> AsyncIterator[list[Client]]:
    """Closed together at the end: each takes a second for it."""
    clients: list[Client] = []
    yield clients
    await close_all(clients)


@pytest.fixture(params=sorted(KINDS))
def lab(
    request: pytest.FixtureRequest, service: Service, proxy: CuttingProxy, clients: list[Client]
) -> Lab:
    return Lab(request.param, service, proxy, clients)


async def close_all(clients: list[Client]) -> None:
    await asyncio.gather(*(client.close() for client in clients))
    gc.collect()  # what the clients left behind is theirs, not the next test's


async def test_connect_by_url_and_close(lab: Lab) -> None:
    client = KINDS[lab.kind](lab.url(user_id="ann"))
    await lab.open(client)
    assert client.log.connected[0].user_id == "ann"
    await client.close()
    await until(lambda: len(client.log.stopped) == 1)
    assert len(client.log.disconnected) == 1


async def test_connect_by_callback(lab: Lab) -> None:
    asked: list[int] = []

    def url() -> str:
        asked.append(1)
        return lab.url(user_id="bob")

    client = KINDS[lab.kind](url)
    await lab.open(client)
    assert client.log.connected[0].user_id == "bob"
    assert asked == [1]


async def test_plain_json_protocol(lab: Lab) -> None:
    client = await lab.client(options={"protocol_type": WebPubSubProtocolType.JSON})
    await client.call("join_group", lab.group)
    await client.call("send_to_group", lab.group, "hi", TEXT)
    await until(lambda: len(client.log.group) == 1)
    assert client.log.group[0].sequence_id is None


async def test_cp_034_cp_037_cp_040_join_send_leave(lab: Lab) -> None:
    member, sender = await lab.client(), await lab.client(user_id="sam")
    await member.call("join_group", lab.group)
    await sender.call("send_to_group", lab.group, "one", TEXT)
    await until(lambda: len(member.log.group) == 1)
    await member.call("leave_group", lab.group)
    await sender.call("send_to_group", lab.group, "two", TEXT)
    await member.call("join_group", lab.group)
    await sender.call("send_to_group", lab.group, "three", TEXT)
    await until(lambda: len(member.log.group) == 2)
    got = [(e.group, e.from_user_id, e.data) for e in member.log.group]
    assert got == [(lab.group, "sam", "one"), (lab.group, "sam", "three")]
    assert sender.log.group == []


async def test_cp_044_cp_045_cp_046_cp_047_all_data_types_arrive_unchanged(lab: Lab) -> None:
    member, sender = await lab.client(), await lab.client()
    await member.call("join_group", lab.group)
    sent: list[tuple[WebPubSubDataType, Any]] = [
        (JSON, {"a": [1, None, {"b": "ü"}]}),
        (JSON, "text"),
        (JSON, 1.5),
        (TEXT, 'emoji 🎈, "quotes", \\ and \x00'),
        (BINARY, b""),
        (BINARY, b"\x00\x01\xfe\xff"),
        (PROTOBUF, b"\x0a\x03a/b\x12\x01\x01"),
    ]
    for data_type, data in sent:
        content = memoryview(data) if isinstance(data, bytes) else data
        await sender.call("send_to_group", lab.group, content, data_type)
    await until(lambda: len(member.log.group) == len(sent))
    got = sorted(member.log.group, key=lambda event: event.sequence_id)  # handlers run in threads
    assert [event.sequence_id for event in got] == list(range(1, len(sent) + 1))
    assert [(event.data_type, _value(event.data)) for event in got] == sent


async def test_cp_038_cp_039_no_echo(lab: Lab) -> None:
    client, other = await lab.client(), await lab.client()
    await client.call("join_group", lab.group)
    await other.call("join_group", lab.group)
    await client.call("send_to_group", lab.group, "silent", TEXT, no_echo=True)
    await client.call("send_to_group", lab.group, "loud", TEXT)
    await until(lambda: len(client.log.group) == 1 and len(other.log.group) == 2)
    assert client.log.group[0].data == "loud"


async def test_fire_and_forget(lab: Lab) -> None:
    client = await lab.client(groups=[lab.group])
    await client.call("send_to_group", lab.group, "x", TEXT, ack=False)
    await until(lambda: len(client.log.group) == 1)


async def test_cp_051_cp_052_events_are_answered_and_failures_acked(lab: Lab) -> None:
    client = await lab.client(roles=[])
    sent = [(JSON, {"a": 1}), (TEXT, "hi"), (BINARY, memoryview(b"\x01\x02"))]
    for data_type, data in sent:
        await client.call("send_event", "echo", data, data_type)
    await until(lambda: len(client.log.server) == 3)
    got = sorted(client.log.server, key=lambda event: event.sequence_id)
    assert [_value(event.data) for event in got] == [{"a": 1}, "hi", b"\x01\x02"]
    await client.call("send_event", "nothing", "x", TEXT)
    with pytest.raises(SendMessageError) as failed:
        await client.call("send_event", "fail", "x", TEXT)
    assert failed.value.error_detail is not None
    assert failed.value.error_detail.name == "InternalServerError"
    assert client.log.disconnected == []


async def test_cp_055_ack_id_used_again_is_a_duplicate(lab: Lab) -> None:
    member, sender = await lab.client(groups=[lab.group]), await lab.client()
    for _ in range(2):
        await sender.call("send_to_group", lab.group, "once", TEXT, ack_id=77)
    await sender.call("send_to_group", lab.group, "last", TEXT)
    await until(lambda: any(event.data == "last" for event in member.log.group))
    assert sorted(event.data for event in member.log.group) == ["last", "once"]


async def test_cp_048_cp_049_forbidden_is_told_and_the_connection_stays(lab: Lab) -> None:
    client = await lab.client(roles=["webpubsub.joinLeaveGroup.mine"])
    calls: list[Callable[[], Awaitable[None]]] = [
        lambda: client.call("join_group", "theirs"),
        lambda: client.call("send_to_group", "mine", "x", TEXT),
    ]
    for call in calls:
        with pytest.raises(SendMessageError) as refused:
            await call()
        assert refused.value.error_detail is not None
        assert refused.value.error_detail.name == "Forbidden"
    await client.call("join_group", "mine")
    assert client.log.disconnected == []


async def test_cp_090_lost_session_is_a_new_connection_in_its_old_groups(lab: Lab) -> None:
    async with (
        Service(Settings(port=0, recovery_window_s=0.05)) as forgetful,
        CuttingProxy(forgetful.url, delay_s=ANSWER_DELAY_S) as gate,
    ):
        client = await lab.client(gate.through(forgetful.connection_string))
        await client.call("join_group", lab.group)
        gate.is_refusing = True
        gate.cut()
        await until(lambda: forgetful.counts.get("connections.ended") == 1)
        gate.is_refusing = False
        await until(lambda: len(client.log.connected) == 2)
        assert len(client.log.disconnected) == 1
        first, second = (event.connection_id for event in client.log.connected)
        assert first != second
        direct = ServiceClient.from_connection_string(forgetful.connection_string, "chat")
        async with direct:
            # The client says `connected` before it has joined again.
            async with asyncio.timeout(TIMEOUT_S):
                while not client.log.group:
                    await direct.send_to_group(lab.group, "welcome")
                    await asyncio.sleep(0.05)
        await close_all([client])


async def test_cp_086_cut_links_lose_and_repeat_nothing(service: Service) -> None:
    await asyncio.gather(*(_receive_through_cuts(kind, service) for kind in KINDS))


async def _receive_through_cuts(kind: str, service: Service) -> None:
    count, block = 2000, 500
    async with (
        CuttingProxy(service.url, cut_after=CUT_AFTER_BYTES, delay_s=0.001) as proxy,
        aiohttp.ClientSession() as session,
    ):
        lab = Lab(kind, service, proxy, [])
        client = await lab.client(groups=[lab.group])
        url = lab.url(service.connection_string)
        async with session.ws_connect(url, protocols=["json.webpubsub.azure.v1"]) as sender:
            for first in range(0, count, block):
                # The client confirms once a second, and the service holds at most 1000 for it.
                confirmed = asyncio.ensure_future(asyncio.sleep(1.1))
                for n in range(first, first + block):
                    data = {"n": n, "text": "x" * 100}
                    await sender.send_json(
                        {
                            "type": "sendToGroup",
                            "group": lab.group,
                            "dataType": "json",
                            "data": data,
                        }
                    )
                await until(functools.partial(_has_messages, client, first + block))
                await confirmed
        got = sorted(client.log.group, key=lambda event: event.sequence_id)  # see above: threads
        assert [event.data["n"] for event in got] == list(range(count))
        assert len({event.sequence_id for event in got}) == count
        assert len(client.log.connected) == 1
        assert client.log.disconnected == []
        assert proxy.cuts == len(CUT_AFTER_BYTES)
        await close_all(lab.clients)


def _has_messages(client: Client, count: int) -> bool:
    return len(client.log.group) >= count


def _value(data: Any) -> Any:
    return bytes(data) if isinstance(data, (memoryview, bytes, bytearray)) else data
