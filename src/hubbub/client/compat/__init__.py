"""Names of `azure.messaging.webpubsubclient`, on `hubbub.SyncClient`; `aio` has the asyncio ones.

Change the import and the program goes on, with our delivery and reconnecting. Not the same: a
reconnect is tried for ever unless `reconnect_retry_total` says how often; a call that fails raises
our `SendMessageError`, which says more; `open` returns when the connection can be used.
"""

from collections.abc import Callable
from types import TracebackType
from typing import Any, Self, Unpack

from hubbub.client.compat.models import (
    AnyPayload,
    CallbackType,
    Listener,
    OfficialOptions,
    WebPubSubDataType,
    client_options,
    text_of,
)
from hubbub.client.sync_client import SyncClient

__all__ = ["WebPubSubClient", "WebPubSubClientCredential"]


class WebPubSubClientCredential:
    """A Client Access URL, or a function that gives one for each new connection."""

    def __init__(self, client_access_url_provider: str | Callable[[], str]) -> None:
        self._provider = client_access_url_provider

    def get_client_access_url(self) -> str:
        provider = self._provider
        return provider if isinstance(provider, str) else provider()


class WebPubSubClient:
    """`hubbub.SyncClient` under the names of the official package."""

    def __init__(
        self, credential: str | WebPubSubClientCredential, **options: Unpack[OfficialOptions]
    ) -> None:
        self._client = SyncClient(credential, **client_options(**options))

    def open(self) -> None:
        self._client.start()

    def close(self) -> None:
        self._client.stop()

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def is_connected(self) -> bool:
        return self._client.is_connected

    def subscribe(self, event: CallbackType | str, listener: Callable[..., Any]) -> None:
        on: Any = self._client.on  # the name is known at run time only
        on(text_of(event), Listener(listener))

    def unsubscribe(self, event: CallbackType | str, listener: Callable[..., Any]) -> None:
        self._client.off(text_of(event), Listener(listener))

    def join_group(self, group_name: str, *, ack_id: int | None = None) -> None:
        self._client.join_group(group_name, ack_id=ack_id)

    def leave_group(self, group_name: str, *, ack_id: int | None = None) -> None:
        self._client.leave_group(group_name, ack_id=ack_id)

    def send_to_group(
        self,
        group_name: str,
        content: AnyPayload,
        data_type: WebPubSubDataType | str,
        *,
        ack: bool = True,
        no_echo: bool = False,
        ack_id: int | None = None,
    ) -> None:
        self._client.send_to_group(
            group_name,
            content,
            text_of(data_type),
            no_echo=no_echo,
            fire_and_forget=not ack,
            ack_id=ack_id,
        )

    def send_event(
        self,
        event_name: str,
        content: AnyPayload,
        data_type: WebPubSubDataType | str,
        *,
        ack: bool = True,
        ack_id: int | None = None,
    ) -> None:
        self._client.send_event(
            event_name,
            content,
            text_of(data_type),
            fire_and_forget=not ack,
            ack_id=ack_id,
        )
