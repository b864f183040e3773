"""The WSGI adapter alone."""

import io
from collections.abc import Iterator
from typing import Any

import pytest

from hubbub.appserver import EventHandler
from hubbub.appserver.answers import MAX_BODY_BYTES
from hubbub.appserver.wsgi import WsgiApp


@pytest.fixture
def app() -> Iterator[WsgiApp]:
    app = EventHandler("chat").wsgi()
    yield app
    app.close()
    app.close()


def call(app: WsgiApp, method: str, body: bytes = b"", **environ: Any) -> tuple[str, bytes]:
    found: list[str] = []

    def start_response(status: str, headers: list[tuple[str, str]]) -> None:
        found.append(status)

    environ = {"REQUEST_METHOD": method, "wsgi.input": io.BytesIO(body), **environ}
    content = b"".join(app(environ, start_response))
    return found[0], content


EVENT = {
    "HTTP_CE_AWPSVERSION": "1.0",
    "HTTP_WEBHOOK_REQUEST_ORIGIN": "h",
    "HTTP_CE_HUB": "chat",
    "HTTP_CE_CONNECTIONID": "c1",
    "HTTP_CE_TYPE": "azure.webpubsub.user.e",
    "HTTP_CE_EVENTNAME": "e",
    "CONTENT_TYPE": "text/plain",
}


def test_event_without_callbacks_is_204(app: WsgiApp) -> None:
    assert call(app, "POST", b"hi", CONTENT_LENGTH="2", **EVENT) == ("204 No Content", b"")


def test_body_above_the_limit_is_413_unread(app: WsgiApp) -> None:
    class Unreadable:
        def read(self, size: int) -> bytes:
            raise AssertionError("refused before it is read")

    length = str(MAX_BODY_BYTES + 1)
    environ = {**EVENT, "CONTENT_LENGTH": length, "wsgi.input": Unreadable()}
    assert call(app, "POST", **environ)[0].startswith("413")


@pytest.mark.parametrize(("size", "status"), [(10, "204"), (MAX_BODY_BYTES + 1, "413")])
def test_body_without_a_length_is_bounded_too(app: WsgiApp, size: int, status: str) -> None:
    environ = {**EVENT, "wsgi.input_terminated": True}
    assert call(app, "POST", b"x" * size, **environ)[0].startswith(status)


def test_other_method_is_405(app: WsgiApp) -> None:
    assert call(app, "GET")[0] == "405 Method Not Allowed"
