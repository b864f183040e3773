"""Where the access URL comes from: providers of all kinds, negotiation, and none that hangs."""

import asyncio
import json
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from tests.client.conftest import Near
from tests.client.test_client import names_of, watch
from tests.client.test_healing import QUICK, SOON, until
from tests.client.test_lanes import soon

from hubbub.client import Client, CredentialContext, NegotiateCredential, RetryOptions, connect
from hubbub.client.credential import hub_of, masked
from hubbub.client.failures import retry_after_s
from hubbub.protocol.errors import AuthenticationError, ConnectError, CredentialError


async def test_context_says_why_and_what_failed_before(near: Near) -> None:
    asked: list[CredentialContext] = []

    def provider(context: CredentialContext) -> str:
        asked.append(context)
        if len(asked) in (2, 3):
            raise RuntimeError("mine")
        return near.url()

    client = Client(provider, recovery=QUICK, reconnect_retry=SOON)
    seen = watch(client)
    async with client:
        assert client.connection_id is not None
        await near.backend.close_connection(client.connection_id)
        await until(lambda: client.stats.reconnects == 1)
    assert [(c.reason, c.attempt) for c in asked] == [
        ("start", 1),
        ("reconnect", 1),
        ("reconnect", 2),
        ("reconnect", 3),
    ]
    assert [c.previous_error for c in asked[:2]] == [None, None]
    for context in asked[2:]:
        assert isinstance(context.previous_error, CredentialError)
        assert isinstance(context.previous_error.__cause__, RuntimeError)
    assert names_of(seen).count("Reconnecting") == 2


async def test_every_kind_of_provider_is_asked(near: Near) -> None:
    class Holder:
        async def get_client_access_url(self) -> str:
            return near.url()

    class Callable_:
        async def __call__(self, context: CredentialContext) -> str:
            assert context.reason == "start"
            return near.url()

    for provider in (near.url(), near.url, Holder(), Callable_()):
        async with connect(provider) as client:
            assert client.is_connected


def test_mask_leaves_no_value_of_the_query() -> None:
    url = "wss://h/client/hubs/chat?access_token=SECRET&x=SECRET#f"
    assert masked(url) == "wss://h/client/hubs/chat?access_token=…&x=…#f"
    assert hub_of(url) == "chat"
    assert hub_of("ws://h/client?hub=Chat&access_token=x") == "chat"
    assert hub_of("ws://h/elsewhere") == ""


async def test_credential_that_changes_the_hub_is_told(
    near: Near, caplog: pytest.LogCaptureFixture
) -> None:
    urls = iter([near.url(), near.url().replace("/hubs/chat", "/hubs/other")])
    client = Client(lambda: next(urls))
    await client.start()
    await client.stop()
    with pytest.raises(AuthenticationError):
        await client.start()
    assert "leads to hub 'other' now, not to 'chat'" in caplog.text


# --- negotiation ------------------------------------------------------------------------------


@asynccontextmanager
async def application(
    answer: Callable[[str, dict[str, str]], tuple[str, Mapping[str, str], bytes]],
) -> AsyncIterator[tuple[str, list[tuple[str, dict[str, str]]]]]:
    """A tiny HTTP server; `answer` gives status line, headers and body to (method, headers)."""
    asked: list[tuple[str, dict[str, str]]] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        lines = head.split("\r\n")
        pairs = [line.split(": ", 1) for line in lines[1:] if ": " in line]
        headers = {name.lower(): value for name, value in pairs}
        method = lines[0].split(" ")[0]
        asked.append((method, headers))
        status, extra, body = answer(method, headers)
        text = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n"
        text += "".join(f"{k}: {v}\r\n" for k, v in extra.items())
        writer.write(text.encode() + b"\r\n" + body)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}/negotiate", asked


@pytest.mark.parametrize("kind", ["mapping", "plain", "async"])
async def test_negotiation_with_headers_field_and_method(near: Near, kind: str) -> None:
    body = json.dumps({"address": near.url()}).encode()
    fresh = {"X-Fresh": "1"}

    async def later() -> Mapping[str, str]:
        return fresh

    headers: Any = {"mapping": fresh, "plain": lambda: fresh, "async": later}[kind]
    async with application(lambda *_: ("200 OK", {}, body)) as (url, asked):
        credential = NegotiateCredential(url, headers=headers, field="address", method="POST")
        async with connect(credential) as client:
            assert client.is_connected
    assert [(method, headers["x-fresh"]) for method, headers in asked] == [("POST", "1")]


@pytest.mark.parametrize(
    ("status", "body", "text"),
    [
        ("500 Oops", b"", "answered 500"),
        ("200 OK", b"{}", "no text 'url'"),
        ("200 OK", b"[]", "no text 'url'"),
        ("200 OK", b"nonsense", "no answer"),
    ],
)
async def test_negotiation_that_fails_says_how(status: str, body: bytes, text: str) -> None:
    async with application(lambda *_: (status, {}, body)) as (url, _):
        with pytest.raises(CredentialError, match=text):
            await Client(NegotiateCredential(url)).start()


async def test_cl_061_negotiation_honours_retry_after(near: Near) -> None:
    body = json.dumps({"url": near.url()}).encode()
    count = 0

    def answer(*_: object) -> tuple[str, Mapping[str, str], bytes]:
        nonlocal count
        count += 1
        if count == 2:
            return "503 Busy", {"Retry-After": "1"}, b""
        return "200 OK", {}, body

    async with application(answer) as (url, _):
        client = Client(NegotiateCredential(url), recovery=QUICK, reconnect_retry=SOON)
        pauses: list[float] = []
        client.on("reconnecting", lambda e: pauses.append(e.pause_s))
        async with client:
            assert client.connection_id is not None
            await near.backend.close_connection(client.connection_id)
            await until(lambda: client.stats.reconnects == 1)
    assert pauses == [1]


async def test_cl_059_negotiation_that_refuses_counts_as_refused() -> None:
    async with application(lambda *_: ("403 No", {}, b"")) as (url, _):
        with pytest.raises(AuthenticationError) as refused:
            await Client(NegotiateCredential(url)).start()
        assert refused.value.status == 403
        client = Client(
            NegotiateCredential(url),
            retry_first_connect=True,
            max_auth_failures=3,
            reconnect_retry=RetryOptions(None, 0.01, 0.01),
        )
        with pytest.raises(AuthenticationError):
            await soon(client.start())
        assert client.stats.connect_failures == 3


def test_retry_after_may_be_a_date() -> None:
    def asked(text: str) -> float | None:
        return retry_after_s(ConnectError("x", headers={"retry-AFTER": text}))

    assert asked("7") == 7
    assert asked("soon") is None
    assert asked("") is None
    assert asked("-3") is None
    later = format_datetime(datetime.now(UTC) + timedelta(seconds=100), usegmt=True)
    pause_s = asked(later)
    assert pause_s is not None
    assert 90 < pause_s <= 100
    assert asked("Wed, 21 Oct 2015 07:28:00 GMT") == 0


# --- never in the way of the end ----------------------------------------------------------------


def test_credential_that_hangs_delays_neither_the_loop_nor_the_interpreter() -> None:
    program = textwrap.dedent(
        """
        import asyncio, threading
        from hubbub.client import Client
        from hubbub.protocol.errors import ConnectTimeoutError

        async def main():
            client = Client(lambda: threading.Event().wait(), credential_timeout=0.1)
            try:
                await client.start()
            except ConnectTimeoutError as error:
                print(error.phase)

        asyncio.run(main())
        """
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    assert (done.stdout, done.stderr) == ("credential\n", "")
