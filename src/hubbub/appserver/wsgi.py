"""Event handlers and negotiators as WSGI apps: Flask, Django and other blocking frameworks.

Callbacks are async functions, so they run in one event loop in a thread of this adapter; the
worker thread that got the request waits for the answer.
"""

import asyncio
import threading
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any

from hubbub.appserver.answers import MAX_BODY_BYTES, HandlerAnswer, HttpHandler

Environ = dict[str, Any]
StartResponse = Callable[[str, list[tuple[str, str]]], Any]


class WsgiApp:
    """Its thread starts with the first request, so that it also works behind servers that fork."""

    def __init__(self, handler: HttpHandler) -> None:
        self._handler = handler
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        answer = self._answer(environ)
        headers = [*answer.headers]
        if answer.status != 204:
            headers.append(("Content-Length", str(len(answer.body))))
        start_response(_status_line(answer.status), headers)
        return [answer.body]

    def close(self) -> None:
        """Let running callbacks end, then stop the thread. Idempotent."""
        with self._lock:
            loop, thread = self._loop, self._thread
            self._loop = self._thread = None
        if loop is None or thread is None:
            return
        asyncio.run_coroutine_threadsafe(self._handler.aclose(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()

    def _answer(self, environ: Environ) -> HandlerAnswer:
        body = _read_body(environ)
        if body is None:
            return HandlerAnswer(413)
        work = self._handler.answer_http(
            environ["REQUEST_METHOD"], environ.get("QUERY_STRING", ""), _headers(environ), body
        )
        return asyncio.run_coroutine_threadsafe(work, self._running_loop()).result()

    def _running_loop(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(
                    target=self._loop.run_forever, name="hubbub-appserver", daemon=True
                )
                self._thread.start()
            return self._loop


def _headers(environ: Environ) -> list[tuple[str, str]]:
    """Header lines as they came; WSGI has written their names differently (PEP 3333)."""
    found = [
        (key.removeprefix("HTTP_").replace("_", "-").lower(), value)
        for key, value in environ.items()
        if key.startswith("HTTP_")
    ]
    if environ.get("CONTENT_TYPE"):
        found.append(("content-type", environ["CONTENT_TYPE"]))
    return found


def _read_body(environ: Environ) -> bytes | None:
    """None: too large. A body without a length ends where the server says that it ends."""
    length = environ.get("CONTENT_LENGTH") or ""
    stream = environ["wsgi.input"]
    if length.isdigit():
        if int(length) > MAX_BODY_BYTES:
            return None
        data: bytes = stream.read(int(length))
        return data
    if not environ.get("wsgi.input_terminated"):
        return b""
    data = stream.read(MAX_BODY_BYTES + 1)
    return data if len(data) <= MAX_BODY_BYTES else None


def _status_line(status: int) -> str:
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return f"{status} Refused"
