"""Our server SDK and the official ones behind one face, so that one test can ask them all.

Names and options are those of `ServiceClient`; sends always say their content type.
"""

import asyncio
import base64
import io
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from typing import Any

from azure.core.credentials import AzureKeyCredential
from azure.core.exceptions import HttpResponseError
from azure.core.rest import HttpRequest
from azure.messaging.webpubsubservice import WebPubSubServiceClient as AzureSync
from azure.messaging.webpubsubservice.aio import WebPubSubServiceClient as AzureAio
from tests.official_sdks.node_process import NodeProcess

from hubbub.appserver import InvalidName, RequestError, ServiceClient, SyncServiceClient
from hubbub.protocol.connection_string import parse

Run = Callable[[str, tuple[Any, ...], dict[str, Any]], Awaitable[Any]]


@dataclass(frozen=True)
class Target:
    """Where to, by connection string; or by address and key."""

    hub: str
    connection_string: str | None = None
    endpoint: str = ""
    key: str = ""

    def made_by_hand(self) -> "Target":
        """The same, by address and key."""
        assert self.connection_string is not None
        parts = parse(self.connection_string)
        return Target(self.hub, None, parts.endpoint, parts.access_key)


class Sdk:
    def __init__(self, run: Run) -> None:
        self._run = run

    async def call(self, name: str, *arguments: Any, **options: Any) -> Any:
        """What the SDK returns; members are pairs of connection and user."""
        return await self._run(name, arguments, options)

    async def status(self, name: str, *arguments: Any, **options: Any) -> int | None:
        """The status of the error that the SDK raises for this call.

        What our SDK refuses before it is sent counts as the 400 that the others get.
        """
        try:
            result = await self.call(name, *arguments, **options)
        except (ValueError, InvalidName):
            return 400
        except (RequestError, HttpResponseError, JavaScriptError) as error:
            return error.status_code if isinstance(error, HttpResponseError) else error.status
        raise AssertionError(f"{name} went well: {result!r}")


class JavaScriptError(Exception):
    def __init__(self, status: int | None, problem: str) -> None:
        super().__init__(problem)
        self.status = status


@asynccontextmanager
async def open_sdk(kind: str, target: Target, node: NodeProcess | None) -> AsyncIterator[Sdk]:
    """`kind`: hubbub, hubbub_sync, azure_sync, azure_aio or azure_js (needs `node`)."""
    if kind == "azure_js":
        assert node is not None
        yield Sdk(_javascript(node, target))
    elif kind == "azure_aio":
        async with _azure(AzureAio, target) as aio:
            yield Sdk(_azure_aio(aio, target.hub))
    elif kind == "azure_sync":
        with _azure(AzureSync, target) as sync:
            yield Sdk(_azure_sync(sync, target.hub))
    elif kind == "hubbub_sync":
        with _hubbub(SyncServiceClient, target) as twin:
            yield Sdk(_hubbub_sync(twin))
    else:
        async with _hubbub(ServiceClient, target) as client:
            yield Sdk(_hubbub_async(client))


def _hubbub(client: Any, target: Target) -> Any:
    if target.connection_string is not None:
        return client.from_connection_string(target.connection_string, target.hub)
    return client(target.endpoint, target.hub, target.key)


def _azure(client: Any, target: Target) -> Any:
    if target.connection_string is not None:
        return client.from_connection_string(target.connection_string, target.hub)
    return client(target.endpoint, target.hub, AzureKeyCredential(target.key))


# --- ours ------------------------------------------------------------------------------------


def _hubbub_async(client: ServiceClient) -> Run:
    async def run(name: str, arguments: tuple[Any, ...], options: dict[str, Any]) -> Any:
        result = getattr(client, name)(*arguments, **options)
        if name == "get_client_access_token":
            return _token(result)
        if name == "list_connections":
            return [(member.connection_id, member.user_id) async for member in result]
        return await result

    return run


def _hubbub_sync(client: SyncServiceClient) -> Run:
    def call(name: str, arguments: tuple[Any, ...], options: dict[str, Any]) -> Any:
        result = getattr(client, name)(*arguments, **options)
        if name == "get_client_access_token":
            return _token(result)
        if name == "list_connections":
            return [(member.connection_id, member.user_id) for member in result]
        return result

    async def run(name: str, arguments: tuple[Any, ...], options: dict[str, Any]) -> Any:
        return await asyncio.to_thread(call, name, arguments, options)

    return run


def _token(access: Any) -> dict[str, str]:
    return {"baseUrl": access.base_url, "token": access.token, "url": access.url}


# --- Python, official ------------------------------------------------------------------------


def _azure_sync(client: AzureSync, hub: str) -> Run:
    def call(name: str, arguments: tuple[Any, ...], options: dict[str, Any]) -> Any:
        if name in _BULK:
            client.send_request(_bulk(hub, name, *arguments, **options)).raise_for_status()
            return None
        arguments, options = _as_azure(name, arguments, options)
        result = getattr(client, name)(*arguments, **options)
        if name == "list_connections":
            return [(member.connection_id, member.user_id) for member in result]
        return result

    async def run(name: str, arguments: tuple[Any, ...], options: dict[str, Any]) -> Any:
        return await asyncio.to_thread(call, name, arguments, options)

    return run


def _azure_aio(client: AzureAio, hub: str) -> Run:
    async def run(name: str, arguments: tuple[Any, ...], options: dict[str, Any]) -> Any:
        if name in _BULK:
            answer = await client.send_request(_bulk(hub, name, *arguments, **options))
            answer.raise_for_status()
            return None
        arguments, options = _as_azure(name, arguments, options)
        result = getattr(client, name)(*arguments, **options)
        if name == "list_connections":
            return [(member.connection_id, member.user_id) async for member in result]
        return await result

    return run


_BULK = {
    "add_connections_to_groups": "addToGroups",
    "remove_connections_from_groups": "removeFromGroups",
}


def _bulk(hub: str, name: str, groups: list[str], *, filter: str | None = None) -> HttpRequest:
    """The package has no methods for these, but sends any request."""
    url = f"/api/hubs/{hub}/:{_BULK[name]}?api-version=2024-12-01"
    return HttpRequest("POST", url, json={"groups": groups, "filter": filter})


def _as_azure(
    name: str, arguments: tuple[Any, ...], options: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    names = {"page_size": "maxpagesize"}
    if name.endswith("_permission"):
        names = {"group": "target_name"}
    if name == "list_connections":
        options, arguments = {"group": arguments[0], **options}, ()
    arguments = tuple(io.BytesIO(item) if isinstance(item, bytes) else item for item in arguments)
    return arguments, {names.get(option, option): value for option, value in options.items()}


# --- JavaScript, official --------------------------------------------------------------------


def _javascript(node: NodeProcess, target: Target) -> Run:
    async def run(name: str, arguments: tuple[Any, ...], options: dict[str, Any]) -> Any:
        args = [
            {"base64": base64.b64encode(item).decode()} if isinstance(item, bytes) else item
            for item in arguments
        ]
        question = {"target": asdict(target), "name": name, "args": args, "options": options}
        answer = await node.ask(question)
        if "value" not in answer:
            raise JavaScriptError(answer["status"], answer["problem"])
        value = answer["value"]
        return [tuple(member) for member in value] if name == "list_connections" else value

    return run
