"""Errors of the client: what they hold, that they can be sent to another process, their causes."""

import copy
import inspect
import pickle
import socket
from typing import Any

import pytest
from tests.client.conftest import Near
from tests.client.scripted import Peer, Scripted

from hubbub.client import Client, connect
from hubbub.protocol import errors
from hubbub.protocol.errors import (
    AckTimeoutError,
    AuthenticationError,
    ConnectError,
    HubbubError,
    InvocationTimeoutError,
    SendMessageError,
)


def all_errors() -> list[HubbubError]:
    """One of each kind, made with some text for whatever it asks for."""
    kinds = {
        kind
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, HubbubError)
    }
    made: list[HubbubError] = []
    for kind in sorted(kinds, key=lambda kind: kind.__name__):
        parameters = inspect.signature(kind.__init__).parameters.values()
        needed = [p for p in parameters if p.kind is p.KEYWORD_ONLY and p.default is p.empty]
        message = ["a: wrong"] if kind is errors.SettingsError else "some text"
        made.append(kind(message, **{p.name: "x" for p in needed}))
    return made


@pytest.mark.parametrize("error", all_errors(), ids=lambda error: type(error).__name__)
def test_error_survives_pickle_and_copy(error: HubbubError) -> None:
    for again in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert type(again) is type(error)
        assert str(again) == str(error)
        assert again.__dict__ == error.__dict__
        assert (again.code, again.retryable) == (error.code, error.retryable)


async def test_cl_003_connect_error_keeps_its_origin_and_no_token() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    url = f"ws://127.0.0.1:{port}/client/hubs/chat?access_token=SECRET"
    with pytest.raises(ConnectError) as failed:
        await Client(url).start()
    error = failed.value
    assert isinstance(error.__cause__, OSError)
    assert error.url == f"ws://127.0.0.1:{port}/client/hubs/chat?access_token=…"
    assert (error.status, dict(error.headers), error.close_code) == (None, {}, None)
    for part in (str(error), repr(error), str(error.__cause__), repr(error.__dict__)):
        assert "SECRET" not in part


async def test_cl_004_refusal_tells_status_and_headers(near: Near) -> None:
    with pytest.raises(AuthenticationError) as failed:
        await Client(near.url() + "broken").start()
    assert failed.value.status == 401
    assert "content-length" in {name.lower() for name in failed.value.headers}
    assert "access_token=…" in failed.value.url


async def test_close_before_connected_tells_code_and_reason() -> None:
    from websockets.asyncio.server import serve

    async def close(connection: Any) -> None:
        await connection.close(4001, "not today")

    async with serve(
        close,
        "127.0.0.1",
        0,
        subprotocols=["json.reliable.webpubsub.azure.v1"],  # type: ignore[list-item]
    ) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        with pytest.raises(ConnectError) as failed:
            await Client(f"ws://127.0.0.1:{port}/client/hubs/chat").start()
    assert (failed.value.close_code, failed.value.close_reason) == (4001, "not today")


async def test_operation_error_tells_all_it_knows() -> None:
    async def nothing(_: Peer) -> None: ...

    async with Scripted(nothing) as service, connect(service.url) as client:
        with pytest.raises(AckTimeoutError) as late:
            await client.send_to_group("g", "x", timeout=0.02)
        error = late.value
        assert isinstance(error, SendMessageError)
        assert isinstance(error, TimeoutError)
        assert (error.ack_id, error.outcome, error.attempts) == (1, "unknown", 1)
        assert (error.connection_id, error.error_detail) == (client.connection_id, None)
        with pytest.raises(InvocationTimeoutError) as asked:
            await client.invoke_event("ask", timeout=0.02)
        assert asked.value.invocation_id, "also where it was made up"


async def test_disconnected_tells_code_and_reason_of_the_close_frame() -> None:
    async def close(peer: Peer) -> None:
        await peer.socket.close(1008, "too slow")

    async with Scripted(close) as service:
        client = Client(service.url, auto_reconnect=False)
        async with client.events("disconnected") as events:
            await client.start()
            event: Any = await anext(events)
        assert (event.close_code, event.close_reason) == (1008, "too slow")
        await client.stop()
