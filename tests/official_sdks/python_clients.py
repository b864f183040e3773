"""The two official Python clients behind one face, so that one test can run with both."""

import asyncio
from collections.abc import Callable
from typing import Any, Protocol

from azure.messaging.webpubsubclient import WebPubSubClient as SyncClient
from azure.messaging.webpubsubclient import WebPubSubClientCredential as SyncCredential
from azure.messaging.webpubsubclient.aio import WebPubSubClient as AsyncClient
from azure.messaging.webpubsubclient.aio import WebPubSubClientCredential as AsyncCredential
from azure.messaging.webpubsubclient.models import CallbackType

TIMEOUT_S = 25

UrlSource = str | Callable[[], str]


async def until(is_true: Callable[[], bool]) -> None:
    async with asyncio.timeout(TIMEOUT_S):
        while not is_true():
            await asyncio.sleep(0.005)


class Log:
    """What a client told its callbacks."""

    def __init__(self) -> None:
        self.connected: list[Any] = []
        self.disconnected: list[Any] = []
        self.stopped: list[Any] = []
        self.group: list[Any] = []
        self.server: list[Any] = []

    def callbacks(self) -> dict[CallbackType, Callable[..., None]]:
        return {
            CallbackType.CONNECTED: self.connected.append,
            CallbackType.DISCONNECTED: self.disconnected.append,
            CallbackType.STOPPED: lambda: self.stopped.append(None),
            CallbackType.GROUP_MESSAGE: self.group.append,
            CallbackType.SERVER_MESSAGE: self.server.append,
        }


class Client(Protocol):
    log: Log

    async def open(self) -> None: ...
    async def close(self) -> None: ...
    async def call(self, name: str, *arguments: Any, **options: Any) -> None:
        """`join_group`, `leave_group`, `send_to_group`, `send_event`, as the package has them."""


class SyncTester:
    """The sync client, each call in a thread."""

    def __init__(self, url: UrlSource, **options: Any) -> None:
        self.log = Log()
        credential = url if isinstance(url, str) else SyncCredential(url)
        self._client = SyncClient(credential, **options)

    async def open(self) -> None:
        for kind, callback in self.log.callbacks().items():
            self._client.subscribe(kind, callback)  # type: ignore[call-overload]
        await asyncio.to_thread(self._client.open)

    async def close(self) -> None:
        await asyncio.to_thread(self._client.close)

    async def call(self, name: str, *arguments: Any, **options: Any) -> None:
        await asyncio.to_thread(getattr(self._client, name), *arguments, **options)


class AsyncTester:
    def __init__(self, url: UrlSource, **options: Any) -> None:
        self.log = Log()
        credential = url if isinstance(url, str) else AsyncCredential(_as_coroutine(url))
        self._client = AsyncClient(credential, **options)

    async def open(self) -> None:
        for kind, callback in self.log.callbacks().items():
            await self._client.subscribe(kind, _as_coroutine(callback))  # type: ignore[call-overload]
        await self._client.open()

    async def close(self) -> None:
        await self._client.close()

    async def call(self, name: str, *arguments: Any, **options: Any) -> None:
        await getattr(self._client, name)(*arguments, **options)


def _as_coroutine(function: Callable[..., Any]) -> Callable[..., Any]:
    async def coroutine(*arguments: Any) -> Any:
        return function(*arguments)

    return coroutine
