"""A network that is a function, with answers as they are on the wire."""

from collections.abc import AsyncIterator, Callable

import httpx2
import pytest

Handler = Callable[[httpx2.Request], httpx2.Response]


class Bytes(httpx2.AsyncByteStream):
    """A body that is read once."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self._data


def make_network(handler: Handler) -> httpx2.MockTransport:
    """Bodies that a handler gives whole become streams, as real ones are."""

    def answer(request: httpx2.Request) -> httpx2.Response:
        response = handler(request)
        if not hasattr(response, "_content"):
            return response
        headers = {k: v for k, v in response.headers.items() if k != "transfer-encoding"}
        return httpx2.Response(
            response.status_code, headers=headers, stream=Bytes(response.content)
        )

    return httpx2.MockTransport(answer)


@pytest.fixture(scope="session")
def network() -> Callable[[Handler], httpx2.MockTransport]:
    return make_network


@pytest.fixture(scope="session")
def wire_bytes() -> type[Bytes]:
    return Bytes
