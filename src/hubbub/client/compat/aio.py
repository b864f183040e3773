"""Names of `azure.messaging.webpubsubclient.aio`, on `hubbub.Client`."""

from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any, Self, Unpack

from hubbub.client.async_client import Client
from hubbub.client.compat.models import (
    AnyPayload,
    CallbackType,
    Listener,
    OfficialOptions,
    WebPubSubDataType,
    client_options,
    text_of,
)

__all__ = ["WebPubSubClient", "WebPubSubClientCredential"]


class WebPubSubClientCredential:
    """A Client Access URL, or a function that gives one for each new connection."""

    def __init__(
        self, client_access_url_provider: str | Callable[[], str | Awaitable[str]]
    ) -> None:
        self._provider = client_access_url_provider

    def get_client_access_url(self) -> str | Awaitable[str]:
        provider = self._provider
        return provider if isinstance(provider, str) else provider()


class WebPubSubClient:
    """`hubbub.Client` under the names of the official package."""

    def __init__(
        self, credential: str | WebPubSubClientCredential, **options: Unpack[OfficialOptions]
    ) -> None:
        self._client = Client(credential, **client_options(**options))

    async def open(self) -> None:
        await self._client.start()

    async def close(self) -> None:
        await self._client.stop()

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    def is_connected(self) -> bool:
        return self._client.is_connected

    async def subscribe(self, event: CallbackType | str, listener: Callable[..., Any]) -> None:
        on: Any = self._client.on  # the name is known at run time only
        on(text_of(event), Listener(listener))

    async def unsubscribe(self, event: CallbackType | str, listener: Callable[..., Any]) -> None:
        self._client.off(text_of(event), Listener(listener))

    async def join_group(self, group_name: str, *, ack_id: int | None = None) -> None:
        await self._client.join_group(group_name, ack_id=ack_id)

    async def leave_group(self, group_name: str, *, ack_id: int | None = None) -> None:
        await self._client.leave_group(group_name, ack_id=ack_id)

    async def send_to_group(
        self,
        group_name: str,
        content: AnyPayload,
        data_type: WebPubSubDataType | str,
        *,
        ack: bool = True,
        no_echo: bool = False,
        ack_id: int | None = None,
    ) -> None:
        await self._client.send_to_group(
            group_name,
            content,
            text_of(data_type),
            no_echo=no_echo,
            fire_and_forget=not ack,
            ack_id=ack_id,
        )

    async def send_event(
        self,
        event_name: str,
        content: AnyPayload,
        data_type: WebPubSubDataType | str,
        *,
        ack: bool = True,
        ack_id: int | None = None,
    ) -> None:
        await self._client.send_event(
            event_name,
            content,
            text_of(data_type),
            fire_and_forget=not ack,
            ack_id=ack_id,
        )
