"""Visitors of a real site: a cookie, and a client of hubbub for each open page."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any, Self

import httpx2
import pytest

from hubbub.client import Client
from pkgstats.site import Site


class Tab:
    """An open page in a browser's place."""

    def __init__(self, client: Client, messages: AsyncIterator[Any]) -> None:
        self.client = client
        self._messages = messages

    async def envelope(self, wanted: Callable[[Any], bool] = lambda message: True) -> Any:
        """The data of the next message that is wanted and doesn't count watchers."""
        return (await self.message(wanted)).data

    async def message(self, wanted: Callable[[Any], bool] = lambda message: True) -> Any:
        async with asyncio.timeout(15):
            while True:
                found = await anext(self._messages)
                if found.data["t"] != "watchers" and wanted(found):
                    return found


class Person:
    """`async with Person(site) as person`: everything that was opened is closed at the end."""

    def __init__(self, site: Site, *, is_terminal: bool = False) -> None:
        self.site = site
        self.http = httpx2.AsyncClient(base_url=site.url, trust_env=False)
        self._as = {"as": "terminal"} if is_terminal else {}
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        self._stack.push_async_callback(self.http.aclose)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    @property
    def id(self) -> str:
        return self.http.cookies["pkgstats_visitor"]

    async def open(self, page: str, **options: Any) -> Tab:
        async def access_url() -> str:
            answer = await self.http.get("/negotiate", params={"for": page} | self._as)
            return str(answer.json()["url"])

        client = Client(access_url, **options)
        messages = await self._stack.enter_async_context(client.messages())
        await self._stack.enter_async_context(client)
        return Tab(client, messages)


@pytest.fixture(scope="session")
def person_of() -> type[Person]:
    return Person
