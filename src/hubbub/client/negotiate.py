"""The Client Access URL from an application server, over HTTP."""

import inspect
import json
import urllib.error
import urllib.request
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, cast
from urllib.parse import urlsplit

from hubbub.client.threads import run_in_thread
from hubbub.protocol.errors import CredentialError

Headers = Mapping[str, str]
_MAX_ANSWER_BYTES = 65_536


class NegotiateCredential:
    """Asks an application server: `{"url": "wss://…"}` in answer to GET.

    `headers` may be a function, plain or `async`, for fresh ones. Redirects to another host are
    refused. 401 and 403 count as refused; `Retry-After` of other answers is a lower bound for the
    next pause.
    """

    def __init__(
        self,
        url: str,
        *,
        headers: Headers | Callable[[], Headers | Awaitable[Headers]] | None = None,
        field: str = "url",
        method: str = "GET",
        timeout: float = 10.0,
    ) -> None:
        """`field`: of the answer, holds the address. `timeout`: seconds. Raises: ValueError."""
        if urlsplit(url).scheme not in ("http", "https"):
            raise ValueError("the address of an application server begins with http:// or https://")
        self._url = url
        self._headers = headers
        self._field = field
        self._method = method
        self._timeout = timeout

    async def get_client_access_url(self) -> str:
        """Ask once, in a thread. Raises: CredentialError."""
        headers = await self._fresh_headers()
        return await run_in_thread(self._ask, headers, name="hubbub negotiate")

    async def _fresh_headers(self) -> Headers:
        headers = self._headers
        if not callable(headers):
            return headers or {}
        if inspect.iscoroutinefunction(headers):
            return cast("Headers", await headers())
        fresh = await run_in_thread(headers, name="hubbub negotiate headers")
        return await fresh if inspect.isawaitable(fresh) else fresh

    def _ask(self, headers: Headers) -> str:
        request = urllib.request.Request(self._url, method=self._method, headers=dict(headers))
        opener = urllib.request.build_opener(_SameHostOnly)
        try:
            with opener.open(request, timeout=self._timeout) as response:
                answer = json.loads(response.read(_MAX_ANSWER_BYTES))
        except urllib.error.HTTPError as error:
            status, told = error.code, dict(error.headers)
            error.close()
            text = f"the application server answered {status}"
            raise CredentialError(text, status=status, headers=told) from None
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
