"""The one door to packages for pages, API and live parts.

Open it with `open_catalog`:

    async with open_catalog(settings) as catalog:          # serve: the real sources
    async with open_catalog(settings, demo=True) as catalog:   # recorded and simulated
        page = await catalog.package("@azure/web-pubsub-client")
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Literal

from pkgstats.models import (
    Downloads,
    FeedItem,
    Home,
    NotFound,
    OutboxRow,
    PackageData,
    PackageList,
    ResultCard,
    SearchResult,
    SourceState,
    Suggestion,
    WatchedPackage,
)
from pkgstats.settings import Settings

PAGE_SIZE = 50


class Catalog:
    """Packages as known here, refreshed from the sources while somebody looks."""

    simulated: bool
    """True under demo: the label "simulated data" stands on everything."""

    # Pages

    async def package(self, name: str, version: str | None = None) -> PackageData | NotFound:
        """The page of a version or dist-tag (None: latest).

        Answers from the store at once when there is any copy and refreshes it in the background;
        a name never seen here waits at most 3 s for the registry. Raises nothing for a bad name.
        """
        raise NotImplementedError

    async def downloads(self, name: str, days: int) -> Downloads | None:
        """The last `days` days of counts (30 … 548), None when there are none."""
        raise NotImplementedError

    async def cards(self, names: Sequence[str]) -> list[ResultCard]:
        """Cards for known names, in the order asked; names not known here are left out."""
        raise NotImplementedError

    async def suggest(self, text: str, limit: int = 8) -> list[Suggestion]:
        """Suggestions for a text being typed, from the own index only; never waits upstream."""
        raise NotImplementedError

    async def search(self, text: str, page: int = 1) -> SearchResult:
        """A page of 50 results: own index, merged with the registry's search where offered."""
        raise NotImplementedError

    async def user(self, name: str) -> PackageList:
        """Packages with this maintainer."""
        raise NotImplementedError

    async def scope(self, name: str) -> PackageList:
        """Packages in the scope (`name` without the @)."""
        raise NotImplementedError

    async def home(self) -> Home:
        """Popular, newest and random, ten each at most."""
        raise NotImplementedError

    async def sources(self) -> list[SourceState]:
        """State of every ability of every source."""
        raise NotImplementedError

    async def known_names(self) -> list[tuple[str, datetime]]:
        """Seen packages and when they changed, for the sitemap."""
        raise NotImplementedError

    # Stars: `visitor` is the anonymous id of the cookie

    async def star(self, visitor: str, name: str) -> bool:
        """Star a package; False when the name is no package name."""
        raise NotImplementedError

    async def unstar(self, visitor: str, name: str) -> None:
        """Take a star back; nothing happens when there is none."""
        raise NotImplementedError

    async def stars(self, visitor: str) -> list[WatchedPackage]:
        """The visitor's stars, newest change first."""
        raise NotImplementedError

    # Feed

    async def feed(
        self, kind: Literal["popular", "newest", "random", "all"], limit: int = 50
    ) -> list[FeedItem]:
        """Picks, newest first."""
        raise NotImplementedError

    async def pick(self, kind: Literal["popular", "newest", "random"]) -> FeedItem | None:
        """Make the next pick of that kind, with its messages; None when nothing fits."""
        raise NotImplementedError

    # Live

    async def pending(self, limit: int = 100) -> list[OutboxRow]:
        """Messages not yet marked as sent, in the order of their ids."""
        raise NotImplementedError

    async def mark_sent(self, ids: Iterable[int]) -> None:
        """Mark messages as sent; call it after the service accepted them."""
        raise NotImplementedError

    def changes(self) -> AsyncIterator[list[OutboxRow]]:
        """Unsent messages as they are committed; ends when the catalog closes.

        One publisher iterates; a batch that was not marked as sent comes again after a pause.
        """
        raise NotImplementedError

    def watching(self, counts: Mapping[str, int]) -> None:
        """Tell which packages are looked at right now: they are kept fresher."""
        raise NotImplementedError

    # Simulated world (demo only)

    async def release_now(self) -> None:
        """Let the simulated world publish 1.1.0 of the model package at once; no-op when done."""
        raise NotImplementedError


@asynccontextmanager
async def open_catalog(settings: Settings, *, demo: bool = False) -> AsyncIterator[Catalog]:
    """A running catalog: store open, jobs started; closed again at the end."""
    raise NotImplementedError
    yield
