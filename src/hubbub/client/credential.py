"""Where the Client Access URL comes from: a text, a function, or an object."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Literal, Protocol
from urllib.parse import parse_qsl, quote, unquote, urlsplit, urlunsplit

from hubbub.client.threads import run_in_thread
from hubbub.protocol.client_events import Recovery
from hubbub.protocol.errors import CredentialError


@dataclass(frozen=True, slots=True)
class CredentialContext:
    """Why an address is asked for. `attempt` counts from 1 since the start or the loss;
    `previous_error`: why the attempt before came to nothing."""

    reason: Literal["start", "reconnect"]
    attempt: int
    previous_error: BaseException | None = None


class HasClientAccessUrl(Protocol):
    def get_client_access_url(self) -> str | Awaitable[str]: ...


CredentialProvider = (
    Callable[[], str | Awaitable[str]]
    | Callable[[CredentialContext], str | Awaitable[str]]
    | HasClientAccessUrl
)


async def access_url(credential: "str | CredentialProvider", context: CredentialContext) -> str:
    """Ask once. A plain function runs in a thread, so that it may block. Raises: CredentialError."""
    if isinstance(credential, str):
        url: Any = credential
    else:
        provider: Any = getattr(credential, "get_client_access_url", credential)
        arguments = [context] if _takes_context(provider) else []
        try:
            if inspect.iscoroutinefunction(provider) or inspect.iscoroutinefunction(
                getattr(provider, "__call__", None)  # noqa: B004 - an object may be async callable
            ):
                url = await provider(*arguments)
            else:
                url = await run_in_thread(provider, *arguments, name="hubbub credential")
                if inspect.isawaitable(url):
                    url = await url
        except CredentialError:
            raise
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            raise CredentialError("the credential was cancelled by itself") from error
        except Exception as error:
            raise CredentialError(f"the credential failed: {type(error).__name__}") from error
    if not isinstance(url, str):
        raise CredentialError(f"the credential gave {type(url).__name__}, not the URL as str")
    if not _is_websocket(url):
        raise CredentialError("a Client Access URL begins with ws:// or wss://")
    return url


def _is_websocket(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("ws", "wss") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a bracket or a port that is none; its text would hold the token
        return False


def _takes_context(provider: Callable[..., Any]) -> bool:
    try:
        parameters = inspect.signature(provider).parameters.values()
    except (TypeError, ValueError):
        return False
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return any(p.kind in kinds and p.default is inspect.Parameter.empty for p in parameters)


def recovery_url(url: str, recovery: Recovery, *, without_access_token: bool) -> str:
    """The address of the lost connection, all other parts of its query kept as they are."""
    parts = urlsplit(url)
    query = parts.query
    if without_access_token:
        query = "&".join(part for part in query.split("&") if not _is_token(part))
    proof = (
        f"awps_connection_id={quote(recovery.connection_id, safe='')}"
        f"&awps_reconnection_token={quote(recovery.token, safe='')}"
    )
    return urlunsplit(parts._replace(query=f"{query}&{proof}" if query else proof))


def _is_token(part: str) -> bool:
    return any(name == "access_token" for name, _ in parse_qsl(part, keep_blank_values=True))


def masked(url: str) -> str:
    """The address without the values of its query, which hold the token."""
    parts = urlsplit(url)
    names = [part.partition("=")[0] for part in parts.query.split("&") if part]
    return urlunsplit(parts._replace(query="&".join(f"{name}=…" for name in names)))


def hub_of(url: str) -> str:
    """The hub that a Client Access URL leads to, "" where it says none."""
    parts = urlsplit(url)
    head, found, hub = parts.path.rpartition("/client/hubs/")
    if found and not head:
        return unquote(hub).lower()
    return next((value.lower() for name, value in parse_qsl(parts.query) if name == "hub"), "")
