"""The client in a stranger's hands: only type-checked, never run."""

from typing import Any, Unpack, assert_type

import hubbub
from hubbub.client import (
    BufferOptions,
    Client,
    ClientOptions,
    ConnectedEvent,
    CredentialContext,
    EventStream,
    GapEvent,
    GroupMemberState,
    GroupMessageEvent,
    GroupStream,
    GroupStreamWriter,
    InvokeResult,
    NegotiateCredential,
    RecoveryOptions,
    Registration,
    RetryOptions,
    SendResult,
    ServerMessageEvent,
    StreamError,
    StreamPart,
    StreamRegistration,
    SubProtocol,
    SyncClient,
    SyncGroupStream,
    SyncGroupStreamWriter,
    SyncRegistration,
    connect,
)

URL = "ws://127.0.0.1:8080/client/hubs/chat?access_token=TOKEN"


async def access_url(context: CredentialContext) -> str:
    return URL


def clients() -> list[Client]:
    return [
        Client(URL),
        Client(access_url),
        Client(lambda: URL, auto_reconnect=False, keep_alive_interval=None),
        Client(NegotiateCredential("https://chat.example/negotiate", headers={"a": "b"})),
        Client(
            access_url,
            protocol=SubProtocol.JSON_RELIABLE,
            message_retry=RetryOptions(),
            recovery=RecoveryOptions(),
            buffer=BufferOptions(),
            duplicate_policy="resend",
        ),
        hubbub.Client(URL),
    ]


async def operations() -> None:
    async with connect(URL) as client:
        assert_type(client, Client)
        assert_type(client.connection_id, str | None)
        assert_type(client.joined_groups, frozenset[str])
        assert_type(client.is_connected, bool)
        assert_type(await client.join_group("news"), SendResult)
        await client.send_to_group("news", {"a": 1})
        await client.send_event("echo", b"\x00", "binary")
        assert_type(await client.invoke_event("echo", "hi", "text"), InvokeResult)
        await client.leave_group("news")
    client = await hubbub.connect(URL)
    await client.stop()


async def iterators(client: Client) -> None:
    messages = client.messages(group="news")
    assert_type(messages, EventStream[GroupMessageEvent])
    async with messages:
        async for message in messages:
            assert_type(message.group, str)
            assert_type(message.data, Any)
    async with client.messages(forever=True) as everything:
        assert_type(await anext(everything), GroupMessageEvent | ServerMessageEvent)
    async with client.events("gap", "connected") as events:
        async for event in events:
            if isinstance(event, GapEvent | ConnectedEvent):
                assert_type(event.connection_id, str | None)


def handlers(client: Client, twin: SyncClient) -> None:
    @client.on("connected")
    async def connected(event: ConnectedEvent) -> None:
        assert_type(event.user_id, str | None)

    with client.on("gap", lambda event: print(event.dropped), max_concurrency=2) as registration:
        assert_type(registration, Registration)
    assert_type(twin.on("stopped", lambda event: print(event.reason)), SyncRegistration)
    assert_type(client.stats.last_rtt, float | None)


def passed_on(url: str, **options: Unpack[ClientOptions]) -> Client:
    return Client(url, **options)


async def tell(stream: GroupStream) -> None:
    async for part in stream:
        assert_type(part, StreamPart)
        assert_type(part.data, Any)
        assert_type(part.stream.sequence_id, int)


async def streams(client: Client) -> None:
    async with client.open_group_stream("news", idle_timeout=60.0) as writer:
        assert_type(writer, GroupStreamWriter)
        await writer.write({"a": 1}, timeout=None)
        assert_type(writer.error, StreamError | None)
    assert_type(await client.open_group_stream("news"), GroupStreamWriter)
    async with client.group_streams(["news"], from_start=True) as found:
        async for stream in found:
            assert_type(stream, GroupStream)
    assert_type(client.on_group_stream(tell, groups="news"), StreamRegistration)


def blocking_streams(client: SyncClient) -> None:
    with client.open_group_stream("news") as writer:
        assert_type(writer, SyncGroupStreamWriter)
        writer.write("a")
    with client.group_streams() as found:
        for stream in found:
            assert_type(stream, SyncGroupStream)
            for part in stream:
                assert_type(part, StreamPart)
    assert_type(client.get_group_state("news"), dict[str, str])


async def group_states(client: Client) -> None:
    assert_type(await client.set_group_state("news", {"a": "b"}), SendResult)
    assert_type(client.get_group_state("news"), dict[str, str])
    assert_type(await client.subscribe_group_states("news"), SendResult)
    assert_type(client.list_group_states("news"), list[GroupMemberState])


def what_is_refused() -> None:
    Client()  # type: ignore[call-arg]
    Client(5)  # type: ignore[arg-type]
    Client(URL, duplicate_policy="sometimes")  # type: ignore[arg-type]
    connect(URL, sequence_acks=None)  # type: ignore[call-arg]


def handlers_that_are_refused(client: Client, name: str) -> None:
    def of_gaps(event: GapEvent) -> None: ...

    async def of_messages(event: GroupMessageEvent) -> None: ...

    client.on("gap", of_gaps)
    client.on("group-message", of_messages)
    client.on("connected", of_gaps)  # type: ignore[call-overload]
    client.on("server-message", of_messages)  # type: ignore[call-overload]
    client.on("connected")(of_gaps)  # type: ignore[arg-type]
    client.on("conected", print)  # type: ignore[call-overload]
    client.on(name, print)  # type: ignore[call-overload]
    client.on("gap", lambda event: event.group)  # type: ignore[call-overload]
