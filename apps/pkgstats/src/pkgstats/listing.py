"""Lists of packages: suggestions, results, users, scopes, the home page."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Literal

from pkgstats import grammar, series, urls
from pkgstats.assemble import NO_ANSWER_WORDS, Assembler, pause_words
from pkgstats.models import (
    NOT_AVAILABLE,
    Block,
    Home,
    HomeItem,
    Origin,
    OriginState,
    PackageList,
    SearchResult,
    Suggestion,
)
from pkgstats.refresh import Refresher
from pkgstats.sources.base import FoundPage, Limited, NoData, NotOffered, NotSet, Refusal
from pkgstats.store import outbox, packages, people, saving
from pkgstats.store import search as index
from pkgstats.store.store import Store

PAGE_SIZE = 50
MAX_PAGES = 100
HOME_ITEMS = 10
MAX_LISTED = 500
MAX_SUGGESTIONS = 20
MAX_UPSTREAM_PAGES = 5
SUGGESTED_FROM = 50
"""So many matches are looked at for suggestions: the best by full text are among them."""


@dataclass(slots=True)
class _Upstream:
    """What the registry's search contributed."""

    names: list[str] = field(default_factory=list)
    total: int = 0
    answer: FoundPage | Refusal = field(default_factory=NoData)


class Listing:
    """Own index first; the registry's search joins it where one is offered."""

    def __init__(
        self,
        store: Store,
        refresher: Refresher,
        pages: Assembler,
        now: Callable[[], datetime],
        draw: random.Random,
        *,
        simulated: bool,
    ) -> None:
        self._store = store
        self._refresher = refresher
        self._pages = pages
        self._now = now
        self._draw = draw
        self._simulated = simulated

    async def suggest(self, text: str, limit: int) -> list[Suggestion]:
        """From the own index only; never waits for a source."""
        query = grammar.parse(text)
        needle = grammar.clean(text)
        match query:
            case grammar.HomeQuery():
                return []
            case grammar.UserQuery(name):
                return [Suggestion("user", f"@{name}", urls.user_path(name), "packages of a user")]
            case grammar.PackageQuery(name):
                needle = name
            case grammar.SearchQuery(found):
                needle = found
        limit = min(max(limit, 1), MAX_SUGGESTIONS)
        lines = await self._store.read(lambda db: _lines(db, _found(db, needle, limit)))
        if isinstance(query, grammar.NameQuery | grammar.ScopeQuery):
            first = Suggestion("scope", f"@{query.name}", urls.address(query), "user or scope")
            return [first, *lines][:limit]
        return lines

    async def near(self, text: str, limit: int) -> list[Suggestion]:
        """Packages that may have been meant by a text that leads nowhere; from the own index."""
        needle = grammar.clean(text).removeprefix("pkg:")

        def read(db: packages.Database) -> list[Suggestion]:
            own = needle.partition("/")[2] or needle
            names = index.near(db, needle, limit) + _found(db, own, limit)
            return _lines(db, list(dict.fromkeys(names))[:limit])

        return await self._store.read(read)

    async def search(self, text: str, page: int) -> SearchResult:
        """A page of results; an exact name comes first."""
        query = grammar.parse(text)
        note = query.note if isinstance(query, grammar.SearchQuery) else ""
        text = query.text if isinstance(query, grammar.SearchQuery) else grammar.clean(text)
        page = min(max(page, 1), MAX_PAGES)
        upstream = await self._upstream(text, page)
        own = await self._store.read(partial(index.search, text=text))
        names = list(dict.fromkeys([*upstream.names, *own]))
        exact = text if text in names else ""
        names.sort(key=lambda name: name != exact)  # stable: only the exact one moves
        total = max(len(names), upstream.total)
        shown = names[(page - 1) * PAGE_SIZE : page * PAGE_SIZE]
        cards = await self._store.read(lambda db: self._pages.cards(db, shown, exact))
        return SearchResult(
            text=text,
            note=note,
            cards=tuple(cards),
            total=total,
            page=page,
            pages=max(1, -(-total // PAGE_SIZE)),
            known_packages=await self._store.read(index.count_seen),
            upstream=isinstance(upstream.answer, FoundPage),
            origins=(self._origin(Block.SEARCH, "search", upstream.answer),),
            simulated=self._simulated,
        )

    async def user(self, name: str, page: int) -> PackageList:
        """Packages with this maintainer; the registry's search tells 250 at most."""
        own = await self._store.read(partial(index.names_of_maintainer, username=name))
        told = await self._upstream(f"maintainer:{name}", page)
        names = list(dict.fromkeys([*own, *told.names]))
        complete = isinstance(told.answer, FoundPage) and told.answer.total <= len(told.names)
        origin = self._origin(Block.USER_PACKAGES, "search", told.answer)
        return await self._list("user", name, names, complete, origin, page, told.total)

    async def scope(self, name: str, page: int) -> PackageList:
        """Packages in the scope."""
        own = await self._store.read(partial(index.names_in_scope, scope=name))
        answer = await self._refresher.scope_packages(name)
        if isinstance(answer, tuple):
            listed = answer
            await self._store.write(lambda db: saving.save_names(db, listed, self._now()), about=())
            own = list(dict.fromkeys([*own, *listed]))
        origin = self._origin(Block.ORG_PACKAGES, "organisation", answer)
        return await self._list("scope", name, own, isinstance(answer, tuple), origin, page, 0)

    async def home(self) -> Home:
        """Popular, newest and random."""

        def read(db: packages.Database) -> Home:
            popular, basis = people.popular(db, HOME_ITEMS)
            chosen = people.draw(db, self._draw, HOME_ITEMS)
            return Home(
                popular=self._items(db, popular),
                newest=self._items(db, people.newest(db, HOME_ITEMS)),
                random=self._items(db, [(name, "drawn from all known here") for name in chosen]),
                popular_basis=basis,
                newest_basis="newest releases among the packages known here",
                known_packages=index.count_seen(db),
                last_outbox_id=outbox.last_id(db),
                simulated=self._simulated,
            )

        return await self._store.read(read)

    async def _upstream(self, text: str, page: int) -> _Upstream:
        """The registry's results for all pages up to this one (five at most)."""
        got = _Upstream()
        for number in range(min(page, MAX_UPSTREAM_PAGES)):
            answer = await self._refresher.search(text, PAGE_SIZE, number * PAGE_SIZE)
            if number == 0 or isinstance(answer, FoundPage):
                got.answer = answer
            if not isinstance(answer, FoundPage) or not answer.found:
                break
            await self._remember(answer)
            got.names += [found.name for found in answer.found]
            got.total = min(answer.total, MAX_UPSTREAM_PAGES * PAGE_SIZE)
        return got

    async def _remember(self, page: FoundPage) -> None:
        if page.found:
            await self._store.write(
                lambda db: saving.save_found(db, page.found, self._now()), about=()
            )

    def _origin(self, block: Block, ability: str, answer: object) -> Origin:
        """What a reader is told about a list, as of the last word of the source about such lists."""
        seen = self._refresher.abilities().get(ability)
        as_of = (seen.last_contact if seen else None) or self._now()
        if isinstance(answer, FoundPage | tuple):
            known = OriginState.SIMULATED if self._simulated else OriginState.KNOWN
            return Origin(block, known, as_of)
        if isinstance(answer, NoData):
            return Origin(block, OriginState.NO_DATA, as_of)
        if isinstance(answer, NotOffered | NotSet):
            return Origin(block, OriginState.NOT_AVAILABLE, as_of, NOT_AVAILABLE)
        words = NO_ANSWER_WORDS
        if isinstance(answer, Limited):
            words = pause_words(answer.until, is_ours=answer.is_ours)
        return Origin(block, OriginState.FAILING, as_of, words)

    async def _list(
        self,
        kind: Literal["user", "scope"],
        name: str,
        names: list[str],
        complete: bool,
        origin: Origin,
        page: int,
        total: int,
    ) -> PackageList:
        complete = complete and len(names) <= MAX_LISTED
        names = names[:MAX_LISTED]
        # More may be told by the source once somebody turns the page.
        listed = max(len(names), total)
        pages = max(1, -(-listed // PAGE_SIZE))
        page = min(max(page, 1), pages)
        shown = names[(page - 1) * PAGE_SIZE : page * PAGE_SIZE]

        def read(db: packages.Database) -> PackageList:
            loaded = (self._pages.counts(db, one, series.MONTH) for one in names)
            counted = [one for one in loaded if one is not None]
            return PackageList(
                kind=kind,
                name=name,
                cards=tuple(self._pages.cards(db, shown)),
                complete=complete,
                total=series.added(counted),
                origins=(origin,),
                simulated=self._simulated,
                listed=listed,
                counted=len(counted),
                page=page,
                pages=pages,
            )

        return await self._store.read(read)

    def _items(
        self, db: packages.Database, pairs: Iterable[tuple[str, str]]
    ) -> tuple[HomeItem, ...]:
        cards = ((self._pages.card(db, name), reason) for name, reason in pairs)
        return tuple(HomeItem(card, reason) for card, reason in cards if card is not None)


def _found(db: packages.Database, text: str, limit: int) -> list[str]:
    """Names that begin so; when there are too few, whatever the search finds."""
    names = index.by_prefix(db, text, limit)
    if len(names) < limit and len(text) >= 3:
        names += index.search(db, text, SUGGESTED_FROM)
    return list(dict.fromkeys(names))[:limit]


def _lines(db: packages.Database, names: Iterable[str]) -> list[Suggestion]:
    lines = []
    for name in names:
        row = db.execute(
            "SELECT description, latest FROM package WHERE name = ?", (name,)
        ).fetchone()
        href = urls.package_path(name)
        lines.append(Suggestion("package", name, href, row["description"], row["latest"]))
    return lines
