"""Where the Client Access URL comes from: a text, a function, or an application server."""

import asyncio
import inspect
import json
import urllib.error
import urllib.request
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol, cast
from urllib.parse import parse_qsl, quote, urlsplit, urlunsplit

from hubbub.protocol.client_events import Recovery
from hubbub.protocol.errors import CredentialError


@dataclass(frozen=True, slots=True)
class CredentialContext:
    """Why an address is asked for. `attempt` counts from 1 since the start or the loss."""

    reason: Literal["start", "reconnect"]
    attempt: int


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
                url = await asyncio.to_thread(provider, *arguments)
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


class NegotiateCredential:
    """Asks an application server: `{"url": "wss://…"}` in answer to GET.

    `headers` may be a plain function for fresh ones. Redirects to another host are refused.
    """

    def __init__(
        self,
        url: str,
        *,
        headers: Mapping[str, str] | Callable[[], Mapping[str, str]] | None = None,
        field: str = "url",
        method: str = "GET",
        timeout: float = 10.0,
    ) -> None:
        if urlsplit(url).scheme not in ("http", "https"):
            raise ValueError("the address of an application server begins with http:// or https://")
        self._url = url
        self._headers = headers
        self._field = field
        self._method = method
        self._timeout = timeout

    def get_client_access_url(self) -> str:
        """Blocks; the client calls it in a thread. Raises: CredentialError."""
        headers = self._headers() if callable(self._headers) else self._headers or {}
        request = urllib.request.Request(self._url, method=self._method, headers=dict(headers))
        opener = urllib.request.build_opener(_SameHostOnly)
        try:
            with opener.open(request, timeout=self._timeout) as response:
                answer = json.loads(response.read(65_536))
        except urllib.error.HTTPError as error:
            status = error.code
            error.close()
            raise CredentialError(
                f"the application server answered {status}", status=status
            ) from None
        except (OSError, ValueError) as error:
            text = f"the application server gave no answer: {type(error).__name__}"
            raise CredentialError(text) from error
        fields = cast("dict[str, object]", answer) if isinstance(answer, dict) else {}
        url = fields.get(self._field)
        if not isinstance(url, str):
            raise CredentialError(f"the application server's answer has no text {self._field!r}")
        return url


class _SameHostOnly(urllib.request.HTTPRedirectHandler):
    """Nor from https to http: the headers may hold a secret."""

    def redirect_request(
        self, req: urllib.request.Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        old, new = urlsplit(req.full_url), urlsplit(newurl)
        if (old.scheme, old.netloc) != (new.scheme, new.netloc):
            return None
        return super().redirect_request(req, fp, code, msg, headers, newurl)
